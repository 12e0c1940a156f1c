use serde_json::{Value, json};

use super::*;
use crate::drain::Mark;
use crate::drain::report::{Stage, conditions};

const NOW: &str = "2026-01-01T12:00:00Z";

pub(crate) fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A pool that selects the nodes labelled with its name and is to have `target`.
pub(crate) fn pool(name: &str, target: &str, fields: Value) -> MachineConfigPool {
    let mut object = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool",
        "metadata": {"name": name, "resourceVersion": "7"},
        "spec": {
            "nodeSelector": {"matchLabels": {format!("node-role.kubernetes.io/{name}"): ""}},
            "configuration": {"name": target},
        },
    });
    merge(&mut object, fields);
    serde_json::from_value(object).unwrap()
}

/// A node of `worker` that says these of current config, desired config and state.
pub(crate) fn node(name: &str, [current, desired, state]: [&str; 3], fields: Value) -> Node {
    let mut object = json!({
        "metadata": {
            "name": name, "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"node-role.kubernetes.io/worker": ""},
            "annotations": {
                annotations::CURRENT_CONFIG: current, annotations::DESIRED_CONFIG: desired, annotations::STATE: state,
            },
        },
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    });
    merge(&mut object, fields);
    serde_json::from_value(object).unwrap()
}

/// A MachineConfigNode with these conditions, each a type and a status; all of them since eleven.
pub(crate) fn report(name: &str, said: &[(&str, &str, &str)]) -> MachineConfigNode {
    let said = said.iter().map(|(type_, status, message)| {
        json!({
            "type": type_, "status": status, "message": message, "reason": "R",
            "lastTransitionTime": "2026-01-01T11:00:00Z",
        })
    });
    serde_json::from_value(json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigNode", "metadata": {"name": name},
        "spec": {"node": {"name": name}, "pool": {"name": "worker"}, "configVersion": {"desired": "b"}},
        "status": {"conditions": said.collect::<Vec<_>>()},
    }))
    .unwrap()
}

fn merge(object: &mut Value, fields: Value) {
    match (object, fields) {
        (Value::Object(object), Value::Object(fields)) => {
            for (key, value) in fields {
                merge(object.entry(key).or_insert(Value::Null), value);
            }
        }
        (object, fields) => *object = fields,
    }
}

/// The annotations of a node that asks for a drain, which the controller has begun or not.
pub(crate) fn drains(begun: bool) -> Value {
    let mark = Mark {
        request: "drain-b".into(),
        since: "2026-01-01T11:50:00Z".parse().unwrap(),
        cordoned: true,
    };
    let mut annotations = json!({annotations::DESIRED_DRAIN: "drain-b"});
    if begun {
        annotations[annotations::DRAIN] = serde_json::to_string(&mark).unwrap().into();
    }
    json!({"metadata": {"annotations": annotations}})
}

/// A node says this of current config, desired config and state, and has these fields; its MachineConfigNode has these conditions. It is in this
/// phase, since then.
type Case = (
    [&'static str; 3],
    Value,
    &'static [(&'static str, &'static str, &'static str)],
    Phase,
    Option<&'static str>,
);

#[track_caller]
fn expect<const CASES: usize>(table: [Case; CASES]) {
    let worker = pool("worker", "b", json!({}));
    for (says, fields, said, expected, since) in table {
        let node = node("n", says, fields);
        let conditions = report("n", said).status.unwrap().conditions;
        let (found, at) = phase(&worker, &node, &conditions);
        assert_eq!(found, expected, "{says:?}");
        let at = at.map(|at| at.to_string()[11..16].to_owned());
        assert_eq!(at.as_deref(), since, "{says:?}");
    }
}

#[test]
fn a_node_says_how_far_its_update_is() {
    let takes = |takes: &str| Phase::Applying { takes: takes.into() };
    let going = Phase::Draining {
        held_up: String::new(),
    };
    let uncordon = json!({"metadata": {"annotations": {annotations::DESIRED_DRAIN: "uncordon-b"}}});
    expect([
        (["b", "b", "Done"], json!({}), &[], Phase::Updated, None),
        (["a", "a", "Done"], json!({}), &[], Phase::Waiting, None),
        (["a", "b", "Done"], json!({}), &[], Phase::Told, None),
        (
            ["a", "b", "Working"],
            drains(false),
            &[],
            Phase::AskingForDrain,
            None,
        ),
        (["a", "b", "Working"], drains(true), &[], going, Some("11:50")),
        (["a", "b", "Working"], json!({}), &[], takes(""), None),
        (
            ["a", "b", "Working"],
            json!({}),
            &[
                ("UpdatePrepared", "True", "drain, Reboot"),
                ("Updated", "False", ""),
            ],
            takes("drain, Reboot"),
            Some("11:00"),
        ),
        (
            ["a", "b", "Working"],
            json!({}),
            &[
                ("UpdatePrepared", "True", "drain, Reboot"),
                ("RebootedNode", "Unknown", ""),
            ],
            Phase::Rebooting,
            Some("11:00"),
        ),
        (["a", "b", "Rebooting"], json!({}), &[], Phase::Rebooting, None),
        (
            ["b", "b", "Done"],
            uncordon,
            &[("Resumed", "True", "")],
            Phase::Releasing,
            Some("11:00"),
        ),
        (["", "", ""], json!({}), &[], Phase::New, Some("00:00")),
    ]);
}

#[test]
fn a_node_says_what_failed() {
    let because = json!({"metadata": {"annotations": {annotations::REASON: "no room"}}});
    let reason = || "no room".to_owned();
    let failing = |refused| Phase::Failing {
        refused,
        reason: reason(),
    };
    let drifted = Phase::Drifted { reason: reason() };
    let degraded: &[_] = &[("NodeDegraded", "True", "")];
    expect([
        (
            ["a", "b", "Degraded"],
            because.clone(),
            degraded,
            failing(false),
            Some("11:00"),
        ),
        (
            ["a", "b", "Unreconcilable"],
            because.clone(),
            &[],
            failing(true),
            None,
        ),
        (["b", "b", "Degraded"], because, &[], drifted, None),
    ]);
}

#[test]
fn a_drain_says_what_holds_it_up_and_not_what_to_do() {
    let worker = pool("worker", "b", json!({}));
    let node = node("n", ["a", "b", "Working"], drains(true));
    let held_up =
        crate::Finding::error(crate::Code::DRAIN_BLOCKED, "Node/n", "", "pod a/b is kept").to_string();
    let said = conditions(&[], &Stage::Draining { held_up }, now());
    let (found, _) = phase(&worker, &node, &said);
    assert_eq!(found.detail(), "pod a/b is kept");
    assert!(found.is_stuck());
}

fn three(fields: Value) -> Cluster {
    Cluster {
        pools: vec![pool("worker", "b", fields), pool("infra", "", json!({}))],
        nodes: vec![
            node("n3", ["a", "a", "Done"], json!({})),
            node("n1", ["a", "b", "Working"], json!({})),
            node("n2", ["a", "a", "Done"], json!({})),
            node("n0", ["b", "b", "Done"], json!({})),
        ],
        ..Cluster::default()
    }
}

#[test]
fn a_pool_lists_who_is_not_done_and_who_is_next() {
    let found = standing(&three(json!({})), now());
    let [infra, worker] = found.pools.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(infra.next.words(), "nothing, no config is rendered yet");
    assert_eq!((worker.nodes, worker.updated, worker.unavailable), (4, 1, 1));
    let members: Vec<_> = worker
        .members
        .iter()
        .map(|member| (member.node.as_str(), member.phase.words(), member.place))
        .collect();
    assert_eq!(
        members,
        [
            ("n1", "applying", None),
            ("n2", "waiting", Some(1)),
            ("n3", "waiting", Some(2))
        ]
    );
    assert_eq!(worker.next.queue, ["n2", "n3"]);
    assert_eq!(
        worker.next.words(),
        "n2, but at most 1 node may be unavailable at once (maxUnavailable), and that is n1"
    );
}

#[test]
fn a_pool_says_what_comes_next() {
    let paused = three(json!({"spec": {"paused": true}}));
    let next = |cluster: &Cluster| {
        let pool = cluster.pool("worker").unwrap();
        pool_standing(cluster, pool, now()).next.words()
    };
    assert_eq!(
        next(&paused),
        "nothing while it is paused; 2 nodes wait, n2 first"
    );
    assert_eq!(
        next(&three(json!({"spec": {"maxUnavailable": 2}}))),
        "n2, at once"
    );
    let mut done = three(json!({}));
    done.nodes.truncate(0);
    assert_eq!(next(&done), "nothing, all nodes have it");
    let wrong = three(json!({"spec": {"maxUnavailable": "many"}}));
    assert!(next(&wrong).contains("MC1214"), "{}", next(&wrong));
    // The control plane: one node at a time, over all pools.
    let master = |name: &str, says| {
        node(
            name,
            says,
            json!({"metadata": {"labels": {"node-role.kubernetes.io/master": ""}}}),
        )
    };
    let mut masters = three(json!({}));
    masters
        .pools
        .push(pool("master", "b", json!({"spec": {"maxUnavailable": 3}})));
    masters.nodes = vec![
        master("m0", ["a", "a", "Done"]),
        master("m1", ["a", "b", "Working"]),
    ];
    let found = pool_standing(&masters, masters.pool("master").unwrap(), now());
    assert_eq!(found.next.queue, ["m0"]);
    assert!(
        found.next.words().starts_with("m0, but m1 is being updated"),
        "{}",
        found.next.words()
    );
}

#[test]
fn a_pause_says_since_when_and_why() {
    let fields = json!({"metadata": {
        "annotations": {annotations::PAUSED_BECAUSE: "freeze"},
        "managedFields": [
            {"manager": "render", "time": "2026-01-01T11:00:00Z", "fieldsV1": {"f:spec": {"f:configuration": {}}}},
            {"manager": "mcctl", "time": "2026-01-01T10:00:00Z", "fieldsV1": {"f:spec": {"f:paused": {}}}},
        ],
    }, "spec": {"paused": true}});
    let found = pause(&pool("worker", "b", fields));
    assert_eq!(found.because, "freeze");
    assert_eq!(found.since, Some("2026-01-01T10:00:00Z".parse().unwrap()));
}

#[test]
fn a_node_of_two_custom_pools_is_in_none() {
    let mut cluster = three(json!({}));
    cluster.pools.push(pool("gpu", "g", json!({})));
    let both = json!({"metadata": {"labels": {"node-role.kubernetes.io/gpu": "", "node-role.kubernetes.io/infra": ""}}});
    cluster.nodes.push(node("n9", ["a", "a", "Done"], both));
    let found = standing(&cluster, now());
    assert_eq!(found.unplaced.len(), 1);
    assert_eq!(found.unplaced[0].node, "n9");
    assert_eq!(found.unplaced[0].finding.code, crate::Code::NODE_IN_POOLS);
}
