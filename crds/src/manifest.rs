//! Kubernetes objects from YAML or JSON text, with positions in every error, and back to YAML.
//!
//! The one place that reads YAML. [`parse`] is its entry point. Scalars mean what they mean to
//! kubectl: an octal mode (`0644`) is 420, and so is `0o644`; a whole number written as a float
//! (`1e3`) is an integer; a `null` field is a field that is not there.

mod decode;
mod documents;
mod encode;
mod fields;
mod json;
mod normalise;
mod path;
mod places;
mod read;

use std::cell::LazyCell;
use std::fmt;

pub use encode::to_yaml;
pub use fields::Fields;
use path::Segment;
use serde_json::Value;

use crate::{
    ContainerRuntimeConfig, ControllerConfig, KubeletConfig, MachineConfig, MachineConfigNode,
    MachineConfigPool, MachineConfiguration, PinnedImageSet,
};

/// Longest text that [`parse`] reads, in bytes. A cluster's objects in one file stay far below;
/// what is above is refused before anything is allocated for it.
pub const MAX_TEXT_BYTES: usize = 64 * 1024 * 1024;

/// An object and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The file, or `-` for standard input, as the user named it.
    pub file: String,
    /// Line in the file, from 1, on which the object begins.
    pub line: usize,
    /// The object.
    pub object: Object,
    /// Paths of fields that the kind does not have (`spec.kernelArgs`), sorted as written. They
    /// are not an error, since the reference ignores them too, but mostly they are misspelt.
    pub unknown_fields: Vec<String>,
}

/// An object of a kind we know.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Object {
    /// A MachineConfig.
    MachineConfig(Box<MachineConfig>),
    /// A MachineConfigPool.
    MachineConfigPool(Box<MachineConfigPool>),
    /// A ControllerConfig.
    ControllerConfig(Box<ControllerConfig>),
    /// A KubeletConfig.
    KubeletConfig(Box<KubeletConfig>),
    /// A ContainerRuntimeConfig.
    ContainerRuntimeConfig(Box<ContainerRuntimeConfig>),
    /// A MachineConfigNode.
    MachineConfigNode(Box<MachineConfigNode>),
    /// A PinnedImageSet.
    PinnedImageSet(Box<PinnedImageSet>),
    /// A MachineConfiguration.
    MachineConfiguration(Box<MachineConfiguration>),
    /// Any other kind; `name` may be empty.
    Unknown {
        /// `group/version`.
        api_version: String,
        /// The kind.
        kind: String,
        /// `metadata.name`.
        name: String,
        /// The object as it was read.
        value: Box<Value>,
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
    /// What is wrong. Names the field, never its value.
    pub message: String,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
            if self.column > 0 {
                write!(f, ":{}", self.column)?;
            }
        }
        f.write_str(": ")?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ManifestError {}

/// Reads every document of `text` (YAML, multi-document YAML, JSON, a stream of JSON objects, or
/// a `List` of any of them). Empty and null documents are skipped; every document that cannot be
/// read is reported and the others are still returned, both in the order of the file.
#[must_use]
pub fn parse(file: &str, text: &str) -> (Vec<Manifest>, Vec<ManifestError>) {
    let mut found = Found::new(file);
    if text.len() > MAX_TEXT_BYTES {
        found.fail(Failure::too_long(text));
        return found.into_parts();
    }
    for document in documents::split(text) {
        read_document(&document, &mut found);
    }
    found.into_parts()
}

/// Reads the one document of `text` as a value of any shape, for what is no object of ours, such as a
/// kubeconfig. A text that says nothing is `Null`.
///
/// # Errors
/// A text that is too long, not well-formed, or holds several documents.
pub fn value(file: &str, text: &str) -> Result<Value, ManifestError> {
    let failed = |failure: Failure| failure.in_file(file);
    if text.len() > MAX_TEXT_BYTES {
        return Err(failed(Failure::too_long(text)));
    }
    let mut only = Value::Null;
    for document in documents::split(text) {
        let value = read::value(&document).map_err(failed)?;
        match (&only, value) {
            (_, Value::Null) => {}
            (Value::Null, value) => only = value,
            _ => {
                let message = "the file holds several documents, and only one is expected".to_owned();
                return Err(failed(Failure {
                    line: document.first_line(),
                    column: 1,
                    object: None,
                    message,
                }));
            }
        }
    }
    Ok(only)
}

/// Reads one document into `found`.
fn read_document(document: &documents::Document<'_>, found: &mut Found) {
    let value = match read::value(document) {
        Ok(value) => value,
        Err(failure) => return found.fail(failure),
    };
    let places = LazyCell::new(|| read::places(document));
    let place = |path: &[Segment]| match path {
        [] => (document.first_line(), 1),
        path => places
            .of(path)
            .map_or((document.first_line(), 1), |(line, column)| {
                document.in_file(line, column)
            }),
    };
    for item in decode::items(value) {
        match decode::object(item.value) {
            Ok(None) => {}
            Ok(Some((object, unknown_fields))) => found.manifests.push(Manifest {
                file: found.file.clone(),
                line: place(&item.path).0,
                object,
                unknown_fields,
            }),
            Err(error) => {
                let (line, column) = place(&[item.path, error.path].concat());
                found.fail(Failure {
                    line,
                    column,
                    object: error.object,
                    message: error.message,
                });
            }
        }
    }
}

/// What one call of [`parse`] has gathered.
struct Found {
    file: String,
    manifests: Vec<Manifest>,
    errors: Vec<ManifestError>,
}

/// A [`ManifestError`] before the file is known.
struct Failure {
    line: usize,
    column: usize,
    object: Option<String>,
    message: String,
}

// === impl Failure ===

impl Failure {
    fn whole_text(message: String) -> Self {
        Self {
            line: 0,
            column: 0,
            object: None,
            message,
        }
    }

    fn too_long(text: &str) -> Self {
        Self::whole_text(format!(
            "the text is {} bytes long and the limit is {MAX_TEXT_BYTES}; split it into several files",
            text.len()
        ))
    }

    fn in_file(self, file: &str) -> ManifestError {
        let Self {
            line,
            column,
            object,
            message,
        } = self;
        ManifestError {
            file: file.to_owned(),
            line,
            column,
            object,
            message,
        }
    }
}

// === impl Found ===

impl Found {
    fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            manifests: Vec::new(),
            errors: Vec::new(),
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.errors.push(failure.in_file(&self.file));
    }

    fn into_parts(self) -> (Vec<Manifest>, Vec<ManifestError>) {
        (self.manifests, self.errors)
    }
}
