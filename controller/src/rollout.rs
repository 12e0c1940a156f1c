//! Rolls a pool's config out to its nodes (MCO controller 3.5 to 3.7): `machineconfig::rollout` decides, this carries it out in the order that it
//! asks for, slots first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use crds::MachineConfigPool;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use machineconfig::drain::{self, Request};
use machineconfig::pool::{NodeView, labels_of, started_for};
use machineconfig::rollout::{
    Around, Decision, Peer, RESUME_AFTER, Step, next, node_patch, pool_patch, reserve,
};
use tracing::{debug, info, warn};

use crate::api::{is_conflict, is_missing, merge};
use crate::caches::is_same_node;
use crate::context::Context;
use crate::defaults::CONTROLLER_CONFIG;
use crate::events::Teller;
use crate::queue::Next;

/// Whose fields these are.
const MANAGER: &str = "machine-config-controller-rollout";
/// What the states of this part are told under.
const PART: &str = "node";
/// Nodes that are written to at once: many enough that a large pool is told quickly, and few enough for the API server.
const WRITES: usize = 16;
/// How soon a pool is looked at again whose view is known to be out of date: the change is on its way.
const STALE: Duration = Duration::from_millis(50);

/// How often a node is written to that the kubelet was quicker with.
const ATTEMPTS: usize = 5;
/// How often it is looked whether the cache knows a node as it is by then, with the wait of [`STALE`] in between.
const LOOKS: usize = 20;

/// What must be remembered between two looks.
#[derive(Debug, Default)]
pub(crate) struct Rollout {
    /// Versions of pools that were written over, and that the cache may still show.
    outdated: Mutex<BTreeMap<String, String>>,
}

impl Rollout {
    /// Looks at one pool, and does what is next.
    pub(crate) async fn reconcile(&self, context: &Context, name: String) -> Result<Next> {
        let Some(pool) = context.caches.pools.get(&name) else {
            self.outdated().remove(&name);
            return Ok(Next::Done);
        };
        if self.is_outdated(context, &name) {
            return Ok(Next::After(STALE));
        }
        let nodes = context.caches.members(&name);
        let now = Timestamp::now();
        let decision = decide(context, &pool, &nodes, now);
        context.queues.status.wake(&name, Duration::ZERO);
        if !self.reserve(context, &decision, now).await? {
            return Ok(Next::After(STALE));
        }
        let skipped = write(context, &decision, &nodes, Who::Granted).await?;
        context.queues.marks.wake(&name, Duration::ZERO);
        tell(context, &pool, &decision);
        Ok(again(&decision, skipped))
    }

    /// Whether the cache is known to show a pool, or another one with nodes of the control plane when this has some too, as it was before
    /// it was written to. Of the control plane one node goes at a time over all pools.
    fn is_outdated(&self, context: &Context, name: &str) -> bool {
        let mut outdated = self.outdated();
        outdated.retain(|pool, version| {
            let pool = context.caches.pools.get(pool);
            pool.is_some_and(|pool| pool.metadata.resource_version.as_ref() == Some(version))
        });
        if outdated.is_empty() {
            return false;
        }
        let coupled = context.caches.roster().pools_of_control_plane();
        let matters = |pool: &String| pool == name || (coupled.contains(name) && coupled.contains(pool));
        outdated.keys().any(matters)
    }

    /// Writes the slots to the pool. False when somebody else was there first, and nothing else may be written.
    async fn reserve(&self, context: &Context, decision: &Decision, now: Timestamp) -> Result<bool> {
        let reservations = reserve(&decision.reserved, decision, now);
        if reservations == decision.reserved {
            return Ok(true);
        }
        let Some(patch) = pool_patch(decision, &reservations) else {
            return Ok(false);
        };
        let api = context.api::<MachineConfigPool>();
        match merge(&api, MANAGER, &decision.pool, &patch).await {
            Ok(_) => {
                context.health.metrics.wrote("MachineConfigPool");
                if let Some(version) = &decision.version {
                    self.outdated().insert(decision.pool.clone(), version.clone());
                }
                Ok(true)
            }
            Err(error) if is_conflict(&error) || is_missing(&error) => {
                debug!(
                    pool = decision.pool,
                    "The pool has changed, so it is looked at again"
                );
                Ok(false)
            }
            Err(error) => Err(error)
                .with_context(|| format!("could not reserve slots on MachineConfigPool/{}", decision.pool)),
        }
    }

    fn outdated(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.outdated.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes to the nodes of one pool whose turn it is not: taints above all, which thousands may need at once. Those whose turn it is do not
/// wait for it.
pub(crate) async fn mark(context: &Context, name: String) -> Result<Next> {
    let Some(pool) = context.caches.pools.get(&name) else {
        return Ok(Next::Done);
    };
    let nodes = context.caches.members(&name);
    let decision = decide(context, &pool, &nodes, Timestamp::now());
    let skipped = write(context, &decision, &nodes, Who::Others).await?;
    Ok(if skipped > 0 {
        Next::After(STALE)
    } else {
        Next::Done
    })
}

/// Decides on what is known.
fn decide(context: &Context, pool: &MachineConfigPool, nodes: &[Arc<Node>], now: Timestamp) -> Decision {
    let caches = &context.caches;
    let name = pool.metadata.name.as_deref().unwrap_or_default();
    let controller_config = caches.controller_configs.get(CONTROLLER_CONFIG);
    let infra = controller_config
        .as_ref()
        .and_then(|config| config.spec.infra.as_ref());
    let topology = infra
        .and_then(|infra| infra.get("status")?.get("controlPlaneTopology")?.as_str())
        .filter(|topology| !topology.is_empty());
    let others: Vec<_> = {
        let roster = caches.roster();
        let others = roster.control_plane().iter().filter_map(|node| {
            let place = roster.place_of(node)?;
            (place.pool.as_deref() != Some(name)).then(|| (node.clone(), place.pool.clone()))
        });
        others.collect()
    };
    let peers: Vec<_> = others
        .iter()
        .filter_map(|(node, pool)| {
            let pool = pool.as_ref().and_then(|pool| caches.pools.get(pool));
            Some((caches.nodes.get(node)?, pool))
        })
        .collect();
    let pools = caches.pools.all();
    let adopt = nodes
        .iter()
        .filter_map(|node| adopted(context, node, &pools, name))
        .collect::<Vec<_>>();
    let around = Around {
        peers: peers
            .iter()
            .map(|(node, pool)| Peer {
                node,
                pool: pool.as_deref(),
            })
            .collect(),
        leader: context.options.node.as_deref(),
        topology,
        adopt: adopt
            .iter()
            .map(|(node, labels)| (node.as_str(), labels.clone()))
            .collect(),
    };
    let nodes: Vec<&Node> = nodes.iter().map(|node| &**node).collect();
    next(pool, &nodes, &around, now)
}

/// The labels of the custom pool that a node was started for, when it is not in that yet.
fn adopted(
    context: &Context,
    node: &Node,
    pools: &[Arc<MachineConfigPool>],
    current: &str,
) -> Option<(String, BTreeMap<String, String>)> {
    let owner = |config: &str| {
        let stored = context.caches.configs.get(config)?;
        let owner = stored.rendered()?.pool.as_str();
        let found = pools
            .iter()
            .find(|pool| pool.metadata.name.as_deref() == Some(owner));
        found.map(|pool| &**pool)
    };
    let pool = started_for(node, owner)?;
    let is_elsewhere = pool.metadata.name.as_deref() != Some(current);
    let labels = labels_of(pool);
    (is_elsewhere && !labels.is_empty()).then(|| (node.metadata.name.clone().unwrap_or_default(), labels))
}

/// Which nodes are written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Those whose turn it is, once their slots are reserved.
    Granted,
    /// All others, which need no slot.
    Others,
}

/// Writes to nodes. The result is how many have changed meanwhile and were skipped.
async fn write(context: &Context, decision: &Decision, nodes: &[Arc<Node>], who: Who) -> Result<usize> {
    let granted = |node: &Node| {
        let name = node.metadata.name.as_deref();
        decision
            .grants()
            .iter()
            .any(|grant| Some(grant.node.as_str()) == name)
    };
    let to_write: Vec<Arc<Node>> = nodes
        .iter()
        .filter(|node| granted(node) == (who == Who::Granted) && !is_given_back(node))
        .cloned()
        .collect();
    let send = |node: Arc<Node>| write_one(context, decision, node);
    let outcomes: Vec<Result<usize>> = futures_util::stream::iter(to_write)
        .map(send)
        .buffer_unordered(WRITES)
        .collect()
        .await;
    let mut skipped = 0;
    for outcome in outcomes {
        skipped += outcome?;
    }
    Ok(skipped)
}

/// Writes to a node. The result is 1 when it has changed meanwhile, and 0 else.
///
/// Most of what changes on a node is the kubelet's and no business of a rollout. Where only that has, it is written all the same: a node
/// that has its slot and is not told would hold it until others take it for lost.
async fn write_one(context: &Context, decision: &Decision, mut node: Arc<Node>) -> Result<usize> {
    let api = context.api::<Node>();
    for _ in 0..ATTEMPTS {
        let name = node.metadata.name.clone().unwrap_or_default();
        let Some(patch) = node_patch(decision, &node) else {
            return Ok(0);
        };
        match merge(&api, MANAGER, &name, &patch.merge_patch()).await {
            Ok(_) => {
                context.health.metrics.wrote("Node");
                return Ok(0);
            }
            Err(error) if is_missing(&error) => return Ok(1),
            Err(error) if is_conflict(&error) => match newer(context, &node).await {
                Some(now) if is_same_node(&node, &now) => node = now,
                Some(_) | None => return Ok(1),
            },
            Err(error) => return Err(error).with_context(|| format!("could not write to Node/{name}")),
        }
    }
    Ok(1)
}

/// The node as it is after that, once the cache knows it.
async fn newer(context: &Context, node: &Node) -> Option<Arc<Node>> {
    let name = node.metadata.name.as_deref()?;
    for _ in 0..LOOKS {
        let now = context.caches.nodes.get(name)?;
        if now.metadata.resource_version != node.metadata.resource_version {
            return Some(now);
        }
        tokio::time::sleep(STALE).await;
    }
    None
}

/// Whether a node asks to be given back: it is written to for that, and the taint goes with it.
fn is_given_back(node: &Node) -> bool {
    matches!(drain::request(node), Ok(Some(Request::Uncordon(_))))
}

fn tell(context: &Context, pool: &Arc<MachineConfigPool>, decision: &Decision) {
    for event in decision.events() {
        context
            .events
            .normal(Teller::Node, &**pool, event.reason, event.message);
    }
    match &decision.step {
        Step::Go(grants) => {
            let nodes: Vec<_> = grants.iter().map(|grant| grant.node.as_str()).collect();
            info!(
                pool = decision.pool,
                config = decision.target,
                ?nodes,
                "Told nodes their config"
            );
            context
                .health
                .metrics
                .did(PART, "SetDesiredConfig", &decision.pool);
        }
        Step::Refused(finding) => {
            warn!(pool = decision.pool, %finding, "A pool cannot be rolled out");
            let reason = if finding.code == machineconfig::Code::POOL_SELECTS_EVERY_NODE {
                "SelectingAll"
            } else {
                "RolloutRefused"
            };
            context
                .events
                .warning(Teller::Node, &**pool, reason, finding.to_string());
        }
        Step::NotRendered | Step::Deleting | Step::Paused | Step::Nothing | Step::Waiting(_) => {}
    }
}

/// When to look again if nothing changes: what was skipped at once, and what waits for time to pass when that has.
fn again(decision: &Decision, skipped: usize) -> Next {
    if skipped > 0 {
        return Next::After(STALE);
    }
    let waits = !decision.reserved.is_empty() || !decision.grants().is_empty();
    if waits {
        Next::After(Duration::from_secs(RESUME_AFTER.unsigned_abs().as_secs() + 1))
    } else {
        Next::Done
    }
}

/// Whether a node is of the control plane, whose changes concern more pools than its own.
pub(crate) fn is_control_plane(node: &Node) -> bool {
    NodeView::of(node).control_plane
}

#[cfg(test)]
mod tests;
