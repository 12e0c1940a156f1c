//! The key table: every object of the spec, field by field, as data.
//!
//! The table is the merge ([`crate::merge`]), the type check ([`crate::parse`]), the duplicate check
//! ([`crate::validate`]), the key order of the output ([`crate::encode`]) and what an older spec version
//! cannot say ([`crate::translate`]). Fields stand in the order the reference writes them.

pub(crate) mod v2;
pub(crate) mod v3;

use std::borrow::Cow;

use crate::tree::{Map, Value};

use crate::validate::Rule;
use crate::version::Spec;

/// An object of the spec.
#[derive(Debug)]
pub(crate) struct Object {
    /// What a person calls it, with its article.
    pub(crate) name: &'static str,
    /// What tells one item of a list of these from another.
    pub(crate) key: Key,
    /// What must hold of it beyond the types of its fields.
    pub(crate) rule: Rule,
    /// Its fields, in the reference's output order.
    pub(crate) fields: &'static [Field],
}

/// A field of an [`Object`].
#[derive(Debug)]
pub(crate) struct Field {
    /// The JSON key.
    pub(crate) name: &'static str,
    /// What it holds.
    pub(crate) kind: Kind,
    /// Whether it is there when it says nothing.
    pub(crate) presence: Presence,
    /// The first spec version that knows it.
    pub(crate) since: Spec,
    /// The value that says no more than leaving the field out: it may be dropped for an older version.
    pub(crate) neutral: Neutral,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A string.
    Text,
    /// A whole number of 64 bits.
    Int,
    /// A boolean.
    Bool,
    /// An object.
    Object(&'static Object),
    /// A list of strings; a string is its own key.
    Texts(List),
    /// A list of objects, keyed by [`Object::key`].
    Objects(&'static Object, List),
}

/// How the entries of a list meet those of another list when two configs are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    /// One after the other; entries may repeat.
    Append,
    /// Matched by key; a key may occur once.
    Keyed,
    /// As `Keyed`, and the key may occur once in all lists of the object that name the same space.
    Shared(&'static str),
}

/// Whether a field is there when it says nothing (`Ignition spec`, its Go types).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Absent unless set; a set zero value counts. (A Go pointer.)
    Optional,
    /// Always there, with the zero value when it was not set. (A Go value, no `omitempty`.)
    Always,
    /// Absent when zero, even when it was set so. (A Go value with `omitempty`.)
    NonZero,
}

/// The value of a field that an older spec version need not be able to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Neutral {
    /// None but absence.
    Absent,
    /// Absence, an empty string, an empty list, or an object of nothing but such.
    Empty,
    /// Absence or this boolean.
    Bool(bool),
}

/// What tells the entries of a list of objects apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// Never in a keyed list.
    None,
    /// The string of this field, empty when absent.
    Field(&'static str),
    /// `number:<n>` when the number is not zero, else `label:<label>`, else empty.
    Partition,
    /// The name of an HTTP header. One without a value deletes the other side's when merged.
    Header,
}

impl Object {
    const fn new(name: &'static str, key: Key, rule: Rule, fields: &'static [Field]) -> Self {
        Object {
            name,
            key,
            rule,
            fields,
        }
    }

    /// The field of this JSON key: exact spelling first, then any letter case, as Go's decoder does.
    pub(crate) fn field(&self, key: &str) -> Option<&'static Field> {
        let fields: &'static [Field] = self.fields;
        fields
            .iter()
            .find(|f| f.name == key)
            .or_else(|| fields.iter().find(|f| folds_to(key, f.name)))
    }

    /// The key of `item`, an object of this kind.
    pub(crate) fn key_of<'v>(&self, item: &'v Map) -> Cow<'v, str> {
        let text = |name: &str| item.get(name).and_then(Value::as_str);
        match self.key {
            Key::None => Cow::Borrowed(""),
            Key::Field(name) => Cow::Borrowed(text(name).unwrap_or_default()),
            Key::Header => Cow::Borrowed(text("name").unwrap_or_default()),
            Key::Partition => match (item.get("number").and_then(Value::as_i64), text("label")) {
                (Some(number), _) if number != 0 => Cow::Owned(format!("number:{number}")),
                (_, Some(label)) => Cow::Owned(format!("label:{label}")),
                (_, None) => Cow::Borrowed(""),
            },
        }
    }
}

impl Field {
    const fn new(name: &'static str, kind: Kind, presence: Presence) -> Self {
        Field {
            name,
            kind,
            presence,
            since: Spec::V2_0,
            neutral: Neutral::Absent,
        }
    }

    /// An optional scalar.
    const fn optional(name: &'static str, kind: Kind) -> Self {
        Self::new(name, kind, Presence::Optional)
    }

    /// A scalar that is always written.
    const fn always(name: &'static str, kind: Kind) -> Self {
        Self::new(name, kind, Presence::Always)
    }

    /// A scalar that is written when it is not zero.
    const fn nonzero(name: &'static str, kind: Kind) -> Self {
        Self::new(name, kind, Presence::NonZero)
    }

    /// An object; an empty one is the same as none.
    const fn object(name: &'static str, object: &'static Object) -> Self {
        Self::new(name, Kind::Object(object), Presence::NonZero)
    }

    /// A list of strings.
    const fn texts(name: &'static str, list: List) -> Self {
        Self::new(name, Kind::Texts(list), Presence::Optional)
    }

    /// A list of objects.
    const fn objects(name: &'static str, object: &'static Object, list: List) -> Self {
        Self::new(name, Kind::Objects(object, list), Presence::Optional)
    }

    /// Known from `since` on; for an older version it must be absent or `neutral`.
    const fn since(self, since: Spec, neutral: Neutral) -> Self {
        Field {
            since,
            neutral,
            ..self
        }
    }

    /// How the list merges, if the field is one.
    pub(crate) fn list(&self) -> Option<List> {
        match self.kind {
            Kind::Texts(list) | Kind::Objects(_, list) => Some(list),
            Kind::Text | Kind::Int | Kind::Bool | Kind::Object(_) => None,
        }
    }

    /// The key space of a keyed list: the field's own name, unless it shares one.
    pub(crate) fn space(&self) -> Option<&'static str> {
        match self.list()? {
            List::Append => None,
            List::Keyed => Some(self.name),
            List::Shared(space) => Some(space),
        }
    }

    /// The key of an entry of the list.
    pub(crate) fn key_of<'v>(&self, entry: &'v Value) -> Cow<'v, str> {
        match (self.kind, entry) {
            (Kind::Objects(object, _), Value::Object(map)) => object.key_of(map),
            (_, entry) => Cow::Borrowed(entry.as_str().unwrap_or_default()),
        }
    }

    /// Whether the key of an entry may be shown: it is a name, not contents or a text of any kind.
    pub(crate) fn has_plain_keys(&self) -> bool {
        match self.kind {
            Kind::Objects(object, _) => match object.key {
                Key::Field(name) => matches!(name, "path" | "name" | "device"),
                Key::Partition | Key::Header => true,
                Key::None => false,
            },
            Kind::Text | Kind::Int | Kind::Bool | Kind::Object(_) | Kind::Texts(_) => false,
        }
    }

    /// Whether `value` says no more than leaving this field out.
    pub(crate) fn is_neutral(&self, value: &Value) -> bool {
        match self.neutral {
            Neutral::Absent => false,
            Neutral::Empty => says_nothing(value),
            Neutral::Bool(neutral) => value.as_bool() == Some(neutral),
        }
    }
}

/// Whether a value is an empty string, an empty list or an object of nothing but such.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.iter().all(|(_, value)| says_nothing(value)),
        Value::Bool(set) => !set,
        Value::Number(_) => false,
    }
}

/// Whether `key` is `name` in another letter case. Go folds by Unicode's simple folding, by which two
/// characters outside ASCII fold to letters of our names: the long s and the Kelvin sign.
pub(crate) fn folds_to(key: &str, name: &str) -> bool {
    let mut folded = key.chars().map(|c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    });
    name.chars()
        .all(|c| folded.next() == Some(c.to_ascii_lowercase()))
        && folded.next().is_none()
}

#[cfg(test)]
mod tests;
