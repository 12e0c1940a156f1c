//! What happened to the nodes of a pool, from the watch: nothing between two looks is missed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow};
use e2e::cluster::{Api, JSON};
use http::Method;
use serde_json::Value;

use crate::world::{World, annotation};

/// How long one watch lasts; the next begins where it ended.
const CHUNK: u64 = 2;

/// A watch that is under way.
pub(crate) struct Sampled {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Samples>>>,
}

/// Every state that the nodes were in.
#[derive(Default)]
pub(crate) struct Samples {
    nodes: BTreeMap<String, Value>,
    most_busy: usize,
    order: Vec<String>,
    waited_tainted: bool,
}

impl Sampled {
    pub(crate) fn begin(world: &World, pool: &str) -> Result<Self> {
        let api = world.api().clone();
        let path = format!("/api/v1/nodes?labelSelector=example.com%2Fpool%3D{pool}");
        let list = api.get(&path)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || watch(&api, &path, &list, &stopped));
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Ends it, with all that came until now.
    pub(crate) fn end(mut self) -> Result<Samples> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("it has ended already")?;
        thread.join().map_err(|_| anyhow!("the watch panicked"))?
    }
}

impl Drop for Sampled {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch(api: &Api, path: &str, list: &Value, stop: &AtomicBool) -> Result<Samples> {
    let mut samples = Samples::default();
    for node in list["items"].as_array().into_iter().flatten() {
        samples.add(node);
    }
    let mut version = list["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let mut ended = false;
    while !ended {
        // One more after the end was asked for, so that nothing before that is missed.
        ended = stop.load(Ordering::Relaxed);
        let path = format!(
            "{path}&watch=1&allowWatchBookmarks=true&timeoutSeconds={CHUNK}&resourceVersion={version}"
        );
        let answer = api.send(&Method::GET, &path, JSON, None)?;
        for line in answer.text.lines() {
            let event: Value = serde_json::from_str(line).with_context(|| format!("no event: {line}"))?;
            let object = &event["object"];
            if let Some(new) = object["metadata"]["resourceVersion"].as_str() {
                new.clone_into(&mut version);
            }
            match event["type"].as_str() {
                Some("ADDED" | "MODIFIED") => samples.add(object),
                Some("BOOKMARK") => {}
                other => return Err(anyhow!("unexpected {other:?}: {object}")),
            }
        }
    }
    Ok(samples)
}

/// Whether a node is on its way.
pub(crate) fn is_busy(node: &Value) -> bool {
    let current = annotation(node, "currentConfig");
    current != annotation(node, "desiredConfig") || annotation(node, "state") != "Done"
}

impl Samples {
    fn add(&mut self, node: &Value) {
        let name = node["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let was_busy = self.nodes.get(&name).is_some_and(is_busy);
        if is_busy(node) && !was_busy && !self.order.contains(&name) {
            self.order.push(name.clone());
        }
        let taints = node["spec"]["taints"].as_array().into_iter().flatten();
        let tainted = taints
            .into_iter()
            .any(|taint| taint["key"] == "UpdateInProgress" && taint["effect"] == "PreferNoSchedule");
        self.waited_tainted |= tainted && !is_busy(node);
        self.nodes.insert(name, node.clone());
        let busy = self.nodes.values().filter(|node| is_busy(node)).count();
        self.most_busy = self.most_busy.max(busy);
    }

    /// How many nodes were on their way at once, at most.
    pub(crate) fn most_busy(&self) -> usize {
        self.most_busy
    }

    /// The nodes in the order of their turns.
    pub(crate) fn order(&self) -> &[String] {
        &self.order
    }

    /// Whether a node that waited for its turn had the taint.
    pub(crate) fn waited_tainted(&self) -> bool {
        self.waited_tainted
    }
}
