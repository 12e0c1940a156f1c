//! Files that other nodes of the file system would have to be in, which Ignition does not look for.

use std::collections::{BTreeMap, HashSet};

use ignition::Config;

use crate::{Code, Finding};

/// The lists of nodes of the file system.
const LISTS: [&str; 3] = ["files", "directories", "links"];

/// An error for each file that something else is below. `object_of` tells which object a path comes from.
pub(super) fn findings(ignition: &Config, object_of: impl Fn(&str) -> String) -> Vec<Finding> {
    let above = above(ignition);
    let files: HashSet<&str> = nodes(ignition, "files")
        .filter(|file| above.contains(file))
        .collect();
    if files.is_empty() {
        return Vec::new();
    }
    let mut below: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for list in LISTS {
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

/// The paths that something is below. There are few of them, however many nodes there are.
fn above(ignition: &Config) -> HashSet<&str> {
    let mut above = HashSet::new();
    let mut last = "";
    for path in LISTS.iter().flat_map(|list| nodes(ignition, list)) {
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        // Those of one directory mostly stand together.
        if directory != last {
            above.extend(parents(path));
            last = directory;
        }
    }
    above
}

/// The paths above an absolute path, without the root.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at]).skip(1)
}

fn nodes<'a>(ignition: &'a Config, list: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let nodes = ignition.fields().list("storage", list).iter();
    nodes.filter_map(|node| node.get("path")?.as_str())
}
