//! How a cluster stands, for people: every pool, its nodes that are not simply done, and what comes next.
//!
//! [`standing`] is the entry point. It decides nothing by itself: membership, counts and turns are those of [`crate::pool`] and
//! [`crate::rollout`], by which the controller acts.

mod phase;
mod turn;

use crds::condition::Condition;
use crds::{MachineConfigNode, MachineConfigPool, annotations};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use serde::Serialize;

use crate::Finding;
use crate::pool::conditions::{Kind, holding};
use crate::pool::{Counting, NodeView, Pools, Unready, membership, status};
use crate::rollout::{Around, Decision, Peer, next, queue};

pub use phase::{Phase, phase};
pub use turn::{Next, Turn};

/// The objects of a cluster that say how it stands.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// All pools, in any order.
    pub pools: Vec<MachineConfigPool>,
    /// All nodes, in any order.
    pub nodes: Vec<Node>,
    /// All MachineConfigNodes, in any order; none where they are not known.
    pub reports: Vec<MachineConfigNode>,
    /// The node that the leading controller runs on, where that is known: it is updated after the others.
    pub leader: Option<String>,
}

/// How a cluster stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Every pool, by name.
    pub pools: Vec<PoolStanding>,
    /// Nodes that no pool decides about although one should: it cannot be told which.
    pub unplaced: Vec<Unplaced>,
}

/// How a pool stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolStanding {
    /// Its name.
    pub pool: String,
    /// The rendered config that its nodes are to have; empty before it is rendered for the first time.
    pub desired: String,
    /// The rendered config that every node had last; empty when none ever did.
    pub current: String,
    /// That it is paused, and since when and why as far as that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// Nodes in it.
    pub nodes: i32,
    /// Nodes that have the desired config.
    pub updated: i32,
    /// Nodes that have it and take work.
    pub ready: i32,
    /// Nodes that take no work, or are busy with their update.
    pub unavailable: i32,
    /// Nodes on which something failed.
    pub degraded: i32,
    /// Why no new config is rendered; empty when nothing is wrong with that.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub render_degraded: String,
    /// Its nodes that are not simply done, by name.
    pub members: Vec<NodeStanding>,
    /// What comes next.
    pub next: Turn,
}

/// That a pool is paused.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    /// Since when, where the API server keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Why, by who paused it; empty when nobody said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub because: String,
}

/// How a node stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStanding {
    /// Its name.
    pub node: String,
    /// The rendered config that it has; empty when it says none.
    pub current: String,
    /// The rendered config that it is to have; empty when nobody said.
    pub desired: String,
    /// What is going on.
    #[serde(flatten)]
    pub phase: Phase,
    /// Since when that is so, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Why it takes no work, in words; empty when it does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unready: Vec<String>,
    /// Its place among those that wait for their turn, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<usize>,
}

/// A node of which nobody can tell the pool.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unplaced {
    /// Its name.
    pub node: String,
    /// Why.
    pub finding: Finding,
}

/// How a cluster stands at a time.
#[must_use]
pub fn standing(cluster: &Cluster, now: Timestamp) -> Standing {
    let mut pools: Vec<_> = cluster.pools.iter().collect();
    pools.sort_by_key(|pool| pool.metadata.name.as_deref());
    let index = Pools::new(&cluster.pools);
    let unplaced = cluster.nodes.iter().filter_map(|node| {
        let finding = membership(node, &index).err()?;
        let node = node.metadata.name.clone().unwrap_or_default();
        Some(Unplaced { node, finding })
    });
    Standing {
        unplaced: unplaced.collect(),
        pools: pools
            .into_iter()
            .map(|pool| pool_standing(cluster, pool, now))
            .collect(),
    }
}

/// How one pool of a cluster stands.
#[must_use]
pub fn pool_standing(cluster: &Cluster, pool: &MachineConfigPool, now: Timestamp) -> PoolStanding {
    let nodes = cluster.members(pool);
    let reports: Vec<_> = cluster.reports.iter().collect();
    let counted = status(pool, &nodes, &reports, Counting::Annotations, now);
    let (decision, queue) = cluster.decide(pool, now);
    let target = pool.spec.configuration.name.as_str();
    let mut members: Vec<_> = nodes
        .iter()
        .map(|node| node_standing(cluster, pool, node, &queue))
        .filter(|member| member.phase != Phase::Updated || !member.unready.is_empty())
        .collect();
    members.sort_by(|a, b| a.node.cmp(&b.node));
    let conditions = pool.status.as_ref().map(|status| status.conditions.as_slice());
    let render_degraded = holding(conditions.unwrap_or_default(), Kind::RenderDegraded);
    let current = pool.status.as_ref().map(|status| &status.configuration.name);
    PoolStanding {
        pool: pool.metadata.name.clone().unwrap_or_default(),
        desired: target.to_owned(),
        current: current.cloned().unwrap_or_default(),
        paused: pool.spec.paused.then(|| pause(pool)),
        nodes: counted.machine_count,
        updated: counted.updated_machine_count,
        ready: counted.ready_machine_count,
        unavailable: counted.unavailable_machine_count,
        degraded: counted.degraded_machine_count,
        render_degraded: render_degraded.map_or_else(String::new, |found| found.message.clone()),
        members,
        next: Turn::of(&decision, queue),
    }
}

/// How one node of a pool stands; `queue` are the names of those that wait for their turn.
#[must_use]
pub fn node_standing(
    cluster: &Cluster,
    pool: &MachineConfigPool,
    node: &Node,
    queue: &[String],
) -> NodeStanding {
    let view = NodeView::of(node);
    let (phase, since) = phase(pool, node, cluster.conditions(view.name));
    let at_rest = matches!(phase, Phase::Updated | Phase::Waiting);
    // That a node is cordoned for its update goes without saying as long as there is one.
    let unready = view.unready.iter();
    let unready = unready.filter(|why| at_rest || **why != Unready::CordonedForUpdate);
    NodeStanding {
        node: view.name.to_owned(),
        current: view.current.to_owned(),
        desired: view.desired.to_owned(),
        phase,
        since,
        unready: unready.map(ToString::to_string).collect(),
        place: queue
            .iter()
            .position(|name| name == view.name)
            .map(|index| index + 1),
    }
}

/// What is known of a pool's pause. The API server keeps when somebody wrote a field last, by who wrote it.
#[must_use]
pub fn pause(pool: &MachineConfigPool) -> Pause {
    let entries = pool.metadata.managed_fields.iter().flatten();
    let since = entries
        .filter(|entry| {
            let fields = entry.fields_v1.as_ref();
            fields.is_some_and(|fields| fields.0.pointer("/f:spec/f:paused").is_some())
        })
        .filter_map(|entry| entry.time.as_ref().map(|time| time.0))
        .max();
    let annotations = pool.metadata.annotations.as_ref();
    let because = annotations.and_then(|all| all.get(annotations::PAUSED_BECAUSE));
    Pause {
        since,
        because: because.cloned().unwrap_or_default(),
    }
}

// === impl Cluster ===

impl Cluster {
    /// The pool of that name.
    #[must_use]
    pub fn pool(&self, name: &str) -> Option<&MachineConfigPool> {
        let named = |pool: &&MachineConfigPool| pool.metadata.name.as_deref() == Some(name);
        self.pools.iter().find(named)
    }

    /// The node of that name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        let named = |node: &&Node| node.metadata.name.as_deref() == Some(name);
        self.nodes.iter().find(named)
    }

    /// The MachineConfigNode of the node of that name.
    #[must_use]
    pub fn report(&self, node: &str) -> Option<&MachineConfigNode> {
        let named = |report: &&MachineConfigNode| report.metadata.name.as_deref() == Some(node);
        self.reports.iter().find(named)
    }

    /// What the MachineConfigNode of the node of that name says; nothing without one.
    #[must_use]
    pub fn conditions(&self, node: &str) -> &[Condition] {
        let status = self.report(node).and_then(|report| report.status.as_ref());
        status
            .map(|status| status.conditions.as_slice())
            .unwrap_or_default()
    }

    /// The nodes of a pool, in the order given.
    #[must_use]
    pub fn members(&self, pool: &MachineConfigPool) -> Vec<&Node> {
        let name = pool.metadata.name.as_deref().unwrap_or_default();
        Pools::new(&self.pools).members(name, &self.nodes)
    }

    /// What the controller does next with a pool, and the names of the nodes that wait for their turn, in its order.
    #[must_use]
    pub fn decide(&self, pool: &MachineConfigPool, now: Timestamp) -> (Decision, Vec<String>) {
        let index = Pools::new(&self.pools);
        let own = pool.metadata.name.as_deref();
        let peers = self.nodes.iter().filter_map(|node| {
            let owner = membership(node, &index).ok().flatten().map(|found| found.pool);
            let elsewhere = owner.and_then(|pool| pool.metadata.name.as_deref()) != own;
            (elsewhere && NodeView::of(node).control_plane).then_some(Peer { node, pool: owner })
        });
        let around = Around {
            peers: peers.collect(),
            leader: self.leader.as_deref(),
            ..Around::default()
        };
        let nodes = self.members(pool);
        (
            next(pool, &nodes, &around, now),
            queue(pool, &nodes, &around, now),
        )
    }
}

#[cfg(test)]
pub(crate) mod tests;
