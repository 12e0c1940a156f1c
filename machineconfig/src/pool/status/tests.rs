//! What the vectors do not hold: times, texts, and what others have written.

use crds::annotations;
use crds::condition::PlainCondition;
use serde_json::{Value, json};

use super::*;

#[expect(clippy::needless_pass_by_value, reason = "the callers make it in place")]
fn pool(spec: Value) -> MachineConfigPool {
    let mut full = json!({"configuration": {"name": "rendered-p-2"}});
    full.as_object_mut()
        .unwrap()
        .extend(spec.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool",
        "metadata": {"name": "p", "generation": 4}, "spec": full,
    }))
    .unwrap()
}

fn node(name: &str, [current, desired, state, reason]: [&str; 4], ready: &str) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": name, "annotations": {
            annotations::CURRENT_CONFIG: current, annotations::DESIRED_CONFIG: desired,
            annotations::STATE: state, annotations::REASON: reason,
        }},
        "status": {"conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T10:00:00Z"}]},
    }))
    .unwrap()
}

const NEW: [&str; 4] = ["rendered-p-2", "rendered-p-2", "Done", ""];
const OLD: [&str; 4] = ["rendered-p-1", "rendered-p-1", "Done", ""];
const FAILED: [&str; 4] = ["rendered-p-1", "rendered-p-2", "Degraded", "disk full"];

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn of(pool: &MachineConfigPool, nodes: &[Node], second: i64) -> MachineConfigPoolStatus {
    let nodes: Vec<&Node> = nodes.iter().collect();
    status(pool, &nodes, &[], Counting::Annotations, at(second))
}

fn condition(status: &MachineConfigPoolStatus, kind: Kind) -> PlainCondition {
    let found = status.conditions.iter().find(|c| c.type_ == kind.name());
    found.unwrap().clone()
}

#[test]
fn a_condition_keeps_its_time_while_it_says_the_same() {
    let mut pool = pool(json!({}));
    let two = |second: [&str; 4]| [node("a", NEW, "True"), node("b", second, "True")];
    let time = |status: &MachineConfigPoolStatus, kind| {
        condition(status, kind)
            .last_transition_time
            .unwrap()
            .0
            .as_second()
    };
    let first = of(&pool, &two(OLD), 1);
    pool.status = Some(first.clone());
    assert_eq!(of(&pool, &two(OLD), 2), first, "nothing to write");
    let failed = of(&pool, &two(FAILED), 3);
    assert_eq!(
        (time(&failed, Kind::Updating), time(&failed, Kind::Degraded)),
        (1, 3)
    );
    assert_ne!(
        condition(&failed, Kind::Updating).message,
        condition(&first, Kind::Updating).message
    );
    pool.status = Some(failed);
    let done = of(&pool, &two(NEW), 4);
    assert_eq!((time(&done, Kind::Updating), time(&done, Kind::Updated)), (4, 4));
    assert_eq!(completed(pool.status.as_ref(), &done), Some("rendered-p-2"));
    assert_eq!(completed(Some(&done), &done), None);
}

#[test]
fn messages_name_the_nodes_the_times_and_what_to_do() {
    let mut pool = pool(json!({}));
    let reservations =
        json!([{"id": "p/1", "target": "rendered-p-2", "since": "2026-01-01T09:00:00Z", "nodes": ["c"]}]);
    pool.metadata.annotations =
        Some([(annotations::RESERVATIONS.to_owned(), reservations.to_string())].into());
    let busy = ["rendered-p-1", "rendered-p-2", "Rebooting", ""];
    let nodes = [
        node("a", NEW, "True"),
        node("b", FAILED, "True"),
        node("c", busy, "False"),
        node("d", OLD, "True"),
    ];
    let status = of(&pool, &nodes, 0);
    let texts: Vec<_> = status
        .conditions
        .iter()
        .map(|c| format!("{} {} {}: {}", c.type_, c.status, c.reason, c.message))
        .collect();
    insta::assert_snapshot!(texts.join("\n"), @r#"
    Updated False : 
    Updating True : 1 of 4 nodes have MachineConfig rendered-p-2, the others are led to it. b failed to go to rendered-p-2 (Degraded): "disk full"; c is being updated to rendered-p-2 since 2026-01-01T09:00:00Z (Rebooting), is not Ready since 2026-01-01T10:00:00Z. Mend what the node reports, or take the MachineConfig back: the node is then led to the next config by itself.
    NodeDegraded True 1 nodes are reporting degraded status on sync: node b is degraded and reports "disk full". Mend what is reported, or take the MachineConfig back: a node whose update failed is led to the next config by itself.
    machine-config.io/Available False NodesUnavailable: 1 of 4 nodes take no work: c is not Ready since 2026-01-01T10:00:00Z. See kubectl describe node; a node that will not come back is to be deleted.
    Degraded True : node b is degraded and reports "disk full". Mend what is reported, or take the MachineConfig back: a node whose update failed is led to the next config by itself.
    "#);
}

#[test]
fn a_paused_pool_says_so_and_does_not_claim_to_update() {
    let status = of(&pool(json!({"paused": true})), &[node("a", OLD, "True")], 0);
    let updating = condition(&status, Kind::Updating);
    assert_eq!(updating.status, "False");
    assert!(
        updating.message.contains("paused") && updating.message.contains("rendered-p-2"),
        "{}",
        updating.message
    );
    assert_eq!(condition(&status, Kind::Updated).status, "False");
}

#[test]
fn a_pool_that_was_never_rendered_is_not_updated() {
    let status = of(&pool(json!({"configuration": {}})), &[], 0);
    assert_eq!(condition(&status, Kind::Updated).status, "False");
    assert_eq!(condition(&status, Kind::Updating).status, "False");
}

#[test]
fn a_node_that_is_away_is_told_apart_from_its_config() {
    let status = of(
        &pool(json!({})),
        &[node("a", NEW, "Unknown"), node("b", NEW, "True")],
        0,
    );
    assert_eq!((status.updated_machine_count, status.ready_machine_count), (2, 1));
    assert_eq!(condition(&status, Kind::Degraded).status, "False");
    let available = condition(&status, Kind::Available);
    assert_eq!(
        (available.status.as_str(), available.reason.as_str()),
        ("False", "NodesUnavailable")
    );
    assert!(available.message.contains("1 of 2") && available.message.contains("a is not Ready since 2026"));
    // A config that fails, on a node that works, is none of its business.
    let status = of(&pool(json!({})), &[node("a", FAILED, "True")], 0);
    assert_eq!(condition(&status, Kind::Available).status, "True");
    assert_eq!(condition(&status, Kind::Degraded).status, "True");
}

#[test]
fn what_others_wrote_stays_and_a_refused_rendering_degrades_the_pool() {
    let mut pool = pool(json!({}));
    let mut before = MachineConfigPoolStatus {
        conditions: vec![PlainCondition {
            type_: "Theirs".into(),
            status: "True".into(),
            ..PlainCondition::default()
        }],
        cert_expirys: serde_json::from_value(json!([{"bundle": "b", "subject": "s"}])).unwrap(),
        ..MachineConfigPoolStatus::default()
    };
    let refusal = crate::Finding::error(
        crate::Code::KERNEL_TYPE,
        "MachineConfig/50-x",
        "spec.kernelType",
        "\"slow\"",
    );
    set(&mut before.conditions, Verdict::of_render(Err(&[refusal])), at(1));
    pool.status = Some(before.clone());
    let after = of(&pool, &[node("a", NEW, "True")], 2);
    assert_eq!(after.conditions[..2], before.conditions[..]);
    assert_eq!(after.cert_expirys, before.cert_expirys);
    assert_eq!(after.observed_generation, Some(4));
    let degraded = condition(&after, Kind::Degraded);
    assert_eq!(degraded.status, "True");
    assert!(
        degraded.message.contains("MachineConfig/50-x spec.kernelType"),
        "{}",
        degraded.message
    );
    pool.status = Some(after);
    let mut healed = pool.status.clone().unwrap();
    set(&mut healed.conditions, Verdict::of_render(Ok(())), at(3));
    pool.status = Some(healed);
    assert_eq!(
        condition(&of(&pool, &[node("a", NEW, "True")], 4), Kind::Degraded).status,
        "False"
    );
}

#[test]
fn a_degraded_node_is_named_once_with_all_that_is_said_of_it() {
    let report: MachineConfigNode = serde_json::from_value(json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigNode",
        "metadata": {"name": "a"},
        "spec": {"node": {"name": "a"}, "pool": {"name": "p"}, "configVersion": {"desired": "rendered-p-2"}},
        "status": {"conditions": [{
            "type": "NodeDegraded", "status": "True", "reason": "x", "message": "cannot write /etc/x",
            "lastTransitionTime": "2026-01-01T08:00:00Z",
        }]},
    }))
    .unwrap();
    let nodes = [node("a", FAILED, "True")];
    let nodes: Vec<&Node> = nodes.iter().collect();
    let status = status(&pool(json!({})), &nodes, &[&report], Counting::Annotations, at(0));
    let condition = condition(&status, Kind::NodeDegraded);
    assert_eq!(condition.reason, "1 nodes are reporting degraded status on sync");
    insta::assert_snapshot!(condition.message, @r#"node a is degraded since 2026-01-01T08:00:00Z and reports "cannot write /etc/x" and "disk full". Mend what is reported, or take the MachineConfig back: a node whose update failed is led to the next config by itself."#);
}
