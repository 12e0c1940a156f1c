//! What every sub-controller works with, and what they tell each other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::{Api, Client};
use machineconfig::Finding;

use crate::caches::{Caches, Stored};
use crate::events::Events;
use crate::joining;
use crate::queue::Queue;
use crate::serve::Health;

/// How often a pool's rollout is looked at at most: a burst of changes is one look.
const ROLLOUT_REST: Duration = Duration::from_millis(100);
/// How often a pool's status is written at most (the reference writes it with every change). The first change is told at once, what follows
/// within this time together.
const STATUS_REST: Duration = Duration::from_secs(2);

/// What is decided by flags.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// How long a pool is left alone after a change before it is rendered.
    pub(crate) render_delay: Duration,
    /// How many rendered configs of a pool are kept that nobody refers to.
    pub(crate) keep: usize,
    /// The node that this process runs on, where that is known.
    pub(crate) node: Option<String>,
    /// The release that a ControllerConfig is stamped with that has to be made.
    pub(crate) release: Option<String>,
    /// How machines join; none where they do not.
    pub(crate) joining: Option<joining::Options>,
}

/// Everything.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) client: ClientOf,
    pub(crate) caches: Caches,
    pub(crate) queues: Queues,
    pub(crate) events: Arc<Events>,
    pub(crate) health: Arc<Health>,
    pub(crate) options: Options,
    shared: Mutex<Shared>,
}

/// The client, which has nothing to show of itself.
#[derive(Clone)]
pub(crate) struct ClientOf(pub(crate) Client);

/// What waits to be looked at.
#[derive(Debug)]
pub(crate) struct Queues {
    /// Pools to be rendered.
    pub(crate) render: Queue,
    /// Pools to be rolled out.
    pub(crate) rollout: Queue,
    /// Pools whose nodes are to be tainted or not.
    pub(crate) marks: Queue,
    /// Pools whose status is to be told.
    pub(crate) status: Queue,
    /// Nodes that ask for something.
    pub(crate) drain: Queue,
    /// Nodes whose labels and taints are to be looked after.
    pub(crate) masters: Queue,
    /// Nodes whose MachineConfigNode is to be kept.
    pub(crate) reports: Queue,
    /// Objects of which there is one.
    pub(crate) singletons: Queue,
    /// Pools whose machines join, and certificates.
    pub(crate) joining: Queue,
    /// Requests for certificates.
    pub(crate) requests: Queue,
}

/// What sub-controllers tell each other.
#[derive(Debug, Default)]
struct Shared {
    /// What came of rendering each pool; nothing for a pool that was not rendered since this process leads.
    verdicts: BTreeMap<String, Vec<Finding>>,
    /// Rendered configs that were deleted or changed, as they were.
    lost: BTreeMap<String, Arc<Stored>>,
    /// What pools were pointed at last, which their cache may not know yet.
    targets: BTreeMap<String, String>,
    /// Whether masters take the work of others; none where nobody says so.
    masters_schedulable: Option<bool>,
}

impl std::fmt::Debug for ClientOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Default for Queues {
    fn default() -> Self {
        Self {
            render: Queue::new("render", Duration::ZERO),
            rollout: Queue::new("rollout", ROLLOUT_REST),
            marks: Queue::new("marks", ROLLOUT_REST),
            status: Queue::new("status", STATUS_REST),
            drain: Queue::new("drain", Duration::ZERO),
            masters: Queue::new("masters", Duration::ZERO),
            reports: Queue::new("reports", Duration::ZERO),
            singletons: Queue::new("singletons", Duration::ZERO),
            joining: Queue::new("joining", Duration::ZERO),
            requests: Queue::new("requests", Duration::ZERO),
        }
    }
}

impl Context {
    pub(crate) fn new(client: Client, events: Arc<Events>, health: Arc<Health>, options: Options) -> Self {
        Self {
            client: ClientOf(client),
            caches: Caches::default(),
            queues: Queues::default(),
            events,
            health,
            options,
            shared: Mutex::default(),
        }
    }

    /// The objects of a kind that has no namespaces.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = ()>,
    {
        Api::all(self.client.0.clone())
    }

    /// Notes what came of rendering a pool; the result is whether that is new.
    pub(crate) fn judge(&self, pool: &str, findings: Vec<Finding>) -> bool {
        let mut shared = self.shared();
        let is_known = shared.verdicts.get(pool) == Some(&findings);
        shared.verdicts.insert(pool.to_owned(), findings);
        !is_known
    }

    /// What came of rendering a pool: none when that is not known, empty when nothing refused it.
    pub(crate) fn verdict(&self, pool: &str) -> Option<Vec<Finding>> {
        self.shared().verdicts.get(pool).cloned()
    }

    /// Forgets a pool that is gone.
    pub(crate) fn forget_pool(&self, pool: &str) {
        let mut shared = self.shared();
        shared.verdicts.remove(pool);
        shared.targets.remove(pool);
        shared.lost.retain(|_, lost| !is_of(lost, pool));
    }

    /// Keeps a rendered config that was deleted or changed, as it was.
    pub(crate) fn lose(&self, stored: Arc<Stored>) {
        if let Some(rendered) = stored.rendered() {
            let name = rendered.name.clone();
            self.shared().lost.insert(name, stored);
        }
    }

    /// The rendered configs of a pool that were lost.
    pub(crate) fn lost(&self, pool: &str) -> Vec<Arc<Stored>> {
        let shared = self.shared();
        let lost = shared.lost.values().filter(|lost| is_of(lost, pool));
        lost.cloned().collect()
    }

    /// Forgets a lost config: it is back, or nobody misses it.
    pub(crate) fn found(&self, name: &str) {
        self.shared().lost.remove(name);
    }

    /// Notes what a pool is pointed at.
    pub(crate) fn point(&self, pool: &str, target: &str) {
        self.shared().targets.insert(pool.to_owned(), target.to_owned());
    }

    /// What pools were pointed at last.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.shared().targets.values().cloned().collect()
    }

    /// Whether masters take the work of others; none where nobody says so.
    pub(crate) fn masters_schedulable(&self) -> Option<bool> {
        self.shared().masters_schedulable
    }

    /// Notes that; the result is whether it is new.
    pub(crate) fn schedule_masters(&self, said: Option<bool>) -> bool {
        let mut shared = self.shared();
        std::mem::replace(&mut shared.masters_schedulable, said) != said
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_of(lost: &Stored, pool: &str) -> bool {
    lost.rendered().is_some_and(|rendered| rendered.pool == pool)
}
