//! Which changes a running node refuses (MCO render 2.7, daemon 3.2).

use std::collections::BTreeSet;

use crate::{Finding, Provenance, RenderedConfig};

/// Parts of storage whose change an administrator allows although a running node ignores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StorageOverride {
    /// `storage.disks`
    Disks,
    /// `storage.filesystems`
    FileSystems,
    /// `storage.raid`
    Raid,
}

/// Every refusal, with the field at fault and, by `provenance` of the two configs where known, the MachineConfig that brought it
/// (as [`Finding::object`]; the name of `new` when unknown).
pub fn check(
    old: &RenderedConfig,
    new: &RenderedConfig,
    overrides: &BTreeSet<StorageOverride>,
    provenance: Origins<'_>,
) -> Result<(), Vec<Finding>> {
    let _ = (old, new, overrides, provenance);
    todo!()
}

/// Provenance of the two sides of a change, where known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Origins<'a> {
    /// Of the current config.
    pub old: Option<&'a Provenance>,
    /// Of the desired config.
    pub new: Option<&'a Provenance>,
}
