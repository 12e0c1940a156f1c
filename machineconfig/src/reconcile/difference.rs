//! How two lists differ, entry by entry.

use std::collections::HashMap;

/// One difference between two lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Difference<'a> {
    /// An entry is new.
    Added(&'a str),
    /// An entry is gone.
    Removed(&'a str),
    /// An entry says something else.
    Changed(&'a str),
    /// The entries are the same, in another order or number.
    Order,
    /// There are no entries on either side; on one of them the list is there and empty.
    Emptiness,
}

impl<'a> Difference<'a> {
    /// The key of the entry.
    pub(super) fn key(&self) -> Option<&'a str> {
        match self {
            Difference::Added(key) | Difference::Removed(key) | Difference::Changed(key) => Some(key),
            Difference::Order | Difference::Emptiness => None,
        }
    }

    /// What becomes of it, after the noun.
    pub(super) fn verb(&self) -> &'static str {
        match self {
            Difference::Added(_) => "is added",
            Difference::Removed(_) => "is removed",
            Difference::Changed(_) => "changes",
            Difference::Order => "changes its order",
            Difference::Emptiness => "is empty on one side and absent on the other, which counts as a change",
        }
    }
}

/// The differences between two lists whose entries have the keys that `key` says: removed ones first, then new and changed
/// ones in the order of `new`.
pub(super) fn differences<'a, V: PartialEq>(
    old: Option<&'a [V]>,
    new: Option<&'a [V]>,
    key: impl Fn(&'a V) -> &'a str,
) -> Vec<Difference<'a>> {
    if old == new {
        return Vec::new();
    }
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    let before: HashMap<&str, &V> = old.iter().map(|entry| (key(entry), entry)).collect();
    let after: HashMap<&str, &V> = new.iter().map(|entry| (key(entry), entry)).collect();
    let removed = old
        .iter()
        .map(&key)
        .filter(|key| !after.contains_key(key))
        .map(Difference::Removed);
    let others = new.iter().filter_map(|entry| {
        let key = key(entry);
        match before.get(key) {
            None => Some(Difference::Added(key)),
            Some(old) if *old != entry => Some(Difference::Changed(key)),
            Some(_) => None,
        }
    });
    let found: Vec<_> = removed.chain(others).collect();
    match (found.is_empty(), old.is_empty() && new.is_empty()) {
        (true, true) => vec![Difference::Emptiness],
        (true, false) => vec![Difference::Order],
        (false, _) => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_differ_by_entry() {
        let pair = |old: &'static [&'static str], new: &'static [&'static str]| {
            differences(Some(old), Some(new), |text| *text)
        };
        assert_eq!(pair(&["a", "b"], &["a", "b"]), []);
        assert_eq!(pair(&["a", "b"], &["b", "a"]), [Difference::Order]);
        assert_eq!(
            pair(&["a", "b"], &["c", "b"]),
            [Difference::Removed("a"), Difference::Added("c")]
        );
        assert_eq!(
            differences(Some(&[]), None, |text: &&str| *text),
            [Difference::Emptiness]
        );
        let (old, new) = ([("g", None)], [("g", Some(7))]);
        assert_eq!(
            differences(Some(&old), Some(&new), |(name, _)| *name),
            [Difference::Changed("g")]
        );
    }
}
