//! What is counted, by the reference's names (MCO daemon 11.1). Of those about changes of the operating system there are none, since there
//! are no such changes yet.

use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The media type of [`Metrics::text`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Longest text of a label, in bytes: labels are kept for weeks.
const LABEL: usize = 200;

/// All metrics of one daemon.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    host_os: Family<HostOs, Gauge<i64, AtomicI64>>,
    state: Family<State, Gauge<i64, AtomicI64>>,
    update: Family<Update, Gauge<i64, AtomicI64>>,
    /// Unix time of the last drift, 0 when there is none.
    pub(crate) config_drift: Gauge<i64, AtomicI64>,
    /// How often in a row the kubelet has not answered.
    pub(crate) kubelet: Gauge<i64, AtomicI64>,
    /// Reboots that could not be asked for, or did not come.
    pub(crate) reboots_failed: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HostOs {
    os: String,
    version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: String,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Update {
    config: String,
    err: String,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let metrics = Self {
            host_os: Family::default(),
            state: Family::default(),
            update: Family::default(),
            config_drift: Gauge::default(),
            kubelet: Gauge::default(),
            reboots_failed: Counter::default(),
            registry: Registry::default(),
        };
        let Self {
            host_os,
            state,
            update,
            config_drift,
            kubelet,
            reboots_failed,
            registry: _,
        } = &metrics;
        registry.register(
            "mcd_host_os_and_version",
            "The operating system of the node",
            host_os.clone(),
        );
        registry.register(
            "mcd_state",
            "What the daemon is doing, since when (unix time)",
            state.clone(),
        );
        registry.register(
            "mcd_update_state",
            "The config that was reached, or why one was not, since when (unix time)",
            update.clone(),
        );
        registry.register(
            "mcd_config_drift",
            "When the disk was last found to differ from its config (unix time), 0 when it does not",
            config_drift.clone(),
        );
        registry.register(
            "mcd_kubelet_state",
            "How often in a row the kubelet has not answered",
            kubelet.clone(),
        );
        registry.register(
            "mcd_reboots_failed",
            "Reboots that could not be asked for, or did not come",
            reboots_failed.clone(),
        );
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// The operating system of the node.
    pub(crate) fn set_host_os(&self, os: &str, version: &str) {
        let labels = HostOs {
            os: os.to_owned(),
            version: version.to_owned(),
        };
        self.host_os.clear();
        self.host_os.get_or_create(&labels).set(1);
    }

    /// What the daemon says it is doing, from `now` (unix time) on.
    pub(crate) fn set_state(&self, state: &str, reason: &str, now: i64) {
        let labels = State {
            state: state.to_owned(),
            reason: label(reason),
        };
        self.state.clear();
        self.state.get_or_create(&labels).set(now);
    }

    /// The config that was reached, or why one was not, from `now` (unix time) on.
    pub(crate) fn set_update(&self, config: &str, error: &str, now: i64) {
        let config = if config.is_empty() {
            String::new()
        } else {
            format!("MachineConfig: {config}")
        };
        let labels = Update {
            config,
            err: label(error),
        };
        self.update.clear();
        self.update.get_or_create(&labels).set(now);
    }

    /// All of it, as Prometheus reads it.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a text does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn label(text: &str) -> String {
    super::node_writer::cut(text, LABEL).to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_metric_is_documented_and_no_other() {
        let metrics = Metrics::default();
        metrics.set_host_os("DEBIAN", "12");
        metrics.set_state("Done", "", 1);
        metrics.set_update("a", "", 1);
        // Whoever adds one is led here, and to what fills it.
        let Metrics {
            registry: _,
            host_os: _,
            state: _,
            update: _,
            config_drift: _,
            kubelet: _,
            reboots_failed: _,
        } = &metrics;
        let text = metrics.text();
        let told: BTreeSet<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split(['{', ' ']).next())
            .collect();
        let page = include_str!("../../../docs/metrics.md");
        let section = page.split("\n## ").find(|section| section.starts_with("Daemon"));
        let documented: BTreeSet<&str> = section
            .unwrap()
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .collect();
        assert_eq!(told, documented);
    }

    #[test]
    fn names_are_the_references_and_each_vector_has_one_series() {
        let metrics = Metrics::default();
        metrics.set_host_os("DEBIAN", "12");
        metrics.set_state("Working", "", 1);
        metrics.set_state("Degraded", &"x".repeat(1000), 2);
        metrics.set_update("a", "", 3);
        metrics.config_drift.set(7);
        metrics.reboots_failed.inc();
        let text = metrics.text();
        for line in [
            "mcd_host_os_and_version{os=\"DEBIAN\",version=\"12\"} 1",
            "mcd_update_state{config=\"MachineConfig: a\",err=\"\"} 3",
            "mcd_config_drift 7",
            "mcd_kubelet_state 0",
            "mcd_reboots_failed_total 1",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
        let states: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("mcd_state{"))
            .collect();
        assert_eq!(states.len(), 1, "{states:?}");
        assert!(
            states[0].contains("Degraded") && states[0].len() < 300,
            "{states:?}"
        );
    }
}
