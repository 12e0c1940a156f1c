//! Which pool a node belongs to.

use anyhow::{Context, Result, ensure};
use e2e::cluster::product::{annotation, is_done};
use serde_json::{Value, json};

use crate::scene::{Scene, file};
use crate::world::World;

/// Scenario 7: a custom pool has all that the workers have; a node moves into it by a label, and back.
pub(crate) fn a_node_moves_into_a_custom_pool_and_back(world: &World) -> Result<()> {
    Scene::begin(world, "moved", 1)?.play(|scene| {
        let node = &scene.nodes()[0];
        let custom = scene.updated_by(|| scene.apply_config("none", &file("/etc/policy/none", "moved")))?;
        let sources = scene.pool()?["spec"]["configuration"]["source"].to_string();
        ensure!(
            sources.contains("00-worker"),
            "the pool has nothing of the workers: {sources}"
        );
        let before = scene.traces(node)?;
        // Out of it first: it was made in it.
        move_to(scene, node, &Value::Null, "rendered-worker-")?;
        ensure!(
            scene.read(node, "/etc/policy/none")?.is_none(),
            "the file of the custom pool is left"
        );
        ensure!(
            scene.read(node, "/etc/motd")?.is_some(),
            "the file of the workers is gone"
        );
        scene.wait("the pool to be without nodes", || {
            Ok((scene.pool()?["status"]["machineCount"] == 0).then_some(()))
        })?;
        move_to(scene, node, &json!(""), &custom)?;
        ensure!(scene.wait_updated()? == custom, "it was rendered anew");
        let contents = scene.read(node, "/etc/policy/none")?;
        ensure!(
            contents.as_deref() == Some("moved"),
            "the file of the custom pool is {contents:?}"
        );
        ensure!(
            scene.read(node, "/etc/motd")?.is_some(),
            "the file of the workers is gone"
        );
        let after = scene.traces(node)?;
        ensure!(
            after == before,
            "the node was disrupted: {before:?}, then {after:?}"
        );
        Ok(())
    })
}

/// Puts the label of the pool on a node, or takes it off, and waits until the node is done with another config.
fn move_to(scene: &Scene<'_>, node: &str, label: &Value, config: &str) -> Result<()> {
    let change = json!({"metadata": {"labels": {"node-role.kubernetes.io/moved": label}}});
    scene
        .world()
        .api()
        .merge(&format!("/api/v1/nodes/{node}"), &change)?;
    scene
        .wait(&format!("the node to be done with {config}"), || {
            let node = scene.node(node)?;
            Ok((is_done(&node) && annotation(&node, "currentConfig").starts_with(config)).then_some(()))
        })
        .context("a node was relabelled")
}
