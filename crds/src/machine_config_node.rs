//! MachineConfigNode: how far one node is with its update, step by step.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::schema::{SUBDOMAIN, image_digest, rule};

/// Name that stands where a config or pool is not known yet.
pub const NOT_YET_SET: &str = "not-yet-set";

/// What the node is to become.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "machineconfiguration.openshift.io",
    version = "v1",
    kind = "MachineConfigNode",
    plural = "machineconfignodes",
    status = "MachineConfigNodeStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "How far one node is with its update, step by step. There is one for every node, with the node's name; the system writes it.",
    validation = ("self.metadata.name == self.spec.node.name", "spec.node.name must be the name of the object")
)]
#[serde(rename_all = "camelCase")]
pub struct MachineConfigNodeSpec {
    /// The node.
    pub node: NamedReference,
    /// The pool that decides about the node.
    pub pool: NamedReference,
    /// The config that the node is to have.
    pub config_version: DesiredConfigVersion,
    /// The OS image that the node is to have. Only in pools whose OS image is built on the cluster;
    /// there it goes before osImageURL of the config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_image: Option<DesiredConfigImage>,
}

/// An object by its name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct NamedReference {
    /// Name of the object.
    #[schemars(length(max = 253), regex(pattern = SUBDOMAIN))]
    pub name: String,
}

/// The config that a node is to have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct DesiredConfigVersion {
    /// Name of the rendered config.
    #[schemars(length(max = 253), regex(pattern = SUBDOMAIN))]
    pub desired: String,
}

/// The OS image that a node is to have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DesiredConfigImage {
    /// Pull spec with a digest.
    #[schemars(length(min = 1, max = 447), extend("x-kubernetes-validations" = image_digest()))]
    pub desired_image: String,
}

/// How far the node is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MachineConfigNodeStatus {
    /// The steps of the update, one condition each, and Updated, `NodeDegraded`,
    /// `PinnedImageSetsProgressing`, `PinnedImageSetsDegraded`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 20),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
    /// The generation that this status was written for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        range(min = 1),
        extend("x-kubernetes-validations" = [not_less("observedGeneration")])
    )]
    pub observed_generation: Option<i64>,
    /// The config that the node has and the one that it has begun to go to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_version: Option<ConfigVersion>,
    /// The OS image that the node has and the one that it has begun to go to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_image: Option<ConfigImage>,
    /// The PinnedImageSets of the node's pool.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub pinned_image_sets: Vec<NodePinnedImageSet>,
    /// What the config asks for and this node, being installed already, cannot follow.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["fieldPath"])
    )]
    pub irreconcilable_changes: Vec<IrreconcilableChange>,
    /// The releases whose images the node keeps for the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal_release_image: Option<NodeInternalReleaseImage>,
}

/// The config that a node has and the one that it has begun to go to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ConfigVersion {
    /// Name of the rendered config that the node has.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253), extend("x-kubernetes-validations" = [empty_or_subdomain()]))]
    pub current: String,
    /// Name of the rendered config that the node goes to.
    #[schemars(length(max = 253), regex(pattern = SUBDOMAIN))]
    pub desired: String,
}

/// The OS image that a node has and the one that it has begun to go to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("minProperties" = 1))]
pub struct ConfigImage {
    /// Pull spec, with a digest, of the image that the node runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 447), extend("x-kubernetes-validations" = image_digest()))]
    pub current_image: Option<String>,
    /// Pull spec, with a digest, of the image that the node goes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 447), extend("x-kubernetes-validations" = image_digest()))]
    pub desired_image: Option<String>,
}

/// How far the node is with a PinnedImageSet. Generations are those of the PinnedImageSet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule(
        "!has(self.desiredGeneration) || !has(self.currentGeneration) || self.desiredGeneration >= self.currentGeneration",
        "currentGeneration must not be above desiredGeneration"
    ),
    rule(
        "!has(self.desiredGeneration) || !has(self.lastFailedGeneration) || self.desiredGeneration >= self.lastFailedGeneration",
        "lastFailedGeneration must not be above desiredGeneration"
    ),
    rule(
        "!has(self.lastFailedGeneration) || has(self.lastFailedGenerationError)",
        "lastFailedGenerationError must say why lastFailedGeneration failed"
    ),
]))]
pub struct NodePinnedImageSet {
    /// Name of the PinnedImageSet.
    #[schemars(length(max = 253), regex(pattern = SUBDOMAIN))]
    pub name: String,
    /// The generation whose images are all on the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), extend("x-kubernetes-validations" = [not_less("currentGeneration")]))]
    pub current_generation: Option<i32>,
    /// The generation whose images are to be on the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), extend("x-kubernetes-validations" = [not_less("desiredGeneration")]))]
    pub desired_generation: Option<i32>,
    /// The generation that failed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), extend("x-kubernetes-validations" = [not_less("lastFailedGeneration")]))]
    pub last_failed_generation: Option<i32>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32768))]
    pub last_failed_generation_error: Option<String>,
}

/// A difference that the node cannot follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IrreconcilableChange {
    /// The field of the rendered config, beginning with spec.
    #[schemars(
        length(min = 1, max = 70),
        extend("x-kubernetes-validations" = [
            rule("self.startsWith('spec.')", "the path must begin with spec."),
            rule(
                r"self.matches('^[0-9a-zA-Z.\\[\\]]+$')",
                "the path must consist of letters, digits, dots and square brackets"
            ),
        ])
    )]
    pub field_path: String,
    /// What the node has and what the config asks for.
    #[schemars(length(min = 1, max = 4096))]
    pub diff: String,
}

/// The releases whose images a node keeps for the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeInternalReleaseImage {
    /// The releases, by their names.
    #[schemars(
        length(min = 1, max = 5),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub releases: Vec<NodeRelease>,
}

/// A release whose images a node keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeRelease {
    /// How the images stand: Mounted, Installing, Available, Removing, Degraded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = 5),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
    /// Name of the release.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// Pull spec of the release, with a digest, once it is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 447), extend("x-kubernetes-validations" = image_digest()))]
    pub image: Option<String>,
}

/// The rule that a number only grows.
fn not_less(field: &str) -> serde_json::Value {
    rule("self >= oldSelf", &format!("{field} must not become less"))
}

/// The rule of a name that may not be known yet.
fn empty_or_subdomain() -> serde_json::Value {
    rule(
        r"self == '' || self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
        "the name must be empty or consist of lower-case letters, digits, - and .",
    )
}
