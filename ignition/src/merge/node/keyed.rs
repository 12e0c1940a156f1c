//! Keyed lists while they are being merged: entries stay in place, and are found by their key.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};

use crate::tree::{Map, Value};

use super::{Node, Part, Rules, Slot, into_map};
use crate::schema::{Key, Kind, Object, v3};

/// A keyed list.
#[derive(Debug, Default)]
pub(super) struct Keyed {
    entries: Vec<Entry>,
    /// How many entries are not gone.
    live: usize,
}

/// An entry of a keyed list.
#[derive(Debug)]
struct Entry {
    /// `None` once the entry is gone; its place stays, so that the others keep theirs.
    part: Option<Part>,
    key: Box<str>,
    /// The next entry of the same hash. Only configs that were not validated have one of the same key in the same space.
    next: Option<Place>,
}

/// Where an entry of a keyed list stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The field, by its position in the object.
    field: usize,
    /// The entry, by its position in the list.
    entry: usize,
}

/// What an entry is found by.
#[derive(Debug, PartialEq, Eq)]
struct Id {
    /// Of the rest.
    hash: u64,
    space: &'static str,
    key: Box<str>,
}

impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// An entry of a child's keyed list.
pub(super) struct Arrival {
    field: usize,
    id: Id,
    value: Value,
    /// Whether the parent's same list has this key.
    known: bool,
}

impl Keyed {
    /// The entries that are not gone.
    pub(super) fn close(self) -> Vec<Value> {
        self.entries
            .into_iter()
            .filter_map(|entry| entry.part)
            .map(Part::close)
            .collect()
    }
}

impl Node {
    /// Sets a keyed list that is not set.
    pub(super) fn put_keyed(&mut self, i: usize, space: &'static str, items: Vec<Value>) {
        self.slots[i] = Some(Slot::Keyed(Keyed::default()));
        for item in items {
            let id = self.id(i, space, &item);
            self.push(i, id, item);
        }
    }

    fn id(&self, i: usize, space: &'static str, item: &Value) -> Id {
        let key = self.object.fields[i].key_of(item);
        Id {
            hash: self.index.hasher().hash_one((space, &key)),
            space,
            key: key.into(),
        }
    }

    /// Appends an entry to a keyed list.
    fn push(&mut self, field: usize, id: Id, value: Value) {
        let slot = self.slots[field].get_or_insert_with(|| Slot::Keyed(Keyed::default()));
        let Slot::Keyed(list) = slot else {
            unreachable!("the table says the field is a keyed list")
        };
        let place = Place {
            field,
            entry: list.entries.len(),
        };
        list.entries.push(Entry {
            part: Some(Part::Whole(value)),
            key: id.key,
            next: self.index.insert(id.hash, place),
        });
        list.live += 1;
    }

    fn entry(&mut self, place: Place) -> &mut Entry {
        match &mut self.slots[place.field] {
            Some(Slot::Keyed(list)) => &mut list.entries[place.entry],
            _ => unreachable!("the index holds places of keyed lists only"),
        }
    }

    /// Notes the entries of a child's keyed list.
    pub(super) fn announce(
        &mut self,
        i: usize,
        space: &'static str,
        value: Option<Value>,
        arrivals: &mut Vec<Arrival>,
    ) {
        let items = match value {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        };
        let is_empty = match &self.slots[i] {
            Some(Slot::Keyed(list)) => list.live == 0,
            _ => true,
        };
        // Two lists of nothing are no list.
        if is_empty && items.is_empty() {
            self.slots[i] = None;
        }
        for value in items {
            let id = self.id(i, space, &value);
            let known = self.has(i, &id);
            arrivals.push(Arrival {
                field: i,
                id,
                value,
                known,
            });
        }
    }

    /// Whether the list has an entry of this key.
    fn has(&mut self, field: usize, id: &Id) -> bool {
        let mut next = self.index.get(&id.hash).copied();
        while let Some(place) = next {
            if place.field == field && self.is(place, id) {
                return true;
            }
            next = self.entry(place).next;
        }
        false
    }

    /// Whether the entry there is of this key in this space.
    fn is(&mut self, place: Place, id: &Id) -> bool {
        self.object.fields[place.field].space() == Some(id.space) && self.entry(place).key == id.key
    }

    /// Takes the entries of a key out of the index. Those of other keys with the same hash stay.
    fn take(&mut self, id: &Id) -> Vec<Place> {
        let mut next = self.index.remove(&id.hash);
        let (mut taken, mut others) = (Vec::new(), Vec::new());
        while let Some(place) = next {
            next = self.entry(place).next.take();
            if self.is(place, id) {
                taken.push(place);
            } else {
                others.push(place);
            }
        }
        self.link(id.hash, &others);
        taken
    }

    /// Puts entries into the index, which stay in their order.
    fn link(&mut self, hash: u64, places: &[Place]) {
        for place in places.iter().rev() {
            self.entry(*place).next = self.index.insert(hash, *place);
        }
    }

    /// Merges a child's keyed lists: an entry meets the parent's of the same key in the same list in
    /// place, removes the parent's in another list of the space, and is appended when the list has none.
    pub(super) fn merge_keyed(&mut self, arrivals: Vec<Arrival>, rules: Rules) {
        // When the child has a key twice, which only an unvalidated one has, its last entry counts.
        let last: HashMap<&Id, usize> = (arrivals.iter().enumerate())
            .map(|(i, arrival)| (&arrival.id, i))
            .collect();
        let counts: Vec<bool> = (arrivals.iter().enumerate())
            .map(|(i, arrival)| last.get(&arrival.id) == Some(&i))
            .collect();
        let mut fresh = Vec::new();
        for (mut arrival, counts) in arrivals.into_iter().zip(counts) {
            // An unknown one may still meet entries of the space's other lists.
            if counts && arrival.known {
                self.settle(&mut arrival, rules);
            } else if counts {
                self.displace(&arrival);
            }
            if !arrival.known {
                fresh.push(arrival);
            }
        }
        for arrival in fresh {
            self.push(arrival.field, arrival.id, arrival.value);
        }
    }

    /// Lets an arrival meet the parent's entries of its key.
    fn settle(&mut self, arrival: &mut Arrival, rules: Rules) {
        let deletes = self.deletes(arrival);
        let taken = self.take(&arrival.id).into_iter();
        let (met, gone): (Vec<Place>, Vec<Place>) =
            taken.partition(|place| place.field == arrival.field && !deletes);
        for place in gone {
            self.bury(place);
        }
        self.link(arrival.id.hash, &met);
        // A string that meets itself stays what it is.
        if let Kind::Objects(object, _) = self.object.fields[arrival.field].kind {
            self.meet(object, &met, into_map(std::mem::take(&mut arrival.value)), rules);
        }
    }

    /// Merges a child's object into each of the entries.
    fn meet(&mut self, object: &'static Object, met: &[Place], mut child: Map, rules: Rules) {
        if rules.overriding && std::ptr::eq(object, &raw const v3::FILE) {
            uncompress(&mut child);
        }
        for (i, place) in met.iter().enumerate() {
            let is_last = i + 1 == met.len();
            let map = if is_last {
                std::mem::take(&mut child)
            } else {
                child.clone()
            };
            if let Some(part) = &mut self.entry(*place).part {
                part.merge(object, map, rules);
            }
        }
    }

    /// Removes the parent's entries of an arrival's key, which all stand in other lists of its space.
    fn displace(&mut self, arrival: &Arrival) {
        for place in self.take(&arrival.id) {
            self.bury(place);
        }
    }

    /// Whether an arrival deletes what it meets: an HTTP header without a value.
    fn deletes(&self, arrival: &Arrival) -> bool {
        match (self.object.fields[arrival.field].kind, &arrival.value) {
            (Kind::Objects(object, _), Value::Object(map)) => {
                object.key == Key::Header && !map.contains_key("value")
            }
            _ => false,
        }
    }

    fn bury(&mut self, place: Place) {
        if let Some(Slot::Keyed(list)) = &mut self.slots[place.field] {
            list.entries[place.entry].part = None;
            list.live -= 1;
        }
    }
}

/// Says of a file that it is not compressed, unless it says something itself.
fn uncompress(file: &mut Map) {
    let contents = file.or_insert_with("contents", Value::default);
    if let Value::Object(contents) = contents {
        contents.or_insert_with("compression", || Value::from(""));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_hash_are_told_apart() {
        let Some(Kind::Object(storage)) = v3::CONFIG.field("storage").map(|field| field.kind) else {
            panic!("storage is an object")
        };
        let id = |key: &str| Id {
            hash: 7,
            space: "node",
            key: key.into(),
        };
        let field = |name: &str| {
            let at = storage.fields.iter().position(|field| field.name == name);
            at.expect("the table has it")
        };
        let (files, links) = (field("files"), field("links"));
        let mut node = Node::open(storage, Map::new());
        for (field, key) in [(files, "/a"), (links, "/b"), (files, "/c")] {
            node.push(field, id(key), Value::default());
        }
        assert!(node.has(files, &id("/a")) && node.has(links, &id("/b")) && node.has(files, &id("/c")));
        assert!(!node.has(links, &id("/a")) && !node.has(files, &id("/d")));

        let taken = node.take(&id("/b"));
        let places: Vec<_> = taken.iter().map(|place| (place.field, place.entry)).collect();
        assert_eq!(places, [(links, 0)]);
        assert!(node.has(files, &id("/a")) && !node.has(links, &id("/b")) && node.has(files, &id("/c")));
        node.link(7, &taken);
        assert!(node.has(files, &id("/a")) && node.has(links, &id("/b")) && node.has(files, &id("/c")));
    }
}
