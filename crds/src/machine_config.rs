//! MachineConfig: one fragment of node configuration, or a rendered one.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

// As in the reference every field but `config` is written even when it says nothing.
/// What the fragment says.
#[derive(CustomResource, Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "machineconfiguration.openshift.io",
    version = "v1",
    kind = "MachineConfig",
    plural = "machineconfigs",
    shortname = "mc",
    derive = "PartialEq",
    derive = "Default",
    doc = "One fragment of node configuration. The controller merges all MachineConfigs that a pool selects, in the order of their names, into one rendered MachineConfig, which the nodes of the pool follow."
)]
#[serde(rename_all = "camelCase", default)]
pub struct MachineConfigSpec {
    /// Pull spec of the OS image. Honoured on configs of users and on rendered configs.
    #[serde(rename = "osImageURL")]
    pub os_image_url: String,
    /// Pull spec of the image with the OS extensions. Honoured where osImageURL is.
    #[serde(rename = "baseOSExtensionsContainerImage")]
    pub base_os_extensions_container_image: String,
    /// An Ignition config of any supported version: files, units, users.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::raw_object")]
    pub config: Option<Value>,
    /// Kernel arguments to add; an entry may hold several, separated by spaces.
    #[schemars(extend("x-crd-nullable" = true, "x-kubernetes-list-type" = "atomic"))]
    pub kernel_arguments: Option<Vec<String>>,
    /// Names of OS extensions to install.
    #[schemars(extend("x-crd-nullable" = true, "x-kubernetes-list-type" = "atomic"))]
    pub extensions: Option<Vec<String>>,
    /// Whether the node is to run in FIPS mode. Decided at installation and not changed later.
    pub fips: bool,
    /// Kernel to boot: empty or default, realtime, 64k-pages.
    pub kernel_type: String,
}
