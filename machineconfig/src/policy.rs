//! NodeDisruptionPolicy: defaults merged with the user's entries, longest-path match (MCO daemon 4.3).

use crds::machine_configuration::{
    NodeDisruptionPolicyAction, NodeDisruptionPolicyConfig, NodeDisruptionPolicyFile,
    NodeDisruptionPolicyUnit,
};

use crate::Finding;

/// The merged policy: what `MachineConfiguration` status shows and the daemon acts by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// By path, defaults first.
    pub files: Vec<NodeDisruptionPolicyFile>,
    /// By unit, defaults first.
    pub units: Vec<NodeDisruptionPolicyUnit>,
    /// For SSH keys and password hash.
    pub sshkey: Vec<NodeDisruptionPolicyAction>,
}

impl Default for Policy {
    /// The reference's defaults.
    fn default() -> Self {
        todo!()
    }
}

impl Policy {
    /// Merges a user's entries over the defaults, refusing entries that could never match.
    pub fn merge(user: &NodeDisruptionPolicyConfig) -> Result<Self, Vec<Finding>> {
        let _ = user;
        todo!()
    }

    /// The entry for a path: itself, else the longest parent directory.
    #[must_use]
    pub fn for_path(&self, path: &str) -> Option<&NodeDisruptionPolicyFile> {
        let _ = path;
        todo!()
    }
}
