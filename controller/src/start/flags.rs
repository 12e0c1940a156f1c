//! The flags of `start`: the reference's (MCO controller 0.1) and a few of ours.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::joining;
use crate::leader::Timing;
use crate::log::LogFormat;

/// The port of the metrics.
pub(super) const METRICS_PORT: u16 = 8797;

/// Run the controller of a cluster
///
/// Renders the MachineConfigs of every pool, rolls the result out to its nodes one after another, drains nodes that ask for it, and says how
/// it stands. Of several replicas one works at a time.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Kubeconfig of the cluster; unless given that of the environment or of the pod
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Namespace of the Lease, and of events about objects without a namespace
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-system")]
    pub(super) resourcelock_namespace: String,
    /// Address to tell metrics and health on; empty for port 8797 of every interface
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8797", value_parser = metrics_address)]
    pub(super) metrics_listen_address: MetricsAddress,
    /// Cipher suites. Accepted because callers of the reference give them; the address speaks plain HTTP, as there
    #[arg(long, value_name = "NAMES", hide = true)]
    tls_cipher_suites: Option<String>,
    /// Lowest TLS version. Accepted because callers of the reference give it; the address speaks plain HTTP, as there
    #[arg(long, value_name = "VERSION", hide = true)]
    tls_min_version: Option<String>,
    /// Directory of what is known of images. Accepted because callers of the reference give it; no images are looked into
    #[arg(long, value_name = "DIR", hide = true)]
    streams_cache: Option<PathBuf>,
    /// Seconds from a change of a MachineConfig until pools are rendered, so that several changes are one
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(super) render_delay: Duration,
    /// How many rendered configs of a pool are kept that nobody refers to any more
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(super) rendered_configs_to_keep: usize,
    /// Node that this runs on: it is updated after the others of its pool
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    pub(super) node_name: Option<String>,
    /// Seconds after which another replica takes over from one that is gone
    #[arg(long, value_name = "SECONDS", default_value = "137", value_parser = seconds)]
    leader_elect_lease_duration: Duration,
    /// Seconds after which a replica that cannot renew its lease gives up
    #[arg(long, value_name = "SECONDS", default_value = "107", value_parser = seconds)]
    leader_elect_renew_deadline: Duration,
    /// Seconds between two looks at the lease
    #[arg(long, value_name = "SECONDS", default_value = "26", value_parser = seconds)]
    leader_elect_retry_period: Duration,
    /// Where new machines find the server of their configs, as a URL with host and port
    ///
    /// With it the controller makes the server's certificates, a pointer for each pool, and the accounts that machines join with.
    #[arg(long, value_name = "URL", env = "IGNITION_URL", value_parser = ignition_url)]
    ignition_url: Option<IgnitionUrl>,
    /// Further names and addresses of that server, for its certificate
    #[arg(long, value_name = "HOSTS", env = "IGNITION_HOSTS", value_delimiter = ',')]
    ignition_hosts: Vec<String>,
    /// Namespace of the pointers: one Secret for each pool
    #[arg(
        long,
        value_name = "NAMESPACE",
        env = "USER_DATA_NAMESPACE",
        default_value = "machine-config-user-data"
    )]
    user_data_namespace: String,
    /// Approve certificates of kubelets that meet every clause: by machines with a join token, and of nodes for their own names
    #[arg(long, env = "APPROVE_KUBELET_CERTIFICATES", num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true)]
    approve_kubelet_certificates: bool,
    /// Form of the log
    #[arg(long, value_name = "FORM", default_value = "json")]
    pub(super) log_format: LogFormat,
    #[command(flatten)]
    pub(super) klog: Klog,
}

/// The address of the metrics; none for every interface.
pub(super) type MetricsAddress = OptionalAddress;

/// An address, or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct OptionalAddress(Option<SocketAddr>);

impl OptionalAddress {
    pub(super) fn unwrap_or_else(self, other: impl FnOnce() -> SocketAddr) -> SocketAddr {
        self.0.unwrap_or_else(other)
    }
}

/// Flags of the reference's logging library, accepted so that its callers need not change. Only `--v` has a meaning.
#[derive(Debug, clap::Args)]
pub(super) struct Klog {
    /// Verbosity: 4 and above is debug
    #[arg(short, long, value_name = "N", hide = true, default_value_t = 0)]
    pub(super) v: u8,
    /// Ignored: the log always goes to standard error
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    logtostderr: Option<bool>,
    /// Ignored: the log always goes to standard error
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    alsologtostderr: Option<bool>,
    /// Ignored: the log always goes to standard error
    #[arg(long, hide = true)]
    stderrthreshold: Option<String>,
    /// Ignored
    #[arg(long, hide = true)]
    vmodule: Option<String>,
}

/// Where the server is; none where the variable for it is there and empty.
#[derive(Debug, Clone)]
pub(super) struct IgnitionUrl(Option<String>);

fn ignition_url(text: &str) -> Result<IgnitionUrl, String> {
    if text.is_empty() {
        return Ok(IgnitionUrl(None));
    }
    let url = text.trim_end_matches('/');
    let host = url.strip_prefix("https://").unwrap_or_default();
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_host) {
        return Err("expected https://HOST:PORT, such as https://api-int.example.com:22623".to_owned());
    }
    Ok(IgnitionUrl(Some(url.to_owned())))
}

impl Args {
    /// How machines join; none where nobody has said where.
    pub(super) fn joining(&self) -> Option<joining::Options> {
        let url = self.ignition_url.as_ref()?.0.clone()?;
        let hosts = self.ignition_hosts.iter().filter(|host| !host.is_empty());
        Some(joining::Options {
            url,
            hosts: hosts.cloned().collect(),
            namespace: self.resourcelock_namespace.clone(),
            pointers: self.user_data_namespace.clone(),
            approve: self.approve_kubelet_certificates,
        })
    }

    /// The times of the lease, which must fit each other.
    pub(super) fn timing(&self) -> Result<Timing> {
        let timing = Timing {
            lease: self.leader_elect_lease_duration,
            renew: self.leader_elect_renew_deadline,
            retry: self.leader_elect_retry_period,
        };
        ensure!(
            timing.renew < timing.lease,
            "--leader-elect-renew-deadline must be less than --leader-elect-lease-duration: else two replicas work at once"
        );
        ensure!(
            timing.retry < timing.renew,
            "--leader-elect-retry-period must be less than --leader-elect-renew-deadline"
        );
        ensure!(
            timing.lease >= Duration::from_secs(1) && !timing.retry.is_zero(),
            "--leader-elect-lease-duration must be a second at least, and --leader-elect-retry-period more than nothing"
        );
        Ok(timing)
    }
}

fn metrics_address(text: &str) -> Result<OptionalAddress, String> {
    if text.is_empty() {
        return Ok(OptionalAddress(None));
    }
    let text = if text.starts_with(':') {
        format!("0.0.0.0{text}")
    } else {
        text.to_owned()
    };
    text.parse()
        .map(|address| OptionalAddress(Some(address)))
        .map_err(|_| "expected IP:PORT, such as 127.0.0.1:8797".to_owned())
}

/// Seconds, with a fraction.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "expected a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "expected a number of seconds, not below 0".to_owned())
}
