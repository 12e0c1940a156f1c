//! Clusters that a process keeps: what `cargo xtask cluster` does, and what is left when things end, or are ended.

use std::fs;
use std::path::Path;
use std::process::{self, Command};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::cluster::{Cluster, Kept, Options};
use e2e::program::{Background, Ran, built, run, wait_for};
use rustix::process::{Pid, Signal, kill_process};

/// For everything that makes a cluster, with others beside it.
const UP: Duration = Duration::from_mins(5);

/// `cluster --name NAME ARGUMENTS...`.
fn ask(name: &str, arguments: &[&str]) -> Result<Ran> {
    let mut command = Command::new(built("cluster")?);
    run(command.args(["--name", name]).args(arguments), UP)
}

/// As [`ask`], and it must succeed.
fn succeed(name: &str, arguments: &[&str]) -> Result<String> {
    let ran = ask(name, arguments)?;
    ensure!(
        ran.code == Some(0),
        "cluster {arguments:?} ended with {:?}: {}",
        ran.code,
        ran.all()
    );
    Ok(ran.stdout.trim().to_owned())
}

/// Ends a kept cluster also when the test fails.
struct Ended(String);

impl Drop for Ended {
    fn drop(&mut self) {
        // It fails when the test has ended it already.
        let _ = ask(&self.0, &["down"]);
        // A keeper that was killed leaves it.
        if let Ok(log) = Kept::log(&self.0) {
            let _ = fs::remove_dir_all(log.with_file_name(""));
        }
    }
}

#[test]
#[ignore = "needs root, parts of clusters and static programs"]
fn a_kept_cluster_is_steered_by_hand_beside_another_and_leaves_nothing() -> Result<()> {
    let name = format!("test-{}", process::id());
    let ended = Ended(name.clone());
    let other = Cluster::up(&Options::default())?;
    let said = succeed(&name, &["up", "--nodes", "1"])?;
    ensure!(said.contains("worker-1"), "{said}");
    let again = ask(&name, &["up", "--nodes", "1"])?;
    ensure!(
        again.code == Some(1) && again.stderr.contains("is up already"),
        "{}",
        again.all()
    );

    let kept = Kept::attach(&name)?;
    let state = kept.state()?;
    ensure!(state.id != other.id(), "two clusters are called {}", state.id);
    ensure!(
        other.api().find("/api/v1/nodes/worker-1")?.is_none(),
        "a node has joined another cluster"
    );
    ensure!(Path::new(&succeed(&name, &["kubeconfig"])?) == state.kubeconfig);

    let current = state.nodes["worker-1"]
        .root
        .join("etc/machine-config-daemon/currentconfig");
    let current = fs::read_to_string(&current).context("the node has no config of ours")?;
    ensure!(current.contains("rendered-worker-"), "{current}");
    let host = succeed(&name, &["exec", "worker-1", "--", "cat", "/etc/hostname"])?;
    ensure!(host == "worker-1", "{host}");
    let failed = ask(&name, &["exec", "worker-1", "--", "sh", "-c", "exit 7"])?;
    ensure!(
        failed.code == Some(7),
        "the exit code of a command is lost: {failed:?}"
    );
    cut_and_start(&name)?;
    let journal = succeed(&name, &["logs", "worker-1"])?;
    ensure!(journal.contains("kubelet"), "{journal}");

    let root = state.nodes["worker-1"].root.clone();
    succeed(&name, &["down"])?;
    for path in [
        root.as_path(),
        state.kubeconfig.as_path(),
        Path::new(&format!("/sys/class/net/{}", state.id)),
        Path::new(&format!("/run/netns/{}", state.id)),
    ] {
        ensure!(!path.exists(), "{} is left", path.display());
    }
    let status = ask(&name, &["status"])?;
    ensure!(status.stderr.contains("there is no cluster"), "{}", status.all());
    drop(ended);
    Ok(())
}

/// Cuts the power of the node and switches it on again.
fn cut_and_start(name: &str) -> Result<()> {
    let boot = |name: &str| {
        let path = "/proc/sys/kernel/random/boot_id";
        succeed(name, &["exec", "worker-1", "--", "cat", path])
    };
    let before = boot(name)?;
    succeed(name, &["cut", "worker-1"])?;
    let status = succeed(name, &["status"])?;
    ensure!(status.contains("worker-1: off"), "{status}");
    let refused = ask(name, &["exec", "worker-1", "--", "true"])?;
    ensure!(refused.stderr.contains("worker-1 is off"), "{}", refused.all());
    succeed(name, &["start", "worker-1"])?;
    ensure!(
        boot(name)? != before,
        "the node was cut and started in the same boot"
    );
    // It keeps its images, so our daemon runs in the new boot too.
    let daemon = [
        "exec",
        "worker-1",
        "--",
        "pgrep",
        "--full",
        "^/machine-config-daemon start",
    ];
    wait_for("the daemon to run again", UP, || {
        Ok((ask(name, &daemon)?.code == Some(0)).then_some(()))
    })?;
    Ok(())
}

#[test]
#[ignore = "needs root, parts of clusters and static programs"]
fn what_a_killed_keeper_leaves_is_cleaned_by_the_next() -> Result<()> {
    let name = format!("killed-{}", process::id());
    let _ended = Ended(name.clone());
    let dir = tempfile::tempdir()?;
    let mut command = Command::new(built("cluster")?);
    command.args(["keep", "--name", &name, "--nodes", "1", "--bare"]);
    let mut keeper = Background::start(&mut command, &dir.path().join("log"))?;
    let kept = wait_for("the cluster to be up", UP, || {
        keeper.check()?;
        Ok(Kept::attach(&name).ok())
    })?;
    let state = kept.state()?;
    let processes = processes(&state.id);
    ensure!(
        processes.len() == 4,
        "a control plane has four programs, not {processes:?}"
    );
    let node = state.nodes["worker-1"].init.context("the node is not on")?;

    let pid = i32::try_from(keeper.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.context("the keeper has no number")?, Signal::KILL)?;
    drop(keeper);
    let next = Cluster::up(&Options::default())?;
    for pid in processes.into_iter().chain([node]) {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        ensure!(status.is_empty(), "process {pid} is left: {status}");
    }
    let root = &state.nodes["worker-1"].root;
    // Another cluster may have come in between, and then has cleaned; the number may be in use again, what it led to is not.
    wait_for("the root of the node to be gone", UP, || {
        Ok((!root.exists()).then_some(()))
    })?;
    drop(next);
    Ok(())
}

/// The processes in the cgroups of a control plane.
fn processes(id: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for hierarchy in [Path::new("/sys/fs/cgroup"), Path::new("/sys/fs/cgroup/pids")] {
        let text = fs::read_to_string(hierarchy.join(id).join("cgroup.procs")).unwrap_or_default();
        found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    }
    found
}
