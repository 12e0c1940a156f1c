//! Up to 3.5.0: nothing changes its shape, but 3.6.0 means more by two values than 3.5.0 does.

use crate::tree::{Map, Value};

use crate::path::Path;
use crate::problem::{Kind as Fault, Problem, Severity};
use crate::schema::{Kind, Object, v3};
use crate::validate::node::SPECIAL_BITS;
use crate::version::Spec;

/// What a valid config of version `spec` says that 3.5.0 cannot.
pub(crate) fn check(map: &Map, spec: Spec) -> Vec<Problem> {
    let mut problems = Vec::new();
    if spec > Spec::V3_5 {
        walk(&v3::CONFIG, map, &Path::Root, &mut problems);
    }
    problems
}

fn walk(object: &'static Object, map: &Map, path: &Path<'_>, problems: &mut Vec<Problem>) {
    for field in object.fields {
        let Some(value) = map.get(field.name) else {
            continue;
        };
        let path = path.field(field.name);
        if let Some(message) = only_newer(field.name, value) {
            problems.push(Problem {
                path: path.to_string(),
                kind: Fault::Untranslatable,
                severity: Severity::Error,
                message,
            });
        }
        match (field.kind, value) {
            (Kind::Object(object), Value::Object(map)) => walk(object, map, &path, problems),
            (Kind::Objects(object, _), Value::Array(items)) => {
                for (i, item) in items.iter().enumerate() {
                    if let Value::Object(map) = item {
                        walk(object, map, &path.index(i), problems);
                    }
                }
            }
            (
                Kind::Text | Kind::Int | Kind::Bool | Kind::Texts(_) | Kind::Object(_) | Kind::Objects(..),
                _,
            ) => {}
        }
    }
}

/// Why a field needs 3.6.0: a mode that sets special bits, or a clevis pin beyond those of 3.5.0.
fn only_newer(name: &str, value: &Value) -> Option<String> {
    match name {
        "mode" => value.as_i64().filter(|mode| mode & SPECIAL_BITS != 0).map(|mode| {
            format!("mode {mode:#o}: version 3.5.0 cannot set setuid, setgid and sticky bits, use a unit or drop them")
        }),
        "pin" => value
            .as_str()
            .filter(|pin| !matches!(*pin, "" | "tpm2" | "tang" | "sss"))
            .map(|_| "version 3.5.0 knows the clevis pins tpm2, tang and sss only".to_owned()),
        _ => None,
    }
}
