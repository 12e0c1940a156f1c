//! Which MachineConfig every part of a rendered config came from, and which ones it beat.
//!
//! `Recorder` is told of each MachineConfig in merge order and makes the [`Provenance`], in time linear in
//! the number of parts of all of them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

mod parts;
mod record;
mod recorder;

pub(crate) use parts::part_at;
pub(crate) use recorder::Recorder;

/// A part of a rendered config that one MachineConfig wins.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind", content = "name")]
pub enum Part {
    /// A file, directory or link, by path.
    Path(String),
    /// Everything of a unit but its drop-ins, by name.
    Unit(String),
    /// A drop-in: unit, drop-in.
    Dropin(String, String),
    /// An SSH key of a user: user, key.
    SshKey(String, String),
    /// Everything else of a user, by name.
    User(String),
    /// An entry of the spec's kernel arguments.
    KernelArgument(String),
    /// An OS extension.
    Extension(String),
    /// A scalar field of the spec (`osImageURL`, `baseOSExtensionsContainerImage`, `kernelType`, `fips`), or
    /// another part of the Ignition config by its JSON path: an object section such as `ignition.proxy`, or
    /// an entry of a list with its key in brackets, such as `storage.disks[/dev/sda]`, `passwd.groups[wheel]`
    /// or `kernelArguments[quiet]` (whichever of the two lists the argument is in).
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

/// The origin of every part of one rendered config. What the defaults decide has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// By part, sorted.
    pub origins: BTreeMap<Part, Origin>,
}

// === impl Part ===

impl fmt::Display for Part {
    /// The part in words, such as `drop-in x.conf of a.service`. Of an SSH key only the user is said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Path(path) => f.write_str(path),
            Part::Unit(unit) => write!(f, "unit {unit}"),
            Part::Dropin(unit, dropin) => write!(f, "drop-in {dropin} of {unit}"),
            Part::SshKey(user, _) => write!(f, "an SSH key of {user}"),
            Part::User(user) => write!(f, "user {user}"),
            Part::KernelArgument(argument) => write!(f, "kernel argument {argument:?}"),
            Part::Extension(extension) => write!(f, "extension {extension}"),
            Part::Field(field) => f.write_str(field),
        }
    }
}

// === impl Origin ===

impl Origin {
    /// Everyone who touched the part, in merge order.
    pub fn touched_by(&self) -> impl Iterator<Item = &str> {
        self.beaten.iter().chain([&self.winner]).map(String::as_str)
    }
}

// === impl Provenance ===

impl Provenance {
    /// The MachineConfig whose value of a part stands.
    #[must_use]
    pub fn winner(&self, part: &Part) -> Option<&str> {
        self.origins.get(part).map(|origin| origin.winner.as_str())
    }
}
