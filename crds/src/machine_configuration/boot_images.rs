//! Boot images: whose are kept up to date, and what happens when they become too old.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schema::rule;

/// Whose boot images are kept up to date.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedBootImages {
    /// The kinds of resources that make machines, at most one entry for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 5),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["resource", "apiGroup"])
    )]
    pub machine_managers: Option<Vec<MachineManager>>,
}

/// A kind of resource that makes machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MachineManager {
    /// The kind of resource.
    pub resource: MachineResource,
    /// Its API group.
    pub api_group: ApiGroup,
    /// Which of them.
    pub selection: MachineManagerSelection,
}

/// Kinds of resources that make machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MachineResource {
    /// `MachineSet`.
    MachineSets,
    /// `ControlPlaneMachineSet`.
    ControlPlaneMachineSets,
}

/// API groups of resources that make machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApiGroup {
    /// OpenShift's Machine API.
    #[serde(rename = "machine.openshift.io")]
    MachineApi,
}

/// Which resources of a kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [rule(
    "self.mode == 'Partial' ? has(self.partial) : !has(self.partial)",
    "partial goes with the mode Partial, and only with it"
)]))]
pub struct MachineManagerSelection {
    /// All, some or none.
    pub mode: MachineManagerMode,
    /// Which ones; with Partial only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<PartialSelection>,
}

/// How many resources of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MachineManagerMode {
    /// All of them.
    All,
    /// Those that a selector matches.
    Partial,
    /// None of them.
    None,
}

/// The resources that a selector matches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartialSelection {
    /// Selects by labels.
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub machine_resource_selector: LabelSelector,
}

/// What the user wants to happen when boot images become too old for the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [with_mode("Manual", "manual")]))]
pub struct BootImageSkewEnforcement {
    /// Whether anything happens.
    pub mode: SkewMode,
    /// The oldest boot image in the cluster; with Manual only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manual: Option<ManualBootImage>,
}

/// Whether anything happens when boot images become too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SkewMode {
    /// The user says how old they are; upgrades wait until they are new enough.
    Manual,
    /// Nothing happens.
    None,
}

/// A boot image as the user gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    with_mode("OCPVersion", "ocpVersion"),
    with_mode("RHCOSVersion", "rhcosVersion"),
]))]
pub struct ManualBootImage {
    /// Which of the two versions is given.
    pub mode: ManualBootImageMode,
    /// The release that the image came with; with `OCPVersion` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 5, max = 10), extend("x-kubernetes-validations" = [ocp_version()]))]
    pub ocp_version: Option<String>,
    /// The version of the OS; with `RHCOSVersion` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 14, max = 21), extend("x-kubernetes-validations" = [rhcos_version()]))]
    pub rhcos_version: Option<String>,
}

/// Which version of a boot image is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ManualBootImageMode {
    /// The release.
    #[serde(rename = "OCPVersion")]
    OcpVersion,
    /// The OS.
    #[serde(rename = "RHCOSVersion")]
    RhcosVersion,
}

/// What happens when boot images become too old for the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [
    with_mode("Automatic", "automatic"),
    with_mode("Manual", "manual"),
]))]
pub struct BootImageSkewEnforcementStatus {
    /// Whether anything happens, and who knows the age.
    pub mode: SkewStatusMode,
    /// The oldest boot image, as the system knows it; with Automatic only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automatic: Option<BootImageVersions>,
    /// The oldest boot image, as the user gave it; with Manual only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manual: Option<ManualBootImage>,
}

/// Whether anything happens when boot images become too old, and who knows the age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SkewStatusMode {
    /// The system keeps them up to date and knows.
    Automatic,
    /// The user says.
    Manual,
    /// Nothing happens.
    None,
}

/// A boot image by its versions, at least one of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend(
    "minProperties" = 1,
    "x-kubernetes-validations" = [rule(
        "has(self.ocpVersion) || has(self.rhcosVersion)",
        "ocpVersion or rhcosVersion must be given"
    )]
))]
pub struct BootImageVersions {
    /// The release that the image came with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 5, max = 10), extend("x-kubernetes-validations" = [ocp_version()]))]
    pub ocp_version: Option<String>,
    /// The version of the OS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 14, max = 21), extend("x-kubernetes-validations" = [rhcos_version()]))]
    pub rhcos_version: Option<String>,
}

/// The rule that a field is given with one mode and with no other.
fn with_mode(mode: &str, field: &str) -> Value {
    rule(
        &format!("self.mode == '{mode}' ? has(self.{field}) : !has(self.{field})"),
        &format!("{field} goes with the mode {mode}, and only with it"),
    )
}

/// The rule of a release's version.
fn ocp_version() -> Value {
    rule(
        r"self.matches('^[0-9]+\\.[0-9]+\\.[0-9]+$')",
        "the version must have the form x.y.z",
    )
}

/// The rule of an OS version.
fn rhcos_version() -> Value {
    rule(
        r"self.matches('^[0-9]+\\.[0-9]+\\.([0-9]{8}|[0-9]{12})-[0-9]+$')",
        "the version must have the form major.minor.date-build, with a date of 8 or 12 digits",
    )
}
