//! What comes next in a pool, and what it waits for, in words.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::Finding;
use crate::rollout::{Blocker, Decision, Step};

/// Nodes that are named in a sentence; the others are counted.
const NAMED: usize = 5;

/// What comes next in a pool.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Turn {
    /// What the controller does next.
    #[serde(flatten)]
    pub step: Next,
    /// The nodes that are still to be told the config, in the order of their turns. Those that take no work are not among them.
    pub queue: Vec<String>,
    /// How many nodes may be unavailable at once.
    pub limit: usize,
    /// The nodes that use that up, by name.
    pub busy: Vec<String>,
}

/// What the controller does next with a pool.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "next", rename_all = "camelCase")]
pub enum Next {
    /// Nothing, all have the config.
    Nothing,
    /// Nothing before the pool is rendered for the first time.
    NotRendered,
    /// Nothing, the pool is being deleted.
    Deleting,
    /// Nothing before somebody puts the pool right.
    Refused {
        /// What is wrong with it.
        finding: Finding,
    },
    /// Nothing before the pool is no longer paused.
    Paused,
    /// These nodes are told the config now.
    Go {
        /// Their names, in their order.
        nodes: Vec<String>,
    },
    /// Something must come to pass first.
    Waits {
        /// What, in words; the first is enough of a reason.
        reasons: Vec<String>,
    },
}

impl Turn {
    /// Of a decision, and of those that wait for their turn.
    #[must_use]
    pub fn of(decision: &Decision, queue: Vec<String>) -> Self {
        let step = match &decision.step {
            Step::NotRendered => Next::NotRendered,
            Step::Deleting => Next::Deleting,
            Step::Refused(finding) => Next::Refused {
                finding: finding.clone(),
            },
            Step::Paused => Next::Paused,
            Step::Nothing => Next::Nothing,
            Step::Go(grants) => Next::Go {
                nodes: grants.iter().map(|grant| grant.node.clone()).collect(),
            },
            Step::Waiting(blockers) => Next::Waits {
                reasons: reasons(decision, blockers),
            },
        };
        Self {
            step,
            queue,
            limit: decision.tally.limit,
            busy: busy(decision),
        }
    }

    /// What comes next, in one sentence without a full stop.
    #[must_use]
    pub fn words(&self) -> String {
        let first = self.queue.first();
        match &self.step {
            Next::Nothing => "nothing, all nodes have it".to_owned(),
            Next::NotRendered => "nothing, no config is rendered yet".to_owned(),
            Next::Deleting => "nothing, the pool is being deleted".to_owned(),
            Next::Refused { finding } => format!("nothing before this is mended: {finding}"),
            Next::Paused => match self.queue.len() {
                0 => "nothing while it is paused; no node waits".to_owned(),
                many => format!(
                    "nothing while it is paused; {} {}, {} first",
                    nodes(many),
                    if many == 1 { "waits" } else { "wait" },
                    self.queue[0]
                ),
            },
            Next::Go { nodes } => format!("{}, at once", nodes.join(", ")),
            Next::Waits { reasons } => {
                let reason = reasons.first().map_or("", String::as_str);
                if let Some(first) = first {
                    return format!("{first}, but {reason}");
                }
                // What a node reports stands with the node.
                let reason = reason.split(": \"").next().unwrap_or_default();
                format!("nobody before this has passed: {reason}")
            }
        }
    }
}

/// `1 node`, `2 nodes`.
pub(crate) fn nodes(count: usize) -> String {
    format!("{count} node{}", if count == 1 { "" } else { "s" })
}

/// The nodes that use up what may be unavailable: those that are, those that have a slot, and those that failed on the way to the config.
fn busy(decision: &Decision) -> Vec<String> {
    let away = decision.tally.unavailable.iter().cloned();
    let reserved = decision.reserved.iter().map(|(node, _)| node.to_owned());
    let reserved = reserved.filter(|node| !decision.release.contains(node));
    let blockers = match &decision.step {
        Step::Waiting(blockers) => blockers.as_slice(),
        Step::NotRendered
        | Step::Deleting
        | Step::Refused(_)
        | Step::Paused
        | Step::Nothing
        | Step::Go(_) => &[],
    };
    let failing = blockers.iter().filter_map(|blocker| match blocker {
        Blocker::Node(account) => Some(account.node.clone()),
        Blocker::Told { node, .. } | Blocker::Gone { node, .. } => Some(node.clone()),
        Blocker::Adopted(_) | Blocker::ControlPlane { .. } => None,
    });
    let all: BTreeSet<String> = away.chain(reserved).chain(failing).collect();
    all.into_iter().collect()
}

fn reasons(decision: &Decision, blockers: &[Blocker]) -> Vec<String> {
    let taken = decision.tally.free <= 0 && !decision.tally.candidates.is_empty();
    let slots = taken.then(|| {
        let busy = busy(decision);
        let mut names = busy[..busy.len().min(NAMED)].join(", ");
        if busy.len() > NAMED {
            names = format!("{names} and {} more", busy.len() - NAMED);
        }
        format!(
            "at most {} may be unavailable at once (maxUnavailable), and {} {names}",
            nodes(decision.tally.limit),
            if busy.len() == 1 { "that is" } else { "those are" },
        )
    });
    slots
        .into_iter()
        .chain(blockers.iter().map(ToString::to_string))
        .collect()
}
