//! The MachineConfigs that make a plain host a node, from the files they consist of.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::repository;

/// Where they lie, and the files of each.
const DIRECTORY: &str = "deploy/base-configs";
const SOURCES: &str = "deploy/base-configs/sources";
/// Roles that there are configs for.
const ROLES: [&str; 2] = ["master", "worker"];
/// Directories of files, and what a config of each is called; a directory `NAME.ROLE` beside it is for that role alone.
const CONFIGS: [(&str, &str); 3] = [
    ("00", "00-ROLE"),
    ("01-container-runtime", "01-ROLE-container-runtime"),
    ("01-kubelet", "01-ROLE-kubelet"),
];
/// The oldest spec that says all of it.
const SPEC: &str = "3.2.0";

/// The configs by path from the root of the repository.
pub(super) fn files() -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for role in ROLES {
        for (source, name) in CONFIGS {
            let name = name.replace("ROLE", role);
            let text = config(source, role, &name).with_context(|| format!("config {name}"))?;
            files.insert(format!("{DIRECTORY}/{name}.yaml"), text);
        }
    }
    Ok(files)
}

fn config(source: &str, role: &str, name: &str) -> Result<String> {
    let (mut files, mut units) = (BTreeMap::new(), BTreeMap::new());
    for directory in [source.to_owned(), format!("{source}.{role}")] {
        let directory = repository().join(SOURCES).join(directory);
        read(&directory.join("files"), "", &mut files)?;
        read(&directory.join("units"), "", &mut units)?;
    }
    let files: Vec<Value> = files
        .iter()
        .map(|(path, text)| {
            json!({"path": path, "mode": 0o644, "overwrite": true,
                   "contents": {"source": ignition::contents::base64(text.as_bytes())}})
        })
        .collect();
    let units: Vec<Value> = units
        .iter()
        .map(|(path, text)| json!({"name": path.trim_start_matches('/'), "enabled": true, "contents": text}))
        .collect();
    let mut ignition = json!({"ignition": {"version": SPEC}, "storage": {"files": files}});
    if !units.is_empty() {
        ignition["systemd"] = json!({"units": units});
    }
    let object = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig",
        "metadata": {"name": name, "labels": {"machineconfiguration.openshift.io/role": role}},
        "spec": {"config": ignition},
    });
    let text = serde_saphyr::to_string(&object)?;
    Ok(format!("# Generated from sources/{source}.\n{text}"))
}

/// All files below a directory, by their path from it.
fn read(directory: &Path, prefix: &str, found: &mut BTreeMap<String, String>) -> Result<()> {
    if !directory.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{prefix}/{name}");
        if path.is_dir() {
            read(&path, &name, found)?;
        } else {
            let text = fs::read_to_string(&path);
            found.insert(
                name,
                text.with_context(|| format!("could not read {}", path.display()))?,
            );
        }
    }
    Ok(())
}
