use crds::annotations;
use serde_json::{Value, json};

use super::*;
use crate::drain::pods::Cause as Keeps;
use crate::standing::tests::{drains, node, now, pool, report};

/// Two nodes of `worker`: `n`, which says this, and one that is updated.
fn cluster(says: [&str; 3], fields: Value) -> Cluster {
    Cluster {
        pools: vec![
            pool("worker", "b", json!({})),
            pool("infra", "c", json!({})),
            pool("gpu", "c", json!({})),
        ],
        nodes: vec![
            node("n", says, fields),
            node("other", ["b", "b", "Done"], json!({})),
        ],
        ..Cluster::default()
    }
}

fn reason(text: &str) -> Value {
    json!({"metadata": {"annotations": {annotations::REASON: text}}})
}

fn condition(type_: &str, status: &str) -> Value {
    let ready = json!({"type": type_, "status": status, "lastTransitionTime": "2026-01-01T11:00:00Z"});
    json!({"status": {"conditions": [ready]}})
}

/// The first cause: its weight, object, text, what to look at and the first command.
fn first(causes: &[Cause]) -> (Weight, String, String, String, String) {
    let cause = &causes[0];
    let fix = cause.fix();
    let command = fix.commands.first().cloned().unwrap_or_default();
    (
        cause.weight(),
        cause.object.clone(),
        cause.to_string(),
        fix.look,
        command,
    )
}

#[track_caller]
fn expect(causes: &[Cause], expected: (Weight, &str, &str, &str, &str)) {
    let (weight, object, text, look, command) = first(causes);
    let found = (
        weight,
        object.as_str(),
        text.as_str(),
        look.as_str(),
        command.as_str(),
    );
    assert_eq!(found, expected, "{causes:#?}");
    assert!(
        weight != Weight::Stuck || !causes[0].fix().text.is_empty(),
        "{causes:#?}"
    );
}

/// Evidence of what was looked at on `n`.
fn seen(on: OnNode) -> Evidence {
    Evidence {
        on: BTreeMap::from([("n".to_owned(), on)]),
        ..Evidence::default()
    }
}

fn of(cluster: &Cluster) -> Vec<Cause> {
    of_node(cluster, "n", &Evidence::default(), now())
}

#[test]
fn what_is_as_it_should_be_is_fine() {
    expect(
        &of(&cluster(["b", "b", "Done"], json!({}))),
        (
            Weight::Fine,
            "Node/n",
            "nothing is wrong: it has b, as its pool wants it",
            "node/n",
            "",
        ),
    );
    let stray = json!({"metadata": {"labels": null}});
    expect(
        &of(&cluster(["b", "b", "Done"], stray)),
        (
            Weight::Fine,
            "Node/n",
            "nothing is wrong: no pool selects it, so nothing is done to it",
            "node/n",
            "",
        ),
    );
}

#[test]
fn what_failed_on_a_node_is_told_with_the_way_out() {
    expect(
        &of(&cluster(
            ["a", "b", "Degraded"],
            reason("MC7014 Node/n: /etc has no room"),
        )),
        (
            Weight::Stuck,
            "Node/n",
            "it could not be changed to b: MC7014 Node/n: /etc has no room",
            "node/n",
            "mcctl diff node/n",
        ),
    );
    expect(
        &of(&cluster(
            ["a", "b", "Unreconcilable"],
            reason("MC2013 MachineConfig/x"),
        )),
        (
            Weight::Stuck,
            "Node/n",
            "no running node can be changed to b: MC2013 MachineConfig/x",
            "node/n",
            "mcctl diff node/n",
        ),
    );
    let drifted = of(&cluster(
        ["b", "b", "Degraded"],
        reason("content mismatch for file \"/etc/x\""),
    ));
    expect(
        &drifted,
        (
            Weight::Stuck,
            "Node/n",
            "it is not as b says: content mismatch for file \"/etc/x\"",
            "node/n",
            "mcctl diff node/n",
        ),
    );
    assert!(drifted[0].fix().text.contains("/run/machine-config-daemon-force"));
}

#[test]
fn a_drain_names_who_blocks_it() {
    let draining = cluster(["a", "b", "Working"], drains(true));
    expect(
        &of(&draining),
        (
            Weight::Passing,
            "Node/n",
            "its pods are being evicted",
            "node/n",
            "mcctl status --watch",
        ),
    );
    let evidence = seen(OnNode {
        hindrances: vec![
            Hindrance {
                namespace: "shop".into(),
                pod: "going".into(),
                owner: String::new(),
                cause: Keeps::Terminating(None),
            },
            Hindrance {
                namespace: "shop".into(),
                pod: "web-0".into(),
                owner: "StatefulSet/web".into(),
                cause: Keeps::Budget {
                    names: vec!["web".into()],
                    said: "needs 1 healthy pod".into(),
                },
            },
        ],
        ..OnNode::default()
    });
    let causes = of_node(&draining, "n", &evidence, now());
    expect(
        &causes,
        (
            Weight::Stuck,
            "Node/n",
            "its drain is blocked: pod shop/web-0 of StatefulSet/web is kept by PodDisruptionBudget web: needs 1 healthy pod",
            "poddisruptionbudget/web in shop",
            "kubectl -n shop get poddisruptionbudget web",
        ),
    );
    assert_eq!(causes[0].since, Some("2026-01-01T11:50:00Z".parse().unwrap()));
    assert!(
        causes[0]
            .fix()
            .commands
            .contains(&"kubectl -n shop get statefulset web".to_owned())
    );
    // Who may not look at pods still has the controller's word.
    let mut told = draining;
    told.reports = vec![report("n", &[("Drained", "Unknown", "pod shop/web-0 is kept")])];
    let (weight, _, text, _, _) = first(&of(&told));
    assert_eq!(
        (weight, text.as_str()),
        (Weight::Stuck, "its drain is blocked: pod shop/web-0 is kept")
    );
}

#[test]
fn a_node_that_takes_no_work_says_why() {
    let evidence = seen(OnNode {
        unready: "Kubelet stopped posting node status.".into(),
        ..OnNode::default()
    });
    let away = cluster(["a", "a", "Done"], condition("Ready", "Unknown"));
    expect(
        &of_node(&away, "n", &evidence, now()),
        (
            Weight::Stuck,
            "Node/n",
            "it is not Ready: Kubelet stopped posting node status.",
            "node/n",
            "kubectl describe node n",
        ),
    );
    expect(
        &of(&cluster(["b", "b", "Done"], condition("DiskPressure", "True"))),
        (
            Weight::Stuck,
            "Node/n",
            "it is short of disk space",
            "node/n",
            "kubectl describe node n",
        ),
    );
    assert_eq!(
        of_node(&away, "n", &evidence, now()).len(),
        1,
        "it waits for nothing else"
    );
    let cordoned = json!({"spec": {"unschedulable": true}});
    expect(
        &of(&cluster(["a", "a", "Done"], cordoned)),
        (
            Weight::Stuck,
            "Node/n",
            "somebody has cordoned it, and a node that takes no work is not updated",
            "node/n",
            "kubectl uncordon n",
        ),
    );
    // A reboot takes the kubelet away, and that is no fault.
    let reboots = cluster(["a", "b", "Rebooting"], condition("Ready", "False"));
    expect(
        &of(&reboots),
        (
            Weight::Passing,
            "Node/n",
            "it reboots",
            "node/n",
            "mcctl status --watch",
        ),
    );
}

#[test]
fn a_node_waits_for_its_pool() {
    let mut waiting = cluster(["a", "a", "Done"], json!({}));
    waiting.nodes.push(node("busy", ["a", "b", "Working"], json!({})));
    waiting.nodes.push(node("m", ["a", "a", "Done"], json!({})));
    expect(
        &of(&waiting),
        (
            Weight::Passing,
            "Node/n",
            "it waits for its turn, 1 go before it; at most 1 node may be unavailable at once (maxUnavailable), and that is busy",
            "node/n",
            "mcctl status --watch",
        ),
    );
    waiting.pools[0] = pool(
        "worker",
        "b",
        json!({"spec": {"paused": true}, "metadata": {"annotations": {annotations::PAUSED_BECAUSE: "freeze"}}}),
    );
    expect(
        &of(&waiting),
        (
            Weight::Stuck,
            "MachineConfigPool/worker",
            "it is paused, and 3 nodes wait: \"freeze\"",
            "machineconfigpool/worker",
            "mcctl unpause pool/worker --dry-run",
        ),
    );
    // One that is being updated goes on all the same, and is told both.
    let busy = of_node(&waiting, "busy", &Evidence::default(), now());
    assert_eq!(busy.last().unwrap().to_string(), "the change is being written");
}

#[test]
fn a_node_of_two_custom_pools_is_told_so() {
    let both = json!({"metadata": {"labels": {"node-role.kubernetes.io/gpu": "", "node-role.kubernetes.io/infra": ""}}});
    expect(
        &of(&cluster(["a", "a", "Done"], both)),
        (
            Weight::Stuck,
            "Node/n",
            "MC8001 selected by the custom pools gpu, infra, so none of them updates it",
            "node/n",
            "kubectl get node n --show-labels",
        ),
    );
}

#[test]
fn a_node_that_joined_without_a_config_is_to_be_told_one() {
    let runs = Daemon::Runs {
        namespace: "machine-config".into(),
        pod: "d-1".into(),
    };
    let evidence = seen(OnNode {
        daemon: runs,
        ..OnNode::default()
    });
    expect(
        &of_node(&cluster(["", "", ""], json!({})), "n", &evidence, now()),
        (
            Weight::Stuck,
            "Node/n",
            "it joined without a config, and nobody has told it which to have",
            "node/n",
            "kubectl annotate node n machineconfiguration.openshift.io/desiredConfig=b",
        ),
    );
}

#[test]
fn a_daemon_that_is_not_there_is_named() {
    let silent = |daemon: Daemon, says| {
        let evidence = seen(OnNode {
            daemon,
            ..OnNode::default()
        });
        of_node(&cluster(says, json!({})), "n", &evidence, now())
    };
    expect(
        &silent(Daemon::Absent, ["", "", ""]),
        (
            Weight::Stuck,
            "Node/n",
            "its daemon has not taken up the config: no pod of machine-config-daemon is on the node",
            "daemonset/machine-config-daemon",
            "kubectl get daemonset -A -l app.kubernetes.io/name=machine-config-daemon",
        ),
    );
    let broken = Daemon::Broken {
        namespace: "machine-config".into(),
        pod: "d-1".into(),
        reason: "CrashLoopBackOff".into(),
    };
    expect(
        &silent(broken, ["a", "b", "Done"]),
        (
            Weight::Stuck,
            "Node/n",
            "its daemon has not taken up the config: its pod d-1 does not run (CrashLoopBackOff)",
            "pod/d-1",
            "kubectl -n machine-config describe pod d-1",
        ),
    );
}

#[test]
fn a_pool_is_told_with_its_nodes() {
    let of = |cluster: &Cluster, evidence: &Evidence| of_pool(cluster, "worker", evidence, now());
    let fine = cluster(["b", "b", "Done"], json!({}));
    let knows = Evidence::default();
    expect(
        &of(&fine, &knows),
        (
            Weight::Fine,
            "MachineConfigPool/worker",
            "nothing is wrong: all 2 nodes have b",
            "machineconfigpool/worker",
            "",
        ),
    );
    let mut refused = fine.clone();
    let message = "no config is rendered: MC1130 MachineConfig/50-x spec.kernelType: \"slow\"";
    refused.pools[0] = pool(
        "worker",
        "b",
        json!({"status": {"conditions": [{"type": "RenderDegraded", "status": "True", "message": message}]}}),
    );
    expect(
        &of(&refused, &knows),
        (
            Weight::Stuck,
            "MachineConfigPool/worker",
            message,
            "machineconfig/50-x",
            "kubectl get machineconfig/50-x -o yaml",
        ),
    );
    let failed = cluster(["a", "b", "Degraded"], reason("no room"));
    let causes = of(&failed, &knows);
    assert_eq!(causes[0].object, "Node/n");
    assert_eq!(weight(&causes), Weight::Stuck);
    assert_eq!(causes.len(), 1, "it does not go on by itself: {causes:#?}");
    let going = of(&cluster(["a", "b", "Working"], json!({})), &knows);
    assert_eq!(weight(&going), Weight::Passing);
    let rolling = going.last().unwrap().to_string();
    assert!(rolling.contains("1 of 2 nodes have it"), "{rolling}");
}

#[test]
fn a_pool_is_told_what_is_missing_around_it() {
    let of = |cluster: &Cluster, evidence: &Evidence| of_pool(cluster, "worker", evidence, now());
    let fine = cluster(["b", "b", "Done"], json!({}));
    let missing = Evidence {
        missing: BTreeSet::from(["b".to_owned()]),
        ..Evidence::default()
    };
    expect(
        &of(&fine, &missing),
        (
            Weight::Stuck,
            "MachineConfigPool/worker",
            "the rendered MachineConfig b does not exist",
            "machineconfig/b",
            "kubectl get machineconfig b",
        ),
    );
    let nobody = Evidence {
        leadership: Leadership::Silent { since: now() },
        ..Evidence::default()
    };
    let causes = of(&fine, &nobody);
    assert_eq!(causes[0].kind, Kind::NoController);
    let empty = Cluster {
        pools: vec![pool("worker", "b", json!({}))],
        ..Cluster::default()
    };
    assert!(
        of(&empty, &Evidence::default())[0]
            .to_string()
            .contains("no nodes")
    );
}
