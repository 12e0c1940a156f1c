//! What the process knows, and what it makes of what it is told. No I/O: [`Memory::next`] says what comes next, [`Memory::take`] takes in
//! what became of it.

use std::time::Duration;

use crds::annotations::CURRENT_CONFIG;
use jiff::Timestamp;
use machineconfig::Policy;

use super::handshake::Handshake;
use super::state_machine::{Disk, Failure, Kind, Look, Next, Observed, Target, Wait, after, back_off, step};
use super::trust::Trust;
use super::watches::{Seen, SeenNode};
use super::worker::{Answer, Outcome, Planned, Problem};

/// How soon something is tried again that a node can do without for a while.
const LATER: Duration = Duration::from_mins(1);

/// What the process knows.
#[derive(Debug)]
pub(crate) struct Memory {
    /// The node as it was seen last, or remembered from before.
    pub(crate) seen: Option<Seen>,
    /// What is on its disk.
    pub(crate) disk: Option<Disk>,
    /// The config that was fetched and is kept.
    pub(crate) kept: Option<String>,
    /// How the disk compares with its config.
    pub(crate) look: Look,
    /// What decides about disruption.
    pub(crate) policy: Option<Policy>,
    /// Whether somebody wants drift to be overwritten.
    pub(crate) forced: bool,
    target: Target,
    planned: Option<Planned>,
    failure: Option<Failure>,
    /// Certificates that are on the disk.
    trusted: Option<Trust>,
    untrusted: Option<Fault>,
    unrecovered: Option<Fault>,
    /// Since when nobody hears what the node says, and when that is tried again.
    unheard: Option<(u32, Timestamp)>,
    drain_since: Option<Timestamp>,
    said_at: Option<Timestamp>,
    /// A job is under way.
    pub(crate) busy: bool,
    /// Actions that the last change has carried out, in words.
    pub(crate) acted: String,
}

/// Something that is wrong beside the config.
#[derive(Debug)]
struct Fault {
    reason: String,
    until: Timestamp,
}

/// What is to be written after a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Follow {
    /// Nothing.
    Nothing,
    /// The version of the ControllerConfig whose certificates the node has.
    Synced(String),
    /// A reboot failed.
    RebootFailed,
}

// === impl Memory ===

impl Default for Memory {
    fn default() -> Self {
        Self {
            seen: None,
            disk: None,
            kept: None,
            look: Look::NotYet,
            policy: None,
            forced: false,
            target: Target::Unknown,
            planned: None,
            failure: None,
            trusted: None,
            untrusted: None,
            unrecovered: None,
            unheard: None,
            drain_since: None,
            said_at: None,
            busy: false,
            acted: String::new(),
        }
    }
}

impl Memory {
    /// Whether a config is what the machine was served before its first boot, and has not been recorded as its own yet.
    pub(crate) fn was_served(&self, config: &str) -> bool {
        let laid_down = self.disk.as_ref().and_then(|disk| disk.laid_down.as_ref());
        laid_down
            .and_then(|all| all.get(CURRENT_CONFIG))
            .map(String::as_str)
            == Some(config)
    }

    /// The node as it was seen last, if it is there.
    pub(crate) fn node(&self) -> Option<&SeenNode> {
        self.seen.as_ref()?.node.as_ref()
    }

    /// What comes next; `None` while a job is under way, or the node or its disk is not known.
    pub(crate) fn next(&self, now: Timestamp) -> Option<Next> {
        let node = self.node().filter(|_| !self.busy)?;
        let next = step(&Observed {
            handshake: &node.handshake,
            reachable: self.seen.as_ref().is_some_and(|seen| seen.reachable) && self.unheard.is_none(),
            disk: self.disk.as_ref()?,
            look: &self.look,
            target: &self.target,
            failure: self.failure.as_ref(),
            policy_known: self.policy.is_some(),
            forced: self.forced,
            fault: self.fault(),
            drain_since: self.drain_since,
            said_at: self.said_at,
            now,
        });
        Some(match (next, self.unheard) {
            (Next::Say(_), Some((_, until))) if now < until => Next::Wait(Wait::Retry, Some(until)),
            (next, _) => next,
        })
    }

    fn fault(&self) -> Option<&str> {
        let faults = [&self.unrecovered, &self.untrusted];
        faults
            .into_iter()
            .flatten()
            .next()
            .map(|fault| fault.reason.as_str())
    }

    /// Takes in a sight of the node. An older one than that which was written last is left out.
    pub(crate) fn see(&mut self, seen: Seen) {
        let known = self.node().cloned();
        let old = match (&seen.node, &known) {
            (Some(new), Some(known)) => new.is_before(known),
            (None, _) | (_, None) => false,
        };
        if seen.reachable {
            self.unheard = None;
        }
        self.seen = Some(Seen {
            node: if old { known } else { seen.node },
            reachable: seen.reachable,
        });
    }

    /// Goes by what was remembered, until the API server answers.
    pub(crate) fn remember(&mut self, handshake: Handshake, policy: Option<Policy>) {
        self.policy = self.policy.take().or(policy);
        self.seen = Some(Seen {
            node: Some(SeenNode::remembered(handshake)),
            reachable: false,
        });
    }

    /// Takes in how the disk compares. True when it is about another config than the disk was known to have: somebody else has put it there.
    pub(crate) fn compare(&mut self, look: Look) -> bool {
        self.look = look;
        let has = self.disk.as_ref().and_then(|disk| disk.current.as_deref());
        match &self.look {
            Look::Looked { config, .. } => !self.busy && has.is_some_and(|has| has != config),
            Look::NotYet | Look::Failed(_) => false,
        }
    }

    /// Whether the disk differs from its config.
    pub(crate) fn is_drifted(&self) -> bool {
        match &self.look {
            Look::Looked { drift, .. } => drift.is_some(),
            Look::NotYet | Look::Failed(_) => false,
        }
    }

    /// Whether these certificates are to be written: others are on the disk, or nobody knows.
    pub(crate) fn wants(&self, trust: &Trust, now: Timestamp) -> bool {
        let due = self.untrusted.as_ref().is_none_or(|fault| fault.until <= now);
        due && !self
            .trusted
            .as_ref()
            .is_some_and(|trusted| trusted.is_same(trust))
    }

    /// Whether what was cut off is to be taken up once more.
    pub(crate) fn wants_recovery(&self, now: Timestamp) -> bool {
        !self.busy && self.unrecovered.as_ref().is_some_and(|fault| fault.until <= now)
    }

    /// Whether the config can be taken from the disk: it was fetched, and nothing failed with it.
    pub(crate) fn has_fetched(&self, config: &str) -> bool {
        self.kept.as_deref() == Some(config) && self.failure.is_none()
    }

    /// Goes by the config on the disk.
    pub(crate) fn fetched(&mut self, config: String) {
        self.target = Target::Fetched(config);
    }

    /// What the config takes, in words.
    pub(crate) fn takes(&self) -> String {
        self.planned.as_ref().map_or_else(String::new, |planned| {
            let drain = if planned.drain { "drain" } else { "no drain" };
            format!("{drain} ({}), actions: {}", planned.reason, planned.actions)
        })
    }

    /// Notes that something failed on the way to `config`.
    pub(crate) fn fail(&mut self, config: &str, problem: Problem, now: Timestamp) {
        tracing::warn!(%config, reason = %problem.reason, kind = ?problem.kind, "A step failed");
        let failure = Failure::new(config, problem.kind, problem.reason, self.failure.as_ref(), now);
        // What is not told is not kept in the place of something that was: the node goes on to be as degraded as it is.
        self.failure = match self.failure.take() {
            Some(before)
                if problem.kind == Kind::Busy && before.config == config && before.kind != Kind::Busy =>
            {
                Some(Failure {
                    until: failure.until,
                    ..before
                })
            }
            _ => Some(failure),
        };
        self.target = Target::Unknown;
    }

    /// Notes that what was said was heard, and the node as it is now.
    pub(crate) fn heard(&mut self, node: SeenNode) {
        self.unheard = None;
        self.seen = Some(Seen {
            node: Some(node),
            reachable: true,
        });
    }

    /// Notes that nobody heard it.
    pub(crate) fn not_heard(&mut self, now: Timestamp) {
        let tries = self.unheard.map_or(0, |(tries, _)| tries).saturating_add(1);
        self.unheard = Some((tries, after(now, back_off(tries))));
    }

    /// Notes that the node said that something is wrong.
    pub(crate) fn said_failing(&mut self, now: Timestamp) {
        self.said_at = Some(now);
    }

    /// Notes that the node has what it is to have.
    pub(crate) fn said_done(&mut self) {
        self.failure = None;
        self.target = Target::Unknown;
    }

    /// Notes whether a drain is waited for.
    pub(crate) fn waits_for_drain(&mut self, waits: bool, now: Timestamp) {
        self.drain_since = waits.then(|| self.drain_since.unwrap_or(now));
    }

    /// Takes in what became of a job.
    pub(crate) fn take(&mut self, answer: Answer, now: Timestamp) -> Follow {
        let Answer { outcome, disk, kept } = answer;
        self.kept = kept;
        // That is done beside everything else.
        self.busy &= matches!(&outcome, Outcome::Remembered);
        let follow = self.end(outcome, now);
        match disk {
            Ok(disk) => self.disk = Some(disk),
            Err(error) => {
                tracing::warn!(%error, "The disk of the node cannot be read");
                self.unrecovered = Some(fault(error, now));
            }
        }
        follow
    }

    fn end(&mut self, outcome: Outcome, now: Timestamp) -> Follow {
        match outcome {
            Outcome::Looked | Outcome::Remembered | Outcome::PutAway(Ok(())) => {}
            Outcome::Recovered(Ok(recovered)) => {
                self.unrecovered = None;
                if let Some(what) = recovered {
                    tracing::info!(%what, "A change that was cut off was taken up");
                }
            }
            Outcome::Recovered(Err(problem)) | Outcome::PutAway(Err(problem)) => {
                tracing::warn!(reason = %problem.reason, "What was cut off cannot be taken up");
                self.unrecovered = Some(fault(problem.reason, now));
            }
            Outcome::Kept(config, Ok(())) => self.fetched(config),
            Outcome::Planned(config, Ok(planned)) => self.plan(config, planned),
            Outcome::Applied(config, Ok(applied)) => {
                tracing::info!(%config, acted = %applied.acted, warnings = %applied.warnings, "The config is on the node");
                self.acted = applied.acted;
                self.target = Target::Unknown;
                self.failure = None;
            }
            Outcome::Kept(config, Err(problem))
            | Outcome::Planned(config, Err(problem))
            | Outcome::Applied(config, Err(problem)) => self.fail(&config, problem, now),
            Outcome::NotRebooted(config, problem) => {
                self.fail(&config, problem, now);
                return Follow::RebootFailed;
            }
            Outcome::Trusted(trust, Ok(written)) => return self.trusted(*trust, written),
            Outcome::Trusted(_, Err(reason)) => {
                tracing::warn!(%reason, "Certificates cannot be written");
                self.untrusted = Some(fault(reason, now));
            }
        }
        Follow::Nothing
    }

    fn plan(&mut self, config: String, planned: Planned) {
        // The texts are what tests of the reference wait for (MCO daemon 14).
        let drain = planned.drain;
        tracing::info!("Drain calculated for node disruption: {drain} for config {config}");
        if !drain {
            tracing::info!(reason = %planned.reason, "Changes do not require drain, skipping");
        }
        self.target = Target::Planned { config, drain };
        self.planned = Some(planned);
    }

    fn trusted(&mut self, trust: Trust, written: bool) -> Follow {
        self.untrusted = None;
        let version = trust.version.clone();
        self.trusted = Some(trust);
        let said = self.node().map_or("", |node| node.handshake.synced());
        // A version that says nothing new is not worth a write of every node.
        if version.is_empty() || version == said || !(written || said.is_empty()) {
            return Follow::Nothing;
        }
        tracing::info!("Certificate was synced from controllerconfig resourceVersion {version}");
        Follow::Synced(version)
    }
}

fn fault(reason: String, now: Timestamp) -> Fault {
    Fault {
        reason,
        until: after(now, LATER),
    }
}
