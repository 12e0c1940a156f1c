//! MachineConfig: one fragment of node configuration, or a rendered one.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One fragment of node configuration, selected by pools through its role label.
#[derive(CustomResource, Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "machineconfiguration.openshift.io",
    version = "v1",
    kind = "MachineConfig",
    plural = "machineconfigs",
    shortname = "mc",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", default)]
pub struct MachineConfigSpec {
    /// Pull spec of the OS image. Honoured on configs of users and on rendered configs.
    #[serde(rename = "osImageURL")]
    pub os_image_url: String,
    /// Pull spec of the image with the OS extensions.
    pub base_os_extensions_container_image: String,
    /// An Ignition config of any supported version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub config: Option<serde_json::Value>,
    /// Kernel arguments to add; an entry may hold several, separated by spaces.
    pub kernel_arguments: Option<Vec<String>>,
    /// Names of OS extensions to install.
    pub extensions: Option<Vec<String>>,
    /// Whether the node is to run in FIPS mode.
    pub fips: bool,
    /// Kernel to boot: empty or `default`, `realtime`, `64k-pages`.
    pub kernel_type: String,
}
