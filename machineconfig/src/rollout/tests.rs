//! Choices that the vectors do not hold, and what is written for them.

use crds::annotations;
use serde_json::{Value, json};

use super::*;

#[expect(clippy::needless_pass_by_value, reason = "the callers make it in place")]
fn pool(spec: Value) -> MachineConfigPool {
    let mut full = json!({
        "nodeSelector": {"matchLabels": {"p": ""}},
        "configuration": {"name": "rendered-p-2"},
    });
    full.as_object_mut()
        .unwrap()
        .extend(spec.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool",
        "metadata": {"name": "p", "resourceVersion": "7"}, "spec": full,
    }))
    .unwrap()
}

/// A node with a config, one that it is to have, and a state.
fn node(name: &str, [current, desired, state]: [&str; 3]) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": name, "resourceVersion": "5", "annotations": {
            annotations::CURRENT_CONFIG: current, annotations::DESIRED_CONFIG: desired, annotations::STATE: state,
        }},
    }))
    .unwrap()
}

const OLD: [&str; 3] = ["rendered-p-1", "rendered-p-1", "Done"];
const BUSY: [&str; 3] = ["rendered-p-1", "rendered-p-2", "Working"];
const NEW: [&str; 3] = ["rendered-p-2", "rendered-p-2", "Done"];
/// It failed on a config before the one that the pool has now.
const FAILED: [&str; 3] = ["rendered-p-0", "rendered-p-1", "Degraded"];

fn labelled(mut node: Node, label: &str) -> Node {
    let labels = node.metadata.labels.get_or_insert_default();
    labels.insert(label.to_owned(), String::new());
    node
}

fn master(node: Node) -> Node {
    labelled(node, "node-role.kubernetes.io/master")
}

fn marked(mut node: Node, id: &str) -> Node {
    let annotations = node.metadata.annotations.get_or_insert_default();
    annotations.insert(annotations::RESERVED_BY.to_owned(), id.to_owned());
    node
}

fn cordoned(mut node: Node, drain: &str) -> Node {
    node.spec.get_or_insert_default().unschedulable = Some(true);
    let annotations = node.metadata.annotations.get_or_insert_default();
    annotations.insert(annotations::DESIRED_DRAIN.to_owned(), drain.to_owned());
    node
}

fn reserved(mut pool: MachineConfigPool, nodes: &[(&str, &str, &str, i64)]) -> MachineConfigPool {
    let batches: Vec<_> = nodes
        .iter()
        .map(|(node, id, target, since)| json!({"id": id, "target": target, "since": at(*since), "nodes": [node]}))
        .collect();
    let annotations = pool.metadata.annotations.get_or_insert_default();
    annotations.insert(annotations::RESERVATIONS.to_owned(), json!(batches).to_string());
    pool
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// One that has no config, and whose daemon waits for the first.
fn awaiting(name: &str) -> Node {
    let mut node = node(name, ["", "", ""]);
    let annotations = node.metadata.annotations.get_or_insert_default();
    annotations.insert(annotations::AWAITS_CONFIG.to_owned(), String::new());
    node
}

fn decide(pool: &MachineConfigPool, nodes: &[Node], around: &Around<'_>, second: i64) -> Decision {
    next(pool, &nodes.iter().collect::<Vec<_>>(), around, at(second))
}

fn go(pool: &MachineConfigPool, nodes: &[Node]) -> Vec<String> {
    told(&decide(pool, nodes, &Around::default(), 0))
}

fn told(decision: &Decision) -> Vec<String> {
    decision.grants().iter().map(|grant| grant.node.clone()).collect()
}

fn waits(decision: &Decision) -> String {
    match &decision.step {
        Step::Waiting(blockers) => blockers
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n"),
        other => panic!("does not wait: {other:?}"),
    }
}

#[test]
fn a_pool_that_is_not_fit_for_a_rollout_writes_to_no_node() {
    let nodes = [node("a", OLD)];
    let deleting = {
        let mut pool = pool(json!({}));
        pool.metadata.deletion_timestamp = Some(at(1).into());
        pool
    };
    let unreadable = {
        let mut pool = pool(json!({}));
        pool.metadata.annotations = Some([(annotations::RESERVATIONS.to_owned(), "?".to_owned())].into());
        pool
    };
    let bad = json!({"matchExpressions": [{"key": "a", "operator": "Has"}]});
    let table = [
        (pool(json!({"configuration": {}})), Ok(Step::NotRendered)),
        (deleting, Ok(Step::Deleting)),
        (pool(json!({"paused": true})), Ok(Step::Paused)),
        (pool(json!({"maxUnavailable": -1})), Err(Code::MAX_UNAVAILABLE)),
        (
            pool(json!({"nodeSelector": {}})),
            Err(Code::POOL_SELECTS_EVERY_NODE),
        ),
        (pool(json!({"nodeSelector": bad})), Err(Code::POOL_SELECTOR)),
        (unreadable, Err(Code::RESERVATIONS_UNREADABLE)),
    ];
    for (pool, expected) in table {
        let decision = decide(&pool, &nodes, &Around::default(), 0);
        let step = match decision.step.clone() {
            Step::Refused(finding) => {
                assert_eq!(finding.object, "MachineConfigPool/p");
                Err(finding.code)
            }
            other => Ok(other),
        };
        assert_eq!(step, expected);
        assert_eq!(node_patch(&decision, &nodes[0]), None);
        assert_eq!(reserve(&decision.reserved, &decision, at(1)), decision.reserved);
    }
    assert_eq!(go(&pool(json!({})), &nodes), ["a"]);
}

#[test]
fn failed_nodes_go_before_those_that_are_well_even_when_their_update_left_them_cordoned() {
    let pool = pool(json!({}));
    assert_eq!(go(&pool, &[node("a", OLD), node("b", FAILED)]), ["b"]);
    let stuck = cordoned(node("b", FAILED), "drain-rendered-p-1");
    assert_eq!(go(&pool, &[node("a", OLD), stuck]), ["b"]);
    // Somebody else's cordon is respected.
    let held = cordoned(node("b", FAILED), "");
    let decision = decide(&pool, &[node("a", OLD), held], &Around::default(), 0);
    insta::assert_snapshot!(waits(&decision), @"b failed to go to rendered-p-1 (Degraded), is cordoned, not by an update");
}

#[test]
fn the_node_of_the_leader_goes_last() {
    let around = Around {
        leader: Some("a"),
        ..Around::default()
    };
    let pool = pool(json!({"maxUnavailable": 2}));
    let decision = decide(&pool, &[node("a", OLD), node("b", OLD)], &around, 0);
    assert_eq!(
        (told(&decision), decision.deferred.as_deref()),
        (vec!["b".to_owned()], Some("a"))
    );
    let reasons: Vec<_> = decision.events().into_iter().map(|event| event.reason).collect();
    assert_eq!(reasons, ["DeferringOperatorNodeUpdate", "SetDesiredConfig"]);
    let decision = decide(&pool, &[node("a", OLD), node("b", NEW)], &around, 0);
    assert_eq!((told(&decision), decision.deferred), (vec!["a".to_owned()], None));
}

#[test]
fn of_the_control_plane_one_goes_at_a_time_whatever_the_pool_allows() {
    let pool = pool(json!({"maxUnavailable": 3}));
    let three = |states: [[&str; 3]; 3]| {
        let names = ["a", "b", "c"].into_iter().zip(states);
        names
            .map(|(name, state)| master(node(name, state)))
            .collect::<Vec<_>>()
    };
    assert_eq!(go(&pool, &three([OLD, OLD, OLD])), ["a"]);
    assert_eq!(go(&pool, &three([NEW, OLD, OLD])), ["b"]);
    assert_eq!(go(&pool, &three([BUSY, OLD, OLD])), [""; 0]);
    let mut nodes = three([NEW, OLD, OLD]);
    nodes[0] = cordoned(nodes[0].clone(), "");
    assert_eq!(go(&pool, &nodes), [""; 0]);
    // Workers beside them are not held up.
    nodes.push(node("d", OLD));
    assert_eq!(go(&pool, &nodes), ["d"]);
    // Nor is it held up by somebody in another pool who is well.
    let well = master(node("x", OLD));
    let away = cordoned(master(node("x", NEW)), "");
    for (peer, expected) in [(&well, vec!["a".to_owned()]), (&away, vec![])] {
        let around = Around {
            peers: vec![Peer {
                node: peer,
                pool: None,
            }],
            ..Around::default()
        };
        let decision = decide(&pool, &three([OLD, OLD, OLD]), &around, 0);
        assert_eq!(told(&decision), expected);
        if expected.is_empty() {
            insta::assert_snapshot!(waits(&decision), @r#"of the control plane one node goes at a time, and in pool "" x has rendered-p-2, is cordoned, not by an update"#);
        }
    }
}

#[test]
fn arbiters_wait_for_the_masters_unless_those_are_paused() {
    let arbiters = pool(json!({}));
    let nodes = [labelled(node("a", OLD), "node-role.kubernetes.io/arbiter")];
    let peer = master(node("m", OLD));
    for (spec, goes) in [
        (json!({}), false),
        (json!({"paused": true}), true),
        (json!({"configuration": {"name": "rendered-p-1"}}), true),
        (json!({"configuration": {}}), true),
    ] {
        let masters = pool(spec.clone());
        let around = Around {
            peers: vec![Peer {
                node: &peer,
                pool: Some(&masters),
            }],
            ..Around::default()
        };
        let decision = decide(&arbiters, &nodes, &around, 0);
        assert_eq!(told(&decision).len(), usize::from(goes), "{spec}");
    }
}

#[test]
fn a_slot_is_kept_until_the_node_that_bears_its_mark_is_done() {
    let taken = |since| reserved(pool(json!({})), &[("a", "p/3", "rendered-p-2", since)]);
    let kept = |pool: &MachineConfigPool, nodes: &[Node], second: i64| {
        let decision = decide(pool, nodes, &Around::default(), second);
        let after = reserve(&decision.reserved, &decision, at(second));
        (after.get("a").is_some(), told(&decision))
    };
    let forgotten = FORGET_AFTER.as_secs();
    let b = || node("b", OLD);
    let none: Vec<String> = vec![];
    // Done by its own word.
    let done = marked(node("a", NEW), "p/3");
    assert_eq!(kept(&taken(0), &[done, b()], 1), (false, vec!["b".to_owned()]));
    // The same words without the mark may be from before.
    assert_eq!(
        kept(&taken(0), &[node("a", NEW), b()], forgotten - 1),
        (true, none.clone())
    );
    assert_eq!(
        kept(&taken(0), &[node("a", NEW), b()], forgotten),
        (false, vec!["b".to_owned()])
    );
    // Under way, for however long.
    let busy = marked(node("a", BUSY), "p/3");
    assert_eq!(kept(&taken(0), &[busy, b()], forgotten * 9), (true, none.clone()));
    assert_eq!(
        kept(&taken(0), &[node("a", BUSY), b()], forgotten * 9),
        (true, none.clone())
    );
    // Gone from the pool, or not in view.
    assert_eq!(kept(&taken(0), &[b()], forgotten - 1), (true, none.clone()));
    assert_eq!(kept(&taken(0), &[b()], forgotten), (false, vec!["b".to_owned()]));
    // Never told: it is told again once the view cannot be from before.
    let resume = RESUME_AFTER.as_secs();
    assert_eq!(kept(&taken(0), &[node("a", OLD), b()], resume - 1), (true, none));
    assert_eq!(
        kept(&taken(0), &[node("a", OLD), b()], resume),
        (true, vec!["a".to_owned()])
    );
}

#[test]
fn a_resumed_node_keeps_its_mark_and_a_retargeted_one_gets_another() {
    let resumed = reserved(pool(json!({})), &[("a", "p/3", "rendered-p-2", 0)]);
    let decision = decide(&resumed, &[node("a", OLD)], &Around::default(), 60);
    assert_eq!(decision.grants()[0].id, "p/3");
    assert_eq!(
        reserve(&decision.reserved, &decision, at(60)).since("a"),
        Some(at(60))
    );
    let retargeted = reserved(pool(json!({})), &[("a", "p/3", "rendered-p-1", 0)]);
    let decision = decide(
        &retargeted,
        &[marked(node("a", FAILED), "p/3")],
        &Around::default(),
        1,
    );
    assert_eq!(decision.grants()[0].id, "p/7");
    let after = reserve(&decision.reserved, &decision, at(1));
    assert_eq!(after.get("a").unwrap().target, "rendered-p-2");
    assert_eq!(after.len(), 1);
}

#[test]
fn a_slot_that_was_taken_by_a_clock_that_is_ahead_is_neither_waited_for_nor_kept_longer() {
    let hour = 3600;
    let ahead = reserved(
        pool(json!({"maxUnavailable": 2})),
        &[
            ("a", "p/3", "rendered-p-2", hour),
            ("gone", "p/3", "rendered-p-2", hour),
        ],
    );
    let decision = decide(&ahead, &[node("a", OLD)], &Around::default(), 5);
    assert_eq!(told(&decision), ["a"]);
    let after = reserve(&decision.reserved, &decision, at(5));
    assert_eq!(
        (after.since("a"), after.since("gone")),
        (Some(at(5)), Some(at(5)))
    );
    // By a clock that is not ahead, the node was told a moment ago.
    let just_now = reserved(pool(json!({})), &[("a", "p/3", "rendered-p-2", 5)]);
    assert_eq!(
        told(&decide(&just_now, &[node("a", OLD)], &Around::default(), 5)),
        [""; 0]
    );
}

#[test]
fn reservations_outlive_their_annotation_and_fit_into_it() {
    let names: Vec<String> = (0..2 * MAX_RESERVED)
        .map(|i| format!("{i}-{}", "n".repeat(249)))
        .collect();
    let nodes: Vec<Node> = names.iter().map(|name| node(name, OLD)).collect();
    let mut pool = pool(json!({"maxUnavailable": "100%"}));
    let decision = decide(&pool, &nodes, &Around::default(), 0);
    assert_eq!(decision.grants().len(), MAX_RESERVED);
    let after = reserve(&decision.reserved, &decision, at(0));
    let text = after.annotation().unwrap();
    // All annotations of an object together may have 256 KiB.
    assert!(text.len() < 128 << 10, "{}", text.len());
    pool.metadata.annotations = Some([(annotations::RESERVATIONS.to_owned(), text)].into());
    assert_eq!(Reservations::of(&pool).unwrap(), after);
    let decision = decide(&pool, &nodes, &Around::default(), 1);
    assert_eq!(told(&decision), [""; 0]);
    assert_eq!(Reservations::default().annotation(), None);
}

#[test]
fn writes_name_the_versions_that_were_decided_on() {
    let mut a = node("a", OLD);
    a.spec.get_or_insert_default().taints =
        serde_json::from_value(json!([{"key": "k", "effect": "NoSchedule"}])).unwrap();
    let around = Around {
        topology: Some("SingleReplica"),
        ..Around::default()
    };
    let decision = decide(&pool(json!({})), &[a.clone()], &around, 0);
    let after = reserve(&decision.reserved, &decision, at(0));
    insta::assert_json_snapshot!(pool_patch(&decision, &after).unwrap(), @r#"
    {
      "metadata": {
        "annotations": {
          "machine-config.io/reservations": "[{\"id\":\"p/7\",\"target\":\"rendered-p-2\",\"since\":\"1970-01-01T00:00:00Z\",\"nodes\":[\"a\"]}]"
        },
        "resourceVersion": "7"
      }
    }
    "#);
    insta::assert_json_snapshot!(node_patch(&decision, &a).unwrap().merge_patch(), @r#"
    {
      "metadata": {
        "annotations": {
          "machine-config.io/reserved-by": "p/7",
          "machineconfiguration.openshift.io/controlPlaneTopology": "SingleReplica",
          "machineconfiguration.openshift.io/desiredConfig": "rendered-p-2"
        },
        "resourceVersion": "5"
      },
      "spec": {
        "taints": [
          {
            "effect": "NoSchedule",
            "key": "k"
          },
          {
            "effect": "PreferNoSchedule",
            "key": "UpdateInProgress"
          }
        ]
      }
    }
    "#);
    let offline = Decision {
        version: None,
        ..decision
    };
    assert_eq!(pool_patch(&offline, &after), None);
}

#[test]
fn the_taint_is_on_a_node_until_it_is_done() {
    let pool = pool(json!({}));
    for (state, wanted) in [(OLD, true), (BUSY, true), (FAILED, true), (NEW, false)] {
        let bare = node("a", state);
        let mut tainted = bare.clone();
        tainted.spec.get_or_insert_default().taints =
            serde_json::from_value(json!([{"key": "UpdateInProgress", "effect": "PreferNoSchedule"}]))
                .unwrap();
        let taints = |node: &Node| {
            let decision = decide(&pool, std::slice::from_ref(node), &Around::default(), 0);
            node_patch(&decision, node)
                .and_then(|patch| patch.taints)
                .map(|taints| taints.len())
        };
        assert_eq!(taints(&bare), wanted.then_some(1), "{state:?}");
        assert_eq!(taints(&tainted), (!wanted).then_some(0), "{state:?}");
    }
}

#[test]
fn nodes_without_any_config_get_their_first_one_after_another() {
    let nodes = [awaiting("a"), awaiting("b")];
    let pool = pool(json!({}));
    let decision = decide(&pool, &nodes, &Around::default(), 0);
    let granted: Vec<_> = decision.grants().iter().map(|grant| &grant.node).collect();
    assert_eq!(granted, ["a"]);
    let told = node_patch(&decision, &nodes[0]).unwrap().annotations;
    assert_eq!(told[annotations::AWAITS_CONFIG], None);
    assert_eq!(told[annotations::DESIRED_CONFIG].as_deref(), Some("rendered-p-2"));
    // While the first one works on it, and after that.
    for (first, expected) in [(["", "rendered-p-2", ""], None), (NEW, Some("b"))] {
        let nodes = [node("a", first), awaiting("b")];
        let decision = decide(&pool, &nodes, &Around::default(), 0);
        let granted = decision.grants().first().map(|grant| grant.node.as_str());
        assert_eq!(granted, expected, "{first:?}");
    }
    // One whose daemon has not spoken may yet say that it has one.
    let silent = decide(&pool, &[node("a", ["", "", ""])], &Around::default(), 0);
    assert!(silent.grants().is_empty());
}

#[test]
fn an_adopted_node_is_labelled_and_not_told() {
    let labels = BTreeMap::from([("node-role.kubernetes.io/edge".to_owned(), String::new())]);
    let around = Around {
        adopt: BTreeMap::from([("a", labels.clone())]),
        ..Around::default()
    };
    let nodes = [node("a", OLD)];
    let decision = decide(&pool(json!({})), &nodes, &around, 0);
    assert_eq!(
        waits(&decision),
        "a is being handed to the pool that it was started for"
    );
    let patch = node_patch(&decision, &nodes[0]).unwrap();
    assert_eq!(patch.labels, labels);
    assert!(
        patch
            .annotations
            .contains_key(annotations::CUSTOM_POOL_LABELS_APPLIED)
    );
    assert!(!patch.annotations.contains_key(annotations::DESIRED_CONFIG));
    // A paused pool does not even do that.
    let paused = decide(&pool(json!({"paused": true})), &nodes, &around, 0);
    assert!(paused.adopt.is_empty());
}

#[test]
fn what_a_rollout_waits_for_is_said_with_names_and_times() {
    let pool = reserved(
        pool(json!({"maxUnavailable": 3})),
        &[
            ("a", "p/1", "rendered-p-2", 0),
            ("b", "p/2", "rendered-p-2", 20),
            ("gone", "p/3", "rendered-p-2", 21),
        ],
    );
    let busy = marked(node("a", BUSY), "p/1");
    let decision = decide(
        &pool,
        &[busy, node("b", OLD), node("c", OLD)],
        &Around::default(),
        22,
    );
    insta::assert_snapshot!(waits(&decision), @r"
    a is being updated to rendered-p-2 since 1970-01-01T00:00:00Z (Working)
    b was given its turn at 1970-01-01T00:00:20Z and has not taken it up yet
    gone was given its turn at 1970-01-01T00:00:21Z and is not in the pool any more
    ");
    assert_eq!(decision.tally.free, 0);
    assert_eq!(
        decide(
            &super::tests::pool(json!({})),
            &[node("a", NEW)],
            &Around::default(),
            0
        )
        .step,
        Step::Nothing
    );
}
