//! What is counted, and how it is told to Prometheus (`OpenMetrics` text).
//!
//! Labels only ever take values from a bounded set: what a client writes into a request never becomes one.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tracing_appender::non_blocking::ErrorCounter;

use crate::gate::Objection;
use crate::route::About;
use crate::snapshot::Snapshot;

/// The media type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the latency buckets in seconds: from a look-up on loopback to a slow link.
const LATENCY_BUCKETS: [f64; 10] = [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// All metrics of one server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    latency: Histogram,
    sent: Counter,
    connections: ConnectionMetrics,
    configs: Family<ConfigLabels, Gauge>,
    problems: Gauge,
    reloads: Family<ReloadLabels, Counter>,
    reloaded_at: Family<WhatLabels, Gauge<f64, AtomicU64>>,
    log_dropped: Gauge,
    log: OnceLock<ErrorCounter>,
    sizes: Family<BodyLabels, Gauge>,
    built_at: Family<PoolLabels, Gauge<f64, AtomicU64>>,
    certificate_end: Gauge<f64, AtomicU64>,
    objections: Family<ObjectionLabels, Counter>,
    credentials: CredentialMetrics,
}

/// Metrics of what machines ask for their certificates with.
#[derive(Debug, Clone)]
pub struct CredentialMetrics {
    minted: Family<ResultLabels, Counter>,
    failures: Counter,
    wait: Histogram,
}

/// Metrics of the listeners.
#[derive(Debug, Clone, Default)]
pub struct ConnectionMetrics {
    open: Gauge,
    accepted: Counter,
    failures: Family<FailureLabels, Counter>,
}

/// Counts a connection as open for as long as it lives.
#[derive(Debug)]
pub struct OpenConnection(Gauge);

/// Why a connection did not come to its regular end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionFailure {
    /// The system did not hand it out.
    Accept,
    /// Its address holds more connections than it leaves to others.
    Share,
    /// The TLS handshake failed.
    Handshake,
    /// The TLS handshake took too long.
    HandshakeTimeout,
    /// A request header took too long, or none came.
    HeaderTimeout,
    /// A request that is not HTTP/1, or too large.
    BadRequest,
    /// The peer went away, or took too long to take its answer.
    Aborted,
}

/// What is reloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// The files that are served.
    Files,
    /// Certificate and key.
    Certificate,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    handler: &'static str,
    pool: Option<Arc<str>>,
    version: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConfigLabels {
    pool: Arc<str>,
    config: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabels {
    pool: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BodyLabels {
    pool: Arc<str>,
    version: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ObjectionLabels {
    rule: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WhatLabels {
    what: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    what: &'static str,
    result: &'static str,
}

// === impl Metrics ===

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics that have counted nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("machine_config_server"),
            requests: Family::default(),
            latency: Histogram::new(LATENCY_BUCKETS),
            sent: Counter::default(),
            connections: ConnectionMetrics::default(),
            configs: Family::default(),
            problems: Gauge::default(),
            reloads: Family::default(),
            reloaded_at: Family::default(),
            log_dropped: Gauge::default(),
            log: OnceLock::new(),
            sizes: Family::default(),
            built_at: Family::default(),
            certificate_end: Gauge::default(),
            objections: Family::default(),
            credentials: CredentialMetrics::default(),
        };
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("requests", "Requests answered", self.requests.clone());
        let help = "From the end of the request header to the end of the answer, of configs";
        registry.register_with_unit("config_latency", help, Unit::Seconds, self.latency.clone());
        registry.register_with_unit("sent", "Bytes of bodies sent", Unit::Bytes, self.sent.clone());
        registry.register(
            "config_info",
            "The rendered MachineConfig served for a pool",
            self.configs.clone(),
        );
        let help = "Things wrong with the input; what was good before is still served";
        registry.register("problems", help, self.problems.clone());
        registry.register("reloads", "Changed files read again", self.reloads.clone());
        let help = "When changed files were last read with success";
        registry.register_with_unit("reloaded_time", help, Unit::Seconds, self.reloaded_at.clone());
        let help = "Lines of the log that were dropped because nobody took those before them";
        registry.register("log_lines_dropped", help, self.log_dropped.clone());
        let connections = &self.connections;
        registry.register(
            "connections_open",
            "Connections open now",
            connections.open.clone(),
        );
        registry.register(
            "connections",
            "Connections accepted",
            connections.accepted.clone(),
        );
        let help = "Connections that did not come to their regular end";
        registry.register("connection_failures", help, connections.failures.clone());
        self.registered_of_cluster()
    }

    fn registered_of_cluster(mut self) -> Self {
        let registry = &mut self.registry;
        let help = "Size of what is served for a pool in an Ignition version";
        registry.register_with_unit("config_size", help, Unit::Bytes, self.sizes.clone());
        let help = "When what is served for a pool was made";
        registry.register_with_unit("config_built_time", help, Unit::Seconds, self.built_at.clone());
        let help = "When the serving certificate ends";
        registry.register_with_unit(
            "certificate_end_time",
            help,
            Unit::Seconds,
            self.certificate_end.clone(),
        );
        let help = "Requests for configs that a rule did not like; audited ones were answered all the same";
        registry.register("objections", help, self.objections.clone());
        let credentials = &self.credentials;
        let help = "Credentials for new machines that were asked of the API server";
        registry.register("credentials", help, credentials.minted.clone());
        let help = "Requests that got no config because there was no credential for it";
        registry.register("credential_failures", help, credentials.failures.clone());
        let help = "How long a request waited for its credential";
        registry.register_with_unit("credential_wait", help, Unit::Seconds, credentials.wait.clone());
        self
    }

    /// Those of credentials.
    #[must_use]
    pub fn credentials(&self) -> CredentialMetrics {
        self.credentials.clone()
    }

    /// Counts a rule that was not met.
    pub fn objected(&self, objection: Objection) {
        let labels = ObjectionLabels {
            rule: objection.rule.as_str(),
            result: if objection.enforced { "refused" } else { "audited" },
        };
        self.objections.get_or_create(&labels).inc();
    }

    /// Those of the listeners.
    #[must_use]
    pub fn connections(&self) -> ConnectionMetrics {
        self.connections.clone()
    }

    /// Counts a request that was answered. `sent` is the number of bytes of the body that went out.
    pub fn answered(&self, about: &About, status: u16, sent: usize, latency: Duration) {
        let labels = RequestLabels {
            handler: about.handler.as_str(),
            pool: about.pool.as_ref().map(|pool| pool.name.clone()),
            version: about.version.map_or("", ignition::Version::as_str),
            status,
        };
        self.requests.get_or_create(&labels).inc();
        self.sent.inc_by(sent as u64);
        if about.pool.is_some() {
            self.latency.observe(latency.as_secs_f64());
        }
    }

    /// Takes note of what is served from now on.
    pub fn published(&self, snapshot: &Snapshot) {
        self.configs.clear();
        self.sizes.clear();
        self.built_at.clear();
        if let Some(end) = snapshot.certificate_end {
            self.certificate_end.set(end.as_duration().as_secs_f64());
        }
        for pool in snapshot.ready_pools() {
            for (version, body) in pool.bodies() {
                let labels = BodyLabels {
                    pool: pool.name.clone(),
                    version: version.as_str(),
                };
                let size = i64::try_from(body.len()).unwrap_or(i64::MAX);
                self.sizes.get_or_create(&labels).set(size);
            }
            let labels = PoolLabels {
                pool: pool.name.clone(),
            };
            let built_at = pool.built_at.as_duration().as_secs_f64();
            self.built_at.get_or_create(&labels).set(built_at);
            let labels = ConfigLabels {
                pool: pool.name.clone(),
                config: pool.rendered.clone(),
            };
            self.configs.get_or_create(&labels).set(1);
        }
        self.problems
            .set(i64::try_from(snapshot.problems.len()).unwrap_or(i64::MAX));
    }

    /// Counts a reload.
    pub fn reloaded(&self, reload: Reload, success: bool) {
        let what = match reload {
            Reload::Files => "files",
            Reload::Certificate => "certificate",
        };
        let result = if success { "success" } else { "failure" };
        self.reloads.get_or_create(&ReloadLabels { what, result }).inc();
        if let (true, Ok(now)) = (success, SystemTime::UNIX_EPOCH.elapsed()) {
            self.reloaded_at
                .get_or_create(&WhatLabels { what })
                .set(now.as_secs_f64());
        }
    }

    /// From now on tells how many lines of the log were dropped.
    pub fn log_drops(&self, dropped: ErrorCounter) {
        // Only one log begins in a process; a second one would not be written to.
        let _ = self.log.set(dropped);
    }

    /// Everything, as `OpenMetrics` text.
    ///
    /// # Panics
    /// Never: nothing that is counted fails to be written.
    #[must_use]
    pub fn text(&self) -> String {
        if let Some(dropped) = self.log.get() {
            self.log_dropped
                .set(i64::try_from(dropped.dropped_lines()).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string does not fail");
        text
    }
}

// === impl CredentialMetrics ===

impl Default for CredentialMetrics {
    fn default() -> Self {
        Self {
            minted: Family::default(),
            failures: Counter::default(),
            wait: Histogram::new(LATENCY_BUCKETS),
        }
    }
}

impl CredentialMetrics {
    /// Counts one that was asked of the API server.
    pub fn minted(&self, success: bool) {
        let result = if success { "success" } else { "failure" };
        self.minted.get_or_create(&ResultLabels { result }).inc();
    }

    /// Counts a request that was to get one, and how long it waited.
    pub fn handed_out(&self, success: bool, wait: Duration) {
        if !success {
            self.failures.inc();
        }
        self.wait.observe(wait.as_secs_f64());
    }
}

// === impl ConnectionMetrics ===

impl ConnectionMetrics {
    /// Counts a connection, as open until the value is dropped.
    #[must_use]
    pub fn opened(&self) -> OpenConnection {
        self.accepted.inc();
        self.open.inc();
        OpenConnection(self.open.clone())
    }

    /// Counts a failure.
    pub fn failed(&self, failure: ConnectionFailure) {
        let reason = match failure {
            ConnectionFailure::Accept => "accept",
            ConnectionFailure::Share => "share",
            ConnectionFailure::Handshake => "handshake",
            ConnectionFailure::HandshakeTimeout => "handshake_timeout",
            ConnectionFailure::HeaderTimeout => "header_timeout",
            ConnectionFailure::BadRequest => "bad_request",
            ConnectionFailure::Aborted => "aborted",
        };
        self.failures.get_or_create(&FailureLabels { reason }).inc();
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
