//! A controller whose clock is an hour off that of the nodes.
//!
//! All clocks of one host are the same, also those of nodes and pods: there is no namespace for the time of day. So the controller runs on the
//! host in place of its pods, with the rights of its account, and a library that is loaded into it shifts its time of day. What it
//! does by that clock is read off what it writes.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use e2e::cluster::product::NAMESPACE;
use e2e::cluster::{Account, wait_on};
use e2e::program::{Background, built, free_port};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::held::{allow_evictions, forbid_evictions, wait_held};
use crate::scene::{Scene, file, text};
use crate::watched::most_away;
use crate::world::{DEADLINE, World};

/// Where the replicas are described, and how many of them there are.
const SCALE: &str = "/apis/apps/v1/namespaces/machine-config/deployments/machine-config-controller/scale";

/// The library. Its own program would stay between us and the controller, and pass on no signal; the loader knows what stands for `$LIB`, and
/// goes on without a library that is not there, which shows at the end.
const SHIFTING: &str = "/usr/$LIB/faketime/libfaketime.so.1";

/// The annotation of a pool that says which nodes were told, and when.
const RESERVATIONS: &str = "machine-config.io/reservations";

/// How far off a clock is seen to be, at least: an hour but for what an update may take.
const OFF: SignedDuration = SignedDuration::from_mins(55);

/// The replicas that `deploy/base` has; they come back when the value goes.
struct Replaced<'w> {
    world: &'w World,
    replicas: Value,
}

/// Scenario 18: whether the controller's clock is ahead or behind, and whichever of both its predecessor's was, nodes are updated one by one,
/// and as soon as ever.
pub(crate) fn clocks_an_hour_apart_do_not_matter(world: &World) -> Result<()> {
    Scene::begin(world, "clocks", 2)?.play(|scene| {
        scene.run_pods(scene.nodes().len())?;
        let _replaced = Replaced::pods(world)?;
        let (nodes, pool) = (scene.watch_nodes()?, scene.watch_pool()?);
        let mut running = controller(world, "+1h")?;
        for next in ["-1h", "+1h"] {
            let before = scene.target()?;
            forbid_evictions(scene)?;
            scene.apply_config("drain", &file("/etc/policy/drain", next))?;
            let target = scene.wait_rendered(&before)?;
            wait_held(scene)?;
            // The next one goes on with what this one has begun.
            drop(running);
            running = controller(world, next)?;
            allow_evictions(scene)?;
            ensure!(scene.wait_updated()? == target, "it was rendered anew");
            scene.wait_pods(scene.nodes().len())?;
        }
        let (nodes, pool) = (nodes.end()?, pool.end()?);
        drop(running);
        ensure!(
            most_away(&nodes) == 1,
            "{} nodes were away at once",
            most_away(&nodes)
        );
        were_off(&pool)
    })
}

/// The controllers have gone by clocks that are off, which shows in the slots that they took.
fn were_off(pool: &[Value]) -> Result<()> {
    let now = Timestamp::now();
    let off: Vec<SignedDuration> = pool
        .iter()
        .filter_map(|pool| pool["metadata"]["annotations"][RESERVATIONS].as_str())
        .filter_map(|text| serde_json::from_str::<Value>(text).ok())
        .filter_map(|reservations| text(&reservations[0]["since"]).parse::<Timestamp>().ok())
        .map(|since| since.duration_since(now))
        .collect();
    ensure!(
        off.iter().any(|off| *off >= OFF) && off.iter().any(|off| *off <= -OFF),
        "the clocks were not off: slots were taken at {off:?} from {now}"
    );
    Ok(())
}

/// Starts the controller on this host with its time of day shifted; durations it measures as everybody does.
fn controller(world: &World, shift: &str) -> Result<Background> {
    let cluster = world.cluster();
    let kubeconfig = cluster.dir().join("clocks.kubeconfig");
    let account = cluster.kubeconfig_of(Account::Controller, None)?;
    std::fs::write(&kubeconfig, account.to_string())
        .with_context(|| format!("could not write {}", kubeconfig.display()))?;
    let mut command = Command::new(built("machine-config-controller")?);
    command
        .env("LD_PRELOAD", SHIFTING)
        .env("FAKETIME", shift)
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .arg("start")
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg(format!("--resourcelock-namespace={NAMESPACE}"))
        .arg(format!("--metrics-listen-address=127.0.0.1:{}", free_port()?))
        .args([
            "--leader-elect-lease-duration=5",
            "--leader-elect-renew-deadline=3",
            "--leader-elect-retry-period=0.5",
        ]);
    let log = cluster.dir().join(format!("logs/controller{shift}.log"));
    Background::start(&mut command, &log)
}

impl<'w> Replaced<'w> {
    /// Takes the pods of the controller away, and waits until they are gone.
    fn pods(world: &'w World) -> Result<Self> {
        let api = world.api();
        let replicas = api.get(SCALE)?["spec"]["replicas"].clone();
        let replaced = Self { world, replicas };
        replaced.scale(&json!(0))?;
        let pods = format!(
            "/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app.kubernetes.io%2Fname%3Dmachine-config-controller"
        );
        wait_on("the controller's pods to be gone", DEADLINE, || {
            let pods = api.get(&pods)?;
            Ok(pods["items"].as_array().is_some_and(Vec::is_empty).then_some(()))
        })?;
        Ok(replaced)
    }

    fn scale(&self, replicas: &Value) -> Result<()> {
        let change = json!({"spec": {"replicas": replicas}});
        self.world.api().merge(SCALE, &change).map(drop)
    }
}

impl Drop for Replaced<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.scale(&self.replicas) {
            eprintln!("the controller's pods are still away: {error:#}");
        }
    }
}
