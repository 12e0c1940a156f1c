//! KubeletConfig: changes to the kubelet's configuration on the nodes of some pools.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::condition::PlainCondition;

/// What to change on the kubelets, and on which.
#[derive(CustomResource, Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "machineconfiguration.openshift.io",
    version = "v1",
    kind = "KubeletConfig",
    plural = "kubeletconfigs",
    status = "KubeletConfigStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Changes to the kubelet's configuration on the nodes of the pools that it selects. The controller makes a MachineConfig of it."
)]
#[serde(rename_all = "camelCase", default)]
pub struct KubeletConfigSpec {
    /// Whether the memory and CPU kept back for the system are computed from the size of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_sizing_reserved: Option<bool>,
    /// How much the kubelet logs, from 0 (little) to 10 (everything).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10))]
    pub log_level: Option<i32>,
    /// The pools it is for, by their labels. A selector that is absent or empty selects nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub machine_config_pool_selector: Option<LabelSelector>,
    /// Fields of the kubelet's own configuration (kubelet.config.k8s.io/v1beta1). They are checked
    /// by the kubelet; a wrong value can make nodes unusable.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::raw_object")]
    pub kubelet_config: Option<Map<String, Value>>,
    /// The TLS versions and ciphers that the kubelet serves with. Absent means the cluster's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_security_profile: Option<TlsSecurityProfile>,
    /// Whether GOMAXPROCS of kubelet and container runtime follows the CPU kept back for the
    /// system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_gomaxprocs_behavior: Option<GomaxprocsBehavior>,
}

/// Whether GOMAXPROCS is set from the CPU that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GomaxprocsBehavior {
    /// It is.
    Autosize,
    /// It is left to the Go runtime.
    Disabled,
}

/// TLS versions and ciphers, as one of the usual profiles or one by one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TlsSecurityProfile {
    /// Which profile.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<TlsProfileType>,
    /// Says nothing more about the profile Old.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-crd-nullable" = true))]
    pub old: Option<NoSettings>,
    /// Says nothing more about the profile Intermediate.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-crd-nullable" = true))]
    pub intermediate: Option<NoSettings>,
    /// Says nothing more about the profile Modern.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-crd-nullable" = true))]
    pub modern: Option<NoSettings>,
    /// The settings of the profile Custom.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-crd-nullable" = true))]
    pub custom: Option<CustomTlsProfile>,
}

/// An object without fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct NoSettings {}

/// The usual TLS profiles, after Mozilla's guidelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsProfileType {
    /// For very old clients.
    Old,
    /// For most clients of today.
    Intermediate,
    /// TLS 1.3 only.
    Modern,
    /// Versions and ciphers one by one.
    Custom,
}

/// TLS versions and ciphers one by one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CustomTlsProfile {
    /// Names of ciphers, as OpenSSL calls them. Those of TLS 1.3 cannot be chosen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub ciphers: Vec<String>,
    /// Names of groups (curves) for the key exchange.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = 5),
        inner(length(max = 64)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub groups: Vec<String>,
    /// The oldest version that is spoken.
    #[serde(rename = "minTLSVersion", skip_serializing_if = "Option::is_none")]
    pub min_tls_version: Option<TlsVersion>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.0.
    VersionTLS10,
    /// TLS 1.1.
    VersionTLS11,
    /// TLS 1.2.
    VersionTLS12,
    /// TLS 1.3.
    VersionTLS13,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KubeletConfigStatus {
    /// The generation that this status was computed from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Whether it was accepted; the newest last.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub conditions: Vec<PlainCondition>,
}
