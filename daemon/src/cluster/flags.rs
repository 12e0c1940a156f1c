//! The flags of `start`, which are the reference's (MCO daemon 1.1).

use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the metrics are by default: reached through a proxy that asks who wants them (MCO daemon 11.4).
const METRICS: &str = "127.0.0.1:8797";
/// Where the kubelet tells how it is (MCO daemon 11.3).
const KUBELET: &str = "http://localhost:10248/healthz";

/// How a node of a cluster is kept at its config.
#[derive(Debug, clap::Args)]
#[group(id = "flags-of-a-cluster")]
pub(crate) struct Flags {
    /// Credential for everything but the own node [default: that of the pod]
    #[arg(long, value_name = "FILE", env = "KUBECONFIG")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Name of the node
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    pub(crate) node_name: Option<String>,
    /// Credential of the kubelet, beneath the root of the node [default: /var/lib/kubelet/kubeconfig or /etc/kubernetes/kubelet.conf]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubelet_kubeconfig: Option<PathBuf>,
    /// Whether to look after the kubelet
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true",
          action = clap::ArgAction::Set)]
    pub(crate) kubelet_healthz_enabled: bool,
    /// Where the kubelet tells how it is
    #[arg(long, value_name = "URL", default_value = KUBELET)]
    pub(crate) kubelet_healthz_endpoint: String,
    /// Where to tell /metrics and /healthz
    #[arg(long, value_name = "ADDRESS", default_value = METRICS, alias = "metrics-listen-address")]
    pub(crate) metrics_url: SocketAddr,
    /// Not supported
    #[arg(long, hide = true)]
    pub(crate) desired_configmap: Option<String>,
    /// Ignored: metrics are told without TLS, as by the reference
    #[arg(long, hide = true)]
    tls_cipher_suites: Option<String>,
    /// Ignored: metrics are told without TLS, as by the reference
    #[arg(long, hide = true)]
    tls_min_version: Option<String>,
}
