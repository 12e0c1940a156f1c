//! A takeover: the objects and the files on a node are as the reference leaves them, and then our system comes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use e2e::cluster::product::{GROUP, PREFIX, annotation};
use e2e::cluster::{Account, Cluster, Options, wait_on};
use e2e::repository;
use serde_json::{Value, json};

use crate::scene::{condition, text};
use crate::watched::{Watch, is_away};
use crate::world::{DEADLINE, World};

/// The vector whose input and rendered config, byte for byte the reference's, the cluster has.
const VECTOR: &str =
    "tests/vectors/render/01-last-name-wins-the-same-file-in-00-and-99-given-in-the-wrong.json";

/// The node.
const NODE: &str = "worker-1";

/// The version of the ControllerConfig that the reference's daemon has heeded last; ours heeds a later one.
const SYNCED: &str = "1";

/// What of the disk a takeover must leave as it is: the reference's record, and the files of the config.
const KEPT: [&str; 3] = ["etc/machine-config-daemon/currentconfig", "etc/a", "etc/b"];

/// Scenario 16: nothing is rendered under another name, nothing rolls out, and nothing reboots.
pub(crate) fn a_takeover_rolls_nothing_out(_: &World) -> Result<()> {
    let vector =
        fs::read_to_string(repository().join(VECTOR)).with_context(|| format!("could not read {VECTOR}"))?;
    let vector: Value = serde_json::from_str(&vector)?;
    let mut cluster = Cluster::up(&Options::workers(1))?;
    let outcome = taken_over(&mut cluster, &vector);
    cluster.judged("takeover", outcome)
}

fn taken_over(cluster: &mut Cluster, vector: &Value) -> Result<()> {
    let name = text(&vector["expect"]["name"]).to_owned();
    cluster.install_accounts()?;
    let rendered = leave_objects(cluster, vector, &name)?;
    leave_files(cluster.node(NODE)?.machine().root(), &rendered)?;
    let disk = |cluster: &Cluster| -> Result<Vec<(String, u32)>> {
        let root = cluster.node(NODE)?.machine().root();
        KEPT.iter().map(|path| file_of(&root.join(path))).collect()
    };
    let (before, boot) = (disk(cluster)?, cluster.node(NODE)?.machine().boot_id()?);
    let selector = "labelSelector=node-role.kubernetes.io%2Fworker";
    let nodes = Watch::begin(cluster.api(), &format!("/api/v1/nodes?{selector}"))?;
    let pools = format!("{GROUP}/machineconfigpools?fieldSelector=metadata.name%3Dworker");
    let pools = Watch::begin(cluster.api(), &pools)?;
    cluster.install_system()?;
    let api = cluster.api().clone();
    wait_on("the pool to be updated with our counts", DEADLINE, || {
        let pool = api.get(&World::pool_path("worker"))?;
        let counts = ["machineCount", "readyMachineCount", "updatedMachineCount"];
        let all = counts.iter().all(|count| pool["status"][*count] == 1);
        Ok((all && condition(&pool, "Updated") == "True").then_some(()))
    })?;
    let trusted = format!("{PREFIX}lastSyncedControllerConfigResourceVersion");
    wait_on("the daemon to have looked at its node", DEADLINE, || {
        let node = api.get(&format!("/api/v1/nodes/{NODE}"))?;
        let version = text(&node["metadata"]["annotations"][&trusted]);
        Ok((!version.is_empty() && version != SYNCED).then_some(()))
    })?;
    let (nodes, pools) = (nodes.end()?, pools.end()?);
    for node in &nodes {
        ensure!(!is_away(node), "the node was away: {node}");
        let said = ["currentConfig", "desiredConfig", "state"].map(|key| annotation(node, key));
        ensure!(said == [&name, &name, "Done"], "the node said {said:?}");
    }
    for pool in &pools {
        let target = &pool["spec"]["configuration"]["name"];
        ensure!(target == name.as_str(), "the pool was pointed at {target}");
    }
    let list = api.get(&format!("{GROUP}/machineconfigs"))?;
    let configs = list["items"].as_array().into_iter().flatten();
    let names: Vec<&str> = configs
        .map(|config| text(&config["metadata"]["name"]))
        .filter(|name| name.starts_with("rendered-worker-"))
        .collect();
    ensure!(names == [name.as_str()], "there are {names:?}");
    let stored = api.get(&World::config_path(&name))?;
    ensure!(stored["spec"] == rendered["spec"], "it has changed: {stored}");
    ensure!(
        disk(cluster)? == before,
        "the disk has changed: {:?}",
        disk(cluster)?
    );
    let now = cluster.node(NODE)?.machine().boot_id()?;
    ensure!(now == boot, "the node was rebooted");
    is_kept(cluster)
}

/// The node is kept at that config from now on: what somebody changes is found, and when it is put right all is well.
fn is_kept(cluster: &Cluster) -> Result<()> {
    let file = cluster.node(NODE)?.machine().root().join("etc/b");
    for (contents, state) in [("changed", "Degraded"), ("b", "Done")] {
        fs::write(&file, contents)?;
        wait_on(format!("the node to be {state}"), DEADLINE, || {
            let node = cluster.api().get(&format!("/api/v1/nodes/{NODE}"))?;
            let names_it = annotation(&node, "reason").contains("/etc/b");
            let is_so = annotation(&node, "state") == state && names_it == (state == "Degraded");
            Ok(is_so.then_some(()))
        })?;
    }
    Ok(())
}

/// The objects, as the API server has them when the reference goes. The result is the rendered config.
fn leave_objects(cluster: &Cluster, vector: &Value, name: &str) -> Result<Value> {
    let (api, input) = (cluster.api(), &vector["input"]);
    let configs = format!("{GROUP}/machineconfigs");
    let generated = |key: &str| format!("{PREFIX}{key}");
    for config in input["machineConfigs"].as_array().into_iter().flatten() {
        api.create(&configs, config)?;
    }
    leave_controller_config(cluster, input)?;
    let sources = vector["expect"]["sources"].as_array().into_iter().flatten();
    let sources: Vec<Value> = sources
        .map(|source| json!({"apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig", "name": source}))
        .collect();
    let pool = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool",
        "metadata": {"name": "worker", "labels": {
            generated("mco-built-in"): "", "pools.operator.machineconfiguration.openshift.io/worker": "",
        }},
        "spec": {
            "machineConfigSelector": {"matchLabels": {generated("role"): "worker"}},
            "nodeSelector": {"matchLabels": {"node-role.kubernetes.io/worker": ""}},
            "paused": false,
            "configuration": {"name": name, "source": sources},
        },
    });
    let pool = api.create(&format!("{GROUP}/machineconfigpools"), &pool)?;
    let rendered = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig",
        "metadata": {
            "name": name, "annotations": vector["expect"]["annotations"],
            "ownerReferences": [{
                "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool", "name": "worker",
                "uid": pool["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": vector["expect"]["spec"],
    });
    let rendered = api.create(&configs, &rendered)?;
    leave_annotations(cluster, name)?;
    leave_report(cluster, name)?;
    Ok(rendered)
}

/// What all rendered configs rest on.
fn leave_controller_config(cluster: &Cluster, input: &Value) -> Result<()> {
    let version = &input["controllerVersion"];
    let account = cluster.kubeconfig_of(Account::Controller, None)?;
    let authority = &account["clusters"][0]["cluster"]["certificate-authority-data"];
    let mut spec = input["controllerConfig"].clone();
    for (key, value) in [
        ("clusterDNSIP", json!("10.96.0.10")),
        ("cloudProviderConfig", json!("")),
        ("images", json!({})),
        ("ipFamilies", json!("IPv4")),
        ("kubeAPIServerServingCAData", authority.clone()),
        ("rootCAData", authority.clone()),
        ("releaseImage", json!("")),
    ] {
        spec[key] = value;
    }
    let config = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "ControllerConfig",
        "metadata": {"name": "machine-config-controller", "annotations": {
            format!("{PREFIX}generated-by-version"): version["raw"],
            format!("{PREFIX}release-image-version"): "4.22.0",
        }},
        "spec": spec,
    });
    let path = format!("{GROUP}/controllerconfigs");
    cluster.api().create(&path, &config).map(drop)
}

/// What the node says.
fn leave_annotations(cluster: &Cluster, name: &str) -> Result<()> {
    let said = [
        ("currentConfig", name),
        ("desiredConfig", name),
        ("state", "Done"),
        ("reason", ""),
        ("lastAppliedDrain", &format!("uncordon-{name}")),
        ("desiredDrain", &format!("uncordon-{name}")),
        ("controlPlaneTopology", "HighlyAvailable"),
        ("lastSyncedControllerConfigResourceVersion", SYNCED),
    ];
    let said: serde_json::Map<_, _> = said
        .into_iter()
        .map(|(key, value)| (format!("{PREFIX}{key}"), json!(value)))
        .collect();
    let change = json!({"metadata": {"annotations": said}});
    let path = format!("/api/v1/nodes/{NODE}");
    cluster.api().merge(&path, &change).map(drop)
}

/// The MachineConfigNode of a node that is done.
fn leave_report(cluster: &Cluster, name: &str) -> Result<()> {
    let reports = format!("{GROUP}/machineconfignodes");
    let report = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigNode", "metadata": {"name": NODE},
        "spec": {"node": {"name": NODE}, "pool": {"name": "worker"}, "configVersion": {"desired": name}},
    });
    cluster.api().create(&reports, &report)?;
    let conditions = [
        ("Updated", "True"),
        ("Resumed", "True"),
        ("UpdateComplete", "False"),
    ];
    let conditions = conditions.map(|(type_, status)| {
        json!({"type": type_, "status": status, "reason": type_, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"})
    });
    let version = json!({"current": name, "desired": name});
    let status =
        json!({"status": {"observedGeneration": 1, "configVersion": version, "conditions": conditions}});
    let path = format!("{reports}/{NODE}/status");
    cluster.api().merge(&path, &status).map(drop)
}

/// The files of a node, as the reference's daemon leaves them: those of the config, and its record of it, which is the object.
fn leave_files(root: &Path, rendered: &Value) -> Result<()> {
    let files = rendered["spec"]["config"]["storage"]["files"].as_array();
    for file in files.into_iter().flatten() {
        let (path, source) = (text(&file["path"]), text(&file["contents"]["source"]));
        let contents = source.strip_prefix("data:,").context("no plain contents")?;
        let mode = file["mode"].as_u64().and_then(|mode| u32::try_from(mode).ok());
        put(root, path, mode.context("a file has no mode")?, contents)?;
    }
    let record = "/etc/machine-config-daemon/currentconfig";
    put(root, record, 0o600, &rendered.to_string())?;
    put(root, "/etc/machine-config-daemon/currentimage", 0o600, "")?;
    let said = json!({"currentConfig": rendered["metadata"]["name"], "state": "Done"});
    // That of its first boot, which it has put away.
    let put_away = "/etc/machine-config-daemon/node-annotation.json.bak";
    put(root, put_away, 0o644, &said.to_string())
}

fn put(root: &Path, path: &str, mode: u32, contents: &str) -> Result<()> {
    let path = root.join(path.trim_start_matches('/'));
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(&path, contents).with_context(|| format!("could not write {}", path.display()))?;
    Ok(fs::set_permissions(&path, fs::Permissions::from_mode(mode))?)
}

/// Contents and mode of a file.
fn file_of(path: &Path) -> Result<(String, u32)> {
    let contents = fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    Ok((contents, fs::metadata(path)?.permissions().mode()))
}
