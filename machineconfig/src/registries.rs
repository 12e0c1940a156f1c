//! registries.conf: whether a change can be picked up by a reload alone (MCO daemon 4.5).
//!
//! A container runtime that reloads keeps what it already pulled. Pods must go first when an image could from now on come from
//! somewhere else under the same name; images named by digest cannot.

use std::collections::BTreeMap;

mod file;

use file::{Endpoint, File, Registry};

/// Where the file is.
pub const PATH: &str = "/etc/containers/registries.conf";

/// The only value of `pull-from-mirror` that cannot change what a tag means.
const DIGEST_ONLY: &str = "digest-only";

/// Which of the two files cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The file of the current config.
    Current,
    /// The file of the desired config.
    Desired,
}

/// A registries.conf that cannot be read. The reason never quotes the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{PATH} cannot be read: {reason}")]
pub struct Unreadable {
    /// Which file.
    pub side: Side,
    /// Line and column, or the key at fault, and what is wrong with it.
    pub reason: String,
}

/// Why the change from `current` to `desired` needs a drain, in a fixed order; empty when a reload is enough. An absent file counts as
/// empty. Contents are decoded already: unlike the reference, gzip has been undone.
pub fn reasons_to_drain(current: &[u8], desired: &[u8]) -> Result<Vec<String>, Unreadable> {
    let read = |bytes, side| File::parse(bytes).map_err(|reason| Unreadable { side, reason });
    let (old, new) = (read(current, Side::Current)?, read(desired, Side::Desired)?);
    let mut reasons = Vec::new();
    if !new.search.starts_with(&old.search) {
        reasons.push("unqualified-search-registries lost an entry or changed their order".to_owned());
    }
    let (old, new) = (by_key(&old.registries), by_key(&new.registries));
    for (key, registry) in &old {
        match new.get(key) {
            Some(now) => compare(key, registry, now, &mut reasons),
            None => reasons.push(format!("registry {key} is gone")),
        }
    }
    for (key, registry) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
        added(key, registry, &mut reasons);
    }
    Ok(reasons)
}

/// Registries by prefix, else location; the last of equals stands.
fn by_key(registries: &[Registry]) -> BTreeMap<&str, &Registry> {
    registries
        .iter()
        .map(|registry| (registry.key(), registry))
        .collect()
}

/// A registry that both files have. Not looked at: the order of mirrors, whether a mirror is insecure, and `mirror-by-digest-only` itself.
fn compare(key: &str, old: &Registry, new: &Registry, reasons: &mut Vec<String>) {
    let changed = [
        ("prefix", old.prefix != new.prefix),
        ("location", old.location != new.location),
        ("blocked", old.blocked != new.blocked),
        ("insecure", old.insecure != new.insecure),
    ];
    for (field, _) in changed.iter().filter(|(_, changed)| *changed) {
        reasons.push(format!("registry {key}: {field} changed"));
    }
    let (before, after) = (by_location(&old.mirrors), by_location(&new.mirrors));
    for (location, mirror) in &before {
        match after.get(location) {
            None => reasons.push(format!("registry {key}: mirror {location} is gone")),
            Some(now)
                if now.pull_from_mirror != mirror.pull_from_mirror && now.pull_from_mirror != DIGEST_ONLY =>
            {
                reasons.push(format!(
                    "registry {key}: pull-from-mirror of mirror {location} changed"
                ));
            }
            Some(_) => {}
        }
    }
    for (location, mirror) in after
        .iter()
        .filter(|(location, _)| !before.contains_key(*location))
    {
        if mirror.pull_from_mirror != DIGEST_ONLY && !new.mirror_by_digest_only {
            reasons.push(format!(
                "registry {key}: mirror {location} is new and not for digests only"
            ));
        }
    }
}

fn by_location(mirrors: &[Endpoint]) -> BTreeMap<&str, &Endpoint> {
    mirrors
        .iter()
        .map(|mirror| (mirror.location.as_str(), mirror))
        .collect()
}

/// A registry that only the new file has. With mirrors, each must itself be for digests only: the registry's own flag does not count,
/// as in the reference.
fn added(key: &str, registry: &Registry, reasons: &mut Vec<String>) {
    if registry.mirrors.is_empty() {
        if !registry.mirror_by_digest_only {
            reasons.push(format!("registry {key} is new and has no mirrors"));
        }
    } else if registry
        .mirrors
        .iter()
        .any(|mirror| mirror.pull_from_mirror != DIGEST_ONLY)
    {
        reasons.push(format!(
            "registry {key} is new and has a mirror that is not for digests only"
        ));
    }
}

#[cfg(test)]
mod tests;
