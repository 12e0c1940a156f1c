//! The daemon on real systemd hosts: what it writes, what it runs, and how it goes back. Machines need root and an image;
//! `cargo xtask test` provides both.

mod confirm;
mod crash;
mod host;

use anyhow::{Result, ensure};
use serde_json::json;

use host::{Host, REBOOT, file, files};

/// Services of the examples, and others that nothing of them is about.
const WATCHED: [&str; 5] = [
    "chrony.service",
    "ssh.service",
    "crio.service",
    "image-prune.timer",
    "systemd-journald.service",
];

#[test]
#[ignore = "needs root and a machine image"]
fn the_examples_and_their_second_revision_run_reload_and_restart_as_planned() -> Result<()> {
    let host = Host::start("examples")?;
    host.probe("crio.service")?;
    host.render("examples/base", "one")?;
    host.render("examples/revision-2", "two")?;
    let boot = first_revision(&host)?;
    second_revision(&host)?;
    ensure!(
        host.machine.boot_id()? == boot,
        "it rebooted, and no policy says so"
    );

    // The second time nothing is left to do.
    let before = host.invocations(&WATCHED)?;
    let ran = host.expect(&TWO, 0)?;
    ensure!(ran.stdout.contains("nothing to do"), "{}", ran.all());
    ensure!(
        host.invocations(&WATCHED)? == before,
        "services were restarted for nothing"
    );

    // And back again.
    host.expect(&["rollback", "--policy", "/root/policy.yaml"], 0)?;
    host.expect(&["verify", "--config", "/root/one.yaml"], 0)?;
    ensure!(
        host.reloads("crio.service") == 2,
        "crio has not seen the old registries again"
    );
    Ok(())
}

/// Applies the second revision.
const TWO: [&str; 5] = [
    "apply",
    "--config",
    "/root/two.yaml",
    "--policy",
    "/root/policy.yaml",
];

/// The drop-in of kubelet has no policy, so the first revision needs a reboot. The result is the boot after it.
fn first_revision(host: &Host) -> Result<String> {
    host.leave(&[
        "apply",
        "--config",
        "/root/one.yaml",
        "--policy",
        "/root/policy.yaml",
        "--reboot",
    ])?;
    let boot = host.machine.wait_reboot(&host.boot, REBOOT)?;
    host.machine.wait_running(REBOOT)?;
    host.expect(&["verify", "--config", "/root/one.yaml"], 0)?;
    let status = host.status()?;
    ensure!(
        status["rebootDue"].is_null(),
        "the reboot came, and is still due: {status}"
    );
    let timer = host.machine.property("image-prune.timer", "ActiveState")?;
    ensure!(timer == "active", "the timer of the config is {timer}");
    Ok(boot)
}

/// Two restarts and a reload, and nothing else.
fn second_revision(host: &Host) -> Result<()> {
    let before = host.invocations(&WATCHED)?;
    let as_json: Vec<_> = TWO.into_iter().chain(["-o", "json"]).collect();
    let ran = host.expect(&as_json, 0)?;
    let report: serde_json::Value = serde_json::from_str(&ran.stdout)?;
    let acted = report["acted"].as_array().into_iter().flatten();
    let acted: Vec<_> = acted
        .map(|action| (action["type"].as_str(), action["service"].as_str()))
        .collect();
    let planned = [
        (Some("DaemonReload"), None),
        (Some("Restart"), Some("chronyd.service")),
        (Some("Reload"), Some("crio.service")),
        (Some("Restart"), Some("image-prune.timer")),
    ];
    ensure!(acted == planned, "it did {acted:?}");
    let after = host.invocations(&WATCHED)?;
    let restarted: Vec<_> = WATCHED
        .iter()
        .filter(|unit| before[**unit] != after[**unit])
        .collect();
    ensure!(
        restarted == [&"chrony.service", &"image-prune.timer"],
        "{restarted:?} were restarted"
    );
    let reloads = host.reloads("crio.service");
    ensure!(reloads == 1, "crio was reloaded {reloads} times");
    host.expect(&["verify", "--config", "/root/two.yaml"], 0)?;
    Ok(())
}

#[test]
#[ignore = "needs root and a machine image"]
fn a_unit_that_fails_with_the_new_config_runs_with_the_old_one_again() -> Result<()> {
    let host = Host::start("failing")?;
    let policy = json!({"files": [{"path": "/etc/probe", "actions": [{"type": "Restart", "restart": {"serviceName": "probe.service"}}]}]});
    host.policy(&policy)?;
    // It starts only where its file says so, and dies a moment after systemd has called it started.
    host.unit("probe.service", "[Service]\nExecStart=/bin/sh -c 'sleep 0.2; grep -q good /etc/probe || exit 7; exec sleep infinity'\n")?;
    host.config("first", &files(&[]))?;
    host.config(
        "good",
        &files(&[file("/etc/probe", "good"), file("/etc/probe.d/other", "one")]),
    )?;
    host.config(
        "bad",
        &files(&[file("/etc/probe", "bad"), file("/etc/probe.d/other", "one")]),
    )?;
    host.expect(&["apply", "--config", "/root/first.json"], 0)?;
    let ran = host.daemon(&[
        "apply",
        "--config",
        "/root/good.json",
        "--policy",
        "/root/policy.yaml",
    ])?;
    ensure!(ran.code == Some(2), "the other file has no policy: {}", ran.all());
    ensure!(host.machine.property("probe.service", "ActiveState")? != "failed");
    host.machine.succeed(&["systemctl", "restart", "probe.service"])?;

    let ran = host.expect(
        &[
            "apply",
            "--config",
            "/root/bad.json",
            "--policy",
            "/root/policy.yaml",
        ],
        1,
    );
    let ran = ran?;
    ensure!(
        ran.stderr.contains("MC7020") && ran.stderr.contains("probe.service"),
        "{}",
        ran.all()
    );
    ensure!(host.read("/etc/probe")? == "good", "the old file is not back");
    ensure!(
        host.machine.property("probe.service", "ActiveState")? == "active",
        "the service does not run as before"
    );
    host.expect(&["verify", "--config", "/root/good.json"], 0)?;
    Ok(())
}

#[test]
#[ignore = "needs root and a machine image"]
fn files_of_packages_come_back_and_units_of_the_host_return_to_their_presets() -> Result<()> {
    let host = Host::start("vendor")?;
    // The image is slim: what belongs to which package is not in it.
    let info = host.machine.root().join("var/lib/dpkg/info");
    std::fs::create_dir_all(&info)?;
    std::fs::write(info.join("chrony.list"), "/etc/logrotate.d/chrony\n")?;
    let original = host.read("/etc/logrotate.d/chrony")?;
    host.config("first", &files(&[]))?;
    host.config(
        "taken",
        &json!({
            "ignition": {"version": "3.4.0"},
            "storage": {"files": [file("/etc/logrotate.d/chrony", "server%20ntp.example.com"), file("/etc/own", "x")]},
            "systemd": {"units": [{"name": "ssh.service", "enabled": false}, {"name": "chrony.service", "mask": true}]}
        }),
    )?;
    let links = || {
        host.machine
            .run(&["systemctl", "is-enabled", "ssh.service", "chrony.service"])
            .map(|ran| ran.stdout)
    };
    let before = links()?;
    host.expect(&["apply", "--config", "/root/first.json"], 0)?;
    host.expect(&["apply", "--config", "/root/taken.json"], 2)?;
    ensure!(
        host.machine
            .root()
            .join("etc/machine-config-daemon/orig/etc/logrotate.d/chrony.mcdorig")
            .exists(),
        "the original was not kept"
    );
    host.machine.succeed(&["systemctl", "daemon-reload"])?;
    ensure!(links()? == "disabled\nmasked\n", "{}", links()?);
    host.expect(&["verify", "--config", "/root/taken.json"], 0)?;
    host.expect(&["apply", "--config", "/root/first.json"], 2)?;
    host.machine.succeed(&["systemctl", "daemon-reload"])?;
    ensure!(
        host.read("/etc/logrotate.d/chrony")? == original,
        "the file of the package did not come back"
    );
    ensure!(!host.machine.root().join("etc/own").exists());
    ensure!(links()? == before, "{} is not {before}", links()?);
    Ok(())
}

#[test]
#[ignore = "needs root and a machine image"]
fn a_config_comes_once_from_a_url_and_a_second_writer_is_told_who_is_at_work() -> Result<()> {
    let host = Host::start("once")?;
    let server = host.serve(serde_json::to_vec(&files(&[file("/etc/served", "from%20afar")]))?)?;
    host.expect(
        &[
            "start",
            "--root-mount",
            "/",
            "--node-name",
            "n",
            "--skip-reboot",
            "--once-from",
            &server,
        ],
        0,
    )?;
    ensure!(host.read("/etc/served")? == "from afar");
    let held = host
        .machine
        .spawn(&["flock", "/run/machine-config/lock", "sleep", "600"], &host.log)?;
    e2e::program::wait_for("a second writer that is refused", REBOOT, || {
        let ran = host.daemon(&["apply", "--config", "/root/none.json", "--root", "/"])?;
        Ok((ran.code == Some(4)).then_some(()))
    })?;
    drop(held);
    Ok(())
}

#[test]
#[ignore = "needs root and a machine image"]
fn a_host_without_a_bus_or_a_caller_who_is_not_root_is_refused_before_anything_is_touched() -> Result<()> {
    let host = Host::start("refused")?;
    host.config("any", &files(&[file("/etc/any", "x")]))?;
    host.machine.succeed(&["cp", "/root/any.json", "/tmp/any.json"])?;
    let apply = "machine-config-daemon apply --config /tmp/any.json";
    let user = format!("setpriv --reuid=1000 --regid=1000 --clear-groups {apply}");
    let no_bus = format!("unshare --mount sh -c 'mount -t tmpfs none /run; {apply}'");
    for (command, code) in [(user, "MC7001"), (no_bus, "MC7101")] {
        let ran = host.machine.run(&["sh", "-c", &command])?;
        ensure!(
            ran.code == Some(4) && ran.stderr.contains(code),
            "{command} ended with {:?}: {}",
            ran.code,
            ran.all()
        );
    }
    ensure!(
        !host.machine.root().join("etc/any").exists(),
        "something was touched"
    );
    ensure!(
        !host.machine.root().join("var/lib/machine-config").exists(),
        "something was touched"
    );
    Ok(())
}

#[test]
#[ignore = "needs root and a machine image"]
fn what_an_administrator_changes_with_systemctl_is_found_and_mended() -> Result<()> {
    let host = Host::start("mended")?;
    let unit = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n";
    host.policy(&json!({"units": [{"name": "own.service", "actions": [{"type": "DaemonReload"}, {"type": "Restart", "restart": {"serviceName": "own.service"}}]}]}))?;
    host.config("unit", &json!({"ignition": {"version": "3.4.0"}, "systemd": {"units": [{"name": "own.service", "enabled": true, "contents": unit}]}}))?;
    let apply = [
        "apply",
        "--config",
        "/root/unit.json",
        "--policy",
        "/root/policy.yaml",
    ];
    host.expect(&apply, 0)?;
    ensure!(host.machine.property("own.service", "ActiveState")? == "active");
    ensure!(
        host.machine.property("own.service", "UnitFileState")? == "enabled",
        "systemd does not see it as enabled"
    );
    host.machine
        .succeed(&["systemctl", "disable", "--now", "own.service"])?;
    let ran = host.expect(&["verify", "--config", "/root/unit.json"], 2)?;
    ensure!(ran.stdout.contains("MC4007"), "{}", ran.all());
    host.expect(&apply, 0)?;
    host.expect(&["verify", "--config", "/root/unit.json"], 0)?;
    ensure!(
        host.machine.property("own.service", "ActiveState")? == "active",
        "it was not started again"
    );
    Ok(())
}
