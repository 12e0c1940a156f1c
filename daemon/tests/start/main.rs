//! `start` as a program: a node in a temporary directory, and an API server that remembers what it was asked.

#![expect(
    clippy::unwrap_used,
    reason = "in a test an unwrap is an assertion, in its helpers too"
)]

mod api;
mod node;

use std::fs;

use api::{Api, CONTROLLER_CONFIG, DEADLINE, MACHINE_CONFIGURATION, MCN, NODE};
use node::{Daemon, Node, base64, config};
use serde_json::{Value, json};

/// A policy by which nothing below a directory disrupts.
fn calm() -> Value {
    let file = json!({"path": "/etc/calm", "actions": [{"type": "None"}]});
    json!({
        "apiVersion": "operator.openshift.io/v1", "kind": "MachineConfiguration",
        "metadata": {"name": "cluster"},
        "spec": {"nodeDisruptionPolicy": {"files": [file]}},
    })
}

/// An API server with a node at `rendered-a`, as the reference leaves it, and a config to go to.
fn begin(to: &Value) -> (Node, Api) {
    let node = Node::new(&config("rendered-a", &[("/etc/calm/a", "one")]));
    let api = Api::start();
    api.put(
        NODE,
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "n", "uid": "u", "annotations": {
                "machineconfiguration.openshift.io/currentConfig": "rendered-a",
                "machineconfiguration.openshift.io/desiredConfig": "rendered-a",
                "machineconfiguration.openshift.io/state": "Done",
                "machineconfiguration.openshift.io/desiredDrain": "uncordon-rendered-a",
                "machineconfiguration.openshift.io/lastAppliedDrain": "uncordon-rendered-a",
            }},
        }),
    );
    api.put(MACHINE_CONFIGURATION, calm());
    api.put(
        MCN,
        json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigNode",
            "metadata": {"name": "n", "generation": 1},
            "spec": {"node": {"name": "n"}, "pool": {"name": "worker"}, "configVersion": {"desired": "rendered-a"}},
        }),
    );
    api.put_config(&config("rendered-a", &[("/etc/calm/a", "one")]));
    api.put_config(to);
    (node, api)
}

fn done(api: &Api, config: &str) {
    api.wait(&format!("{config} to be done"), |api| {
        api.annotation("state") == "Done" && api.annotation("currentConfig") == config
    });
}

fn reason(api: &Api, state: &str, what: &str) {
    api.wait(&format!("{state}: {what}"), |api| {
        api.annotation("state") == state && api.annotation("reason").contains(what)
    });
}

#[test]
fn a_change_without_disruption_takes_few_requests_and_no_list() {
    let (node, api) = begin(&config("rendered-b", &[("/etc/calm/a", "two")]));
    let mut daemon = Daemon::start(&node, &api);
    daemon.wait_rest();
    let before = api.writes().len();
    api.annotate("desiredConfig", "rendered-b");
    done(&api, "rendered-b");
    daemon.wait_rest();
    assert_eq!(node.read("/etc/calm/a"), "two");
    let conditions = |api: &Api| api.get(MCN)["status"]["conditions"].clone();
    api.wait("the MachineConfigNode", |api| {
        conditions(api).to_string().contains("Node n Updated")
    });
    let writes = &api.writes()[before..];
    assert!(writes.len() <= 5, "{writes:#?}");
    assert_eq!(
        api.annotation("desiredDrain"),
        "uncordon-rendered-a",
        "nothing was drained"
    );
    assert_eq!(api.get(MCN)["status"]["configVersion"]["current"], "rendered-b");
    let asked = api.asked();
    let watches = asked.iter().filter(|asked| asked.path.contains("watch=true"));
    assert_eq!(watches.count(), 3, "{asked:#?}");
    for asked in &asked {
        let list = asked.path.contains("limit=") || asked.path.contains("watch=");
        assert!(!list || asked.path.contains("metadata.name"), "a list: {asked:?}");
    }
    let fetched = asked
        .iter()
        .filter(|asked| asked.path.contains("/machineconfigs"));
    assert_eq!(fetched.count(), 1, "{asked:#?}");
    daemon.terminate();
}

#[test]
fn a_node_of_the_reference_is_taken_over_without_a_write_to_it() {
    let (node, api) = begin(&config("rendered-b", &[]));
    let before = node.tree();
    let mut daemon = Daemon::start(&node, &api);
    daemon.wait_rest();
    api.wait("the MachineConfigNode", |api| !api.writes().is_empty());
    let written: Vec<_> = api.writes().into_iter().map(|asked| asked.path).collect();
    assert!(
        written.iter().all(|path| path.contains("machineconfignodes")),
        "{written:?}"
    );
    daemon.terminate();
    assert_eq!(node.tree(), before);
}

#[test]
fn a_drain_is_asked_for_once_and_waited_for() {
    let (node, api) = begin(&config(
        "rendered-b",
        &[("/etc/calm/a", "one"), ("/etc/b", "two")],
    ));
    let mut daemon = Daemon::start(&node, &api);
    daemon.wait_rest();
    let before = api.writes().len();
    api.annotate("desiredConfig", "rendered-b");
    api.wait("the request for a drain", |api| {
        api.annotation("desiredDrain") == "drain-rendered-b"
    });
    assert_eq!(api.annotation("state"), "Working");
    daemon.wait_line("\"wait\":\"Drain\"");
    assert!(!node.at("/etc/b").exists(), "written before the node was drained");
    let nodes: Vec<_> = api.writes()[before..]
        .iter()
        .filter(|asked| asked.path.starts_with(NODE))
        .cloned()
        .collect();
    assert_eq!(nodes.len(), 1, "{nodes:#?}");
    api.annotate("lastAppliedDrain", "drain-rendered-b");
    // This root is not that of the running system, so nobody can reboot it, and the node is not done.
    reason(&api, "Degraded", "MC7101");
    assert_eq!(node.read("/etc/b"), "two");
    assert_eq!(api.annotation("currentConfig"), "rendered-a");
    assert!(
        daemon.metrics().contains("mcd_reboots_failed_total 1"),
        "{}",
        daemon.metrics()
    );
    daemon.terminate();
}

#[test]
fn drift_degrades_with_its_diff_and_heals_by_hand_and_by_force() {
    let (node, api) = begin(&config("rendered-b", &[]));
    let mut daemon = Daemon::start(&node, &api);
    daemon.wait_rest();
    node.write("/etc/calm/a", "somebody else's");
    reason(&api, "Degraded", "content mismatch for file \"/etc/calm/a\"\n@@");
    assert!(
        api.annotation("reason").contains("+somebody else's"),
        "{}",
        api.annotation("reason")
    );
    api.wait("the event", |api| {
        api.writes()
            .iter()
            .any(|asked| asked.body["reason"] == "ConfigDriftDetected")
    });
    assert!(!daemon.metrics().contains("mcd_config_drift 0"));
    node.write("/etc/calm/a", "one");
    done(&api, "rendered-a");
    assert_eq!(api.annotation("reason"), "");
    assert!(daemon.metrics().contains("mcd_config_drift 0\n"));
    node.write("/etc/calm/a", "once more");
    reason(&api, "Degraded", "once more");
    node.write("/run/machine-config-daemon-force", "");
    done(&api, "rendered-a");
    assert_eq!(node.read("/etc/calm/a"), "one");
    assert!(!node.at("/run/machine-config-daemon-force").exists());
    daemon.terminate();
}

#[test]
fn a_refused_config_is_told_and_another_target_heals() {
    let mut disks = config("rendered-b", &[("/etc/calm/a", "one")]);
    disks["spec"]["config"]["storage"]["disks"] = json!([{"device": "/dev/sda", "wipeTable": true}]);
    let (node, api) = begin(&disks);
    api.put_config(&config("rendered-c", &[("/etc/calm/a", "three")]));
    let mut daemon = Daemon::start(&node, &api);
    daemon.wait_rest();
    api.annotate("desiredConfig", "rendered-b");
    reason(&api, "Unreconcilable", "MC20");
    api.annotate("desiredConfig", "rendered-missing");
    reason(
        &api,
        "Degraded",
        "MachineConfig/rendered-missing cannot be fetched",
    );
    api.annotate("desiredConfig", "rendered-c");
    done(&api, "rendered-c");
    assert_eq!(node.read("/etc/calm/a"), "three");
    // Back to the config before.
    api.annotate("desiredConfig", "rendered-a");
    done(&api, "rendered-a");
    assert_eq!(node.read("/etc/calm/a"), "one");
    daemon.terminate();
}

#[test]
fn a_first_start_says_what_was_laid_down_and_records_it() {
    let (node, api) = begin(&config("rendered-b", &[]));
    fs::remove_file(node.at(node::CURRENT)).unwrap();
    let annotations = json!({
        "machineconfiguration.openshift.io/currentConfig": "rendered-a",
        "machineconfiguration.openshift.io/desiredConfig": "rendered-a",
        "machineconfiguration.openshift.io/state": "Done",
    });
    node.write(
        "/etc/machine-config-daemon/node-annotations.json",
        &annotations.to_string(),
    );
    api.put(
        NODE,
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "uid": "u", "annotations": {}}}),
    );
    let mut daemon = Daemon::start(&node, &api);
    done(&api, "rendered-a");
    daemon.wait_rest();
    assert!(
        node.at("/etc/machine-config-daemon/node-annotation.json.bak")
            .exists()
    );
    let current: Value = serde_json::from_str(&node.read(&format!("/{}", node::CURRENT))).unwrap();
    assert_eq!(current["metadata"]["name"], "rendered-a");
    daemon.terminate();
}

#[test]
fn a_first_start_with_a_config_that_the_cluster_lacks_says_so_and_heals() {
    let (node, api) = begin(&config("rendered-b", &[]));
    fs::remove_file(node.at(node::CURRENT)).unwrap();
    let annotations = json!({
        "machineconfiguration.openshift.io/currentConfig": "rendered-elsewhere",
        "machineconfiguration.openshift.io/desiredConfig": "rendered-elsewhere",
        "machineconfiguration.openshift.io/state": "Done",
    });
    node.write(
        "/etc/machine-config-daemon/node-annotations.json",
        &annotations.to_string(),
    );
    api.put(
        NODE,
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "uid": "u", "annotations": {}}}),
    );
    let mut daemon = Daemon::start(&node, &api);
    reason(
        &api,
        "Degraded",
        "MC7031 MachineConfig/rendered-elsewhere: was served at its first boot, and the cluster has no such config",
    );
    api.annotate("desiredConfig", "rendered-a");
    done(&api, "rendered-a");
    daemon.wait_rest();
    daemon.terminate();
}

#[test]
fn certificates_flow_while_an_update_waits_for_its_drain() {
    let (node, api) = begin(&config("rendered-b", &[("/etc/b", "two")]));
    fs::create_dir_all(node.at("/etc/kubernetes")).unwrap();
    let mut daemon = Daemon::start(&node, &api);
    daemon.wait_rest();
    api.annotate("desiredConfig", "rendered-b");
    api.wait("the request for a drain", |api| {
        api.annotation("desiredDrain") == "drain-rendered-b"
    });
    api.put(
        CONTROLLER_CONFIG,
        json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "ControllerConfig",
            "metadata": {"name": "machine-config-controller"},
            "spec": {"kubeAPIServerServingCAData": base64("new authority")},
        }),
    );
    let version = api.get(CONTROLLER_CONFIG)["metadata"]["resourceVersion"].clone();
    api.wait("the certificate", |api| {
        api.annotation("lastSyncedControllerConfigResourceVersion") == version
    });
    assert_eq!(node.read("/etc/kubernetes/kubelet-ca.crt"), "new authority\n");
    assert_eq!(api.annotation("state"), "Working");
    daemon.terminate();
}

#[test]
fn an_api_server_that_is_away_ends_nothing() {
    let (node, api) = begin(&config("rendered-b", &[("/etc/calm/a", "two")]));
    let mut daemon = Daemon::start(&node, &api);
    daemon.wait_rest();
    api.set_away(true);
    node.write("/etc/calm/a", "somebody else's");
    daemon.wait_line("The node object cannot be written");
    assert!(daemon.healthy(), "{}", daemon.log());
    api.set_away(false);
    reason(&api, "Degraded", "content mismatch");
    // What was assigned before is gone to also when the process starts without an API server.
    api.annotate("desiredConfig", "rendered-b");
    done(&api, "rendered-b");
    daemon.terminate();
    api.set_away(true);
    let mut daemon = Daemon::start(&node, &api);
    node.write("/etc/calm/a", "somebody else's again");
    daemon.wait_line("the node goes by what it said last");
    daemon.wait_line("The node object cannot be written");
    api.set_away(false);
    reason(&api, "Degraded", "content mismatch");
    node.write("/etc/calm/a", "two");
    done(&api, "rendered-b");
    daemon.terminate();
}

#[test]
fn a_start_on_a_node_that_is_as_it_should_be_takes_no_time() {
    let (node, api) = begin(&config("rendered-b", &[]));
    let begin = std::time::Instant::now();
    let mut daemon = Daemon::start(&node, &api);
    daemon.wait_rest();
    let took = begin.elapsed();
    assert!(took < DEADLINE / 10, "{took:?}");
    eprintln!("at rest after {took:?}, with {} KiB resident", daemon.resident());
    assert!(daemon.healthy());
    daemon.terminate();
}
