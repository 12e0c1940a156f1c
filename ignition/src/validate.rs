//! Validation.

use serde_json::{Map, Value};

use crate::Problem;
use crate::schema::Object;
use crate::version::Spec;

/// Every problem of a config that fits the table.
pub(crate) fn check(object: &'static Object, spec: Spec, map: &Map<String, Value>) -> Vec<Problem> {
    let _ = (object, spec, map);
    Vec::new()
}

/// File modes beyond 0777.
pub(crate) fn special_modes(map: &Map<String, Value>) -> Vec<Problem> {
    let _ = map;
    Vec::new()
}
