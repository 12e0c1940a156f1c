//! Why a node or a pool is not where it should be, and what to do about it: [`of_node`] and [`of_pool`] are the entry points.
//!
//! The first cause is the one to look at: what somebody has to see to comes before what passes by itself.

mod fix;
mod node;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use crate::Finding;
use crate::drain::pods::Hindrance;
use crate::pool::Unready;
use crate::standing::{Cluster, Next, Pause, Phase, pool_standing};

pub use fix::Fix;
pub use node::of_node;

/// What is known besides the objects of [`Cluster`].
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Rendered configs that are referred to and do not exist.
    pub missing: BTreeSet<String>,
    /// Who leads.
    pub leadership: Leadership,
    /// What was looked at on single nodes, by the node's name.
    pub on: BTreeMap<String, OnNode>,
}

/// What is known of one node besides its objects.
#[derive(Debug, Clone, Default)]
pub struct OnNode {
    /// The pods that keep it from being drained, if it is being drained.
    pub hindrances: Vec<Hindrance>,
    /// The daemon's pod on it.
    pub daemon: Daemon,
    /// What the kubelet's condition says when it is not Ready; empty when that is not known.
    pub unready: String,
}

/// The daemon of a node, as far as its pod tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Daemon {
    /// Nobody has looked, or could.
    #[default]
    Unknown,
    /// There is no pod of it on the node.
    Absent,
    /// Its pod does not run.
    Broken {
        /// Its namespace.
        namespace: String,
        /// Its name.
        pod: String,
        /// Why, by the kubelet's word.
        reason: String,
    },
    /// Its pod runs.
    Runs {
        /// Its namespace.
        namespace: String,
        /// Its name.
        pod: String,
    },
}

/// Whether there is a controller that leads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Leadership {
    /// Nobody has looked, or could.
    #[default]
    Unknown,
    /// One leads.
    Held,
    /// None ever did, or the last one gave up.
    Nobody,
    /// The last one has not renewed its lease in time.
    Silent {
        /// Since when.
        since: Timestamp,
    },
}

/// How much a cause weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Weight {
    /// Nothing is wrong.
    Fine,
    /// It passes by itself.
    Passing,
    /// Somebody has to see to it.
    Stuck,
}

/// Why something is as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    /// The object that it is about: `Node/NAME` or `MachineConfigPool/NAME`.
    pub object: String,
    /// What it is.
    pub kind: Kind,
    /// Since when, where that is known.
    pub since: Option<Timestamp>,
}

/// What a cause can be.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// The node has its pool's config.
    Updated {
        /// The config.
        config: String,
    },
    /// No pool selects the node, so nothing here is about it.
    NoPool,
    /// Nobody can tell the node's pool.
    Unplaced(Finding),
    /// No config was rendered for the pool yet.
    NotRendered,
    /// The pool is being deleted.
    Deleting,
    /// The pool cannot be rolled out.
    Refused(Finding),
    /// No new config is rendered for the pool.
    RenderDegraded {
        /// Which MachineConfig and field, and why.
        message: String,
    },
    /// The pool is paused, and nodes wait.
    Paused {
        /// The pool.
        pool: String,
        /// What is known of it.
        pause: Pause,
        /// How many nodes wait.
        waiting: usize,
    },
    /// A rendered config that is needed does not exist.
    ConfigMissing {
        /// Its name.
        config: String,
    },
    /// No controller works, so nothing is rendered, rolled out or drained.
    NoController,
    /// The node has no config, and nobody has told it which to have.
    Unassigned {
        /// The config of its pool; empty when there is none yet.
        config: String,
    },
    /// The daemon of the node says nothing.
    DaemonSilent(Daemon),
    /// The node takes no work.
    Unready {
        /// Why.
        why: Unready,
        /// What the kubelet says; empty when that is not known.
        said: String,
    },
    /// Pods keep the node from being drained.
    DrainBlocked {
        /// Which; empty when only the words are known.
        pods: Vec<Hindrance>,
        /// The same in words.
        text: String,
    },
    /// Its update is under way.
    UnderWay(Phase),
    /// Its change failed.
    Failing {
        /// The config that it was to have.
        config: String,
        /// What the daemon says.
        reason: String,
        /// No running node can make the change.
        refused: bool,
    },
    /// It is not as its config says.
    Drifted {
        /// The config.
        config: String,
        /// What the daemon says.
        reason: String,
    },
    /// It waits for its turn.
    Waits {
        /// Its place, from 1; none for a node that takes no work.
        place: Option<usize>,
        /// What the first waits for; empty when nothing holds it up.
        reason: String,
    },
    /// Every node of the pool has its config.
    PoolUpdated {
        /// The config.
        config: String,
        /// How many nodes there are.
        nodes: i32,
    },
    /// The pool is being rolled out.
    RollingOut {
        /// How many nodes have the config.
        updated: i32,
        /// How many there are.
        nodes: i32,
        /// What comes next.
        next: String,
    },
}

/// Causes that somebody has to see to come first, then those that pass; within these the order in which they were found.
pub(crate) fn sorted(mut causes: Vec<Cause>) -> Vec<Cause> {
    causes.sort_by_key(|cause| std::cmp::Reverse(cause.weight()));
    causes
}

/// Why a pool is not updated, its nodes included. Never empty.
#[must_use]
pub fn of_pool(cluster: &Cluster, pool: &str, evidence: &Evidence, now: Timestamp) -> Vec<Cause> {
    let Some(found) = cluster.pool(pool) else {
        return Vec::new();
    };
    let standing = pool_standing(cluster, found, now);
    let mut causes = of_pool_alone(cluster, pool, evidence, now);
    for member in &standing.members {
        let own = of_node(cluster, &member.node, evidence, now);
        let about_node = own.into_iter().filter(|cause| {
            cause.object.starts_with("Node/") && cause.weight() > Weight::Fine && !cause.is_turn()
        });
        causes.extend(about_node);
    }
    let is_done = matches!(standing.next.step, Next::Nothing);
    if is_done && causes.iter().all(|cause| cause.weight() == Weight::Fine) {
        let kind = Kind::PoolUpdated {
            config: standing.desired,
            nodes: standing.nodes,
        };
        return vec![Cause::of_pool(pool, kind)];
    }
    // Where somebody has to see to something, it does not go on by itself.
    let moves = matches!(standing.next.step, Next::Go { .. } | Next::Waits { .. });
    if moves && weight(&causes) < Weight::Stuck {
        let kind = Kind::RollingOut {
            updated: standing.updated,
            nodes: standing.nodes,
            next: standing.next.words(),
        };
        causes.push(Cause::of_pool(pool, kind));
    }
    sorted(causes)
}

/// What keeps a whole pool back, without its nodes.
pub(crate) fn of_pool_alone(
    cluster: &Cluster,
    name: &str,
    evidence: &Evidence,
    now: Timestamp,
) -> Vec<Cause> {
    let Some(pool) = cluster.pool(name) else {
        return Vec::new();
    };
    let standing = pool_standing(cluster, pool, now);
    let mut causes = Vec::new();
    let mut add = |kind| causes.push(Cause::of_pool(name, kind));
    match &evidence.leadership {
        Leadership::Unknown | Leadership::Held => {}
        Leadership::Nobody => add(Kind::NoController),
        Leadership::Silent { since } => causes.push(Cause {
            since: Some(*since),
            ..Cause::of_pool(name, Kind::NoController)
        }),
    }
    let mut add = |kind| causes.push(Cause::of_pool(name, kind));
    if !standing.render_degraded.is_empty() {
        add(Kind::RenderDegraded {
            message: standing.render_degraded.clone(),
        });
    }
    if evidence.missing.contains(&standing.desired) {
        add(Kind::ConfigMissing {
            config: standing.desired.clone(),
        });
    }
    match &standing.next.step {
        Next::NotRendered if standing.render_degraded.is_empty() => add(Kind::NotRendered),
        Next::NotRendered | Next::Nothing | Next::Go { .. } | Next::Waits { .. } => {}
        Next::Deleting => add(Kind::Deleting),
        Next::Refused { finding } => add(Kind::Refused(finding.clone())),
        Next::Paused => {
            let pause = standing.paused.clone().unwrap_or_default();
            let since = pause.since;
            let waiting = usize::try_from(standing.nodes - standing.updated).unwrap_or_default();
            let kind = Kind::Paused {
                pool: name.to_owned(),
                pause,
                waiting,
            };
            causes.push(Cause {
                since,
                ..Cause::of_pool(name, kind)
            });
        }
    }
    causes
}

// === impl Cause ===

impl Cause {
    pub(crate) fn of_pool(pool: &str, kind: Kind) -> Self {
        Self {
            object: format!("MachineConfigPool/{pool}"),
            kind,
            since: None,
        }
    }

    pub(crate) fn of_node(node: &str, kind: Kind) -> Self {
        Self {
            object: format!("Node/{node}"),
            kind,
            since: None,
        }
    }

    fn name(&self) -> &str {
        self.object.split_once('/').map_or("", |(_, name)| name)
    }

    /// Whether it says no more than that others go first, which its pool says better.
    fn is_turn(&self) -> bool {
        matches!(self.kind, Kind::Waits { .. })
    }

    /// How much it weighs.
    #[must_use]
    pub fn weight(&self) -> Weight {
        match &self.kind {
            Kind::Updated { .. }
            | Kind::NoPool
            | Kind::PoolUpdated { .. }
            | Kind::Paused { waiting: 0, .. } => Weight::Fine,
            Kind::UnderWay(_)
            | Kind::Waits { .. }
            | Kind::RollingOut { .. }
            | Kind::Unready {
                why: Unready::CordonedForUpdate,
                ..
            }
            | Kind::NotRendered
            | Kind::Deleting => Weight::Passing,
            Kind::Unplaced(_)
            | Kind::Refused(_)
            | Kind::RenderDegraded { .. }
            | Kind::Paused { .. }
            | Kind::ConfigMissing { .. }
            | Kind::NoController
            | Kind::Unassigned { .. }
            | Kind::DaemonSilent(_)
            | Kind::Unready { .. }
            | Kind::DrainBlocked { .. }
            | Kind::Failing { .. }
            | Kind::Drifted { .. } => Weight::Stuck,
        }
    }
}

/// How much the causes weigh together: as much as the gravest.
#[must_use]
pub fn weight(causes: &[Cause]) -> Weight {
    causes.iter().map(Cause::weight).max().unwrap_or(Weight::Fine)
}

#[cfg(test)]
mod tests;
