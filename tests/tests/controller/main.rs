//! The controller against a real API server: pools are rendered, rolled out, drained and reported as promised, with daemons that are played.
//! Takes root, the parts of clusters and static programs; `cargo xtask test` provides them.

mod agents;
mod rights;
mod sampled;
mod world;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::cluster::wait_on;
use serde_json::json;

use agents::{Agents, DRAINS};
use sampled::Sampled;
use world::{World, condition, file, wait};

#[test]
#[ignore = "needs root, parts of clusters and static programs"]
fn the_controller_keeps_its_promises_on_a_real_api_server() -> Result<()> {
    let mut world = World::up()?;
    let agents = Agents::play(world.cluster().api().clone());
    let outcome = scenarios(&mut world);
    drop(agents);
    world.judged(outcome)
}

fn scenarios(world: &mut World) -> Result<()> {
    type Scenario = fn(&mut World) -> Result<()>;
    let all: [(&str, Scenario); 11] = [
        ("defaults", what_must_be_there_is_made),
        ("masters", masters_take_work_as_the_scheduler_says),
        ("one-by-one", one_node_at_a_time_up_to_updated),
        ("paused", a_paused_pool_is_rendered_and_not_rolled_out),
        ("bad", a_bad_config_degrades_its_pool_and_heals),
        ("two-of-five", two_of_five_are_never_exceeded),
        ("budget", a_budget_that_blocks_is_named_until_it_is_met),
        ("replicas", another_replica_goes_on_when_the_leader_is_killed),
        ("restored", a_rendered_config_in_use_is_restored_and_old_ones_go),
        ("certificates", certificates_are_told_with_their_ends),
        // The last one: it looks at what all others have taken.
        (
            "rights",
            rights::all_that_is_granted_is_used_and_nothing_is_refused,
        ),
    ];
    for (name, scenario) in all {
        scenario(world).with_context(|| format!("scenario {name}"))?;
        println!("scenario {name}: ok");
    }
    Ok(())
}

fn what_must_be_there_is_made(world: &mut World) -> Result<()> {
    for path in [
        "/apis/operator.openshift.io/v1/machineconfigurations/cluster",
        "/apis/machineconfiguration.openshift.io/v1/controllerconfigs/machine-config-controller",
        "/apis/machineconfiguration.openshift.io/v1/machineconfigpools/master",
        "/apis/machineconfiguration.openshift.io/v1/machineconfigpools/worker",
    ] {
        wait(&format!("{path} to be made"), || world.api().find(path))?;
    }
    wait("the merged policy", || {
        let settings = world
            .api()
            .get("/apis/operator.openshift.io/v1/machineconfigurations/cluster")?;
        let files = &settings["status"]["nodeDisruptionPolicyStatus"]["clusterPolicies"]["files"];
        Ok(files
            .as_array()
            .is_some_and(|files| files.len() > 5)
            .then_some(()))
    })?;
    // Nobody has written a MachineConfig for it, and that is no fault.
    wait("the status of an empty pool", || {
        let pool = world.pool("master")?;
        Ok((condition(&pool, "Degraded") == "False").then_some(()))
    })?;
    ensure!(
        world.metrics()?.contains("machine_config_leading 1"),
        "nobody leads"
    );
    Ok(())
}

fn masters_take_work_as_the_scheduler_says(world: &mut World) -> Result<()> {
    let schedulers = "/apis/config.openshift.io/v1/schedulers";
    let name = "scheduled-1";
    let master = "node-role.kubernetes.io/master";
    let node =
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {master: ""}}});
    world.api().create("/api/v1/nodes", &node)?;
    let taints_of = |node: &serde_json::Value| {
        let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
        taints
            .iter()
            .any(|taint| taint["key"] == master && taint["effect"] == "NoSchedule")
    };
    wait("a master to be called control plane", || {
        let labels = world.node(name)?["metadata"]["labels"].clone();
        Ok((labels["node-role.kubernetes.io/control-plane"] == "").then_some(()))
    })?;
    world.api().merge(
        &format!("{schedulers}/cluster"),
        &json!({"spec": {"mastersSchedulable": true}}),
    )?;
    let takes_work = |takes: bool| {
        wait(&format!("a master to take work: {takes}"), || {
            let node = world.node(name)?;
            let is_worker = node["metadata"]["labels"]["node-role.kubernetes.io/worker"] == "";
            Ok((is_worker == takes && taints_of(&node) != takes).then_some(()))
        })
    };
    takes_work(true)?;
    world.api().delete(&format!("{schedulers}/cluster"))?;
    takes_work(false)?;
    world.api().delete(&World::node_path(name))
}

fn one_node_at_a_time_up_to_updated(world: &mut World) -> Result<()> {
    let pool = world.make_pool("one", 3, &json!({}))?;
    let sampled = Sampled::begin(world, "one")?;
    world.configure("50-one", "one", &file("/etc/one", "1"))?;
    let target = world.wait_updated("one", &pool.target)?;
    let seen = sampled.end()?;
    ensure!(seen.most_busy() == 1, "{} nodes at a time", seen.most_busy());
    ensure!(
        seen.order().len() == 3,
        "not every node had its turn: {:?}",
        seen.order()
    );
    ensure!(seen.waited_tainted(), "a node that waited had no taint");
    let rendered = world.api().get(&World::config_path(&target))?;
    ensure!(
        rendered["metadata"]["ownerReferences"][0]["name"] == "one"
            && rendered["metadata"]["annotations"]["machine-config.io/provenance"].is_string(),
        "the rendered config lacks what it should bear: {}",
        rendered["metadata"]
    );
    let nodes = world.nodes("one")?;
    for node in &nodes {
        ensure!(
            node["spec"]["taints"].is_null(),
            "a taint was left behind: {node}"
        );
    }
    let pool = world.pool("one")?;
    ensure!(
        pool["status"]["updatedMachineCount"] == 3
            && pool["status"]["configuration"]["name"] == target.as_str(),
        "{}",
        pool["status"]
    );
    ensure!(
        pool["metadata"]["annotations"]["machine-config.io/reservations"].is_null(),
        "a slot is still reserved: {}",
        pool["metadata"]
    );
    for reason in ["RenderedConfigGenerated", "SetDesiredConfig", "Completed"] {
        wait(&format!("the event {reason}"), || {
            Ok(world.events_of("one")?.contains(&reason.to_owned()).then_some(()))
        })?;
    }
    let report = world
        .api()
        .get("/apis/machineconfiguration.openshift.io/v1/machineconfignodes/one-1")?;
    ensure!(
        report["spec"]["pool"]["name"] == "one"
            && report["spec"]["configVersion"]["desired"] == target.as_str(),
        "{report}"
    );
    Ok(())
}

fn a_paused_pool_is_rendered_and_not_rolled_out(world: &mut World) -> Result<()> {
    let before = world.make_pool("paused", 2, &json!({"paused": true}))?;
    world.configure("50-paused", "paused", &file("/etc/paused", "1"))?;
    let target = world.wait_rendered("paused", &before.target)?;
    wait("the pool to say that it is paused", || {
        let pool = world.pool("paused")?;
        let message = world::message(&pool, "Updating");
        let is_said = message.contains("paused") && message.contains(&target);
        Ok((condition(&pool, "Updating") == "False" && is_said).then_some(()))
    })?;
    for node in world.nodes("paused")? {
        let desired = world::annotation(&node, "desiredConfig");
        ensure!(
            desired == before.target,
            "a node of a paused pool was told {desired}"
        );
        ensure!(
            node["spec"]["taints"].is_null(),
            "a node of a paused pool is tainted"
        );
    }
    world.change_pool("paused", &json!({"spec": {"paused": false}}))?;
    let updated = world.wait_updated("paused", &before.target)?;
    ensure!(updated == target, "it was rendered anew: {updated}");
    Ok(())
}

fn a_bad_config_degrades_its_pool_and_heals(world: &mut World) -> Result<()> {
    let before = world.make_pool("bad", 2, &json!({}))?;
    world.configure("50-bad", "bad", &json!({"kernelType": "slow"}))?;
    wait("the pool to be degraded by name", || {
        let pool = world.pool("bad")?;
        let message = world::message(&pool, "RenderDegraded");
        let is_named = message.contains("MachineConfig/50-bad") && message.contains("spec.kernelType");
        Ok((is_named && condition(&pool, "Degraded") == "True").then_some(()))
    })?;
    ensure!(
        world.target("bad")? == before.target,
        "a refused config was taken"
    );
    world.api().delete(&World::config_path("50-bad"))?;
    wait("the pool to heal", || {
        let pool = world.pool("bad")?;
        Ok(
            (condition(&pool, "RenderDegraded") == "False" && condition(&pool, "Degraded") == "False")
                .then_some(()),
        )
    })?;
    // One that renders, and that nodes that run already cannot follow.
    let directory = json!({"config": {"ignition": {"version": "3.5.0"},
        "storage": {"directories": [{"path": "/etc/made-once"}]}}});
    world.configure("50-bad", "bad", &directory)?;
    wait("the pool to be degraded by what cannot be followed", || {
        let message = world::message(&world.pool("bad")?, "RenderDegraded");
        Ok((message.contains("MachineConfig/50-bad") && message.contains("/etc/made-once")).then_some(()))
    })?;
    world.api().delete(&World::config_path("50-bad"))?;
    // And one that fails on the node: the rollout stops there, and another target heals it.
    world.configure("60-bad", "bad", &file("/etc/bad", agents::FAILS))?;
    wait("a node to fail and its pool to say so", || {
        let pool = world.pool("bad")?;
        let message = world::message(&pool, "NodeDegraded");
        let is_said = message.contains("the played daemon cannot apply it");
        Ok((is_said && pool["status"]["degradedMachineCount"] == 1).then_some(()))
    })?;
    world.api().delete(&World::config_path("60-bad"))?;
    wait("the node to go back and the pool to be updated", || {
        let pool = world.pool("bad")?;
        let is_back = pool["status"]["configuration"]["name"] == before.target.as_str();
        let heals = condition(&pool, "Updated") == "True" && condition(&pool, "Degraded") == "False";
        Ok((is_back && heals && world.target("bad")? == before.target).then_some(()))
    })
}

fn two_of_five_are_never_exceeded(world: &mut World) -> Result<()> {
    let before = world.make_pool("five", 5, &json!({"maxUnavailable": 2}))?;
    let sampled = Sampled::begin(world, "five")?;
    world.configure("50-five", "five", &file("/etc/five", "1"))?;
    let first = world.wait_rendered("five", &before.target)?;
    // Another target on the way.
    world.configure("51-five", "five", &file("/etc/five-too", "1"))?;
    world.wait_updated("five", &first)?;
    world.change_pool("five", &json!({"spec": {"maxUnavailable": "40%"}}))?;
    let second = world.target("five")?;
    world.configure("52-five", "five", &file("/etc/five-three", "1"))?;
    world.wait_updated("five", &second)?;
    let seen = sampled.end()?;
    ensure!(seen.most_busy() == 2, "{} nodes at a time", seen.most_busy());
    Ok(())
}

fn a_budget_that_blocks_is_named_until_it_is_met(world: &mut World) -> Result<()> {
    let before = world.make_pool("drained", 1, &json!({}))?;
    let node = "drained-1";
    world.annotate_node(node, DRAINS, "yes")?;
    let labels = json!({"app": "kept"});
    world.run_pod(node, "kept", &labels)?;
    world.run_daemon_set("daemon", "drained")?;
    world.run_pod(node, "free", &json!({"app": "free"}))?;
    let daemon = world
        .pods_of("daemon")?
        .pop()
        .context("the DaemonSet has no pod")?;
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "keeps"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}},
    });
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    world.api().create(budgets, &budget)?;
    wait("the budget to be counted", || {
        let budget = world.api().get(&format!("{budgets}/keeps"))?;
        Ok((budget["status"]["currentHealthy"] == 1).then_some(()))
    })?;
    world.configure("50-drained", "drained", &file("/etc/drained", "1"))?;
    wait("the drain to name pod and budget", || {
        let report = world.api().get(&format!(
            "/apis/machineconfiguration.openshift.io/v1/machineconfignodes/{node}"
        ))?;
        let message = world::message(&report, "Drained");
        let is_named = message.contains("default/kept") && message.contains("PodDisruptionBudget keeps");
        Ok((is_named && condition(&report, "Cordoned") == "True").then_some(()))
    })?;
    let object = world.node(node)?;
    ensure!(
        object["spec"]["unschedulable"] == true,
        "the node is not cordoned: {object}"
    );
    ensure!(world.pod("free")?.is_none(), "a pod that may go is still there");
    world.api().delete(&format!("{budgets}/keeps"))?;
    world.wait_updated("drained", &before.target)?;
    ensure!(
        world.pod("kept")?.is_none(),
        "the node is updated, and the pod was not evicted"
    );
    let daemons = world.pods_of("daemon")?;
    let created = |pod: &serde_json::Value| pod["metadata"]["uid"] == daemon["metadata"]["uid"];
    ensure!(
        daemons.iter().any(created),
        "a pod of a DaemonSet was evicted: {daemons:?}"
    );
    let object = world.node(node)?;
    ensure!(
        object["spec"]["unschedulable"].is_null() && world::own_annotation(&object, "drain").is_empty(),
        "the node was not given back: {object}"
    );
    an_administrators_cordon_is_respected(world, node)
}

/// The node is not updated, and stays cordoned.
fn an_administrators_cordon_is_respected(world: &World, node: &str) -> Result<()> {
    world
        .api()
        .merge(&World::node_path(node), &json!({"spec": {"unschedulable": true}}))?;
    let target = world.target("drained")?;
    world.configure("51-drained", "drained", &file("/etc/drained-too", "1"))?;
    let next = world.wait_rendered("drained", &target)?;
    wait("the pool to wait for the administrator", || {
        let message = world::message(&world.pool("drained")?, "Updating");
        Ok((message.contains("cordoned, not by an update") && message.contains(&next)).then_some(()))
    })?;
    ensure!(
        world::annotation(&world.node(node)?, "desiredConfig") == target,
        "a node that somebody cordoned was told a config"
    );
    world
        .api()
        .merge(&World::node_path(node), &json!({"spec": {"unschedulable": null}}))?;
    world.wait_updated("drained", &target).map(drop)
}

fn another_replica_goes_on_when_the_leader_is_killed(world: &mut World) -> Result<()> {
    let before = world.make_pool("replicas", 6, &json!({"maxUnavailable": 2}))?;
    world.start_controller()?;
    let sampled = Sampled::begin(world, "replicas")?;
    world.configure("50-replicas", "replicas", &file("/etc/replicas", "1"))?;
    wait("the rollout to be under way", || {
        let pool = world.pool("replicas")?;
        Ok((pool["status"]["updatedMachineCount"].as_i64() >= Some(1) || sampled_busy(world)?).then_some(()))
    })?;
    let killed = world.kill_leader()?;
    world.wait_updated("replicas", &before.target)?;
    let seen = sampled.end()?;
    ensure!(seen.most_busy() <= 2, "{} nodes at a time", seen.most_busy());
    let holder = world.leader()?;
    ensure!(
        !holder.is_empty() && holder != killed,
        "the killed replica still leads"
    );
    // In good order the lease is handed over, and the process says that all is well.
    world.start_controller()?;
    let code = world.terminate_leader()?;
    ensure!(code == Some(0), "the leader ended with {code:?}");
    wait_on("another one to lead at once", Duration::from_secs(4), || {
        let next = world.leader()?;
        Ok((!next.is_empty() && next != holder).then_some(()))
    })
}

fn certificates_are_told_with_their_ends(world: &mut World) -> Result<()> {
    let authority = world.authority()?;
    let path = "/apis/machineconfiguration.openshift.io/v1/controllerconfigs/machine-config-controller";
    let change = json!({"spec": {"kubeAPIServerServingCAData": authority}});
    world.api().merge(path, &change)?;
    wait("the certificate in the status of the ControllerConfig", || {
        let config = world.api().get(path)?;
        let told = &config["status"]["controllerCertificates"][0];
        let is_told = told["subject"] == "CN=kubernetes-ca" && told["notAfter"].is_string();
        Ok((is_told && told["bundleFile"] == "KubeAPIServerServingCAData").then_some(()))
    })?;
    wait("the certificate in the status of a pool", || {
        let pool = world.pool("worker")?;
        Ok((pool["status"]["certExpirys"][0]["subject"] == "CN=kubernetes-ca").then_some(()))
    })?;
    let line = "machine_config_certificate_expiry_timestamp_seconds{bundle=\"KubeAPIServerServingCAData\",subject=\"CN=kubernetes-ca\"}";
    wait("the certificate in the metrics of the leader", || {
        Ok(world.all_metrics()?.contains(line).then_some(()))
    })
}

fn sampled_busy(world: &World) -> Result<bool> {
    let nodes = world.nodes("replicas")?;
    Ok(nodes.iter().any(sampled::is_busy))
}

fn a_rendered_config_in_use_is_restored_and_old_ones_go(world: &mut World) -> Result<()> {
    let before = world.make_pool("restored", 1, &json!({}))?;
    world.configure("50-restored", "restored", &file("/etc/restored", "0"))?;
    let target = world.wait_updated("restored", &before.target)?;
    let path = World::config_path(&target);
    let original = world.api().get(&path)?;
    world.api().delete(&path)?;
    wait("the deleted config to be back", || {
        let found = world.api().find(&path)?;
        Ok(found.filter(|found| {
            found["spec"] == original["spec"] && found["metadata"]["uid"] != original["metadata"]["uid"]
        }))
    })?;
    let tampered =
        json!({"spec": {"kernelArguments": ["evil"], "config": {"passwd": {"users": [{"name": "evil"}]}}}});
    world.api().merge(&path, &tampered)?;
    wait("the changed config to be mended", || {
        Ok((world.api().get(&path)?["spec"] == original["spec"]).then_some(()))
    })?;
    // The config that nodes have, while the pool goes to another one, cannot be rendered any more.
    world.change_pool("restored", &json!({"spec": {"paused": true}}))?;
    world.configure("50-restored", "restored", &file("/etc/restored", "1"))?;
    world.wait_rendered("restored", &target)?;
    world.api().delete(&path)?;
    wait("the config that a node has to be back", || {
        let found = world.api().find(&path)?;
        Ok(found.filter(|found| found["spec"] == original["spec"]))
    })?;
    world.change_pool("restored", &json!({"spec": {"paused": false}}))?;
    let mut target = world.wait_updated("restored", &target)?;
    for round in 2..6 {
        world.configure(
            "50-restored",
            "restored",
            &file("/etc/restored", &round.to_string()),
        )?;
        target = world.wait_updated("restored", &target)?;
    }
    wait("old rendered configs to be deleted", || {
        let names = world.rendered("restored")?;
        ensure!(names.contains(&target), "the config in use is gone: {names:?}");
        Ok((names.len() <= world::KEEP + 1).then_some(()))
    })
}
