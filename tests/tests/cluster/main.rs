//! Real clusters: what the harness promises to those who test with it. Clusters need root, the parts that are built once and static
//! programs; `cargo xtask test` provides them.

mod deployed;
mod kept;
mod words;

use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::cluster::{Cluster, Component, JSON, MERGE, NodeSpec, Options, wait_on};
use http::Method;
use serde_json::json;

use words::{DEADLINE, create_pod, load_say, pod, wait_said};

// === one cluster, two nodes ===

#[test]
#[ignore = "needs root, parts of clusters and static programs"]
fn two_nodes_run_pods_under_the_rules_of_a_real_cluster() -> Result<()> {
    let mut cluster = Cluster::up(&Options::workers(2))?;
    load_say(&mut cluster)?;
    cluster.judged("pods", pods_run_on_the_node_they_are_given(&cluster))?;
    cluster.judged("budget", a_budget_blocks_an_eviction_until_it_is_met(&cluster))?;
    cluster.judged("restriction", a_kubelet_changes_its_own_node_alone(&cluster))?;
    cluster.judged(
        "privileged",
        a_privileged_pod_reaches_its_node_and_the_api(&cluster),
    )?;
    cluster.judged("bundle", a_bundle_tells_of_everything(&cluster))
}

fn pods_run_on_the_node_they_are_given(cluster: &Cluster) -> Result<()> {
    for node in ["worker-1", "worker-2"] {
        let object = cluster.api().get(&format!("/api/v1/nodes/{node}"))?;
        let role = &object["metadata"]["labels"]["node-role.kubernetes.io/worker"];
        ensure!(role == "", "node {node} is no worker: {}", object["metadata"]);
        create_pod(cluster, node, &format!("on-{node}"), &["hello", "from", node])?;
    }
    for node in ["worker-1", "worker-2"] {
        wait_said(cluster, &format!("on-{node}"), &format!("hello from {node}\n"))?;
        let object = cluster
            .api()
            .get(&format!("/api/v1/namespaces/default/pods/on-{node}"))?;
        let host = object["status"]["hostIP"].as_str();
        let address = cluster.node(node)?.address().to_string();
        ensure!(host == Some(&address), "the pod for {node} runs at {host:?}");
    }
    Ok(())
}

fn a_budget_blocks_an_eviction_until_it_is_met(cluster: &Cluster) -> Result<()> {
    let api = cluster.api();
    let labels = json!({"app": "guarded"});
    let mut template = pod("ignored", &["guarded"]);
    template["metadata"] = json!({"labels": labels});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "guarded"},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    });
    api.create("/apis/apps/v1/namespaces/default/deployments", &deployment)?;
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "guarded"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}},
    });
    api.create("/apis/policy/v1/namespaces/default/poddisruptionbudgets", &budget)?;
    let healthy = |count: i64| {
        wait_on(format!("{count} healthy pods under the budget"), DEADLINE, || {
            let budget = api.get("/apis/policy/v1/namespaces/default/poddisruptionbudgets/guarded")?;
            Ok((budget["status"]["currentHealthy"] == count).then_some(()))
        })
    };
    healthy(1)?;
    let pods = api.get("/api/v1/namespaces/default/pods?labelSelector=app%3Dguarded")?;
    let name = pods["items"][0]["metadata"]["name"].as_str();
    let name = name.context("the deployment has no pod")?;
    let refused = api.evict("default", name)?;
    ensure!(
        refused.status == 429 && refused.text.contains("disruption budget"),
        "the budget allows no eviction, yet the answer is {refused:?}"
    );
    let path = "/apis/apps/v1/namespaces/default/deployments/guarded";
    api.merge(path, &json!({"spec": {"replicas": 2}}))?;
    healthy(2)?;
    let granted = api.evict("default", name)?;
    ensure!(
        granted.status == 201,
        "the budget is met, yet the answer is {granted:?}"
    );
    Ok(())
}

fn a_kubelet_changes_its_own_node_alone(cluster: &Cluster) -> Result<()> {
    let kubelet = cluster.api_as(&cluster.node("worker-1")?.identity()?)?;
    let note = json!({"metadata": {"annotations": {"example.com/note": "here"}}});
    let role = json!({"metadata": {"labels": {"node-role.kubernetes.io/master": ""}}});
    for (method, path, body, expected) in [
        (Method::PATCH, "/api/v1/nodes/worker-1", Some(&note), 200),
        (Method::PATCH, "/api/v1/nodes/worker-2", Some(&note), 403),
        (Method::PATCH, "/api/v1/nodes/worker-1", Some(&role), 403),
        (Method::GET, "/api/v1/nodes/worker-1", None, 200),
        (Method::GET, "/api/v1/namespaces/kube-system/secrets", None, 403),
    ] {
        let kind = if body.is_some() { MERGE } else { JSON };
        let answer = kubelet.send(&method, path, kind, body)?;
        ensure!(
            answer.status == expected,
            "{method} {path} by a kubelet: {answer:?}"
        );
    }
    let other = cluster.api().get("/api/v1/nodes/worker-2")?;
    ensure!(
        other["metadata"]["annotations"]["example.com/note"].is_null(),
        "a kubelet has changed another node"
    );
    Ok(())
}

fn a_privileged_pod_reaches_its_node_and_the_api(cluster: &Cluster) -> Result<()> {
    let machine = cluster.node("worker-2")?.machine();
    let before = machine.property("chrony.service", "InvocationID")?;
    ensure!(!before.is_empty(), "chrony does not run");
    let script =
        "exec 3<>/dev/tcp/$KUBERNETES_SERVICE_HOST/443 && systemctl restart chrony && cat /proc/1/comm";
    let mut pod = pod("privileged", &["at", "/rootfs", "bash", "-c", script]);
    pod["spec"]["nodeName"] = json!("worker-2");
    pod["spec"]["restartPolicy"] = json!("Never");
    pod["spec"]["hostPID"] = json!(true);
    pod["spec"]["volumes"] = json!([{"name": "rootfs", "hostPath": {"path": "/"}}]);
    let container = &mut pod["spec"]["containers"][0];
    container["command"] = json!(["/bin/guest-pod"]);
    container["securityContext"] = json!({"privileged": true});
    container["volumeMounts"] =
        json!([{"name": "rootfs", "mountPath": "/rootfs", "mountPropagation": "HostToContainer"}]);
    cluster.api().create("/api/v1/namespaces/default/pods", &pod)?;
    wait_said(cluster, "privileged", "systemd\n")?;
    let after = machine.property("chrony.service", "InvocationID")?;
    ensure!(
        !after.is_empty() && after != before,
        "a pod restarted chrony, which runs as {after:?} after {before:?}"
    );
    Ok(())
}

fn a_bundle_tells_of_everything(cluster: &Cluster) -> Result<()> {
    let dir = tempfile::tempdir()?;
    cluster.bundle(dir.path())?;
    let mut names = Vec::new();
    for entry in fs::read_dir(dir.path())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    for wanted in [
        "api_v1_nodes.json",
        "kube-apiserver.1.log",
        "worker-2.journal.log",
        "worker-1.pod.default_on-worker-1",
    ] {
        ensure!(
            names.iter().any(|name| name.starts_with(wanted)),
            "the bundle has no {wanted}, but {names:?}"
        );
    }
    let nodes = fs::read_to_string(dir.path().join("api_v1_nodes.json"))?;
    ensure!(nodes.contains("worker-2"), "the bundle knows no nodes: {nodes}");
    let journal = fs::read_to_string(dir.path().join("worker-1.journal.log"))?;
    ensure!(
        journal.contains("kubelet"),
        "the journal of a node tells of no kubelet"
    );
    Ok(())
}

// === the power and the network of nodes ===

#[test]
#[ignore = "needs root, parts of clusters and static programs"]
fn a_node_comes_back_from_a_reboot_a_power_cut_and_a_shutdown() -> Result<()> {
    let mut cluster = Cluster::up(&Options::workers(1))?;
    load_say(&mut cluster)?;
    let outcome = a_node_comes_back(&mut cluster);
    cluster.judged("power", outcome)
}

fn a_node_comes_back(cluster: &mut Cluster) -> Result<()> {
    create_pod(cluster, "worker-1", "stays", &["still here"])?;
    wait_said(cluster, "stays", "still here\n")?;
    let first = cluster.node("worker-1")?.machine().boot_id()?;
    let second = cluster.reboot("worker-1")?;
    pod_runs_again(cluster, 1)?;
    cluster.cut("worker-1")?;
    ensure!(
        !cluster.node("worker-1")?.is_on(),
        "the power is cut, yet it is on"
    );
    let third = cluster.start("worker-1")?;
    pod_runs_again(cluster, 2)?;
    cluster.power_off("worker-1")?;
    let fourth = cluster.start("worker-1")?;
    pod_runs_again(cluster, 3)?;
    let boots = [&first, &second, &third, &fourth];
    for (number, boot) in boots.iter().enumerate() {
        ensure!(
            !boots[..number].contains(boot),
            "two boots have the same id: {boots:?}"
        );
    }
    let object = cluster.api().get("/api/v1/nodes/worker-1")?;
    ensure!(
        object["status"]["nodeInfo"]["bootID"] == fourth.as_str(),
        "the node object tells of another boot"
    );
    Ok(())
}

/// The same pod, with a container that was started anew at least so often.
fn pod_runs_again(cluster: &Cluster, restarts: i64) -> Result<()> {
    wait_on(
        format!("start {restarts} of the pod after the first"),
        DEADLINE,
        || {
            let pod = cluster.api().get("/api/v1/namespaces/default/pods/stays")?;
            let container = &pod["status"]["containerStatuses"][0];
            let is_new = container["restartCount"].as_i64() >= Some(restarts);
            Ok((is_new && container["ready"] == true).then_some(()))
        },
    )
}

#[test]
#[ignore = "needs root, parts of clusters and static programs"]
fn parts_of_the_control_plane_come_back_and_a_cable_can_be_pulled() -> Result<()> {
    let mut cluster = Cluster::up(&Options::default())?;
    let outcome = the_control_plane_comes_back(&mut cluster);
    cluster.judged("control-plane", outcome)?;
    let outcome = nodes_come_and_go(&mut cluster);
    cluster.judged("cable", outcome)
}

fn the_control_plane_comes_back(cluster: &mut Cluster) -> Result<()> {
    let path = "/api/v1/namespaces/default/configmaps";
    let kept =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}, "data": {"a": "b"}});
    cluster.api().create(path, &kept)?;
    for component in [Component::KubeApiserver, Component::Etcd] {
        cluster.kill_component(component)?;
        // Without etcd the server still answers from what it remembers, but it says that it is not ready.
        let refused = format!("the API server without {}", component.name());
        wait_on(refused, DEADLINE, || {
            Ok(cluster.api().text("/readyz").is_err().then_some(()))
        })?;
        ensure!(
            cluster.kill_component(component).is_err(),
            "{} was killed twice",
            component.name()
        );
        cluster.start_component(component)?;
        let found = cluster.api().get(&format!("{path}/kept"))?;
        ensure!(found["data"]["a"] == "b", "an object was lost: {found}");
    }
    cluster.restart_component(Component::KubeControllerManager)?;
    cluster.restart_component(Component::KubeScheduler)
}

fn nodes_come_and_go(cluster: &mut Cluster) -> Result<()> {
    let spec = NodeSpec {
        name: "late".to_owned(),
        labels: [("example.com/late".to_owned(), "yes".to_owned())].into(),
    };
    cluster.add_node(&spec)?;
    ensure!(cluster.add_node(&spec).is_err(), "two nodes have one name");
    let nodes = cluster
        .api()
        .get("/api/v1/nodes?labelSelector=example.com%2Flate%3Dyes")?;
    ensure!(nodes["items"][0]["metadata"]["name"] == "late", "{nodes}");

    let door = format!(
        "exec 3<>/dev/tcp/{}/443",
        cluster.server().replace("https://", "").replace(":443", "")
    );
    let reaches = |cluster: &Cluster| -> Result<bool> {
        let argv = ["timeout", "2", "bash", "-c", &door];
        Ok(cluster.node("late")?.machine().run(&argv)?.code == Some(0))
    };
    ensure!(reaches(cluster)?, "the node does not reach the API server");
    cluster.disconnect("late")?;
    ensure!(
        !reaches(cluster)?,
        "the cable is out, yet the node reaches the API server"
    );
    cluster.connect("late")?;
    wait_on("the node to reach the API server again", DEADLINE, || {
        Ok(reaches(cluster)?.then_some(()))
    })?;
    cluster.wait_ready("late")?;

    cluster.remove_node("late")?;
    ensure!(
        cluster.api().find("/api/v1/nodes/late")?.is_none(),
        "the node is gone, its object is not"
    );
    Ok(())
}
