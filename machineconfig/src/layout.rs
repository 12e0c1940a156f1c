//! What a config lays on the disk of a running node: files, units, SSH keys and password hashes (MCO daemon 3.3).
//!
//! [`Layout::of`] is the entry point. Everything else of a config is the business of the first boot, or of the operating system.

use std::collections::BTreeMap;

use ignition::Config;
use ignition::tree::Value;

use crate::wanted::WantedFile;

/// Where units are written.
pub const UNIT_DIRECTORY: &str = "/etc/systemd/system";

/// What a config lays on a disk.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layout<'a> {
    /// By absolute path; of a path that is declared twice the last stands, as in the reference.
    pub files: BTreeMap<String, WantedFile<'a>>,
    /// By name.
    pub units: BTreeMap<String, WantedUnit>,
    /// By name.
    pub users: BTreeMap<String, WantedUser>,
}

/// What a config says of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WantedUnit {
    /// The unit file; an empty one is none.
    pub contents: Option<String>,
    /// Whether it is to be enabled; absent leaves it to systemd's presets.
    pub enabled: Option<bool>,
    /// Whether it is to be masked; absent is not the same as no: only no unmasks.
    pub mask: Option<bool>,
    /// Contents of its drop-ins by name; empty ones are none.
    pub dropins: BTreeMap<String, Option<String>>,
}

/// What a config says of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WantedUser {
    /// The SSH keys, in the order of the config.
    pub keys: Vec<String>,
    /// The password hash; an empty one is none.
    pub password_hash: Option<String>,
}

impl<'a> Layout<'a> {
    /// Of a config.
    #[must_use]
    pub fn of(config: &'a Config) -> Self {
        let mut layout = Self::default();
        let files = list(config, "/storage/files");
        layout.files = files
            .filter_map(|entry| Some((text(entry, "path")?.to_owned(), WantedFile::of(entry))))
            .collect();
        layout.units = units(config);
        for entry in list(config, "/passwd/users") {
            if let Some(name) = text(entry, "name") {
                layout.users.insert(name.to_owned(), user(entry));
            }
        }
        layout
    }
}

impl WantedUnit {
    /// Whether the config writes the unit file itself. A masked unit is nothing but masked (MCO daemon 3.7).
    #[must_use]
    pub fn brings_file(&self) -> bool {
        self.contents.is_some() && self.mask != Some(true)
    }
}

/// What a config says of units, by name.
#[must_use]
pub fn units(config: &Config) -> BTreeMap<String, WantedUnit> {
    let named = |entry| Some((text(entry, "name")?.to_owned(), unit(entry)));
    list(config, "/systemd/units").filter_map(named).collect()
}

fn unit(entry: &Value) -> WantedUnit {
    let flag = |key: &str| entry.get(key).and_then(Value::as_bool);
    let dropins = entry
        .get("dropins")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    WantedUnit {
        contents: filled(entry, "contents"),
        enabled: flag("enabled"),
        mask: flag("mask"),
        dropins: dropins
            .filter_map(|dropin| Some((text(dropin, "name")?.to_owned(), filled(dropin, "contents"))))
            .collect(),
    }
}

fn user(entry: &Value) -> WantedUser {
    let keys = entry.get("sshAuthorizedKeys").and_then(Value::as_array);
    WantedUser {
        keys: keys
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        password_hash: filled(entry, "passwordHash"),
    }
}

/// The entries of a list of a config; none when it is absent.
pub(crate) fn list<'a>(config: &'a Config, pointer: &str) -> impl Iterator<Item = &'a Value> {
    config
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// A text of an entry.
pub(crate) fn text<'a>(entry: &'a Value, key: &str) -> Option<&'a str> {
    entry.get(key)?.as_str()
}

/// A text that is there and not empty.
fn filled(entry: &Value, key: &str) -> Option<String> {
    text(entry, key)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}
