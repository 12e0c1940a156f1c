//! One thing that differs between two configs: what, why, and what it triggers.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::action::{Action, Disruption};
use crate::redact::{Blob, Diff};

/// What a step changes. The order of the variants, then of the names, is the order of the steps in a plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Target {
    /// The OS image.
    OsImage,
    /// The kernel flavour.
    KernelType,
    /// OS extensions.
    Extensions,
    /// Kernel arguments.
    KernelArguments,
    /// FIPS mode.
    Fips,
    /// A file.
    File {
        /// Absolute path.
        path: String,
    },
    /// A unit itself: its file, enablement and mask.
    Unit {
        /// Full unit name.
        name: String,
    },
    /// A drop-in of a unit.
    Dropin {
        /// Full unit name.
        unit: String,
        /// Name of the drop-in.
        name: String,
    },
    /// The SSH keys of a user.
    SshKeys {
        /// The user.
        user: String,
    },
    /// The password hash of a user; never shown in any form.
    PasswordHash {
        /// The user.
        user: String,
    },
    /// What else differs in the users and groups of the config. A running node applies SSH keys and password hashes only, yet the
    /// policy for SSH keys decides about any difference (MCO daemon 3.1).
    Accounts,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::OsImage => f.write_str("OS image"),
            Target::KernelType => f.write_str("kernel type"),
            Target::Extensions => f.write_str("extensions"),
            Target::KernelArguments => f.write_str("kernel arguments"),
            Target::Fips => f.write_str("FIPS mode"),
            Target::File { path } => f.write_str(path),
            Target::Unit { name } => write!(f, "unit {name}"),
            Target::Dropin { unit, name } => write!(f, "drop-in {unit}.d/{name}"),
            Target::SshKeys { user } => write!(f, "SSH keys of {user}"),
            Target::PasswordHash { user } => write!(f, "password hash of {user}"),
            Target::Accounts => f.write_str("users and groups"),
        }
    }
}

/// What happens to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// Only in the desired config.
    Added,
    /// In both, and different.
    Changed,
    /// Only in the current config.
    Removed,
}

/// One entry of a list that is added or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// The entry; of an SSH key its type, last characters and comment.
    pub value: String,
    /// The MachineConfig that brings it, or brought it when it is removed; absent when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_config: Option<String>,
}

/// One respect in which a target differs. `before` is absent for what is added, `after` for what is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "aspect", rename_all = "camelCase")]
pub enum Aspect {
    /// The decoded contents.
    Content {
        /// In the current config; absent too when they cannot be decoded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Blob>,
        /// In the desired config; absent too when they cannot be decoded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Blob>,
    },
    /// The permission bits, such as `0644`.
    Mode {
        /// In the current config.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<String>,
        /// In the desired config.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// The owner, `user:group`, by name or number as the config says it.
    Owner {
        /// In the current config.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<String>,
        /// In the desired config.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// Whether a unit is enabled; absent means left to systemd's presets.
    Enabled {
        /// In the current config.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<bool>,
        /// In the desired config.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<bool>,
    },
    /// Whether a unit is masked.
    Masked {
        /// In the current config.
        before: bool,
        /// In the desired config.
        after: bool,
    },
    /// A single value: image, kernel type, FIPS, or `set` for a password hash.
    Value {
        /// In the current config.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<String>,
        /// In the desired config.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// A list: kernel arguments, extensions, SSH keys.
    Items {
        /// Entries only in the desired config.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        added: Vec<Item>,
        /// Entries only in the current config.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        removed: Vec<Item>,
        /// Entries of both are in another order.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reordered: bool,
    },
    /// The same on disk, declared otherwise, in a way the reference acts upon.
    Declaration {
        /// The fields that differ, such as `overwrite`.
        fields: Vec<String>,
    },
}

/// Which rule decided the actions of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "camelCase")]
pub enum Decision {
    /// The policy entry for a file or a directory above it.
    FilePolicy {
        /// The path of the entry.
        path: String,
    },
    /// The policy entry for the unit.
    UnitPolicy {
        /// The name of the entry.
        name: String,
    },
    /// The policy for SSH keys, which also covers password hashes.
    SshKeyPolicy,
    /// No policy entry covers it, which means a reboot.
    NoPolicy,
    /// Changes to the operating system always need a reboot.
    OperatingSystem,
}

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What is changed.
    pub target: Target,
    /// Whether it is added, changed or removed.
    pub change: Change,
    /// In which respects it differs, at least one.
    pub aspects: Vec<Aspect>,
    /// The MachineConfig that causes it: whose value stands in the desired config or, for what is removed, stood in the
    /// current one. Absent when the provenance is unknown, or when several entries have several causes (see [`Item`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_config: Option<String>,
    /// The MachineConfig whose value stood in the current config, when it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_machine_config: Option<String>,
    /// What the step by itself triggers, in order.
    pub actions: Vec<Action>,
    /// Which rule decided that.
    pub decided_by: Decision,
    /// How disturbing the step by itself is.
    pub disruption: Disruption,
    /// The contents compared, when it was asked for and there is something to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<Diff>,
}

impl Step {
    /// The MachineConfigs that cause the step: its own, or those of the entries it adds and removes.
    #[must_use]
    pub fn machine_configs(&self) -> BTreeSet<&str> {
        let mut entries = Vec::new();
        for aspect in &self.aspects {
            if let Aspect::Items { added, removed, .. } = aspect {
                entries.extend(added.iter().chain(removed));
            }
        }
        let origins = entries
            .into_iter()
            .filter_map(|item| item.machine_config.as_deref());
        self.machine_config
            .as_deref()
            .into_iter()
            .chain(origins)
            .collect()
    }
}
