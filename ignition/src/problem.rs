//! What is wrong with a config, and where.

use std::fmt;

/// How bad a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The config works, but hardly as its author expects.
    Warning,
    /// The config is refused.
    Error,
}

/// The rule a [`Problem`] breaks; one kind maps to one stable error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Not JSON.
    Syntax,
    /// A value of the wrong JSON type.
    Type,
    /// A required field is absent.
    Missing,
    /// `ignition.version` is missing, not a version, or none that is read.
    Version,
    /// A key no spec knows, or one newer than the declared version. Always a warning.
    UnknownKey,
    /// A path that is not absolute and clean.
    Path,
    /// The same key twice, also across the lists that share a key space.
    Duplicate,
    /// A mode outside what may be set.
    Mode,
    /// A URL that cannot be parsed, or of a scheme the version does not know.
    Url,
    /// A `data:` URL that does not decode.
    DataUrl,
    /// An unknown compression, or compressed contents that do not inflate.
    Compression,
    /// Contents larger than the bound once inflated.
    TooLarge,
    /// A verification hash that is malformed, or does not match the contents.
    Hash,
    /// A unit or drop-in: name without a known suffix, or contents that do not parse.
    Unit,
    /// A combination of fields that the spec forbids.
    Conflict,
    /// A user that is not `core` in a 2.x config.
    User,
    /// Something 2.x could say and 3.x cannot (networkd, a named file system).
    Deprecated,
    /// Something the target version of a translation cannot say.
    Untranslatable,
    /// A field with a value outside its range or enumeration, not covered above.
    Value,
}

/// One thing that is wrong with a config.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where, as a JSON path from the root of the config: `$.storage.files[3].mode`.
    pub path: String,
    /// The rule that is broken.
    pub kind: Kind,
    /// Whether the config is refused.
    pub severity: Severity,
    /// What is wrong, in lower case, with the offending value (never file contents), and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// A config that is refused: every reason, in document order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// At least one problem of [`Severity::Error`]; warnings may be among them.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}
