//! Go's leniencies: what kubectl and the reference read out of a value before they look at its types.

use serde_json::{Map, Number, Value};

/// Fields directly under `spec` whose content is not ours: nulls in them are kept.
const RAW_SPEC_FIELDS: [&str; 6] = [
    "config",
    "kubeletConfig",
    "infra",
    "dns",
    "unsupportedConfigOverrides",
    "observedConfig",
];

/// Makes the value what the reference would take it for: a null field is absent, except in raw
/// fields; a whole number is an integer however it was written; an object without a spec has an
/// empty one.
pub(super) fn normalise(object: &mut Value) {
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

/// Makes whole numbers that are written as floats integers, in the whole value.
pub(super) fn integers(value: &mut Value) {
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
