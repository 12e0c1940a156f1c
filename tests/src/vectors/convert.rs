//! Family `convert`: one config written at every version, byte for byte, or refused.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use ignition::{Config, Version};
use serde::Deserialize;
use serde_json::Value;

use super::cases::Case;
use super::checks::Checks;
use super::deviations::Rule;

#[derive(Deserialize)]
struct Input {
    config: Value,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Outcome {
    Refused { error: String },
    Written { body: String },
}

/// Compares one case.
pub(super) fn compare(case: &Case, checks: &mut Checks<'_>) -> Result<()> {
    let input: Input = case.input()?;
    let expect: BTreeMap<String, Outcome> = case.expect()?;
    let text = serde_json::to_vec(&input.config).context("the config cannot be written")?;
    for (version, outcome) in expect {
        let Some(target) = Version::ALL.into_iter().find(|known| known.as_str() == version) else {
            bail!("unknown version {version}");
        };
        let ours = Config::parse(&text).and_then(|parsed| parsed.config.encode(target));
        let ours = ours.map_err(|invalid| invalid.to_string());
        match outcome {
            Outcome::Refused { error } => refused(&input.config, target, &error, ours, checks),
            Outcome::Written { body } => written(&input.config, target, &body, ours, checks),
        }
    }
    Ok(())
}

fn written(
    config: &Value,
    target: Version,
    body: &str,
    ours: Result<String, String>,
    checks: &mut Checks<'_>,
) {
    let drops_cex = target < Version::V3_5 && sets_cex(config);
    match ours {
        Ok(ours) => checks.bytes(&format!("the body at {target}"), body, &ours),
        Err(message) if drops_cex && checks.deviates(Rule::LuksCex) => {
            if !message.contains("cex") {
                checks.differs(format!("refused at {target}, but not for cex: {message}"));
            }
        }
        Err(message) => checks.differs(format!("refused at {target}, the reference writes it: {message}")),
    }
}

fn refused(
    config: &Value,
    target: Version,
    error: &str,
    ours: Result<String, String>,
    checks: &mut Checks<'_>,
) {
    let of_2_x = config
        .pointer("/ignition/version")
        .and_then(Value::as_str)
        .is_some_and(|v| v.starts_with("2."));
    if of_2_x && error.contains("unsupported config version") && checks.deviates(Rule::ConvertFrom2x) {
        return;
    }
    let by_prefix =
        target == Version::V2_2 && error.contains("path not absolute") && below_a_mount_by_text(config);
    if by_prefix && checks.deviates(Rule::MountPathComponents) {
        return match ours {
            Ok(body) => mounts_hold(config, &body, checks),
            Err(message) => checks.differs(format!(
                "refused at {target}, although every path can be said: {message}"
            )),
        };
    }
    checks.refused(
        &format!("at {target}"),
        error,
        ours.as_ref().err().map(String::as_str),
    );
}

/// Whether a LUKS volume is bound to a crypto express card.
fn sets_cex(config: &Value) -> bool {
    let luks = config.pointer("/storage/luks").and_then(Value::as_array);
    luks.into_iter()
        .flatten()
        .any(|volume| volume.pointer("/cex").is_some_and(|cex| !cex.is_null()))
}

/// Whether some path begins, as text, with the mount path of a file system.
fn below_a_mount_by_text(config: &Value) -> bool {
    let mounts: Vec<&str> = entries(config, "filesystems")
        .filter_map(|fs| fs["path"].as_str())
        .collect();
    let nodes = ["files", "directories", "links"]
        .into_iter()
        .flat_map(|list| entries(config, list));
    nodes
        .filter_map(|node| node["path"].as_str())
        .any(|path| mounts.iter().any(|mount| path.starts_with(mount)))
}

/// In the 2.2 body every path is absolute, and put behind the mount path of its file system it is a path of the original.
fn mounts_hold(config: &Value, body: &str, checks: &mut Checks<'_>) {
    let Ok(body) = serde_json::from_str::<Value>(body) else {
        return checks.differs("the 2.2 body is not JSON");
    };
    for list in ["files", "directories", "links"] {
        let originals: Vec<&str> = entries(config, list)
            .filter_map(|node| node["path"].as_str())
            .collect();
        for node in entries(&body, list) {
            let path = node["path"].as_str().unwrap_or_default();
            let mount = match node["filesystem"].as_str().unwrap_or_default() {
                "root" | "/" => "",
                name => name,
            };
            let whole = format!("{mount}{path}");
            if !path.starts_with('/') || !originals.contains(&whole.as_str()) {
                checks.differs(format!(
                    "{list}: {path} on the file system {mount:?} is no path of the original"
                ));
            }
        }
    }
}

fn entries<'a>(config: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    config
        .pointer(&format!("/storage/{list}"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}
