//! Family `actions`: what a change does to a node.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use crds::MachineConfig;
use crds::machine_configuration::NodeDisruptionPolicyConfig;
use ignition::contents::{ContentsError, MAX_INFLATED, decode};
use machineconfig::plan::legacy::legacy;
use machineconfig::plan::{Facts, Section};
use machineconfig::registries::{self, reasons_to_drain};
use machineconfig::{Plan, RenderedConfig, plan};
use serde::Deserialize;
use serde_json::Value;

use super::cases::Case;
use super::checks::Checks;
use super::deviations::Rule;
use super::policy::merged;
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

/// Compares one case.
pub(super) fn compare(case: &Case, checks: &mut Checks<'_>) -> Result<()> {
    let input: ActionsInput = case.input()?;
    let user = input.node_disruption_policy.unwrap_or_default();
    let policy = merged(&user, checks);
    let parse = |config: &MachineConfig| {
        RenderedConfig::from_machine_config(config).context("a config cannot be read")
    };
    let pair = Pair {
        old: parse(&input.old)?,
        new: parse(&input.new)?,
    };
    let ours = plan(&pair.old, &pair.new, &policy, &Facts::default());
    match case.expect()? {
        ActionsExpect::Refused { error } => undecided(&pair, &error, &ours, checks),
        ActionsExpect::Planned(expect) => {
            planned(&pair, &expect, &ours, checks);
            let legacy = legacy(&pair.old, &pair.new).map(|legacy| Legacy {
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

/// The two configs of a case.
struct Pair {
    old: RenderedConfig,
    new: RenderedConfig,
}

impl Pair {
    /// The old and the new entry of a file.
    fn file(&self, path: &str) -> [Option<&Value>; 2] {
        [&self.old, &self.new].map(|config| {
            let files = config.ignition.value().pointer("/storage/files")?.as_array()?;
            files.iter().find(|file| file["path"] == path)
        })
    }

    /// Whether a file is on disk what it was, bytes and mode, however it is declared.
    fn same_on_disk(&self, path: &str) -> bool {
        match self.file(path) {
            [Some(old), Some(new)] => {
                let mode = |file: &Value| file["mode"].as_u64().unwrap_or(0o644);
                contents(old).is_ok() && contents(old) == contents(new) && mode(old) == mode(new)
            }
            _ => false,
        }
    }

    /// Files of the new config whose contents no node could write.
    fn unwritable(&self) -> Vec<&str> {
        let files = self
            .new
            .ignition
            .value()
            .pointer("/storage/files")
            .and_then(Value::as_array);
        let bad = files.into_iter().flatten().filter(|file| contents(file).is_err());
        bad.filter_map(|file| file["path"].as_str()).collect()
    }
}

/// The bytes that a file is to hold.
fn contents(file: &Value) -> Result<Vec<u8>, ContentsError> {
    let text = |pointer: &str| file.pointer(pointer).and_then(Value::as_str);
    decode(
        text("/contents/source"),
        text("/contents/compression"),
        MAX_INFLATED,
    )
}

/// The reference could not decide about the drain, which is about registries.conf.
fn undecided(pair: &Pair, error: &str, ours: &Plan, checks: &mut Checks<'_>) {
    let registries = pair.file(registries::PATH);
    let compressed = |file: &Value| file.pointer("/contents/compression").is_some_and(|c| c == "gzip");
    let bytes = registries.map(|file| file.map_or(Ok(Vec::new()), contents).ok());
    let readable = bytes.map(|bytes| bytes.is_some_and(|bytes| reasons_to_drain(&[], &bytes).is_ok()));
    if readable == [true, true]
        && registries.iter().flatten().any(|file| compressed(file))
        && checks.deviates(Rule::RegistriesGzip)
    {
        checks.equal("the refusals", &None, &refusals(ours));
    } else if readable == [false, true] && checks.deviates(Rule::RegistriesCurrent) {
        checks.equal("the refusals", &None, &refusals(ours));
        checks.equal("the drain", &true, &ours.drain.required);
    } else {
        checks.refused("the plan", error, refusals(ours).as_deref());
    }
}

fn planned(pair: &Pair, expect: &Planned, ours: &Plan, checks: &mut Checks<'_>) {
    checks.equal(
        "the kinds of changes",
        &sorted(&expect.diff),
        &sorted(&ours.sections),
    );
    checks.equal("the changes to the OS", &expect.os_changes, &ours.os_changes());
    let same: Vec<&String> = ours
        .same_on_disk
        .iter()
        .filter(|path| pair.same_on_disk(path))
        .collect();
    let same = if same.is_empty() || !checks.deviates(Rule::SameOnDisk) {
        Vec::new()
    } else {
        same
    };
    let changed: Vec<&str> = ours.changed_files().collect();
    let expected = expect.changed_files.iter().filter(|path| !same.contains(path));
    checks.equal(
        "the changed files",
        &expected.map(String::as_str).collect(),
        &changed,
    );
    checks.equal(
        "the changed units",
        &expect.changed_units.iter().map(String::as_str).collect(),
        &ours.changed_units(),
    );
    actions(expect, ours, !same.is_empty(), checks);
    refused(pair, expect, ours, checks);
}

/// Actions and drain; `fewer` when some of the reference's changes are none of ours.
fn actions(expect: &Planned, ours: &Plan, fewer: bool, checks: &mut Checks<'_>) {
    let once: BTreeSet<&String> = expect.actions_sorted.iter().collect();
    let mut actions: Vec<String> = ours.actions.iter().map(ToString::to_string).collect();
    actions.sort();
    if fewer {
        let more: Vec<_> = actions
            .iter()
            .filter(|action| *action != "None" && !once.contains(action))
            .collect();
        checks.equal("the actions beyond the reference's", &Vec::new(), &more);
        checks.equal(
            "the drain beyond the reference's",
            &false,
            &(ours.drain.required && !expect.drain),
        );
        return;
    }
    if once.len() < expect.actions_sorted.len() && checks.deviates(Rule::ActionsOnce) {
        checks.equal("the actions", &once, &actions.iter().collect());
    } else {
        checks.equal("the actions", &expect.actions_sorted, &actions);
    }
    checks.equal("the drain", &expect.drain, &ours.drain.required);
}

fn refused(pair: &Pair, expect: &Planned, ours: &Plan, checks: &mut Checks<'_>) {
    let message = refusals(ours);
    let unwritable = pair.unwritable();
    match (&expect.reconcile_error, message) {
        (Some(error), message) => checks.refused("the plan", error, message.as_deref()),
        (None, Some(message)) if !unwritable.is_empty() && checks.deviates(Rule::UnwritableFile) => {
            if !unwritable.iter().any(|path| message.contains(path)) {
                checks.differs(format!("the refusal names none of {unwritable:?}: {message}"));
            }
        }
        (None, message) => checks.equal("the refusals", &None, &message),
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
