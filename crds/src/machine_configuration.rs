//! MachineConfiguration (`operator.openshift.io/v1`): settings of the system itself. There is one,
//! named `cluster`.

mod boot_images;
mod disruption;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use boot_images::{
    ApiGroup, BootImageSkewEnforcement, BootImageSkewEnforcementStatus, BootImageVersions, MachineManager,
    MachineManagerMode, MachineManagerSelection, MachineResource, ManagedBootImages, ManualBootImage,
    ManualBootImageMode, PartialSelection, SkewMode, SkewStatusMode,
};
pub use disruption::{
    NodeDisruptionPolicyAction, NodeDisruptionPolicyActionType, NodeDisruptionPolicyConfig,
    NodeDisruptionPolicyFile, NodeDisruptionPolicySshKey, NodeDisruptionPolicyUnit, ServiceAction,
};

use crate::condition::Condition;

/// How the system itself behaves.
#[derive(CustomResource, Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "operator.openshift.io",
    version = "v1",
    kind = "MachineConfiguration",
    plural = "machineconfigurations",
    status = "MachineConfigurationStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "How the system itself behaves: above all which changes of a node's configuration need a reboot and which do not. There is one, named cluster."
)]
#[serde(rename_all = "camelCase", default)]
pub struct MachineConfigurationSpec {
    /// Whether the system is managed by its operator: Managed, Unmanaged, Force or Removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^(Managed|Unmanaged|Force|Removed)$"))]
    pub management_state: Option<String>,
    /// How much the system's parts log: Normal, Debug, Trace or `TraceAll`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = LOG_LEVELS, "x-crd-default" = "Normal"))]
    pub log_level: Option<String>,
    /// How much the operator logs: Normal, Debug, Trace or `TraceAll`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = LOG_LEVELS, "x-crd-default" = "Normal"))]
    pub operator_log_level: Option<String>,
    /// Overrides of the final configuration. Nobody answers for what they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::raw_object", extend("x-crd-nullable" = true))]
    pub unsupported_config_overrides: Option<Map<String, Value>>,
    /// Configuration that a controller has gathered from the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::raw_object", extend("x-crd-nullable" = true))]
    pub observed_config: Option<Map<String, Value>>,
    /// Forces a new deployment whenever the text changes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub force_redeployment_reason: String,
    /// How many failed revisions are kept; -1 for all, 0 for the default of 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_revision_limit: Option<i32>,
    /// How many successful revisions are kept; -1 for all, 0 for the default of 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub succeeded_revision_limit: Option<i32>,
    /// Whose boot images are kept up to date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_boot_images: Option<ManagedBootImages>,
    /// What a change of a file, a unit or the SSH keys does to a node. What is not named here goes
    /// by the defaults, and what they do not name is a reboot.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = disruption::as_in_spec)]
    pub node_disruption_policy: Option<NodeDisruptionPolicyConfig>,
    /// Changes that running nodes cannot follow and that are let through all the same, for the
    /// sake of nodes to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub irreconcilable_validation_overrides: Option<IrreconcilableValidationOverrides>,
    /// What happens when boot images become too old for the release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_image_skew_enforcement: Option<BootImageSkewEnforcement>,
}

/// The values of a log level.
const LOG_LEVELS: [&str; 5] = ["", "Normal", "Debug", "Trace", "TraceAll"];

/// Changes that are let through although running nodes cannot follow them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct IrreconcilableValidationOverrides {
    /// The parts of the Ignition config's storage section in which any change is let through.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 3), extend("x-kubernetes-list-type" = "set"))]
    pub storage: Vec<StorageOverride>,
}

/// A part of the Ignition config's storage section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum StorageOverride {
    /// Disks and their partitions.
    Disks,
    /// File systems.
    FileSystems,
    /// RAID arrays.
    Raid,
}

/// What the system made of its settings.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MachineConfigurationStatus {
    /// The generation that this status was computed from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How it stands: `BootImageUpdateProgressing`, `BootImageUpdateDegraded` and more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The NodeDisruptionPolicy that nodes go by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_disruption_policy_status: Option<NodeDisruptionPolicyStatus>,
    /// Whose boot images are kept up to date, the defaults included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_boot_images_status: Option<ManagedBootImages>,
    /// What happens when boot images become too old for the release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_image_skew_enforcement_status: Option<BootImageSkewEnforcementStatus>,
}

/// The NodeDisruptionPolicy that nodes go by.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeDisruptionPolicyStatus {
    /// The defaults, with the user's entries over them.
    pub cluster_policies: NodeDisruptionPolicyConfig,
}
