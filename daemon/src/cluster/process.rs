//! The process around the state machine: watches, a worker, a monitor, and one loop that has done what comes next.

mod talk;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use crds::annotations as keys;
use jiff::Timestamp;
use machineconfig::pool::State;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::timeout;

use super::clients::{Clients, Sources};
use super::memory::{Follow, Memory};
use super::metrics::Metrics;
use super::node_writer::NodeWriter;
use super::progress::{Progress, Stage};
use super::state_machine::{Look, Next, Wait, after, back_off};
use super::watches::Watches;
use super::worker::{Answer, Job, Worker};
use super::{disk, drift, kubelet, listener, watches};
use crate::host::Root;
use crate::host::os::release::Release;

/// How often the loop looks around although nothing happened.
const TICK: Duration = Duration::from_secs(30);
/// The same while the disk differs, since that somebody wants it overwritten gives no notice; and while the API server is waited for.
const HURRY: Duration = Duration::from_secs(2);
/// How long the loop may take for one turn before it counts as hanging. One turn has a few requests at most.
const HANGS: Duration = Duration::from_mins(3);
/// How long the API server is waited for at the beginning before the node goes by what it said last.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether the kubelet has another certificate.
const CREDENTIALS: Duration = Duration::from_mins(1);
/// How long a change under way may take to its end, once the process is asked to end: less than the pod is given (MCO daemon 11.7).
const GRACE: Duration = Duration::from_mins(9);

/// How a node is kept.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Its root, seen from here.
    pub(crate) root: PathBuf,
    /// Its name.
    pub(crate) name: String,
    /// The credentials.
    pub(crate) sources: Sources,
    /// Where the kubelet tells how it is, if that is asked.
    pub(crate) kubelet: Option<String>,
    /// Where metrics are told.
    pub(crate) metrics: SocketAddr,
}

/// Whether the loop still turns.
#[derive(Debug)]
pub(crate) struct Pulse {
    begin: Instant,
    last: AtomicU64,
}

impl Pulse {
    fn new() -> Self {
        Self {
            begin: Instant::now(),
            last: AtomicU64::new(0),
        }
    }

    fn beat(&self) {
        self.last.store(self.begin.elapsed().as_secs(), Ordering::Relaxed);
    }

    /// Whether it turned lately.
    pub(crate) fn beats(&self) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        self.begin.elapsed().as_secs().saturating_sub(last) < HANGS.as_secs()
    }
}

/// The process.
pub(crate) struct Process {
    name: String,
    root: Root,
    memory: Memory,
    worker: Worker,
    answers: UnboundedReceiver<Answer>,
    looks: watch::Receiver<Look>,
    clients: watch::Receiver<Option<Clients>>,
    watches: Watches,
    hands: Option<Hands>,
    metrics: Arc<Metrics>,
    pulse: Arc<Pulse>,
    /// What the MachineConfigNode does not say yet.
    untold: Option<Untold>,
    /// What was waited for last, to say it once.
    waited: Option<Wait>,
    /// Whether a job ends with the machine.
    reboots: bool,
    /// Whether the change under way was announced as one that a signal does not cut off.
    protected: bool,
    begun: Timestamp,
}

/// What writes to the API server.
struct Hands {
    node: NodeWriter,
    progress: Progress,
    clients: Clients,
}

/// What is still to be told.
struct Untold {
    /// What has happened, in order.
    stages: Vec<Stage>,
    /// When it is told, at the latest.
    until: Timestamp,
}

/// Whether the loop goes on at once.
enum Go {
    On,
    Wait(Option<Timestamp>),
}

impl Process {
    /// Begins everything that runs beside the loop.
    pub(crate) fn start(settings: Settings, root: Root) -> Result<Self> {
        let Settings {
            root: path,
            name,
            sources,
            kubelet: endpoint,
            metrics: address,
        } = settings;
        let metrics = Arc::new(Metrics::default());
        let pulse = Arc::new(Pulse::new());
        if let Ok(release) = Release::read(&root) {
            metrics.set_host_os(&release.label(), &release.version);
        }
        let (worker, answers) = Worker::start(&path).context("the system has no thread to give")?;
        let looks = drift::watch(&path).context("the system has no thread to give")?;
        let clients = keep_clients(Root::open(&path)?, sources);
        let watches = watches::start(&clients, &name);
        tokio::spawn(listener::serve(address, metrics.clone(), pulse.clone()));
        if let Some(endpoint) = endpoint {
            tokio::spawn(kubelet::look_after(endpoint, metrics.clone()));
        }
        tracing::info!("Starting to manage node: {name}");
        Ok(Self {
            name,
            root,
            memory: Memory::default(),
            worker,
            answers,
            looks,
            clients,
            watches,
            hands: None,
            metrics,
            pulse,
            untold: None,
            waited: None,
            reboots: false,
            protected: false,
            begun: Timestamp::now(),
        })
    }

    /// Keeps the node until the process is asked to end; what is under way then is brought to its end.
    pub(crate) async fn live(mut self) -> Result<()> {
        let mut term = signal(SignalKind::terminate()).context("signals cannot be heard")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be heard")?;
        tokio::select! {
            () = self.turn() => {}
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("Asked to end");
        self.end().await;
        Ok(())
    }

    /// A change is finished or undone by the engine; only the end of the machine is not waited for.
    async fn end(&mut self) {
        if !self.memory.busy || self.reboots {
            return;
        }
        tracing::info!("A change is under way and is brought to its end first");
        let ended = timeout(GRACE, async {
            while self.memory.busy {
                let Some(answer) = self.answers.recv().await else {
                    return;
                };
                self.memory.take(answer, Timestamp::now());
            }
        });
        if ended.await.is_ok() {
            tracing::info!("The change has ended");
        } else {
            tracing::warn!("The change takes too long; it is taken up at the next start");
        }
    }

    async fn turn(&mut self) {
        self.give(Job::Recover);
        loop {
            self.pulse.beat();
            let until = self.advance().await;
            let hurry = self.memory.is_drifted() || self.memory.seen.is_none();
            let tick = if hurry { HURRY } else { TICK };
            let untold = self.untold.as_ref().map(|untold| untold.until);
            let until = until.into_iter().chain(untold).min();
            let pause = until.map_or(tick, |until| {
                let left = until.duration_since(Timestamp::now());
                Duration::try_from(left).unwrap_or_default().min(tick)
            });
            tokio::select! {
                answer = self.answers.recv() => {
                    // The worker lasts as long as the process.
                    let Some(answer) = answer else { return };
                    self.take(answer).await;
                }
                _ = self.watches.node.changed() => self.see(),
                _ = self.watches.policy.changed() => {
                    self.memory.policy.clone_from(&self.watches.policy.borrow_and_update());
                    self.remember();
                }
                _ = self.watches.trust.changed() => {}
                _ = self.looks.changed() => self.compare(),
                _ = self.clients.changed() => self.make_hands(),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    // === what is taken in ===

    fn see(&mut self) {
        let seen = self.watches.node.borrow_and_update().clone();
        if let Some(seen) = seen {
            self.memory.see(seen);
            self.remember();
        }
    }

    /// What was said last is of use when the API server is away at the next start.
    fn remember(&mut self) {
        let fresh = self.memory.seen.as_ref().is_some_and(|seen| seen.reachable);
        if let Some(node) = self.memory.node().filter(|_| fresh) {
            let policy = self.memory.policy.clone().map(Box::new);
            self.worker.give(Job::Remember(node.handshake.clone(), policy));
        }
    }

    fn compare(&mut self) {
        let look = self.looks.borrow_and_update().clone();
        let others = self.memory.compare(look);
        let drifted = self.memory.is_drifted();
        self.metrics
            .config_drift
            .set(if drifted { Timestamp::now().as_second() } else { 0 });
        if others {
            self.give(Job::Look);
        }
    }

    fn make_hands(&mut self) {
        let clients = self.clients.borrow_and_update().clone();
        self.hands = clients.map(|clients| Hands {
            node: NodeWriter::new(clients.kubelet.clone(), &self.name),
            progress: Progress::new(clients.own.clone(), &self.name),
            clients,
        });
    }

    async fn take(&mut self, answer: Answer) {
        let now = Timestamp::now();
        let follow = self.memory.take(answer, now);
        if !self.memory.busy {
            self.reboots = false;
            if std::mem::take(&mut self.protected) {
                tracing::info!("Removing SIGTERM protection");
            }
        }
        match follow {
            Follow::Nothing => {}
            Follow::RebootFailed => {
                self.metrics.reboots_failed.inc();
            }
            Follow::Synced(version) => {
                let synced = BTreeMap::from([(keys::LAST_SYNCED_CONTROLLER_CONFIG.to_owned(), version)]);
                self.annotate(&synced).await;
            }
        }
    }

    // === what comes next ===

    /// Has done what comes next until there is nothing to do. When to look again at the latest.
    async fn advance(&mut self) -> Option<Timestamp> {
        self.look_around();
        self.tell_untold().await;
        loop {
            let now = Timestamp::now();
            let next = self.memory.next(now)?;
            let waits = matches!(next, Next::Wait(Wait::Drain, _));
            self.memory.waits_for_drain(waits, now);
            match self.perform(next).await {
                Go::On => {}
                Go::Wait(until) => return until,
            }
        }
    }

    fn look_around(&mut self) {
        let now = Timestamp::now();
        if self.memory.seen.is_none() && now >= after(self.begun, PATIENCE) {
            let (handshake, policy) = disk::remembered(&self.root);
            if let Some(handshake) = handshake {
                tracing::warn!("The API server is away; the node goes by what it said last");
                self.memory.remember(handshake, policy);
            }
        }
        self.memory.forced = self.memory.is_drifted() && disk::is_forced(&self.root);
        if self.memory.wants_recovery(now) {
            self.give(Job::Recover);
        }
        if self.memory.busy {
            return;
        }
        let wanted = {
            let trust = self.watches.trust.borrow_and_update();
            let trust = trust.as_ref().filter(|trust| self.memory.wants(trust, now));
            trust.cloned()
        };
        if let Some(trust) = wanted {
            self.give(Job::Trust(Box::new(trust)));
        }
    }

    fn give(&mut self, job: Job) {
        self.memory.busy = true;
        self.worker.give(job);
    }

    async fn perform(&mut self, next: Next) -> Go {
        match next {
            Next::Wait(wait, until) => {
                self.wait(wait).await;
                return Go::Wait(until);
            }
            Next::Say(say) => {
                self.say(say).await;
                return Go::On;
            }
            Next::Fetch(config) => return self.fetch(config).await,
            Next::Plan(config) => {
                let policy = Box::new(self.memory.policy.clone().unwrap_or_default());
                self.give(Job::Plan { config, policy });
            }
            Next::Apply(config) => {
                tracing::info!(%config, "Adding SIGTERM protection");
                self.protected = true;
                let policy = Box::new(self.memory.policy.clone().unwrap_or_default());
                self.give(Job::Apply { config, policy });
            }
            Next::Reboot(config) => {
                tracing::info!(%config, "initiating reboot");
                self.tell(Stage::Rebooting).await;
                self.reboots = true;
                self.give(Job::Reboot(config));
            }
            Next::PutAway => self.give(Job::PutAway),
        }
        Go::Wait(None)
    }

    async fn wait(&mut self, wait: Wait) {
        if self.waited == Some(wait) {
            return;
        }
        let first = self.waited.replace(wait).is_none();
        tracing::info!(?wait, "Waiting");
        if let Some(node) = self.memory.node() {
            let state = node.handshake.state();
            self.set_state(state, node.handshake.reason());
        }
        if first && wait == Wait::Rest {
            self.tell(Stage::AtRest).await;
        }
    }

    fn set_state(&self, state: State, reason: &str) {
        let now = Timestamp::now().as_second();
        let reason = if state.is_degraded() { reason } else { "" };
        self.metrics.set_state(state.as_str(), reason, now);
    }
}

/// Keeps a pair of clients whose credentials are those on the disk.
fn keep_clients(root: Root, sources: Sources) -> watch::Receiver<Option<Clients>> {
    let (made, clients) = watch::channel::<Option<Clients>>(None);
    tokio::spawn(async move {
        let mut tries = 0;
        while !made.is_closed() {
            let outdated = made
                .borrow()
                .as_ref()
                .is_none_or(|clients| clients.are_outdated(&root, &sources));
            if !outdated {
                tokio::time::sleep(CREDENTIALS).await;
                continue;
            }
            match Clients::make(&root, &sources).await {
                Ok(clients) => {
                    tries = 0;
                    made.send_replace(Some(clients));
                }
                Err(error) => {
                    tries += 1;
                    tracing::warn!(error = %format!("{error:#}"), "The API server cannot be reached");
                    tokio::time::sleep(back_off(tries)).await;
                }
            }
        }
    });
    clients
}
