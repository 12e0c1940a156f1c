//! Families `registries` and `disruption-policy`: what a policy says about a change.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use crds::machine_configuration::{
    NodeDisruptionPolicyAction, NodeDisruptionPolicyConfig, NodeDisruptionPolicyFile,
};
use machineconfig::{Finding, Policy, policy, registries};
use serde::Deserialize;
use serde_json::{Value, json};

use super::cases::Case;
use super::checks::Checks;
use super::deviations::Rule;
use super::render::text;

/// The user's entries over the defaults. Entries that could never do what they say are refused by ours (rule
/// `unusable-policy`); what they would mean is compared all the same.
pub(super) fn merged(user: &NodeDisruptionPolicyConfig, checks: &mut Checks<'_>) -> Policy {
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
fn one_entry(actions: &[NodeDisruptionPolicyAction]) -> NodeDisruptionPolicyConfig {
    let file = NodeDisruptionPolicyFile {
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
