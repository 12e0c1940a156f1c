//! The flags of `start`: the reference's (MCO controller 0.1) and a few of ours.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};

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

impl Args {
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
