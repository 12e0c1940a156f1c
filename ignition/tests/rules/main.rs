//! The rules of validation, each with what breaks it and what just does not.
//!
//! A rule is a table of text: on each line the JSON of an object, an arrow, and what is said of it as
//! `path: kind`, separated by semicolons, a warning with a `~` before it.

mod disks;
mod nodes;
mod resources;
mod units;

use ignition::{Config, Severity};
use serde_json::{Value, json};

/// What validation says of a config of these sections.
fn said(version: &str, sections: &Value) -> Vec<String> {
    let mut config = sections.clone();
    if !config["ignition"].is_object() {
        config["ignition"] = json!({});
    }
    config["ignition"]["version"] = json!(version);
    let problems = match Config::from_value(&config) {
        Ok(parsed) => parsed.warnings,
        Err(invalid) => invalid.problems,
    };
    let line = |problem: ignition::Problem| {
        let mark = if problem.severity == Severity::Warning {
            "~"
        } else {
            ""
        };
        format!("{mark}{}: {:?}", problem.path, problem.kind)
    };
    problems.into_iter().map(line).collect()
}

/// Checks a table of whole configs.
fn check(lines: &str) {
    check_in("3.5.0", "$", lines, |sections| sections);
}

/// Checks a table of objects at `path`, which `around` puts into a config.
fn check_in(version: &str, path: &str, lines: &str, around: impl Fn(Value) -> Value) {
    let mut checked = 0;
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (object, expected) = line
            .split_once("=>")
            .unwrap_or_else(|| panic!("no arrow: {line}"));
        let object = serde_json::from_str(object).unwrap_or_else(|error| panic!("{error}: {line}"));
        let expected = expected.split(';').map(str::trim).filter(|part| !part.is_empty());
        let expected: Vec<String> = expected
            .map(|part| match part.strip_prefix('~') {
                Some(part) => format!("~{path}{part}"),
                None => format!("{path}{part}"),
            })
            .collect();
        assert_eq!(said(version, &around(object)), expected, "{version}: {line}");
        checked += 1;
    }
    assert!(checked > 0, "the table has lines");
}

/// A config with one object in a list of the storage section.
fn stored(list: &str, defaults: &Value, fields: Value) -> Value {
    let (Value::Object(mut object), Value::Object(fields)) = (defaults.clone(), fields) else {
        panic!("both are objects")
    };
    object.extend(fields);
    json!({"storage": {list: [object]}})
}

/// A config with one file, which has contents.
fn file(fields: Value) -> Value {
    stored(
        "files",
        &json!({"path": "/a", "contents": {"source": "data:,x"}}),
        fields,
    )
}
