//! Down from 3.5.0 by the table: what the target version does not know is dropped when it says nothing,
//! and refused otherwise, with every reason.

use crate::tree::{Map, Value};

use crate::path::Path;
use crate::problem::{Kind as Fault, Problem, Severity};
use crate::schema::{Field, Kind, Object, v3};
use crate::validate::node::SPECIAL_BITS;
use crate::version::Spec;
use crate::{Invalid, Version};

/// The config as one of `target`, still in the shape of 3.x.
pub(super) fn config(map: &Map, target: Version) -> Result<Map, Invalid> {
    let mut step = Down {
        target: target.spec(),
        problems: Vec::new(),
    };
    let mut map = step.object(&v3::CONFIG, map, &Path::Root);
    if !step.problems.is_empty() {
        return Err(Invalid {
            problems: step.problems,
        });
    }
    if let Some(Value::Object(ignition)) = map.get_mut("ignition") {
        ignition.insert("version", Value::from(target.as_str()));
    }
    Ok(map)
}

struct Down {
    target: Spec,
    problems: Vec<Problem>,
}

impl Down {
    fn object(&mut self, object: &'static Object, map: &Map, path: &Path<'_>) -> Map {
        let mut out = Map::new();
        for field in object.fields {
            let Some(value) = map.get(field.name) else {
                continue;
            };
            if let Some(value) = self.field(field, value, &path.field(field.name)) {
                out.insert(field.name, value);
            }
        }
        out
    }

    fn field(&mut self, field: &'static Field, value: &Value, path: &Path<'_>) -> Option<Value> {
        if field.since > self.target {
            if !field.is_neutral(value) {
                self.refuse(
                    path,
                    format!(
                        "version {} cannot say this, {} is the first",
                        self.target, field.since
                    ),
                );
            }
            return None;
        }
        self.special_bits(field, value, path);
        match (field.kind, value) {
            (Kind::Object(object), Value::Object(map)) => {
                let map = self.object(object, map, path);
                (!map.is_empty()).then_some(Value::Object(map))
            }
            (Kind::Objects(object, _), Value::Array(items)) => {
                let items = items.iter().enumerate().filter_map(|(i, item)| {
                    Some(Value::Object(self.object(
                        object,
                        item.as_object()?,
                        &path.index(i),
                    )))
                });
                Some(Value::Array(items.collect()))
            }
            (_, value) => Some(value.clone()),
        }
    }

    /// Special mode bits are refused below 3.4.0, as the reference does (`MCS 1.5`).
    fn special_bits(&mut self, field: &Field, value: &Value, path: &Path<'_>) {
        let is_special = field.name == "mode" && value.as_i64().is_some_and(|mode| mode & SPECIAL_BITS != 0);
        if is_special && self.target < Spec::V3_4 {
            let target = self.target;
            self.refuse(
                path,
                format!("version {target} cannot say setuid, setgid and sticky bits, 3.4.0 is the first"),
            );
        }
    }

    fn refuse(&mut self, path: &Path<'_>, message: String) {
        self.problems.push(Problem {
            path: path.to_string(),
            kind: Fault::Untranslatable,
            severity: Severity::Error,
            message,
        });
    }
}
