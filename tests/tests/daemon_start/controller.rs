//! The controller's part, played by the test.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use e2e::cluster::{Api, Cluster};
use serde_json::{Value, json};

/// The node.
pub(crate) const NODE: &str = "worker-1";
/// How long anything may take: a reboot with its drain and all services.
const DEADLINE: Duration = Duration::from_mins(2);
/// How often is looked.
const INTERVAL: Duration = Duration::from_millis(100);
const PREFIX: &str = "machineconfiguration.openshift.io/";
const CONFIGS: &str = "/apis/machineconfiguration.openshift.io/v1/machineconfigs";

/// Assigns configs and answers drains.
pub(crate) struct Controller {
    api: Api,
    drains: RefCell<Vec<String>>,
}

impl Controller {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        Self {
            api: cluster.api().clone(),
            drains: RefCell::default(),
        }
    }

    fn node(&self) -> Result<Value> {
        self.api.get(&format!("/api/v1/nodes/{NODE}"))
    }

    /// What the node says, by a name without its prefix; empty when it says nothing.
    pub(crate) fn annotation(&self, name: &str) -> Result<String> {
        Ok(annotation(&self.node()?, name))
    }

    /// Creates a config, and tells the node to go to it.
    pub(crate) fn assign(&self, config: &Value) -> Result<()> {
        let name = config["metadata"]["name"].as_str().unwrap_or_default();
        self.api.create(CONFIGS, config)?;
        self.annotate("desiredConfig", name)
    }

    fn annotate(&self, name: &str, value: &str) -> Result<()> {
        let change = json!({"metadata": {"annotations": {format!("{PREFIX}{name}"): value}}});
        self.api.merge(&format!("/api/v1/nodes/{NODE}"), &change)?;
        Ok(())
    }

    /// The drains that were answered, the earliest first.
    pub(crate) fn drains(&self) -> Vec<String> {
        self.drains.borrow().clone()
    }

    /// Answers a drain that was asked for: there are no pods to evict.
    pub(crate) fn play(&self) -> Result<Value> {
        std::thread::sleep(INTERVAL);
        let node = self.node()?;
        let asked = annotation(&node, "desiredDrain");
        if !asked.is_empty() && asked != annotation(&node, "lastAppliedDrain") {
            let cordon = json!({"spec": {"unschedulable": asked.starts_with("drain-")}});
            self.api.merge(&format!("/api/v1/nodes/{NODE}"), &cordon)?;
            self.annotate("lastAppliedDrain", &asked)?;
            self.drains.borrow_mut().push(asked);
        }
        Ok(node)
    }

    /// Plays its part until something holds of the node.
    pub(crate) fn wait(&self, what: &str, holds: impl Fn(&Value) -> Result<bool>) -> Result<()> {
        let end = Instant::now() + DEADLINE;
        loop {
            let node = self.play();
            let held = node
                .as_ref()
                .map_err(|error| anyhow::anyhow!("{error:#}"))
                .and_then(&holds);
            match held {
                Ok(true) => return Ok(()),
                Ok(false) | Err(_) if Instant::now() < end => {}
                held => {
                    let annotations = node.map(|node| node["metadata"]["annotations"].clone());
                    bail!(
                        "waited {DEADLINE:?} for {what}, in vain ({held:?}); the node says {annotations:#?}"
                    )
                }
            }
        }
    }

    /// Until the node has the config, says so, and is not drained any more.
    pub(crate) fn wait_done(&self, config: &str) -> Result<()> {
        self.wait(&format!("{config} to be done"), |node| {
            Ok(annotation(node, "state") == "Done"
                && annotation(node, "currentConfig") == config
                && annotation(node, "desiredDrain") == annotation(node, "lastAppliedDrain"))
        })
    }

    /// Until the node says that something is wrong, and what.
    pub(crate) fn wait_reason(&self, state: &str, part: &str) -> Result<()> {
        self.wait(&format!("{state}: {part}"), |node| {
            Ok(annotation(node, "state") == state && annotation(node, "reason").contains(part))
        })
    }

    /// Until there is an event of a reason.
    pub(crate) fn wait_event(&self, reason: &str) -> Result<()> {
        self.wait(&format!("an event {reason}"), |_| {
            let events = self.api.get("/apis/events.k8s.io/v1/namespaces/default/events")?;
            let events = events["items"].as_array().cloned().unwrap_or_default();
            Ok(events
                .iter()
                .any(|event| event["reason"] == reason && event["regarding"]["name"] == NODE))
        })
    }

    /// Until a condition of the node's MachineConfigNode has a status.
    pub(crate) fn wait_condition(&self, kind: &str, status: &str) -> Result<()> {
        let path = format!("/apis/machineconfiguration.openshift.io/v1/machineconfignodes/{NODE}");
        self.wait(&format!("{kind} to be {status}"), |_| {
            let object = self.api.get(&path)?;
            let conditions = object["status"]["conditions"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            Ok(conditions
                .iter()
                .any(|condition| condition["type"] == kind && condition["status"] == status))
        })
    }
}

fn annotation(node: &Value, name: &str) -> String {
    let annotation = &node["metadata"]["annotations"][format!("{PREFIX}{name}")];
    annotation.as_str().unwrap_or_default().to_owned()
}
