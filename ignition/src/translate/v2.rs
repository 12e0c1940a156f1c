//! The 2.x specs.

use serde_json::{Map, Value};

use crate::parse::Validation;
use crate::version::Spec;
use crate::{Invalid, Problem};

/// Reads a 2.x config up to 3.5.0.
pub(crate) fn read(
    value: &Value,
    spec: Spec,
    validation: Validation,
) -> Result<(Map<String, Value>, Vec<Problem>), Invalid> {
    let _ = (value, spec, validation);
    todo!()
}
