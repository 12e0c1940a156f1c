//! The causes of one node.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;

use super::{Cause, Daemon, Evidence, Kind, OnNode, of_pool_alone, sorted};
use crate::drain::pods::{Hindrance, message};
use crate::pool::{NodeView, Pools, Unready, membership};
use crate::standing::{Cluster, Next, NodeStanding, Phase, PoolStanding, node_standing, pool_standing};

/// How long a daemon may take to take up its config before it is looked after: it watches its node, so this is many times what it needs.
const TAKEN_UP_AFTER: SignedDuration = SignedDuration::from_mins(2);

/// Why a node is not where its pool wants it. Empty only for a node that is not there.
#[must_use]
pub fn of_node(cluster: &Cluster, name: &str, evidence: &Evidence, now: Timestamp) -> Vec<Cause> {
    let Some(node) = cluster.node(name) else {
        return Vec::new();
    };
    let pools = Pools::new(&cluster.pools);
    let pool = match membership(node, &pools) {
        Ok(Some(found)) => found.pool,
        Ok(None) => return vec![Cause::of_node(name, Kind::NoPool)],
        Err(finding) => return vec![Cause::of_node(name, Kind::Unplaced(finding))],
    };
    let standing = pool_standing(cluster, pool, now);
    let own = node_standing(cluster, pool, node, &standing.next.queue);
    let nothing = OnNode::default();
    let seen = evidence.on.get(name).unwrap_or(&nothing);
    let mut causes = unready(node, &own, seen);
    let stage = of_phase(&standing, &own, seen, now);
    // What is wrong with the pool matters to a node that has not got there, and to it alone.
    if own.phase != Phase::Updated {
        causes.extend(of_pool_alone(cluster, &standing.pool, evidence, now));
        let told = evidence.missing.contains(&own.desired) && own.desired != standing.desired;
        let missing = told.then(|| own.desired.clone());
        causes.extend(missing.map(|config| Cause::of_node(name, Kind::ConfigMissing { config })));
    }
    let paused = matches!(standing.next.step, Next::Paused);
    // That its pool is paused, or that it takes no work, says enough about a node that waits.
    if own.phase != Phase::Waiting || !paused && own.unready.is_empty() {
        causes.extend(stage);
    }
    sorted(causes)
}

fn unready(node: &Node, own: &NodeStanding, seen: &OnNode) -> Vec<Cause> {
    let view = NodeView::of(node);
    let causes = view.unready.iter().filter_map(|why| {
        let since = match why {
            Unready::NotReady(since) | Unready::DiskPressure(since) | Unready::NetworkUnavailable(since) => {
                *since
            }
            // Its update says so already.
            Unready::CordonedForUpdate => return None,
            Unready::CordonedByOthers => None,
        };
        // A node that reboots is not Ready meanwhile.
        if own.phase == Phase::Rebooting && matches!(why, Unready::NotReady(_)) {
            return None;
        }
        let said = match why {
            Unready::NotReady(_) => seen.unready.clone(),
            Unready::DiskPressure(_)
            | Unready::NetworkUnavailable(_)
            | Unready::CordonedForUpdate
            | Unready::CordonedByOthers => String::new(),
        };
        let kind = Kind::Unready { why: *why, said };
        Some(Cause {
            since,
            ..Cause::of_node(view.name, kind)
        })
    });
    causes.collect()
}

fn of_phase(pool: &PoolStanding, own: &NodeStanding, seen: &OnNode, now: Timestamp) -> Vec<Cause> {
    let late = own
        .since
        .is_some_and(|since| now.duration_since(since) >= TAKEN_UP_AFTER);
    let broken = matches!(seen.daemon, Daemon::Absent | Daemon::Broken { .. });
    let kind = match &own.phase {
        Phase::Updated => Kind::Updated {
            config: own.current.clone(),
        },
        Phase::Waiting => Kind::Waits {
            place: own.place,
            reason: match &pool.next.step {
                Next::Waits { reasons } => reasons.first().cloned().unwrap_or_default(),
                Next::Go { nodes } if !nodes.contains(&own.node) => {
                    format!("{} of its pool {} first", nodes.join(", "), go(nodes.len()))
                }
                Next::Nothing
                | Next::NotRendered
                | Next::Deleting
                | Next::Refused { .. }
                | Next::Paused
                | Next::Go { .. } => String::new(),
            },
        },
        Phase::New if own.desired.is_empty() && late && !broken => Kind::Unassigned {
            config: pool.desired.clone(),
        },
        Phase::New | Phase::Told if late || broken => Kind::DaemonSilent(seen.daemon.clone()),
        Phase::Draining { held_up } => match blocked(&own.node, held_up, &seen.hindrances) {
            Some(blocked) => blocked,
            None => Kind::UnderWay(own.phase.clone()),
        },
        Phase::Failing { refused, reason } => Kind::Failing {
            config: own.desired.clone(),
            reason: reason.clone(),
            refused: *refused,
        },
        Phase::Drifted { reason } => Kind::Drifted {
            config: own.current.clone(),
            reason: reason.clone(),
        },
        Phase::New
        | Phase::Told
        | Phase::AskingForDrain
        | Phase::Applying { .. }
        | Phase::Rebooting
        | Phase::Releasing => Kind::UnderWay(own.phase.clone()),
    };
    vec![Cause {
        since: own.since,
        ..Cause::of_node(&own.node, kind)
    }]
}

fn go(count: usize) -> &'static str {
    if count == 1 { "goes" } else { "go" }
}

/// The pods that hold a drain up: those that were looked at, else those of the words that the controller left.
fn blocked(node: &str, held_up: &str, found: &[Hindrance]) -> Option<Kind> {
    let blocking: Vec<_> = found
        .iter()
        .filter(|hindrance| hindrance.blocks())
        .cloned()
        .collect();
    if !blocking.is_empty() {
        let text = crate::drain::pods::bare(node, &message(node, &blocking)).to_owned();
        return Some(Kind::DrainBlocked { pods: blocking, text });
    }
    (!held_up.is_empty()).then(|| Kind::DrainBlocked {
        pods: Vec::new(),
        text: held_up.to_owned(),
    })
}
