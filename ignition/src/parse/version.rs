//! Which spec version a config declares.

use serde_json::{Map, Value};

use crate::Invalid;
use crate::problem::{Kind, Problem, Severity};
use crate::schema;
use crate::version::Spec;

/// The version in `ignition.version`, when it is one that is read.
pub(super) fn declared(value: &Value) -> Result<Spec, Invalid> {
    let version = match value {
        Value::Object(config) => section(config).and_then(|ignition| find(ignition, "version")),
        Value::Null => None,
        other => {
            let found = super::type_name(other);
            return Err(refused(
                Kind::Type,
                "$",
                format!("a config is an object, not {found}"),
            ));
        }
    };
    match version {
        None | Some(Value::Null) => Err(unusable("missing")),
        Some(Value::String(text)) => known(text),
        Some(other) => Err(refused(
            Kind::Type,
            "$.ignition.version",
            format!("a string is needed, not {}", super::type_name(other)),
        )),
    }
}

fn section(config: &Map<String, Value>) -> Option<&Map<String, Value>> {
    find(config, "ignition")?.as_object()
}

/// The value of a key in any letter case, exact spelling first.
fn find<'v>(map: &'v Map<String, Value>, name: &'static str) -> Option<&'v Value> {
    map.get(name).or_else(|| {
        map.iter()
            .find(|(key, _)| schema::folds_to(key, name))
            .map(|(_, value)| value)
    })
}

fn known(text: &str) -> Result<Spec, Invalid> {
    if let Some(spec) = Spec::ALL.into_iter().find(|spec| spec.as_str() == text) {
        return Ok(spec);
    }
    let short: String = text.chars().take(32).collect();
    match semver::Version::parse(text) {
        Ok(_) => Err(unusable(&format!("{short:?}, which is not known"))),
        Err(_) if text.is_empty() => Err(unusable("empty")),
        Err(_) => Err(unusable(&format!(
            "{short:?}, which is not a version of three parts"
        ))),
    }
}

fn unusable(state: &str) -> Invalid {
    let all: Vec<&str> = Spec::ALL.into_iter().map(Spec::as_str).collect();
    refused(
        Kind::Version,
        "$.ignition.version",
        format!("the Ignition version is {state}: write one of {}", all.join(", ")),
    )
}

fn refused(kind: Kind, path: &str, message: String) -> Invalid {
    Invalid {
        problems: vec![Problem {
            path: path.to_owned(),
            kind,
            severity: Severity::Error,
            message,
        }],
    }
}
