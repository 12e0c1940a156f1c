//! What the disk holds, as a config: the starting point of a repair.
//!
//! [`as_found`] is the entry point. The plan from its outcome to the config is what a repair does, by the same rules, and with the
//! same disruption, as any other change.

use std::collections::{BTreeMap, BTreeSet};

use ignition::{Config, contents};
use serde_json::{Map, Value, json};

use super::compare::{differences, enabled, key_lines};
use super::expect::{Demand, Expectation, What};
use super::{Drift, DriftKind, Observed, Seen, SeenContents};
use crate::RenderedConfig;
use crate::redact::Blob;
use crate::wanted::{WantedFile, octal};

/// What a unit or drop-in is said to contain, when something that is no file is in the place of an empty one.
const NO_FILE: &str = "# no regular file\n";

/// `config` with everything that has drifted from what it demands (`expectation`) as it was observed. What agrees with the disk stays
/// as it is, byte for byte; so does what no node can mend (see [`DriftKind::can_be_mended`]), and directories and links, which no
/// running node writes.
///
/// `None` when nothing has drifted.
///
/// Contents that were not held, and modes and owners where a config has no word for them (units, SSH keys), become a text that
/// differs from what the config demands.
///
/// # Panics
/// Never: what is put into the config has the type of what was there.
#[must_use]
pub fn as_found(
    config: &RenderedConfig,
    expectation: &Expectation,
    observed: &Observed,
) -> Option<RenderedConfig> {
    let at_homes = expectation.at_homes(&observed.homes);
    let paths = expectation.paths.iter();
    let demands = paths.flat_map(|(path, demands)| demands.iter().map(move |demand| (path, demand)));
    let mut draft = None;
    for (path, demand) in demands.chain(at_homes.iter().map(|(path, demand)| (path, demand))) {
        let drifts: Vec<Drift> = differences(path, demand, observed)
            .into_iter()
            .filter(|drift| drift.kind.can_be_mended())
            .collect();
        if let (false, Some(seen)) = (drifts.is_empty(), observed.paths.get(path)) {
            let at = At {
                seen,
                drifts: &drifts,
            };
            let draft = draft.get_or_insert_with(|| Draft::of(config));
            draft.replace(path, demand, &at);
        }
    }
    for (unit, wanted) in &expectation.enablement {
        let answer = observed.enablement.get(unit);
        let contrary = answer.filter(|answer| enabled(unit, wanted, answer).is_some());
        if let Some(answer) = contrary {
            let draft = draft.get_or_insert_with(|| Draft::of(config));
            draft.enablement(unit, wanted.enabled, answer);
        }
    }
    let value = draft.and_then(Draft::finish)?;
    let parsed = Config::from_value_unvalidated(&value).expect("texts and numbers took the place of such");
    Some(RenderedConfig {
        name: config.name.clone(),
        spec: config.spec.clone(),
        ignition: parsed.config,
        provenance: config.provenance.clone(),
    })
}

const FILES: &str = "/storage/files";
const UNITS: &str = "/systemd/units";
const USERS: &str = "/passwd/users";

/// What was seen at a path, and in which respects that is wrong.
struct At<'a> {
    seen: &'a Seen,
    drifts: &'a [Drift],
}

/// The config while it is changed.
struct Draft {
    value: Value,
    /// Where the last file of a path is in the list, which is the one that counts.
    files: BTreeMap<String, usize>,
    /// Files that are not there; they leave the list at the end, so that it is walked once.
    gone: BTreeSet<String>,
    changed: bool,
}

// === impl Draft ===

impl Draft {
    fn of(config: &RenderedConfig) -> Self {
        let value = config.ignition.value().clone();
        let files = value
            .pointer(FILES)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .enumerate()
            .filter_map(|(index, file)| Some((path_of(file)?.to_owned(), index)));
        Self {
            files: files.collect(),
            value,
            gone: BTreeSet::new(),
            changed: false,
        }
    }

    /// The value, if anything in it was changed.
    fn finish(mut self) -> Option<Value> {
        if let (false, Some(Value::Array(files))) = (self.gone.is_empty(), self.value.pointer_mut(FILES)) {
            files.retain(|file| path_of(file).is_none_or(|path| !self.gone.contains(path)));
        }
        self.changed.then_some(self.value)
    }

    /// Makes the entry of a demand what was seen, if there is such an entry.
    fn replace(&mut self, path: &str, demand: &Demand, at: &At<'_>) {
        let changed = match (&demand.what, &demand.unit) {
            (What::File(wanted), _) => self.file(path, wanted, at),
            (What::Text { contents, .. }, Some(unit)) => match path.rsplit_once(".d/") {
                // A unit of that name would have no slash in it.
                Some((_, name)) => drop_in(&mut self.value, unit, name, contents, at),
                None => unit_file(&mut self.value, unit, contents, at),
            },
            (What::Mask, Some(unit)) => set(
                &mut self.value,
                UNITS,
                "name",
                unit,
                "mask",
                Some(Value::Bool(false)),
            ),
            (What::SshKeys { user, keys, .. }, _) => ssh_keys(&mut self.value, user, keys, at),
            (What::Directory | What::Link { .. } | What::Text { .. } | What::Mask, _) => false,
        };
        self.changed |= changed;
    }

    /// Makes the enablement of a unit other than it is wanted, as `systemctl is-enabled` has answered.
    fn enablement(&mut self, unit: &str, wanted: bool, answer: &str) {
        let Some(entry) = entry(&mut self.value, UNITS, "name", unit) else {
            return;
        };
        entry.insert("enabled".to_owned(), Value::Bool(!wanted));
        if answer.starts_with("masked") {
            entry.insert("mask".to_owned(), Value::Bool(true));
        }
        self.changed = true;
    }

    fn file(&mut self, path: &str, wanted: &WantedFile<'_>, at: &At<'_>) -> bool {
        let Seen::File {
            mode,
            owner,
            contents,
        } = at.seen
        else {
            self.gone.insert(path.to_owned());
            return true;
        };
        let entries = self.value.pointer_mut(FILES);
        let index = self.files.get(path);
        let entry = entries.zip(index).and_then(|(files, index)| files.get_mut(index));
        let Some(entry) = entry.and_then(Value::as_object_mut) else {
            return false;
        };
        if at.says(DriftKind::Mode) {
            entry.insert("mode".to_owned(), json!(mode));
        }
        if let (true, Some(owner)) = (at.says(DriftKind::Owner), owner) {
            entry.insert("user".to_owned(), json!({ "id": owner.uid }));
            entry.insert("group".to_owned(), json!({ "id": owner.gid }));
        }
        if at.says(DriftKind::Content) {
            let source = match held(contents) {
                Ok(bytes) => contents::base64(bytes),
                Err(mut instead) => {
                    if wanted.contents().is_ok_and(|wanted| wanted == instead.as_bytes()) {
                        instead.push('\n');
                    }
                    contents::percent(instead.as_bytes())
                }
            };
            entry.insert("contents".to_owned(), json!({ "source": source }));
        }
        true
    }
}

fn path_of(file: &Value) -> Option<&str> {
    file.get("path")?.as_str()
}

fn drop_in(config: &mut Value, unit: &str, name: &str, wanted: &str, at: &At<'_>) -> bool {
    let Some(unit) = entry(config, UNITS, "name", unit) else {
        return false;
    };
    let drop_ins = unit.get_mut("dropins").and_then(Value::as_array_mut);
    let drop_ins = drop_ins.into_iter().flatten();
    let named = drop_ins.filter(|drop_in| drop_in.get("name").and_then(Value::as_str) == Some(name));
    let Some(Value::Object(drop_in)) = named.last() else {
        return false;
    };
    match at.text(wanted) {
        Some(text) => drop_in.insert("contents".to_owned(), Value::String(text)),
        None => drop_in.remove("contents"),
    };
    true
}

fn unit_file(config: &mut Value, unit: &str, wanted: &str, at: &At<'_>) -> bool {
    if let Seen::Symlink {
        resolved: Some(resolved),
        ..
    } = at.seen
        && resolved == "/dev/null"
    {
        set(config, UNITS, "name", unit, "mask", Some(Value::Bool(true)));
    }
    let contents = at.text(wanted).map(Value::String);
    set(config, UNITS, "name", unit, "contents", contents)
}

fn ssh_keys(config: &mut Value, user: &str, wanted: &[String], at: &At<'_>) -> bool {
    let mut keys = match at.seen {
        Seen::File { contents, .. } => match held(contents) {
            Ok(bytes) => key_lines(&String::from_utf8_lossy(bytes))
                .map(str::to_owned)
                .collect(),
            Err(instead) => vec![instead.trim_end().to_owned()],
        },
        Seen::Missing
        | Seen::Symlink { .. }
        | Seen::Directory
        | Seen::Other { .. }
        | Seen::LeadsOut { .. }
        | Seen::Unreadable { .. } => Vec::new(),
    };
    let is_list_of = |keys: &[String], entry: Option<&Value>| {
        let list = entry.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).eq(keys.iter().map(String::as_str))
    };
    let Some(entry) = entry(config, USERS, "name", user) else {
        return false;
    };
    // The same keys in a file of another mode or owner, or none where there is no file at all.
    if keys == wanted || is_list_of(&keys, entry.get("sshAuthorizedKeys")) {
        keys.push(at.in_words());
    }
    entry.insert("sshAuthorizedKeys".to_owned(), json!(keys));
    true
}

// === impl At ===

impl At<'_> {
    fn says(&self, kind: DriftKind) -> bool {
        self.drifts.iter().any(|drift| drift.kind == kind)
    }

    /// What differs, in words.
    fn in_words(&self) -> String {
        let found = self
            .drifts
            .iter()
            .map(|drift| format!("{} {}", drift.kind, drift.found));
        format!("# {}", found.collect::<Vec<_>>().join(", "))
    }

    /// The text of a unit or drop-in that stands for what was seen: never `wanted`, and nothing where no file is. A config says
    /// neither mode nor owner of it, so where only these differ a comment does.
    fn text(&self, wanted: &str) -> Option<String> {
        let Seen::File { mode, contents, .. } = self.seen else {
            return wanted.is_empty().then(|| NO_FILE.to_owned());
        };
        let text = match held(contents) {
            Ok(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Err(instead) => format!("# {instead}"),
        };
        // An empty text stands for no file, which is as good as an empty one.
        let is_same = text == wanted || (text.is_empty() && wanted.is_empty());
        Some(if is_same {
            format!("{}\n# mode {}\n{text}", self.in_words(), octal(*mode))
        } else {
            text
        })
    }
}

/// The bytes, or what to say instead of those that were not held.
fn held(contents: &SeenContents) -> Result<&[u8], String> {
    match contents {
        SeenContents::Bytes(bytes) => Ok(bytes),
        SeenContents::Digest { size, sha256 } => {
            Err(format!("{} are here\n", Blob::of_digest(*size, sha256)))
        }
        SeenContents::Oversize { size } => Err(format!("{size} bytes are here\n")),
    }
}

/// The last entry of that name in a list, which is the one that counts.
fn entry<'a>(config: &'a mut Value, list: &str, key: &str, name: &str) -> Option<&'a mut Map<String, Value>> {
    let entries = config.pointer_mut(list)?.as_array_mut()?;
    let named = |entry: &&mut Value| entry.get(key).and_then(Value::as_str) == Some(name);
    entries.iter_mut().rfind(named)?.as_object_mut()
}

/// Sets a field of an entry, or takes it out; whether there is the entry.
fn set(config: &mut Value, list: &str, key: &str, name: &str, field: &str, value: Option<Value>) -> bool {
    let Some(entry) = entry(config, list, key, name) else {
        return false;
    };
    match value {
        Some(value) => entry.insert(field.to_owned(), value),
        None => entry.remove(field),
    };
    true
}
