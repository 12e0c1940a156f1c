//! What machines are served while something goes on: a server that dies, a pool that is paused, a rollout.

use anyhow::{Context as _, Result, ensure};
use e2e::cluster::product::annotation;
use e2e::cluster::wait_on;
use e2e::pki::Pki;
use serde_json::json;

use crate::world::{DEADLINE, World, file};

/// The server's program.
const SERVER: &str = "machine-config-server";

/// The server dies while a machine is connected to it. The machine comes again until it is back.
pub(crate) fn a_server_that_is_killed_is_waited_for(world: &mut World) -> Result<()> {
    let token = world.good_token("worker")?;
    let user_data = world.user_data("worker", Some(&token))?;
    let machine = world.bare("patient", 1, &user_data)?;
    let address = world.cluster.node("patient")?.address().to_string();
    let system = world.system()?;
    // It is held so that the machine is in the middle of its fetch for certain.
    let server = system.succeed(&["pidof", SERVER])?;
    system.succeed(&["kill", "-STOP", &server])?;
    let mut fetch = machine.begin("fetch", &world.cluster.dir().join("logs/patient.log"))?;
    wait_on("the machine to be connected", DEADLINE, || {
        fetch.check()?;
        let connections = system.succeed(&["ss", "--numeric", "--tcp", "state", "established"])?;
        Ok(connections.contains(&address).then_some(()))
    })?;
    system.succeed(&["kill", "-KILL", &server])?;
    let code = fetch.wait(DEADLINE)?;
    ensure!(code == Some(0), "the fetch ended with {code:?}:\n{}", fetch.log());
    ensure!(
        fetch.log().contains("attempt #2"),
        "nothing had to be asked for again:\n{}",
        fetch.log()
    );
    machine.provision_from("kargs")?;
    let config = world.served_to("patient")?;
    ensure!(config == world.target("worker")?, "it was served {config}");
    let boot = world.joined("patient", "worker")?;
    world.done_at("patient", &config, &boot)?;
    world.counted("worker", 3)
}

/// A paused pool goes on with its old config, but never with old authorities.
pub(crate) fn a_paused_pool_serves_its_old_config_with_fresh_authorities(world: &mut World) -> Result<()> {
    let old = world.target("gpu")?;
    world.change_pool("gpu", &json!({"paused": true}))?;
    world.make_config("gpu", "50-gpu", &[file("/etc/gpu", "one\n")])?;
    wait_on("the new config of the paused pool", DEADLINE, || {
        Ok((world.target("gpu")? != old).then_some(()))
    })?;
    // Beside the CA that the API server is known by.
    let ca = "etc/kubernetes/kubelet-ca.crt";
    let fresh = format!(
        "{}{}",
        world.read("gpu-1", ca)?,
        Pki::create(world.cluster.dir())?.ca_pem
    );
    world.set_kubelet_ca(&fresh)?;
    // The daemon of a node has it at about the time that the server has it.
    wait_on("the authority to reach a node", DEADLINE, || {
        Ok((world.read("gpu-1", ca)? == fresh).then_some(()))
    })?;
    let config = world.provisioned("gpu-2", "gpu")?;
    ensure!(config == old, "it was served {config}, the pool has {old}");
    ensure!(
        world.read("gpu-2", ca)? == fresh,
        "it was served an old authority"
    );
    let boot = world.joined("gpu-2", "gpu")?;
    world.done_at("gpu-2", &old, &boot)?;
    wait_on("the paused pool to count it", DEADLINE, || {
        Ok((world.pool("gpu")?["status"]["machineCount"] == 2).then_some(()))
    })
}

/// While a pool is on its way, a machine gets what most of the pool has, and goes on with the others.
pub(crate) fn a_machine_that_comes_during_a_rollout_follows_it(world: &mut World) -> Result<()> {
    let target = world.target("gpu")?;
    world.change_pool("gpu", &json!({"paused": false}))?;
    let updated = wait_on("the rollout to begin", DEADLINE, || {
        for name in ["gpu-1", "gpu-2"] {
            if annotation(&world.node(name)?, "desiredConfig") == target {
                return Ok(Some(name));
            }
        }
        Ok(None)
    })?;
    let config = world.provisioned("gpu-3", "gpu")?;
    ensure!(
        config != target,
        "one node of two decided: {updated} alone has begun"
    );
    let boot = world.joined("gpu-3", "gpu")?;
    ensure!(!boot.is_empty());
    world.counted("gpu", 3)?;
    for name in ["gpu-1", "gpu-2", "gpu-3"] {
        let node = world.node(name)?;
        let current = annotation(&node, "currentConfig");
        ensure!(current == target, "{name} is at {current}");
        let text = world
            .read(name, "etc/gpu")
            .with_context(|| format!("{name} lacks the file"))?;
        ensure!(text == "one\n", "{name} has {text:?}");
    }
    Ok(())
}
