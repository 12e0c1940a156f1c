//! What a config says a file is to be on disk: shared by plan and drift, so that both read a config alike (MCO daemon 3.6).

use std::borrow::Cow;
use std::fmt;

use ignition::contents::{self, ContentsError, MAX_INFLATED};
use ignition::tree::Value;
use serde::{Deserialize, Serialize};

/// Mode of a file that does not say.
pub const DEFAULT_MODE: u32 = 0o644;

/// A mode as people write it: `0644`, `04755`.
#[must_use]
pub fn octal(mode: u32) -> String {
    format!("0{mode:03o}")
}

/// A user or group, as a config names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Id {
    /// By number.
    Number(i64),
    /// By name, never empty and never `root`, whose number is known.
    Name(String),
}

impl Id {
    /// By number if there is one, else by name if there is one, else root.
    fn of(id: Option<i64>, name: Option<&str>) -> Self {
        match (id, name) {
            (Some(id), _) => Id::Number(id),
            (None, None | Some("" | "root")) => Id::Number(0),
            (None, Some(name)) => Id::Name(name.to_owned()),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Number(0) => f.write_str("root"),
            Id::Number(number) => number.fmt(f),
            Id::Name(name) => f.write_str(name),
        }
    }
}

/// A user and a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedOwner {
    /// The user.
    pub user: Id,
    /// The group.
    pub group: Id,
}

impl WantedOwner {
    /// `root:root`.
    pub const ROOT: WantedOwner = WantedOwner {
        user: Id::Number(0),
        group: Id::Number(0),
    };
}

impl fmt::Display for WantedOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.user, self.group)
    }
}

/// A file of a config. What it takes from the config it borrows, since that may be tens of megabytes; see
/// [`WantedFile::into_owned`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WantedFile<'a> {
    /// Where its contents are, encoded.
    source: Option<Cow<'a, str>>,
    compression: Option<Cow<'a, str>>,
    /// Permission bits; a mode that is no mode at all becomes `u32::MAX`, which no file has.
    pub mode: u32,
    /// Who it belongs to.
    pub owner: WantedOwner,
    /// Whether the config wants something appended, which no running node does.
    pub appends: bool,
}

impl<'a> WantedFile<'a> {
    /// Reads an entry of `storage.files` of a [`ignition::Config`], whose values fit its spec.
    #[must_use]
    pub fn of(entry: &'a Value) -> Self {
        let text = |object: &'a str, key: &str| entry.get(object)?.get(key)?.as_str();
        let contents = |key| text("contents", key).map(Cow::Borrowed);
        let id = |object| {
            let number = entry.get(object).and_then(|id| id.get("id")?.as_i64());
            Id::of(number, text(object, "name"))
        };
        let mode = entry.get("mode").and_then(Value::as_i64);
        let append = entry.get("append").and_then(Value::as_array);
        Self {
            source: contents("source"),
            compression: contents("compression"),
            mode: mode.map_or(DEFAULT_MODE, |mode| u32::try_from(mode).unwrap_or(u32::MAX)),
            owner: WantedOwner {
                user: id("user"),
                group: id("group"),
            },
            appends: append.is_some_and(|append| !append.is_empty()),
        }
    }

    /// The same, for longer than the config.
    #[must_use]
    pub fn into_owned(self) -> WantedFile<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        WantedFile {
            source: self.source.map(owned),
            compression: self.compression.map(owned),
            mode: self.mode,
            owner: self.owner,
            appends: self.appends,
        }
    }

    /// The decoded contents; empty when the config gives none.
    pub fn contents(&self) -> Result<Vec<u8>, ContentsError> {
        contents::decode(self.source.as_deref(), self.compression.as_deref(), MAX_INFLATED)
    }
}
