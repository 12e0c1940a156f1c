//! What comes next for a node, as a plain function: [`step`] is the entry point (MCO daemon 2).
//!
//! It looks at levels, never at events: whatever was lost, or cut off, the next look comes to the same. What a reboot did is told by the
//! boot id alone, and an update is not done before the disk was compared with its config as a whole.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use machineconfig::pool::State;

use super::handshake::{Drained, Handshake, bounded};
use crate::reboot;
use crate::store::RebootDue;

/// How long the first attempt after one that failed is put off; then twice as long each time (MCO daemon 2.3).
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// And at most this long.
const LAST_RETRY: Duration = Duration::from_mins(1);
/// How soon another process that changes the node is looked after again. It says nothing when it is done.
const BUSY_RETRY: Duration = Duration::from_secs(2);
/// How soon a degraded node says something else: a path that keeps changing is not to flood the API server.
const SPACING: Duration = Duration::from_secs(5);
/// How long a drain may take before the node says so (MCO daemon 5.2).
const DRAIN: Duration = Duration::from_hours(1);

/// What is known of a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed<'a> {
    /// What its annotations say; of before, while the API server is away.
    pub(crate) handshake: &'a Handshake,
    /// Whether the API server answers.
    pub(crate) reachable: bool,
    /// What is on its disk.
    pub(crate) disk: &'a Disk,
    /// How its disk compares with the config there.
    pub(crate) look: &'a Look,
    /// What was found out about the desired config.
    pub(crate) target: &'a Target,
    /// What failed last.
    pub(crate) failure: Option<&'a Failure>,
    /// Whether it is known what decides about disruption.
    pub(crate) policy_known: bool,
    /// Whether somebody wants drift to be overwritten (MCO daemon 7.5).
    pub(crate) forced: bool,
    /// Why the node cannot be called well although its disk is: certificates that cannot be written, a change that cannot be taken up.
    pub(crate) fault: Option<&'a str>,
    /// Since when a drain is waited for.
    pub(crate) drain_since: Option<Timestamp>,
    /// When the node was last said to be degraded.
    pub(crate) said_at: Option<Timestamp>,
    /// The time.
    pub(crate) now: Timestamp,
}

/// What is on a node's disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Disk {
    /// Name of the config that is there as a whole.
    pub(crate) current: Option<String>,
    /// The reboot that is due: this is still the boot that has to end.
    pub(crate) reboot: Option<RebootDue>,
    /// Annotations that were laid down for a node that has none yet.
    pub(crate) laid_down: Option<BTreeMap<String, String>>,
}

/// How a disk compares with the config there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Look {
    /// Nobody has looked yet.
    NotYet,
    /// It cannot be told.
    Failed(String),
    /// All of it was compared.
    Looked {
        /// With this config.
        config: String,
        /// What differs, in words.
        drift: Option<String>,
    },
}

/// What was found out about the desired config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Nothing yet.
    Unknown,
    /// It is on disk.
    Fetched(String),
    /// What it takes is known.
    Planned {
        /// The config.
        config: String,
        /// Whether the node is to be drained.
        drain: bool,
    },
}

/// What failed, and when it is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// On the way to this config.
    pub(crate) config: String,
    /// How.
    pub(crate) kind: Kind,
    /// Why, in words.
    pub(crate) reason: String,
    /// How often so far.
    pub(crate) tries: u32,
    /// Not before then.
    pub(crate) until: Timestamp,
}

/// How something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Somebody else changes the node right now.
    Busy,
    /// It may work next time.
    Failed,
    /// No running node can do it.
    Refused,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing, before something changes; at the latest look again at `until`.
    Wait(Wait, Option<Timestamp>),
    /// Say something by the node's annotations.
    Say(Say),
    /// Fetch this config.
    Fetch(String),
    /// Find out what it takes.
    Plan(String),
    /// Bring the node to it.
    Apply(String),
    /// Reboot, for this config.
    Reboot(String),
    /// Put away what was laid down for the first start.
    PutAway,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nothing: the node is as it should be.
    Rest,
    /// For somebody to say which config the node is to have.
    Assignment,
    /// For what decides about disruption.
    Policy,
    /// For the node to be drained.
    Drain,
    /// For the reboot to end this process.
    Reboot,
    /// For the disk to be compared.
    Look,
    /// For the drift to be mended.
    Drift,
    /// For the next attempt.
    Retry,
}

/// What a node says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Say {
    /// What was laid down for it.
    LaidDown(BTreeMap<String, String>),
    /// That it has this config, and is to have it.
    Adopted(String),
    /// That it has no config, and waits for the first one.
    Awaiting,
    /// That it is on its way.
    Working {
        /// To this config.
        config: String,
        /// And asks to be drained.
        drain: bool,
        /// And says that it works; not when it tries the same again.
        afresh: bool,
    },
    /// That something is wrong.
    Failing {
        /// [`State::Degraded`] or [`State::Unreconcilable`].
        state: State,
        /// Why, as it is written.
        reason: String,
        /// What it is about.
        cause: Cause,
    },
    /// That it has the config it is to have.
    Done {
        /// The config.
        config: String,
        /// And asks for the end of its drain.
        uncordon: bool,
    },
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The disk is not as the config says.
    Drift,
    /// The config could not be reached.
    Update,
    /// The drain takes too long.
    Drain,
    /// Something else: [`Observed::fault`].
    Fault,
}

/// Where a node stands.
enum Standing<'a> {
    /// It has not said yet which config it has, and its disk tells.
    Unsaid,
    /// Nobody has said which config it is to have.
    Unassigned,
    /// Its disk has another config, or none.
    Behind(&'a str),
    /// Its disk has the config, and what runs is from before.
    RebootDue(&'a str, &'a RebootDue),
    /// It has the config.
    Reached(&'a str),
}

impl<'a> Standing<'a> {
    fn of(observed: &Observed<'a>) -> Self {
        let (handshake, disk) = (observed.handshake, observed.disk);
        let tells = disk.laid_down.is_some() || disk.current.is_some();
        let desired = handshake.desired();
        if handshake.current().is_empty() && tells {
            Standing::Unsaid
        } else if desired.is_empty() {
            Standing::Unassigned
        } else if disk.current.as_deref() != Some(desired) {
            Standing::Behind(desired)
        } else if let Some(due) = &disk.reboot {
            Standing::RebootDue(desired, due)
        } else {
            Standing::Reached(desired)
        }
    }
}

/// What comes next for a node.
pub(crate) fn step(observed: &Observed<'_>) -> Next {
    match Standing::of(observed) {
        Standing::Unsaid => introduce(observed),
        Standing::Unassigned => unassigned(observed),
        // What is asked of a machine that goes down waits until it is up again.
        Standing::Behind(config) => going_down(observed).unwrap_or_else(|| update(observed, config)),
        Standing::RebootDue(config, due) => reboot(observed, config, due),
        Standing::Reached(config) => judge(observed, config),
    }
}

/// What a node says first (MCO daemon 2.5).
fn introduce(observed: &Observed<'_>) -> Next {
    let disk = observed.disk;
    Next::Say(match (&disk.laid_down, &disk.current) {
        (Some(laid_down), _) => Say::LaidDown(laid_down.clone()),
        (None, current) => Say::Adopted(current.clone().unwrap_or_default()),
    })
}

/// A node that nobody has given a config. That it has none at all only it knows: the controller then gives it that of its pool, in its turn.
fn unassigned(observed: &Observed<'_>) -> Next {
    let handshake = observed.handshake;
    if observed.reachable && handshake.current().is_empty() && !handshake.awaits() {
        Next::Say(Say::Awaiting)
    } else {
        Next::Wait(Wait::Assignment, None)
    }
}

/// The way to another config, or back to the same.
fn update(observed: &Observed<'_>, config: &str) -> Next {
    if let Some(next) = held_up(observed, config) {
        return next;
    }
    if !observed.policy_known {
        return Next::Wait(Wait::Policy, None);
    }
    match observed.target {
        Target::Planned { config: of, drain } if of == config => {
            let ready = |next| ready(observed, config, *drain).unwrap_or(next);
            ready(Next::Apply(config.to_owned()))
        }
        Target::Fetched(of) if of == config => Next::Plan(config.to_owned()),
        Target::Unknown | Target::Fetched(_) | Target::Planned { .. } => Next::Fetch(config.to_owned()),
    }
}

/// What an attempt that failed still holds up: first it is told, then time has to pass.
fn held_up(observed: &Observed<'_>, config: &str) -> Option<Next> {
    let failure = observed.failure.filter(|failure| failure.config == config)?;
    let told = match failure.kind {
        Kind::Busy => None,
        Kind::Failed => degraded(observed, State::Degraded, &failure.reason, Cause::Update),
        Kind::Refused => degraded(observed, State::Unreconcilable, &failure.reason, Cause::Update),
    };
    match told {
        // Nobody hears it, and the attempts go on.
        Some(Next::Say(_)) if !observed.reachable => {}
        Some(next) => return Some(next),
        None => {}
    }
    (observed.now < failure.until).then_some(Next::Wait(Wait::Retry, Some(failure.until)))
}

/// What is to be said, or waited for, before a node may be changed.
fn ready(observed: &Observed<'_>, config: &str, drain: bool) -> Option<Next> {
    let handshake = observed.handshake;
    // A degraded node that tries the same again stays degraded until it succeeds (MCO daemon 2.12).
    let again = observed
        .failure
        .is_some_and(|failure| failure.config == config && failure.kind != Kind::Busy);
    let afresh = handshake.state() != State::Working && !(again && handshake.state().is_degraded());
    let working = |drain| {
        Some(Next::Say(Say::Working {
            config: config.to_owned(),
            drain,
            afresh,
        }))
    };
    match (drain, handshake.drained(config)) {
        (true, Drained::No) => working(true),
        (true, Drained::Asked) => Some(drain_wait(observed)),
        // Without an API server there is nobody to tell.
        (true, Drained::Yes) | (false, _) if afresh && observed.reachable => working(false),
        (true, Drained::Yes) | (false, _) => None,
    }
}

fn drain_wait(observed: &Observed<'_>) -> Next {
    let Some(since) = observed.drain_since else {
        return Next::Wait(Wait::Drain, None);
    };
    let until = after(since, DRAIN);
    if observed.now < until {
        return Next::Wait(Wait::Drain, Some(until));
    }
    let reason =
        "failed to drain node: it is not drained after 1 hour; the controller says which pods block it";
    degraded(observed, State::Degraded, reason, Cause::Drain).unwrap_or(Next::Wait(Wait::Drain, None))
}

fn reboot(observed: &Observed<'_>, config: &str, due: &RebootDue) -> Next {
    if let Some(next) = held_up(observed, config) {
        return next;
    }
    if let Some(next) = going_down(observed) {
        return next;
    }
    match due.requested {
        // One that did not come is asked for again.
        Some(_) => Next::Reboot(config.to_owned()),
        None => ready(observed, config, true).unwrap_or_else(|| Next::Reboot(config.to_owned())),
    }
}

/// The wait for a reboot that was asked for, as long as it may still come.
fn going_down(observed: &Observed<'_>) -> Option<Next> {
    let due = observed.disk.reboot.as_ref()?;
    let requested = due.requested?;
    reboot::overdue(due, observed.now)
        .is_none()
        .then(|| Next::Wait(Wait::Reboot, Some(after(requested, reboot::BOUND))))
}

/// Whether a node that has its config is as the config says.
fn judge(observed: &Observed<'_>, config: &str) -> Next {
    if observed.disk.laid_down.is_some() {
        return Next::PutAway;
    }
    match observed.look {
        Look::NotYet => Next::Wait(Wait::Look, None),
        Look::Looked { config: of, .. } if of != config => Next::Wait(Wait::Look, None),
        Look::Failed(reason) => {
            degraded(observed, State::Degraded, reason, Cause::Drift).unwrap_or(Next::Wait(Wait::Look, None))
        }
        Look::Looked { drift: Some(_), .. } if observed.forced => update(observed, config),
        Look::Looked {
            drift: Some(drift), ..
        } => {
            degraded(observed, State::Degraded, drift, Cause::Drift).unwrap_or(Next::Wait(Wait::Drift, None))
        }
        Look::Looked { drift: None, .. } => settle(observed, config),
    }
}

/// That a node has its config, and that nothing differs.
fn settle(observed: &Observed<'_>, config: &str) -> Next {
    if let Some(reason) = observed.fault {
        return degraded(observed, State::Degraded, reason, Cause::Fault)
            .unwrap_or(Next::Wait(Wait::Retry, None));
    }
    let handshake = observed.handshake;
    let uncordon = handshake.is_away();
    if handshake.current() == config && handshake.state() == State::Done && !uncordon {
        // Also a node that the reference has left: nothing is written.
        return Next::Wait(Wait::Rest, None);
    }
    Next::Say(Say::Done {
        config: config.to_owned(),
        uncordon,
    })
}

/// That something is wrong, unless it is said already. What changes all the time is said now and then.
fn degraded(observed: &Observed<'_>, state: State, reason: &str, cause: Cause) -> Option<Next> {
    let reason = bounded(reason);
    if observed.handshake.says(state, &reason) {
        return None;
    }
    let until = observed.said_at.map(|said| after(said, SPACING));
    Some(match until.filter(|until| observed.now < *until) {
        Some(until) => Next::Wait(Wait::Retry, Some(until)),
        None => Next::Say(Say::Failing { state, reason, cause }),
    })
}

// === impl Failure ===

impl Failure {
    /// After `before`, which failed on the way to whatever config.
    pub(crate) fn new(
        config: &str,
        kind: Kind,
        reason: String,
        before: Option<&Failure>,
        now: Timestamp,
    ) -> Self {
        let tries = before
            .filter(|before| before.config == config)
            .map_or(0, |before| before.tries)
            .saturating_add(1);
        let delay = match kind {
            Kind::Busy => BUSY_RETRY,
            Kind::Failed | Kind::Refused => back_off(tries),
        };
        Self {
            config: config.to_owned(),
            kind,
            reason,
            tries,
            until: after(now, delay),
        }
    }
}

/// How long to wait after so many tries.
pub(crate) fn back_off(tries: u32) -> Duration {
    let doubled = 1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST_RETRY.saturating_mul(doubled).min(LAST_RETRY)
}

/// A moment so much later; the last there is when that is beyond all time.
pub(crate) fn after(moment: Timestamp, delay: Duration) -> Timestamp {
    moment.checked_add(delay).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
