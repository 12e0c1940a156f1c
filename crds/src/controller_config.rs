//! ControllerConfig: what the controller knows of the cluster when it renders.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

// What the reference requires is written even when it is empty, so that an object of ours is valid
// there too.
/// What the controller knows of the cluster.
///
/// Nothing is required: off OpenShift most of it is empty.
#[derive(CustomResource, Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "machineconfiguration.openshift.io",
    version = "v1",
    kind = "ControllerConfig",
    plural = "controllerconfigs",
    status = "ControllerConfigStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "What the controller knows of the cluster when it renders: images, certificates, network. There is one, named machine-config-controller."
)]
#[serde(rename_all = "camelCase", default)]
pub struct ControllerConfigSpec {
    /// Address of the cluster's DNS service.
    #[serde(rename = "clusterDNSIP")]
    pub cluster_dns_ip: String,
    /// Text of the cloud provider's configuration file.
    pub cloud_provider_config: String,
    /// Deprecated: the platform; infra says it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub platform: String,
    /// Deprecated: the domain of etcd; infra says it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub etcd_discovery_domain: String,
    /// Certificates by which the kubelet trusts the API server. Rotated without anyone's doing.
    #[serde(rename = "kubeAPIServerServingCAData", skip_serializing_if = "is_empty")]
    #[schemars(schema_with = "crate::schema::bytes")]
    pub kube_api_server_serving_ca_data: ByteString,
    /// The cluster's root certificate.
    #[serde(rename = "rootCAData", skip_serializing_if = "is_empty")]
    #[schemars(schema_with = "crate::schema::bytes")]
    pub root_ca_data: ByteString,
    /// The cloud provider's certificates.
    #[serde(rename = "cloudProviderCAData")]
    #[schemars(schema_with = "crate::schema::bytes", extend("x-crd-nullable" = true))]
    pub cloud_provider_ca_data: Option<ByteString>,
    /// Certificates that the nodes trust in addition.
    #[schemars(schema_with = "crate::schema::bytes", extend("x-crd-nullable" = true))]
    pub additional_trust_bundle: Option<ByteString>,
    /// Certificates of image registries, given by the user.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub image_registry_bundle_user_data: Vec<ImageRegistryBundle>,
    /// Certificates of image registries, given by the cluster.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub image_registry_bundle_data: Vec<ImageRegistryBundle>,
    /// The secret with the credentials that every node gets for pulling images.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub pull_secret: Option<ObjectReference>,
    /// Credentials for the registry inside the cluster, from which OS images may come.
    #[schemars(schema_with = "crate::schema::bytes", extend("x-crd-nullable" = true))]
    pub internal_registry_pull_secret: Option<ByteString>,
    /// Pull specs that templates refer to, by the names that the templates use.
    pub images: BTreeMap<String, String>,
    /// Pull spec of the OS image that nodes run unless a MachineConfig says otherwise.
    #[serde(rename = "baseOSContainerImage")]
    pub base_os_container_image: String,
    /// Pull spec of the image with the OS extensions that belong to the OS image.
    #[serde(rename = "baseOSExtensionsContainerImage")]
    pub base_os_extensions_container_image: String,
    /// Historic: pull spec of an OS image in an older format. Not used.
    #[serde(rename = "osImageURL")]
    pub os_image_url: String,
    /// Pull spec of the release that the cluster was installed from.
    pub release_image: String,
    /// The proxy that nodes use.
    #[schemars(extend("x-crd-nullable" = true))]
    pub proxy: Option<ProxyStatus>,
    /// The whole Infrastructure object of the cluster (config.openshift.io/v1), as it is.
    #[schemars(schema_with = "crate::schema::raw_object", extend("x-crd-nullable" = true))]
    pub infra: Option<Map<String, Value>>,
    /// The whole DNS object of the cluster (config.openshift.io/v1), as it is.
    #[schemars(schema_with = "crate::schema::raw_object", extend("x-crd-nullable" = true))]
    pub dns: Option<Map<String, Value>>,
    /// IP families of the cluster network: IPv4, IPv6, `DualStack` or `DualStackIPv6Primary`.
    pub ip_families: String,
    /// Type of the cluster network.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub network_type: String,
    /// More about the cluster network.
    #[schemars(extend("x-crd-nullable" = true))]
    pub network: Option<NetworkInfo>,
    /// Peers for announcing virtual addresses by BGP, as the JSON text that nodes get as a file.
    #[serde(rename = "bgpVIPPeersJSON", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub bgp_vip_peers_json: Option<String>,
}

/// An API server does not take an empty text for bytes, so what is empty is left out.
fn is_empty(bytes: &ByteString) -> bool {
    bytes.0.is_empty()
}

/// Certificates of an image registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImageRegistryBundle {
    /// Name of the file that the node keeps them in.
    pub file: String,
    /// The certificates.
    #[schemars(schema_with = "crate::schema::bytes")]
    pub data: ByteString,
}

/// A proxy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyStatus {
    /// URL of the proxy for HTTP.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub http_proxy: String,
    /// URL of the proxy for HTTPS.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub https_proxy: String,
    /// Hosts and networks, separated by commas, that are reached without the proxy.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub no_proxy: String,
}

/// More about the cluster network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkInfo {
    /// A change of the packet size that is going on.
    #[schemars(extend("x-crd-nullable" = true))]
    pub mtu_migration: Option<MtuMigration>,
}

/// A change of the packet size (MTU).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MtuMigration {
    /// The change on the cluster network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<MtuValues>,
    /// The change on the nodes' own interfaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<MtuValues>,
}

/// From which packet size to which, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MtuValues {
    /// The size to come to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub to: Option<i32>,
    /// The size to start from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub from: Option<i32>,
}

/// What the controller made of its config.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ControllerConfigStatus {
    /// The generation that this status was computed from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How the rendering of templates stands: `TemplateControllerRunning`,
    /// `TemplateControllerCompleted`, `TemplateControllerFailing`.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<ControllerConfigCondition>,
    /// The certificates that the controller hands to nodes.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub controller_certificates: Vec<ControllerCertificate>,
}

/// A condition of a ControllerConfig. One of each type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ControllerConfigCondition {
    /// What the condition is about.
    #[serde(rename = "type")]
    pub type_: String,
    /// True, False or Unknown.
    pub status: String,
    /// When the status changed last.
    #[schemars(required, extend("x-crd-nullable" = true))]
    pub last_transition_time: Option<Time>,
    /// Why, in one word for programs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Why, in words for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// A certificate that the controller hands to nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ControllerCertificate {
    /// The certificate's subject.
    pub subject: String,
    /// Who signed it.
    pub signer: String,
    /// From when it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// Until when it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
    /// The bundle that it is in.
    pub bundle_file: String,
}
