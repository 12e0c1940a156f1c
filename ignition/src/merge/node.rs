//! An object while it is being merged: its fields taken apart, the entries of its keyed lists indexed.

mod keyed;

use std::collections::HashMap;

use crate::tree::{Map, Value};

use crate::schema::{Kind, List, Object};
use keyed::{Keyed, Place};

/// How a child meets what is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// A file of the child that says nothing of compression has none (`MCO render 2.5`).
    pub(super) overriding: bool,
}

/// An object of the merged config: as it came, or opened because a second one met it.
#[derive(Debug)]
pub(super) enum Part {
    /// As it came.
    Whole(Value),
    /// Taken apart.
    Open(Box<Node>),
}

/// An opened object.
#[derive(Debug)]
pub(super) struct Node {
    object: &'static Object,
    /// One slot per field of the object, in its order.
    slots: Vec<Option<Slot>>,
    /// Where the last entry of a key in its space stands, by the hash of both. It holds no key, so that it stays small when there are
    /// many, and need not read them again when it grows.
    index: HashMap<u64, Place>,
}

/// What a field holds.
#[derive(Debug)]
enum Slot {
    Scalar(Value),
    Object(Part),
    Append(Vec<Value>),
    Keyed(Keyed),
}

impl Part {
    /// Merges a child's object over this one, field by field.
    pub(super) fn merge(&mut self, object: &'static Object, child: Map, rules: Rules) {
        if let Part::Whole(value) = self {
            *self = Part::Open(Box::new(Node::open(object, into_map(std::mem::take(value)))));
        }
        match self {
            Part::Open(node) => node.merge(child, rules),
            Part::Whole(_) => unreachable!("it was opened above"),
        }
    }

    /// The object as a JSON map.
    pub(super) fn close_map(self) -> Map {
        into_map(self.close())
    }

    fn close(self) -> Value {
        match self {
            Part::Whole(value) => value,
            Part::Open(node) => Value::Object(node.close()),
        }
    }

    /// Whether this is an object that says nothing at all, so that a child replaces rather than meets it.
    fn is_void(&self) -> bool {
        match self {
            Part::Whole(_) => false,
            Part::Open(node) => node.slots.iter().all(Option::is_none),
        }
    }
}

fn into_map(value: Value) -> Map {
    match value {
        Value::Object(map) => map,
        // The tree fits the table: where an object is expected, there is one.
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

impl Node {
    fn open(object: &'static Object, mut map: Map) -> Self {
        let slots = object.fields.iter().map(|_| None).collect();
        let mut node = Node {
            object,
            slots,
            index: HashMap::new(),
        };
        for (i, field) in object.fields.iter().enumerate() {
            if let Some(value) = map.remove(field.name) {
                node.put(i, value);
            }
        }
        node
    }

    fn close(self) -> Map {
        let mut map = Map::new();
        for (field, slot) in self.object.fields.iter().zip(self.slots) {
            let value = match slot {
                None => continue,
                Some(Slot::Object(part)) if part.is_void() => continue,
                Some(Slot::Object(part)) => part.close(),
                Some(Slot::Scalar(value)) => value,
                Some(Slot::Append(items)) => Value::Array(items),
                Some(Slot::Keyed(list)) => Value::Array(list.close()),
            };
            map.insert(field.name, value);
        }
        map
    }

    /// Sets a field that is not set.
    fn put(&mut self, i: usize, value: Value) {
        let field = &self.object.fields[i];
        self.slots[i] = Some(match (field.kind, value) {
            (Kind::Object(_), value) => Slot::Object(Part::Whole(value)),
            (Kind::Texts(list) | Kind::Objects(_, list), Value::Array(items)) => {
                match (list, field.space()) {
                    (List::Append, _) | (_, None) => Slot::Append(items),
                    (List::Keyed | List::Shared(_), Some(space)) => return self.put_keyed(i, space, items),
                }
            }
            (_, value) => Slot::Scalar(value),
        });
    }

    fn merge(&mut self, mut child: Map, rules: Rules) {
        let mut arrivals = Vec::new();
        for (i, field) in self.object.fields.iter().enumerate() {
            let value = child.remove(field.name);
            match (field.kind, field.space()) {
                (Kind::Text | Kind::Int | Kind::Bool, _) => {
                    if value.is_some() {
                        self.slots[i] = value.map(Slot::Scalar);
                    }
                }
                (Kind::Object(object), _) => self.merge_object(i, object, value, rules),
                (Kind::Texts(_) | Kind::Objects(..), None) => self.merge_append(i, value),
                (Kind::Texts(_) | Kind::Objects(..), Some(space)) => {
                    self.announce(i, space, value, &mut arrivals);
                }
            }
        }
        self.merge_keyed(arrivals, rules);
    }

    fn merge_object(&mut self, i: usize, object: &'static Object, value: Option<Value>, rules: Rules) {
        match (&mut self.slots[i], value) {
            (Some(Slot::Object(part)), Some(Value::Object(map))) => {
                part.merge(object, map, rules);
                if part.is_void() {
                    self.slots[i] = None;
                }
            }
            (_, Some(value)) => self.put(i, value),
            (_, None) => {}
        }
    }

    fn merge_append(&mut self, i: usize, value: Option<Value>) {
        match (&mut self.slots[i], value) {
            (Some(Slot::Append(items)), Some(Value::Array(more))) => items.extend(more),
            (_, Some(value)) => self.put(i, value),
            (_, None) => {}
        }
        // Two lists of nothing are no list.
        if matches!(&self.slots[i], Some(Slot::Append(items)) if items.is_empty()) {
            self.slots[i] = None;
        }
    }
}
