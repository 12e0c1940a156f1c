//! Drains that somebody holds up: a budget, and an admin.

use anyhow::{Result, ensure};
use e2e::cluster::product::annotation;
use serde_json::json;

use crate::scene::{Scene, file, message};
use crate::world::World;

/// Scenario 11: who blocks a drain is named, and when it is freed the drain goes on.
pub(crate) fn a_budget_that_blocks_is_named_until_it_is_freed(world: &World) -> Result<()> {
    Scene::begin(world, "budget", 1)?.play(|scene| {
        let node = &scene.nodes()[0];
        scene.run_pods(1)?;
        let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
        let budget = json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "budget-keeper"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "budget"}}},
        });
        scene.create(budgets, &budget)?;
        scene.wait("the budget to be counted", || {
            let budget = scene.world().api().get(&format!("{budgets}/budget-keeper"))?;
            Ok((budget["status"]["currentHealthy"] == 1).then_some(()))
        })?;
        let before = scene.target()?;
        scene.apply_config("drain", &file("/etc/policy/drain", "budget"))?;
        let target = scene.wait_rendered(&before)?;
        let mut said = String::new();
        scene
            .wait("the report of the node to name who blocks", || {
                message(&scene.report(node)?, "Drained").clone_into(&mut said);
                let words = ["MC8", "default/budget-", "ReplicaSet", "budget-keeper"];
                Ok(words.iter().all(|word| said.contains(word)).then_some(()))
            })
            .map_err(|error| error.context(format!("it says {said:?}")))?;
        scene.wait("the event that says so", || {
            let list = scene
                .world()
                .api()
                .get("/api/v1/events?fieldSelector=reason%3DDrainBlocked")?;
            let events = list["items"].as_array().into_iter().flatten();
            let mut of_node = events.filter(|event| event["involvedObject"]["name"] == node.as_str());
            Ok(of_node.next().map(drop))
        })?;
        ensure!(
            annotation(&scene.node(node)?, "currentConfig") == before,
            "it went on with a pod on it"
        );
        scene.world().api().delete(&format!("{budgets}/budget-keeper"))?;
        ensure!(scene.wait_updated()? == target, "it was rendered anew");
        ensure!(
            scene.node(node)?["spec"]["unschedulable"].is_null(),
            "the node is still cordoned"
        );
        scene.wait_pods(1)
    })
}

/// Scenario 12: a node that an admin has cordoned is left alone, others go on, and its cordon is not undone.
pub(crate) fn an_admins_cordon_is_respected(world: &World) -> Result<()> {
    Scene::begin_with(world, "cordoned", 2, &json!({"maxUnavailable": 2}))?.play(|scene| {
        let [cordoned, other] = [&scene.nodes()[0], &scene.nodes()[1]];
        let before = scene.target()?;
        scene.cordon(cordoned, true)?;
        let nodes = scene.watch_nodes()?;
        scene.apply_config("drain", &file("/etc/policy/drain", "cordoned"))?;
        let target = scene.wait_rendered(&before)?;
        scene.wait("the other node to be updated", || {
            let node = scene.node(other)?;
            let is_done =
                annotation(&node, "currentConfig") == target && node["spec"]["unschedulable"].is_null();
            Ok(is_done.then_some(()))
        })?;
        scene.wait("the pool to say why it waits", || {
            let pool = scene.pool()?;
            let said = message(&pool, "Updating");
            Ok((said.contains(cordoned.as_str()) && said.contains("cordoned")).then_some(()))
        })?;
        for seen in nodes
            .end()?
            .iter()
            .filter(|seen| seen["metadata"]["name"] == cordoned.as_str())
        {
            ensure!(
                annotation(seen, "desiredConfig") == before,
                "the cordoned node was told"
            );
            ensure!(
                seen["spec"]["unschedulable"] == true,
                "the admin's cordon was undone"
            );
        }
        scene.cordon(cordoned, false)?;
        scene.wait_updated()?;
        scene.wait("both nodes to take pods", || {
            let free =
                |name: &String| Ok::<_, anyhow::Error>(scene.node(name)?["spec"]["unschedulable"].is_null());
            Ok((free(cordoned)? && free(other)?).then_some(()))
        })
    })
}
