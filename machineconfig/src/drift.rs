//! What the disk should hold against what it holds, with redacted diffs.
//!
//! [`expected`] says what to read, an observer reads it, [`compare`] tells every mismatch, and [`as_found`] makes a config of it that
//! a repair is planned from. The rules are the reference's on-disk
//! validation (MCO daemon 7.4); what is found beyond it is marked by [`Drift::beyond_reference`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Code;
use crate::redact::Diff;

mod as_found;
mod beside;
mod compare;
mod expect;
pub mod policy;
pub mod report;

pub use as_found::as_found;
pub use beside::Beside;
pub use compare::compare;
pub use expect::{Expectation, ExpectationError, Home, expected};

/// What an observer found. Everything is as seen beneath the node's root.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// By absolute path; a path that is absent here was not observed and is not compared.
    pub paths: BTreeMap<String, Seen>,
    /// Answers of `systemctl is-enabled` (or what the links on disk say), by unit; a unit that is absent here is not compared.
    pub enablement: BTreeMap<String, String>,
    /// What is at the places of [`Expectation::beside`], by unit, then path.
    pub beside: BTreeMap<String, BTreeMap<String, Seen>>,
    /// Numbers of users by name.
    pub users: BTreeMap<String, u32>,
    /// Numbers of groups by name.
    pub groups: BTreeMap<String, u32>,
    /// Where users are at home, by name; the SSH keys of users who are absent here are not compared.
    pub homes: BTreeMap<String, Home>,
}

/// What was found at a path, which itself is never followed when it is a link.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// Nothing; also when a parent is missing or no directory.
    Missing,
    /// A regular file.
    File {
        /// The permission bits, special ones included: at most 07777.
        mode: u32,
        /// Owner, when it says something (a root written by an unprivileged user does not).
        owner: Option<Owner>,
        /// What is in it.
        contents: SeenContents,
    },
    /// A symbolic link.
    Symlink {
        /// Its text.
        target: String,
        /// The path it resolves to in the end, links followed beneath the root; absent when it leads nowhere or out of the root.
        resolved: Option<String>,
    },
    /// A directory.
    Directory,
    /// A device, socket or pipe.
    Other {
        /// What it is, such as `socket`.
        what: String,
    },
    /// A link on the way to the path leads out of the root and was not followed.
    LeadsOut {
        /// The link.
        link: String,
        /// Its text.
        target: String,
    },
    /// It is there and cannot be read.
    Unreadable {
        /// Why.
        reason: String,
    },
}

/// Numbers of an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// Contents of a file on disk.
#[derive(Debug, Clone, PartialEq)]
pub enum SeenContents {
    /// All of it.
    Bytes(Vec<u8>),
    /// Too large to hold: no diff is made.
    Digest {
        /// Size in bytes.
        size: u64,
        /// SHA-256.
        sha256: [u8; 32],
    },
    /// Larger than any config can demand ([`ignition::contents::MAX_INFLATED`]): it differs, and was not read.
    Oversize {
        /// Size in bytes.
        size: u64,
    },
}

/// In which respect disk and config differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DriftKind {
    /// Nothing is there.
    Missing,
    /// Something of another type is there: a link, a directory.
    Type,
    /// The permission bits differ.
    Mode,
    /// The owner differs.
    Owner,
    /// The contents differ.
    Content,
    /// A symbolic link of the config leads elsewhere.
    Link,
    /// A masked unit is no link to /dev/null.
    Mask,
    /// A unit is enabled that should be disabled, or the other way round.
    Enablement,
    /// Something that is not of the config goes before a unit or drop-in of the config, or is added to the unit.
    Shadow,
    /// SSH keys are missing or were added.
    SshKeys,
    /// A link on the way leads out of the root.
    LeadsOut,
    /// It cannot be read.
    Unreadable,
    /// The config demands what no node can hold: append, contents that cannot be decoded, special mode bits.
    Unsatisfiable,
}

/// One mismatch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// The path it is about.
    pub path: String,
    /// The unit it is about, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// In which respect.
    pub kind: DriftKind,
    /// The stable code.
    pub code: Code,
    /// What the config demands.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// The contents compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<Diff>,
    /// The MachineConfig it comes from, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_config: Option<String>,
    /// What to do about it.
    pub remedy: String,
    /// The reference does not look at this: owners, directories, links, units that should be enabled, units without contents, what
    /// shadows a unit, SSH keys.
    pub beyond_reference: bool,
}

impl DriftKind {
    /// The stable code.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            DriftKind::Missing => Code::DRIFT_MISSING,
            DriftKind::Type => Code::DRIFT_TYPE,
            DriftKind::Mode => Code::DRIFT_MODE,
            DriftKind::Owner => Code::DRIFT_OWNER,
            DriftKind::Content => Code::DRIFT_CONTENT,
            DriftKind::Link => Code::DRIFT_LINK,
            DriftKind::Mask => Code::DRIFT_MASK,
            DriftKind::Enablement => Code::DRIFT_ENABLEMENT,
            DriftKind::Shadow => Code::DRIFT_SHADOW,
            DriftKind::SshKeys => Code::DRIFT_SSH_KEYS,
            DriftKind::LeadsOut => Code::DRIFT_LEADS_OUT,
            DriftKind::Unreadable => Code::DRIFT_UNREADABLE,
            DriftKind::Unsatisfiable => Code::DRIFT_UNSATISFIABLE,
        }
    }

    /// Whether writing what the config demands would end it; not where nothing can be read or written, and not what no node can
    /// hold.
    #[must_use]
    pub fn can_be_mended(self) -> bool {
        match self {
            DriftKind::Missing
            | DriftKind::Type
            | DriftKind::Mode
            | DriftKind::Owner
            | DriftKind::Content
            | DriftKind::Link
            | DriftKind::Mask
            | DriftKind::Enablement
            | DriftKind::SshKeys => true,
            DriftKind::Shadow | DriftKind::LeadsOut | DriftKind::Unreadable | DriftKind::Unsatisfiable => {
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
