//! Families `actions`, `registries` and `disruption-policy`: what a change does to a node, and by which policy.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use crds::MachineConfig;
use crds::machine_configuration::NodeDisruptionPolicyConfig;
use machineconfig::plan::legacy::legacy;
use machineconfig::plan::{Facts, Section};
use machineconfig::{Finding, Plan, Policy, RenderedConfig, plan, policy, registries};
use serde::Deserialize;
use serde_json::{Value, json};

use super::cases::Case;
use super::checks::Checks;
use super::deviations::Rule;
use super::render::text;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActionsInput {
    old: MachineConfig,
    new: MachineConfig,
    node_disruption_policy: Option<NodeDisruptionPolicyConfig>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ActionsExpect {
    Refused { error: String },
    Planned(Box<Planned>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Planned {
    diff: Vec<Section>,
    os_changes: String,
    changed_files: Vec<String>,
    changed_units: Vec<String>,
    actions_sorted: Vec<String>,
    drain: bool,
    reconcile_error: Option<String>,
    legacy: Legacy,
    cluster_policies: Option<NodeDisruptionPolicyConfig>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Legacy {
    actions: Vec<String>,
    drain: bool,
}

/// Compares one case of `actions`.
pub(super) fn actions(case: &Case, checks: &mut Checks<'_>) -> Result<()> {
    let input: ActionsInput = case.input()?;
    let user = input.node_disruption_policy.unwrap_or_default();
    let policy = merged(&user, checks);
    let parse = |config: &MachineConfig| {
        RenderedConfig::from_machine_config(config).context("a config cannot be read")
    };
    let (old, new) = (parse(&input.old)?, parse(&input.new)?);
    let ours = plan(&old, &new, &policy, &Facts::default());
    match case.expect()? {
        ActionsExpect::Refused { error } => {
            checks.refused("the plan", &error, refusals(&ours).as_deref());
        }
        ActionsExpect::Planned(expect) => {
            planned(&expect, &ours, checks);
            let legacy = legacy(&old, &new).map(|legacy| Legacy {
                actions: vec![legacy.action.to_string()],
                drain: legacy.drain,
            });
            checks.equal(
                "the first-boot table",
                &Ok(&expect.legacy),
                &legacy.as_ref().map_err(ToString::to_string),
            );
            if let Some(policies) = &expect.cluster_policies {
                checks.equal("the merged policy", policies, &policy.cluster_policies());
            }
        }
    }
    Ok(())
}

fn planned(expect: &Planned, ours: &Plan, checks: &mut Checks<'_>) {
    checks.equal(
        "the kinds of changes",
        &sorted(&expect.diff),
        &sorted(&ours.sections),
    );
    checks.equal("the changes to the OS", &expect.os_changes, &ours.os_changes());
    let files: Vec<&str> = ours.changed_files().collect();
    checks.equal(
        "the changed files",
        &expect.changed_files.iter().map(String::as_str).collect(),
        &files,
    );
    checks.equal(
        "the changed units",
        &expect.changed_units.iter().map(String::as_str).collect(),
        &ours.changed_units(),
    );
    let once: BTreeSet<&String> = expect.actions_sorted.iter().collect();
    let mut actions: Vec<String> = ours.actions.iter().map(ToString::to_string).collect();
    actions.sort();
    if once.len() < expect.actions_sorted.len() && checks.deviates(Rule::ActionsOnce) {
        checks.equal("the actions", &once, &actions.iter().collect());
    } else {
        checks.equal("the actions", &expect.actions_sorted, &actions);
    }
    checks.equal("the drain", &expect.drain, &ours.drain.required);
    match &expect.reconcile_error {
        None => checks.equal("the refusals", &Vec::new(), &ours.refusals),
        Some(error) => {
            checks.refused("the plan", error, refusals(ours).as_deref());
        }
    }
}

/// The refusals of a plan as a person reads them, if there are any.
fn refusals(plan: &Plan) -> Option<String> {
    (!plan.refusals.is_empty()).then(|| text(&plan.refusals))
}

fn sorted<T: Ord + Clone>(values: &[T]) -> Vec<T> {
    let mut values = values.to_vec();
    values.sort();
    values
}

/// The user's entries over the defaults. Entries that could never do what they say are refused by ours (rule
/// `unusable-policy`); what they would mean is compared all the same.
fn merged(user: &NodeDisruptionPolicyConfig, checks: &mut Checks<'_>) -> Policy {
    match Policy::merge(user) {
        Ok(policy) => policy,
        Err(findings) => {
            let unusable = unusable(user);
            let message = text(&findings);
            if unusable.is_empty() || !checks.deviates(Rule::UnusablePolicy) {
                checks.differs(format!(
                    "the policy is refused, the reference takes it: {message}"
                ));
            } else if !unusable
                .iter()
                .any(|(place, name)| message.contains(place) || (!name.is_empty() && message.contains(name)))
            {
                checks.differs(format!(
                    "the refusal of the policy names none of {unusable:?}: {message}"
                ));
            }
            Policy::merge_unchecked(user)
        }
    }
}

/// The entries that match nothing, never win or say what cannot be done: each as `files[0]` and by its name.
fn unusable(user: &NodeDisruptionPolicyConfig) -> Vec<(String, String)> {
    let clean = |path: &str| {
        path.len() > 1
            && path.starts_with('/')
            && path[1..].split('/').all(|part| !matches!(part, "" | "." | ".."))
    };
    let files = user.files.iter().enumerate();
    let files = files.map(|(i, file)| {
        (
            format!("files[{i}]"),
            &file.path,
            &file.actions,
            clean(&file.path),
        )
    });
    let units = user.units.iter().enumerate();
    let units = units.map(|(i, unit)| (format!("units[{i}]"), &unit.name, &unit.actions, true));
    let mut seen = BTreeSet::new();
    let mut unusable = Vec::new();
    for (place, name, actions, clean) in files.chain(units) {
        let first = seen.insert((place.starts_with('f'), name));
        let doable = !actions.is_empty() && !policy::check(&one_entry(actions)).iter().any(Finding::is_error);
        if !first || !clean || !doable {
            unusable.push((place, name.clone()));
        }
    }
    unusable
}

/// A policy with nothing at fault but, perhaps, its actions.
fn one_entry(
    actions: &[crds::machine_configuration::NodeDisruptionPolicyAction],
) -> NodeDisruptionPolicyConfig {
    let file = crds::machine_configuration::NodeDisruptionPolicyFile {
        path: "/a".to_owned(),
        actions: actions.to_vec(),
    };
    NodeDisruptionPolicyConfig {
        files: vec![file],
        ..NodeDisruptionPolicyConfig::default()
    }
}

#[derive(Deserialize)]
struct RegistriesInput {
    old: Option<Contents>,
    new: Option<Contents>,
}

#[derive(Deserialize)]
struct Contents {
    text: Option<String>,
    source: Option<String>,
    compression: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RegistriesExpect {
    Refused { error: String },
    Decided { drain: bool },
}

/// Compares one case of `registries`.
pub(super) fn registries(case: &Case, checks: &mut Checks<'_>) -> Result<()> {
    let input: RegistriesInput = case.input()?;
    let compressed = |side: &Option<Contents>| {
        side.as_ref()
            .and_then(|contents| contents.compression.as_deref())
            .is_some_and(|c| !c.is_empty())
    };
    let gzip = compressed(&input.old) || compressed(&input.new);
    let ours = drain(input.old.as_ref(), input.new.as_ref());
    match case.expect()? {
        RegistriesExpect::Decided { drain } => checks.equal("the drain", &Ok(drain), &ours),
        // The bytes on disk are the inflated ones, so those are compared.
        RegistriesExpect::Refused { .. } if gzip && checks.deviates(Rule::RegistriesGzip) => {
            if let Err(message) = ours {
                checks.differs(format!("refused: {message}"));
            }
        }
        RegistriesExpect::Refused { error } => {
            checks.refused("the decision", &error, ours.as_ref().err().map(String::as_str));
        }
    }
    Ok(())
}

fn drain(old: Option<&Contents>, new: Option<&Contents>) -> Result<bool, String> {
    let reasons =
        registries::reasons_to_drain(&bytes(old)?, &bytes(new)?).map_err(|error| error.to_string())?;
    Ok(!reasons.is_empty())
}

fn bytes(contents: Option<&Contents>) -> Result<Vec<u8>, String> {
    match contents {
        None => Ok(Vec::new()),
        Some(Contents { text: Some(text), .. }) => Ok(text.clone().into_bytes()),
        Some(Contents {
            source, compression, ..
        }) => ignition::contents::decode(
            source.as_deref(),
            compression.as_deref(),
            ignition::contents::MAX_INFLATED,
        )
        .map_err(|error| format!("{}: {error}", registries::PATH)),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PolicyInput {
    node_disruption_policy: NodeDisruptionPolicyConfig,
    paths: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PolicyExpect {
    cluster_policies: NodeDisruptionPolicyConfig,
    matches: Vec<Value>,
}

/// Compares one case of `disruption-policy`.
pub(super) fn disruption_policy(case: &Case, checks: &mut Checks<'_>) -> Result<()> {
    let input: PolicyInput = case.input()?;
    let expect: PolicyExpect = case.expect()?;
    let policy = merged(&input.node_disruption_policy, checks);
    checks.equal(
        "the merged policy",
        &expect.cluster_policies,
        &policy.cluster_policies(),
    );
    if expect.matches.len() != input.paths.len() {
        bail!("{} paths, {} matches", input.paths.len(), expect.matches.len());
    }
    for (path, expected) in input.paths.iter().zip(&expect.matches) {
        let ours = match policy.for_path(path) {
            None => json!({"path": path, "found": false}),
            Some(entry) => {
                json!({"path": path, "found": true, "policyPath": entry.path, "actions": entry.actions})
            }
        };
        checks.equal("the entry that matches", expected, &ours);
    }
    Ok(())
}
