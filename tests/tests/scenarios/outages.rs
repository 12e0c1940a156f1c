//! Outages while nodes are updated: of the controller, of the API server and its store, of a node's network.

use anyhow::{Context as _, Result, ensure};
use e2e::cluster::product::{NAMESPACE, annotation, is_done};
use e2e::cluster::{Component, wait_on};
use serde_json::{Value, json};

use crate::held::{allow_evictions, forbid_evictions, wait_held};
use crate::processes::{find, kill};
use crate::scene::{Scene, file, text};
use crate::watched::most_away;
use crate::world::{DEADLINE, World};

/// The program, as its container starts it.
const CONTROLLER: &str = "/machine-config-controller";

/// The node of its replicas.
const SYSTEM: &str = "system";

/// Where its replicas are described.
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/machine-config/deployments/machine-config-controller";

/// The lease that the leader holds.
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/machine-config/leases/machine-config-controller";

/// Times of the lease that somebody sets who does not want to wait for minutes until another replica takes over from one that was killed.
const HURRY: [&str; 3] = [
    "--leader-elect-lease-duration=6",
    "--leader-elect-renew-deadline=4",
    "--leader-elect-retry-period=1",
];

/// Scenario 13: whatever is away for a while, all nodes are updated in the end, and never is more than one of them away.
pub(crate) fn outages_hold_up_nothing_for_good(world: &World) -> Result<()> {
    // Before there are nodes that the replicas could move to.
    let hurried = hurry(world);
    world.cluster().judged("outages-flags", hurried)?;
    Scene::begin(world, "outages", 3)?.play(|scene| {
        scene.run_pods(scene.nodes().len())?;
        let nodes = scene.watch_nodes()?;
        of_leaders_and_a_cable(scene).context("the leader was killed, and a cable pulled")?;
        of_the_control_plane(scene).context("the control plane was killed")?;
        let nodes = nodes.end()?;
        ensure!(
            most_away(&nodes) == 1,
            "{} nodes were away at once",
            most_away(&nodes)
        );
        Ok(())
    })
}

/// The leader is killed while a node is drained, then the cable of that node is pulled, then another leader is killed between two nodes.
fn of_leaders_and_a_cable(scene: &Scene<'_>) -> Result<()> {
    let (world, before) = (scene.world(), scene.target()?);
    forbid_evictions(scene)?;
    scene.apply_config("drain", &file("/etc/policy/drain", "leaders"))?;
    let target = scene.wait_rendered(&before)?;
    let held = wait_held(scene)?;
    kill_leader(scene)?;
    world.cluster().disconnect(&held)?;
    let is_cut = scene.wait("the node to be missed", || {
        let ready = ready(&scene.node(&held)?);
        Ok((ready == "Unknown").then_some(()))
    });
    let told = told(scene, &target);
    world.cluster().connect(&held)?;
    is_cut?;
    ensure!(told? == [held.as_str()], "others were told meanwhile");
    allow_evictions(scene)?;
    scene.wait("the node to be done, and another to be on its way", || {
        let told = told_and_done(scene, &target)?;
        Ok((told.contains(&true) && told.contains(&false)).then_some(()))
    })?;
    kill_leader(scene)?;
    ensure!(scene.wait_updated()? == target, "it was rendered anew");
    scene.wait_pods(scene.nodes().len())
}

/// The API server is killed while the first node is on its way, its store while the second one is.
fn of_the_control_plane(scene: &Scene<'_>) -> Result<()> {
    let (world, before) = (scene.world(), scene.target()?);
    scene.apply_config("drain", &file("/etc/policy/drain", "control-plane"))?;
    let target = scene.wait_rendered(&before)?;
    for (done, component) in [(0, Component::KubeApiserver), (1, Component::Etcd)] {
        scene.wait("a node to be on its way", || {
            let told = told_and_done(scene, &target)?;
            let count = told.iter().filter(|done| **done).count();
            Ok((count >= done && told.contains(&false)).then_some(()))
        })?;
        world.cluster_mut().restart_component(component)?;
    }
    ensure!(scene.wait_updated()? == target, "it was rendered anew");
    scene.wait_pods(scene.nodes().len())
}

/// Whether each node that was told is done.
fn told_and_done(scene: &Scene<'_>, target: &str) -> Result<Vec<bool>> {
    let nodes = scene.nodes().iter().map(|node| scene.node(node));
    let nodes = nodes.collect::<Result<Vec<_>>>()?;
    let told = nodes
        .iter()
        .filter(|node| annotation(node, "desiredConfig") == target);
    Ok(told.map(is_done).collect())
}

/// The nodes that were told.
fn told<'s>(scene: &'s Scene<'_>, target: &str) -> Result<Vec<&'s str>> {
    let mut told = Vec::new();
    for node in scene.nodes() {
        if annotation(&scene.node(node)?, "desiredConfig") == target {
            told.push(node.as_str());
        }
    }
    Ok(told)
}

/// The status of the condition Ready.
fn ready(node: &Value) -> String {
    let conditions = node["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let ready = conditions.find(|condition| condition["type"] == "Ready");
    ready.map_or_else(String::new, |ready| text(&ready["status"]).to_owned())
}

// === replicas ===

/// Gives the replicas of the controller other times of the lease, and waits until they run with those.
fn hurry(world: &World) -> Result<()> {
    let container = "/spec/template/spec/containers/0/args";
    let deployment = world.api().get(DEPLOYMENT)?;
    let before = deployment.pointer(container).and_then(Value::as_array);
    let kept = before.into_iter().flatten().filter_map(Value::as_str);
    // A flag that is there twice is refused.
    let kept = kept.filter(|flag| !flag.starts_with("--leader-elect-"));
    let flags: Vec<&str> = kept.chain(HURRY).collect();
    let patch = json!([{"op": "replace", "path": container, "value": flags}]).to_string();
    let ran = world.cluster().kubectl(&[
        "patch",
        "deployment",
        "machine-config-controller",
        "--namespace",
        NAMESPACE,
        "--type=json",
        "--patch",
        &patch,
    ])?;
    ensure!(ran.code == Some(0), "the flags are not taken: {}", ran.all());
    wait_on("both replicas to run with other flags", DEADLINE, || {
        let deployment = world.api().get(DEPLOYMENT)?;
        let (status, all) = (&deployment["status"], &deployment["spec"]["replicas"]);
        let counts = ["replicas", "updatedReplicas", "readyReplicas"];
        let is_seen = status["observedGeneration"] == deployment["metadata"]["generation"];
        Ok((is_seen && counts.iter().all(|count| status[*count] == *all)).then_some(()))
    })
}

/// Kills the replica that leads, as a fault would, and waits until another one leads.
fn kill_leader(scene: &Scene<'_>) -> Result<()> {
    let world = scene.world();
    let leader = || -> Result<String> {
        let lease = world.api().get(LEASE)?;
        Ok(text(&lease["spec"]["holderIdentity"]).to_owned())
    };
    let (old, replica) = scene.wait("a leader that runs", || {
        let leader = leader()?;
        // It is called after its host, which is its pod.
        let (pod, _) = leader.split_once('_').context("nobody leads")?;
        let host = format!("HOSTNAME={pod}");
        let mut replicas = find(world, SYSTEM, CONTROLLER)?.into_iter();
        let replica = replicas.find(|replica| replica.environment.contains(&host));
        Ok(replica.map(|replica| (leader, replica)))
    })?;
    ensure!(kill(world, SYSTEM, &replica)?, "the leader {old} was gone");
    scene.wait("another leader", || {
        let new = leader()?;
        Ok((!new.is_empty() && new != old).then_some(()))
    })
}
