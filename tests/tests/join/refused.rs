//! Who gets no config once the rules are enforced.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::cluster::wait_on;
use e2e::pki::Pki;
use e2e::program::run;
use e2e::real_ignition::{Ignition, Machine};
use jiff::SignedDuration;
use machineconfig::join::Uses;
use serde_json::{Value, json};

use crate::join::told_on;
use crate::world::{DEADLINE, World};

/// What Ignition takes to give up when it does give up at once.
const QUICKLY: Duration = Duration::from_secs(10);

pub(crate) fn who_should_not_gets_nothing(world: &mut World) -> Result<()> {
    let stranger = world.cluster.make_bare("stranger")?.machine().network();
    let used = world.good_token("worker")?;
    let user_data = world.user_data("worker", Some(&used))?;
    // The token is used up by one machine, and another one comes with it.
    let other = world.cluster.make_bare("other")?.machine().network();
    let first = Machine::in_network(&world.ignitions[0], &user_data, &other)?.stage("fetch")?;
    ensure!(
        first.code == Some(0),
        "a good token is not taken:\n{}",
        first.all()
    );
    let expired = world.token("worker", Uses::UntilExpiry, SignedDuration::from_mins(-1))?;
    let of_gpu = world.good_token("gpu")?;
    let bare = world.user_data("worker", None)?;
    let with_used = user_data;
    let with_expired = world.user_data("worker", Some(&expired))?;
    let with_other = world.user_data("worker", Some(&of_gpu))?;
    for (what, user_data, reason) in [
        ("no token", &bare, "the request has no join token"),
        ("a used token", &with_used, "the join token was used before"),
        ("an expired token", &with_expired, "the join token has expired"),
        (
            "another pool's token",
            &with_other,
            "the join token is for another pool",
        ),
    ] {
        refused(world, &stranger, user_data, "Unauthorized").with_context(|| what.to_owned())?;
        told_on(world, "ConfigRefused", reason)?;
    }
    untrusted(world, &stranger)?;
    let token = world.token("worker", Uses::UntilExpiry, SignedDuration::from_hours(1))?;
    let good = world.user_data("worker", Some(&token))?;
    // A node does not come again, whatever it shows; nor does a pod, wherever it runs.
    let node = world.cluster.node("hand")?.machine().network();
    refused(world, &node, &good, "Forbidden").context("a node that has joined")?;
    told_on(
        world,
        "ConfigRefused",
        "the address is that of a node that has joined",
    )?;
    let pod = pod_network(world)?;
    refused(world, &pod, &good, "Forbidden").context("a pod")?;
    told_on(world, "ConfigRefused", "by the rule networks")
}

/// Ignition gives up at once, and has nothing.
fn refused(world: &World, network: &Path, user_data: &Value, status: &str) -> Result<()> {
    let begin = Instant::now();
    let machine = Machine::in_network(&world.ignitions[1], user_data, network)?;
    let ran = machine.stage("fetch")?;
    let took = begin.elapsed();
    ensure!(
        ran.code == Some(1),
        "it ended with {:?}:\n{}",
        ran.code,
        ran.all()
    );
    ensure!(
        ran.all().contains(status),
        "it was not told {status}:\n{}",
        ran.all()
    );
    ensure!(took < QUICKLY, "it took {took:?} to give up");
    ensure!(machine.fetched().is_err(), "it has a config all the same");
    Ok(())
}

/// A server that the pointer does not trust is asked for nothing: Ignition tries for ever, so it is looked at twice.
fn untrusted(world: &mut World, network: &Path) -> Result<()> {
    let token = world.good_token("worker")?;
    let mut user_data = world.user_data("worker", Some(&token))?;
    let dir = tempfile::tempdir()?;
    let source = ignition::contents::base64(Pki::create(dir.path())?.ca_pem.as_bytes());
    user_data["ignition"]["security"]["tls"]["certificateAuthorities"] = json!([{"source": source}]);
    for ignition in &world.ignitions {
        distrusts(ignition, &user_data, network, dir.path()).with_context(|| ignition.name)?;
    }
    let id = token.id();
    let path = "/api/v1/namespaces/machine-config/secrets/machine-config-join-tokens";
    let stored = world.api().get(path)?["data"][id].take();
    let stored = serde_json::from_slice::<Value>(&base64_decoded(&stored)?)?;
    ensure!(
        stored["used"].is_null(),
        "the token was shown to a stranger: {stored}"
    );
    Ok(())
}

fn base64_decoded(value: &Value) -> Result<Vec<u8>> {
    use base64::Engine as _;
    let text = value.as_str().context("the token is not stored")?;
    Ok(base64::engine::general_purpose::STANDARD.decode(text)?)
}

fn distrusts(ignition: &Ignition, user_data: &Value, network: &Path, dir: &Path) -> Result<()> {
    let machine = Machine::in_network(ignition, user_data, network)?;
    let mut fetch = machine.begin("fetch", &dir.join("fetch.log"))?;
    wait_on("a second attempt", DEADLINE, || {
        fetch.check()?;
        let log = fetch.log();
        let is_refused = log.contains("certificate signed by unknown authority");
        Ok((is_refused && log.contains("attempt #2")).then_some(()))
    })
    .with_context(|| fetch.log())?;
    drop(fetch);
    ensure!(
        machine.fetched().is_err(),
        "it has a config of a server that it does not trust"
    );
    Ok(())
}

/// A pod on a node that has joined: the network namespace it is in. Its node no longer lends it its own address, and the server's node
/// learns the way back, as in a cluster whose pods keep their addresses.
fn pod_network(world: &World) -> Result<PathBuf> {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "prying"},
        "spec": {
            "nodeName": "hand", "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "pause", "image": "localhost/pause:1", "imagePullPolicy": "Never"}],
        },
    });
    world.api().create("/api/v1/namespaces/default/pods", &pod)?;
    let address = wait_on("the pod to run", DEADLINE, || {
        let status = world.api().get("/api/v1/namespaces/default/pods/prying")?["status"].take();
        Ok((status["phase"] == "Running").then(|| status["podIP"].as_str().unwrap_or_default().to_owned()))
    })?;
    ensure!(address.starts_with("10.100."), "the pod is at {address}");
    let node = world.cluster.node("hand")?;
    node.machine()
        .succeed(&["iptables", "--table", "nat", "--flush"])?;
    let way = [
        "-n",
        world.system()?.id(),
        "route",
        "add",
        &address,
        "via",
        &node.address().to_string(),
    ]
    .map(str::to_owned);
    let ran = run(Command::new("ip").args(way), DEADLINE)?;
    ensure!(ran.code == Some(0), "{}", ran.all());
    let networks = node.machine().inside("/run/netns")?;
    let found = std::fs::read_dir(&networks)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("cni-"))
        });
    found.with_context(|| format!("the pod has no network in {}", networks.display()))
}
