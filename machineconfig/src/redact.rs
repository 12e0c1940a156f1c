//! What may be shown of contents, and how: secrets by size and hash only, the rest as a bounded unified diff that cannot disturb
//! a terminal. [`compare`] is the one way to a [`Diff`].

use std::borrow::Cow;
use std::fmt::Write;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

mod secret;
mod unified;

pub use secret::is_secret;

/// How much of a difference is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Lines of one unified diff, hunk headers included.
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
        /// Hunks with three lines of context, no file headers, every line ended by a newline. Control characters are escaped.
        unified: String,
        /// Lines left out beyond the limit.
        #[serde(default, skip_serializing_if = "is_zero")]
        omitted_lines: usize,
    },
    /// At least one side is not text: sizes and hashes are all that is shown.
    Binary,
    /// A secret: sizes and hashes are all that is shown.
    Secret,
    /// Too large to compare line by line: sizes and hashes are all that is shown.
    TooLarge,
}

impl Diff {
    /// Why there is nothing to see, when there is not.
    #[must_use]
    pub fn instead(&self) -> Option<&'static str> {
        match self {
            Diff::Text { .. } => None,
            Diff::Binary => Some("not text, not shown"),
            Diff::Secret => Some("secret, not shown"),
            Diff::TooLarge => Some("too large to compare line by line"),
        }
    }
}

/// Whether a count says nothing; by reference, as serde asks.
#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Contents told apart without showing them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Blob {
    /// Decoded size in bytes.
    pub size: u64,
    /// The first twelve hexadecimal digits of the SHA-256 of the decoded bytes.
    pub sha256: String,
}

impl Blob {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::of_digest(bytes.len() as u64, &Sha256::digest(bytes).into())
    }

    /// Of contents whose digest is known.
    #[must_use]
    pub fn of_digest(size: u64, digest: &[u8; 32]) -> Self {
        let sha256 = digest[..6].iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a String takes all that is written");
            hex
        });
        Self { size, sha256 }
    }
}

impl std::fmt::Display for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = if self.size == 1 { "byte" } else { "bytes" };
        write!(f, "{} {unit} sha256:{}", self.size, self.sha256)
    }
}

/// One side of a comparison.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    /// The bytes, decoded; empty when there is no file on this side.
    pub bytes: &'a [u8],
    /// The permission bits; absent when there is no file on this side.
    pub mode: Option<u32>,
}

impl Contents<'_> {
    /// The side without the file.
    pub const ABSENT: Contents<'static> = Contents {
        bytes: &[],
        mode: None,
    };
}

/// Compares what is at `path`, line by line unless it is a secret, not text or too large.
#[must_use]
pub fn compare(path: &str, before: Contents<'_>, after: Contents<'_>, limits: Limits) -> Diff {
    let secret = |side: &Contents<'_>| side.mode.is_some_and(|mode| is_secret(path, mode, side.bytes));
    if secret(&before) || secret(&after) {
        return Diff::Secret;
    }
    unified::diff(before.bytes, after.bytes, limits)
}

/// Text that may be printed: control characters, those that reorder text and those that cannot be seen are escaped. Tabs stay.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(disturbs) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if disturbs(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out.into()
}

/// Whether a character moves the cursor, changes the direction of text, or hides. Tabs do not.
#[must_use]
pub fn disturbs(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests;
