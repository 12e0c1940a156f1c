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

/// What is wrong with a user's policy, errors and warnings: what [`Policy::merge`] refuses or doubts.
#[must_use]
pub fn check(user: &NodeDisruptionPolicyConfig) -> Vec<Finding> {
    let _ = user;
    todo!()
}

impl Policy {
    /// Merges a user's entries over the defaults. Refuses what [`check`] finds wrong: entries that could never match and actions
    /// that could not be done.
    pub fn merge(user: &NodeDisruptionPolicyConfig) -> Result<Self, Vec<Finding>> {
        let _ = user;
        todo!()
    }

    /// [`Policy::merge`] without the check: for entries an API server has admitted (MCO controller 1.8).
    #[must_use]
    pub fn merge_unchecked(user: &NodeDisruptionPolicyConfig) -> Self {
        let _ = user;
        todo!()
    }

    /// The policy as it is, in the shape of `status.nodeDisruptionPolicyStatus.clusterPolicies`.
    #[must_use]
    pub fn cluster_policies(&self) -> NodeDisruptionPolicyConfig {
        todo!()
    }

    /// A policy read back from `status.nodeDisruptionPolicyStatus.clusterPolicies`.
    #[must_use]
    pub fn from_cluster_policies(status: &NodeDisruptionPolicyConfig) -> Self {
        let _ = status;
        todo!()
    }

    /// The entry for a path: itself, else the longest parent directory.
    #[must_use]
    pub fn for_path(&self, path: &str) -> Option<&NodeDisruptionPolicyFile> {
        let _ = path;
        todo!()
    }

    /// The entry for a unit, by exact name.
    #[must_use]
    pub fn for_unit(&self, name: &str) -> Option<&NodeDisruptionPolicyUnit> {
        let _ = name;
        todo!()
    }
}
