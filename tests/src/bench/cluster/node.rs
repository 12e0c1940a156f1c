//! Real nodes with the real daemon: what an update writes, what the daemon takes at rest, and how fast it starts.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};

use super::{
    Controller, GROUP, PATIENCE, PREFIX, annotation, machine_config, resident, wait_rendered, wait_updated,
};
use crate::bench::row::{Goal, Row};
use crate::cluster::{Account, Audit, Cluster, Entry, Options, wait_on};
use crate::program::built;

/// How many nodes: one after the other, so that what is written for the pool with each turn counts in full.
const NODES: u8 = 3;
const POOL: &str = "worker";
/// How long the daemon is looked at while it rests.
const REST: Duration = Duration::from_mins(1);
/// How long nothing is written once all is done.
const QUIET: Duration = Duration::from_secs(5);
/// Starts of the daemon; the slowest counts.
const STARTS: usize = 3;
/// Below it no file disrupts a node.
const CALM: &str = "/etc/calm/a";
/// A file that no policy knows, so that it takes a drain and a reboot.
const LOUD: &str = "/etc/loud/b";
const UNIT: &str = "machine-config-daemon.service";

/// As the DaemonSet has it.
const SERVICE: &str = "[Unit]
Description=The daemon of this node
StartLimitIntervalSec=0
[Service]
Environment=MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=65536 MALLOC_TRIM_THRESHOLD_=65536
ExecStart=/usr/local/bin/machine-config-daemon start --root-mount / --node-name NODE --kubeconfig /etc/daemon.kubeconfig
Restart=always
RestartSec=200ms
[Install]
WantedBy=multi-user.target
";

/// Rows of [`rows`].
pub(in crate::bench) const NAMES: [&str; 6] = [
    "update without disruption: API writes per node",
    "update with drain and reboot: API writes per node",
    "daemon at rest: resident memory",
    "daemon at rest: watches, each of one object",
    "daemon at rest: API writes in a minute",
    "daemon start to Done on an up-to-date node",
];

/// All rows about real nodes.
pub(in crate::bench) fn rows() -> Result<Vec<Row>> {
    let cluster = Cluster::up(&Options::workers(NODES).audited())?;
    let outcome = measure(&cluster);
    let rows = outcome
        .as_ref()
        .map(Clone::clone)
        .map_err(|error| anyhow!("{error:#}"));
    cluster.judged("bench-node", outcome.map(drop))?;
    rows
}

fn measure(cluster: &Cluster) -> Result<Vec<Row>> {
    cluster.install_accounts()?;
    let controller = Controller::start(cluster, Duration::from_millis(300))?;
    let first = prepare(cluster)?;
    let calm = update(cluster, &first, "1", "0")?;
    let loud = update(cluster, &calm.target, "1", "1")?;
    let row = |name, value, unit, limit| Row {
        name,
        value,
        unit,
        compared_with: "the goal",
        other: limit,
        goal: Goal::AtMost(limit),
    };
    let mut rows = vec![
        row(NAMES[0], calm.writes_per_node, "writes", 8.0),
        row(NAMES[1], loud.writes_per_node, "writes", 8.0),
    ];
    let rest = rest(cluster)?;
    rows.extend([
        row(NAMES[2], rest.memory, "MiB", 15.0),
        row(NAMES[3], rest.watches, "watches", 3.0),
        row(NAMES[4], rest.writes, "writes", 0.0),
    ]);
    rows.push(Row {
        compared_with: "the reference, at least",
        other: 10.0,
        ..row(NAMES[5], slowest_start(cluster)?, "s", 2.0)
    });
    drop(controller);
    Ok(rows)
}

/// Brings all nodes to a first config. The result is its name.
fn prepare(cluster: &Cluster) -> Result<String> {
    let policy = json!({"spec": {"nodeDisruptionPolicy": {"files": [{"path": "/etc/calm", "actions": [{"type": "None"}]}]}}});
    let settings = "/apis/operator.openshift.io/v1/machineconfigurations/cluster";
    wait_on("the MachineConfiguration", PATIENCE, || {
        cluster.api().find(settings)
    })?;
    cluster.api().merge(settings, &policy)?;
    let config = machine_config("00-worker", POOL, &[(CALM, "0"), (LOUD, "0")]);
    cluster
        .api()
        .create(&format!("{GROUP}/machineconfigs"), &config)?;
    let target = wait_rendered(cluster, POOL, "")?;
    for name in cluster.names() {
        // As the server does for a machine that it provisions.
        let machine = cluster.node(&name)?.machine();
        for (path, text) in [(CALM, "0"), (LOUD, "0")] {
            let path = machine.root().join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().context("it lies in a directory")?)?;
            fs::write(path, text)?;
        }
        install(cluster, &name)?;
        let assigned = json!({"metadata": {"annotations": {format!("{PREFIX}desiredConfig"): target}}});
        cluster.api().merge(&format!("/api/v1/nodes/{name}"), &assigned)?;
    }
    wait_updated(cluster, POOL, &target)?;
    wait_quiet(cluster)?;
    Ok(target)
}

fn install(cluster: &Cluster, name: &str) -> Result<()> {
    let machine = cluster.node(name)?.machine();
    machine.install_program(&built("machine-config-daemon")?)?;
    let kubeconfig = cluster.kubeconfig_of(Account::Daemon, Some(name))?;
    fs::write(
        machine.root().join("etc/daemon.kubeconfig"),
        kubeconfig.to_string(),
    )?;
    let unit = machine.root().join("etc/systemd/system").join(UNIT);
    fs::write(unit, SERVICE.replace("NODE", name))?;
    machine.succeed(&["systemctl", "daemon-reload"])?;
    machine.succeed(&["systemctl", "enable", "--now", UNIT])?;
    Ok(())
}

/// What our programs have asked: both accounts, and the daemon as the kubelet. The lease of the controller is written all the time.
fn ours(audit: &Audit) -> Audit {
    let users = [Account::Controller.user(), Account::Daemon.user()];
    audit.filtered(|entry| {
        (users.contains(&entry.user) || entry.agent.starts_with("machine-config-daemon"))
            && entry.resource != "leases"
    })
}

fn wait_quiet(cluster: &Cluster) -> Result<()> {
    let mut last = (0, Instant::now());
    wait_on("everything to be at rest", PATIENCE, || {
        let count = ours(&cluster.audit()?).filtered(Entry::writes).entries.len();
        if count != last.0 {
            last = (count, Instant::now());
        }
        Ok((last.1.elapsed() >= QUIET).then_some(()))
    })
}

struct Updated {
    target: String,
    writes_per_node: f64,
}

/// Changes the config of all nodes, and counts what is written until all is at rest again.
fn update(cluster: &Cluster, before: &str, calm: &str, loud: &str) -> Result<Updated> {
    let begin = jiff::Timestamp::now();
    let config = machine_config("00-worker", POOL, &[(CALM, calm), (LOUD, loud)]);
    let path = format!("{GROUP}/machineconfigs/00-worker");
    cluster.api().merge(&path, &json!({"spec": config["spec"]}))?;
    let target = wait_rendered(cluster, POOL, before)?;
    wait_updated(cluster, POOL, &target)?;
    wait_quiet(cluster)?;
    for name in cluster.names() {
        let node = cluster.api().get(&format!("/api/v1/nodes/{name}"))?;
        ensure!(
            annotation(&node, "state") == "Done" && node["spec"]["unschedulable"].is_null(),
            "{name} is not as it was: {}",
            node["metadata"]["annotations"]
        );
    }
    let writes = ours(&cluster.audit()?.since(begin)).filtered(Entry::writes);
    eprintln!("the update to {target} wrote:");
    for line in told(&writes) {
        eprintln!("  {line}");
    }
    let count = u32::try_from(writes.entries.len()).context("too many writes")?;
    Ok(Updated {
        target,
        writes_per_node: f64::from(count) / f64::from(NODES),
    })
}

/// One line for each kind of write.
fn told(writes: &Audit) -> Vec<String> {
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for entry in &writes.entries {
        let who = entry.user.rsplit(':').next().unwrap_or_default();
        let what = format!("{} {} by {who} ({})", entry.verb, entry.resource, entry.code);
        *counts.entry(what).or_default() += 1;
    }
    counts
        .into_iter()
        .map(|(what, count)| format!("{count} x {what}"))
        .collect()
}

struct Rest {
    memory: f64,
    watches: f64,
    writes: f64,
}

/// Looks at the daemon of one node for a while, after its last start has long passed.
fn rest(cluster: &Cluster) -> Result<Rest> {
    let name = first(cluster)?;
    let begin = jiff::Timestamp::now();
    std::thread::sleep(REST);
    let all = ours(&cluster.audit()?);
    let of_node = |entry: &Entry| entry.agent.starts_with("machine-config-daemon") && is_of(entry, &name);
    let writes = all
        .since(begin)
        .filtered(|entry| of_node(entry) && entry.writes());
    // Those of a minute end and begin anew within it; each is one watch by what it asks for.
    let watches = all.filtered(|entry| entry.verb == "watch" && of_node(entry));
    let mut asked: Vec<&str> = watches.entries.iter().map(|entry| path(&entry.uri)).collect();
    for entry in &watches.entries {
        ensure!(
            entry.uri.contains("fieldSelector=metadata.name"),
            "a watch of more than one object: {}",
            entry.uri
        );
    }
    asked.sort_unstable();
    asked.dedup();
    ensure!(!asked.is_empty(), "the daemon watches nothing");
    let machine = cluster.node(&name)?.machine();
    let status = machine.succeed(&[
        "sh",
        "-c",
        &format!("cat /proc/$(systemctl show --value --property MainPID {UNIT})/status"),
    ])?;
    let parts = status.lines().filter(|line| line.starts_with("Rss"));
    eprintln!(
        "the daemon at rest: {}",
        parts.collect::<Vec<_>>().join(", ").replace('\t', "")
    );
    let count = |number: usize| u32::try_from(number).map(f64::from).context("too many");
    Ok(Rest {
        memory: resident(&status)?,
        watches: count(asked.len())?,
        writes: count(writes.entries.len())?,
    })
}

fn first(cluster: &Cluster) -> Result<String> {
    cluster.names().into_iter().next().context("no node")
}

/// Whether a request comes from the daemon of a node: by the kubelet's name, or by what it asks for.
fn is_of(entry: &Entry, node: &str) -> bool {
    entry.user == format!("system:node:{node}") || entry.user == Account::Daemon.user()
}

fn path(uri: &str) -> &str {
    uri.split('?').next().unwrap_or_default()
}

/// Seconds from the start of the process until it says that the node is done, which it does once the whole disk was compared.
fn slowest_start(cluster: &Cluster) -> Result<f64> {
    let name = first(cluster)?;
    let machine = cluster.node(&name)?.machine();
    let path = format!("/api/v1/nodes/{name}");
    let state = |node: &Value| annotation(node, "state");
    let mut slowest = 0.0_f64;
    for _ in 0..STARTS {
        machine.succeed(&["systemctl", "stop", UNIT])?;
        // Cut off before its last word.
        let change = json!({"metadata": {"annotations": {format!("{PREFIX}state"): "Working"}}});
        let node = cluster.api().merge(&path, &change)?;
        let version = node["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        let events = cluster.api().watch(&format!(
            "/api/v1/nodes?watch=1&fieldSelector=metadata.name%3D{name}&resourceVersion={version}&timeoutSeconds=25"
        ))?;
        let begin = Instant::now();
        machine.succeed(&["systemctl", "start", UNIT])?;
        let mut took = None;
        for event in events {
            if state(&event?["object"]) == "Done" {
                took = Some(begin.elapsed());
                break;
            }
        }
        let took = took.context("the daemon never said that the node is done")?;
        slowest = slowest.max(took.as_secs_f64());
    }
    Ok(slowest)
}
