//! Kubernetes objects from YAML or JSON text, with positions in every error.
//!
//! The one place that reads YAML: octal modes (`mode: 0644`) mean what they mean to kubectl.

use std::fmt;

use crate::MachineConfig;

/// An object and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The file, or `-` for standard input, as the user named it.
    pub file: String,
    /// Line of the document's first line in the file, from 1.
    pub line: usize,
    /// The object.
    pub object: Object,
}

/// An object of a kind we know.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Object {
    /// A MachineConfig.
    MachineConfig(Box<MachineConfig>),
    /// Any other kind; `name` may be empty.
    Unknown {
        /// `group/version`.
        api_version: String,
        /// The kind.
        kind: String,
        /// `metadata.name`.
        name: String,
    },
}

/// A document that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError {
    /// The file, or `-`.
    pub file: String,
    /// Line in the file, from 1; 0 when unknown.
    pub line: usize,
    /// Column, from 1; 0 when unknown.
    pub column: usize,
    /// `Kind/name` when it could be made out.
    pub object: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ManifestError {}

/// Reads every document of `text` (YAML, multi-document YAML, JSON, or a JSON `List`). Empty and null documents are skipped; every
/// document that cannot be read is reported and the others are still returned.
#[must_use]
pub fn parse(file: &str, text: &str) -> (Vec<Manifest>, Vec<ManifestError>) {
    let _ = (file, text);
    todo!()
}
