//! What a monitor tells, as values; docs/drift.md has the JSON form.

use jiff::Timestamp;
use machineconfig::drift::Drift;
use serde::{Deserialize, Serialize};

use crate::host::Holder;

/// One thing told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// The disk is watched, and was compared as a whole; the drift there was is told already.
    Started(Watched),
    /// The same after another config took the place of the one before.
    Reloaded(Watched),
    /// What is at a path differs from the config in another way than was told last.
    Drift(Found),
    /// What is at a path is as the config has it again, or the config says nothing of the path any more.
    Resolved {
        /// When that was seen.
        at: Timestamp,
        /// The path.
        path: String,
        /// In which aspect.
        aspect: Aspect,
        /// When the drift was first seen.
        since: Timestamp,
    },
    /// Paths were repaired.
    Repaired {
        /// When.
        at: Timestamp,
        /// The paths.
        paths: Vec<String>,
    },
    /// Paths could not be repaired.
    RepairFailed {
        /// When.
        at: Timestamp,
        /// The paths.
        paths: Vec<String>,
        /// Why.
        error: String,
    },
    /// A writer ended before it was done; what it left is drift until it is recovered.
    Interrupted {
        /// When that was seen.
        at: Timestamp,
        /// Who it was, if it said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holder: Option<Holder>,
    },
    /// Notices were lost, so everything is compared.
    Overflow {
        /// When.
        at: Timestamp,
    },
    /// Something keeps drift from being told: the config cannot be read, or the node.
    Failed {
        /// When.
        at: Timestamp,
        /// What and why.
        message: String,
    },
}

// === impl Event ===

impl Event {
    /// The path it is about, if it is about one.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Event::Drift(found) => Some(&found.path),
            Event::Resolved { path, .. } => Some(path),
            Event::Started(_)
            | Event::Reloaded(_)
            | Event::Repaired { .. }
            | Event::RepairFailed { .. }
            | Event::Interrupted { .. }
            | Event::Overflow { .. }
            | Event::Failed { .. } => None,
        }
    }
}

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Watched {
    /// Since when.
    pub at: Timestamp,
    /// Name of the config.
    pub config: String,
    /// Paths it is about.
    pub paths: u32,
    /// Directories that are watched for them.
    pub directories: usize,
    /// Paths with drift that was told, before or now.
    pub drifted: usize,
}

/// All drift of a path in one aspect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// When it was seen.
    pub at: Timestamp,
    /// Name of the config.
    pub config: String,
    /// The path.
    pub path: String,
    /// In which aspect; each is told and resolved by itself.
    pub aspect: Aspect,
    /// What follows.
    pub reaction: Reaction,
    /// All of it, the most telling first.
    pub drift: Vec<Since>,
}

/// Which of two looks at a path found something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Aspect {
    /// What is at the path.
    Path,
    /// The unit of which it is the file: whether it is enabled; or, at another path, what shadows it.
    Unit,
}

/// What follows drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Reaction {
    /// Nothing more.
    Reported,
    /// It is being repaired.
    Repair,
    /// The policy says to repair it, and nothing here can.
    CannotRepair,
    /// It is not repaired any more, since it was too often.
    Flapping {
        /// Repairs lately.
        repairs: usize,
        /// When it would be repaired again.
        until: Timestamp,
    },
}

/// A mismatch, and since when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Since {
    /// The mismatch.
    #[serde(flatten)]
    pub drift: Drift,
    /// When the path was first seen to differ in this respect.
    pub since: Timestamp,
}
