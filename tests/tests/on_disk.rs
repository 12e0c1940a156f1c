//! The vectors of actions and registries once more, by the daemon's own way: the old config is applied to a disk, and the daemon plans the
//! new one from what it finds there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use crds::machine_configuration::NodeDisruptionPolicyConfig;
use crds::{MachineConfig, MachineConfigSpec};
use daemon::converge::{Ending, Wanted, converge, foresee};
use daemon::journal::Purpose;
use daemon::node::Node;
use ignition::contents;
use machineconfig::plan::{Facts, Plan, plan};
use machineconfig::{Policy, RenderedConfig};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Cases that lead over a disk, at least; the others have an old config that no disk can have.
const LEAST: usize = 60;

/// The cases of a family, with the files they are from.
fn cases(family: &str) -> Result<Vec<(PathBuf, Value)>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(family);
    let mut cases = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        let case = serde_json::from_slice(&fs::read(&path)?).with_context(|| path.display().to_string())?;
        cases.push((path, case));
    }
    ensure!(!cases.is_empty(), "{} holds no case", dir.display());
    Ok(cases)
}

/// A node with the users of the vectors.
fn node() -> Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let root = if memory.is_dir() {
        tempfile::tempdir_in(memory)?
    } else {
        tempfile::tempdir()?
    };
    for directory in ["etc", "home/core", "run", "usr/lib/systemd/system"] {
        fs::create_dir_all(root.path().join(directory))?;
    }
    fs::write(
        root.path().join("etc/passwd"),
        "root:x:0:0::/root:/bin/sh\ncore:x:1000:1000::/home/core:/bin/sh\n",
    )?;
    fs::write(root.path().join("etc/group"), "root:x:0:\ncore:x:1000:\n")?;
    fs::write(
        root.path().join("etc/shadow"),
        "root:*:19000::::::\ncore:*:19000::::::\n",
    )?;
    Ok(root)
}

/// The plan of the daemon from the old config to the new one; nothing when no disk can have the old one.
fn by_the_daemon(old: &MachineConfig, new: &MachineConfig, policy: &Policy) -> Result<Option<Plan>> {
    let root = node()?;
    let open = || Node::open(root.path()).map_err(|finding| anyhow::anyhow!("{finding:?}"));
    let wanted = |config: &MachineConfig| Wanted {
        config: config.clone(),
        policy,
        purpose: Purpose::Apply,
        diffs: None,
        only: None,
    };
    let node = open()?;
    let lock = node
        .lock("vectors")
        .map_err(|finding| anyhow::anyhow!("{finding:?}"))?;
    let Ok(report) = converge(&node, &lock, wanted(old)) else {
        return Ok(None);
    };
    if report.ending != Ending::Applied {
        return Ok(None);
    }
    drop(lock);
    match foresee(&node, wanted(new)) {
        Ok(report) => Ok(Some(report.plan)),
        Err(findings) => bail!("the daemon plans nothing: {findings:?}"),
    }
}

fn named(mut config: MachineConfig, name: &str) -> MachineConfig {
    config.metadata.name = Some(name.to_owned());
    config
}

#[test]
fn the_daemon_plans_from_the_disk_what_the_rules_plan_from_the_configs() -> Result<()> {
    let mut compared = 0;
    for (path, case) in cases("actions")? {
        let config = |side: &str| serde_json::from_value::<MachineConfig>(case["input"][side].clone());
        let (old, new) = (
            named(config("old")?, "rendered-old"),
            named(config("new")?, "rendered-new"),
        );
        let user: Option<NodeDisruptionPolicyConfig> =
            serde_json::from_value(case["input"]["nodeDisruptionPolicy"].clone())?;
        let policy = Policy::merge_unchecked(&user.unwrap_or_default());
        let parse =
            |config: &MachineConfig| RenderedConfig::from_machine_config(config).context("cannot be read");
        let ours = plan(&parse(&old)?, &parse(&new)?, &policy, &Facts::default());
        if let Some(theirs) = by_the_daemon(&old, &new, &policy)? {
            ensure!(
                theirs.actions == ours.actions,
                "{}: the daemon does {:?}, and the rules say {:?}",
                path.display(),
                theirs.actions,
                ours.actions
            );
            ensure!(
                theirs.drain == ours.drain,
                "{}: the daemon drains {:?}, and the rules say {:?}",
                path.display(),
                theirs.drain,
                ours.drain
            );
            ensure!(
                theirs.steps == ours.steps,
                "{}: the daemon's steps are {:#?}, and the rules' {:#?}",
                path.display(),
                theirs.steps,
                ours.steps
            );
            compared += 1;
        }
    }
    for (path, case) in cases("registries")? {
        let config = |side: &str| registries(&case["input"][side]);
        let (old, new) = (
            named(config("old"), "rendered-old"),
            named(config("new"), "rendered-new"),
        );
        let Some(drain) = case["expect"]["drain"].as_bool() else {
            continue;
        };
        if let Some(theirs) = by_the_daemon(&old, &new, &Policy::default())? {
            ensure!(
                theirs.drain.required == drain,
                "{}: the daemon says {:?}",
                path.display(),
                theirs.drain
            );
            compared += 1;
        }
    }
    println!("{compared} cases led over a disk");
    ensure!(compared >= LEAST, "only {compared} cases led over a disk");
    Ok(())
}

/// A config with this registries.conf, or none.
fn registries(contents: &Value) -> MachineConfig {
    let source = contents["text"]
        .as_str()
        .map(|text| contents::base64(text.as_bytes()));
    let source = source.or_else(|| contents["source"].as_str().map(str::to_owned));
    let file = |source| json!({"path": "/etc/containers/registries.conf", "overwrite": true, "contents": {"source": source, "compression": contents["compression"].as_str().unwrap_or_default()}});
    let files: Vec<Value> = source.map(file).into_iter().collect();
    let ignition = json!({"ignition": {"version": "3.4.0"}, "storage": {"files": files}});
    MachineConfig::new(
        "",
        MachineConfigSpec {
            config: Some(ignition),
            ..MachineConfigSpec::default()
        },
    )
}
