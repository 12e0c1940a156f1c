//! Thousands of nodes that are played.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

use super::played::{Daemons, each, node};
use super::{Controller, GROUP, PATIENCE, PREFIX, annotation, machine_config, wait_rendered, wait_updated};
use crate::bench::row::{Goal, Row};
use crate::cluster::{Account, Audit, Cluster, Component, Options, wait_on};

/// Pools, and nodes in each of them.
const POOLS: (usize, usize) = (50, 100);
/// The debounce, which is no part of what is measured.
const DEBOUNCE: Duration = Duration::from_secs(1);
/// The pool that is rolled out as a whole, its nodes, and how many of them may go at a time.
const LARGE: (&str, usize, usize) = ("large", 1000, 50);
/// Over how many seconds writes are counted: some that fall together by chance are no flood.
const WINDOW: i64 = 10;

/// Rows of [`rows`].
pub(in crate::bench) const NAMES: [&str; 3] = [
    "5000 nodes in 50 pools: change to first desiredConfig",
    "5000 nodes in 50 pools: controller memory per node",
    "rollout of 1000 nodes: status writes of the pool",
];

/// All rows about many nodes.
pub(in crate::bench) fn rows() -> Result<Vec<Row>> {
    let mut cluster = Cluster::up(&Options::default().audited())?;
    cluster.install_accounts()?;
    // It would find nodes without a kubelet dead.
    cluster.kill_component(Component::KubeControllerManager)?;
    cluster.kill_component(Component::KubeScheduler)?;
    let outcome = measure(&cluster);
    let rows = outcome
        .as_ref()
        .map(Clone::clone)
        .map_err(|error| anyhow!("{error:#}"));
    cluster.judged("bench-scale", outcome.map(drop))?;
    rows
}

fn measure(cluster: &Cluster) -> Result<Vec<Row>> {
    let controller = Controller::start(cluster, DEBOUNCE)?;
    let (pools, nodes) = POOLS;
    let names: Vec<String> = (0..pools).map(|pool| format!("pool-{pool:02}")).collect();
    make_pools(cluster, &names, 1)?;
    let base = controller.memory()?;
    for name in &names {
        fill(cluster, name, nodes)?;
    }
    wait_known(cluster, names.len() * nodes)?;
    let before = controller.memory()?;
    let first = first_desired(cluster)?;
    // By now it has told nodes of all pools, and tainted the others.
    let settled = wait_quiet(cluster)?;
    let full = controller.memory()?.max(before);
    eprintln!(
        "the controller: {base:.1} MiB without nodes, {before:.1} with them, {full:.1} at most; {settled} writes so far"
    );
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let all = (pools * nodes) as f64;
    let row = |name, value, unit, limit| Row {
        name,
        value,
        unit,
        compared_with: "the goal",
        other: limit,
        goal: Goal::AtMost(limit),
    };
    Ok(vec![
        row(NAMES[0], first.saturating_sub(DEBOUNCE).as_secs_f64(), "s", 1.0),
        row(NAMES[1], (full - base) / all, "MiB", 0.05),
        row(NAMES[2], status_writes(cluster)?, "1/s", 1.0),
    ])
}

/// Pools that have a config of their own beside what all workers have.
fn make_pools(cluster: &Cluster, names: &[String], at_once: usize) -> Result<()> {
    each(names, |name| {
        let config = machine_config(&format!("50-{name}"), name, &[(&format!("/etc/{name}"), "0")]);
        cluster
            .api()
            .create(&format!("{GROUP}/machineconfigs"), &config)?;
        let pool = json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool", "metadata": {"name": name},
            "spec": {
                "maxUnavailable": at_once,
                "machineConfigSelector": {"matchExpressions": [
                    {"key": format!("{PREFIX}role"), "operator": "In", "values": ["worker", name]},
                ]},
                "nodeSelector": {"matchLabels": {format!("node-role.kubernetes.io/{name}"): ""}},
            },
        });
        cluster
            .api()
            .create(&format!("{GROUP}/machineconfigpools"), &pool)
            .map(drop)
    })?;
    names
        .iter()
        .try_for_each(|name| wait_rendered(cluster, name, "").map(drop))
}

/// Gives a pool nodes that have its config.
fn fill(cluster: &Cluster, pool: &str, count: usize) -> Result<()> {
    let target = wait_rendered(cluster, pool, "")?;
    let names: Vec<_> = (0..count).map(|number| format!("{pool}-{number:04}")).collect();
    each(&names, |name| {
        cluster
            .api()
            .create("/api/v1/nodes", &node(name, pool, &target))
            .map(drop)
    })
}

/// Waits until every node has a MachineConfigNode, and nothing more is written for them.
fn wait_known(cluster: &Cluster, nodes: usize) -> Result<()> {
    wait_on("every node to have a MachineConfigNode", PATIENCE, || {
        let list = cluster
            .api()
            .get(&format!("{GROUP}/machineconfignodes?limit=1"))?;
        let left = list["metadata"]["remainingItemCount"].as_u64().unwrap_or(0);
        Ok((left + 1 >= nodes as u64).then_some(()))
    })?;
    wait_quiet(cluster).map(drop)
}

/// Waits until the controller writes nothing any more. The result is how many writes there were so far.
fn wait_quiet(cluster: &Cluster) -> Result<usize> {
    let mut last = (0, Instant::now());
    wait_on("the controller to be at rest", PATIENCE, || {
        let count = ours(&cluster.audit()?).entries.len();
        if count != last.0 {
            last = (count, Instant::now());
        }
        Ok((last.1.elapsed() >= Duration::from_secs(3)).then_some(count))
    })
}

/// What the controller has written, its lease left aside.
fn ours(audit: &Audit) -> Audit {
    let user = Account::Controller.user();
    audit.filtered(|entry| entry.user == user && entry.writes() && entry.resource != "leases")
}

/// The time from the creation of a MachineConfig for all pools to the first node that is told a config.
fn first_desired(cluster: &Cluster) -> Result<Duration> {
    let api = cluster.api();
    let list = api.get("/api/v1/nodes?limit=1")?;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    let events = api.watch(&format!(
        "/api/v1/nodes?watch=1&resourceVersion={version}&timeoutSeconds=25"
    ))?;
    let config = machine_config("60-all", "worker", &[("/etc/all", "1")]);
    let begin = Instant::now();
    api.create(&format!("{GROUP}/machineconfigs"), &config)?;
    for event in events {
        let node: Value = event?["object"].take();
        if annotation(&node, "desiredConfig") != annotation(&node, "currentConfig") {
            return Ok(begin.elapsed());
        }
    }
    bail!("no node was told a config")
}

/// Status writes of a large pool per second while all its nodes are updated.
fn status_writes(cluster: &Cluster) -> Result<f64> {
    let (pool, nodes, at_once) = LARGE;
    make_pools(cluster, &[pool.to_owned()], at_once)?;
    fill(cluster, pool, nodes)?;
    let before = wait_rendered(cluster, pool, "")?;
    wait_quiet(cluster)?;
    let daemons = Daemons::play(cluster.api().clone(), pool);
    let begin = jiff::Timestamp::now();
    let config = machine_config("60-large", pool, &[("/etc/large", "1")]);
    cluster
        .api()
        .create(&format!("{GROUP}/machineconfigs"), &config)?;
    let target = wait_rendered(cluster, pool, &before)?;
    wait_updated(cluster, pool, &target)?;
    let took = jiff::Timestamp::now().duration_since(begin).as_secs_f64();
    daemons.end()?;
    let writes = ours(&cluster.audit()?.since(begin));
    let statuses =
        writes.filtered(|entry| entry.resource == "machineconfigpools/status" && entry.name == pool);
    eprintln!(
        "the rollout of {nodes} nodes took {took:.1} s and {} writes, {} of them of the pool's status",
        writes.entries.len(),
        statuses.entries.len()
    );
    let most = u32::try_from(statuses.most_within(WINDOW)).context("too many writes")?;
    let window = u32::try_from(WINDOW).context("too long")?;
    Ok(f64::from(most) / f64::from(window))
}
