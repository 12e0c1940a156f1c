//! Comparing what is demanded with what was observed, one path after the other.

use std::borrow::Cow;
use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::expect::{Demand, Enablement, Expectation, What};
use super::{Drift, DriftKind, Observed, Owner, Seen, SeenContents};
use crate::plan::short_key;
use crate::redact::{self, Blob, Contents, Diff, Limits};
use crate::wanted::{DEFAULT_MODE, Id, WantedFile, WantedOwner, octal};

/// The permission bits a config may set; the others are never set on disk.
const MODE_BITS: u32 = 0o777;
/// Permission bits of the file with the SSH keys (MCO daemon 3.9).
const SSH_KEYS_MODE: u32 = 0o600;
/// Keys that are named in one drift; the rest is counted.
const KEYS_NAMED: usize = 5;

/// Every mismatch, sorted by path, then kind.
#[must_use]
pub fn compare(expected: &Expectation, observed: &Observed) -> Vec<Drift> {
    let mut found = Vec::new();
    let at_homes = expected.at_homes(&observed.homes);
    let paths = expected.paths.iter();
    let demands = paths.flat_map(|(path, demands)| demands.iter().map(move |demand| (path, demand)));
    for (path, demand) in demands.chain(at_homes.iter().map(|(path, demand)| (path, demand))) {
        found.extend(differences(path, demand, observed));
    }
    for (unit, enablement) in &expected.enablement {
        found.extend(
            observed
                .enablement
                .get(unit)
                .and_then(|answer| enabled(unit, enablement, answer)),
        );
    }
    for (unit, guard) in &expected.guards {
        let beside = observed.beside.get(unit).into_iter().flatten();
        found.extend(beside.filter_map(|(path, seen)| guard.shadow(unit, path, seen)));
    }
    found.sort_by(|a, b| (&a.path, a.kind).cmp(&(&b.path, b.kind)));
    found.dedup();
    found
}

/// Every mismatch of one demand at a path; none if the path was not observed.
pub(super) fn differences(path: &str, demand: &Demand, observed: &Observed) -> Vec<Drift> {
    let mut found = Vec::new();
    if let Some(seen) = observed.paths.get(path) {
        let mut at = At {
            path,
            demand,
            observed,
            found: &mut found,
        };
        at.compare(seen);
    }
    found
}

/// One demand at one path.
struct At<'a> {
    path: &'a str,
    demand: &'a Demand,
    observed: &'a Observed,
    found: &'a mut Vec<Drift>,
}

impl At<'_> {
    fn compare(&mut self, seen: &Seen) {
        match &self.demand.what {
            What::File(file) => self.file(file, seen),
            What::Text {
                contents,
                may_be_absent,
            } => {
                if !(*may_be_absent && *seen == Seen::Missing) {
                    self.text(contents, seen);
                }
            }
            What::Directory => self.directory(seen),
            What::Link { target: None } => {
                self.regular_seen(seen);
            }
            What::Link { target: Some(target) } => self.link(target, seen),
            What::Mask => self.mask(seen),
            What::SshKeys { user, group, keys } => self.ssh_keys(user, group, keys, seen),
        }
    }

    fn drift(
        &mut self,
        kind: DriftKind,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> &mut Drift {
        let drift = Drift {
            path: self.path.to_owned(),
            unit: self.demand.unit.clone(),
            kind,
            code: kind.code(),
            expected: expected.into(),
            found: found.into(),
            diff: None,
            machine_config: self.demand.machine_config.clone(),
            remedy: remedy(kind),
            beyond_reference: self.demand.beyond_reference || kind == DriftKind::Owner,
        };
        self.found.push(drift);
        self.found.last_mut().expect("it was pushed just now")
    }

    fn file(&mut self, file: &WantedFile<'_>, seen: &Seen) {
        if file.appends {
            self.drift(
                DriftKind::Unsatisfiable,
                "something appended to the file",
                "files are only written whole",
            );
            return;
        }
        let contents = match file.contents() {
            Ok(contents) => contents,
            Err(error) => {
                self.drift(
                    DriftKind::Unsatisfiable,
                    "contents that can be decoded",
                    error.to_string(),
                );
                return;
            }
        };
        let unsatisfiable = file.mode & !MODE_BITS != 0;
        if unsatisfiable {
            let expected = format!("mode {}", octal(file.mode));
            self.drift(
                DriftKind::Unsatisfiable,
                expected,
                "only permission bits up to 0777 are ever set",
            );
        }
        let mode = (!unsatisfiable).then_some(file.mode);
        self.regular(&contents, mode, &file.owner, seen);
    }

    fn text(&mut self, contents: &str, seen: &Seen) {
        self.regular(contents.as_bytes(), Some(DEFAULT_MODE), &WantedOwner::ROOT, seen);
    }

    /// A regular file with these contents, mode (if it can be demanded) and owner.
    fn regular(&mut self, contents: &[u8], mode: Option<u32>, owner: &WantedOwner, seen: &Seen) {
        let Some((found_mode, found_owner, found)) = self.regular_seen(seen) else {
            return;
        };
        if let Some(mode) = mode.filter(|mode| *mode != found_mode) {
            self.drift(DriftKind::Mode, octal(mode), octal(found_mode));
        }
        if let Some(found) = found_owner {
            self.owner(owner, found);
        }
        if !equal(contents, found) {
            let expected = Contents {
                bytes: contents,
                mode: Some(mode.unwrap_or(found_mode)),
            };
            let diff = diff(self.path, expected, found_mode, found);
            let drift = self.drift(
                DriftKind::Content,
                Blob::of(contents).to_string(),
                describe(found),
            );
            drift.diff = Some(diff);
        }
    }

    /// What is there when it is a regular file; otherwise a drift.
    fn regular_seen<'s>(&mut self, seen: &'s Seen) -> Option<(u32, Option<Owner>, &'s SeenContents)> {
        const EXPECTED: &str = "a regular file";
        match seen {
            Seen::File {
                mode,
                owner,
                contents,
            } => return Some((*mode, *owner, contents)),
            Seen::Missing => self.drift(DriftKind::Missing, EXPECTED, "nothing"),
            Seen::Symlink { .. } | Seen::Directory | Seen::Other { .. } => {
                self.drift(DriftKind::Type, EXPECTED, kind_of(seen))
            }
            Seen::LeadsOut { .. } => self.drift(DriftKind::LeadsOut, EXPECTED, kind_of(seen)),
            Seen::Unreadable { .. } => self.drift(DriftKind::Unreadable, EXPECTED, kind_of(seen)),
        };
        None
    }

    fn owner(&mut self, wanted: &WantedOwner, found: Owner) {
        let user = resolve(&wanted.user, &self.observed.users);
        let group = resolve(&wanted.group, &self.observed.groups);
        if user.is_some_and(|user| user != i64::from(found.uid))
            || group.is_some_and(|group| group != i64::from(found.gid))
        {
            let name = format!(
                "{}:{}",
                name_of(found.uid, &self.observed.users),
                name_of(found.gid, &self.observed.groups)
            );
            self.drift(DriftKind::Owner, wanted.to_string(), name);
        }
    }

    fn directory(&mut self, seen: &Seen) {
        if *seen != Seen::Directory {
            self.drift(kind_otherwise(seen), "a directory", kind_of(seen));
        }
    }

    /// A link that leads out of the root is reported as one even where the config wants it so.
    fn link(&mut self, target: &str, seen: &Seen) {
        let expected = format!("a symbolic link to {target}");
        match seen {
            Seen::Symlink { target: found, .. } if found == target => {}
            Seen::Symlink { .. } => {
                self.drift(DriftKind::Link, expected, kind_of(seen));
            }
            _ => {
                self.drift(kind_otherwise(seen), expected, kind_of(seen));
            }
        }
    }

    fn mask(&mut self, seen: &Seen) {
        const EXPECTED: &str = "a link to /dev/null";
        match seen {
            Seen::Symlink {
                resolved: Some(resolved),
                ..
            } if resolved == "/dev/null" => {}
            Seen::LeadsOut { .. } => {
                self.drift(DriftKind::LeadsOut, EXPECTED, kind_of(seen));
            }
            Seen::Unreadable { .. } => {
                self.drift(DriftKind::Unreadable, EXPECTED, kind_of(seen));
            }
            Seen::Missing
            | Seen::File { .. }
            | Seen::Symlink { .. }
            | Seen::Directory
            | Seen::Other { .. } => {
                self.drift(DriftKind::Mask, EXPECTED, kind_of(seen));
            }
        }
    }

    /// The keys. That none are there is as it should be without the user who would have them (MCO daemon 3.9); keys that are there
    /// count whatever the node says of its users.
    fn ssh_keys(&mut self, user: &str, group: &Id, keys: &[String], seen: &Seen) {
        let nobody = !self.observed.users.contains_key(user);
        if *seen == Seen::Missing && (nobody || keys.is_empty()) {
            return;
        }
        let Some((mode, owner, contents)) = self.regular_seen(seen) else {
            return;
        };
        if mode != SSH_KEYS_MODE {
            self.drift(DriftKind::Mode, octal(SSH_KEYS_MODE), octal(mode));
        }
        if let Some(owner) = owner {
            let wanted = WantedOwner {
                user: Id::Name(user.to_owned()),
                group: group.clone(),
            };
            self.owner(&wanted, owner);
        }
        let SeenContents::Bytes(bytes) = contents else {
            self.drift(DriftKind::SshKeys, count(keys.len()), describe(contents));
            return;
        };
        let text = String::from_utf8_lossy(bytes);
        let there: Vec<&str> = key_lines(&text).collect();
        let missing: Vec<&str> = keys
            .iter()
            .map(String::as_str)
            .filter(|key| !there.contains(key))
            .collect();
        let added: Vec<&str> = there
            .iter()
            .copied()
            .filter(|key| !keys.iter().any(|own| own == key))
            .collect();
        if !(missing.is_empty() && added.is_empty()) {
            let found = [("missing", &missing), ("not in the config", &added)];
            let found = found.iter().filter(|(_, keys)| !keys.is_empty());
            let found: Vec<_> = found
                .map(|(what, keys)| format!("{what}: {}", name_keys(keys)))
                .collect();
            self.drift(DriftKind::SshKeys, count(keys.len()), found.join("; "));
        }
    }
}

pub(super) fn remedy(kind: DriftKind) -> String {
    kind.code()
        .entry()
        .map(|entry| entry.remedy.to_owned())
        .unwrap_or_default()
}

/// The keys of a text: its lines without blanks and comments.
pub(super) fn key_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn count(keys: usize) -> String {
    if keys == 1 {
        "1 key".to_owned()
    } else {
        format!("{keys} keys")
    }
}

fn name_keys(keys: &[&str]) -> String {
    let mut named: Vec<_> = keys.iter().take(KEYS_NAMED).map(|key| short_key(key)).collect();
    if keys.len() > KEYS_NAMED {
        named.push(format!("{} more", keys.len() - KEYS_NAMED));
    }
    named.join(", ")
}

/// Whether an enablement answer contradicts the config (MCO daemon 7.4). That a unit should be enabled and is not is the rule of the
/// reference, but its check cannot see it; units without contents it does not look at.
pub(super) fn enabled(unit: &str, wanted: &Enablement, answer: &str) -> Option<Drift> {
    let contradicts = if wanted.enabled {
        // A unit that nobody brings cannot be enabled, and nobody tries to.
        matches!(answer, "disabled" | "masked" | "masked-runtime")
            || (answer == "not-found" && wanted.has_contents)
    } else {
        matches!(answer, "enabled" | "enabled-runtime")
    };
    contradicts.then(|| Drift {
        path: format!("/etc/systemd/system/{unit}"),
        unit: Some(unit.to_owned()),
        kind: DriftKind::Enablement,
        code: DriftKind::Enablement.code(),
        expected: if wanted.enabled { "enabled" } else { "disabled" }.to_owned(),
        found: answer.to_owned(),
        diff: None,
        machine_config: wanted.machine_config.clone(),
        remedy: remedy(DriftKind::Enablement),
        beyond_reference: wanted.enabled || !wanted.has_contents,
    })
}

/// In which respect something else than was asked for differs.
fn kind_otherwise(seen: &Seen) -> DriftKind {
    match seen {
        Seen::Missing => DriftKind::Missing,
        Seen::File { .. } | Seen::Symlink { .. } | Seen::Directory | Seen::Other { .. } => DriftKind::Type,
        Seen::LeadsOut { .. } => DriftKind::LeadsOut,
        Seen::Unreadable { .. } => DriftKind::Unreadable,
    }
}

pub(super) fn kind_of(seen: &Seen) -> String {
    match seen {
        Seen::Missing => "nothing".to_owned(),
        Seen::File { .. } => "a regular file".to_owned(),
        Seen::Symlink { target, .. } => format!("a symbolic link to {target}"),
        Seen::Directory => "a directory".to_owned(),
        Seen::Other { what } => format!("a {what}"),
        Seen::LeadsOut { link, target } => format!("{link} leads out of the root, to {target}"),
        Seen::Unreadable { reason } => reason.clone(),
    }
}

/// The number of a user or group; nothing when the name is not in the table, or there is no table.
fn resolve(id: &Id, table: &BTreeMap<String, u32>) -> Option<i64> {
    match id {
        Id::Number(number) => Some(*number),
        // A number no file can have: a name that the node does not know is never the owner.
        Id::Name(_) if table.is_empty() => None,
        Id::Name(name) => Some(table.get(name).map_or(-1, |number| i64::from(*number))),
    }
}

fn name_of(number: u32, table: &BTreeMap<String, u32>) -> Cow<'_, str> {
    let named = table
        .iter()
        .find(|(_, other)| **other == number)
        .map(|(name, _)| name.as_str());
    match (named, number) {
        (Some(name), _) => name.into(),
        (None, 0) => "root".into(),
        (None, number) => number.to_string().into(),
    }
}

fn equal(expected: &[u8], found: &SeenContents) -> bool {
    match found {
        SeenContents::Bytes(bytes) => bytes == expected,
        SeenContents::Digest { size, sha256 } => {
            *size == expected.len() as u64 && Sha256::digest(expected).as_slice() == sha256
        }
        SeenContents::Oversize { .. } => false,
    }
}

fn describe(found: &SeenContents) -> String {
    match found {
        SeenContents::Bytes(bytes) => Blob::of(bytes).to_string(),
        SeenContents::Digest { size, sha256 } => Blob::of_digest(*size, sha256).to_string(),
        SeenContents::Oversize { size } => format!("{size} bytes"),
    }
}

pub(super) fn diff(path: &str, expected: Contents<'_>, mode: u32, found: &SeenContents) -> Diff {
    match found {
        SeenContents::Bytes(bytes) => redact::compare(
            path,
            expected,
            Contents {
                bytes,
                mode: Some(mode),
            },
            Limits::default(),
        ),
        SeenContents::Digest { .. } | SeenContents::Oversize { .. } => Diff::TooLarge,
    }
}
