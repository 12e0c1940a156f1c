//! What is done on a node after a change is written, and how disturbing it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crds::machine_configuration::{
    NodeDisruptionPolicyAction, NodeDisruptionPolicyActionType as ActionType, ServiceAction,
};
use serde::{Deserialize, Serialize};

/// How much a change disturbs a node, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Disruption {
    /// Nothing is disturbed.
    #[default]
    None,
    /// A service, or systemd itself, reloads.
    Reload,
    /// A service restarts.
    Restart,
    /// Pods are evicted.
    Drain,
    /// The node is drained and reboots.
    Reboot,
}

impl fmt::Display for Disruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Disruption::None => "None",
            Disruption::Reload => "Reload",
            Disruption::Restart => "Restart",
            Disruption::Drain => "Drain",
            Disruption::Reboot => "Reboot",
        })
    }
}

/// One action after a change is written. Displays as the reference names it: `Restart crio.service`, `Reboot`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Action {
    /// Evict the pods; done before anything is written.
    Drain,
    /// Make systemd read its units anew.
    DaemonReload,
    /// Reload a unit.
    Reload {
        /// Full unit name.
        service: String,
    },
    /// Restart a unit.
    Restart {
        /// Full unit name.
        service: String,
    },
    /// Reload crio; whether the node drains first is decided by what changes in registries.conf.
    Special,
    /// Drain and reboot. Always alone.
    Reboot,
    /// A policy says that nothing is to be done. Always alone.
    None,
}

impl Action {
    /// How disturbing the action is by itself. For [`Action::Special`] without the drain, which the plan adds where it is due.
    #[must_use]
    pub fn disruption(&self) -> Disruption {
        match self {
            Action::None => Disruption::None,
            Action::DaemonReload | Action::Reload { .. } | Action::Special => Disruption::Reload,
            Action::Restart { .. } => Disruption::Restart,
            Action::Drain => Disruption::Drain,
            Action::Reboot => Disruption::Reboot,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Drain => f.write_str("Drain"),
            Action::DaemonReload => f.write_str("DaemonReload"),
            Action::Reload { service } => write!(f, "Reload {service}"),
            Action::Restart { service } => write!(f, "Restart {service}"),
            Action::Special => f.write_str("Special"),
            Action::Reboot => f.write_str("Reboot"),
            Action::None => f.write_str("None"),
        }
    }
}

impl From<&NodeDisruptionPolicyAction> for Action {
    /// An action of a policy. A reload or restart of nothing becomes a reboot: what was meant cannot be known, and a reboot picks up
    /// every change. ([`crate::policy::check`] refuses it where a user can be told.)
    fn from(action: &NodeDisruptionPolicyAction) -> Self {
        let service =
            |service: &Option<ServiceAction>| service.as_ref().map(|service| service.service_name.clone());
        match action.type_ {
            ActionType::Reboot => Action::Reboot,
            ActionType::Drain => Action::Drain,
            ActionType::Reload => {
                service(&action.reload).map_or(Action::Reboot, |service| Action::Reload { service })
            }
            ActionType::Restart => {
                service(&action.restart).map_or(Action::Reboot, |service| Action::Restart { service })
            }
            ActionType::DaemonReload => Action::DaemonReload,
            ActionType::None => Action::None,
            ActionType::Special => Action::Special,
        }
    }
}

/// The actions of a whole plan out of those of its steps (MCO daemon 4.3): any `Reboot` stands for all; `None` gives way to others;
/// each action once.
///
/// The reference runs every list after the other, so an action may come several times and at last when everything it depends on is
/// done. To be as safe with each action once, the order inside every list is kept: what a list puts first comes first. Where two lists
/// contradict each other the earlier one stands. `Drain` is first, since it is done before anything is written, then `DaemonReload`, since
/// units are on disk by then and no service may start from an old one.
pub(super) fn combine(lists: &[&[Action]]) -> Vec<Action> {
    let holds = |wanted: &Action| lists.iter().any(|list| list.contains(wanted));
    if holds(&Action::Reboot) {
        return vec![Action::Reboot];
    }
    let mut combined: Vec<Action> = [Action::Drain, Action::DaemonReload]
        .into_iter()
        .filter(|action| holds(action))
        .collect();
    combined.extend(in_order(lists).into_iter().cloned());
    if combined.is_empty() && holds(&Action::None) {
        combined.push(Action::None);
    }
    combined
}

/// The remaining actions, each once, so that the order inside every list holds; otherwise by first appearance.
fn in_order<'a>(lists: &[&'a [Action]]) -> Vec<&'a Action> {
    let placed = |action: &&Action| !matches!(action, Action::Drain | Action::DaemonReload | Action::None);
    let mut waiting: Vec<&Action> = Vec::new();
    let mut before: BTreeMap<&Action, BTreeSet<&Action>> = BTreeMap::new();
    // Many steps share the list of one policy entry.
    for list in lists.iter().collect::<BTreeSet<_>>() {
        let list: Vec<_> = list.iter().filter(placed).collect();
        for (i, action) in list.iter().enumerate() {
            let earlier = list[..i].iter().filter(|earlier| *earlier != action);
            before.entry(action).or_default().extend(earlier);
        }
    }
    for action in lists.iter().flat_map(|list| list.iter()).filter(placed) {
        if !waiting.contains(&action) {
            waiting.push(action);
        }
    }
    let mut ordered = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let free = |action: &&Action| before[action].iter().all(|earlier| !waiting.contains(earlier));
        let next = waiting.iter().position(free).unwrap_or(0);
        ordered.push(waiting.remove(next));
    }
    ordered
}
