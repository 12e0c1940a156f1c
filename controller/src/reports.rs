//! Keeps one MachineConfigNode for every node: which pool it is in and which config it is to have (MCO controller 9.6). Its status is
//! written by who does each step.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use crds::machine_config_node::NOT_YET_SET;
use crds::{MachineConfigNode, annotations};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, Preconditions};
use machineconfig::drain::report::Stage;
use serde_json::{Value, json};

use crate::api::{apply, is_conflict, is_missing};
use crate::caches::trim_report;
use crate::context::Context;
use crate::drain::report;
use crate::events::Teller;
use crate::queue::Next;

/// Whose fields these are.
const MANAGER: &str = "machine-config-controller-reports";
/// Nodes that are looked after at once.
pub(crate) const AT_ONCE: usize = 16;
/// The event about a node that nobody can tell the pool of.
const UNKNOWN_POOL: &str = "PoolUnknown";

/// Looks after the MachineConfigNode of one node.
pub(crate) async fn reconcile(context: &Context, name: String) -> Result<Next> {
    let known = context.caches.reports.get(&name);
    let Some(node) = context.caches.nodes.get(&name) else {
        if let Some(known) = known {
            remove(context, &name, &known).await?;
        }
        return Ok(Next::Done);
    };
    let place = context
        .caches
        .roster()
        .place_of(&name)
        .cloned()
        .unwrap_or_default();
    context.health.metrics.pool_alert(&name, place.ignored.is_some());
    match &place.refused {
        Some(finding) => {
            let text = finding.to_string();
            context.events.warning(Teller::Node, &*node, UNKNOWN_POOL, text);
        }
        None => context.events.passed(&*node, UNKNOWN_POOL),
    }
    let Some(fields) = fields(&node, place.pool.as_deref(), known.as_deref()) else {
        return Ok(Next::Done);
    };
    let written = apply(&context.api::<MachineConfigNode>(), MANAGER, &name, &fields)
        .await
        .with_context(|| format!("could not write MachineConfigNode/{name}"))?;
    context.health.metrics.wrote("MachineConfigNode");
    if known.is_none() {
        context
            .caches
            .reports
            .put(&name, Some(Arc::new(trim_report(written))));
        report(context, &node, &Stage::NotYet, Timestamp::now()).await;
    }
    Ok(Next::Done)
}

/// What is to be said of a node; none when that is said already.
fn fields(node: &Node, pool: Option<&str>, known: Option<&MachineConfigNode>) -> Option<Value> {
    let name = node.metadata.name.as_deref()?;
    let annotations = node.metadata.annotations.as_ref();
    let desired = annotations.and_then(|all| all.get(annotations::DESIRED_CONFIG));
    let desired = desired
        .filter(|name| !name.is_empty())
        .map_or(NOT_YET_SET, String::as_str);
    let pool = pool.unwrap_or(NOT_YET_SET);
    let is_said = known.is_some_and(|known| {
        let owners = known.metadata.owner_references.as_deref().unwrap_or_default();
        known.spec.pool.name == pool
            && known.spec.config_version.desired == desired
            && owners
                .iter()
                .any(|owner| Some(&owner.uid) == node.metadata.uid.as_ref())
    });
    (!is_said).then(|| {
        json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigNode",
            "metadata": {
                "name": name,
                "ownerReferences": [{
                    "apiVersion": "v1", "kind": "Node", "name": name, "uid": node.metadata.uid,
                }],
            },
            "spec": {"node": {"name": name}, "pool": {"name": pool}, "configVersion": {"desired": desired}},
        })
    })
}

/// Deletes the object of a node that is gone.
async fn remove(context: &Context, name: &str, known: &MachineConfigNode) -> Result<()> {
    let parameters = DeleteParams {
        preconditions: Some(Preconditions {
            uid: known.metadata.uid.clone(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match context.api::<MachineConfigNode>().delete(name, &parameters).await {
        Ok(_) => Ok(()),
        Err(error) if is_missing(&error) || is_conflict(&error) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("could not delete MachineConfigNode/{name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_written_when_pool_config_or_node_is_another() {
        let node = |desired: &str, uid: &str| -> Node {
            serde_json::from_value(json!({
                "metadata": {"name": "n", "uid": uid, "annotations": {annotations::DESIRED_CONFIG: desired}},
            }))
            .unwrap()
        };
        let first = fields(&node("", "u"), None, None).unwrap();
        assert_eq!(
            first["spec"],
            json!({"node": {"name": "n"}, "pool": {"name": NOT_YET_SET}, "configVersion": {"desired": NOT_YET_SET}})
        );
        let known = |fields: Value| -> MachineConfigNode { serde_json::from_value(fields).unwrap() };
        let known = known(fields(&node("c", "u"), Some("p"), None).unwrap());
        assert_eq!(fields(&node("c", "u"), Some("p"), Some(&known)), None);
        for (node, pool) in [
            (node("d", "u"), "p"),
            (node("c", "u"), "q"),
            (node("c", "v"), "p"),
        ] {
            assert!(fields(&node, Some(pool), Some(&known)).is_some());
        }
    }
}
