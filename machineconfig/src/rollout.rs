//! Who is updated next: capacity, order, guards of the control plane, and the slots that are reserved beforehand (MCO controller 3.5 to 3.7).
//!
//! [`next`] decides on a view of the pool and its nodes. What it decides is carried out in this order:
//!
//! 1. [`reserve`] gives the pool's new reservations. When they differ from [`Decision::reserved`] they are written with [`pool_patch`],
//!    which names the resource version of the pool that was decided on. When that write is refused, somebody else
//!    was there first: nothing else is written, and everything begins anew.
//! 2. Every node of the pool gets its [`node_patch`], which names the resource version of the node that was decided on. When one is
//!    refused it is skipped: the slot stays reserved, and a later round completes it.
//!
//! So two leaders can never use more slots than there are. A slot is taken by a write to the pool that only one of two can win. It is
//! given back only on the word of a node that bears the mark of this very reservation, so a view from before the node was
//! told cannot free it; and a node cannot be told on the strength of a view that is out of date.

mod blocker;
mod choice;
mod patch;
mod reservations;

use std::collections::BTreeMap;

use crds::MachineConfigPool;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;

use crate::pool::{NodeView, Selector, limit};
use crate::{Code, Finding};

pub use blocker::Blocker;
pub use patch::{NodePatch, node_patch, pool_patch, untainted};
pub use reservations::{Reservation, Reservations, release, reserve};

use choice::Field;

/// How long the view of a node may lag behind the write that told it. A reservation that is younger is taken as carried out.
pub const RESUME_AFTER: SignedDuration = SignedDuration::from_secs(30);
/// How long a reservation is kept whose node does not bear its mark, or is gone: longer than any view lags behind, and than the leader that made
/// it can go on working after another one has taken its place.
pub const FORGET_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// At most this many nodes of a pool are reserved at once, since the reservations must fit into one annotation (256 KiB for all of an object).
pub const MAX_RESERVED: usize = 256;

/// What a decision takes into account besides the pool and its nodes.
#[derive(Debug, Clone, Default)]
pub struct Around<'a> {
    /// The nodes of the control plane that are not in the pool.
    pub peers: Vec<Peer<'a>>,
    /// The node that our own leader runs on: it is updated last, so that the leader is moved about as little as possible.
    pub leader: Option<&'a str>,
    /// The topology of the control plane, to be told to the nodes; none where nobody knows.
    pub topology: Option<&'a str>,
    /// Labels of nodes that were started with another pool's config, by the node's name (see [`crate::pool::started_for`]). They are put on in place
    /// of an update: the node then belongs to that pool.
    pub adopt: BTreeMap<&'a str, BTreeMap<String, String>>,
}

/// A node of the control plane in another pool.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'a> {
    /// The node.
    pub node: &'a Node,
    /// The pool that decides about it, if one does.
    pub pool: Option<&'a MachineConfigPool>,
}

/// What is to be done with a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Name of the pool.
    pub pool: String,
    /// The resource version of the pool that was decided on.
    pub version: Option<String>,
    /// The rendered config that its nodes are to have; empty when there is none yet.
    pub target: String,
    /// The topology of the control plane that its nodes are to be told.
    pub topology: Option<String>,
    /// What comes next.
    pub step: Step,
    /// What it was decided by.
    pub tally: Tally,
    /// The reservations that it was made with, as they stand in the pool; none when they cannot be read.
    pub reserved: Reservations,
    /// Nodes whose reservations have served their purpose.
    pub release: Vec<String>,
    /// Labels for nodes that belong to another pool, by the node's name.
    pub adopt: BTreeMap<String, BTreeMap<String, String>>,
    /// The node of our own leader, when it would have had a turn and lets others go first.
    pub deferred: Option<String>,
}

/// What comes next in a pool.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing can be rolled out before the pool is rendered for the first time.
    NotRendered,
    /// Nothing is rolled out any more, the pool is being deleted.
    Deleting,
    /// Nothing can be rolled out before somebody puts the pool right.
    Refused(Finding),
    /// Nothing is rolled out until the pool is no longer paused.
    Paused,
    /// Every node has the config.
    Nothing,
    /// Nodes are left, and something must come to pass first. Never empty.
    Waiting(Vec<Blocker>),
    /// These nodes are to be told the config, in this order. Never empty.
    Go(Vec<Grant>),
}

/// A node's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The node.
    pub node: String,
    /// The reservation that it is told by. It becomes the node's mark.
    pub id: String,
}

/// What a decision was made by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// How many nodes may be unavailable at once.
    pub limit: usize,
    /// Nodes that are unavailable, in the order given.
    pub unavailable: Vec<String>,
    /// Nodes that take part in the choice, in the order given.
    pub candidates: Vec<String>,
    /// Slots that are free: the limit without the unavailable nodes, those that fail on the current config, and those
    /// that are reserved. Below zero when more nodes went away than may.
    pub free: isize,
}

/// Something to be told to people: an event of the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened, in one word.
    pub reason: &'static str,
    /// What happened, in a sentence.
    pub message: String,
}

/// What is to be done next with a pool and its nodes, all of which are its own (MCO controller 3.5 to 3.7).
///
/// Nodes that are unavailable, fail on the current config or are reserved take up slots; a node goes when a slot is free, and a node whose update
/// to an earlier config failed is led to the new one first, since it may try its old one again at any time. Then they go by zone,
/// oldest first. Of the control plane one node goes at a time, over all pools, and only while all the others are
/// ready. Costs O(n log n) for n nodes.
#[must_use]
pub fn next(pool: &MachineConfigPool, nodes: &[&Node], around: &Around<'_>, now: Timestamp) -> Decision {
    let target = pool.spec.configuration.name.as_str();
    let views: Vec<_> = nodes.iter().map(|node| NodeView::of(node)).collect();
    let read = Reservations::of(pool);
    let gate = gate(pool, read.as_ref().err(), views.len());
    let moving = gate.is_none();
    let before = read.unwrap_or_default();
    let release = before.settled(&views, now);
    let reserved = before.without(&release);
    let field = Field {
        pool,
        target,
        views: &views,
        reserved: &reserved,
        limit: limit(pool, views.len()).unwrap_or_default(),
        around,
        now,
    };
    let (step, deferred) = gate.map_or_else(|| field.decide(), |step| (step, None));
    Decision {
        pool: field.name().to_owned(),
        version: pool.metadata.resource_version.clone(),
        target: target.to_owned(),
        topology: around.topology.map(str::to_owned),
        step,
        tally: field.tally(),
        reserved: before,
        release,
        adopt: if moving { field.adopted() } else { BTreeMap::new() },
        deferred,
    }
}

/// The nodes that are still to be told the pool's config and could be, in the order of their turns; those of a paused pool too. Costs
/// O(n log n) for n nodes.
#[must_use]
pub fn queue(pool: &MachineConfigPool, nodes: &[&Node], around: &Around<'_>, now: Timestamp) -> Vec<String> {
    let views: Vec<_> = nodes.iter().map(|node| NodeView::of(node)).collect();
    let reserved = Reservations::of(pool).unwrap_or_default();
    let field = Field {
        pool,
        target: pool.spec.configuration.name.as_str(),
        views: &views,
        reserved: &reserved,
        limit: limit(pool, views.len()).unwrap_or_default(),
        around,
        now,
    };
    let (queue, deferred) = field.queue();
    let names = queue.into_iter().map(|view| view.name.to_owned());
    names.chain(deferred).collect()
}

/// Why nothing at all is rolled out in a pool.
fn gate(pool: &MachineConfigPool, unreadable: Option<&Finding>, machines: usize) -> Option<Step> {
    if pool.metadata.deletion_timestamp.is_some() {
        return Some(Step::Deleting);
    }
    if pool.spec.configuration.name.is_empty() {
        return Some(Step::NotRendered);
    }
    let refused = selector(pool)
        .or_else(|| unreadable.cloned())
        .or_else(|| limit(pool, machines).err());
    if let Some(finding) = refused {
        return Some(Step::Refused(finding));
    }
    pool.spec.paused.then_some(Step::Paused)
}

/// What is wrong with the pool's choice of nodes.
fn selector(pool: &MachineConfigPool) -> Option<Finding> {
    const FIELD: &str = "spec.nodeSelector";
    let object = format!(
        "MachineConfigPool/{}",
        pool.metadata.name.as_deref().unwrap_or_default()
    );
    let given = pool.spec.node_selector.as_ref()?;
    match Selector::new(Some(given)) {
        Ok(selector) if selector.is_empty() => {
            let message = "an empty selector would select every node of the cluster, so it selects none";
            Some(Finding::error(
                Code::POOL_SELECTS_EVERY_NODE,
                object,
                FIELD,
                message,
            ))
        }
        Ok(_) => None,
        Err(problems) => problems
            .into_iter()
            .next()
            .map(|problem| problem.finding(&object, FIELD)),
    }
}

impl Decision {
    /// The nodes whose turn it is, in their order; none unless the step is [`Step::Go`].
    #[must_use]
    pub fn grants(&self) -> &[Grant] {
        match &self.step {
            Step::Go(grants) => grants,
            Step::NotRendered
            | Step::Deleting
            | Step::Refused(_)
            | Step::Paused
            | Step::Nothing
            | Step::Waiting(_) => &[],
        }
    }

    /// Whether nodes of the pool are written to at all.
    #[must_use]
    pub fn moves(&self) -> bool {
        match self.step {
            Step::Go(_) | Step::Waiting(_) | Step::Nothing => true,
            Step::NotRendered | Step::Deleting | Step::Refused(_) | Step::Paused => false,
        }
    }

    /// What the pool's watchers are to be told, once it is carried out.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        let deferred = self.deferred.as_ref().map(|node| Event {
            reason: "DeferringOperatorNodeUpdate",
            message: format!("Node {node} runs the controller and is updated after the others"),
        });
        let message = match self.grants() {
            [] => None,
            [only] => Some(format!(
                "Node {} is to have MachineConfig {}",
                only.node, self.target
            )),
            several => Some(format!(
                "{} nodes are to have MachineConfig {}",
                several.len(),
                self.target
            )),
        };
        let set = message.map(|message| Event {
            reason: "SetDesiredConfig",
            message,
        });
        deferred.into_iter().chain(set).collect()
    }
}

#[cfg(test)]
mod tests;
