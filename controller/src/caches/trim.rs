//! What is kept of an object: what a rule reads, and no more.

use crds::{MachineConfigNode, annotations};
use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeSpec, NodeStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Conditions of a node that the rules read.
const CONDITIONS: [&str; 3] = ["Ready", "DiskPressure", "NetworkUnavailable"];

/// A node without what nobody reads, which is nine tenths of it: images, addresses, capacities, heartbeats.
pub(crate) fn trim_node(node: Node) -> Node {
    let Node {
        metadata,
        spec,
        status,
    } = node;
    let ObjectMeta {
        name,
        uid,
        resource_version,
        creation_timestamp,
        deletion_timestamp,
        labels,
        annotations,
        ..
    } = metadata;
    let mut annotations = annotations.unwrap_or_default();
    annotations
        .retain(|key, _| key.starts_with(annotations::PREFIX) || key.starts_with(annotations::OWN_PREFIX));
    let spec = spec.map(|spec| NodeSpec {
        taints: spec.taints,
        unschedulable: spec.unschedulable,
        ..NodeSpec::default()
    });
    let conditions = status.and_then(|status| status.conditions).unwrap_or_default();
    let conditions = conditions
        .into_iter()
        .filter(|condition| CONDITIONS.contains(&condition.type_.as_str()))
        .map(|condition| NodeCondition {
            type_: condition.type_,
            status: condition.status,
            last_transition_time: condition.last_transition_time,
            ..NodeCondition::default()
        });
    Node {
        metadata: ObjectMeta {
            name,
            uid,
            resource_version,
            creation_timestamp,
            deletion_timestamp,
            labels,
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec,
        status: Some(NodeStatus {
            conditions: Some(conditions.collect()),
            ..NodeStatus::default()
        }),
    }
}

/// Whether two trimmed nodes say the same: most changes of a node are heartbeats.
pub(crate) fn is_same_node(a: &Node, b: &Node) -> bool {
    a.metadata.uid == b.metadata.uid
        && a.metadata.labels == b.metadata.labels
        && a.metadata.annotations == b.metadata.annotations
        && a.metadata.deletion_timestamp == b.metadata.deletion_timestamp
        && a.spec == b.spec
        && a.status == b.status
}

/// A MachineConfigNode without who wrote which of its fields.
pub(crate) fn trim_report(mut report: MachineConfigNode) -> MachineConfigNode {
    report.metadata.managed_fields = None;
    report
}

#[cfg(test)]
mod tests {
    use machineconfig::pool::NodeView;
    use serde_json::{Value, json};

    use super::*;

    fn node(heartbeat: &str, ready: &str) -> Node {
        serde_json::from_value::<Node>(json!({
            "metadata": {
                "name": "n", "uid": "u", "resourceVersion": heartbeat, "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"a": "b", annotations::ZONE: "z"},
                "annotations": {annotations::STATE: "Done", annotations::DRAIN: "{}", "example.com/big": "x".repeat(1000)},
                "managedFields": [{"manager": "kubelet"}],
            },
            "spec": {"podCIDR": "10.0.0.0/24", "unschedulable": true, "taints": [{"key": "k", "effect": "NoSchedule"}]},
            "status": {
                "images": [{"names": ["example.com/image"], "sizeBytes": 1}],
                "conditions": [
                    {"type": "Ready", "status": ready, "lastHeartbeatTime": "2026-01-01T00:00:00Z", "reason": heartbeat},
                    {"type": "MemoryPressure", "status": "False"},
                ],
            },
        }))
        .unwrap()
    }

    #[test]
    fn the_rules_see_the_same_in_what_is_kept() {
        let whole = node("1", "False");
        let kept = trim_node(whole.clone());
        let text = |node: &Node| format!("{:?}", NodeView::of(node));
        assert_eq!(text(&whole), text(&kept));
        assert_eq!(kept.metadata.labels, whole.metadata.labels);
        let kept: Value = serde_json::to_value(kept).unwrap();
        for gone in [
            "images",
            "MemoryPressure",
            "example.com/big",
            "managedFields",
            "podCIDR",
            "lastHeartbeatTime",
        ] {
            assert!(!kept.to_string().contains(gone), "{gone} is kept: {kept}");
        }
    }

    #[test]
    fn a_heartbeat_is_no_change_and_a_condition_is() {
        let before = trim_node(node("1", "True"));
        assert!(is_same_node(&before, &trim_node(node("2", "True"))));
        assert!(!is_same_node(&before, &trim_node(node("3", "False"))));
    }
}
