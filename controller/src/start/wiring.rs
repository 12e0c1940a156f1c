//! Which change has what looked at again, and by whom.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crds::machine_config_pool::PoolConfiguration;
use crds::{
    ControllerConfig, MachineConfig, MachineConfigNode, MachineConfigPool, MachineConfiguration, annotations,
};
use k8s_openapi::api::core::v1::Node;
use kube::core::DeserializeGuard;
use machineconfig::pool::Selector;
use tokio::task::JoinSet;
use tracing::info;

use crate::caches::{Change, Stored, feed, guarded, is_same_node, plain, stored, trim_node, trim_report};
use crate::context::Context;
use crate::queue::{self, Next};
use crate::rollout::{Rollout, is_control_plane};
use crate::{certificates, defaults, drain, joining, masters, policy, render, reports, rollout, status};

/// Pools that are looked at at once, by each part.
const ONE: usize = 1;
/// At once.
const NOW: Duration = Duration::ZERO;

/// What passes changes on.
#[derive(Debug)]
struct Wiring {
    context: Arc<Context>,
    /// Before everything is known a change is none.
    begun: AtomicBool,
}

/// Starts all parts. None of them ends by itself.
pub(super) fn run(context: &Arc<Context>) -> JoinSet<()> {
    let wiring = Arc::new(Wiring {
        context: Arc::clone(context),
        begun: AtomicBool::new(false),
    });
    let mut parts = JoinSet::new();
    watch(&wiring, &mut parts);
    parts.spawn(work(wiring));
    parts
}

fn watch(wiring: &Arc<Wiring>, parts: &mut JoinSet<()>) {
    let w = Arc::clone(wiring);
    parts.spawn(async move {
        let (context, open) = (&w.context, |node| plain(node, trim_node));
        feed(context.api::<Node>(), &context.caches.nodes, open, |change| {
            w.node(&change);
        })
        .await;
    });
    let w = Arc::clone(wiring);
    parts.spawn(async move {
        let (context, open) = (&w.context, |pool| guarded(pool, |pool| pool));
        let api = context.api::<DeserializeGuard<MachineConfigPool>>();
        feed(api, &context.caches.pools, open, |change| w.pool(&change)).await;
    });
    let w = Arc::clone(wiring);
    parts.spawn(async move {
        let context = &w.context;
        let api = context.api::<DeserializeGuard<MachineConfig>>();
        let open = |config| Some(stored(config));
        feed(api, &context.caches.configs, open, |change| w.config(&change)).await;
    });
    let w = Arc::clone(wiring);
    parts.spawn(async move {
        let (context, open) = (&w.context, |report| guarded(report, trim_report));
        let api = context.api::<DeserializeGuard<MachineConfigNode>>();
        feed(api, &context.caches.reports, open, |change| w.report(&change)).await;
    });
    let w = Arc::clone(wiring);
    parts.spawn(async move {
        let (context, open) = (&w.context, |config| guarded(config, |config| config));
        let api = context.api::<DeserializeGuard<ControllerConfig>>();
        let cache = &context.caches.controller_configs;
        feed(api, cache, open, |change| w.controller_config(&change)).await;
    });
    let w = Arc::clone(wiring);
    parts.spawn(async move {
        let (context, open) = (&w.context, |settings| guarded(settings, |settings| settings));
        let api = context.api::<DeserializeGuard<MachineConfiguration>>();
        feed(api, &context.caches.settings, open, |change| w.settings(&change)).await;
    });
    if wiring.context.options.joining.is_some() {
        let w = Arc::clone(wiring);
        parts.spawn(async move {
            let context = &w.context;
            joining::watch(context.client.0.clone(), &context.caches.requests, |change| {
                if w.begun() {
                    context.queues.requests.wake(change.name, NOW);
                }
            })
            .await;
        });
    }
    let w = Arc::clone(wiring);
    parts.spawn(async move { masters::follow(&w.context).await });
}

/// Works once everything is known.
async fn work(wiring: Arc<Wiring>) {
    let context = &wiring.context;
    context.caches.wait_ready().await;
    wiring.begin();
    context.health.ready.store(true, Ordering::Relaxed);
    info!("Knows the cluster and works");
    let queues = &context.queues;
    let slots = Rollout::default();
    tokio::join!(
        apart(&wiring, |context| async move {
            queue::run(&context.queues.render, ONE, |pool| {
                render::reconcile(&context, pool)
            })
            .await;
        }),
        queue::run(&queues.rollout, ONE, |pool| slots.reconcile(context, pool)),
        queue::run(&queues.marks, ONE, |pool| rollout::mark(context, pool)),
        queue::run(&queues.status, ONE, |pool| status::reconcile(context, pool)),
        queue::run(&queues.drain, drain::AT_ONCE, |node| drain::reconcile(
            context, node
        )),
        queue::run(&queues.reports, reports::AT_ONCE, |node| reports::reconcile(
            context, node
        )),
        masters::run(context),
        queue::run(&queues.singletons, ONE, |key| singleton(context, key)),
        joining::work(context),
    );
}

/// A part in a task of its own, since it takes a processor for a while; it ends with the task that waits for it.
async fn apart<F>(wiring: &Arc<Wiring>, part: impl FnOnce(Arc<Context>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut task = JoinSet::new();
    task.spawn(part(Arc::clone(&wiring.context)));
    if let Some(Err(error)) = task.join_next().await
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

async fn singleton(context: &Context, key: String) -> anyhow::Result<Next> {
    match key.as_str() {
        policy::KEY => policy::reconcile(context).await,
        certificates::KEY => certificates::reconcile(context).await,
        _ => defaults::reconcile(context).await,
    }
}

impl Wiring {
    /// Has everything looked at.
    fn begin(&self) {
        let Context { caches, queues, .. } = &*self.context;
        self.begun.store(true, Ordering::SeqCst);
        let pools = caches.pools.all();
        let nodes = caches.nodes.all();
        {
            let mut roster = caches.roster();
            for pool in &pools {
                roster.pool(pool.metadata.name.as_deref().unwrap_or_default(), Some(pool));
            }
            roster.place(nodes.iter().map(|node| &**node));
        }
        for pool in &pools {
            let name = pool.metadata.name.as_deref().unwrap_or_default();
            queues.render.wake(name, NOW);
            self.pool_of_nodes(name);
        }
        for node in &nodes {
            let name = node.metadata.name.as_deref().unwrap_or_default();
            queues.drain.wake(name, NOW);
            queues.masters.wake(name, NOW);
            queues.reports.wake(name, NOW);
        }
        for report in caches.reports.all() {
            queues
                .reports
                .wake(report.metadata.name.as_deref().unwrap_or_default(), NOW);
        }
        queues.singletons.wake(defaults::KEY, NOW);
        queues.singletons.wake(policy::KEY, NOW);
        queues.singletons.wake(certificates::KEY, NOW);
        joining::begin(&self.context);
    }

    fn begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }

    /// A pool whose nodes are to be looked at.
    fn pool_of_nodes(&self, pool: &str) {
        self.context.queues.rollout.wake(pool, NOW);
        self.context.queues.status.wake(pool, NOW);
    }

    fn node(&self, change: &Change<'_, Node>) {
        let Context { caches, queues, .. } = &*self.context;
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        if !self.begun() || matches!((old, new), (Some(old), Some(new)) if is_same_node(old, new)) {
            return;
        }
        let mut touched = BTreeSet::new();
        {
            let mut roster = caches.roster();
            match new {
                Some(node) => {
                    touched = roster.place([node]).0;
                    touched.extend(roster.place_of(change.name).and_then(|place| place.pool.clone()));
                }
                None => touched.extend(roster.remove(change.name)),
            }
            if [old, new].into_iter().flatten().any(is_control_plane) {
                for pool in roster.pools_of_control_plane() {
                    queues.rollout.wake(&pool, NOW);
                }
            }
        }
        for pool in touched {
            self.pool_of_nodes(&pool);
        }
        queues.drain.wake(change.name, NOW);
        queues.masters.wake(change.name, NOW);
        queues.reports.wake(change.name, NOW);
    }

    fn pool(&self, change: &Change<'_, MachineConfigPool>) {
        if !self.begun() {
            return;
        }
        let Context { caches, queues, .. } = &*self.context;
        let name = change.name;
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        {
            let mut roster = caches.roster();
            if roster.pool(name, new) {
                let nodes = caches.nodes.all();
                let (touched, moved) = roster.place(nodes.iter().map(|node| &**node));
                drop(roster);
                for pool in &touched {
                    self.pool_of_nodes(pool);
                }
                for node in &moved {
                    queues.reports.wake(node, NOW);
                }
            }
        }
        let said = |pool: &MachineConfigPool| {
            let annotations = pool.metadata.annotations.clone();
            (
                pool.spec.clone(),
                annotations,
                pool.metadata.deletion_timestamp.clone(),
            )
        };
        if old.map(said) != new.map(said) {
            self.pool_of_nodes(name);
            let coupled = caches.roster().pools_of_control_plane();
            if coupled.contains(name) {
                for pool in &coupled {
                    queues.rollout.wake(pool, NOW);
                }
            }
        } else if old.map(|pool| &pool.status) != new.map(|pool| &pool.status) {
            queues.status.wake(name, NOW);
        }
        if self.is_to_be_rendered(old, new) {
            let delay = if old.is_some() && new.is_some() {
                self.context.options.render_delay
            } else {
                NOW
            };
            queues.render.wake(name, delay);
        }
        if new.is_none() {
            queues.singletons.wake(defaults::KEY, NOW);
        }
        if old.map(|pool| &pool.metadata.uid) != new.map(|pool| &pool.metadata.uid) {
            joining::pool(&self.context, name);
        }
    }

    /// Whether a pool has changed in what it is rendered by, or is pointed at something else than we pointed it at.
    fn is_to_be_rendered(&self, old: Option<&MachineConfigPool>, new: Option<&MachineConfigPool>) -> bool {
        let (Some(old), Some(new)) = (old, new) else {
            return true;
        };
        let inputs = |pool: &MachineConfigPool| {
            let mut spec = pool.spec.clone();
            spec.configuration = PoolConfiguration::default();
            (spec, pool.metadata.uid.clone())
        };
        let target = &new.spec.configuration.name;
        let is_moved = old.spec.configuration != new.spec.configuration;
        inputs(old) != inputs(new) || (is_moved && !self.context.targets().contains(target))
    }

    fn config(&self, change: &Change<'_, Stored>) {
        if !self.begun() {
            return;
        }
        let (old, new) = (change.old.as_ref(), change.new.as_ref());
        for stored in [old, new].into_iter().flatten() {
            if let Some(rendered) = stored.rendered() {
                self.rendered(&rendered.pool, old, new);
                return;
            }
        }
        let inputs: Vec<&MachineConfig> = [old, new]
            .into_iter()
            .flatten()
            .filter_map(|stored| stored.input())
            .collect();
        if let [old, new] = inputs.as_slice()
            && old.spec == new.spec
            && old.metadata.labels == new.metadata.labels
            && stamp(old) == stamp(new)
        {
            return;
        }
        for pool in self.context.caches.pools.all() {
            let Ok(selector) = Selector::new(pool.spec.machine_config_selector.as_ref()) else {
                continue;
            };
            if inputs
                .iter()
                .any(|config| selector.selects(config.metadata.labels.as_ref()))
            {
                let name = pool.metadata.name.as_deref().unwrap_or_default();
                self.context
                    .queues
                    .render
                    .wake(name, self.context.options.render_delay);
            }
        }
    }

    /// A rendered config that was deleted, or is no longer what its name says, is looked at without delay: nodes may be about to read it.
    fn rendered(&self, pool: &str, old: Option<&Arc<Stored>>, new: Option<&Arc<Stored>>) {
        let is_good = new
            .and_then(|new| new.rendered())
            .is_some_and(|rendered| rendered.genuine);
        if is_good {
            return;
        }
        if let Some(old) = old.filter(|old| old.rendered().is_some_and(|rendered| rendered.genuine)) {
            self.context.lose(Arc::clone(old));
        }
        self.context.queues.render.wake(pool, NOW);
    }

    fn report(&self, change: &Change<'_, MachineConfigNode>) {
        if !self.begun() {
            return;
        }
        let Context { caches, queues, .. } = &*self.context;
        let spec =
            |report: &Arc<MachineConfigNode>| (report.spec.clone(), report.metadata.owner_references.clone());
        if change.old.as_ref().map(spec) != change.new.as_ref().map(spec) {
            queues.reports.wake(change.name, NOW);
        }
        let place = caches.roster().place_of(change.name).cloned();
        if let Some(pool) = place.and_then(|place| place.pool) {
            queues.status.wake(&pool, NOW);
        }
    }

    fn controller_config(&self, change: &Change<'_, ControllerConfig>) {
        if !self.begun() {
            return;
        }
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        let inputs = |config: &ControllerConfig| (config.spec.clone(), config.metadata.annotations.clone());
        let is_other = old.map(inputs) != new.map(inputs);
        let queues = &self.context.queues;
        queues.singletons.wake(certificates::KEY, NOW);
        for pool in self.context.caches.pools.all() {
            let name = pool.metadata.name.as_deref().unwrap_or_default();
            self.pool_of_nodes(name);
            if is_other {
                queues.render.wake(name, self.context.options.render_delay);
            }
        }
        if new.is_none() {
            queues.singletons.wake(defaults::KEY, NOW);
        }
    }

    fn settings(&self, change: &Change<'_, MachineConfiguration>) {
        if !self.begun() {
            return;
        }
        let overrides =
            |settings: &Arc<MachineConfiguration>| settings.spec.irreconcilable_validation_overrides.clone();
        let queues = &self.context.queues;
        if change.old.as_ref().map(overrides) != change.new.as_ref().map(overrides) {
            for pool in self.context.caches.pools.all() {
                let name = pool.metadata.name.as_deref().unwrap_or_default();
                queues.render.wake(name, self.context.options.render_delay);
            }
        }
        queues.singletons.wake(policy::KEY, NOW);
        if change.new.is_none() {
            queues.singletons.wake(defaults::KEY, NOW);
        }
    }
}

/// Who generated a MachineConfig, which decides whether its OS image counts.
fn stamp(config: &MachineConfig) -> Option<&String> {
    let annotations = config.metadata.annotations.as_ref()?;
    annotations.get(annotations::GENERATED_BY_CONTROLLER_VERSION)
}
