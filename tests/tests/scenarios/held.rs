//! Drains that last as long as a scenario wants: nothing may be evicted until it says so.

use anyhow::Result;
use serde_json::json;

use crate::scene::{Scene, message};

/// What forbids evictions.
const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";

/// Forbids that the pods of the scene are evicted, so that a drain lasts until that is allowed.
pub(crate) fn forbid_evictions(scene: &Scene<'_>) -> Result<()> {
    let name = budget_of(scene);
    let app = name.trim_end_matches("-keeper");
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": app}}},
    });
    scene.create(BUDGETS, &budget)
}

/// Allows it again.
pub(crate) fn allow_evictions(scene: &Scene<'_>) -> Result<()> {
    scene
        .world()
        .api()
        .delete(&format!("{BUDGETS}/{}", budget_of(scene)))
}

fn budget_of(scene: &Scene<'_>) -> String {
    let node = scene.nodes().first().map(String::as_str).unwrap_or_default();
    let (name, _) = node.rsplit_once('-').unwrap_or((node, ""));
    format!("{name}-keeper")
}

/// Waits until the drain of a node is held up. The result is that node.
pub(crate) fn wait_held(scene: &Scene<'_>) -> Result<String> {
    let budget = budget_of(scene);
    scene.wait("a drain to be held up", || {
        for node in scene.nodes() {
            if message(&scene.report(node)?, "Drained").contains(&budget) {
                return Ok(Some(node.clone()));
            }
        }
        Ok(None)
    })
}
