//! What a JSON value is, in whatever form it is held: as one of `serde_json`, or as the tree of a config.

use std::{iter, slice};

use ignition::tree;
use serde_json::{Map, Number, Value, map};

/// A JSON value.
pub(crate) trait Tree: Sized + 'static {
    /// The fields of an object, sorted by key.
    type Fields<'a>: ExactSizeIterator<Item = (&'a str, Shape<'a, Self>)>;

    /// What it is.
    fn shape(&self) -> Shape<'_, Self>;
}

/// What a JSON value is.
pub(crate) enum Shape<'a, T: Tree> {
    Null,
    Bool(bool),
    Whole(i64),
    Number(&'a Number),
    Text(&'a str),
    List(&'a [T]),
    Object(T::Fields<'a>),
}

impl Tree for Value {
    type Fields<'a> = iter::Map<map::Iter<'a>, fn((&'a String, &'a Value)) -> (&'a str, Shape<'a, Value>)>;

    fn shape(&self) -> Shape<'_, Self> {
        match self {
            Value::Null => Shape::Null,
            Value::Bool(set) => Shape::Bool(*set),
            Value::Number(number) => Shape::Number(number),
            Value::String(text) => Shape::Text(text),
            Value::Array(items) => Shape::List(items),
            Value::Object(map) => Shape::Object(fields(map)),
        }
    }
}

impl Tree for tree::Value {
    type Fields<'a> = iter::Map<slice::Iter<'a, Field>, fn(&'a Field) -> (&'a str, Shape<'a, tree::Value>)>;

    fn shape(&self) -> Shape<'_, Self> {
        match self {
            tree::Value::Bool(set) => Shape::Bool(*set),
            tree::Value::Number(number) => Shape::Whole(*number),
            tree::Value::String(text) => Shape::Text(text),
            tree::Value::Array(items) => Shape::List(items),
            tree::Value::Object(map) => Shape::of_fields(map),
        }
    }
}

/// A field of an object of a config.
type Field = (&'static str, tree::Value);

impl<'a> Shape<'a, tree::Value> {
    /// Of an object of a config.
    pub(crate) fn of_fields(map: &'a tree::Map) -> Self {
        let field: for<'f> fn(&'f Field) -> (&'f str, Shape<'f, tree::Value>) =
            |(key, value)| (key, value.shape());
        Shape::Object(map.as_slice().iter().map(field))
    }
}

/// The fields of a JSON object.
pub(crate) fn fields(map: &Map<String, Value>) -> <Value as Tree>::Fields<'_> {
    map.iter().map(|(key, value)| (key.as_str(), value.shape()))
}
