//! Plans of small configs written as JSON.
#![expect(
    clippy::needless_pass_by_value,
    reason = "literals read better without a reference"
)]

use std::collections::BTreeMap;

use crds::MachineConfig;
use serde_json::{Value, json};

use super::*;
use crate::provenance::{Origin, Part};
use crate::{Code, Provenance, registries};

mod causes;
mod forms;
mod laws;
mod legacy;
mod steps;

/// A rendered config of a spec; the Ignition version is filled in.
fn config(name: &str, spec: Value) -> RenderedConfig {
    let mut spec = spec;
    spec["config"]["ignition"]["version"] = json!("3.5.0");
    let object = json!({"metadata": {"name": name}, "spec": spec});
    let object: MachineConfig = serde_json::from_value(object).unwrap();
    RenderedConfig::from_machine_config(&object).unwrap()
}

/// Two rendered configs of nothing but these Ignition configs.
fn ignition(old: Value, new: Value) -> (RenderedConfig, RenderedConfig) {
    (
        config("old", json!({ "config": old })),
        config("new", json!({ "config": new })),
    )
}

/// Configs of nothing but these files.
fn files(old: Value, new: Value) -> (RenderedConfig, RenderedConfig) {
    ignition(
        json!({"storage": {"files": old}}),
        json!({"storage": {"files": new}}),
    )
}

/// The plan by the default policy, without diffs.
fn plan_of((old, new): &(RenderedConfig, RenderedConfig)) -> Plan {
    plan(old, new, &Policy::default(), &Facts::default())
}

/// The plan by a user's policy.
fn plan_by(policy: Value, (old, new): &(RenderedConfig, RenderedConfig)) -> Plan {
    let policy = Policy::merge(&serde_json::from_value(policy).unwrap()).unwrap();
    plan(old, new, &policy, &Facts::default())
}

/// Steps in short: sign, target, actions.
fn short(plan: &Plan) -> Vec<String> {
    let line = |step: &Step| {
        let actions: Vec<_> = step.actions.iter().map(ToString::to_string).collect();
        format!(
            "{} {}: {}",
            phrase::sign(step.change),
            step.target,
            actions.join(", ")
        )
    };
    plan.steps.iter().map(line).collect()
}

/// What differs, in short: sign, target, aspects.
fn differences(plan: &Plan) -> Vec<String> {
    let line = |step: &Step| {
        format!(
            "{} {}: {}",
            phrase::sign(step.change),
            step.target,
            phrase::aspects(step)
        )
    };
    plan.steps.iter().map(line).collect()
}

fn names(actions: &[Action]) -> Vec<String> {
    actions.iter().map(ToString::to_string).collect()
}

fn provenance(winners: &[(Part, &str)]) -> Provenance {
    let origin = |winner: &str| Origin {
        winner: winner.to_owned(),
        beaten: Vec::new(),
    };
    let origins: BTreeMap<_, _> = winners
        .iter()
        .map(|(part, winner)| (part.clone(), origin(winner)))
        .collect();
    Provenance { origins }
}
