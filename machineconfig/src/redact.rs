//! What may be shown of contents, and how: secrets by size and hash only, the rest as a bounded unified diff that cannot disturb a terminal.

use serde::{Deserialize, Serialize};

/// How much of a difference is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Lines of one unified diff, headers not counted.
    pub lines: usize,
    /// Characters of one line.
    pub columns: usize,
}

impl Default for Limits {
    /// 200 lines of 400 characters: what a person reads, and what fits a pull-request comment many times.
    fn default() -> Self {
        Self {
            lines: 200,
            columns: 400,
        }
    }
}

/// Two contents compared for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "camelCase")]
pub enum Diff {
    /// Text, as a unified diff.
    #[serde(rename_all = "camelCase")]
    Text {
        /// Hunks with three lines of context, no file headers. Control characters are escaped.
        unified: String,
        /// Lines left out beyond the limit.
        #[serde(default)]
        omitted_lines: usize,
    },
    /// At least one side is not text: sizes and hashes are all that is shown.
    Binary,
    /// A secret: sizes and hashes are all that is shown.
    Secret,
    /// Too large to compare line by line: sizes and hashes are all that is shown.
    TooLarge,
}
