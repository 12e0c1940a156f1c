//! MachineConfigPool: nodes that share one rendered config, and how it is rolled out to them.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::PlainCondition;
use crate::schema::{SUBDOMAIN, rule};

/// What a pool is made of and how its nodes are updated.
#[derive(CustomResource, Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "machineconfiguration.openshift.io",
    version = "v1",
    kind = "MachineConfigPool",
    plural = "machineconfigpools",
    shortname = "mcp",
    status = "MachineConfigPoolStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A set of nodes that share one rendered config. The controller renders the MachineConfigs that the pool selects into one and rolls it out to the nodes that the pool selects."
)]
#[serde(rename_all = "camelCase", default)]
pub struct MachineConfigPoolSpec {
    /// Which MachineConfigs are rendered for the pool, and which PinnedImageSets apply to it, by
    /// their labels. A selector that is absent selects nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub machine_config_selector: Option<LabelSelector>,
    /// Which nodes are in the pool, by their labels. A selector that is absent or empty selects
    /// nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub node_selector: Option<LabelSelector>,
    /// Stops the rollout to further nodes. Rendering goes on.
    pub paused: bool,
    /// How many nodes of the pool may be unavailable at once during a rollout, as a number or a
    /// percentage of the pool. Nodes that are unavailable for other reasons count too. Absent
    /// and 0 mean 1; to stop a rollout set paused. Pod disruption budgets are honoured whatever
    /// the number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrString>,
    /// The rendered config that the nodes are to have. Written by the controller.
    pub configuration: PoolConfiguration,
    /// The PinnedImageSets that apply to the pool. Written by the controller.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub pinned_image_sets: Vec<PinnedImageSetReference>,
    /// The OS image stream whose images the nodes run. Absent means the cluster's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_image_stream: Option<OsImageStreamReference>,
}

/// A rendered config and what it was rendered from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct PoolConfiguration {
    /// API version of the rendered config.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// A part of the object. Not used here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field_path: Option<String>,
    /// Kind of the rendered config: MachineConfig.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name of the rendered config. Empty until the pool is rendered for the first time.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Namespace of the object. Not used here, since MachineConfigs have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Resource version of the rendered config.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// The MachineConfigs that were merged, in the order of the merge.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub source: Vec<ObjectReference>,
    /// UID of the rendered config.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

/// A PinnedImageSet by its name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PinnedImageSetReference {
    /// Name of the PinnedImageSet.
    #[schemars(
        length(min = 1, max = 253),
        regex(
            pattern = r"^([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9\-]{0,61}[a-zA-Z0-9])(\.([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9\-]{0,61}[a-zA-Z0-9]))*$"
        )
    )]
    pub name: String,
}

/// An OS image stream by its name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct OsImageStreamReference {
    /// Name of the stream, for instance rhel-9.
    #[schemars(length(min = 1, max = 253), regex(pattern = SUBDOMAIN))]
    pub name: String,
}

/// How far the rollout is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MachineConfigPoolStatus {
    /// The generation of the pool that this status was computed from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The rendered config that every node of the pool has.
    pub configuration: PoolConfiguration,
    /// Nodes in the pool.
    pub machine_count: i32,
    /// Nodes that have the pool's config.
    pub updated_machine_count: i32,
    /// Nodes that have the pool's config and are ready.
    pub ready_machine_count: i32,
    /// Nodes that are not ready, or busy with an update.
    pub unavailable_machine_count: i32,
    /// Nodes on which an update has failed.
    pub degraded_machine_count: i32,
    /// What can be said about the pool: Updated, Updating, Degraded, `NodeDegraded`, `RenderDegraded`
    /// and more.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub conditions: Vec<PlainCondition>,
    /// When the certificates that nodes trust run out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub cert_expirys: Vec<CertificateExpiry>,
    /// How far other things that follow the pool are, by their type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["poolSynchronizerType"])
    )]
    pub pool_synchronizers_status: Vec<PoolSynchronizerStatus>,
    /// The OS image stream that the pool runs. Absent means the cluster's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_image_stream: Option<OsImageStreamReference>,
}

/// When a certificate runs out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateExpiry {
    /// The bundle that the certificate is in.
    pub bundle: String,
    /// The certificate's subject.
    pub subject: String,
    /// When it runs out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Time>,
}

/// How far something that follows the pool is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("self.machineCount >= self.updatedMachineCount", "updatedMachineCount must not be above machineCount"),
    rule("self.machineCount >= self.availableMachineCount", "availableMachineCount must not be above machineCount"),
    rule("self.machineCount >= self.unavailableMachineCount", "unavailableMachineCount must not be above machineCount"),
    rule("self.machineCount >= self.readyMachineCount", "readyMachineCount must not be above machineCount"),
    rule("self.availableMachineCount >= self.readyMachineCount", "readyMachineCount must not be above availableMachineCount"),
]))]
pub struct PoolSynchronizerStatus {
    /// What follows the pool.
    pub pool_synchronizer_type: PoolSynchronizerType,
    /// Nodes that are to follow.
    #[schemars(range(min = 0))]
    pub machine_count: i64,
    /// Nodes that have followed.
    #[schemars(range(min = 0))]
    pub updated_machine_count: i64,
    /// Nodes that have followed and are ready.
    #[schemars(range(min = 0))]
    pub ready_machine_count: i64,
    /// Nodes that are available.
    #[schemars(range(min = 0))]
    pub available_machine_count: i64,
    /// Nodes that are not available.
    #[schemars(range(min = 0))]
    pub unavailable_machine_count: i64,
    /// The generation that was applied last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        range(min = 0),
        extend("x-kubernetes-validations" = [rule(
            "self >= oldSelf || self == 0",
            "observedGeneration must not go back, except to 0"
        )])
    )]
    pub observed_generation: Option<i64>,
}

/// What can follow a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PoolSynchronizerType {
    /// The images of PinnedImageSets.
    PinnedImageSets,
}
