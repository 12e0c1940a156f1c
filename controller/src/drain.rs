//! Answers nodes that ask to be drained or given back (MCO controller 4): `machineconfig::drain` decides, this carries it out.
//!
//! What must be known of a drain is on its node, so whoever leads next goes on with it. A node is looked at by one task at a time, and a
//! pod that is on its way is not asked again: nothing is evicted twice at once.

mod evict;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use crds::MachineConfigNode;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use machineconfig::drain::pods::{Hindrance, message};
use machineconfig::drain::report::{Stage, conditions, says};
use machineconfig::drain::{self, Pace, Step};
use machineconfig::rollout::untainted;
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::api::{apply_status, is_conflict, merge};
use crate::caches::trim_node;
use crate::context::Context;
use crate::events::Teller;
use crate::queue::Next;

/// Whose fields these are.
const MANAGER: &str = "machine-config-controller-drain";
/// What the states of this part are told under.
const PART: &str = "drain";
/// Nodes that are drained at once. A drain mostly waits, and those that wait must not hold up others; maxUnavailable bounds them all.
pub(crate) const AT_ONCE: usize = 1024;
/// How soon a node is looked at again that has changed meanwhile: the change is on its way.
const STALE: Duration = Duration::from_millis(100);
/// How soon it is looked whether pods that go are gone, in the first seconds of a drain, in which most go.
const SOON: Duration = Duration::from_millis(500);
/// How long these first seconds are.
const FIRST: SignedDuration = SignedDuration::from_secs(10);
/// How soon afterwards: every look is a list of the node's pods.
const LATER: Duration = Duration::from_secs(2);

/// Looks at one node, and does what it asks for.
pub(crate) async fn reconcile(context: &Context, name: String) -> Result<Next> {
    let Some(node) = context.caches.nodes.get(&name) else {
        context.health.metrics.forget_node(&name);
        return Ok(Next::Done);
    };
    let now = Timestamp::now();
    let step = match drain::step(&node, now) {
        Ok(step) => step,
        Err(finding) => {
            warn!(node = name, %finding, "A node asks for something unknown");
            let text = finding.to_string();
            context
                .events
                .warning(Teller::Node, &*node, "DrainRequestRefused", text);
            return Ok(Next::Done);
        }
    };
    match step {
        Step::Nothing => {
            settle(context, &node);
            Ok(Next::Done)
        }
        Step::Cordon(patch) => {
            let Some(node) = write(context, &name, &patch).await? else {
                return Ok(Next::After(STALE));
            };
            info!(node = name, "Cordoned for a drain");
            context.health.metrics.did(PART, "Cordoned", &name);
            evict(context, &node, now, now).await
        }
        Step::Evict { since } => evict(context, &node, since, now).await,
        Step::Release { patch, takes_work } => {
            let patch = with_taints(context, &node, patch);
            let Some(node) = write(context, &name, &patch).await? else {
                return Ok(Next::After(STALE));
            };
            info!(node = name, takes_work, "Given back");
            context.health.metrics.did(PART, "Uncordoned", &name);
            settle(context, &node);
            report(context, &node, &Stage::Released { takes_work }, now).await;
            Ok(Next::Done)
        }
    }
}

/// The patch that gives a node back, which takes away the taint of its update as well: so that is one write.
fn with_taints(context: &Context, node: &Node, mut patch: Value) -> Value {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let pool = context
        .caches
        .roster()
        .place_of(name)
        .and_then(|place| place.pool.clone());
    let pool = pool.and_then(|pool| context.caches.pools.get(&pool));
    let taints = pool.and_then(|pool| untainted(node, &pool.spec.configuration.name));
    if let Some(taints) = taints {
        patch["spec"]["taints"] = json!(taints);
    }
    patch
}

/// Writes to a node; none when it has changed since it was decided on.
async fn write(context: &Context, name: &str, patch: &Value) -> Result<Option<Arc<Node>>> {
    match merge(&context.api::<Node>(), MANAGER, name, patch).await {
        Ok(node) => {
            context.health.metrics.wrote("Node");
            Ok(Some(Arc::new(trim_node(node))))
        }
        Err(error) if is_conflict(&error) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("could not write to Node/{name}")),
    }
}

/// One round of a drain: asks every pod to go that has not been asked, and answers the node when all are gone.
async fn evict(context: &Context, node: &Arc<Node>, since: Timestamp, now: Timestamp) -> Result<Next> {
    let name = node.metadata.name.clone().unwrap_or_default();
    let hindrances = evict::round(context, &name).await?;
    if hindrances.is_empty() {
        let Some(node) = write(context, &name, &drain::drained(node)).await? else {
            return Ok(Next::After(STALE));
        };
        info!(node = name, "Drained");
        context.health.metrics.did(PART, "Drained", &name);
        settle(context, &node);
        report(context, &node, &Stage::Drained, now).await;
        return Ok(Next::Done);
    }
    let blocked = hindrances.iter().any(Hindrance::blocks);
    let pace = drain::pace(since, now, timeout(context, &name));
    let held_up = if blocked || pace > Pace::Normal {
        message(&name, &hindrances)
    } else {
        String::new()
    };
    alarm(context, node, pace, &held_up);
    // Most drains end within seconds, and their end is told; nobody misses that they began.
    if blocked || now.duration_since(since) >= FIRST {
        report(context, node, &Stage::Draining { held_up }, now).await;
    }
    Ok(Next::After(if blocked {
        drain::retry(since, now).unsigned_abs()
    } else if now.duration_since(since) < FIRST {
        SOON
    } else {
        LATER
    }))
}

/// How long the node's pool lets a drain take. What cannot be read is told, and counts as not said.
fn timeout(context: &Context, node: &str) -> SignedDuration {
    let pool = context
        .caches
        .roster()
        .place_of(node)
        .and_then(|place| place.pool.clone());
    let Some(pool) = pool.and_then(|pool| context.caches.pools.get(&pool)) else {
        return drain::TIMEOUT;
    };
    drain::timeout(&pool).unwrap_or_else(|finding| {
        context
            .events
            .warning(Teller::Node, &*pool, "DrainTimeoutRefused", finding.to_string());
        drain::TIMEOUT
    })
}

/// Tells people that a drain takes long.
fn alarm(context: &Context, node: &Arc<Node>, pace: Pace, held_up: &str) {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let reason = match pace {
        Pace::Normal if held_up.is_empty() => return,
        Pace::Normal => "DrainBlocked",
        Pace::Slow => "DrainThresholdExceeded",
        Pace::Overdue => {
            context.health.metrics.drain_overdue(name, true);
            "DrainFailed"
        }
    };
    info!(node = name, held_up, ?pace, "A drain is held up");
    context.events.warning(Teller::Node, &**node, reason, held_up);
}

/// Takes back what was told of a drain.
fn settle(context: &Context, node: &Arc<Node>) {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    context.health.metrics.drain_overdue(name, false);
    for reason in [
        "DrainBlocked",
        "DrainThresholdExceeded",
        "DrainFailed",
        "DrainRequestRefused",
    ] {
        context.events.passed(&**node, reason);
    }
}

/// Says in the node's MachineConfigNode how far it is. A drain does not wait for that: what fails is only told.
pub(crate) async fn report(context: &Context, node: &Node, stage: &Stage, now: Timestamp) {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let Some(known) = context.caches.reports.get(name) else {
        return;
    };
    let before = known.status.as_ref().map(|status| status.conditions.as_slice());
    let before = before.unwrap_or_default();
    let wanted = conditions(before, stage, now);
    if says(before, &wanted) {
        return;
    }
    let fields = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigNode",
        "metadata": {"name": name, "uid": known.metadata.uid},
        "status": {"conditions": wanted},
    });
    match apply_status(&context.api::<MachineConfigNode>(), MANAGER, name, &fields).await {
        Ok(_) => context.health.metrics.wrote("MachineConfigNode"),
        Err(error) => warn!(node = name, %error, "Could not write the conditions of a MachineConfigNode"),
    }
}

#[cfg(test)]
mod tests;
