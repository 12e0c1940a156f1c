//! What is counted, and how it is told to Prometheus: the reference's names where it has them (MCO controller 10.7), ours begin with
//! `machine_config_`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crds::machine_config_pool::MachineConfigPoolStatus;

/// The media type of [`Metrics::text`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of the process.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    pools: PoolMetrics,
    pool_alert: Family<NodeLabels, Gauge>,
    drain_err: Family<NodeLabels, Gauge>,
    overridden: Family<PoolLabels, Gauge>,
    sub_controllers: Family<SubControllerLabels, Gauge>,
    leading: Gauge,
    writes: Family<WriteLabels, Counter>,
    evictions: Family<EvictionLabels, Counter>,
    deleted: Counter,
    certificates: Family<CertificateLabels, Gauge>,
}

/// Counts of a pool.
#[derive(Debug, Default)]
struct PoolMetrics {
    machines: Family<PoolLabels, Gauge>,
    updated: Family<PoolLabels, Gauge>,
    degraded: Family<PoolLabels, Gauge>,
    unavailable: Family<PoolLabels, Gauge>,
    paused: Family<PoolLabels, Gauge>,
    pending: Family<PoolLabels, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabels {
    pool: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabels {
    bundle: String,
    subject: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NodeLabels {
    node: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SubControllerLabels {
    subcontroller: &'static str,
    state: &'static str,
    object: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EvictionLabels {
    result: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Mutex::default(),
            pools: PoolMetrics::default(),
            pool_alert: Family::default(),
            drain_err: Family::default(),
            overridden: Family::default(),
            sub_controllers: Family::default(),
            leading: Gauge::default(),
            writes: Family::default(),
            evictions: Family::default(),
            deleted: Counter::default(),
            certificates: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&self) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let pools = &self.pools;
        registry.register("mco_machine_count", "Nodes in the pool", pools.machines.clone());
        registry.register(
            "mco_updated_machine_count",
            "Nodes of the pool that have its config",
            pools.updated.clone(),
        );
        registry.register(
            "mco_degraded_machine_count",
            "Nodes of the pool that report a failure",
            pools.degraded.clone(),
        );
        registry.register(
            "mco_unavailable_machine_count",
            "Nodes of the pool that take no work or are being updated",
            pools.unavailable.clone(),
        );
        registry.register(
            "machine_config_pool_paused",
            "1 while the pool is paused",
            pools.paused.clone(),
        );
        registry.register(
            "machine_config_pool_pending",
            "1 while the pool's config is not on every node",
            pools.pending.clone(),
        );
        drop(registry);
        self.register_rest();
    }

    fn register_rest(&self) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register(
            "mcc_pool_alert",
            "1 for a master that a custom pool selects in vain",
            self.pool_alert.clone(),
        );
        registry.register(
            "mcc_drain_err",
            "1 for a node whose drain takes longer than its pool allows",
            self.drain_err.clone(),
        );
        registry.register(
            "os_image_url_override",
            "1 for a pool whose OS image is not the default one",
            self.overridden.clone(),
        );
        registry.register(
            "mcc_sub_controller_state",
            "When a sub-controller did something last, in seconds since 1970",
            self.sub_controllers.clone(),
        );
        registry.register(
            "machine_config_leading",
            "1 while this replica leads",
            self.leading.clone(),
        );
        registry.register(
            "machine_config_writes",
            "Writes to the API server, by kind of object",
            self.writes.clone(),
        );
        registry.register(
            "machine_config_evictions",
            "Evictions that were asked for, by what was answered",
            self.evictions.clone(),
        );
        registry.register(
            "machine_config_rendered_deleted",
            "Rendered configs that were deleted since nobody referred to them",
            self.deleted.clone(),
        );
        registry.register(
            "machine_config_certificate_expiry_timestamp_seconds",
            "When the certificates end that nodes get from the ControllerConfig, in seconds since 1970",
            self.certificates.clone(),
        );
    }

    /// All of it, as `OpenMetrics` text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        encode(&mut text, &registry).expect("a text takes everything");
        text
    }

    /// A pool's counts.
    pub(crate) fn pool(&self, pool: &str, status: &MachineConfigPoolStatus, paused: bool, pending: bool) {
        let set = |family: &Family<PoolLabels, Gauge>, value: i64| {
            let labels = PoolLabels {
                pool: pool.to_owned(),
            };
            family.get_or_create(&labels).set(value);
        };
        set(&self.pools.machines, status.machine_count.into());
        set(&self.pools.updated, status.updated_machine_count.into());
        set(&self.pools.degraded, status.degraded_machine_count.into());
        set(&self.pools.unavailable, status.unavailable_machine_count.into());
        set(&self.pools.paused, paused.into());
        set(&self.pools.pending, pending.into());
    }

    /// Forgets a pool that is gone.
    pub(crate) fn forget_pool(&self, pool: &str) {
        let labels = PoolLabels {
            pool: pool.to_owned(),
        };
        let PoolMetrics {
            machines,
            updated,
            degraded,
            unavailable,
            paused,
            pending,
        } = &self.pools;
        for family in [
            machines,
            updated,
            degraded,
            unavailable,
            paused,
            pending,
            &self.overridden,
        ] {
            family.remove(&labels);
        }
    }

    /// Whether a pool's OS image is not the default one.
    pub(crate) fn overridden(&self, pool: &str, is_overridden: bool) {
        let labels = PoolLabels {
            pool: pool.to_owned(),
        };
        self.overridden.get_or_create(&labels).set(is_overridden.into());
    }

    /// Whether a custom pool selects a master in vain.
    pub(crate) fn pool_alert(&self, node: &str, holds: bool) {
        let labels = NodeLabels {
            node: node.to_owned(),
        };
        self.pool_alert.get_or_create(&labels).set(holds.into());
    }

    /// Whether a node's drain takes too long.
    pub(crate) fn drain_overdue(&self, node: &str, holds: bool) {
        let labels = NodeLabels {
            node: node.to_owned(),
        };
        if holds {
            self.drain_err.get_or_create(&labels).set(1);
        } else {
            self.drain_err.remove(&labels);
        }
    }

    /// Forgets a node that is gone.
    pub(crate) fn forget_node(&self, node: &str) {
        let labels = NodeLabels {
            node: node.to_owned(),
        };
        self.pool_alert.remove(&labels);
        self.drain_err.remove(&labels);
    }

    /// That a sub-controller has done something for an object.
    pub(crate) fn did(&self, subcontroller: &'static str, state: &'static str, object: &str) {
        let labels = SubControllerLabels {
            subcontroller,
            state,
            object: object.to_owned(),
        };
        let now = jiff::Timestamp::now().as_second();
        self.sub_controllers.get_or_create(&labels).set(now);
    }

    /// Whether this replica leads.
    pub(crate) fn leading(&self, leads: bool) {
        self.leading.set(leads.into());
    }

    /// That an object of this kind was written.
    pub(crate) fn wrote(&self, kind: &'static str) {
        self.writes.get_or_create(&WriteLabels { kind }).inc();
    }

    /// What an eviction was answered with.
    pub(crate) fn evicted(&self, result: &'static str) {
        self.evictions.get_or_create(&EvictionLabels { result }).inc();
    }

    /// When certificates end, by bundle and subject, in seconds since 1970. Others are forgotten.
    pub(crate) fn certificates(&self, expiries: &BTreeMap<(String, String), i64>) {
        self.certificates.clear();
        for ((bundle, subject), end) in expiries {
            let labels = CertificateLabels {
                bundle: bundle.clone(),
                subject: subject.clone(),
            };
            self.certificates.get_or_create(&labels).set(*end);
        }
    }

    /// That a rendered config was deleted.
    pub(crate) fn deleted(&self) {
        self.deleted.inc();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// All metrics, with one series at least.
    fn filled() -> Metrics {
        let metrics = Metrics::default();
        metrics.pool("edge", &MachineConfigPoolStatus::default(), true, false);
        metrics.pool_alert("n1", true);
        metrics.drain_overdue("n1", true);
        metrics.overridden("edge", true);
        metrics.did("node", "SetDesiredConfig", "edge");
        metrics.leading(true);
        metrics.wrote("Node");
        metrics.evicted("granted");
        metrics.deleted();
        metrics.certificates(&BTreeMap::from([(("bundle".to_owned(), "CN=a".to_owned()), 7)]));
        metrics
    }

    #[test]
    fn every_metric_is_documented_and_no_other() {
        let metrics = filled();
        // Whoever adds one is led here, and to what fills it.
        let Metrics {
            registry: _,
            pools:
                PoolMetrics {
                    machines: _,
                    updated: _,
                    degraded: _,
                    unavailable: _,
                    paused: _,
                    pending: _,
                },
            pool_alert: _,
            drain_err: _,
            overridden: _,
            sub_controllers: _,
            leading: _,
            writes: _,
            evictions: _,
            deleted: _,
            certificates: _,
        } = &metrics;
        let text = metrics.text();
        let told: BTreeSet<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split(['{', ' ']).next())
            .collect();
        let page = include_str!("../../docs/metrics.md");
        let section = page
            .split("\n## ")
            .find(|section| section.starts_with("Controller"));
        let documented: BTreeSet<&str> = section
            .unwrap()
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .collect();
        assert_eq!(told, documented);
    }

    #[test]
    fn dashboards_find_the_names_that_they_know() {
        let metrics = Metrics::default();
        let status = MachineConfigPoolStatus {
            machine_count: 3,
            degraded_machine_count: 1,
            ..MachineConfigPoolStatus::default()
        };
        metrics.pool("edge", &status, true, false);
        metrics.drain_overdue("n1", true);
        metrics.overridden("edge", true);
        metrics.wrote("Node");
        let text = metrics.text();
        for line in [
            "mco_machine_count{pool=\"edge\"} 3",
            "mco_degraded_machine_count{pool=\"edge\"} 1",
            "machine_config_pool_paused{pool=\"edge\"} 1",
            "mcc_drain_err{node=\"n1\"} 1",
            "os_image_url_override{pool=\"edge\"} 1",
            "machine_config_writes_total{kind=\"Node\"} 1",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
        metrics.drain_overdue("n1", false);
        metrics.forget_pool("edge");
        let text = metrics.text();
        assert!(!text.contains("edge") && !text.contains("n1"), "{text}");
    }
}
