//! The process around the state machine: watches, a worker, a monitor, and one loop that has done what comes next.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use crds::annotations as keys;
use http::Request;
use jiff::Timestamp;
use machineconfig::pool::State;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::timeout;

use super::clients::{Clients, Sources};
use super::memory::{Follow, Memory};
use super::metrics::Metrics;
use super::node_writer::{NodeWriter, annotations};
use super::progress::{Progress, Stage};
use super::state_machine::{Cause, Kind, Look, Next, Say, Wait, after, back_off};
use super::watches::{SeenNode, Watches};
use super::worker::{Answer, Job, Problem, Worker};
use super::{disk, drift, kubelet, listener, watches};
use crate::host::Root;
use crate::host::os::release::Release;

/// How often the loop looks around although nothing happened.
const TICK: Duration = Duration::from_secs(30);
/// The same while the disk differs: that somebody wants it overwritten gives no notice.
const WHILE_DRIFTED: Duration = Duration::from_secs(2);
/// How long the loop may take for one turn before it counts as hanging. One turn has a few requests at most.
const HANGS: Duration = Duration::from_mins(3);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(15);
/// How long it may take to fetch a config: up to a few megabytes, from a server that is busy.
const FETCH: Duration = Duration::from_mins(1);
/// How long the API server is waited for at the beginning before the node goes by what it said last.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether the kubelet has another certificate.
const CREDENTIALS: Duration = Duration::from_mins(1);
/// How soon a MachineConfigNode is written again when that failed; the controller makes it in its own time.
const TELL_AGAIN: Duration = Duration::from_mins(1);
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
    /// What the MachineConfigNode does not say yet, and when that is tried again.
    untold: Option<(Stage, Timestamp)>,
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
        match ended.await {
            Ok(()) => tracing::info!("The change has ended"),
            Err(_) => tracing::warn!("The change takes too long; it is taken up at the next start"),
        }
    }

    async fn turn(&mut self) {
        self.give(Job::Recover);
        loop {
            self.pulse.beat();
            let until = self.advance().await;
            let tick = if self.memory.is_drifted() {
                WHILE_DRIFTED
            } else {
                TICK
            };
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
                    self.memory.policy = self.watches.policy.borrow_and_update().clone();
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
        let trust = self.watches.trust.borrow_and_update().clone();
        if let Some(trust) = trust.filter(|trust| !self.memory.busy && self.memory.wants(trust, now)) {
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
            self.set_state(state, &node.handshake.reason().to_owned());
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

    // === what is said ===

    async fn say(&mut self, say: Say) {
        let before = self
            .memory
            .node()
            .map(|node| node.handshake.clone())
            .unwrap_or_default();
        if let Say::Working { drain: true, .. } = &say {
            // What tests of the reference wait for (MCO daemon 14).
            tracing::info!("requesting cordon and drain via annotation to controller");
        }
        if !self.annotate(&annotations(&say, &before)).await {
            return;
        }
        self.waited = Some(Wait::Look);
        let now = Timestamp::now();
        match say {
            Say::LaidDown(_) | Say::Adopted(_) => {}
            Say::Working { config, afresh, .. } => {
                self.set_state(State::Working, "");
                if afresh {
                    let takes = self.memory.takes();
                    tracing::info!(%config, %takes, "Update begins");
                    self.tell(Stage::Prepared(format!("Update to {config}: {takes}")))
                        .await;
                }
            }
            Say::Failing { state, reason, cause } => {
                self.memory.said_failing(now);
                self.set_state(state, &reason);
                self.metrics.set_update("", &reason, now.as_second());
                self.warn(state, &reason, cause);
                let refused = state == State::Unreconcilable;
                self.tell(Stage::Failing { reason, refused }).await;
            }
            Say::Done { config, .. } => {
                let is_new = before.current() != config;
                tracing::info!(%config, update = is_new, "The node has the config that it is to have");
                self.memory.said_done();
                self.set_state(State::Done, "");
                self.metrics.set_update(&config, "", now.as_second());
                let acted = std::mem::take(&mut self.memory.acted);
                self.tell(if is_new { Stage::Done(acted) } else { Stage::AtRest })
                    .await;
            }
        }
    }

    /// Sets annotations of the node. True when that is done.
    async fn annotate(&mut self, annotations: &BTreeMap<String, String>) -> bool {
        if annotations.is_empty() {
            return true;
        }
        let Some(hands) = &self.hands else {
            self.memory.not_heard(Timestamp::now());
            return false;
        };
        let error = match timeout(REQUEST, hands.node.annotate(annotations)).await {
            Ok(Ok(node)) => {
                self.memory.heard(SeenNode::of(&node));
                self.remember();
                return true;
            }
            Ok(Err(error)) => crate::apply::chain(&error),
            Err(_) => "the API server did not answer in time".to_owned(),
        };
        tracing::warn!(%error, "The node object cannot be written");
        self.memory.not_heard(Timestamp::now());
        false
    }

    fn warn(&self, state: State, reason: &str, cause: Cause) {
        let Some(hands) = &self.hands else { return };
        let kind = match (cause, state) {
            (Cause::Drift, _) => "ConfigDriftDetected",
            (Cause::Drain, _) => "FailedToDrain",
            (Cause::Fault, _) => "NodeDegraded",
            (Cause::Update, State::Unreconcilable) => "FailedToReconcile",
            (Cause::Update, _) => "UpdateFailed",
        };
        let uid = self.memory.node().and_then(|node| node.uid.clone());
        let (writer, reason) = (hands.node.clone(), reason.to_owned());
        tokio::spawn(async move {
            if let Ok(Err(error)) = timeout(REQUEST, writer.warn(uid, kind, &reason)).await {
                tracing::warn!(error = %crate::apply::chain(&error), "An event cannot be written");
            }
        });
    }

    /// Tells by the MachineConfigNode; what cannot be told is told later, with what comes then.
    async fn tell(&mut self, stage: Stage) {
        let told = match (&self.hands, self.memory.node()) {
            (Some(hands), Some(node)) => {
                let told = hands.progress.tell(&stage, &node.handshake);
                match timeout(REQUEST, told).await {
                    Ok(Ok(told)) => told,
                    Ok(Err(error)) => {
                        let error = crate::apply::chain(&error);
                        tracing::warn!(%error, "The MachineConfigNode cannot be written");
                        false
                    }
                    Err(_) => false,
                }
            }
            (None, _) | (_, None) => false,
        };
        self.untold = (!told).then(|| (stage, after(Timestamp::now(), TELL_AGAIN)));
    }

    async fn tell_untold(&mut self) {
        let due = self.untold.take_if(|(_, until)| *until <= Timestamp::now());
        if let Some((stage, _)) = due {
            self.tell(stage).await;
        }
    }

    // === what is fetched ===

    async fn fetch(&mut self, config: String) -> Go {
        if self.memory.has_fetched(&config) {
            self.memory.fetched(config);
            return Go::On;
        }
        let kept = self.memory.kept.as_deref() == Some(config.as_str());
        match self.get(&config).await {
            Ok(text) => {
                self.give(Job::Keep { config, text });
                Go::Wait(None)
            }
            // The API server is away, and the last target goes on.
            Err(problem) if problem.kind == Kind::Busy && kept => {
                self.memory.fetched(config);
                Go::On
            }
            Err(problem) => {
                self.memory.fail(&config, problem, Timestamp::now());
                Go::On
            }
        }
    }

    /// A config as it is on the API server. It is not taken apart here: the engine does that, and forgets it again.
    async fn get(&self, config: &str) -> Result<String, Problem> {
        let problem = |kind, reason| Problem { kind, reason };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        if config.starts_with('.') || !config.chars().all(plain) {
            return Err(problem(
                Kind::Failed,
                format!("{config:?} is no name of a MachineConfig"),
            ));
        }
        let away = || problem(Kind::Busy, "the API server does not answer".to_owned());
        let hands = self.hands.as_ref().ok_or_else(away)?;
        let path = format!("/apis/machineconfiguration.openshift.io/v1/machineconfigs/{config}");
        let request = Request::get(path)
            .body(Vec::new())
            .map_err(|error| problem(Kind::Failed, error.to_string()))?;
        match timeout(FETCH, hands.clients.own.request_text(request)).await {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(kube::Error::Api(status))) => Err(problem(
                Kind::Failed,
                format!("MachineConfig/{config} cannot be fetched: {}", status.message),
            )),
            Ok(Err(_)) | Err(_) => Err(away()),
        }
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
