//! What version 2 of Ignition lets pass where version 3 refuses: entries that are there twice, and paths that are not clean. Nodes
//! get what the translation makes of it (MCO render 2.6), which its author may not know.

use std::collections::HashMap;

use serde_json::Value;

use crate::{Code, Finding};

use super::input::Input;

/// A warning for each file, directory, link and unit of a 2.x config that is not taken as it is written.
pub(super) fn advice(input: &Input<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let declared = input.parsed.as_ref().map(|parsed| parsed.declared.as_str());
    let Some(written) = input
        .written()
        .filter(|_| declared.is_some_and(|version| version.starts_with("2.")))
    else {
        return findings;
    };
    for (list, key) in [("storage.files", "path"), ("systemd.units", "name")] {
        overridden(input, written, list, key, &mut findings);
    }
    for list in ["storage.files", "storage.directories", "storage.links"] {
        unclean(input, written, list, &mut findings);
    }
    findings
}

/// The entries that a later one of the same key takes the place of.
fn overridden(input: &Input<'_>, written: &Value, list: &str, key: &str, findings: &mut Vec<Finding>) {
    let mut places = HashMap::new();
    for (index, entry) in names(written, list, key) {
        let Some(before) = places.insert(entry, index) else {
            continue;
        };
        let message = format!("{entry} is defined again in {list}[{index}], and the last one counts");
        findings.push(warning(
            input,
            Code::IGNITION_DUPLICATE,
            list,
            before,
            key,
            message,
        ));
    }
}

fn unclean(input: &Input<'_>, written: &Value, list: &str, findings: &mut Vec<Finding>) {
    for (index, path) in names(written, list, "path") {
        let clean = crate::policy::clean(path);
        // A relative path is refused, and told of by that.
        if path.starts_with('/') && clean != path {
            let message = format!("{path} is not in its shortest form, and is written to {clean}");
            findings.push(warning(input, Code::IGNITION_PATH, list, index, "path", message));
        }
    }
}

/// The entries of a list such as `storage.files` that have the key, by their place.
fn names<'v>(written: &'v Value, list: &str, key: &str) -> impl Iterator<Item = (usize, &'v str)> {
    let entries = written.pointer(&format!("/{}", list.replace('.', "/")));
    let entries = entries.and_then(Value::as_array).into_iter().flatten();
    let named = entries.map(move |entry| entry.get(key).and_then(Value::as_str));
    named.enumerate().filter_map(|(index, name)| Some((index, name?)))
}

fn warning(input: &Input<'_>, code: Code, list: &str, index: usize, key: &str, message: String) -> Finding {
    let field = format!("spec.config.{list}[{index}].{key}");
    Finding::warning(code, input.object(), field, message)
}
