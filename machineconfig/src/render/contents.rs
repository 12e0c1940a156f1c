//! Whether the contents of files are what they say they are: data, a gzip stream, the verification hash.

use ignition::contents::{ContentsError, MAX_INFLATED, decode, verify};
use ignition::tree::Value;

use crate::Code;

/// Why contents are not what they say.
#[derive(Debug)]
pub(super) enum Fault {
    /// They cannot be had.
    Contents(ContentsError),
    /// They do not have their verification hash.
    Hash,
}

/// What is wrong with contents that parsing has not already found: plain data URLs were decoded there. `left` is how many
/// bytes may still be inflated, which bounds the work that one MachineConfig can cause; nothing once more was asked for, which
/// is told once.
pub(super) fn fault(contents: &Value, left: &mut Option<usize>) -> Option<Fault> {
    let source = contents
        .get("source")?
        .as_str()
        .filter(|source| !source.is_empty())?;
    let compression = contents.get("compression").and_then(Value::as_str);
    let hash = contents
        .get("verification")
        .and_then(|verification| verification.get("hash")?.as_str());
    let is_plain = compression.is_none_or(str::is_empty) && hash.is_none();
    if is_plain && source.starts_with("data:") && source.len() <= MAX_INFLATED {
        return None;
    }
    match decode(Some(source), compression, left.unwrap_or_default()) {
        Ok(bytes) => {
            *left = left.map(|left| left - bytes.len());
            hash.is_some_and(|hash| verify(&bytes, hash) == Some(false))
                .then_some(Fault::Hash)
        }
        Err(ContentsError::TooLarge { .. }) if left.is_none() => None,
        Err(error) => {
            if matches!(error, ContentsError::TooLarge { .. }) {
                *left = None;
            }
            Some(Fault::Contents(error))
        }
    }
}

/// Whether contents decode, and not to their verification hash.
pub(super) fn hash_differs(contents: &Value) -> bool {
    let mut left = Some(MAX_INFLATED);
    matches!(fault(contents, &mut left), Some(Fault::Hash))
}

// === impl Fault ===

impl Fault {
    pub(super) fn code(&self) -> Code {
        match self {
            Fault::Hash => Code::IGNITION_HASH,
            Fault::Contents(error) => match error {
                ContentsError::NotData { .. } => Code::CONTENTS_NOT_DATA,
                ContentsError::Malformed { .. } => Code::IGNITION_DATA_URL,
                ContentsError::UnknownCompression { .. } | ContentsError::CorruptGzip { .. } => {
                    Code::IGNITION_COMPRESSION
                }
                ContentsError::TooLarge { .. } => Code::IGNITION_TOO_LARGE,
            },
        }
    }

    /// The field at fault, from the contents on.
    pub(super) fn field(&self) -> &'static str {
        match self {
            Fault::Hash => ".verification.hash",
            Fault::Contents(ContentsError::UnknownCompression { .. }) => ".compression",
            Fault::Contents(_) => ".source",
        }
    }

    pub(super) fn message(&self, path: &str) -> String {
        match self {
            Fault::Hash => format!("the contents of {path} do not have their verification hash"),
            Fault::Contents(ContentsError::TooLarge { .. }) => {
                format!("with the contents of {path} the files inflate to more than {MAX_INFLATED} bytes")
            }
            Fault::Contents(error) => format!("contents of {path}: {error}"),
        }
    }
}
