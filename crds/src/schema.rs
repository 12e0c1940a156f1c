//! Structural schemas, as a Kubernetes API server wants them, from the Rust types.
//!
//! [`structural`] takes what schemars derives and brings it into the form of an `OpenAPI` v3
//! structural schema. The other functions are pieces that the types name in their attributes.
//! Whatever is not said in an attribute is not in the schema: no default, no null.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

/// In an attribute: the API server keeps a null in this field. Without it a null is dropped.
pub(crate) const NULLABLE: &str = "x-crd-nullable";
/// In an attribute: what the API server puts in when the field is absent.
pub(crate) const DEFAULT: &str = "x-crd-default";

/// Formats that an API server checks or prints by; it ignores the others with a warning.
const KNOWN_FORMATS: [&str; 4] = ["byte", "date-time", "int32", "int64"];

/// A lower-case RFC 1123 subdomain: what names of most objects are. To be used with a length of at
/// most 253.
pub(crate) const SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// The structural schema of a type, nothing referenced, everything in place.
pub(crate) fn structural<T: JsonSchema>() -> JSONSchemaProps {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    tidy(&mut schema);
    serde_json::from_value(schema).expect("what schemars derives from our types is an object schema")
}

/// An object whose content is not ours and is kept as it is.
pub(crate) fn raw_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// Bytes in base64.
pub(crate) fn bytes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "byte" })
}

/// An amount such as `10Gi` or a plain number.
pub(crate) fn quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "pattern": r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
    })
}

/// A CEL rule with the text that a user gets when it does not hold.
pub(crate) fn rule(rule: &str, message: &str) -> Value {
    json!({ "rule": rule, "message": message })
}

/// The rules of a reference to an image by its digest. Any number of path components is allowed
/// (the reference stops at two) and the host may be a single word such as `localhost`.
pub(crate) fn image_digest() -> Value {
    json!([
        rule(
            "self.matches('@sha256:[a-f0-9]{64}$')",
            "the image must be given by digest: it must end in @sha256: and 64 lower-case hexadecimal digits",
        ),
        rule(
            r"self.matches('^[a-zA-Z0-9-]+(\\.[a-zA-Z0-9-]+)*(:[0-9]{2,5})?(/[a-zA-Z0-9._-]*)+@[^@]*$')",
            "the image must have the form host[:port][/path]/name@sha256:digest",
        ),
    ])
}

/// The rules of a unit's name. Instances of templates (`a@b.service`) are allowed, which the
/// reference refuses.
pub(crate) fn unit_name() -> Value {
    json!([
        rule(
            r"self.matches('\\.(service|socket|device|mount|automount|swap|target|path|timer|snapshot|slice|scope)$')",
            "a unit's name must end in .service, .socket, .device, .mount, .automount, .swap, .target, .path, \
             .timer, .snapshot, .slice or .scope",
        ),
        rule(
            r"self.matches('^[a-zA-Z0-9:._@\\\\-]+\\..')",
            "a unit's name must consist of letters, digits and the characters : . _ @ \\ - before its suffix",
        ),
    ])
}

/// Brings one node, and all below it, into structural form.
fn tidy(node: &mut Value) {
    let Value::Object(node) = node else { return };
    merge_optional(node);
    merge_variants(node);
    if let Some(Value::Array(types)) = node.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [kind] = types.as_slice() {
            let kind = kind.clone();
            node.insert("type".to_owned(), kind);
        }
    }
    if node
        .get("format")
        .is_some_and(|format| !KNOWN_FORMATS.iter().any(|known| format == known))
    {
        node.remove("format");
    }
    for key in ["title", "$schema", "default"] {
        node.remove(key);
    }
    for (marker, keyword) in [(NULLABLE, "nullable"), (DEFAULT, "default")] {
        if let Some(value) = node.remove(marker) {
            node.insert(keyword.to_owned(), value);
        }
    }
    if let Some(Value::String(text)) = node.get_mut("description") {
        *text = reflow(text);
    }
    for key in ["items", "additionalProperties"] {
        node.get_mut(key).into_iter().for_each(tidy);
    }
    if let Some(Value::Object(properties)) = node.get_mut("properties") {
        properties.values_mut().for_each(tidy);
    }
}

/// `Option<T>` is T: whether a null is kept is said by [`NULLABLE`] alone.
fn merge_optional(node: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = node.get("anyOf") else {
        return;
    };
    let [Value::Object(inner), null] = choices.as_slice() else {
        return;
    };
    if *null != json!({ "type": "null" }) {
        return;
    }
    let inner = inner.clone();
    node.remove("anyOf");
    for (key, value) in inner {
        node.entry(key).or_insert(value);
    }
}

/// An enumeration whose variants have descriptions is a string with a list of values.
fn merge_variants(node: &mut Map<String, Value>) {
    let Some(Value::Array(variants)) = node.get("oneOf") else {
        return;
    };
    let values = variants
        .iter()
        .map(|variant| variant.get("const").cloned())
        .collect::<Option<Vec<_>>>();
    if let Some(values) = values {
        node.remove("oneOf");
        node.insert("type".to_owned(), "string".into());
        node.insert("enum".to_owned(), Value::Array(values));
    }
}

/// A doc comment as plain text: without the marks for code, and its lines joined to paragraphs,
/// since `kubectl explain` breaks lines itself.
fn reflow(text: &str) -> String {
    text.replace('`', "")
        .split("\n\n")
        .map(|paragraph| paragraph.replace('\n', " "))
        .collect::<Vec<_>>()
        .join("\n\n")
}
