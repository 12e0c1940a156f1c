//! Nodes that are objects alone, and daemons that are played: they say what a daemon says, as fast as they can.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};

use super::{PREFIX, annotation};
use crate::cluster::Api;

/// Requests at once.
const AT_ONCE: usize = 8;
/// How often the played daemons look.
const LOOK: Duration = Duration::from_millis(200);

/// Calls `work` for every item, several at once.
pub(super) fn each<T: Sync>(items: &[T], work: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    let share = items.len().div_ceil(AT_ONCE).max(1);
    let work = &work;
    thread::scope(|scope| {
        let parts: Vec<_> = items
            .chunks(share)
            .map(|part| scope.spawn(move || part.iter().try_for_each(work)))
            .collect();
        for part in parts {
            part.join().map_err(|_| anyhow!("a part panicked"))??;
        }
        Ok(())
    })
}

/// A ready node of a pool that has a config. What a kubelet says beside that is there too, since the controller has to read past it.
pub(super) fn node(name: &str, pool: &str, config: &str) -> Value {
    let now = format!("{:.0}", jiff::Timestamp::now());
    let said = |key: &str| format!("{PREFIX}{key}");
    let condition = |kind: &str, status: &str| {
        json!({"type": kind, "status": status, "reason": format!("Played{kind}"), "message": "as the kubelet would have it",
               "lastHeartbeatTime": now, "lastTransitionTime": now})
    };
    let images: Vec<_> = (0..20)
        .map(|image| json!({"names": [format!("registry.example.com/some/image-{image}@sha256:{image:064}")], "sizeBytes": 123_456_789}))
        .collect();
    let capacity = json!({"cpu": "8", "memory": "32Gi", "pods": "110", "ephemeral-storage": "100Gi"});
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                format!("node-role.kubernetes.io/{pool}"): "", "example.com/pool": pool,
                "kubernetes.io/hostname": name, "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux",
                "topology.kubernetes.io/zone": "zone-a", "node.kubernetes.io/instance-type": "large",
            },
            "annotations": {
                said("currentConfig"): config, said("desiredConfig"): config, said("state"): "Done", said("reason"): "",
            },
        },
        "spec": {"providerID": format!("example:///zone-a/{name}")},
        "status": {
            "capacity": capacity, "allocatable": capacity, "images": images,
            "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}, {"type": "Hostname", "address": name}],
            "conditions": [
                condition("MemoryPressure", "False"), condition("DiskPressure", "False"),
                condition("PIDPressure", "False"), condition("Ready", "True"),
            ],
        },
    })
}

/// The daemons of one pool. They end with the value.
pub(super) struct Daemons {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Daemons {
    /// Begins to play. An update takes two writes of a node: that it works, and that it is done.
    pub(super) fn play(api: Api, pool: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let path = format!("/api/v1/nodes?resourceVersion=0&labelSelector=example.com%2Fpool%3D{pool}");
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                look(&api, &path)?;
                thread::sleep(LOOK);
            }
            Ok(())
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }

    /// Ends them, and says whether they could do all that they had to.
    pub(super) fn end(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("they have ended already")?;
        thread
            .join()
            .map_err(|_| anyhow!("the played daemons panicked"))?
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn look(api: &Api, path: &str) -> Result<()> {
    let list = api.get(path)?;
    let nodes = list["items"].as_array().context("no list of nodes")?;
    let due: Vec<&Value> = nodes
        .iter()
        .filter(|node| annotation(node, "currentConfig") != annotation(node, "desiredConfig"))
        .collect();
    let names: BTreeSet<_> = due.iter().map(|node| node["metadata"]["name"].as_str()).collect();
    ensure!(names.len() == due.len(), "a node is there twice");
    each(&due, |node| {
        let name = node["metadata"]["name"]
            .as_str()
            .context("a node without a name")?;
        let path = format!("/api/v1/nodes/{name}");
        let say = |annotations: Value| api.merge(&path, &json!({"metadata": {"annotations": annotations}}));
        if annotation(node, "state") != "Working" {
            say(json!({format!("{PREFIX}state"): "Working"}))?;
            return Ok(());
        }
        let config = annotation(node, "desiredConfig");
        say(json!({format!("{PREFIX}state"): "Done", format!("{PREFIX}currentConfig"): config}))?;
        Ok(())
    })
}
