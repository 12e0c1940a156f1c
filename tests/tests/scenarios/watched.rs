//! What happened to objects, from the watch: nothing between two looks is missed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use e2e::cluster::product::is_done;
use e2e::cluster::{Api, JSON};
use http::Method;
use serde_json::Value;

/// How long one watch lasts; the next begins where it ended.
const CHUNK: u64 = 1;

/// How soon an API server that was away is asked again.
const AWAY: Duration = Duration::from_millis(200);

/// A watch that is under way.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Value>>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches the list at `path`, which has a selector.
    pub(crate) fn begin(api: &Api, path: &str) -> Result<Self> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let mut version = list(api, path, &seen)?;
        let (api, path) = (api.clone(), path.to_owned());
        let (into, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut ended = false;
            while !ended {
                // One more after the end was asked for, so that nothing before that is missed.
                ended = stopped.load(Ordering::Relaxed);
                match follow(&api, &path, &version, &into) {
                    Ok(next) => version = next,
                    // It is away, or has forgotten that version.
                    Err(error) => match list(&api, &path, &into) {
                        Ok(next) => version = next,
                        Err(_) if !ended => thread::sleep(AWAY),
                        Err(_) => eprintln!("a watch of {path} ended: {error:#}"),
                    },
                }
            }
        });
        Ok(Self {
            stop,
            seen,
            thread: Some(thread),
        })
    }

    /// Ends it: every state of every object, in the order in which they came to be.
    pub(crate) fn end(mut self) -> Result<Vec<Value>> {
        self.stop.store(true, Ordering::Relaxed);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            bail!("a watch panicked");
        }
        Ok(std::mem::take(
            &mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner),
        ))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Everything as it is now. The result is the version of that.
fn list(api: &Api, path: &str, into: &Mutex<Vec<Value>>) -> Result<String> {
    let list = api.get(path)?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    into.lock().unwrap_or_else(PoisonError::into_inner).extend(items);
    let version = list["metadata"]["resourceVersion"].as_str();
    Ok(version.context("a list has no version")?.to_owned())
}

/// What came after a version, for a while. The result is the version after it.
fn follow(api: &Api, path: &str, version: &str, into: &Mutex<Vec<Value>>) -> Result<String> {
    let path =
        format!("{path}&watch=1&allowWatchBookmarks=true&timeoutSeconds={CHUNK}&resourceVersion={version}");
    let answer = api.send(&Method::GET, &path, JSON, None)?;
    let mut version = version.to_owned();
    for line in answer.text.lines() {
        let mut event: Value = serde_json::from_str(line).with_context(|| format!("no event: {line}"))?;
        let object = event["object"].take();
        match event["type"].as_str() {
            Some("ADDED" | "MODIFIED") => into
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(object.clone()),
            Some("BOOKMARK" | "DELETED") => {}
            other => bail!("unexpected {other:?}: {object}"),
        }
        if let Some(new) = object["metadata"]["resourceVersion"].as_str() {
            new.clone_into(&mut version);
        }
    }
    Ok(version)
}

/// Whether a node takes no work, or is on its way to another config.
pub(crate) fn is_away(node: &Value) -> bool {
    node["spec"]["unschedulable"] == true || !is_ready(node) || !is_done(node)
}

fn is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// How many nodes were away at once, at most.
pub(crate) fn most_away(seen: &[Value]) -> usize {
    let mut nodes: BTreeMap<&str, bool> = BTreeMap::new();
    let mut most = 0;
    for node in seen {
        let name = node["metadata"]["name"].as_str().unwrap_or_default();
        nodes.insert(name, is_away(node));
        most = most.max(nodes.values().filter(|away| **away).count());
    }
    most
}

/// The nodes in the order in which they went away.
pub(crate) fn turns(seen: &[Value]) -> Vec<&str> {
    let mut turns = Vec::new();
    for node in seen.iter().filter(|node| is_away(node)) {
        let name = node["metadata"]["name"].as_str().unwrap_or_default();
        if !turns.contains(&name) {
            turns.push(name);
        }
    }
    turns
}
