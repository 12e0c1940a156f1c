//! Lists of a config by the key of their entries, and what is added to a list or removed from it.

use std::collections::BTreeMap;

use ignition::Config;
use ignition::tree::Value;

use super::step::{Aspect, Item};

/// A section of a config, such as `/storage/files`.
pub(super) fn section<'a>(config: &'a Config, pointer: &str) -> Option<&'a Value> {
    config.pointer(pointer)
}

/// Entries of a list by their key, such as the path; of equal keys the last, as in the reference.
pub(super) fn by_key<'a>(list: Option<&'a Value>, key: &str) -> BTreeMap<&'a str, &'a Value> {
    let entries = list.and_then(Value::as_array).into_iter().flatten();
    entries
        .filter_map(|entry| Some((entry.get(key)?.as_str()?, entry)))
        .collect()
}

/// Entries of two lists side by side, by key.
pub(super) fn both<'a>(
    old: Option<&'a Value>,
    new: Option<&'a Value>,
    key: &str,
) -> BTreeMap<&'a str, (Option<&'a Value>, Option<&'a Value>)> {
    let mut pairs: BTreeMap<_, _> = by_key(old, key)
        .into_iter()
        .map(|(key, entry)| (key, (Some(entry), None)))
        .collect();
    for (key, entry) in by_key(new, key) {
        pairs.entry(key).or_insert((None, None)).1 = Some(entry);
    }
    pairs
}

/// The strings of a list; none when it is absent.
pub(super) fn strings<'a>(entry: Option<&'a Value>, key: &str) -> Vec<&'a str> {
    let list = entry.and_then(|entry| entry.get(key)).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// What is added to and removed from a list of strings, repetitions counted, or that only the order changed; nothing when they are
/// equal. `show` makes an item of an entry; its flag says whether the entry is of the new list.
pub(super) fn items(old: &[&str], new: &[&str], show: impl Fn(&str, bool) -> Item) -> Option<Aspect> {
    if old == new {
        return None;
    }
    let removed = without(old, new);
    let added = without(new, old);
    let reordered = without(old, &removed) != without(new, &added);
    Some(Aspect::Items {
        added: added.into_iter().map(|entry| show(entry, true)).collect(),
        removed: removed.into_iter().map(|entry| show(entry, false)).collect(),
        reordered,
    })
}

/// What is left of a list when each entry of another is taken out once.
fn without<'a>(list: &[&'a str], other: &[&str]) -> Vec<&'a str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in other {
        *counts.entry(entry).or_default() += 1;
    }
    let kept = list.iter().filter(|entry| match counts.get_mut(**entry) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    });
    kept.copied().collect()
}
