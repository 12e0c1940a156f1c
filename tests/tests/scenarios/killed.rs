//! A daemon that is killed while it updates its node.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use e2e::cluster::product::{NAMESPACE, annotation, is_done};
use e2e::cluster::wait_on;
use serde_json::{Value, json};

use crate::processes::{Process, find, kill};
use crate::scene::{Scene, condition, file, text};
use crate::world::{DEADLINE, World};

/// The program, as its container starts it.
const DAEMON: &str = "/machine-config-daemon";

/// How often a daemon is killed while it updates its node, at least.
const KILLS: usize = 10;

/// How often at most in one update: the kubelet restarts a container at once for the first time, then after ten seconds and more.
const KILLS_OF_UPDATE: usize = 2;

/// Within how many milliseconds it is killed, from when it has something to do: about as long as it works until a reboot.
const WITHIN: u64 = 1500;

/// After so many updates there must have been enough kills: a moment may come when an update has ended.
const UPDATES: usize = 8;

/// What an update changes in turn: a file that takes a drain and a reboot, and one that takes a drain only.
const FILES: [(&str, bool); 2] = [("/etc/killed", true), ("/etc/policy/drain", false)];

/// Scenario 14: whenever it is killed, the update ends as if nothing had been.
pub(crate) fn a_daemon_that_is_killed_ends_its_update_right(world: &World) -> Result<()> {
    Scene::begin_with(world, "killed", 3, &json!({"maxUnavailable": 3}))?.play(|scene| {
        scene.run_pods(2)?;
        let mut moments = Vec::new();
        for round in 0..UPDATES {
            let (path, reboots) = FILES[round % FILES.len()];
            let outcome = update(scene, path, reboots, &round.to_string(), &mut moments);
            outcome.with_context(|| format!("update {round} of {path}, killed at {moments:?}"))?;
            if moments.len() >= KILLS {
                eprintln!("killed: {moments:?}");
                return Ok(());
            }
            renew_daemons(scene)?;
        }
        Err(anyhow!(
            "after {UPDATES} updates the daemon was killed in these moments only: {moments:?}"
        ))
    })
}

/// One update of all nodes at once, in which their daemons are killed.
fn update(
    scene: &Scene<'_>,
    path: &str,
    reboots: bool,
    contents: &str,
    moments: &mut Vec<String>,
) -> Result<()> {
    let (world, before) = (scene.world(), scene.target()?);
    let boots = scene
        .nodes()
        .iter()
        .map(|node| scene.boot(node))
        .collect::<Result<Vec<_>>>()?;
    let seen = scene.watch_nodes()?;
    let name = path.replace('/', "-");
    scene.apply_config(name.trim_start_matches('-'), &file(path, contents))?;
    let target = scene.wait_rendered(&before)?;
    let killed: Vec<Result<Vec<String>>> = thread::scope(|scope| {
        let threads: Vec<_> = scene
            .nodes()
            .iter()
            .map(|node| scope.spawn(|| harass(world, node, &target)))
            .collect();
        let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        joined
            .map(|joined| joined.unwrap_or_else(|_| Err(anyhow!("a thread panicked"))))
            .collect()
    });
    for killed in killed {
        moments.extend(killed?);
    }
    scene.wait_updated()?;
    scene.wait("the nodes to take pods", || {
        let free = scene
            .nodes()
            .iter()
            .map(|node| Ok(scene.node(node)?["spec"]["unschedulable"].is_null()))
            .collect::<Result<Vec<_>>>()?;
        Ok((!free.contains(&false)).then_some(()))
    })?;
    let seen = seen.end()?;
    for (node, boot) in scene.nodes().iter().zip(&boots) {
        is_right(scene, node, path, contents)?;
        booted(scene, node, boot, reboots, &seen)?;
    }
    ensure!(
        condition(&scene.pool()?, "Degraded") == "False",
        "the pool is degraded"
    );
    Ok(())
}

/// Kills the daemon of a node in moments of its update. The result tells of those.
fn harass(world: &World, node: &str, target: &str) -> Result<Vec<String>> {
    let path = format!("/api/v1/nodes/{node}");
    wait_on(format!("node {node} to be told"), DEADLINE, || {
        Ok((annotation(&world.api().get(&path)?, "desiredConfig") == target).then_some(()))
    })?;
    let mut moments = Vec::new();
    let mut last: Option<Process> = None;
    while moments.len() < KILLS_OF_UPDATE {
        // A container that was killed, or a node that reboots, takes its time until there is another one.
        let another = wait_on(format!("the daemon of node {node}"), DEADLINE, || {
            if ended(&world.api().get(&path)?, target) {
                return Ok(Some(None));
            }
            let found = find(world, node, DAEMON)?.into_iter().next();
            Ok(found.filter(|found| last.as_ref() != Some(found)).map(Some))
        })?;
        if another.is_none() {
            break;
        }
        let moment = Duration::from_millis(fastrand::u64(0..WITHIN));
        // When it is killed is what is random here.
        thread::sleep(moment);
        let object = world.api().get(&path)?;
        if ended(&object, target) {
            break;
        }
        // Between two boots there is nobody to kill.
        let Ok(Some(process)) = find(world, node, DAEMON).map(|found| found.into_iter().next()) else {
            continue;
        };
        if kill(world, node, &process).unwrap_or(false) {
            let (state, drain) = (annotation(&object, "state"), annotation(&object, "desiredDrain"));
            moments.push(format!("{node} after {moment:?}, {state}, {drain}"));
            last = Some(process);
        }
    }
    Ok(moments)
}

/// Whether a node has come to the end of its update.
fn ended(node: &Value, target: &str) -> bool {
    is_done(node) && annotation(node, "currentConfig") == target
}

/// The node has what it is to have, and nothing is half done.
fn is_right(scene: &Scene<'_>, node: &str, path: &str, contents: &str) -> Result<()> {
    let found = scene.read(node, path)?;
    ensure!(
        found.as_deref() == Some(contents),
        "node {node} has {found:?} in {path}"
    );
    let journal = scene.read(node, "/var/lib/machine-config/journal")?;
    ensure!(
        journal.is_none(),
        "node {node} has a change half done: {journal:?}"
    );
    let taints = scene.node(node)?["spec"]["taints"].to_string();
    ensure!(
        !taints.contains("UpdateInProgress"),
        "node {node} is still tainted: {taints}"
    );
    Ok(())
}

/// The node has rebooted once if the update takes that, else not at all.
fn booted(scene: &Scene<'_>, node: &str, before: &str, reboots: bool, seen: &[Value]) -> Result<()> {
    let of_node = seen.iter().filter(|seen| seen["metadata"]["name"] == node);
    let mut boots: BTreeSet<String> = of_node
        .map(|seen| text(&seen["status"]["nodeInfo"]["bootID"]).to_owned())
        .collect();
    boots.extend([before.to_owned(), scene.boot(node)?]);
    let expected = if reboots { 2 } else { 1 };
    ensure!(
        boots.len() == expected,
        "node {node} had {} boots where {expected} are due",
        boots.len()
    );
    Ok(())
}

/// Gives each node another pod of the daemon, whose first end is not held against it.
fn renew_daemons(scene: &Scene<'_>) -> Result<()> {
    let api = scene.world().api();
    let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let of_node = |node: &str| -> Result<Vec<Value>> {
        let selector = "labelSelector=app.kubernetes.io%2Fname%3Dmachine-config-daemon";
        let list = api.get(&format!("{pods}?{selector}&fieldSelector=spec.nodeName%3D{node}"))?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    };
    for node in scene.nodes() {
        let old: Vec<String> = of_node(node)?
            .iter()
            .map(|pod| text(&pod["metadata"]["name"]).to_owned())
            .collect();
        for pod in &old {
            api.delete(&format!("{pods}/{pod}"))?;
        }
        scene.wait("another pod of the daemon", || {
            let now = of_node(node)?;
            let is_new = |pod: &Value| !old.iter().any(|old| pod["metadata"]["name"] == old.as_str());
            Ok((now.len() == 1 && now.iter().all(|pod| is_new(pod) && is_ready(pod))).then_some(()))
        })?;
    }
    Ok(())
}

fn is_ready(pod: &Value) -> bool {
    let containers = pod["status"]["containerStatuses"].as_array();
    let mut containers = containers.into_iter().flatten();
    containers.any(|container| container["ready"] == true)
}
