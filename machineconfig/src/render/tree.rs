//! Files that other nodes of the file system would have to be in, which Ignition does not look for.

use std::collections::{BTreeMap, BTreeSet};

use ignition::Config;
use serde_json::Value;

use crate::{Code, Finding};

/// An error for each file that something else is below. `object_of` tells which object a path comes from.
pub(super) fn findings(ignition: &Config, object_of: impl Fn(&str) -> String) -> Vec<Finding> {
    let files: BTreeSet<&str> = nodes(ignition, "files").collect();
    let mut below: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for list in ["files", "directories", "links"] {
        for path in nodes(ignition, list) {
            for parent in parents(path).filter(|parent| files.contains(parent)) {
                below.entry(parent).or_insert((list, path));
            }
        }
    }
    let findings = below.into_iter().map(|(parent, (list, path))| {
        let message = format!(
            "{path} is below {parent}, which is a file of {}",
            object_of(parent)
        );
        let field = format!("spec.config.storage.{list}");
        Finding::error(Code::BELOW_FILE, object_of(path), field, message)
    });
    findings.collect()
}

/// The paths above an absolute path, without the root.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at]).skip(1)
}

fn nodes<'a>(ignition: &'a Config, list: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let nodes = ignition
        .value()
        .get("storage")
        .and_then(|storage| storage.get(list));
    let nodes = nodes.and_then(Value::as_array).into_iter().flatten();
    nodes.filter_map(|node| node.get("path")?.as_str())
}
