//! Configs on trial: they stay when the checks pass, and go when they do not, after a reboot too.

use std::fs;

use anyhow::{Result, ensure};
use e2e::program::wait_for;
use serde_json::json;

use crate::host::{Host, REBOOT, file, files};

/// A host with a config, one that needs nothing and one that needs a reboot.
fn host(name: &str) -> Result<Host> {
    let host = Host::start(name)?;
    host.policy(&json!({"files": [{"path": "/etc/quiet", "actions": [{"type": "None"}]}]}))?;
    host.config("first", &files(&[file("/etc/quiet/a", "one")]))?;
    host.config("quiet", &files(&[file("/etc/quiet/a", "two")]))?;
    host.config(
        "loud",
        &files(&[file("/etc/quiet/a", "one"), file("/etc/loud", "x")]),
    )?;
    host.expect(
        &[
            "apply",
            "--config",
            "/root/first.json",
            "--policy",
            "/root/policy.yaml",
        ],
        0,
    )?;
    Ok(host)
}

const APPLY: [&str; 5] = ["apply", "--policy", "/root/policy.yaml", "--confirm-within", "3s"];

fn on_trial<'a>(config: &'a str, check: &'a str) -> Vec<&'a str> {
    APPLY
        .into_iter()
        .chain(["--config", config, "--check", check])
        .collect()
}

#[test]
#[ignore = "needs root and a machine image"]
fn a_config_stays_when_its_checks_pass_and_goes_when_they_do_not() -> Result<()> {
    let host = host("trial")?;
    let ran = host.expect(&on_trial("/root/quiet.json", "grep -q two /etc/quiet/a"), 0)?;
    ensure!(ran.stderr.contains("confirmed"), "{}", ran.all());
    ensure!(host.read("/etc/quiet/a")? == "two");

    let ran = host.expect(&on_trial("/root/first.json", "false"), 1)?;
    ensure!(
        ran.stderr.contains("MC7023") && ran.stderr.contains("false"),
        "{}",
        ran.all()
    );
    ensure!(host.read("/etc/quiet/a")? == "two", "it did not go back");
    let status = host.status()?;
    ensure!(
        status["current"] == "rendered-quiet" && status["verdict"]["confirmed"] == false,
        "{status}"
    );
    Ok(())
}

#[test]
#[ignore = "needs root and a machine image"]
fn a_trial_outlives_a_reboot_and_ends_without_anybody() -> Result<()> {
    let host = host("outlive")?;
    let mut arguments = on_trial("/root/loud.json", "test -e /root/fine");
    arguments.push("--reboot");
    host.leave(&arguments)?;
    // Once for the config, and once for the way back.
    let second = host.machine.wait_reboot(&host.boot, REBOOT)?;
    host.machine.wait_reboot(&second, REBOOT)?;
    host.machine.wait_running(REBOOT)?;
    let status = wait_for("the verdict", REBOOT, || {
        let status = host.status()?;
        Ok((status["verdict"]["confirmed"] == false).then_some(status))
    })?;
    ensure!(status["current"] == "rendered-first", "{status}");
    ensure!(
        !host.machine.root().join("etc/loud").exists(),
        "the file is still there"
    );

    // The same with a check that passes stays.
    fs::write(host.machine.root().join("root/fine"), "")?;
    let boot = host.machine.boot_id()?;
    host.leave(&arguments)?;
    host.machine.wait_reboot(&boot, REBOOT)?;
    host.machine.wait_running(REBOOT)?;
    wait_for("the confirmation", REBOOT, || {
        Ok((host.status()?["verdict"]["confirmed"] == true).then_some(()))
    })?;
    ensure!(host.machine.root().join("etc/loud").exists());
    Ok(())
}

#[test]
#[ignore = "needs root and a machine image"]
fn whoever_waits_may_be_killed() -> Result<()> {
    let host = host("killed")?;
    let argv: Vec<_> = ["/usr/local/bin/machine-config-daemon"]
        .into_iter()
        .chain(on_trial("/root/quiet.json", "false"))
        .collect();
    let waiting = host.machine.spawn(&argv, &host.log)?;
    wait_for("the config on trial", REBOOT, || {
        Ok((host.read("/etc/quiet/a")? == "two").then_some(()))
    })?;
    drop(waiting);
    wait_for("the way back", REBOOT, || {
        Ok((host.read("/etc/quiet/a")? == "one").then_some(()))
    })?;
    Ok(())
}

#[test]
#[ignore = "needs root and a machine image"]
fn whoever_waits_is_told_that_another_change_ended_the_trial() -> Result<()> {
    let host = host("superseded")?;
    let mut argv = vec![
        "/usr/local/bin/machine-config-daemon",
        "apply",
        "--policy",
        "/root/policy.yaml",
    ];
    argv.extend(["--confirm-within", "1h", "--check", "false", "--config"]);
    argv.push("/root/quiet.json");
    let _waiting = host.machine.spawn(&argv, &host.log)?;
    wait_for("the trial", REBOOT, || {
        let status = host.status()?;
        let armed = status["trial"]["config"] == "rendered-quiet" && status["current"] == "rendered-quiet";
        Ok((armed && status["atWork"].is_null()).then_some(()))
    })?;
    // One that is refused changes nothing about it.
    host.config("wrong", &files(&[file("/etc/quiet", "a directory is there")]))?;
    host.expect(&["apply", "--config", "/root/wrong.json"], 4)?;
    ensure!(host.status()?["trial"]["config"] == "rendered-quiet");
    host.config("other", &files(&[file("/etc/quiet/a", "three")]))?;
    host.expect(
        &[
            "apply",
            "--policy",
            "/root/policy.yaml",
            "--config",
            "/root/other.json",
        ],
        0,
    )?;
    wait_for("the end of the wait", REBOOT, || {
        let told = fs::read_to_string(&host.log)?;
        Ok(told.contains("ended by another change").then_some(()))
    })?;
    let status = host.status()?;
    ensure!(
        status["trial"].is_null() && status["verdict"].is_null() && status["current"] == "rendered-other",
        "{status}"
    );
    Ok(())
}

#[test]
#[ignore = "needs root and a machine image"]
fn a_trial_whose_change_is_refused_leaves_none() -> Result<()> {
    let host = host("refused")?;
    host.config("wrong", &files(&[file("/etc/quiet", "a directory is there")]))?;
    host.expect(&on_trial("/root/wrong.json", "true"), 4)?;
    let status = host.status()?;
    ensure!(
        status["trial"].is_null() && status["current"] == "rendered-first",
        "{status}"
    );
    // The config that is there already cannot be on trial.
    let ran = host.expect(&on_trial("/root/first.json", "true"), 4)?;
    ensure!(ran.stderr.contains("is on the node already"), "{}", ran.all());
    Ok(())
}

#[test]
#[ignore = "needs root and a machine image"]
fn checks_that_hang_share_one_deadline() -> Result<()> {
    let host = host("hanging")?;
    let mut arguments = on_trial("/root/quiet.json", "sleep 2");
    arguments.extend(["--check", "sleep 600", "--check", "sleep 600"]);
    let begun = std::time::Instant::now();
    let ran = host.expect(&arguments, 1)?;
    ensure!(ran.stderr.contains("sleep 600"), "{}", ran.all());
    // Three seconds for all of them, and a minute for a machine that is busy.
    ensure!(begun.elapsed().as_secs() < 63, "it took {:?}", begun.elapsed());
    ensure!(host.read("/etc/quiet/a")? == "one", "it did not go back");
    Ok(())
}
