//! Updates: which nodes, when, and with how much disruption.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use e2e::cluster::product::{annotation, is_done};
use serde_json::Value;

use crate::scene::{Scene, condition, file, text};
use crate::watched::{most_away, turns};
use crate::world::World;

/// Scenario 1: a file without a policy entry.
pub(crate) fn a_file_change_reboots_one_node_at_a_time(world: &World) -> Result<()> {
    Scene::begin(world, "file-reboot", 2)?.play(|scene| {
        scene.run_pods(1)?;
        let boots: BTreeMap<&str, String> = scene
            .nodes()
            .iter()
            .map(|node| Ok((node.as_str(), scene.boot(node)?)))
            .collect::<Result<_>>()?;
        let (nodes, pool, pods) = (scene.watch_nodes()?, scene.watch_pool()?, scene.watch_pods()?);
        let target = scene.updated_by(|| scene.apply_config("file", &file("/etc/file-reboot", "1")))?;
        scene.wait_pods(1)?;
        let (nodes, pool, pods) = (nodes.end()?, pool.end()?, pods.end()?);
        ensure!(
            most_away(&nodes) == 1,
            "{} nodes were away at once",
            most_away(&nodes)
        );
        ensure!(
            turns(&nodes).len() == 2,
            "these had their turns: {:?}",
            turns(&nodes)
        );
        for (node, boot) in &boots {
            ensure!(scene.boot(node)? != *boot, "node {node} was not rebooted");
            let contents = scene.read(node, "/etc/file-reboot")?;
            ensure!(contents.as_deref() == Some("1"), "node {node} has {contents:?}");
            let of_node: Vec<&Value> = nodes
                .iter()
                .filter(|seen| seen["metadata"]["name"] == *node)
                .collect();
            cordoned_rebooted_and_done(&of_node, boot, &target).with_context(|| format!("node {node}"))?;
        }
        ensure!(
            pods.iter().any(is_evicted),
            "no pod was evicted, though the node that it ran on was rebooted"
        );
        passes_through_updating(&pool)
    })
}

/// A node is cordoned in its old boot, done in another one only, and given back.
fn cordoned_rebooted_and_done(seen: &[&Value], boot: &str, target: &str) -> Result<()> {
    let boot_of = |node: &Value| text(&node["status"]["nodeInfo"]["bootID"]).to_owned();
    let cordoned = seen.iter().position(|node| node["spec"]["unschedulable"] == true);
    let cordoned = cordoned.context("it was never cordoned")?;
    ensure!(
        boot_of(seen[cordoned]) == boot,
        "it was cordoned after its reboot"
    );
    let working = seen
        .iter()
        .position(|node| annotation(node, "state") == "Working");
    ensure!(
        working.is_some_and(|working| working <= cordoned),
        "it was cordoned before it worked"
    );
    let done = seen
        .iter()
        .find(|node| is_done(node) && annotation(node, "currentConfig") == target);
    // The kubelet tells of another boot before the daemon runs in it.
    ensure!(
        boot_of(done.context("it was never done")?) != boot,
        "it was done in its old boot"
    );
    let last = seen.last().context("it was never seen")?;
    ensure!(last["spec"]["unschedulable"].is_null(), "it is still cordoned");
    let taints = last["spec"]["taints"].to_string();
    ensure!(
        !taints.contains("UpdateInProgress"),
        "it is still tainted: {taints}"
    );
    Ok(())
}

/// Whether a pod goes because its eviction was asked for.
fn is_evicted(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| {
        condition["type"] == "DisruptionTarget" && condition["reason"] == "EvictionByEvictionAPI"
    })
}

/// A pool is Updated, then Updating and not Updated, then Updated and nothing else; it is Degraded never.
fn passes_through_updating(seen: &[Value]) -> Result<()> {
    let mut passed: Vec<(&str, &str)> = Vec::new();
    for pool in seen {
        ensure!(
            condition(pool, "Degraded") != "True",
            "the pool was degraded: {}",
            pool["status"]
        );
        let now = (condition(pool, "Updated"), condition(pool, "Updating"));
        if passed.last() != Some(&now) {
            passed.push(now);
        }
    }
    ensure!(
        passed == [("True", "False"), ("False", "True"), ("True", "False")],
        "Updated and Updating were {passed:?}"
    );
    Ok(())
}

/// Scenario 2: the same file under each policy, where exactly that happens.
pub(crate) fn each_policy_does_exactly_what_it_says(world: &World) -> Result<()> {
    Scene::begin(world, "policies", 1)?.play(|scene| {
        let node = &scene.nodes()[0];
        scene.wait("the probe to run", || {
            Ok((!scene.traces(node)?.probe.is_empty()).then_some(()))
        })?;
        for policy in ["none", "restart", "reload", "drain", "daemon-reload"] {
            let before = scene.traces(node)?;
            let path = format!("/etc/policy/{policy}");
            let target = scene.updated_by(|| scene.apply_config(policy, &file(&path, policy)))?;
            let contents = scene.read(node, &path)?;
            ensure!(
                contents.as_deref() == Some(policy),
                "{policy}: the node has {contents:?}"
            );
            let after = scene.traces(node)?;
            let mut expected = before.clone();
            match policy {
                "restart" => {
                    ensure!(
                        after.probe != before.probe,
                        "restart: the probe still runs as {}",
                        after.probe
                    );
                    expected.probe.clone_from(&after.probe);
                }
                "reload" => expected.reloads += 1,
                "drain" => expected.drain = format!("uncordon-{target}"),
                "daemon-reload" => {
                    ensure!(
                        after.units_read != before.units_read,
                        "daemon-reload: units were not read anew"
                    );
                    expected.units_read.clone_from(&after.units_read);
                }
                _ => {}
            }
            ensure!(
                after == expected,
                "{policy}: expected {expected:?}, found {after:?}"
            );
        }
        Ok(())
    })
}

/// Scenario 5: as a number and in percent, rounded down by the reference's rule.
pub(crate) fn two_of_five_are_never_exceeded(world: &World) -> Result<()> {
    let two = serde_json::json!({"maxUnavailable": 2});
    Scene::begin_with(world, "two-of-five", 5, &two)?.play(|scene| {
        for (round, limit) in [("number", None), ("percent", Some("40%"))] {
            if let Some(limit) = limit {
                scene.change_pool(&serde_json::json!({"maxUnavailable": limit}))?;
            }
            let nodes = scene.watch_nodes()?;
            scene.updated_by(|| scene.apply_config("drain", &file("/etc/policy/drain", round)))?;
            let nodes = nodes.end()?;
            ensure!(
                most_away(&nodes) == 2,
                "{round}: {} nodes were away at once",
                most_away(&nodes)
            );
            ensure!(
                turns(&nodes).len() == 5,
                "{round}: these had their turns: {:?}",
                turns(&nodes)
            );
        }
        Ok(())
    })
}
