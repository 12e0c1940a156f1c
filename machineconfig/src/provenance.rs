//! Which MachineConfig every part of a rendered config came from, and which ones it beat.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A part of a rendered config that one MachineConfig wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind", content = "name")]
pub enum Part {
    /// A file, directory or link, by path.
    Path(String),
    /// A unit, by name.
    Unit(String),
    /// A drop-in: unit, drop-in.
    Dropin(String, String),
    /// An SSH key of a user: user, key.
    SshKey(String, String),
    /// Everything else of a user, by name.
    User(String),
    /// A kernel argument entry.
    KernelArgument(String),
    /// An OS extension.
    Extension(String),
    /// A scalar field of the spec, such as `osImageURL`, `kernelType`, `fips`; or another section of the
    /// Ignition config by its JSON path, such as `storage.disks`.
    Field(String),
}

/// Who won a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The MachineConfig whose value stands; for merged parts the last one that touched it.
    pub winner: String,
    /// The ones it beat or was merged over, in merge order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beaten: Vec<String>,
}

/// The origin of every part of one rendered config.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// By part, sorted.
    pub origins: BTreeMap<Part, Origin>,
}
