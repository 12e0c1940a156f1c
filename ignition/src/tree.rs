//! The tree a config is held as: JSON values, in a form that stays small however many configs are merged.
//!
//! A map of `serde_json` takes some 600 bytes for its first key, and every key is a string of its own. Of thousands of files that is
//! more than the caches of a processor hold, and each walk over them waits for memory. Here keys are those of the key table, which
//! are not copied, and an object is one list.

/// A value of a config. As JSON, without `null`, and numbers are whole.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// A text.
    String(Box<str>),
    /// A list.
    Array(Vec<Value>),
    /// An object.
    Object(Map),
}

/// The fields of an object.
///
/// Invariant: sorted by key, each key once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Map {
    fields: Vec<(&'static str, Value)>,
}

// === impl Value ===

impl Default for Value {
    /// An object of nothing.
    fn default() -> Self {
        Value::Object(Map::new())
    }
}

impl Value {
    /// The value of a key, when this is an object that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_object()?.get(key)
    }

    /// As [`Value::get`], to be changed.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.as_object_mut()?.get_mut(key)
    }

    /// The text of a key; empty when there is none.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        self.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// The entries of the list of a key; none when there is no such list.
    #[must_use]
    pub fn list(&self, key: &str) -> &[Value] {
        self.get(key).and_then(Value::as_array).unwrap_or_default()
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Number(number) => Some(*number),
            Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The boolean, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(set) => Some(*set),
            Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The entries, if it is a list.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) => Some(items),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => None,
        }
    }

    /// As [`Value::as_object`], to be changed.
    pub(crate) fn as_object_mut(&mut self) -> Option<&mut Map> {
        match self {
            Value::Object(map) => Some(map),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        }
    }

    /// The fields, if it is an object.
    #[must_use]
    pub fn as_object(&self) -> Option<&Map> {
        match self {
            Value::Object(map) => Some(map),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        }
    }

    /// The value as one of `serde_json`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Bool(set) => serde_json::Value::Bool(*set),
            Value::Number(number) => serde_json::Value::from(*number),
            Value::String(text) => serde_json::Value::from(&**text),
            Value::Array(items) => items.iter().map(Value::to_json).collect(),
            Value::Object(map) => map.to_json(),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.into())
    }
}

// === impl Map ===

impl Map {
    /// An object of nothing.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// An object of nothing, with room for so many fields and no more.
    pub(crate) fn with_capacity(fields: usize) -> Self {
        Self {
            fields: Vec::with_capacity(fields),
        }
    }

    /// Where a key is, or would be.
    fn place(&self, key: &str) -> Result<usize, usize> {
        // Few fields, and mostly the very string of the table: faster than halving.
        match self.fields.iter().position(|(known, _)| *known >= key) {
            Some(at) if self.fields[at].0 == key => Ok(at),
            Some(at) => Err(at),
            None => Err(self.fields.len()),
        }
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        let field = self.fields.iter().find(|(known, _)| *known == key);
        field.map(|(_, value)| value)
    }

    /// As [`Map::get`], to be changed.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        let field = self.fields.iter_mut().find(|(known, _)| *known == key);
        field.map(|(_, value)| value)
    }

    /// Whether it has a key.
    #[must_use]
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Whether it has no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// How many fields it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// The fields, sorted by key.
    #[must_use]
    pub fn as_slice(&self) -> &[(&'static str, Value)] {
        &self.fields
    }

    /// The fields, sorted by key.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'static str, &Value)> {
        self.fields.iter().map(|(key, value)| (*key, value))
    }

    /// The entries of a list of a section, such as `storage` and `files`; none when there is no such list.
    #[must_use]
    pub fn list(&self, section: &str, key: &str) -> &[Value] {
        self.get(section)
            .map(|section| section.list(key))
            .unwrap_or_default()
    }

    /// The keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.fields.iter().map(|(key, _)| *key)
    }

    /// The object as a value of `serde_json`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let fields = self.iter().map(|(key, value)| (key.to_owned(), value.to_json()));
        serde_json::Value::Object(fields.collect())
    }

    /// Sets a field.
    pub(crate) fn insert(&mut self, key: &'static str, value: Value) {
        match self.place(key) {
            Ok(at) => self.fields[at].1 = value,
            Err(at) => self.fields.insert(at, (key, value)),
        }
    }

    /// The value of a key, set to `value` if there is none.
    pub(crate) fn or_insert_with(&mut self, key: &'static str, value: impl FnOnce() -> Value) -> &mut Value {
        let at = self.place(key).unwrap_or_else(|at| {
            self.fields.insert(at, (key, value()));
            at
        });
        &mut self.fields[at].1
    }

    /// Keeps the fields that `keep` says yes to, which may change them.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&'static str, &mut Value) -> bool) {
        self.fields.retain_mut(|(key, value)| keep(key, value));
    }

    /// Takes a field out.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.place(key).ok()?;
        Some(self.fields.remove(at).1)
    }
}

impl Extend<(&'static str, Value)> for Map {
    fn extend<T: IntoIterator<Item = (&'static str, Value)>>(&mut self, fields: T) {
        for (key, value) in fields {
            self.insert(key, value);
        }
    }
}

impl IntoIterator for Map {
    type Item = (&'static str, Value);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.fields.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_is_sorted_and_has_each_key_once() {
        let mut map = Map::with_capacity(3);
        for key in ["path", "mode", "user", "append", "mode"] {
            map.insert(key, Value::from(key));
        }
        map.insert("mode", Value::Number(420));
        assert_eq!(map.keys().collect::<Vec<_>>(), ["append", "mode", "path", "user"]);
        assert_eq!(map.get("mode").and_then(Value::as_i64), Some(420));
        assert_eq!(map.get("group"), None);

        assert_eq!(map.remove("group"), None);
        assert_eq!(map.remove("path"), Some(Value::from("path")));
        assert_eq!(
            map.or_insert_with("user", || Value::Bool(true)),
            &Value::from("user")
        );
        assert_eq!(
            map.or_insert_with("group", || Value::Bool(true)),
            &Value::Bool(true)
        );
        map.retain(|key, _| key != "append");
        assert_eq!(map.to_json(), json!({"group": true, "mode": 420, "user": "user"}));
        assert_eq!(map.keys().collect::<Vec<_>>(), ["group", "mode", "user"]);
    }

    #[test]
    fn lists_and_texts_that_are_not_there_are_empty() {
        let mut section = Map::new();
        section.insert("files", Value::Array(vec![Value::from("a")]));
        section.insert("path", Value::from("/p"));
        let mut map = Map::new();
        map.insert("storage", Value::Object(section));
        assert_eq!(map.list("storage", "files"), [Value::from("a")]);
        assert_eq!(map.list("storage", "links"), []);
        assert_eq!(map.list("systemd", "units"), []);
        let storage = map.get("storage").expect("it was set");
        assert_eq!(
            (storage.text("path"), storage.text("files"), storage.text("x")),
            ("/p", "", "")
        );
    }
}
