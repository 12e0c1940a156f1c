//! A value read as an object of its kind: lists taken apart, Go's leniencies, the field at fault.

use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};

use super::Object;
use crate::MachineConfig;

/// Fields directly under `spec` whose content is not ours: nulls in them are kept.
const RAW_SPEC_FIELDS: [&str; 6] = [
    "config",
    "kubeletConfig",
    "infra",
    "dns",
    "unsupportedConfigOverrides",
    "observedConfig",
];

/// Most nested `List` objects.
const MAX_LIST_DEPTH: usize = 8;

/// One step from a node to a node below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// Into a mapping.
    Key(String),
    /// Into a list, from 0.
    Index(usize),
}

/// An object of a document, and where in the document it is: at the top, or inside a list.
pub(super) struct Item {
    pub(super) path: Vec<Segment>,
    pub(super) value: Value,
}

/// Why a value is no object, or not one of its kind.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DecodeError {
    /// The node at fault, from the object's top.
    pub(super) path: Vec<Segment>,
    /// `Kind/name` as far as known.
    pub(super) object: Option<String>,
    pub(super) message: String,
}

/// The objects of a document: the value itself, or the items of a `List`, however deep. Items of a
/// typed list (`MachineConfigList`) may leave out what its kind says.
pub(super) fn items(value: Value) -> Vec<Item> {
    let mut items = Vec::new();
    flatten(value, Vec::new(), &mut items);
    items
}

fn flatten(mut value: Value, path: Vec<Segment>, items: &mut Vec<Item>) {
    let kind = text(&value, "kind").to_owned();
    let element_kind = kind
        .strip_suffix("List")
        .filter(|_| path.len() < 2 * MAX_LIST_DEPTH);
    let (Some(element_kind), Some(Value::Array(list))) = (element_kind, value.get_mut("items")) else {
        items.push(Item { path, value });
        return;
    };
    let list = std::mem::take(list);
    let api_version = text(&value, "apiVersion").to_owned();
    for (index, mut element) in list.into_iter().enumerate() {
        if let (Value::Object(element), false) = (&mut element, element_kind.is_empty()) {
            element.entry("kind").or_insert_with(|| element_kind.into());
            element
                .entry("apiVersion")
                .or_insert_with(|| api_version.as_str().into());
        }
        let mut path = path.clone();
        path.extend([Segment::Key("items".to_owned()), Segment::Index(index)]);
        flatten(element, path, items);
    }
}

/// Reads one object, with the paths of the fields that its kind does not have. A null is no object.
pub(super) fn object(value: Value) -> Result<Option<(Object, Vec<String>)>, DecodeError> {
    let mut value = match value {
        Value::Null => return Ok(None),
        Value::Object(_) => value,
        other => {
            return Err(DecodeError::new(
                &[],
                None,
                format!("expected an object, found {}", found(&other)),
            ));
        }
    };
    let (api_version, kind) = type_of(&value)?;
    let name = value
        .get("metadata")
        .map(|metadata| text(metadata, "name"))
        .unwrap_or_default()
        .to_owned();
    let identity = if name.is_empty() {
        kind.clone()
    } else {
        format!("{kind}/{name}")
    };
    normalise(&mut value);
    let decode: Decode = match (api_version.as_str(), kind.as_str()) {
        ("machineconfiguration.openshift.io/v1", "MachineConfig") => {
            |value| typed::<MachineConfig>(value, Object::MachineConfig)
        }
        _ => {
            return Ok(Some((
                Object::Unknown {
                    api_version,
                    kind,
                    name,
                },
                Vec::new(),
            )));
        }
    };
    if name.is_empty() && value.pointer("/metadata/name").is_none_or(Value::is_string) {
        let message = "metadata.name is missing or empty; give the object a name".to_owned();
        return Err(DecodeError::new(&["metadata"], Some(identity), message));
    }
    decode(&value).map(Some).map_err(|error| DecodeError {
        object: Some(identity),
        ..error
    })
}

/// Reads a value as an object of one kind.
type Decode = fn(&Value) -> Result<(Object, Vec<String>), DecodeError>;

/// `apiVersion` and `kind`, which every object must have.
fn type_of(value: &Value) -> Result<(String, String), DecodeError> {
    let field = |field: &str| match value.get(field) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(Value::String(_) | Value::Null) | None => Err(DecodeError::new(
            &[],
            None,
            format!("{field} is missing; a Kubernetes object needs apiVersion, kind and metadata.name"),
        )),
        Some(other) => Err(DecodeError::new(
            &[field],
            None,
            format!("{field}: expected a string, found {}", found(other)),
        )),
    };
    let kind = field("kind")?;
    let api_version = field("apiVersion").map_err(|error| DecodeError {
        object: Some(kind.clone()),
        ..error
    })?;
    Ok((api_version, kind))
}

fn typed<T: DeserializeOwned>(
    value: &Value,
    wrap: fn(Box<T>) -> Object,
) -> Result<(Object, Vec<String>), DecodeError> {
    let mut track = serde_path_to_error::Track::new();
    let mut unknown = Vec::new();
    let deserializer = serde_path_to_error::Deserializer::new(value, &mut track);
    let decoded = serde_ignored::deserialize(deserializer, |path| unknown.push(ignored_path(&path)));
    match decoded {
        Ok(object) => Ok((wrap(Box::new(object)), unknown)),
        Err(error) => Err(type_error(value, &segments(&track.path()), &error)),
    }
}

/// Says what was expected and what was found, without the value itself, which may be a secret.
fn type_error(value: &Value, path: &[Segment], error: &serde_json::Error) -> DecodeError {
    let text = error.to_string();
    let node = path.iter().try_fold(value, |node, segment| match segment {
        Segment::Key(key) => node.get(key),
        Segment::Index(index) => node.get(index),
    });
    let problem = match (text.rsplit_once(", expected "), node) {
        (Some((problem, expected)), Some(node)) if problem.starts_with("invalid type") => {
            format!("expected {}, found {}", plain_words(expected), found(node))
        }
        (Some((problem, expected)), Some(_)) if problem.starts_with("invalid value") => {
            format!("the value is out of range, expected {}", plain_words(expected))
        }
        (Some((_, expected)), _) => format!("unknown value, expected {}", plain_words(expected)),
        (None, _) if text.starts_with("missing field") => text,
        (None, _) => "the value cannot be read".to_owned(),
    };
    let message = if path.is_empty() {
        problem
    } else {
        format!("{}: {problem}", path_text(path))
    };
    DecodeError {
        path: path.to_vec(),
        object: None,
        message,
    }
}

/// Serde's words for what it expected, in words for people who write YAML.
fn plain_words(expected: &str) -> &str {
    match expected {
        "a map" => "a mapping",
        "a sequence" => "a list",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not negative",
        "f32" | "f64" => "a number",
        _ if expected.starts_with("struct ") => "a mapping",
        _ => expected,
    }
}

/// The type of a value in words.
fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean (true, yes and on are booleans unless in quotes)",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// `spec.storage.files[0]`; keys with other characters in brackets and quotes.
fn path_text(path: &[Segment]) -> String {
    let mut text = String::new();
    for segment in path {
        let step = match segment {
            Segment::Index(index) => format!("[{index}]"),
            Segment::Key(key) if key.contains(['.', '/', '[', '"']) => format!("[{key:?}]"),
            Segment::Key(key) if text.is_empty() => key.clone(),
            Segment::Key(key) => format!(".{key}"),
        };
        text.push_str(&step);
    }
    text
}

fn segments(path: &serde_path_to_error::Path) -> Vec<Segment> {
    use serde_path_to_error::Segment as Step;
    path.iter()
        .filter_map(|step| match step {
            Step::Seq { index } => Some(Segment::Index(*index)),
            Step::Map { key } => Some(Segment::Key(key.clone())),
            Step::Enum { .. } | Step::Unknown => None,
        })
        .collect()
}

fn ignored_path(path: &serde_ignored::Path<'_>) -> String {
    fn steps(path: &serde_ignored::Path<'_>, out: &mut Vec<Segment>) {
        use serde_ignored::Path;
        match path {
            Path::Root => {}
            Path::Seq { parent, index } => {
                steps(parent, out);
                out.push(Segment::Index(*index));
            }
            Path::Map { parent, key } => {
                steps(parent, out);
                out.push(Segment::Key(key.clone()));
            }
            Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
                steps(parent, out);
            }
        }
    }
    let mut out = Vec::new();
    steps(path, &mut out);
    path_text(&out)
}

/// Makes the value what the reference would take it for: a null field is absent, except in raw
/// fields; a whole number is an integer however it was written; an object without a spec has an
/// empty one.
fn normalise(object: &mut Value) {
    integers(object);
    let Value::Object(object) = object else { return };
    drop_nulls(object, |field, value| {
        if let ("spec", Value::Object(spec)) = (field, &mut *value) {
            drop_nulls(spec, |field, value| {
                if !RAW_SPEC_FIELDS.contains(&field) {
                    drop_all_nulls(value);
                }
            });
        } else {
            drop_all_nulls(value);
        }
    });
    object.entry("spec").or_insert_with(|| Value::Object(Map::new()));
}

fn drop_nulls(map: &mut Map<String, Value>, mut each: impl FnMut(&str, &mut Value)) {
    map.retain(|_, value| !value.is_null());
    for (field, value) in map {
        each(field, value);
    }
}

fn drop_all_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => drop_nulls(map, |_, value| drop_all_nulls(value)),
        Value::Array(list) => list.iter_mut().for_each(drop_all_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn integers(value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(integers),
        Value::Array(list) => list.iter_mut().for_each(integers),
        Value::Number(number) => {
            if let Some(integer) = integer(number) {
                *value = Value::Number(integer);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// The integer that a float stands for, if it is a whole number that a float holds exactly.
fn integer(number: &Number) -> Option<Number> {
    /// 2^53: up to here every whole number has its own float.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let float = number.as_f64().filter(|_| number.is_f64())?;
    if float.fract() != 0.0 || float.abs() > EXACT {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked to be whole and within 2^53"
    )]
    Some(Number::from(float as i64))
}

/// A string field of a mapping; empty when it is not there.
fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

// === impl DecodeError ===

impl DecodeError {
    fn new(path: &[&str], object: Option<String>, message: String) -> Self {
        let path = path.iter().map(|key| Segment::Key((*key).to_owned())).collect();
        Self {
            path,
            object,
            message,
        }
    }
}
