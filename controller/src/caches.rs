//! What the controller knows of the cluster: one watch per kind, and of every object the fields that are used.
//!
//! Entry points: [`Caches`], which everybody reads, and [`feed`], which fills one of them and says what has changed.

mod trim;
mod watched;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crds::{ControllerConfig, MachineConfigNode, MachineConfigPool, MachineConfiguration};
use futures_util::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::Node;
use kube::Resource;
use kube::api::Api;
use kube::runtime::watcher::{Event, watcher};
use kube::runtime::{WatchStreamExt as _, watcher::Config};
use machineconfig::join::approval::Request;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tracing::warn;

use crate::roster::Roster;

pub(crate) use trim::{is_same_node, trim_node, trim_report};
pub(crate) use watched::{Rendered, Stored, guarded, is_genuine, plain, stored};

/// How many objects a list has per page: rendered configs may have a megabyte each.
const PAGE: u32 = 100;

/// All objects of one kind, by name.
#[derive(Debug)]
pub(crate) struct Cache<V> {
    objects: RwLock<BTreeMap<String, Arc<V>>>,
    ready: watch::Sender<bool>,
}

/// Everything that is watched.
#[derive(Debug, Default)]
pub(crate) struct Caches {
    pub(crate) nodes: Cache<Node>,
    pub(crate) pools: Cache<MachineConfigPool>,
    pub(crate) configs: Cache<Stored>,
    pub(crate) reports: Cache<MachineConfigNode>,
    pub(crate) controller_configs: Cache<ControllerConfig>,
    pub(crate) settings: Cache<MachineConfiguration>,
    /// Requests for certificates, where machines join; empty elsewhere.
    pub(crate) requests: Cache<Request>,
    roster: Mutex<Roster>,
}

/// An object that came, changed or went.
#[derive(Debug)]
pub(crate) struct Change<'a, V> {
    pub(crate) name: &'a str,
    pub(crate) old: Option<Arc<V>>,
    pub(crate) new: Option<Arc<V>>,
}

// === impl Cache ===

impl<V> Default for Cache<V> {
    fn default() -> Self {
        Self {
            objects: RwLock::default(),
            ready: watch::Sender::new(false),
        }
    }
}

impl<V> Cache<V> {
    /// One object.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<V>> {
        self.read().get(name).cloned()
    }

    /// All of them, in the order of their names.
    pub(crate) fn all(&self) -> Vec<Arc<V>> {
        self.read().values().cloned().collect()
    }

    /// Waits until everything that there was at the beginning is known.
    pub(crate) async fn wait_ready(&self) {
        // Fails when the sender is gone, which is in this very value.
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Arc<V>>> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an object in, or takes it out. The result is the one before.
    pub(crate) fn put(&self, name: &str, new: Option<Arc<V>>) -> Option<Arc<V>> {
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        match new {
            Some(new) => objects.insert(name.to_owned(), new),
            None => objects.remove(name),
        }
    }
}

impl Caches {
    /// Waits until all of it is known.
    pub(crate) async fn wait_ready(&self) {
        self.nodes.wait_ready().await;
        self.pools.wait_ready().await;
        self.configs.wait_ready().await;
        self.reports.wait_ready().await;
        self.controller_configs.wait_ready().await;
        self.settings.wait_ready().await;
    }

    /// Which node is in which pool.
    pub(crate) fn roster(&self) -> std::sync::MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The nodes of a pool, in the order of their names.
    pub(crate) fn members(&self, pool: &str) -> Vec<Arc<Node>> {
        let names = self.roster().members(pool);
        names.iter().filter_map(|name| self.nodes.get(name)).collect()
    }
}

/// Keeps a cache at the state of the cluster, and says every change once it is in. Does not end.
///
/// `open` makes what is kept of an object, under its name; none for one that cannot be used, which then stays as it was.
pub(crate) async fn feed<W, V>(
    api: Api<W>,
    cache: &Cache<V>,
    open: impl Fn(W) -> Option<(String, V)>,
    changed: impl Fn(Change<'_, V>),
) where
    W: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let events = watcher(api, Config::default().page_size(PAGE)).default_backoff();
    pin_mut!(events);
    let mut listed = BTreeMap::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => take(event, cache, &open, &changed, &mut listed),
            // The stream goes on by itself, after a wait that grows.
            Err(error) => warn!(%error, "A watch was cut off and is begun anew"),
        }
    }
}

fn take<W: Resource, V>(
    event: Event<W>,
    cache: &Cache<V>,
    open: &impl Fn(W) -> Option<(String, V)>,
    changed: &impl Fn(Change<'_, V>),
    listed: &mut BTreeMap<String, Arc<V>>,
) {
    let tell = |name: &str, new: Option<Arc<V>>| {
        let old = cache.put(name, new.clone());
        changed(Change { name, old, new });
    };
    match event {
        Event::Init => listed.clear(),
        Event::InitApply(object) => {
            let name = object.meta().name.clone().unwrap_or_default();
            match open(object) {
                Some((name, new)) => {
                    listed.insert(name, Arc::new(new));
                }
                None => {
                    if let Some(old) = cache.get(&name) {
                        listed.insert(name, old);
                    }
                }
            }
        }
        Event::InitDone => {
            let gone: Vec<String> = {
                let known = cache.read();
                known
                    .keys()
                    .filter(|name| !listed.contains_key(*name))
                    .cloned()
                    .collect()
            };
            for name in &gone {
                tell(name, None);
            }
            for (name, new) in std::mem::take(listed) {
                tell(&name, Some(new));
            }
            cache.ready.send_replace(true);
        }
        Event::Apply(object) => {
            if let Some((name, new)) = open(object) {
                tell(&name, Some(Arc::new(new)));
            }
        }
        Event::Delete(object) => {
            let name = object.meta().name.clone().unwrap_or_default();
            tell(&name, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::json;

    use super::*;

    fn pool(name: &str, paused: bool) -> MachineConfigPool {
        serde_json::from_value(json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool",
            "metadata": {"name": name}, "spec": {"paused": paused},
        }))
        .unwrap()
    }

    #[test]
    fn a_relist_tells_of_what_went_meanwhile_and_keeps_what_cannot_be_read() {
        let cache = Cache::<MachineConfigPool>::default();
        let told = RefCell::new(Vec::new());
        let mut listed = BTreeMap::new();
        let mut play = |events: Vec<Event<MachineConfigPool>>, unreadable: &str| {
            for event in events {
                let open = |pool: MachineConfigPool| {
                    let name = pool.metadata.name.clone().unwrap();
                    (name != unreadable).then_some((name, pool))
                };
                let changed = |change: Change<'_, MachineConfigPool>| {
                    let text = format!(
                        "{} {} {}",
                        change.name,
                        change.old.is_some(),
                        change.new.is_some()
                    );
                    told.borrow_mut().push(text);
                };
                take(event, &cache, &open, &changed, &mut listed);
            }
            std::mem::take(&mut *told.borrow_mut())
        };
        let list = |names: &[&str]| {
            let objects = names.iter().map(|name| Event::InitApply(pool(name, false)));
            let mut all = vec![Event::Init];
            all.extend(objects);
            all.push(Event::InitDone);
            all
        };
        assert_eq!(play(list(&["a", "b"]), ""), ["a false true", "b false true"]);
        assert_eq!(play(vec![Event::Apply(pool("a", true))], ""), ["a true true"]);
        assert_eq!(play(vec![Event::Apply(pool("a", false))], "a"), [""; 0]);
        assert!(cache.get("a").unwrap().spec.paused);
        assert_eq!(
            play(list(&["a", "c"]), "a"),
            ["b true false", "a true true", "c false true"]
        );
        assert!(cache.get("a").unwrap().spec.paused && cache.get("b").is_none());
        assert_eq!(play(vec![Event::Delete(pool("c", false))], ""), ["c true false"]);
        assert_eq!(cache.all().len(), 1);
    }
}
