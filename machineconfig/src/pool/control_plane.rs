//! What nodes of the control plane are labelled and tainted with (MCO controller 3.4), so that they take work of others or do not.

use k8s_openapi::api::core::v1::{Node, Taint};
use serde_json::{Map, Value, json};

/// Says that a node is of the control plane, in the words of old.
const MASTER: &str = "node-role.kubernetes.io/master";
/// Says so in the words of today.
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
/// Says that a node takes work.
const WORKER: &str = "node-role.kubernetes.io/worker";
/// Keeps pods away that do not ask for it.
const NO_SCHEDULE: &str = "NoSchedule";

/// The JSON merge patch by which a node of the role master gets what it is to have; none when it has it, or has not that role. `schedulable` is
/// what the cluster's Scheduler says of masters; none where there is none, and then nothing is changed about that.
#[must_use]
pub fn upkeep(node: &Node, schedulable: Option<bool>) -> Option<Value> {
    let labels = node.metadata.labels.as_ref();
    let has = |label: &str| labels.is_some_and(|labels| labels.contains_key(label));
    if !has(MASTER) {
        return None;
    }
    let mut patch = Map::new();
    if !has(CONTROL_PLANE) {
        patch.insert(CONTROL_PLANE.to_owned(), json!(""));
    }
    match schedulable {
        Some(true) if !has(WORKER) => {
            patch.insert(WORKER.to_owned(), json!(""));
        }
        Some(false) if has(WORKER) => {
            patch.insert(WORKER.to_owned(), Value::Null);
        }
        Some(true | false) | None => {}
    }
    let taints = schedulable.and_then(|schedulable| taints(node, schedulable));
    if patch.is_empty() && taints.is_none() {
        return None;
    }
    let mut whole = json!({"metadata": {"resourceVersion": node.metadata.resource_version}});
    if !patch.is_empty() {
        whole["metadata"]["labels"] = Value::Object(patch);
    }
    if let Some(taints) = taints {
        whole["spec"] = json!({ "taints": taints });
    }
    Some(whole)
}

/// All taints, when they change. Of the two that keep work away, both go and the old one comes, as with the reference.
fn taints(node: &Node, schedulable: bool) -> Option<Vec<Taint>> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref());
    let taints = taints.unwrap_or_default();
    let keeps_away =
        |taint: &Taint, keys: &[&str]| taint.effect == NO_SCHEDULE && keys.contains(&taint.key.as_str());
    if schedulable {
        let rest = taints
            .iter()
            .filter(|taint| !keeps_away(taint, &[MASTER, CONTROL_PLANE]));
        let rest: Vec<_> = rest.cloned().collect();
        return (rest.len() < taints.len()).then_some(rest);
    }
    if taints.iter().any(|taint| keeps_away(taint, &[MASTER])) {
        return None;
    }
    let mut taints = taints.to_vec();
    taints.push(Taint {
        key: MASTER.to_owned(),
        effect: NO_SCHEDULE.to_owned(),
        ..Taint::default()
    });
    Some(taints)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(labels: &[&str], taints: &[(&str, &str)]) -> Node {
        let labels: Map<String, Value> = labels
            .iter()
            .map(|label| ((*label).to_owned(), json!("")))
            .collect();
        let taints: Vec<_> = taints
            .iter()
            .map(|(key, effect)| json!({"key": key, "effect": effect}))
            .collect();
        serde_json::from_value(json!({
            "metadata": {"name": "n", "resourceVersion": "7", "labels": labels}, "spec": {"taints": taints},
        }))
        .unwrap()
    }

    fn patch(labels: &Value, taints: &Value) -> Value {
        let mut patch = json!({"metadata": {"resourceVersion": "7"}});
        if !labels.is_null() {
            patch["metadata"]["labels"] = labels.clone();
        }
        if !taints.is_null() {
            patch["spec"] = json!({ "taints": taints });
        }
        patch
    }

    #[test]
    fn masters_take_work_as_the_scheduler_says_and_others_are_left_alone() {
        let away = (MASTER, NO_SCHEDULE);
        let other = ("example.com/x", NO_SCHEDULE);
        let both = [(CONTROL_PLANE, NO_SCHEDULE), other, away];
        let nothing = Value::Null;
        let taint = |(key, effect): (&str, &str)| json!({"key": key, "effect": effect});
        for (node, schedulable, expected) in [
            (node(&[WORKER], &[]), Some(false), None),
            (node(&[CONTROL_PLANE], &[]), Some(true), None),
            (
                node(&[MASTER], &[]),
                None,
                Some(patch(&json!({CONTROL_PLANE: ""}), &nothing)),
            ),
            (node(&[MASTER, CONTROL_PLANE], &[]), None, None),
            (
                node(&[MASTER, CONTROL_PLANE], &both),
                Some(true),
                Some(patch(&json!({WORKER: ""}), &json!([taint(other)]))),
            ),
            (node(&[MASTER, CONTROL_PLANE, WORKER], &[other]), Some(true), None),
            (
                node(&[MASTER, CONTROL_PLANE, WORKER], &[other]),
                Some(false),
                Some(patch(&json!({WORKER: null}), &json!([taint(other), taint(away)]))),
            ),
            (node(&[MASTER, CONTROL_PLANE], &[away]), Some(false), None),
            // A taint of that name with another effect is somebody else's.
            (
                node(&[MASTER, CONTROL_PLANE], &[(MASTER, "PreferNoSchedule")]),
                Some(false),
                Some(patch(
                    &nothing,
                    &json!([taint((MASTER, "PreferNoSchedule")), taint(away)]),
                )),
            ),
        ] {
            assert_eq!(upkeep(&node, schedulable), expected, "{node:?} {schedulable:?}");
        }
    }
}
