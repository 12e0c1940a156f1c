//! Reading: JSON text or value into a tree that fits the key table, with every fault collected.
//!
//! The rules are those of Go's JSON decoder, by which the reference reads: keys in any letter case,
//! `null` is absence, numbers of integer fields are written as integers.

mod version;

use serde_json::{Map as JsonMap, Number, Value as Json};

use crate::path::Path;
use crate::problem::{Kind as Fault, Problem, Severity};
use crate::schema::{Field, Kind, Object, Presence, v3};
use crate::tree::{Map, Value};
use crate::version::Spec;
use crate::{Config, Invalid, Parsed, translate, validate};

/// How much of a config is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validation {
    /// Everything.
    Full,
    /// Version and types only.
    None,
}

/// The JSON value of a config's text.
pub(crate) fn json(text: &[u8]) -> Result<Json, Invalid> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(refused(
            Fault::Syntax,
            "the config is empty: write at least its ignition.version".to_owned(),
        ));
    }
    serde_json::from_slice(text).map_err(|error| refused(Fault::Syntax, format!("not JSON: {error}")))
}

/// Reads a config: version, types, validation at its version, translation up.
pub(crate) fn config(value: &Json, validation: Validation) -> Result<Parsed, Invalid> {
    let spec = version::declared(value)?;
    let (config, problems) = if spec.is_v2() {
        translate::v2::read(value, spec, validation)
    } else {
        let (map, mut problems) = read(&v3::CONFIG, spec, value);
        if validation == Validation::Full && !is_refused(&problems) {
            problems.extend(validate::check(&v3::CONFIG, spec, &map));
            problems.extend(translate::check_up(&map, spec));
        }
        (map, problems)
    };
    if is_refused(&problems) {
        return Err(Invalid { problems });
    }
    Ok(Parsed {
        config: Config::from_map(config),
        declared: spec.to_string(),
        warnings: problems,
    })
}

/// Whether an error is among the problems.
pub(crate) fn is_refused(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

fn refused(kind: Fault, message: String) -> Invalid {
    Invalid {
        problems: vec![Problem {
            path: Path::Root.to_string(),
            kind,
            severity: Severity::Error,
            message,
        }],
    }
}

/// Reads `value` as an object of the table at `spec`.
///
/// What does not fit is left out of the result and reported: as an error when of the wrong type, as a
/// warning when the key is unknown or newer than `spec`.
pub(crate) fn read(object: &'static Object, spec: Spec, value: &Json) -> (Map, Vec<Problem>) {
    let mut reader = Reader {
        spec,
        problems: Vec::new(),
    };
    let map = match value {
        Json::Object(map) => reader.object(object, map, &Path::Root),
        Json::Null => Map::new(),
        other => {
            reader.wrong_type(&Path::Root, "an object", other);
            Map::new()
        }
    };
    (map, reader.problems)
}

struct Reader {
    spec: Spec,
    problems: Vec<Problem>,
}

impl Reader {
    fn object(&mut self, object: &'static Object, map: &JsonMap<String, Json>, path: &Path<'_>) -> Map {
        let mut out = Map::with_capacity(map.len());
        for (key, value) in map {
            let Some(field) = self.known(object, key, map, path) else {
                continue;
            };
            if let Some(value) = self.field(field, value, &path.field(field.name)) {
                out.insert(field.name, value);
            }
        }
        for field in object.fields {
            if field.presence == Presence::Always && field.since <= self.spec && !out.contains_key(field.name)
            {
                out.insert(field.name, zero(field.kind));
            }
        }
        out
    }

    /// The field of a key, unless it is to be dropped, which is said.
    fn known(
        &mut self,
        object: &'static Object,
        key: &str,
        map: &JsonMap<String, Json>,
        path: &Path<'_>,
    ) -> Option<&'static Field> {
        let field = object.field(key);
        let dropped = match field {
            None => format!("no version knows this key of {}: ignored", object.name),
            Some(field) if field.since > self.spec => {
                let (since, spec) = (field.since, self.spec);
                format!("known only from version {since} on, ignored: the config declares {spec}")
            }
            Some(field) if key != field.name && map.contains_key(field.name) => {
                format!("ignored in favour of {:?}", field.name)
            }
            Some(_) => return field,
        };
        self.warn(&path.field(key), dropped);
        None
    }

    /// The value of a field; `None` when it is absent, or not of its type.
    fn field(&mut self, field: &'static Field, value: &Json, path: &Path) -> Option<Value> {
        if value.is_null() {
            return None;
        }
        let read = match (field.kind, value) {
            (Kind::Text, Json::String(text)) => Value::from(text.as_str()),
            (Kind::Bool, Json::Bool(set)) => Value::Bool(*set),
            (Kind::Int, Json::Number(number)) => self.integer(number, path)?,
            (Kind::Object(object), Json::Object(map)) => Value::Object(self.object(object, map, path)),
            (Kind::Texts(_), Json::Array(items)) => Value::Array(self.texts(items, path)),
            (Kind::Objects(object, _), Json::Array(items)) => Value::Array(self.objects(object, items, path)),
            (
                Kind::Text | Kind::Int | Kind::Bool | Kind::Object(_) | Kind::Texts(_) | Kind::Objects(..),
                _,
            ) => {
                self.wrong_type(path, expected(field.kind), value);
                return None;
            }
        };
        (field.presence != Presence::NonZero || !is_zero(&read)).then_some(read)
    }

    fn texts(&mut self, items: &[Json], path: &Path) -> Vec<Value> {
        let mut out = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            match item {
                Json::String(text) => out.push(Value::from(text.as_str())),
                Json::Null => out.push(Value::from("")),
                other => self.wrong_type(&path.index(i), "a string", other),
            }
        }
        out
    }

    fn objects(&mut self, object: &'static Object, items: &[Json], path: &Path) -> Vec<Value> {
        let mut out = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            match item {
                Json::Object(map) => out.push(Value::Object(self.object(object, map, &path.index(i)))),
                Json::Null => out.push(Value::Object(self.object(
                    object,
                    &JsonMap::new(),
                    &path.index(i),
                ))),
                other => self.wrong_type(&path.index(i), "an object", other),
            }
        }
        out
    }

    fn integer(&mut self, number: &Number, path: &Path) -> Option<Value> {
        if let Some(number) = number.as_i64() {
            return Some(Value::Number(number));
        }
        let message = if number.is_u64() {
            format!("{number} is out of range, a whole number of 64 bits is needed")
        } else {
            format!("{number} is not a whole number")
        };
        self.problems.push(Problem {
            path: path.to_string(),
            kind: Fault::Type,
            severity: Severity::Error,
            message,
        });
        None
    }

    fn wrong_type(&mut self, path: &Path, expected: &str, found: &Json) {
        let hint = match (expected, found) {
            ("a whole number", Json::String(_)) => {
                ": write it without quotes, and a mode in decimal (0644 is 420)"
            }
            ("a boolean", Json::String(_)) => ": write true or false without quotes",
            (_, _) => "",
        };
        self.problems.push(Problem {
            path: path.to_string(),
            kind: Fault::Type,
            severity: Severity::Error,
            message: format!("{expected} is needed, not {}{hint}", type_name(found)),
        });
    }

    fn warn(&mut self, path: &Path, message: String) {
        self.problems.push(Problem {
            path: path.to_string(),
            kind: Fault::UnknownKey,
            severity: Severity::Warning,
            message,
        });
    }
}

/// Whether a value is one that Go would take for never set: zero, or an object of nothing.
pub(crate) fn is_zero(value: &Value) -> bool {
    match value {
        Value::Bool(set) => !set,
        Value::Number(number) => *number == 0,
        Value::String(text) => text.is_empty(),
        // An empty list is not an absent one (`MCO render 2.7`).
        Value::Array(_) => false,
        Value::Object(map) => map.is_empty(),
    }
}

fn zero(kind: Kind) -> Value {
    match kind {
        Kind::Text => Value::from(""),
        Kind::Int => Value::Number(0),
        Kind::Bool => Value::Bool(false),
        Kind::Object(_) => Value::Object(Map::new()),
        Kind::Texts(_) | Kind::Objects(..) => Value::Array(Vec::new()),
    }
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "a string",
        Kind::Int => "a whole number",
        Kind::Bool => "a boolean",
        Kind::Object(_) => "an object",
        Kind::Texts(_) => "a list of strings",
        Kind::Objects(..) => "a list of objects",
    }
}

fn type_name(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}
