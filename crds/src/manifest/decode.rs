//! A value read as an object of its kind: lists taken apart, Go's leniencies, the field at fault.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Object;
use super::normalise::normalise;
use super::path::{Segment, ignored_path, path_text, segments};

/// Group and version of the kinds that users write.
const MCO: &str = "machineconfiguration.openshift.io/v1";
/// Group and version of the system's own settings.
const OPERATOR: &str = "operator.openshift.io/v1";

/// Most nested `List` objects.
const MAX_LIST_DEPTH: usize = 8;

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
    check_list(&api_version, &kind, &value)?;
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
    let Some(decode) = decoder(&api_version, &kind) else {
        let value = Box::new(value);
        let object = Object::Unknown {
            api_version,
            kind,
            name,
            value,
        };
        return Ok(Some((object, Vec::new())));
    };
    if name.is_empty() && value.pointer("/metadata/name").is_none_or(Value::is_string) {
        let message = "metadata.name is missing or empty; give the object a name".to_owned();
        return Err(DecodeError::new(&["metadata"], Some(identity), message));
    }
    decode(&mut value).map(Some).map_err(|error| DecodeError {
        object: Some(identity),
        ..error
    })
}

/// That what is left of a list is one whose items are no fault: those of a well-formed one were taken out of it.
fn check_list(api_version: &str, kind: &str, value: &Value) -> Result<(), DecodeError> {
    let Some(element) = kind.strip_suffix("List") else {
        return Ok(());
    };
    let is_list = (api_version, kind) == ("v1", "List") || decoder(api_version, element).is_some();
    match value.get("items") {
        Some(items) if is_list && !items.is_array() && !items.is_null() => {
            let message = format!("items: expected a list, found {}", found(items));
            Err(DecodeError::new(&["items"], Some(kind.to_owned()), message))
        }
        Some(_) | None => Ok(()),
    }
}

/// Reads a value as an object of one kind.
type Decode = fn(&mut Value) -> Result<(Object, Vec<String>), DecodeError>;

/// How an object of this kind is read, if it is one of ours.
fn decoder(api_version: &str, kind: &str) -> Option<Decode> {
    let decode: Decode = match (api_version, kind) {
        (MCO, "MachineConfig") => machine_config,
        (MCO, "MachineConfigPool") => |value| typed(value, Object::MachineConfigPool),
        (MCO, "ControllerConfig") => |value| typed(value, Object::ControllerConfig),
        (MCO, "KubeletConfig") => |value| typed(value, Object::KubeletConfig),
        (MCO, "ContainerRuntimeConfig") => |value| typed(value, Object::ContainerRuntimeConfig),
        (MCO, "MachineConfigNode") => |value| typed(value, Object::MachineConfigNode),
        (MCO, "PinnedImageSet") => |value| typed(value, Object::PinnedImageSet),
        (OPERATOR, "MachineConfiguration") => |value| typed(value, Object::MachineConfiguration),
        _ => return None,
    };
    Some(decode)
}

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

/// A MachineConfig. Its Ignition config is any value, and may be most of the document: it is moved, not read again.
fn machine_config(value: &mut Value) -> Result<(Object, Vec<String>), DecodeError> {
    let config = value.pointer_mut("/spec/config").map(Value::take);
    let (mut object, unknown) = typed(value, Object::MachineConfig)?;
    if let Object::MachineConfig(object) = &mut object {
        object.spec.config = config.filter(|config| !config.is_null());
    }
    Ok((object, unknown))
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
        Ok(object) => {
            // They have been read already, to know the kind.
            unknown.retain(|path| path != "apiVersion" && path != "kind");
            Ok((wrap(Box::new(object)), unknown))
        }
        Err(error) => Err(type_error(value, &segments(&track.path()), &error)),
    }
}

/// Says what was expected and what was found, without the value itself, which may be a secret.
fn type_error(value: &Value, path: &[Segment], error: &serde_json::Error) -> DecodeError {
    let text = error.to_string();
    let mut path = path.to_vec();
    let missing = text
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next());
    let message = if let Some(field) = missing {
        path.push(Segment::Key(field.to_owned()));
        format!("{} is missing", path_text(&path))
    } else if path.is_empty() {
        problem(&text, value)
    } else {
        let node = path.iter().try_fold(value, |node, segment| match segment {
            Segment::Key(key) => node.get(key),
            Segment::Index(index) => node.get(index),
        });
        format!("{}: {}", path_text(&path), problem(&text, node.unwrap_or(value)))
    };
    DecodeError {
        path,
        object: None,
        message,
    }
}

/// What is wrong with a node, told from what serde says of it.
fn problem(text: &str, node: &Value) -> String {
    let Some((kind, expected)) = text.rsplit_once(", expected ") else {
        return "the text is malformed".to_owned();
    };
    let expected = plain_words(expected);
    if kind.starts_with("invalid type") {
        format!("expected {expected}, found {}", found(node))
    } else if node.is_number() {
        format!("the number is out of range, expected {expected}")
    } else {
        format!("unknown value, expected {expected}")
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
