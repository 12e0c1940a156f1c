//! The command line: the reference's flags (`MCO server 1.1`) and a few of ours.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;

use crate::cluster::choice::Strategy;
use crate::files::RegistryCa;
use crate::gate::{Mode, Modes, Networks};
use crate::route::is_object_name;
use crate::snapshot::Unknown;

/// Hands Ignition configs to new machines.
#[derive(Debug, Parser)]
#[command(name = "machine-config-server", version = crate::VERSION, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How it is served, whatever is served.
    #[command(flatten)]
    pub serving: Serving,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the pools of a cluster
    ///
    /// Machines get the rendered config of their pool, and in it a credential of their own for asking for the kubelet's certificate.
    Start(Start),
    /// Serve what a directory holds
    ///
    /// The directory is the one that `machine-config-controller bootstrap` writes.
    Bootstrap(Bootstrap),
    /// Print the version
    Version,
}

/// `start`
#[derive(Debug, Args)]
pub struct Start {
    /// Where new machines reach the API server: https://HOST:PORT
    #[arg(long, value_name = "URL", value_parser = api_server)]
    pub apiserver_url: String,
    /// Kubeconfig of the server itself; that of its pod unless given
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace of the join tokens and of the ConfigMap kubeconfig-data
    #[arg(
        long,
        value_name = "NAME",
        env = "NAMESPACE",
        default_value = "machine-config"
    )]
    pub namespace: String,
    /// Which config new machines get while a pool rolls out another one
    #[arg(long, value_name = "WAY", value_enum, default_value_t)]
    pub serve: Strategy,
    /// Status for a pool that is not there: 500 makes machines wait for it, 404 makes them give up
    #[arg(long, value_name = "STATUS", value_enum, default_value = "500")]
    pub unknown_pool: UnknownPool,
    /// Seconds that the credential of a new machine is good for
    #[arg(long, value_name = "SECONDS", default_value = "900", value_parser = lifetime)]
    pub credential_lifetime: Duration,
    /// Hand out tokens of this service account, instead of one of each pool's own
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with = "bootstrap_token")]
    pub bootstrap_service_account: Option<AccountName>,
    /// Hand out the token in this directory, the same to every machine, as the reference does
    #[arg(long, value_name = "DIR")]
    pub bootstrap_token: Option<PathBuf>,
    /// Rule: the address belongs to a network that is let in
    #[arg(long, value_name = "MODE", value_enum, default_value = "audit")]
    pub networks: Mode,
    /// Networks that are let in, such as 10.0.0.0/16; all, unless given
    #[arg(long, value_name = "NETWORKS")]
    pub allow_networks: Vec<NetworkList>,
    /// Networks that are not: those of pods
    #[arg(long, value_name = "NETWORKS")]
    pub deny_networks: Vec<NetworkList>,
    /// Rule: the address is that of no node that has joined already
    #[arg(long, value_name = "MODE", value_enum, default_value = "audit")]
    pub joined_nodes: Mode,
    /// Rule: the request has a join token for the pool
    #[arg(long, value_name = "MODE", value_enum, default_value = "audit")]
    pub join_token: Mode,
    /// Rule: the connection has a client certificate; not asked without --client-ca
    #[arg(long, value_name = "MODE", value_enum, default_value = "audit")]
    pub client_certificate: Mode,
    /// CA of client certificates, in PEM
    #[arg(long, value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// Requests for configs that an address may make in a minute; 0 for any number
    #[arg(long, value_name = "N", default_value_t = 1200)]
    pub requests_per_address: u32,
}

/// `--unknown-pool`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UnknownPool {
    /// Machines come again until the pool is there; the reference's way
    #[value(name = "500")]
    Wait,
    /// Machines give up
    #[value(name = "404")]
    GiveUp,
}

/// Networks, separated by commas. None is written as nothing, so that a setting can be there and empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkList(Vec<IpNet>);

/// A service account: `NAMESPACE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Start {
    /// The modes of the rules. A rule that cannot be met by anybody, since there is no CA for it, is off unless it is enforced.
    #[must_use]
    pub fn modes(&self) -> Modes {
        let is_dead = self.client_ca.is_none() && self.client_certificate == Mode::Audit;
        Modes {
            networks: self.networks,
            joined_nodes: self.joined_nodes,
            join_token: self.join_token,
            client_certificate: if is_dead {
                Mode::Off
            } else {
                self.client_certificate
            },
        }
    }

    /// The networks that are let in and those that are not.
    #[must_use]
    pub fn networks(&self) -> Networks {
        let all = |lists: &[NetworkList]| lists.iter().flat_map(|list| list.0.clone()).collect();
        Networks {
            allowed: all(&self.allow_networks),
            denied: all(&self.deny_networks),
        }
    }

    /// How often an address may come in a minute; none for as often as it likes.
    #[must_use]
    pub fn requests_per_address(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.requests_per_address)
    }
}

impl From<UnknownPool> for Unknown {
    fn from(flag: UnknownPool) -> Self {
        match flag {
            UnknownPool::Wait => Self::Wait,
            UnknownPool::GiveUp => Self::GiveUp,
        }
    }
}

impl FromStr for NetworkList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let networks = text.split(',').filter(|network| !network.is_empty());
        let networks: Result<_, _> = networks.map(str::parse).collect();
        networks
            .map(Self)
            .map_err(|_| "expected networks, such as 10.0.0.0/16,fd00::/64".to_owned())
    }
}

impl FromStr for AccountName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((namespace, name)) if is_object_name(namespace) && is_object_name(name) => Ok(Self {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            Some(_) | None => Err("expected NAMESPACE/NAME of a service account".to_owned()),
        }
    }
}

/// `bootstrap`
#[derive(Debug, Args)]
pub struct Bootstrap {
    /// Directory with machine-pools, machine-configs and controller-config
    #[arg(long, value_name = "DIR", default_value = "/etc/mcs/bootstrap")]
    pub server_basedir: PathBuf,
    /// Kubeconfig that new machines begin with
    #[arg(long, value_name = "FILE", default_value = "/etc/kubernetes/kubeconfig")]
    pub bootstrap_kubeconfig: PathBuf,
    /// Registry and its CA, relative to --server-basedir: HOST=FILE or HOST:PORT=FILE; may be repeated
    #[arg(long, value_name = "HOST=FILE", value_delimiter = ',')]
    pub bootstrap_certs: Vec<RegistryCa>,
    /// Serve every pool, not only master and arbiter
    #[arg(long)]
    pub all_pools: bool,
}

/// Flags of all sub-commands; as in the reference they may stand before the sub-command too.
#[derive(Debug, Args)]
#[expect(clippy::doc_markdown, reason = "these comments are what --help prints")]
pub struct Serving {
    /// Port for TLS
    #[arg(long, global = true, value_name = "PORT", default_value_t = 22623)]
    pub secure_port: u16,
    /// Port for plain HTTP, with the same secrets for anyone who listens in; closed unless given
    #[arg(long, global = true, value_name = "PORT")]
    pub insecure_port: Option<u16>,
    /// Address to listen on; all interfaces unless given
    #[arg(long, global = true, value_name = "IP")]
    pub bind_address: Option<IpAddr>,
    /// Certificate chain in PEM; read again when it changes
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "/etc/ssl/mcs/tls.crt"
    )]
    pub cert: PathBuf,
    /// Private key in PEM; read again when it changes
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "/etc/ssl/mcs/tls.key"
    )]
    pub key: PathBuf,
    /// Lowest TLS version: VersionTLS12 or VersionTLS13
    ///
    /// Unless given it is that of the TLS profile in api-server/api-server.yaml, else VersionTLS12.
    #[arg(
        long,
        global = true,
        value_name = "VERSION",
        default_value = "",
        hide_default_value = true
    )]
    pub tls_min_version: String,
    /// Cipher suites to offer, by their IANA names, and no others
    ///
    /// Unless given they are those of the TLS profile in api-server/api-server.yaml, else all that are built in.
    #[arg(long, global = true, value_name = "NAMES", value_delimiter = ',')]
    pub tls_cipher_suites: Vec<String>,
    /// Address to tell metrics on; empty for none
    ///
    /// Unless given it is 127.0.0.1:8798, and no error if that is taken.
    #[arg(long, global = true, value_name = "IP:PORT", value_parser = metrics_address)]
    pub metrics_listen_address: Option<MetricsAddress>,
    /// Connections at a time; more have to wait
    #[arg(long, global = true, value_name = "N", default_value_t = 4096, value_parser = max_connections)]
    pub max_connections: usize,
    /// Seconds a client has for the handshake, and for each request after the one before
    #[arg(long, global = true, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub header_timeout: Duration,
    /// Seconds after which a client that does not take its answer is cut off
    #[arg(long, global = true, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub idle_timeout: Duration,
    /// Seconds that running answers have to end after SIGTERM
    #[arg(long, global = true, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    pub shutdown_timeout: Duration,
    /// Form of the log
    #[arg(long, global = true, value_name = "FORM", default_value = "text")]
    pub log_format: LogFormat,
    /// Release version. Accepted because callers of the reference give it.
    #[arg(long, global = true, value_name = "VERSION", hide = true)]
    pub payload_version: Option<String>,
    /// Flags of the reference's logging library.
    #[command(flatten)]
    pub klog: Klog,
}

/// Flags of the reference's logging library, accepted so that its callers need not change. Only `--v` has
/// a meaning.
#[derive(Debug, Args)]
pub struct Klog {
    /// Verbosity: 4 and above is debug
    #[arg(
        short,
        long,
        global = true,
        value_name = "N",
        hide = true,
        default_value_t = 0
    )]
    pub v: u8,
    /// Ignored: the log always goes to standard error
    #[arg(long, global = true, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub logtostderr: Option<bool>,
    /// Ignored: the log always goes to standard error
    #[arg(long, global = true, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub alsologtostderr: Option<bool>,
    /// Ignored: the log always goes to standard error
    #[arg(long, global = true, hide = true)]
    pub stderrthreshold: Option<String>,
    /// Ignored
    #[arg(long, global = true, hide = true)]
    pub vmodule: Option<String>,
    /// Ignored
    #[arg(long = "add_dir_header", alias = "add-dir-header", global = true, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub add_dir_header: Option<bool>,
    /// Ignored
    #[arg(long = "skip_headers", alias = "skip-headers", global = true, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub skip_headers: Option<bool>,
    /// Ignored
    #[arg(long = "skip_log_headers", alias = "skip-log-headers", global = true, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub skip_log_headers: Option<bool>,
    /// Ignored
    #[arg(long = "one_output", alias = "one-output", global = true, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub one_output: Option<bool>,
    /// Ignored: the log always goes to standard error
    #[arg(long = "log_file", alias = "log-file", global = true, hide = true)]
    pub log_file: Option<String>,
    /// Ignored
    #[arg(
        long = "log_file_max_size",
        alias = "log-file-max-size",
        global = true,
        hide = true
    )]
    pub log_file_max_size: Option<String>,
    /// Ignored
    #[arg(long = "log_dir", alias = "log-dir", global = true, hide = true)]
    pub log_dir: Option<String>,
    /// Ignored
    #[arg(
        long = "log_backtrace_at",
        alias = "log-backtrace-at",
        global = true,
        hide = true
    )]
    pub log_backtrace_at: Option<String>,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object per line.
    Json,
}

/// Where metrics are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsAddress {
    /// Nowhere.
    Off,
    /// On this address.
    On(SocketAddr),
}

fn metrics_address(text: &str) -> Result<MetricsAddress, String> {
    if text.is_empty() {
        return Ok(MetricsAddress::Off);
    }
    text.parse()
        .map(MetricsAddress::On)
        .map_err(|_| "expected ip:port, such as 127.0.0.1:8798".to_owned())
}

fn api_server(text: &str) -> Result<String, String> {
    let uri: Option<http::Uri> = text.parse().ok();
    let is_sound = uri.is_some_and(|uri| {
        uri.scheme_str() == Some("https")
            && uri.host().is_some()
            && uri.path() == "/"
            && uri.query().is_none()
    });
    let url = text.trim_end_matches('/').to_owned();
    is_sound
        .then_some(url)
        .ok_or_else(|| "expected https://HOST:PORT".to_owned())
}

fn lifetime(text: &str) -> Result<Duration, String> {
    /// The API server makes no token that lives shorter.
    const SHORTEST: u64 = 600;
    /// A day: more is not for a machine that joins now.
    const LONGEST: u64 = 86_400;
    match text.parse() {
        Ok(seconds) if (SHORTEST..=LONGEST).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("expected seconds, from {SHORTEST} to {LONGEST}")),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    /// A day: more is no timeout.
    const LONGEST: f64 = 86_400.0;
    // `10s` is how callers of other tools write it.
    match text.strip_suffix('s').unwrap_or(text).parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= LONGEST => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("expected seconds, more than 0 and at most {LONGEST}")),
    }
}

fn max_connections(text: &str) -> Result<usize, String> {
    /// Beyond what file descriptors of one process allow.
    const MOST: usize = 1 << 20;
    match text.parse() {
        Ok(n) if (1..=MOST).contains(&n) => Ok(n),
        _ => Err(format!("expected a number from 1 to {MOST}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn read(arguments: &[&str]) -> Result<(Bootstrap, Serving), String> {
        let all = ["machine-config-server"].iter().chain(arguments);
        let cli = Cli::try_parse_from(all).map_err(|error| error.to_string())?;
        match cli.command {
            Command::Bootstrap(bootstrap) => Ok((bootstrap, cli.serving)),
            Command::Start(_) | Command::Version => Err("another command".to_owned()),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn networks_may_be_none_several_or_given_twice() {
        let denied = |flags: &[&str]| {
            let all = ["machine-config-server", "start", "--apiserver-url=https://a:6443"];
            let cli = Cli::try_parse_from(all.iter().chain(flags)).map_err(|error| error.to_string())?;
            match cli.command {
                Command::Start(start) => Ok(start.networks().denied.len()),
                Command::Bootstrap(_) | Command::Version => Err("another command".to_owned()),
            }
        };
        // As a manifest writes it whose setting is empty.
        assert_eq!(denied(&["--deny-networks="]), Ok(0));
        assert_eq!(
            denied(&[
                "--deny-networks=10.0.0.0/16,fd00::/64",
                "--deny-networks=10.1.0.0/16"
            ]),
            Ok(3)
        );
        assert!(
            denied(&["--deny-networks=10.0.0.0"])
                .unwrap_err()
                .contains("expected networks")
        );
    }

    #[test]
    fn defaults_are_the_reference_s_but_for_the_plain_port() {
        let (flags, serving) = read(&["bootstrap"]).unwrap();
        assert_eq!(flags.server_basedir, PathBuf::from("/etc/mcs/bootstrap"));
        assert_eq!(
            flags.bootstrap_kubeconfig,
            PathBuf::from("/etc/kubernetes/kubeconfig")
        );
        assert_eq!(serving.cert, PathBuf::from("/etc/ssl/mcs/tls.crt"));
        assert_eq!(serving.key, PathBuf::from("/etc/ssl/mcs/tls.key"));
        assert_eq!((serving.secure_port, serving.insecure_port), (22623, None));
        assert!(!flags.all_pools);
    }

    #[test]
    fn what_callers_of_the_reference_say_is_understood() {
        let (flags, serving) = read(&[
            "--secure-port=1",
            "bootstrap",
            "--bootstrap-certs=registry.example.com:5000=certs/a.crt",
            "--bootstrap-certs",
            "[fd00::1]:5000=/certs/b.crt",
            "--payload-version=4.22.0",
            "--logtostderr=true",
            "-v=4",
            "--alsologtostderr",
            "--add_dir_header",
            "--skip_headers=true",
            "--log_file=/var/log/mcs.log",
            "--log_dir",
            "/var/log",
            "--insecure-port=22624",
            "--tls-min-version=VersionTLS13",
            "--tls-cipher-suites=TLS_AES_128_GCM_SHA256,TLS_AES_256_GCM_SHA384",
            "--metrics-listen-address=",
            "--header-timeout=2.5s",
        ])
        .unwrap();
        assert_eq!(flags.bootstrap_certs.len(), 2);
        assert_eq!(
            flags.bootstrap_certs[1],
            "[fd00::1]:5000=certs/b.crt".parse().unwrap()
        );
        assert_eq!(serving.secure_port, 1);
        assert_eq!(serving.header_timeout, Duration::from_millis(2500));
        assert_eq!(serving.klog.v, 4);
        assert_eq!(serving.insecure_port, Some(22624));
        assert_eq!(serving.tls_min_version, "VersionTLS13");
        assert_eq!(serving.tls_cipher_suites.len(), 2);
        assert_eq!(serving.metrics_listen_address, Some(MetricsAddress::Off));
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_the_way_out() {
        let cases = [
            ("--bootstrap-certs=registry", "host[:port]=file"),
            ("--bootstrap-certs=../a=b", "no registry"),
            ("--bootstrap-certs=a=../b", "below --server-basedir"),
            ("--bootstrap-certs=a=", "below --server-basedir"),
            ("--metrics-listen-address=8798", "127.0.0.1:8798"),
            ("--header-timeout=0", "more than 0"),
            ("--idle-timeout=1m", "expected seconds"),
            ("--max-connections=0", "from 1"),
            ("--bind-address=localhost", "invalid IP"),
        ];
        for (argument, expected) in cases {
            let error = read(&["bootstrap", argument]).unwrap_err();
            assert!(error.contains(expected), "{argument}: {error}");
        }
    }
}
