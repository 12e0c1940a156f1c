//! The slots of a pool that are taken: nodes that were told a config, or will be at once.

use std::collections::BTreeMap;

use crds::{MachineConfigPool, annotations};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Decision, FORGET_AFTER};
use crate::pool::NodeView;
use crate::{Code, Finding};

/// The reservations of a pool, by the node's name. Kept in an annotation of the pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reservations {
    nodes: BTreeMap<String, Reservation>,
}

/// A slot that is taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reservation {
    /// The pool and its resource version when the slot was taken. No two writes of the pool begin at the same version, so nothing else
    /// ever has this id.
    pub id: String,
    /// The rendered config that the node is told.
    pub target: String,
    /// When it was taken, or tried last.
    pub since: Timestamp,
}

/// Reservations that were made together, as they stand in the annotation.
#[derive(Serialize, Deserialize)]
struct Batch {
    id: String,
    target: String,
    since: Timestamp,
    nodes: Vec<String>,
}

impl Reservations {
    /// Of a pool; none when it has no such annotation. Refused when the annotation cannot be read.
    pub fn of(pool: &MachineConfigPool) -> Result<Self, Finding> {
        let annotations = pool.metadata.annotations.as_ref();
        let Some(text) = annotations.and_then(|all| all.get(annotations::RESERVATIONS)) else {
            return Ok(Self::default());
        };
        let batches: Vec<Batch> = serde_json::from_str(text).map_err(|error| {
            let name = pool.metadata.name.as_deref().unwrap_or_default();
            Finding::error(
                Code::RESERVATIONS_UNREADABLE,
                format!("MachineConfigPool/{name}"),
                format!("metadata.annotations[{}]", annotations::RESERVATIONS),
                format!("not a list of reservations: {error}"),
            )
        })?;
        let mut nodes = BTreeMap::new();
        for batch in batches {
            let reservation = Reservation {
                id: batch.id,
                target: batch.target,
                since: batch.since,
            };
            nodes.extend(batch.nodes.into_iter().map(|node| (node, reservation.clone())));
        }
        Ok(Self { nodes })
    }

    /// The text of the annotation; none when nothing is reserved.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "texts and times are always JSON")]
    pub fn annotation(&self) -> Option<String> {
        let mut batches: BTreeMap<&Reservation, Vec<String>> = BTreeMap::new();
        for (node, reservation) in &self.nodes {
            batches.entry(reservation).or_default().push(node.clone());
        }
        let batch = |(reservation, nodes): (&Reservation, Vec<String>)| Batch {
            id: reservation.id.clone(),
            target: reservation.target.clone(),
            since: reservation.since,
            nodes,
        };
        let batches: Vec<Batch> = batches.into_iter().map(batch).collect();
        let text = serde_json::to_string(&batches).expect("texts and times are always JSON");
        (!batches.is_empty()).then_some(text)
    }

    /// The reservation of a node.
    #[must_use]
    pub fn get(&self, node: &str) -> Option<&Reservation> {
        self.nodes.get(node)
    }

    /// Since when a node's slot is taken, if it is.
    #[must_use]
    pub fn since(&self, node: &str) -> Option<Timestamp> {
        self.get(node).map(|reservation| reservation.since)
    }

    /// All of them, by the node's name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Reservation)> {
        self.nodes
            .iter()
            .map(|(node, reservation)| (node.as_str(), reservation))
    }

    /// How many slots are taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether no slot is taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(super) fn without(&self, nodes: &[String]) -> Self {
        let mut rest = self.clone();
        for node in nodes {
            rest.nodes.remove(node);
        }
        rest
    }

    /// The nodes whose reservations have served their purpose, judged by what the nodes say.
    ///
    /// A node that bears the mark of its reservation is done by its own word. One that does not was never told, or this view of it
    /// is from before: its slot is kept until that can no longer be. A node that is not done keeps its slot in any case.
    pub(super) fn settled(&self, views: &[NodeView<'_>], now: Timestamp) -> Vec<String> {
        if self.is_empty() {
            return Vec::new();
        }
        let views: BTreeMap<&str, &NodeView<'_>> = views.iter().map(|view| (view.name, view)).collect();
        let settled = |(node, reservation): &(&String, &Reservation)| {
            let forgotten = now.duration_since(reservation.since) >= FORGET_AFTER;
            match views.get(node.as_str()) {
                Some(view) if view.reserved_by == Some(reservation.id.as_str()) => view.is_done(),
                Some(view) => forgotten && view.is_done(),
                None => forgotten,
            }
        };
        let nodes = self.nodes.iter().filter(settled);
        nodes.map(|(node, _)| node.clone()).collect()
    }
}

/// The reservations once a decision is taken: without those that have served their purpose, with those of the nodes whose turn it is.
/// The same as before when there is nothing to write.
#[must_use]
pub fn reserve(reservations: &Reservations, decision: &Decision, now: Timestamp) -> Reservations {
    let mut new = release(reservations, decision);
    for reservation in new.nodes.values_mut() {
        // Of a leader whose clock was ahead: how long it lasts is measured by ours from now on.
        reservation.since = reservation.since.min(now);
    }
    for grant in decision.grants() {
        let reservation = Reservation {
            id: grant.id.clone(),
            target: decision.target.clone(),
            since: now,
        };
        new.nodes.insert(grant.node.clone(), reservation);
    }
    new
}

/// The reservations without those that have served their purpose by a decision.
#[must_use]
pub fn release(reservations: &Reservations, decision: &Decision) -> Reservations {
    reservations.without(&decision.release)
}
