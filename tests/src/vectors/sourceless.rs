//! Files without `contents.source`, which the reference makes invalid by filling in `overwrite: true` (see the rule
//! `file-without-contents`): which MachineConfig holds one, and whether ours refuses it by name.

use crds::MachineConfig;
use serde_json::Value;

use super::checks::Checks;

/// A file that has no `contents.source`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sourceless {
    /// The MachineConfig it is in.
    pub(super) config: String,
    /// Its path.
    pub(super) path: String,
}

/// The files of 3.x configs that have neither source nor an `overwrite` of their own, and which no other config gives contents.
pub(super) fn in_configs(configs: &[MachineConfig]) -> Vec<Sourceless> {
    let mut found = Vec::new();
    for config in configs {
        let Some(ignition) = &config.spec.config else {
            continue;
        };
        let version = ignition
            .pointer("/ignition/version")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let files = ignition.pointer("/storage/files").and_then(Value::as_array);
        for file in files.into_iter().flatten().filter(|_| version.starts_with("3.")) {
            if is_absent(file, "/contents/source") && is_absent(file, "/overwrite") {
                let name = config.metadata.name.clone().unwrap_or_default();
                found.push(Sourceless {
                    config: name,
                    path: path_of(file).to_owned(),
                });
            }
        }
    }
    let given =
        |path: &str| files(configs).any(|file| path_of(file) == path && !is_absent(file, "/contents/source"));
    found.retain(|file| !given(&file.path));
    found
}

fn files(configs: &[MachineConfig]) -> impl Iterator<Item = &Value> {
    let ignition = configs.iter().filter_map(|config| config.spec.config.as_ref());
    ignition
        .filter_map(|ignition| ignition.pointer("/storage/files").and_then(Value::as_array))
        .flatten()
}

fn is_absent(file: &Value, pointer: &str) -> bool {
    file.pointer(pointer).is_none_or(Value::is_null)
}

fn path_of(file: &Value) -> &str {
    file.pointer("/path").and_then(Value::as_str).unwrap_or_default()
}

/// Takes those files out of an Ignition config.
pub(super) fn remove(config: &mut Value, files: &[Sourceless]) {
    let list = config.pointer_mut("/storage/files").and_then(Value::as_array_mut);
    if let Some(list) = list {
        list.retain(|entry| files.iter().all(|file| path_of(entry) != file.path));
    }
}

/// Ours must refuse, by a `message` that names one of the MachineConfigs with its file.
pub(super) fn refused(what: &str, files: &[Sourceless], message: Option<&str>, checks: &mut Checks<'_>) {
    let Some(message) = message else {
        return checks.differs(format!("{what}: accepted, although no node can apply {files:?}"));
    };
    let named = |file: &Sourceless| message.contains(&file.config) && message.contains(&file.path);
    if !files.iter().any(named) {
        checks.differs(format!("{what}: our message names none of {files:?}: {message}"));
    }
}
