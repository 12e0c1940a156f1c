//! What every part of the planning needs to know: the two sides, and how a step is made.

use super::step::{Aspect, Change, Decision, Step, Target};
use super::{Action, Facts};
use crate::provenance::{Part, Provenance};
use crate::redact::Diff;
use crate::{Policy, RenderedConfig};

/// The input of [`super::plan`].
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) current: &'a RenderedConfig,
    pub(super) desired: &'a RenderedConfig,
    pub(super) policy: &'a Policy,
    pub(super) facts: &'a Facts<'a>,
}

/// A step before it is known who caused it.
pub(super) struct Draft {
    pub(super) target: Target,
    pub(super) change: Change,
    pub(super) aspects: Vec<Aspect>,
    pub(super) decision: (Vec<Action>, Decision),
    pub(super) diff: Option<Diff>,
}

impl Context<'_> {
    /// Completes a step. `part` is what provenance knows the target by; without it the items of the step say who caused what.
    pub(super) fn step(&self, draft: Draft, part: Option<&Part>) -> Step {
        let Draft {
            target,
            change,
            aspects,
            decision: (actions, decided_by),
            diff,
        } = draft;
        let old = part.and_then(|part| winner(self.facts.origins.old, part));
        let new = part.and_then(|part| winner(self.facts.origins.new, part));
        let (machine_config, previous) = match change {
            Change::Removed => (old, None),
            Change::Added => (new, None),
            Change::Changed => (new, old),
        };
        Step {
            target,
            change,
            aspects,
            machine_config: machine_config.map(str::to_owned),
            previous_machine_config: previous
                .filter(|old| Some(*old) != machine_config)
                .map(str::to_owned),
            disruption: actions.iter().map(Action::disruption).max().unwrap_or_default(),
            actions,
            decided_by,
            diff,
        }
    }

    /// The MachineConfig a part comes from: in the desired config, or else in the current one.
    pub(super) fn origin(&self, part: &Part, desired: bool) -> Option<String> {
        let side = if desired {
            self.facts.origins.new
        } else {
            self.facts.origins.old
        };
        winner(side, part).map(str::to_owned)
    }

    /// What the policy says about a file.
    pub(super) fn decide_file(&self, path: &str) -> (Vec<Action>, Decision) {
        match self.policy.for_path(path) {
            Some(entry) => {
                let actions = entry.actions.iter().map(Action::from).collect();
                (
                    actions,
                    Decision::FilePolicy {
                        path: entry.path.clone(),
                    },
                )
            }
            None => (vec![Action::Reboot], Decision::NoPolicy),
        }
    }

    /// What the policy says about a unit.
    pub(super) fn decide_unit(&self, name: &str) -> (Vec<Action>, Decision) {
        match self.policy.for_unit(name) {
            Some(entry) => {
                let actions = entry.actions.iter().map(Action::from).collect();
                (
                    actions,
                    Decision::UnitPolicy {
                        name: entry.name.clone(),
                    },
                )
            }
            None => (vec![Action::Reboot], Decision::NoPolicy),
        }
    }

    /// What the policy says about SSH keys and password hashes.
    pub(super) fn decide_account(&self) -> (Vec<Action>, Decision) {
        (
            self.policy.sshkey.iter().map(Action::from).collect(),
            Decision::SshKeyPolicy,
        )
    }
}

fn winner<'a>(provenance: Option<&'a Provenance>, part: &Part) -> Option<&'a str> {
    provenance?.origins.get(part).map(|origin| origin.winner.as_str())
}
