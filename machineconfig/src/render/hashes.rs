//! Verification hashes that outlive the contents they were made of: merging goes field by field, so new contents under the
//! old hash are what comes out when a MachineConfig overrides a file of another and gives no hash (Ignition spec 3.5, merging).

use std::collections::HashMap;

use ignition::tree::Value;

use crate::{Code, Finding};

use super::contents::hash_differs;
use super::input::object;

/// Files with a hash, by path, and the later MachineConfig that gave them contents without one, if any.
#[derive(Debug, Default)]
pub(super) struct InheritedHashes {
    writers: HashMap<String, Option<String>>,
}

impl InheritedHashes {
    /// The files of the next MachineConfig.
    pub(super) fn add<'a>(&mut self, name: &str, files: impl Iterator<Item = &'a Value>) {
        for file in files {
            let path = file.text("path");
            if hash(file).is_some() {
                self.writers.insert(path.to_owned(), None);
            } else if brings(file)
                && let Some(writer) = self.writers.get_mut(path)
            {
                *writer = Some(name.to_owned());
            }
        }
    }

    /// A warning for each of the merged `files` whose contents do not have the hash they inherited.
    pub(super) fn findings<'a>(&self, files: impl Iterator<Item = &'a Value>) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.writers.values().all(Option::is_none) {
            return findings;
        }
        for file in files {
            let path = file.text("path");
            let Some(Some(writer)) = self.writers.get(path) else {
                continue;
            };
            if hash(file).is_some() && file.get("contents").is_some_and(hash_differs) {
                let message = format!(
                    "{path} has new contents under the verification.hash of the contents it overrides"
                );
                let field = "spec.config.storage.files";
                findings.push(Finding::warning(
                    Code::INHERITED_HASH,
                    object(writer),
                    field,
                    message,
                ));
            }
        }
        findings
    }
}

/// Whether a file brings contents.
fn brings(file: &Value) -> bool {
    file.get("contents")
        .is_some_and(|contents| contents.get("source").is_some())
}

fn hash(file: &Value) -> Option<&Value> {
    file.get("contents")?.get("verification")?.get("hash")
}
