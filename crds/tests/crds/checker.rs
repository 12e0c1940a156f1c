//! A small reader of structural schemas: says what an API server would say of a value. Of CEL rules
//! it knows those that match a text against a pattern.

use regex::Regex;
use serde_json::Value;

/// How a rule begins that lets an empty text in.
const OR_EMPTY: &str = "self == '' || ";

/// What is wrong with the value, each with its path. Fields that the schema does not have count.
pub(crate) fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let mut out = Vec::new();
    check(schema, value, "", &mut out);
    out
}

fn check(schema: &Value, value: &Value, path: &str, out: &mut Vec<String>) {
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    if !type_holds(schema, value) {
        out.push(format!("{path}: type"));
        return;
    }
    if schema["enum"]
        .as_array()
        .is_some_and(|values| !values.contains(value))
    {
        out.push(format!("{path}: enum"));
    }
    match value {
        Value::String(text) => check_text(schema, text, path, out),
        Value::Number(number) => {
            let number = number.as_f64().unwrap();
            if schema["minimum"].as_f64().is_some_and(|bound| number < bound)
                || schema["maximum"].as_f64().is_some_and(|bound| number > bound)
            {
                out.push(format!("{path}: range"));
            }
        }
        Value::Array(list) => check_list(schema, list, path, out),
        Value::Object(_) => check_map(schema, value, path, out),
        Value::Null | Value::Bool(_) => {}
    }
}

fn type_holds(schema: &Value, value: &Value) -> bool {
    if schema["x-kubernetes-int-or-string"] == true {
        return value.is_i64() || value.is_string();
    }
    match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64(),
        other => panic!("type {other:?}"),
    }
}

fn check_text(schema: &Value, text: &str, path: &str, out: &mut Vec<String>) {
    let length = text.chars().count() as u64;
    if schema["minLength"].as_u64().is_some_and(|bound| length < bound)
        || schema["maxLength"].as_u64().is_some_and(|bound| length > bound)
    {
        out.push(format!("{path}: length"));
    }
    if text.is_empty() && rules(schema).any(|rule| rule.starts_with(OR_EMPTY)) {
        return;
    }
    let pattern = schema["pattern"].as_str().map(str::to_owned);
    for pattern in pattern
        .into_iter()
        .chain(rules(schema).filter_map(|rule| pattern_of(&rule)))
    {
        if !Regex::new(&pattern).unwrap().is_match(text) {
            out.push(format!("{path}: pattern"));
        }
    }
}

fn check_list(schema: &Value, list: &[Value], path: &str, out: &mut Vec<String>) {
    let length = list.len() as u64;
    if schema["minItems"].as_u64().is_some_and(|bound| length < bound)
        || schema["maxItems"].as_u64().is_some_and(|bound| length > bound)
    {
        out.push(format!("{path}: items"));
    }
    let keys = schema["x-kubernetes-list-map-keys"].as_array();
    let mut seen = Vec::new();
    for (index, item) in list.iter().enumerate() {
        check(&schema["items"], item, &format!("{path}[{index}]"), out);
        let identity = match (schema["x-kubernetes-list-type"].as_str(), keys) {
            (Some("map"), Some(keys)) => keys
                .iter()
                .map(|key| item[key.as_str().unwrap()].clone())
                .collect(),
            (Some("set"), _) => vec![item.clone()],
            _ => continue,
        };
        if seen.contains(&identity) {
            out.push(format!("{path}[{index}]: twice"));
        }
        seen.push(identity);
    }
}

fn check_map(schema: &Value, value: &Value, path: &str, out: &mut Vec<String>) {
    for field in schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if value.get(field).is_none() {
            out.push(format!("{path}.{field}: required"));
        }
    }
    let map = value.as_object().unwrap();
    if schema["minProperties"]
        .as_u64()
        .is_some_and(|bound| (map.len() as u64) < bound)
    {
        out.push(format!("{path}: properties"));
    }
    for (field, value) in map {
        let path = format!("{path}.{field}");
        if let Some(schema) = schema["properties"].get(field) {
            check(schema, value, &path, out);
        } else if let Some(schema) = schema.get("additionalProperties") {
            check(schema, value, &path, out);
        } else if schema["x-kubernetes-preserve-unknown-fields"] != true {
            out.push(format!("{path}: unknown"));
        }
    }
}

/// The CEL rules of a node.
pub(crate) fn rules(schema: &Value) -> impl Iterator<Item = String> {
    let rules = schema["x-kubernetes-validations"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    rules
        .into_iter()
        .map(|rule| rule["rule"].as_str().unwrap_or_default().to_owned())
}

/// The pattern of a rule that says `self.matches('pattern')`, with CEL's escapes undone.
pub(crate) fn pattern_of(rule: &str) -> Option<String> {
    let literal = rule.strip_prefix(OR_EMPTY).unwrap_or(rule);
    let literal = literal.strip_prefix("self.matches('")?.strip_suffix("')")?;
    Some(literal.replace(r"\\", r"\"))
}
