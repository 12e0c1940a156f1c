//! How two lists differ, entry by entry.

use std::collections::HashMap;

use serde_json::Value;

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
pub(super) fn differences<'a>(
    old: Option<&'a Value>,
    new: Option<&'a Value>,
    key: impl Fn(&'a Value) -> &'a str,
) -> Vec<Difference<'a>> {
    if old == new {
        return Vec::new();
    }
    let entries = |list: Option<&'a Value>| list.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let (old, new) = (entries(old), entries(new));
    let before: HashMap<&str, &Value> = old.iter().map(|entry| (key(entry), entry)).collect();
    let after: HashMap<&str, &Value> = new.iter().map(|entry| (key(entry), entry)).collect();
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
    use serde_json::json;

    #[test]
    fn lists_differ_by_entry() {
        let text = |value: &'static Value| value.as_str().unwrap_or_default();
        let leak = |value: Value| -> &'static Value { Box::leak(Box::new(value)) };
        let pair = |old: Value, new: Value| differences(Some(leak(old)), Some(leak(new)), text);
        assert_eq!(pair(json!(["a", "b"]), json!(["a", "b"])), []);
        assert_eq!(pair(json!(["a", "b"]), json!(["b", "a"])), [Difference::Order]);
        assert_eq!(
            pair(json!(["a", "b"]), json!(["c", "b"])),
            [Difference::Removed("a"), Difference::Added("c")]
        );
        assert_eq!(
            differences(Some(leak(json!([]))), None, text),
            [Difference::Emptiness]
        );
        let name = |value: &'static Value| value["name"].as_str().unwrap_or_default();
        let (old, new) = (
            leak(json!([{ "name": "g" }])),
            leak(json!([{ "name": "g", "gid": 7 }])),
        );
        assert_eq!(
            differences(Some(old), Some(new), name),
            [Difference::Changed("g")]
        );
    }
}
