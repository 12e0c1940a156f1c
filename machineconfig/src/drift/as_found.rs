//! What the disk holds, as a config: the starting point of a repair.
//!
//! [`as_found`] is the entry point. The plan from its outcome to the config is what a repair does, by the same rules, and with the
//! same disruption, as any other change.

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

/// A copy of `config` in which everything that has drifted is as it was observed. What agrees with the disk stays as it is, byte for
/// byte; so does what no node can mend (see [`DriftKind::can_be_mended`]), and directories and links, which no running node writes.
///
/// Contents that were not held, and modes and owners where a config has no word for them (units, SSH keys), become a text that
/// differs from what the config demands.
///
/// # Panics
/// Never: what is put into the config has the type of what was there.
#[must_use]
pub fn as_found(config: &RenderedConfig, observed: &Observed) -> RenderedConfig {
    let mut found = config.clone();
    // A config that is in use was read before.
    let Ok(expectation) = Expectation::from_ignition(&config.name, config.ignition.value()) else {
        return found;
    };
    let expectation = expectation.with_homes(&observed.homes);
    let mut value = config.ignition.value().clone();
    let mut changed = false;
    for (path, demands) in &expectation.paths {
        for demand in demands {
            let drifts: Vec<Drift> = differences(path, demand, observed)
                .into_iter()
                .filter(|drift| drift.kind.can_be_mended())
                .collect();
            if let (false, Some(seen)) = (drifts.is_empty(), observed.paths.get(path)) {
                changed |= replace(
                    &mut value,
                    path,
                    demand,
                    &At {
                        seen,
                        drifts: &drifts,
                    },
                );
            }
        }
    }
    for (unit, wanted) in &expectation.enablement {
        let answer = observed.enablement.get(unit);
        let drift = answer.and_then(|answer| Some((answer, enabled(unit, wanted, answer)?)));
        if let (Some((answer, _)), Some(entry)) = (drift, entry(&mut value, UNITS, "name", unit)) {
            entry.insert("enabled".to_owned(), Value::Bool(!wanted.enabled));
            if answer.starts_with("masked") {
                entry.insert("mask".to_owned(), Value::Bool(true));
            }
            changed = true;
        }
    }
    if changed {
        let parsed =
            Config::from_value_unvalidated(&value).expect("texts and numbers took the place of such");
        found.ignition = parsed.config;
    }
    found
}

const FILES: &str = "/storage/files";
const UNITS: &str = "/systemd/units";
const USERS: &str = "/passwd/users";

/// What was seen at a path, and in which respects that is wrong.
struct At<'a> {
    seen: &'a Seen,
    drifts: &'a [Drift],
}

/// Makes the entry of a demand what was seen; whether there is such an entry.
fn replace(config: &mut Value, path: &str, demand: &Demand, at: &At<'_>) -> bool {
    match (&demand.what, &demand.unit) {
        (What::File(wanted), _) => file(config, path, wanted, at),
        (What::Text { contents, .. }, Some(unit)) => match path.rsplit_once(".d/") {
            // A unit of that name would have no slash in it.
            Some((_, name)) => drop_in(config, unit, name, contents, at),
            None => unit_file(config, unit, contents, at),
        },
        (What::Mask, Some(unit)) => set(config, UNITS, "name", unit, "mask", Some(Value::Bool(false))),
        (What::SshKeys { user, keys, .. }, _) => ssh_keys(config, user, keys, at),
        (What::Directory | What::Link { .. } | What::Text { .. } | What::Mask, _) => false,
    }
}

fn file(config: &mut Value, path: &str, wanted: &WantedFile, at: &At<'_>) -> bool {
    let Seen::File {
        mode,
        owner,
        contents,
    } = at.seen
    else {
        if let Some(files) = config.pointer_mut(FILES).and_then(Value::as_array_mut) {
            files.retain(|file| file.get("path").and_then(Value::as_str) != Some(path));
        }
        return true;
    };
    let Some(entry) = entry(config, FILES, "path", path) else {
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
