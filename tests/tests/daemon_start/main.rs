//! `machine-config-daemon start` on a real node of a real cluster. The test plays the controller: it assigns configs and answers drains.
//! Clusters need root, the parts that are built once and static programs; `cargo xtask test` provides them.

mod controller;
mod objects;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::cluster::{Cluster, Component, Options};

use controller::{Controller, NODE};
use objects::{File, config, install};

/// How long the API server is away.
const AWAY: Duration = Duration::from_secs(20);
/// How often the daemon is killed.
const KILLS: u32 = 5;

/// Within how many milliseconds, counted from when a config is assigned: about as long as an update takes until the reboot.
const WITHIN: u64 = 1200;

/// Below it no file disrupts a node.
const CALM: &str = "/etc/calm/a";
/// A file that no policy knows, so that it takes a drain and a reboot.
const LOUD: &str = "/etc/loud/b";
/// A file for which a service restarts, which takes a while.
const SLOW: &str = "/etc/slow/c";

/// What is tried, one after the other on the same node.
type Step = fn(&mut Cluster) -> Result<()>;

#[test]
#[ignore = "needs root, parts of clusters and static programs"]
fn a_daemon_keeps_a_node_through_everything() -> Result<()> {
    let mut cluster = Cluster::up(&Options::workers(1))?;
    install(&cluster)?;
    let steps: [(&str, Step); 8] = [
        ("first", a_node_without_anything_gets_its_first_config),
        ("none", a_change_under_the_policy_none_does_not_disrupt),
        ("reboot", a_change_that_needs_a_reboot_is_done_after_it),
        ("drift", drift_degrades_and_heals),
        ("bad", a_config_that_fails_is_told_and_another_heals),
        ("term", a_change_is_finished_before_the_daemon_ends),
        ("away", an_api_server_that_is_away_holds_up_nothing_for_good),
        ("kill", a_daemon_that_is_killed_at_any_time_comes_to_the_end),
    ];
    for (name, step) in steps {
        let begin = Instant::now();
        let outcome = step(&mut cluster);
        cluster.judged(name, outcome)?;
        eprintln!("{name}: {:.1} s", begin.elapsed().as_secs_f64());
    }
    Ok(())
}

fn read(cluster: &Cluster, path: &str) -> Result<String> {
    let path = cluster
        .node(NODE)?
        .machine()
        .root()
        .join(path.trim_start_matches('/'));
    fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))
}

fn write(cluster: &Cluster, path: &str, text: &str) -> Result<()> {
    let path = cluster
        .node(NODE)?
        .machine()
        .root()
        .join(path.trim_start_matches('/'));
    Ok(fs::write(path, text)?)
}

fn boot(cluster: &Cluster) -> Result<String> {
    cluster.node(NODE)?.machine().boot_id()
}

fn files<'a>(calm: &'a str, loud: &'a str, slow: &'a str) -> Vec<File<'a>> {
    [(CALM, calm), (LOUD, loud), (SLOW, slow)]
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .collect()
}

fn a_node_without_anything_gets_its_first_config(cluster: &mut Cluster) -> Result<()> {
    let controller = Controller::new(cluster);
    controller.assign(&config("rendered-worker-1", &files("1", "", "")))?;
    controller.wait_done("rendered-worker-1")?;
    ensure!(read(cluster, CALM)? == "1", "the file is not there");
    let resident = cluster.node(NODE)?.machine().succeed(&[
        "sh",
        "-c",
        "grep -E 'VmRSS|RssAnon' /proc/$(systemctl show --value --property MainPID machine-config-daemon)/status",
    ])?;
    eprintln!(
        "memory of the daemon (not optimised): {}",
        resident.replace('\n', " ")
    );
    Ok(())
}

fn a_change_under_the_policy_none_does_not_disrupt(cluster: &mut Cluster) -> Result<()> {
    let before = boot(cluster)?;
    let controller = Controller::new(cluster);
    let drains = controller.annotation("lastAppliedDrain")?;
    controller.assign(&config("rendered-worker-2", &files("2", "", "")))?;
    controller.wait_done("rendered-worker-2")?;
    ensure!(read(cluster, CALM)? == "2", "the file is not there");
    ensure!(boot(cluster)? == before, "the node has rebooted");
    ensure!(
        controller.annotation("lastAppliedDrain")? == drains,
        "the node was drained"
    );
    Ok(())
}

fn a_change_that_needs_a_reboot_is_done_after_it(cluster: &mut Cluster) -> Result<()> {
    let before = boot(cluster)?;
    let controller = Controller::new(cluster);
    controller.assign(&config("rendered-worker-3", &files("2", "3", "")))?;
    controller.wait_done("rendered-worker-3")?;
    let after = boot(cluster)?;
    ensure!(after != before, "done, and it is the same boot");
    ensure!(read(cluster, LOUD)? == "3", "the file is not there");
    ensure!(
        controller.drains() == ["drain-rendered-worker-3", "uncordon-rendered-worker-3"],
        "drains: {:?}",
        controller.drains()
    );
    controller.wait_condition("RebootedNode", "True")?;
    controller.wait_condition("Updated", "True")?;
    cluster.wait_ready(NODE)?;
    ensure!(boot(cluster)? == after, "it has rebooted once more");
    Ok(())
}

fn drift_degrades_and_heals(cluster: &mut Cluster) -> Result<()> {
    let controller = Controller::new(cluster);
    let before = boot(cluster)?;
    write(cluster, LOUD, "somebody else's")?;
    controller.wait_reason("Degraded", "content mismatch for file \"/etc/loud/b\"")?;
    let reason = controller.annotation("reason")?;
    ensure!(
        reason.contains("+somebody else's"),
        "the reason has no diff: {reason}"
    );
    controller.wait_condition("NodeDegraded", "True")?;
    controller.wait_event("ConfigDriftDetected")?;
    write(cluster, LOUD, "3")?;
    controller.wait_done("rendered-worker-3")?;
    ensure!(controller.annotation("reason")?.is_empty(), "a reason is left");
    ensure!(boot(cluster)? == before, "the node has rebooted");
    // By force it is mended as the policy has it: this file takes a reboot.
    write(cluster, LOUD, "once more")?;
    controller.wait_reason("Degraded", "once more")?;
    let machine = cluster.node(NODE)?.machine();
    machine.succeed(&["touch", "/run/machine-config-daemon-force"])?;
    controller.wait("another boot", |_| {
        Ok(boot(cluster).is_ok_and(|boot| boot != before))
    })?;
    controller.wait_done("rendered-worker-3")?;
    ensure!(read(cluster, LOUD)? == "3", "the file was not mended");
    Ok(())
}

fn a_config_that_fails_is_told_and_another_heals(cluster: &mut Cluster) -> Result<()> {
    let controller = Controller::new(cluster);
    let mut bad = files("bad", "3", "");
    // There is a file where a directory is needed.
    bad.push(("/etc/hostname/x", "no"));
    controller.assign(&config("rendered-worker-4", &bad))?;
    controller.wait_reason("Degraded", "/etc/hostname")?;
    ensure!(
        read(cluster, CALM)? == "2",
        "a config that fails has left something"
    );
    controller.assign(&config("rendered-worker-5", &files("5", "3", "")))?;
    controller.wait_done("rendered-worker-5")?;
    ensure!(read(cluster, CALM)? == "5", "the file is not there");
    Ok(())
}

fn a_change_is_finished_before_the_daemon_ends(cluster: &mut Cluster) -> Result<()> {
    let controller = Controller::new(cluster);
    let machine = cluster.node(NODE)?.machine();
    controller.assign(&config("rendered-worker-6", &files("5", "3", "6")))?;
    controller.wait("the service to restart", |_| {
        Ok(machine.property("slow.service", "ActiveState")? == "activating")
    })?;
    machine.succeed(&["systemctl", "stop", "machine-config-daemon.service"])?;
    ensure!(
        machine.property("machine-config-daemon.service", "Result")? == "success",
        "the daemon ended badly"
    );
    ensure!(
        !machine.root().join("var/lib/machine-config/journal").exists(),
        "the change was left half-way"
    );
    ensure!(read(cluster, SLOW)? == "6", "the change was not finished");
    machine.succeed(&["systemctl", "start", "machine-config-daemon.service"])?;
    controller.wait_done("rendered-worker-6")
}

fn an_api_server_that_is_away_holds_up_nothing_for_good(cluster: &mut Cluster) -> Result<()> {
    Controller::new(cluster).assign(&config("rendered-worker-7", &files("7", "3", "7")))?;
    cluster.kill_component(Component::KubeApiserver)?;
    let restarts = cluster
        .node(NODE)?
        .machine()
        .property("machine-config-daemon.service", "NRestarts")?;
    // How long it is away is what is tried here.
    thread::sleep(AWAY);
    cluster.start_component(Component::KubeApiserver)?;
    let controller = Controller::new(cluster);
    controller.wait_done("rendered-worker-7")?;
    let after = cluster
        .node(NODE)?
        .machine()
        .property("machine-config-daemon.service", "NRestarts")?;
    ensure!(
        after == restarts,
        "the daemon has crashed while the API server was away"
    );
    ensure!(read(cluster, CALM)? == "7", "the file is not there");
    Ok(())
}

fn a_daemon_that_is_killed_at_any_time_comes_to_the_end(cluster: &mut Cluster) -> Result<()> {
    let controller = Controller::new(cluster);
    let machine = cluster.node(NODE)?.machine();
    for round in 0..KILLS {
        let before = boot(cluster)?;
        let name = format!("rendered-worker-kill-{round}");
        let text = format!("kill {round}");
        // Each second one takes a drain and a reboot.
        let loud = if round % 2 == 0 { text.as_str() } else { "3" };
        controller.assign(&config(&name, &files(&text, loud, &text)))?;
        let moment = Duration::from_millis(fastrand::u64(0..WITHIN));
        let end = Instant::now() + moment;
        while Instant::now() < end {
            controller.play()?;
        }
        // While the machine goes down there is nobody to kill.
        let killed = machine.run(&[
            "systemctl",
            "kill",
            "--signal=KILL",
            "machine-config-daemon.service",
        ]);
        eprintln!(
            "killed after {moment:?}: {}",
            killed.is_ok_and(|ran| ran.code == Some(0))
        );
        controller
            .wait_done(&name)
            .with_context(|| format!("round {round}, killed after {moment:?}"))?;
        ensure!(read(cluster, SLOW)? == text, "the file is not there");
        let rebooted = boot(cluster)? != before;
        // The way back from a change of that file takes a reboot, too.
        ensure!(rebooted, "round {round}: done without the reboot that it takes");
        cluster.wait_ready(NODE)?;
    }
    Ok(())
}
