//! Families `reconcilable` and `blame`: which changes a running node refuses, and which MachineConfig brought them.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use crds::MachineConfig;
use machineconfig::reconcile::{Origins, StorageOverride, check};
use machineconfig::{Rendered, RenderedConfig};
use serde::Deserialize;

use super::cases::Case;
use super::checks::Checks;
use super::deviations::Rule;
use super::render::{Base, text};
use super::sourceless;

#[derive(Deserialize)]
struct Pair {
    old: MachineConfig,
    new: MachineConfig,
    #[serde(default)]
    overrides: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PairExpect {
    Refused { error: String },
    Accepted { ok: bool },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlameInput {
    #[serde(flatten)]
    base: Base,
    current_machine_configs: Vec<MachineConfig>,
    machine_configs: Vec<MachineConfig>,
    #[serde(default)]
    overrides: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlameExpect {
    current_name: String,
    name: Option<String>,
    error: Option<String>,
}

/// Compares one case of `reconcilable`.
pub(super) fn reconcilable(case: &Case, checks: &mut Checks<'_>) -> Result<()> {
    let input: Pair = case.input()?;
    let overrides = overrides(&input.overrides)?;
    let ours = judge(&input.old, &input.new, &overrides);
    match case.expect()? {
        PairExpect::Accepted { ok } => {
            if !ok {
                bail!("expect.ok is false");
            }
            if let Err(message) = ours {
                checks.differs(format!("refused, the reference accepts it: {message}"));
            }
        }
        PairExpect::Refused { error } => {
            let broken = error.starts_with("parsing old Ignition config") && readable_yet_invalid(&input.old);
            if broken && checks.deviates(Rule::BrokenConfigIsLeft) {
                if let Err(message) = ours {
                    checks.differs(format!(
                        "refused, although the broken config is to be left: {message}"
                    ));
                }
            } else {
                checks.refused("the change", &error, ours.as_ref().err().map(String::as_str));
            }
        }
    }
    Ok(())
}

/// Compares one case of `blame`.
pub(super) fn blame(case: &Case, checks: &mut Checks<'_>) -> Result<()> {
    let input: BlameInput = case.input()?;
    let expect: BlameExpect = case.expect()?;
    let overrides = overrides(&input.overrides)?;
    let current = match input.base.render(&input.current_machine_configs) {
        Ok(current) => current,
        Err(message) => {
            let files = sourceless::in_configs(&input.current_machine_configs);
            if files.is_empty() || !checks.deviates(Rule::FileWithoutContents) {
                checks.differs(format!(
                    "the current set is refused, the reference renders it: {message}"
                ));
            } else {
                sourceless::refused("the current set", &files, Some(&message), checks);
            }
            return Ok(());
        }
    };
    checks.equal("the current name", &expect.current_name, &current.name);
    let ours = render_over(&input, &current, &overrides);
    match (expect.name, expect.error) {
        (Some(name), _) => match ours {
            Ok(ours) => checks.equal("the name", &name, &ours),
            Err(message) => checks.differs(format!("refused, the reference renders {name}: {message}")),
        },
        (None, Some(error)) => refusal(&input, &error, ours.as_ref().err().map(String::as_str), checks),
        (None, None) => bail!("expect has neither name nor error"),
    }
    Ok(())
}

/// Renders the new set and holds it against the current config, as the controller does.
fn render_over(
    input: &BlameInput,
    current: &Rendered,
    overrides: &BTreeSet<StorageOverride>,
) -> Result<String, String> {
    let new = input.base.render(&input.machine_configs)?;
    let parse = |rendered: &Rendered| {
        RenderedConfig::from_machine_config(&rendered.machine_config()).map_err(|invalid| invalid.to_string())
    };
    let origins = Origins {
        old: Some(&current.provenance),
        new: Some(&new.provenance),
    };
    check(&parse(current)?, &parse(&new)?, overrides, origins).map_err(|findings| text(&findings))?;
    Ok(new.name)
}

/// A refusal of ours names the field and a MachineConfig that really changes; the reference's choice where it is such a one.
fn refusal(input: &BlameInput, error: &str, ours: Option<&str>, checks: &mut Checks<'_>) {
    let files = sourceless::in_configs(&input.machine_configs);
    let spoilt = error.contains("overwrite must be false if source is unspecified") && !files.is_empty();
    if spoilt && checks.deviates(Rule::FileWithoutContents) {
        return sourceless::refused("the new set", &files, ours, checks);
    }
    let changed = changed(input);
    let blamed = error
        .split("base config \"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let innocent = blamed.filter(|name| !changed.contains(*name));
    let expected = match innocent {
        Some(name) if checks.deviates(Rule::BlameByProvenance) => {
            error.replace(&format!("base config \"{name}\""), "")
        }
        _ => error.to_owned(),
    };
    checks.refused("the new set", &expected, ours);
    if let Some(message) = ours
        && !changed.is_empty()
        && !changed
            .iter()
            .any(|name| message.contains(&format!("MachineConfig/{name}")))
    {
        checks.differs(format!(
            "our message names none of those that change ({changed:?}): {message}"
        ));
    }
}

/// Names of the MachineConfigs that are added, removed or different.
fn changed(input: &BlameInput) -> BTreeSet<String> {
    let (old, new) = (&input.current_machine_configs, &input.machine_configs);
    let only = |a: &[MachineConfig], b: &[MachineConfig]| -> Vec<String> {
        a.iter()
            .filter(|config| !b.contains(config))
            .filter_map(|config| config.metadata.name.clone())
            .collect()
    };
    only(old, new).into_iter().chain(only(new, old)).collect()
}

/// Whether a running node would refuse the change between two rendered configs.
fn judge(
    old: &MachineConfig,
    new: &MachineConfig,
    overrides: &BTreeSet<StorageOverride>,
) -> Result<(), String> {
    let parse = |config: &MachineConfig| {
        RenderedConfig::from_machine_config(config)
            .map_err(|invalid| format!("{}: {invalid}", name_of(config)))
    };
    check(&parse(old)?, &parse(new)?, overrides, Origins::default()).map_err(|findings| text(&findings))
}

fn name_of(config: &MachineConfig) -> &str {
    config.metadata.name.as_deref().unwrap_or_default()
}

/// A config that can be read, and which the spec's validation refuses.
fn readable_yet_invalid(config: &MachineConfig) -> bool {
    let value = config.spec.config.as_ref();
    value.is_some_and(|value| {
        ignition::Config::from_value_unvalidated(value).is_ok()
            && ignition::Config::from_value(value).is_err()
    })
}

fn overrides(names: &[String]) -> Result<BTreeSet<StorageOverride>> {
    let parse = |name: &String| match name.as_str() {
        "Disks" => Ok(StorageOverride::Disks),
        "FileSystems" => Ok(StorageOverride::FileSystems),
        "Raid" => Ok(StorageOverride::Raid),
        other => bail!("unknown override {other:?}"),
    };
    names.iter().map(parse).collect()
}
