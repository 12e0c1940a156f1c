//! MachineConfiguration (`operator.openshift.io/v1`): settings of the system itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a user says about the disruption of changes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeDisruptionPolicyConfig {
    /// Policies for files and directories.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<NodeDisruptionPolicyFile>,
    /// Policies for units.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<NodeDisruptionPolicyUnit>,
    /// Policy for SSH keys and the password hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sshkey: Option<NodeDisruptionPolicySshKey>,
}

/// Policy for one path: the file itself, or everything below the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeDisruptionPolicyFile {
    /// Absolute path.
    pub path: String,
    /// What to do when it changes, in order.
    #[serde(default)]
    pub actions: Vec<NodeDisruptionPolicyAction>,
}

/// Policy for one unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeDisruptionPolicyUnit {
    /// Full unit name.
    pub name: String,
    /// What to do when it changes, in order.
    #[serde(default)]
    pub actions: Vec<NodeDisruptionPolicyAction>,
}

/// Policy for SSH keys.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct NodeDisruptionPolicySshKey {
    /// What to do when they change, in order.
    #[serde(default)]
    pub actions: Vec<NodeDisruptionPolicyAction>,
}

/// One action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeDisruptionPolicyAction {
    /// What kind of action.
    #[serde(rename = "type")]
    pub type_: NodeDisruptionPolicyActionType,
    /// The unit to reload; with `Reload` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload: Option<ServiceAction>,
    /// The unit to restart; with `Restart` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<ServiceAction>,
}

/// The kinds of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NodeDisruptionPolicyActionType {
    /// Drain and reboot. Stands alone.
    Reboot,
    /// Evict the pods.
    Drain,
    /// Reload a service.
    Reload,
    /// Restart a service.
    Restart,
    /// Make systemd read its units anew.
    DaemonReload,
    /// Nothing to do. Stands alone.
    None,
    /// In status only: the daemon decides by the change itself (registries.conf).
    Special,
}

/// The unit an action is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAction {
    /// Full unit name.
    pub service_name: String,
}
