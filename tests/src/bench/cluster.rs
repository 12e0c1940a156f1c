//! Clusters: many nodes that are played, and a few real ones with the real daemon. The API server, etcd and our programs are real in both,
//! and our programs have the rights that `deploy/base` gives them.

mod node;
mod played;
mod scale;

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

pub(super) use node::{NAMES as NODE, rows as node_rows};
pub(super) use scale::{NAMES as SCALE, rows as scale_rows};

use crate::cluster::{Account, Cluster, NAMESPACE};
use crate::program::{Background, built, free_port};

/// Where our objects are.
const GROUP: &str = "/apis/machineconfiguration.openshift.io/v1";
/// What annotations and labels of the reference begin with.
const PREFIX: &str = "machineconfiguration.openshift.io/";
/// How long anything may take: thousands of nodes on two processors.
const PATIENCE: Duration = Duration::from_mins(5);

/// The controller, as a process of this host.
struct Controller {
    process: Background,
    port: u16,
}

impl Controller {
    /// Starts it; it leads on return. Pools are rendered so long after a change.
    fn start(cluster: &Cluster, render_delay: Duration) -> Result<Self> {
        let kubeconfig = cluster.dir().join("controller.kubeconfig");
        let account = cluster.kubeconfig_of(Account::Controller, None)?;
        fs::write(&kubeconfig, account.to_string())?;
        let port = free_port()?;
        let mut command = Command::new(built("machine-config-controller")?);
        command
            .arg("start")
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .arg(format!("--resourcelock-namespace={NAMESPACE}"))
            .arg(format!("--metrics-listen-address=127.0.0.1:{port}"))
            .arg(format!("--render-delay={}", render_delay.as_secs_f64()));
        let log = cluster.dir().join("logs/controller.log");
        let mut controller = Self {
            process: Background::start(&mut command, &log)?,
            port,
        };
        crate::cluster::wait_on("the controller to lead", PATIENCE, || {
            controller.process.check()?;
            Ok(controller
                .metrics()?
                .contains("machine_config_leading 1")
                .then_some(()))
        })?;
        Ok(controller)
    }

    fn metrics(&self) -> Result<String> {
        let url = format!("http://127.0.0.1:{}/metrics", self.port);
        Ok(ureq::get(url).call()?.body_mut().read_to_string()?)
    }

    /// What is resident of it, in MiB.
    fn memory(&self) -> Result<f64> {
        resident(&fs::read_to_string(format!(
            "/proc/{}/status",
            self.process.id()
        ))?)
    }
}

/// Resident memory in MiB, as `/proc/PID/status` says it.
fn resident(status: &str) -> Result<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line
        .context("no VmRSS")?
        .trim()
        .trim_end_matches("kB")
        .trim()
        .parse()?;
    Ok(kib / 1024.0)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// An annotation of the handshake; empty when there is none.
fn annotation(object: &Value, name: &str) -> String {
    text(&object["metadata"]["annotations"][format!("{PREFIX}{name}")])
}

/// A MachineConfig with files of mode 0644.
fn machine_config(name: &str, role: &str, files: &[(&str, &str)]) -> Value {
    let files: Vec<_> = files
        .iter()
        .map(|(path, contents)| {
            json!({"path": path, "mode": 420, "overwrite": true, "contents": {"source": format!("data:,{contents}")}})
        })
        .collect();
    json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig",
        "metadata": {"name": name, "labels": {format!("{PREFIX}role"): role}},
        "spec": {"config": {"ignition": {"version": "3.4.0"}, "storage": {"files": files}}},
    })
}

/// Waits until a pool is pointed at another config than `before`, and gives its name.
fn wait_rendered(cluster: &Cluster, pool: &str, before: &str) -> Result<String> {
    crate::cluster::wait_on(format!("pool {pool} to be rendered"), PATIENCE, || {
        let pool = cluster.api().get(&format!("{GROUP}/machineconfigpools/{pool}"))?;
        let target = text(&pool["spec"]["configuration"]["name"]);
        Ok((!target.is_empty() && target != before).then_some(target))
    })
}

/// Waits until all nodes of a pool have a config, and the pool says so.
fn wait_updated(cluster: &Cluster, pool: &str, target: &str) -> Result<()> {
    crate::cluster::wait_on(format!("pool {pool} to be updated"), PATIENCE, || {
        let pool = cluster.api().get(&format!("{GROUP}/machineconfigpools/{pool}"))?;
        let status = &pool["status"];
        let is_there = status["configuration"]["name"] == target
            && status["machineCount"] == status["updatedMachineCount"]
            && status["machineCount"].as_u64() > Some(0);
        Ok(is_there.then_some(()))
    })
}
