//! Compressed contents that outlive the word that they are compressed: a later MachineConfig that says nothing of a file's
//! compression has none, even when it leaves the contents as they are (MCO render 2.5).

use std::collections::{BTreeMap, HashMap};

use ignition::tree::Value;

use crate::{Code, Finding};

use super::input::object;

/// Files with compressed contents, by path.
#[derive(Debug, Default)]
pub(super) struct LostCompression {
    /// The MachineConfig that gave the contents.
    givers: HashMap<String, String>,
    /// The last one that kept them and not their compression.
    losers: BTreeMap<String, String>,
}

impl LostCompression {
    /// The files of the next MachineConfig.
    pub(super) fn add<'a>(&mut self, name: &str, files: impl Iterator<Item = &'a Value>) {
        for file in files {
            let path = file.text("path");
            let contents = file.get("contents");
            let compressed = contents.is_some_and(|contents| !contents.text("compression").is_empty());
            let brings = contents.is_some_and(|contents| contents.get("source").is_some());
            if brings || compressed {
                self.losers.remove(path);
            }
            if brings && compressed {
                self.givers.insert(path.to_owned(), name.to_owned());
            } else if brings {
                self.givers.remove(path);
            } else if !compressed && self.givers.contains_key(path) {
                self.losers.insert(path.to_owned(), name.to_owned());
            }
        }
    }

    /// An error for each file that would be written as it is compressed.
    pub(super) fn findings(&self) -> impl Iterator<Item = Finding> {
        self.losers.iter().filter_map(|(path, loser)| {
            let giver = object(self.givers.get(path)?);
            let message = format!(
                "{path} keeps the compressed contents of {giver} without their compression, so nodes write them as they are"
            );
            let field = "spec.config.storage.files";
            Some(Finding::error(
                Code::LOST_COMPRESSION,
                object(loser),
                field,
                message,
            ))
        })
    }
}
