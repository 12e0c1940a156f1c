//! Objects that somebody deletes while they are in use: rendered configs, nodes and pools.

use anyhow::{Context as _, Result, ensure};
use e2e::cluster::product::{annotation, is_done};
use serde_json::{Value, json};

use crate::held::{allow_evictions, forbid_evictions, wait_held};
use crate::scene::{Scene, condition, file, text};
use crate::watched::most_away;
use crate::world::World;

/// A path that only the pool of a scene has.
const DRAIN: &str = "/etc/policy/drain";

/// Scenario 17: the config that nodes have and the one that they get are deleted, at rest and in the middle of a rollout.
pub(crate) fn a_rendered_config_that_is_deleted_in_use_is_restored(world: &World) -> Result<()> {
    Scene::begin(world, "restored", 2)?.play(|scene| {
        let old = scene.target()?;
        lost_and_found(scene, &old).context("at rest")?;
        ensure!(scene.wait_updated()? == old, "it was rendered anew");
        let nodes = scene.watch_nodes()?;
        scene.apply_config("drain", &file(DRAIN, "restored"))?;
        let new = scene.wait_rendered(&old)?;
        let told = scene.wait("the first node to be told", || {
            let nodes = scene.nodes().iter().map(|node| scene.node(node));
            let nodes = nodes.collect::<Result<Vec<_>>>()?;
            Ok(nodes
                .into_iter()
                .find(|node| annotation(node, "desiredConfig") == new))
        })?;
        ensure!(
            !is_done(&told),
            "the first node was done before anything was deleted"
        );
        lost_and_found(scene, &new).context("the new one in a rollout")?;
        lost_and_found(scene, &old).context("the old one in a rollout")?;
        ensure!(scene.wait_updated()? == new, "it was rendered anew");
        for node in scene.nodes() {
            let found = scene.read(node, DRAIN)?;
            ensure!(found.as_deref() == Some("restored"), "node {node} has {found:?}");
        }
        let nodes = nodes.end()?;
        ensure!(
            most_away(&nodes) == 1,
            "{} nodes were away at once",
            most_away(&nodes)
        );
        let degraded = nodes.iter().find(|node| annotation(node, "state") == "Degraded");
        ensure!(
            degraded.is_none(),
            "a node was degraded: {}",
            annotation(degraded.unwrap_or(&Value::Null), "reason")
        );
        Ok(())
    })
}

/// Deletes a rendered config, and waits until there is another one that says the same.
fn lost_and_found(scene: &Scene<'_>, name: &str) -> Result<()> {
    let (api, path) = (scene.world().api(), World::config_path(name));
    let before = api.get(&path)?;
    api.delete(&path)?;
    let after = scene.wait("a rendered config to be restored", || {
        let found = api.find(&path)?;
        Ok(found.filter(|found| found["metadata"]["uid"] != before["metadata"]["uid"]))
    })?;
    ensure!(
        after["spec"] == before["spec"],
        "{name} was restored as something else: {}",
        after["spec"]
    );
    ensure!(
        after["metadata"]["ownerReferences"] == before["metadata"]["ownerReferences"],
        "{name} was restored for another pool"
    );
    Ok(())
}

/// Scenario 15, nodes: one is deleted while it is drained. The others are updated; when it comes back it is, too.
pub(crate) fn a_node_that_is_deleted_holds_up_nobody_and_is_updated_when_it_returns(
    world: &World,
) -> Result<()> {
    let two = json!({"maxUnavailable": 2});
    Scene::begin_with(world, "deleted", 3, &two)?.play(|scene| {
        scene.run_pods(1)?;
        let before = scene.target()?;
        forbid_evictions(scene)?;
        let nodes = scene.watch_nodes()?;
        scene.apply_config("drain", &file(DRAIN, "deleted"))?;
        let target = scene.wait_rendered(&before)?;
        let node = wait_held(scene)?;
        let path = format!("/api/v1/nodes/{node}");
        let labels = scene.node(&node)?["metadata"]["labels"].clone();
        world.api().delete(&path)?;
        allow_evictions(scene)?;
        let others = || scene.nodes().iter().filter(|other| **other != node);
        scene.wait("the other nodes to be updated", || {
            all_have(scene, others(), &target)
        })?;
        scene.wait("the pool to be without it", || {
            let status = scene.pool()?["status"].clone();
            let counts = ["machineCount", "updatedMachineCount"];
            Ok(counts.iter().all(|count| status[*count] == 2).then_some(()))
        })?;
        ensure!(world.api().find(&path)?.is_none(), "the node came back by itself");
        // A kubelet makes itself known when it starts.
        scene.succeed(&node, &["systemctl", "restart", "kubelet.service"])?;
        world.wait_ready(&node)?;
        let roles = labels.as_object().into_iter().flatten();
        let roles: serde_json::Map<_, _> = roles
            .filter(|(key, _)| key.starts_with("node-role.kubernetes.io/"))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        world
            .api()
            .merge(&path, &json!({"metadata": {"labels": roles}}))?;
        ensure!(scene.wait_updated()? == target, "it was rendered anew");
        scene.wait("all nodes to be updated and to take pods", || {
            all_have(scene, scene.nodes().iter(), &target)
        })?;
        let found = scene.read(&node, DRAIN)?;
        ensure!(found.as_deref() == Some("deleted"), "node {node} has {found:?}");
        let nodes = nodes.end()?;
        ensure!(
            most_away(&nodes) <= 2,
            "{} nodes were away at once",
            most_away(&nodes)
        );
        scene.wait_pods(1)
    })
}

/// Scenario 15, pools: it is deleted while one of its nodes is drained. Its nodes are the workers' then, and get the workers' config.
pub(crate) fn the_nodes_of_a_pool_that_is_deleted_become_workers(world: &World) -> Result<()> {
    Scene::begin(world, "dissolved", 2)?
        .play(|scene| {
            scene.run_pods(2)?;
            scene.updated_by(|| scene.apply_config("none", &file("/etc/policy/none", "dissolved")))?;
            let before = scene.target()?;
            forbid_evictions(scene)?;
            scene.apply_config("drain", &file(DRAIN, "dissolved"))?;
            scene.wait_rendered(&before)?;
            wait_held(scene)?;
            world.api().delete(&World::pool_path("dissolved"))?;
            let worker = world.api().get(&World::pool_path("worker"))?;
            let target = text(&worker["spec"]["configuration"]["name"]).to_owned();
            ensure!(!target.is_empty(), "the workers have no config");
            allow_evictions(scene)?;
            scene.wait("both nodes to have the config of the workers", || {
                all_have(scene, scene.nodes().iter(), &target)
            })?;
            for node in scene.nodes() {
                for path in [DRAIN, "/etc/policy/none"] {
                    let found = scene.read(node, path)?;
                    ensure!(found.is_none(), "node {node} still has {path}: {found:?}");
                }
            }
            scene.wait("the rendered configs of the pool to be gone", || {
                Ok(world
                    .api()
                    .find(&World::config_path(&before))?
                    .is_none()
                    .then_some(()))
            })?;
            scene.wait("the pool of the workers to be well", || {
                let worker = world.api().get(&World::pool_path("worker"))?;
                Ok((condition(&worker, "Degraded") == "False").then_some(()))
            })?;
            scene.wait_pods(2)
        })
        .map_err(|error| match world.api().get(&World::pool_path("worker")) {
            Ok(worker) => error.context(format!("pool worker says {}", worker["status"]["conditions"])),
            Err(_) => error,
        })
}

/// Whether nodes are done with a config, and take pods.
fn all_have<'n>(
    scene: &Scene<'_>,
    nodes: impl Iterator<Item = &'n String>,
    target: &str,
) -> Result<Option<()>> {
    for node in nodes {
        let node = scene.node(node)?;
        let has = is_done(&node) && annotation(&node, "currentConfig") == target;
        if !has || node["spec"]["unschedulable"] == true {
            return Ok(None);
        }
    }
    Ok(Some(()))
}
