//! What is left of a scenario that failed: objects, logs and journals, in files to be read afterwards.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Cluster, Node};
use crate::machine::place::cache;

/// Lists that every cluster has.
const LISTS: [&str; 9] = [
    "/api/v1/nodes",
    "/api/v1/pods",
    "/api/v1/events",
    "/api/v1/configmaps",
    "/apis/apps/v1/deployments",
    "/apis/apps/v1/daemonsets",
    "/apis/coordination.k8s.io/v1/leases",
    "/apis/policy/v1/poddisruptionbudgets",
    "/apis/certificates.k8s.io/v1/certificatesigningrequests",
];

/// Groups of API that are only there with the product, all of whose lists are wanted.
const GROUPS: [&str; 2] = ["machineconfiguration.openshift.io", "operator.openshift.io"];

impl Cluster {
    /// Writes everything that may tell why a scenario failed to the directory `dir`. What cannot be had is said there as well, since it
    /// may be the very thing that is broken.
    pub fn bundle(&self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir).with_context(|| format!("could not create {}", dir.display()))?;
        for path in self.lists() {
            let file = path.trim_start_matches('/').replace('/', "_");
            let pretty = |list: Value| Ok(serde_json::to_string_pretty(&list)?);
            note(dir, &format!("{file}.json"), self.api.get(&path).and_then(pretty))?;
        }
        for entry in fs::read_dir(self.control_plane.logs())? {
            let entry = entry?;
            fs::copy(entry.path(), dir.join(entry.file_name()))?;
        }
        for node in self.nodes.values() {
            bundle_node(dir, node)?;
        }
        Ok(())
    }

    /// The outcome of a scenario; when it failed, after a [bundle](Cluster::bundle) was written, whose place the error then names.
    pub fn judged<T>(&self, scenario: &str, outcome: Result<T>) -> Result<T> {
        outcome.or_else(|error| {
            let dir = bundles()?.join(format!("{}-{}-{scenario}", std::process::id(), self.id()));
            let written = self.bundle(&dir);
            Err(match written {
                Ok(()) => error.context(format!("{scenario} failed; see {}", dir.display())),
                Err(second) => error.context(format!(
                    "{scenario} failed, and no bundle could be written: {second:#}"
                )),
            })
        })
    }

    /// The paths of all lists worth having.
    fn lists(&self) -> Vec<String> {
        let mut lists: Vec<String> = LISTS.map(ToOwned::to_owned).to_vec();
        for group in GROUPS {
            let Ok(group) = self.api.get(&format!("/apis/{group}")) else {
                continue;
            };
            let Some(version) = group["preferredVersion"]["groupVersion"].as_str() else {
                continue;
            };
            let Ok(resources) = self.api.get(&format!("/apis/{version}")) else {
                continue;
            };
            let names = resources["resources"].as_array().into_iter().flatten();
            let names = names.filter_map(|resource| resource["name"].as_str());
            // Parts of objects have a slash in their name.
            let names = names.filter(|name| !name.contains('/'));
            lists.extend(names.map(|name| format!("/apis/{version}/{name}")));
        }
        lists
    }
}

fn bundle_node(dir: &Path, node: &Node) -> Result<()> {
    let (name, machine) = (node.name(), node.machine());
    note(dir, &format!("{name}.journal.log"), machine.journal())?;
    note(dir, &format!("{name}.console.log"), Ok(machine.console()))?;
    // On the node, not by the API: a node that is cut off has them too.
    let logs = machine.root().join("var/log/pods");
    for file in files(&logs) {
        let relative = file.strip_prefix(&logs).unwrap_or(&file);
        let flat = relative.to_string_lossy().replace('/', "_");
        fs::copy(&file, dir.join(format!("{name}.pod.{flat}")))?;
    }
    Ok(())
}

/// Where bundles of failed scenarios are kept, until somebody removes them.
fn bundles() -> Result<PathBuf> {
    Ok(cache()?.join("cluster/failed"))
}

fn note(dir: &Path, name: &str, text: Result<String>) -> Result<()> {
    let text = text.unwrap_or_else(|error| format!("could not be had: {error:#}\n"));
    let path = dir.join(name);
    fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))
}

/// Every plain file below a directory; none when it does not exist.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}
