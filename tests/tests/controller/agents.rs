//! Daemons that are played: they say on their nodes what `machine-config-daemon` says, keep the nodes alive, and end pods that are told to go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use e2e::cluster::{Api, JSON};
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::world::{World, annotation};

/// Annotation of a node whose daemon asks for a drain.
pub(crate) const DRAINS: &str = "example.com/drains";
/// Contents of a file that no played daemon can write.
pub(crate) const FAILS: &str = "fails";
/// How often they look: an update takes a few looks.
const LOOK: Duration = Duration::from_millis(150);
/// How often a node says that it is alive; the controller manager waits 40 seconds.
const BEAT: Duration = Duration::from_secs(8);
/// What annotations of the handshake begin with.
const PREFIX: &str = "machineconfiguration.openshift.io/";

/// All daemons of a cluster. They end with the value.
pub(crate) struct Agents {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Agents {
    pub(crate) fn play(api: Api) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut beat: Option<Instant> = None;
            while !stopped.load(Ordering::Relaxed) {
                let beats = beat.is_none_or(|last| last.elapsed() >= BEAT);
                match look(&api, beats) {
                    Ok(any) if beats && any => beat = Some(Instant::now()),
                    Ok(_) => {}
                    // The API server may be busy, and a daemon tries again.
                    Err(error) => eprintln!("the played daemons: {error:#}"),
                }
                thread::sleep(LOOK);
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Looks at every node once. The result is whether there is one.
fn look(api: &Api, beats: bool) -> Result<bool> {
    let nodes = api.get("/api/v1/nodes")?;
    let nodes = nodes["items"].as_array().cloned().unwrap_or_default();
    for node in &nodes {
        let name = node["metadata"]["name"]
            .as_str()
            .context("a node without a name")?;
        if beats {
            renew(api, name)?;
        }
        if let Some(annotations) = says(api, node)? {
            let annotations: serde_json::Map<_, _> = annotations
                .into_iter()
                .map(|(key, value)| (format!("{PREFIX}{key}"), json!(value)))
                .collect();
            api.merge(
                &World::node_path(name),
                &json!({"metadata": {"annotations": annotations}}),
            )?;
        }
    }
    end_pods(api)?;
    Ok(!nodes.is_empty())
}

/// What a daemon says next, if anything.
fn says(api: &Api, node: &Value) -> Result<Option<Vec<(&'static str, String)>>> {
    let said = |key: &str| annotation(node, key);
    let (current, desired, state) = (said("currentConfig"), said("desiredConfig"), said("state"));
    if current.is_empty() {
        return first(api, node);
    }
    let drains = node["metadata"]["annotations"][DRAINS] == "yes";
    let (drain, uncordon) = (format!("drain-{desired}"), format!("uncordon-{desired}"));
    if current != desired {
        if matches!(state.as_str(), "Degraded") && said("reason").contains(&desired) {
            return Ok(None);
        }
        if state != "Working" {
            let mut says = vec![("state", "Working".to_owned())];
            says.extend(drains.then_some(("desiredDrain", drain)));
            return Ok(Some(says));
        }
        if drains && said("lastAppliedDrain") != drain {
            return Ok((said("desiredDrain") != drain).then(|| vec![("desiredDrain", drain)]));
        }
        // A daemon reads what it is to become.
        let Some(config) = api.find(&World::config_path(&desired))? else {
            return Ok(None);
        };
        if config["spec"].to_string().contains(&format!("data:,{FAILS}")) {
            let reason = format!("the played daemon cannot apply it: {desired}");
            return Ok(Some(vec![("state", "Degraded".to_owned()), ("reason", reason)]));
        }
        return Ok(Some(vec![("currentConfig", desired), ("reason", String::new())]));
    }
    if state == "Done" {
        return Ok(None);
    }
    if drains && said("lastAppliedDrain") != uncordon {
        return Ok((said("desiredDrain") != uncordon).then(|| vec![("desiredDrain", uncordon)]));
    }
    Ok(Some(vec![
        ("state", "Done".to_owned()),
        ("reason", String::new()),
    ]))
}

/// A new node has what its pool has, as if the server had provisioned it.
fn first(api: &Api, node: &Value) -> Result<Option<Vec<(&'static str, String)>>> {
    let Some(pool) = node["metadata"]["labels"]["example.com/pool"].as_str() else {
        return Ok(None);
    };
    let Some(pool) = api.find(&World::pool_path(pool))? else {
        return Ok(None);
    };
    let Some(target) = pool["spec"]["configuration"]["name"].as_str() else {
        return Ok(None);
    };
    Ok(Some(vec![
        ("currentConfig", target.to_owned()),
        ("desiredConfig", target.to_owned()),
        ("state", "Done".to_owned()),
    ]))
}

/// As a kubelet does.
fn renew(api: &Api, node: &str) -> Result<()> {
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{node}");
    let spec = json!({"holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": format!("{:.6}", Timestamp::now())});
    let answer = api.send(
        &Method::PATCH,
        &path,
        e2e::cluster::MERGE,
        Some(&json!({"spec": spec})),
    )?;
    if answer.status == 404 {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": node}, "spec": spec,
        });
        api.create(
            "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
            &lease,
        )?;
    }
    Ok(())
}

/// As a kubelet does once the containers have ended.
fn end_pods(api: &Api) -> Result<()> {
    let pods = api.get("/api/v1/namespaces/default/pods")?;
    for pod in pods["items"].as_array().into_iter().flatten() {
        if pod["metadata"]["deletionTimestamp"].is_string() {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let path = format!("/api/v1/namespaces/default/pods/{name}?gracePeriodSeconds=0");
            api.send(&Method::DELETE, &path, JSON, None)?;
        }
    }
    Ok(())
}
