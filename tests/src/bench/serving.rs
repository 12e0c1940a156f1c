//! The server against nginx, both as processes of their own, in turns.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http::StatusCode;
use ignition::contents;
use serde_json::json;
use tempfile::TempDir;

use super::load::{Load, Nginx, wrk};
use super::row::{Goal, Row};
use crate::client::Client;
use crate::pki::Pki;
use crate::program::{Background, free_port};
use crate::service::{Service, bootstrap, command};

/// Files of the config that is served, and their size: about 1 MB.
const FILES: (usize, usize) = (150, 6600);

/// Rounds, each of which loads both servers; the medians count.
const ROUNDS: usize = 5;

/// How long one load over a few connections lasts.
const LOAD: Duration = Duration::from_secs(4);

/// How long one load over a thousand lasts: a server that is fair to all of them has given each only a part of its first answer for
/// the first seconds of it, and only whole answers are counted.
const LONG_LOAD: Duration = Duration::from_secs(12);

/// Starts of the server; the fastest counts.
const STARTS: usize = 5;

/// Rows of [`rows`].
pub(super) const NAMES: [&str; 6] = [
    "serve 1 MB, 16 connections: requests",
    "serve 1 MB, 16 connections: p99",
    "serve 1 MB, 1000 connections: requests",
    "serve 1 MB, 1000 connections: p99",
    "serve 1 MB: resident memory",
    "serve 1 MB: cold start to first answer",
];

/// All rows about serving.
pub(super) fn rows() -> Result<Vec<Row>> {
    let dir = TempDir::with_prefix("machine-config-")?;
    let mcs = dir.path().join("mcs");
    manifests(&dir.path().join("manifests"))?;
    bootstrap(&dir.path().join("manifests"), &mcs)?;
    let service = Service::start(&mcs, dir.path())?;
    let body = service.body("worker", "3.4.0")?;
    let nginx = Nginx::start(&dir.path().join("nginx"), body.as_bytes(), &service.pki)?;

    let mut rows = Vec::new();
    for (connections, time, names, at_least) in
        [(16, LOAD, &NAMES[..2], 1.3), (1000, LONG_LOAD, &NAMES[2..4], 1.0)]
    {
        let (ours, theirs) = in_turns(&service, &nginx, connections, time)?;
        let requests = Row {
            name: names[0],
            value: ours.requests,
            unit: "1/s",
            compared_with: "nginx, same bytes as a file",
            other: theirs.requests,
            goal: Goal::RatioAtLeast(at_least),
        };
        let p99 = Row {
            name: names[1],
            value: ours.p99,
            unit: "ms",
            other: theirs.p99,
            goal: Goal::RatioAtMost(1.0),
            ..requests
        };
        rows.extend([requests, p99]);
    }
    rows.push(Row {
        name: NAMES[4],
        value: peak_mib(service.id())?,
        unit: "MiB",
        compared_with: "the reference, measured once",
        other: 134.0,
        goal: Goal::AtMost(64.0),
    });
    drop((service, nginx));
    rows.push(Row {
        name: NAMES[5],
        value: cold_start(&mcs, dir.path())?,
        unit: "ms",
        compared_with: "the goal",
        other: 100.0,
        goal: Goal::AtMost(100.0),
    });
    Ok(rows)
}

/// Manifests that render to about 1 MB for the pool worker.
fn manifests(dir: &Path) -> Result<()> {
    let (count, size) = FILES;
    let files: Vec<_> = (0..count)
        .map(|number| {
            let line = format!("option-{number} = value\n");
            let text = line.repeat(size / line.len());
            json!({"path": format!("/etc/app/{number:03}.conf"), "mode": 420, "contents": {"source": contents::base64(text.as_bytes())}})
        })
        .collect();
    let config = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineConfig",
        "metadata": {"name": "50-app", "labels": {"machineconfiguration.openshift.io/role": "worker"}},
        "spec": {"config": {"ignition": {"version": "3.2.0"}, "storage": {"files": files}}},
    });
    let pool = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineConfigPool",
        "metadata": {"name": "worker"},
        "spec": {"machineConfigSelector": {"matchLabels": {"machineconfiguration.openshift.io/role": "worker"}}},
    });
    fs::create_dir_all(dir)?;
    fs::write(dir.join("50-app.yaml"), config.to_string())?;
    Ok(fs::write(dir.join("worker.yaml"), pool.to_string())?)
}

/// Loads one after the other, round by round, and takes the medians.
fn in_turns(service: &Service, nginx: &Nginx, connections: u32, time: Duration) -> Result<(Load, Load)> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(wrk(service.port, connections, time).context("our server")?);
        theirs.push(wrk(nginx.port, connections, time).context("nginx")?);
    }
    Ok((median(&ours), median(&theirs)))
}

fn median(loads: &[Load]) -> Load {
    let middle = |value: fn(&Load) -> f64| {
        let mut values: Vec<f64> = loads.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Load {
        requests: middle(|load| load.requests),
        p99: middle(|load| load.p99),
    }
}

/// The most memory a process ever had resident.
fn peak_mib(process: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).context("the server is gone")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("no VmHWM")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

/// Milliseconds from starting the process to its first answered request for a config.
fn cold_start(mcs: &Path, scratch: &Path) -> Result<f64> {
    let pki = Pki::create(scratch)?;
    let mut fastest = f64::INFINITY;
    for _ in 0..STARTS {
        let port = free_port()?;
        let client = Client::new(&pki.ca_pem, port)?;
        let mut command = command(mcs, scratch, &pki, port)?;
        let start = Instant::now();
        let mut process = Background::start(&mut command, &scratch.join("cold.log"))?;
        loop {
            if client
                .get("/config/worker", None)
                .is_ok_and(|answer| answer.status == StatusCode::OK)
            {
                break;
            }
            process.check()?;
        }
        fastest = fastest.min(start.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(fastest)
}
