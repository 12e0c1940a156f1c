//! ContainerRuntimeConfig: changes to CRI-O's configuration on the nodes of some pools.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::PlainCondition;
use crate::kubelet_config::GomaxprocsBehavior;
use crate::schema::rule;

/// What to change on the container runtimes, and on which.
#[derive(CustomResource, Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "machineconfiguration.openshift.io",
    version = "v1",
    kind = "ContainerRuntimeConfig",
    plural = "containerruntimeconfigs",
    shortname = "ctrcfg",
    status = "ContainerRuntimeConfigStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Changes to the container runtime's configuration on the nodes of the pools that it selects. The controller makes a MachineConfig of it."
)]
#[serde(rename_all = "camelCase")]
pub struct ContainerRuntimeConfigSpec {
    /// The pools it is for, by their labels. A selector that is absent or empty selects nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub machine_config_pool_selector: Option<LabelSelector>,
    /// What to change.
    pub container_runtime_config: ContainerRuntimeConfiguration,
}

/// Settings of the container runtime. What is absent is left as it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerRuntimeConfiguration {
    /// Most processes in a container: 0 for the runtime's own limit, otherwise at least 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids_limit: Option<i64>,
    /// How much the runtime logs: fatal, panic, error, warn, info, debug or trace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub log_level: String,
    /// Longest log of a container. A negative number means no limit, a positive one must be above
    /// 8192 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::quantity")]
    pub log_size_max: Option<Quantity>,
    /// Most that a container may write to its own file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::quantity")]
    pub overlay_size: Option<Quantity>,
    /// The OCI runtime that containers run with unless they ask for another: crun or runc. Empty
    /// means the one that the OS brings.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(extend("enum" = ["", "crun", "runc"]))]
    pub default_runtime: String,
    /// Directories in which the runtime looks for layers of images before it pulls them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = 5),
        extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" = [unique_paths()])
    )]
    pub additional_layer_stores: Vec<AdditionalStore>,
    /// Directories in which the runtime looks for images before it pulls them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = 10),
        extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" = [unique_paths()])
    )]
    pub additional_image_stores: Vec<AdditionalStore>,
    /// Directories in which the runtime looks for OCI artifacts before it pulls them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = 10),
        extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" = [unique_paths()])
    )]
    pub additional_artifact_stores: Vec<AdditionalStore>,
    /// Whether GOMAXPROCS of containers follows their CPU request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_gomaxprocs_behavior: Option<GomaxprocsBehavior>,
}

/// A directory that the runtime reads from and never writes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdditionalStore {
    /// Absolute path on the node. It must be there before the configuration is applied.
    #[schemars(
        length(min = 1, max = 256),
        extend("x-kubernetes-validations" = [
            rule(
                "self.matches('^/[a-zA-Z0-9/._-]+$')",
                "the path must be absolute and consist of letters, digits and the characters / . _ -"
            ),
            rule("!self.contains('//')", "the path must not contain //"),
        ])
    )]
    pub path: String,
}

/// The rule that no path is given twice.
fn unique_paths() -> serde_json::Value {
    rule(
        "self.all(a, self.exists_one(b, a.path == b.path))",
        "a path must not be given twice",
    )
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerRuntimeConfigStatus {
    /// The generation that this status was computed from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Whether it was applied: Success, Failure; the newest last.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub conditions: Vec<PlainCondition>,
}
