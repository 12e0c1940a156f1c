//! What is going on on one node, from what it and the controller say.

use crds::MachineConfigPool;
use crds::condition::{Condition, ConditionStatus};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use serde::Serialize;

use crate::drain::pods::bare;
use crate::drain::report::held_up;
use crate::drain::{Request, mark, request};
use crate::pool::{NodeView, Progress, State};
use crate::rollout::Reservations;

/// What is going on on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "phase", rename_all = "camelCase")]
pub enum Phase {
    /// Nothing: it has the config of its pool.
    Updated,
    /// It has another config and was not told the pool's yet.
    Waiting,
    /// It was told the config, and its daemon has not begun.
    Told,
    /// It has asked for its drain, and the controller has not begun.
    AskingForDrain,
    /// Its pods are being evicted.
    #[serde(rename_all = "camelCase")]
    Draining {
        /// What holds that up, in words; empty when nothing does.
        #[serde(skip_serializing_if = "String::is_empty")]
        held_up: String,
    },
    /// The change is being written, or its actions are being carried out.
    Applying {
        /// What the update takes, by the word of the daemon; empty when it has not said.
        #[serde(skip_serializing_if = "String::is_empty")]
        takes: String,
    },
    /// It reboots.
    Rebooting,
    /// It is done, and waits for the controller to let it take work again.
    Releasing,
    /// Its change failed.
    Failing {
        /// No running node can make the change.
        refused: bool,
        /// Why; what the daemon says.
        reason: String,
    },
    /// It has its config, and is not as that says.
    Drifted {
        /// In what; what the daemon says.
        reason: String,
    },
    /// It says no config yet.
    New,
}

/// What is going on on a node of a pool, and since when; `conditions` are those of its MachineConfigNode.
#[must_use]
pub fn phase(pool: &MachineConfigPool, node: &Node, conditions: &[Condition]) -> (Phase, Option<Timestamp>) {
    let view = NodeView::of(node);
    let asks = request(node).ok().flatten();
    let releasing = matches!(asks, Some(Request::Uncordon(_)));
    let reason = view.reason.to_owned();
    let target = pool.spec.configuration.name.as_str();
    match view.progress(target) {
        Progress::New => (Phase::New, view.created),
        Progress::Updated | Progress::Outdated if releasing => (
            Phase::Releasing,
            since(conditions, "Resumed", ConditionStatus::True),
        ),
        Progress::Updated => (
            Phase::Updated,
            since(conditions, "Updated", ConditionStatus::True),
        ),
        Progress::Outdated => (Phase::Waiting, None),
        Progress::Failing => {
            let refused = view.state == State::Unreconcilable;
            (Phase::Failing { refused, reason }, degraded_since(conditions))
        }
        Progress::Drifted => (Phase::Drifted { reason }, degraded_since(conditions)),
        Progress::Updating => updating(pool, node, &view, conditions),
    }
}

fn updating(
    pool: &MachineConfigPool,
    node: &Node,
    view: &NodeView<'_>,
    conditions: &[Condition],
) -> (Phase, Option<Timestamp>) {
    let told = Reservations::of(pool).ok();
    let told = told.and_then(|reserved| reserved.since(view.name));
    let is_draining = matches!(request(node), Ok(Some(Request::Drain(_))));
    let rebooting = since(conditions, "RebootedNode", ConditionStatus::Unknown);
    match view.state {
        State::Unset | State::Done => (Phase::Told, told),
        _ if is_draining => {
            let begun = mark(node)
                .map(|mark| mark.since)
                .or_else(|| since(conditions, "Cordoned", ConditionStatus::True));
            match begun {
                Some(since) => {
                    let held_up = bare(view.name, held_up(conditions)).to_owned();
                    (Phase::Draining { held_up }, Some(since))
                }
                None => (Phase::AskingForDrain, told),
            }
        }
        State::Rebooting => (Phase::Rebooting, rebooting.or(told)),
        State::Working | State::Unknown | State::Degraded | State::Unreconcilable => {
            if rebooting.is_some() {
                return (Phase::Rebooting, rebooting);
            }
            let prepared = of(conditions, "UpdatePrepared");
            let prepared = prepared.filter(|found| found.status == ConditionStatus::True);
            let takes = prepared.map_or_else(String::new, |found| found.message.clone());
            let drained = since(conditions, "Drained", ConditionStatus::True);
            // That it is prepared may be so since an earlier update; that it is not updated is not.
            let begun = since(conditions, "Updated", ConditionStatus::False);
            (Phase::Applying { takes }, drained.or(begun).or(told))
        }
    }
}

fn of<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

fn since(conditions: &[Condition], type_: &str, status: ConditionStatus) -> Option<Timestamp> {
    let found = of(conditions, type_).filter(|condition| condition.status == status);
    found.map(|condition| condition.last_transition_time.0)
}

fn degraded_since(conditions: &[Condition]) -> Option<Timestamp> {
    since(conditions, "NodeDegraded", ConditionStatus::True)
}

impl Phase {
    /// What is going on, in a word or two.
    #[must_use]
    pub fn words(&self) -> &'static str {
        match self {
            Phase::Updated => "updated",
            Phase::Waiting => "waiting",
            Phase::Told => "told",
            Phase::AskingForDrain => "asking for its drain",
            Phase::Draining { .. } => "draining",
            Phase::Applying { .. } => "applying",
            Phase::Rebooting => "rebooting",
            Phase::Releasing => "being given back",
            Phase::Failing { refused: false, .. } => "failed",
            Phase::Failing { refused: true, .. } => "refused",
            Phase::Drifted { .. } => "drifted",
            Phase::New => "being set up",
        }
    }

    /// What is to be said besides: what holds it up, what it takes, why it failed. Empty when there is nothing.
    #[must_use]
    pub fn detail(&self) -> &str {
        match self {
            Phase::Draining { held_up } => held_up,
            Phase::Applying { takes } => takes,
            Phase::Failing { reason, .. } | Phase::Drifted { reason } => reason,
            Phase::Updated
            | Phase::Waiting
            | Phase::Told
            | Phase::AskingForDrain
            | Phase::Rebooting
            | Phase::Releasing
            | Phase::New => "",
        }
    }

    /// Whether it does not go on unless somebody sees to it.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        match self {
            Phase::Failing { .. } | Phase::Drifted { .. } => true,
            Phase::Draining { held_up } => !held_up.is_empty(),
            Phase::Updated
            | Phase::Waiting
            | Phase::Told
            | Phase::AskingForDrain
            | Phase::Applying { .. }
            | Phase::Rebooting
            | Phase::Releasing
            | Phase::New => false,
        }
    }
}
