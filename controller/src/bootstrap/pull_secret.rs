//! The pull secret: that it is one. Nothing of it is ever shown.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crds::manifest;
use machineconfig::finding::Located;
use machineconfig::{Code, Finding, objects};
use serde_json::Value;

use super::input;

/// The type of Secret that holds credentials for registries.
const TYPE: &str = "kubernetes.io/dockerconfigjson";
/// The key they are under.
const KEY: &str = ".dockerconfigjson";
/// How messages call the field.
const FIELD: &str = "data[.dockerconfigjson]";

/// Makes sure that the file at `path` is a Secret with credentials for registries.
pub(super) fn check(path: &Path) -> Result<(), Box<Located>> {
    let file = path.to_string_lossy();
    let text = input::text(path).map_err(|finding| Box::new(input::located(path, finding)))?;
    let secret = manifest::value(&file, &text).map_err(|error| Box::new(objects::malformed(error)))?;
    let refused = |(field, message): (&str, String)| {
        let name = secret
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let object = format!("Secret/{name}");
        Box::new(input::located(
            path,
            Finding::error(Code::PULL_SECRET, object, field, message),
        ))
    };
    credentials(&secret).map_err(refused)
}

/// The field at fault and what is wrong with it.
fn credentials(secret: &Value) -> Result<(), (&'static str, String)> {
    if secret["kind"] != "Secret" || secret["apiVersion"] != "v1" {
        return Err(("kind", "is no Secret of v1".to_owned()));
    }
    if secret["type"] != TYPE {
        return Err(("type", format!("is not {TYPE}")));
    }
    let bytes = match (&secret["data"][KEY], &secret["stringData"][KEY]) {
        (_, Value::String(text)) => text.clone().into_bytes(),
        (Value::String(encoded), _) => STANDARD
            .decode(encoded)
            .map_err(|_| (FIELD, "is not base64".to_owned()))?,
        _ => return Err((FIELD, "is missing".to_owned())),
    };
    // The parser's own words could quote a credential.
    let config: Value =
        serde_json::from_slice(&bytes).map_err(|_| (FIELD, "does not hold JSON".to_owned()))?;
    if config["auths"].is_object() {
        Ok(())
    } else {
        Err((FIELD, "has no auths".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_with_credentials_is_told_from_everything_else() {
        let secret = |data: Value| json!({"apiVersion": "v1", "kind": "Secret", "type": TYPE, "data": data});
        let encoded = |text: &str| json!({KEY: STANDARD.encode(text)});
        let table = [
            (secret(encoded(r#"{"auths": {}}"#)), None),
            (
                json!({"apiVersion": "v1", "kind": "Secret", "type": TYPE, "stringData": {KEY: "{\"auths\": {}}"}}),
                None,
            ),
            (json!({"apiVersion": "v1", "kind": "ConfigMap"}), Some("kind")),
            (Value::Null, Some("kind")),
            (
                json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque"}),
                Some("type"),
            ),
            (secret(json!({})), Some("data[.dockerconfigjson]")),
            (secret(json!({KEY: "***"})), Some("data[.dockerconfigjson]")),
            (secret(encoded("hunter2")), Some("data[.dockerconfigjson]")),
            (secret(encoded("{}")), Some("data[.dockerconfigjson]")),
        ];
        for (value, field) in table {
            let result = credentials(&value);
            assert_eq!(result.as_ref().err().map(|(field, _)| *field), field, "{value}");
            assert!(!format!("{result:?}").contains("hunter2"));
        }
    }
}
