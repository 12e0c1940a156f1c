//! `machine-config-server start` against a real API server, with the rights that are deployed and no others. Takes root, the parts of
//! clusters and static programs; `cargo xtask test` provides them.

mod controller;
mod joining;
mod world;

use anyhow::{Context as _, Result, ensure};
use e2e::cluster::wait_on;
use http::StatusCode;
use machineconfig::join::{JoinToken, Uses};
use serde_json::{Value, json};

use world::{DEADLINE, World, token_of};

/// What Ignition sends, of some version.
const ACCEPT: &str = "application/vnd.coreos.ignition+json;version=3.4.0, */*;q=0.1";

#[test]
#[ignore = "needs root, parts of clusters and static programs"]
fn a_cluster_s_pools_are_served_as_promised() -> Result<()> {
    let mut world = World::up()?;
    let outcome = scenarios(&mut world);
    world.judged(outcome)
}

fn scenarios(world: &mut World) -> Result<()> {
    type Scenario = fn(&mut World) -> Result<()>;
    let all: [(&str, Scenario); 6] = [
        ("ready", readiness_waits_for_a_body),
        ("credential", a_machine_gets_a_credential_for_one_thing),
        ("rollout", a_pool_serves_what_most_of_its_nodes_have),
        ("authorities", a_new_ca_is_served_at_once_and_a_deleted_config_on),
        ("token", a_join_token_is_asked_for_and_used_up),
        ("away", an_api_server_that_is_away_makes_machines_wait),
    ];
    for (name, scenario) in all {
        scenario(world).with_context(|| format!("scenario {name}\n{}", world.log_end()))?;
        println!("scenario {name}: ok");
    }
    Ok(())
}

fn readiness_waits_for_a_body(world: &mut World) -> Result<()> {
    world.start(&[])?;
    // Nothing is there yet, and a machine that comes is told to come again.
    wait_on("an answer", DEADLINE, || {
        Ok(world
            .status("/config/worker")
            .ok()
            .filter(|status| *status == 500)
            .map(drop))
    })?;
    ensure!(world.status("/readyz")? == 503, "ready without a body");
    world.make_controller_config(b"kubelet ca 1")?;
    world.make_rendered("rendered-worker-a", "a")?;
    world.make_pool("worker", "rendered-worker-a", &status("rendered-worker-a", 3, 3))?;
    wait_on("the server to be ready", DEADLINE, || {
        Ok((world.status("/readyz")? == 200).then_some(()))
    })?;
    ensure!(
        world.status("/config/other")? == 500,
        "an unknown pool is no reason to give up"
    );
    Ok(())
}

fn status(settled: &str, machines: u32, updated: u32) -> Value {
    json!({"configuration": {"name": settled}, "machineCount": machines, "updatedMachineCount": updated})
}

fn a_machine_gets_a_credential_for_one_thing(world: &mut World) -> Result<()> {
    let config = world.config("worker")?;
    let kubeconfig = file(&config, "/etc/kubernetes/kubeconfig")?;
    ensure!(
        kubeconfig.contains("server: https://api-int.example.com:6443"),
        "{kubeconfig}"
    );
    let token = token_of(&kubeconfig)?;
    let again = token_of(&file(&world.config("worker")?, "/etc/kubernetes/kubeconfig")?)?;
    ensure!(token != again, "two machines have the same credential");
    ensure!(
        world.whoami(&token)? == "system:serviceaccount:machine-config-bootstrap:pool-worker",
        "the credential is another's"
    );
    for (verb, what, expected) in [
        ("create", "certificatesigningrequests.certificates.k8s.io", true),
        ("get", "nodes", false),
        ("list", "secrets", false),
        ("get", "configmaps", false),
        ("create", "pods", false),
        ("get", "machineconfigs.machineconfiguration.openshift.io", false),
    ] {
        ensure!(
            world.may(&token, verb, what)? == expected,
            "the credential may (or may not) {verb} {what}"
        );
    }
    // A request that only asks for the length gets the one of the answer.
    let get = world.get("/config/worker", &[])?;
    let head = world.head("/config/worker")?;
    ensure!(
        head.headers["content-length"] == get.headers["content-length"],
        "{:?} and {:?}",
        head.headers,
        get.headers
    );
    let annotations = file(&config, "/etc/machine-config-daemon/node-annotations.json")?;
    ensure!(annotations.contains("rendered-worker-a"), "{annotations}");
    ensure!(!world.log().contains(&token), "a credential is in the log");
    Ok(())
}

fn served(world: &World) -> Result<String> {
    let config = world.config("worker")?;
    file(&config, "/etc/what")
}

fn a_pool_serves_what_most_of_its_nodes_have(world: &mut World) -> Result<()> {
    world.make_rendered("rendered-worker-b", "b")?;
    world.set_pool("worker", "rendered-worker-b", &status("rendered-worker-a", 3, 1))?;
    let mut seen = Vec::new();
    for updated in [1, 2] {
        world.set_pool(
            "worker",
            "rendered-worker-b",
            &status("rendered-worker-a", 3, updated),
        )?;
        let expected = if updated == 1 { "a" } else { "b" };
        wait_on(format!("config {expected}"), DEADLINE, || {
            Ok((served(world)? == expected).then_some(()))
        })?;
        seen.push(served(world)?);
    }
    ensure!(seen == ["a", "b"], "{seen:?}");
    Ok(())
}

fn a_new_ca_is_served_at_once_and_a_deleted_config_on(world: &mut World) -> Result<()> {
    world.make_controller_config(b"kubelet ca 2")?;
    wait_on("the new CA", DEADLINE, || {
        let config = world.config("worker")?;
        Ok((file(&config, "/etc/kubernetes/kubelet-ca.crt")? == "kubelet ca 2").then_some(()))
    })?;
    world.delete_rendered("rendered-worker-b")?;
    world.make_controller_config(b"kubelet ca 3")?;
    // It cannot be made anew, and what was good is served on, with a word in the metrics.
    wait_on("the problem", DEADLINE, || {
        Ok(world
            .metrics()?
            .contains("machine_config_server_problems 1")
            .then_some(()))
    })?;
    ensure!(served(world)? == "b", "what was good is gone");
    world.make_rendered("rendered-worker-b", "b")?;
    wait_on("the newest CA", DEADLINE, || {
        let config = world.config("worker")?;
        Ok((file(&config, "/etc/kubernetes/kubelet-ca.crt")? == "kubelet ca 3").then_some(()))
    })
}

fn a_join_token_is_asked_for_and_used_up(world: &mut World) -> Result<()> {
    ensure!(!world.log().contains("is forbidden"), "a right is missing");
    world.restart(&["--join-token=enforce"])?;
    wait_on("the server to be ready", DEADLINE, || {
        Ok(world
            .status("/readyz")
            .is_ok_and(|status| status == 200)
            .then_some(()))
    })?;
    let [once, many] = [1, 2].map(|n: u8| JoinToken::new([n; 4], [n; 16]));
    world.store_tokens(&[
        (&once, "worker", Uses::Once),
        (&many, "worker", Uses::UntilExpiry),
    ])?;
    ensure!(world.status("/config/worker")? == 401, "no token was asked for");
    let ask = |token: &JoinToken| {
        let bearer = format!("Bearer {}", token.revealed());
        world.get("/config/worker", &[("authorization", &bearer)])
    };
    let answer = wait_on("the token to be known", DEADLINE, || {
        let answer = ask(&many)?;
        Ok((answer.status == StatusCode::OK).then_some(answer))
    })?;
    let config: Value = serde_json::from_slice(&answer.body)?;
    let token = token_of(&file(&config, "/etc/kubernetes/kubeconfig")?)?;
    ensure!(
        world.whoami(&token)? == "system:serviceaccount:machine-config-bootstrap:proved-worker",
        "the proof is not in the credential"
    );
    ensure!(
        ask(&once)?.status == StatusCode::OK,
        "a token for one machine is not taken"
    );
    let stored = world.stored_token(&once)?;
    ensure!(
        stored["used"]["by"].is_string(),
        "its use is not stored: {stored}"
    );
    // Somebody else has used it, as far as this server can see.
    world.mark_used(&once, "192.0.2.1")?;
    wait_on("the use by another to be seen", DEADLINE, || {
        Ok((ask(&once)?.status == StatusCode::UNAUTHORIZED).then_some(()))
    })?;
    let metrics = world.metrics()?;
    ensure!(
        metrics.contains("objections_total{rule=\"join-token\",result=\"refused\"}"),
        "{metrics}"
    );
    wait_on("an event", DEADLINE, || {
        Ok(world
            .events()?
            .contains("refused by the rule join-token")
            .then_some(()))
    })?;
    for token in [&once, &many] {
        let revealed = token.revealed();
        let secret = revealed.split('.').next_back().unwrap_or_default();
        ensure!(!world.log().contains(secret), "a secret is in the log");
        ensure!(!world.events()?.contains(secret), "a secret is in an event");
    }
    Ok(())
}

fn an_api_server_that_is_away_makes_machines_wait(world: &mut World) -> Result<()> {
    world.restart(&[])?;
    wait_on("the server to be ready", DEADLINE, || {
        Ok(world
            .status("/readyz")
            .is_ok_and(|status| status == 200)
            .then_some(()))
    })?;
    world.config("worker")?;
    // Before an API server is started anew, which forbids everything until it knows the rights.
    ensure!(!world.log().contains("is forbidden"), "a right is missing");
    world.stop_api_server()?;
    // Some credentials were made ahead; then there are no more of them, and machines are told to come again.
    wait_on("the credentials to be gone", DEADLINE, || {
        Ok((world.status("/config/worker")? == 500).then_some(()))
    })?;
    ensure!(world.status("/healthz")? == 200, "the server is not alive");
    world.start_api_server()?;
    wait_on("credentials again", DEADLINE, || {
        Ok((world.status("/config/worker")? == 200).then_some(()))
    })
}

/// The contents of a file of an Ignition config.
fn file(config: &Value, path: &str) -> Result<String> {
    let files = config["storage"]["files"].as_array();
    let mut files = files.into_iter().flatten();
    let file = files
        .find(|file| file["path"] == path)
        .with_context(|| format!("{path} is not served"))?;
    let source = file["contents"]["source"].as_str().unwrap_or_default();
    let bytes = ignition::contents::decode(Some(source), None, 1 << 20)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
