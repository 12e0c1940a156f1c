//! One scenario's own part of the world: a custom pool, its nodes, its MachineConfigs and its pods, all named after it. They go with the value.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use e2e::cluster::product::{GROUP, PREFIX, annotation};
use e2e::cluster::{NodeSpec, wait_on};
use e2e::machine::COMMAND;
use e2e::program::run;
use serde_json::{Value, json};

use crate::watched::Watch;
use crate::world::{DEADLINE, Room, World};

/// The image of pods that do nothing; every node has it.
const IDLE: &str = "localhost/pause:1";

/// Where pods are.
const PODS: &str = "/api/v1/namespaces/default/pods";

/// One scenario's own part of the world.
pub(crate) struct Scene<'w> {
    world: &'w World,
    name: String,
    nodes: Vec<String>,
    roots: BTreeMap<String, PathBuf>,
    made: std::cell::RefCell<Vec<String>>,
    _room: Room<'w>,
}

/// What was done to a node, as far as policies do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Traces {
    /// Another one after each reboot.
    pub(crate) boot: String,
    /// Another one after each restart of the probe.
    pub(crate) probe: String,
    /// How often the probe was reloaded.
    pub(crate) reloads: usize,
    /// Another one after each time that systemd has read its units anew.
    pub(crate) units_read: String,
    /// The last drain, or end of one, that was answered.
    pub(crate) drain: String,
}

// === beginning and end ===

impl<'w> Scene<'w> {
    /// A pool with so many nodes, of which one may be away at a time; all are done with the pool's first config on return.
    pub(crate) fn begin(world: &'w World, name: &str, workers: usize) -> Result<Self> {
        Self::begin_with(world, name, workers, &json!({}))
    }

    /// The same, with more in the pool's spec.
    pub(crate) fn begin_with(world: &'w World, name: &str, workers: usize, spec: &Value) -> Result<Self> {
        let room = world.room(workers);
        let mut scene = Self {
            world,
            name: name.to_owned(),
            nodes: Vec::new(),
            roots: BTreeMap::new(),
            made: std::cell::RefCell::default(),
            _room: room,
        };
        let begun = scene.set(workers, spec);
        scene.judged(begun)?;
        Ok(scene)
    }

    fn set(&mut self, workers: usize, spec: &Value) -> Result<()> {
        self.create_pool(&self.name.clone(), spec)?;
        let role = |role: &str| (format!("node-role.kubernetes.io/{role}"), String::new());
        let labels = BTreeMap::from([role("worker"), role(&self.name)]);
        let specs: Vec<_> = (1..=workers)
            .map(|number| NodeSpec {
                name: format!("{}-{number}", self.name),
                labels: labels.clone(),
            })
            .collect();
        self.nodes = specs.iter().map(|spec| spec.name.clone()).collect();
        self.world.add_nodes(&specs)?;
        for name in &self.nodes {
            let root = self.world.cluster().node(name)?.machine().root().to_owned();
            self.roots.insert(name.clone(), root);
        }
        if workers > 0 {
            self.wait_updated()?;
        }
        Ok(())
    }

    /// Does a scenario: with its outcome the scene ends, after a bundle was written if it failed.
    pub(crate) fn play(self, scenario: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let outcome = scenario(&self);
        self.judged(outcome)
    }

    fn judged(&self, outcome: Result<()>) -> Result<()> {
        let outcome = outcome.with_context(|| match self.pool() {
            Ok(pool) => format!("pool {} says {}", self.name, pool["status"]["conditions"]),
            Err(error) => format!("{error:#}"),
        });
        self.world.cluster().judged(&self.name, outcome)
    }

    /// Creates an object that goes with the scene.
    pub(crate) fn create(&self, list: &str, object: &Value) -> Result<()> {
        self.world.api().create(list, object)?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        self.made.borrow_mut().push(format!("{list}/{name}"));
        Ok(())
    }

    /// Creates a pool that selects the configs of the workers and its own.
    pub(crate) fn create_pool(&self, name: &str, spec: &Value) -> Result<()> {
        let mut whole = json!({
            "machineConfigSelector": {"matchExpressions": [
                {"key": format!("{PREFIX}role"), "operator": "In", "values": ["worker", name]},
            ]},
            "nodeSelector": {"matchLabels": {format!("node-role.kubernetes.io/{name}"): ""}},
        });
        for (key, value) in spec.as_object().into_iter().flatten() {
            whole[key] = value.clone();
        }
        let pool = json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool",
            "metadata": {"name": name}, "spec": whole,
        });
        self.create(&format!("{GROUP}/machineconfigpools"), &pool)
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        // Nodes first: without their pool they would become workers, and be reserved for updates that they do not live to see. Of the
        // rest the pool comes first, so that nothing more is rendered for it.
        self.world.remove_nodes(&self.nodes);
        for path in self.made.take() {
            self.world.forget(&path);
        }
    }
}

// === steering ===

impl Scene<'_> {
    /// Writes a MachineConfig of the scene's pool, named after both; one that is there is changed.
    pub(crate) fn apply_config(&self, name: &str, spec: &Value) -> Result<()> {
        self.apply_config_of(&self.name, name, spec)
    }

    /// The same for another pool of the scene.
    pub(crate) fn apply_config_of(&self, pool: &str, name: &str, spec: &Value) -> Result<()> {
        let name = format!("50-{pool}-{name}");
        let path = World::config_path(&name);
        if self.world.api().find(&path)?.is_some() {
            return self.world.api().merge(&path, &json!({"spec": spec})).map(drop);
        }
        let config = json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig",
            "metadata": {"name": name, "labels": {format!("{PREFIX}role"): pool}}, "spec": spec,
        });
        self.create(&format!("{GROUP}/machineconfigs"), &config)
    }

    /// Deletes a MachineConfig that [`Scene::apply_config`] wrote.
    pub(crate) fn delete_config(&self, name: &str) -> Result<()> {
        let path = World::config_path(&format!("50-{}-{name}", self.name));
        self.world.api().delete(&path)
    }

    /// Changes the spec of the pool.
    pub(crate) fn change_pool(&self, spec: &Value) -> Result<()> {
        let path = World::pool_path(&self.name);
        self.world.api().merge(&path, &json!({"spec": spec})).map(drop)
    }

    /// Cordons a node as an admin does, or ends that.
    pub(crate) fn cordon(&self, node: &str, cordoned: bool) -> Result<()> {
        let change = json!({"spec": {"unschedulable": cordoned}});
        self.world
            .api()
            .merge(&format!("/api/v1/nodes/{node}"), &change)
            .map(drop)
    }

    /// Runs so many pods on the nodes of the scene, which are moved when they are evicted, and waits until they run.
    pub(crate) fn run_pods(&self, replicas: usize) -> Result<()> {
        let labels = json!({"app": self.name});
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": self.name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeSelector": {format!("node-role.kubernetes.io/{}", self.name): ""},
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{"name": "idle", "image": IDLE, "imagePullPolicy": "Never"}],
                },
            }},
        });
        self.create("/apis/apps/v1/namespaces/default/deployments", &deployment)?;
        self.wait_pods(replicas)
    }

    /// Waits until so many pods of the scene run.
    pub(crate) fn wait_pods(&self, replicas: usize) -> Result<()> {
        let path = format!("/apis/apps/v1/namespaces/default/deployments/{}", self.name);
        self.wait(&format!("{replicas} pods to run"), || {
            let deployment = self.world.api().get(&path)?;
            Ok((deployment["status"]["readyReplicas"] == replicas).then_some(()))
        })
    }

    /// Writes a file of a node, as somebody who changes it by hand.
    pub(crate) fn write(&self, node: &str, path: &str, text: &str) -> Result<()> {
        let path = self.root(node)?.join(path.trim_start_matches('/'));
        fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))
    }

    /// Runs a program on a node, which must succeed. The result is what it wrote to standard output, without white space at the end.
    pub(crate) fn succeed(&self, node: &str, argv: &[&str]) -> Result<String> {
        // Others may change the cluster while it runs.
        let mut command = self.world.cluster().node(node)?.machine().command(argv)?;
        let ran = run(&mut command, COMMAND)?;
        ensure!(
            ran.code == Some(0),
            "{argv:?} on node {node} failed: {}",
            ran.all()
        );
        Ok(ran.stdout.trim_end().to_owned())
    }
}

// === looking ===

impl Scene<'_> {
    pub(crate) fn world(&self) -> &World {
        self.world
    }

    /// The names of the nodes, in the order of their making.
    pub(crate) fn nodes(&self) -> &[String] {
        &self.nodes
    }

    pub(crate) fn pool(&self) -> Result<Value> {
        self.world.api().get(&World::pool_path(&self.name))
    }

    pub(crate) fn node(&self, name: &str) -> Result<Value> {
        self.world.api().get(&format!("/api/v1/nodes/{name}"))
    }

    /// The MachineConfigNode of a node.
    pub(crate) fn report(&self, node: &str) -> Result<Value> {
        self.world
            .api()
            .get(&format!("{GROUP}/machineconfignodes/{node}"))
    }

    /// The config that the pool is to have; empty when it has none.
    pub(crate) fn target(&self) -> Result<String> {
        let pool = self.pool()?;
        Ok(text(&pool["spec"]["configuration"]["name"]).to_owned())
    }

    fn root(&self, node: &str) -> Result<&PathBuf> {
        self.roots
            .get(node)
            .with_context(|| format!("the scene has no node {node}"))
    }

    /// A file of a node; none when it is not there.
    pub(crate) fn read(&self, node: &str, path: &str) -> Result<Option<String>> {
        let path = self.root(node)?.join(path.trim_start_matches('/'));
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("could not read {}", path.display())),
        }
    }

    /// The boot id of a node that is on.
    pub(crate) fn boot(&self, node: &str) -> Result<String> {
        self.world.cluster().node(node)?.machine().boot_id()
    }

    /// What policies have done to a node so far.
    pub(crate) fn traces(&self, node: &str) -> Result<Traces> {
        let show = |unit: &[&str], property: &str| {
            let argv = [
                &["systemctl", "show", "--value", "--property", property][..],
                unit,
            ]
            .concat();
            self.succeed(node, &argv)
        };
        let reloads = self.read(node, "/var/lib/probe-reloads")?.unwrap_or_default();
        Ok(Traces {
            boot: self.boot(node)?,
            probe: show(&["probe.service"], "InvocationID")?,
            reloads: reloads.lines().count(),
            units_read: show(&[], "UnitsLoadTimestampMonotonic")?,
            drain: annotation(&self.node(node)?, "lastAppliedDrain").to_owned(),
        })
    }

    /// Watches the nodes of the scene from now on.
    pub(crate) fn watch_nodes(&self) -> Result<Watch> {
        let label = format!("node-role.kubernetes.io%2F{}", self.name);
        Watch::begin(self.world.api(), &format!("/api/v1/nodes?labelSelector={label}"))
    }

    /// Watches the pool of the scene from now on.
    pub(crate) fn watch_pool(&self) -> Result<Watch> {
        let path = format!(
            "{GROUP}/machineconfigpools?fieldSelector=metadata.name%3D{}",
            self.name
        );
        Watch::begin(self.world.api(), &path)
    }

    /// Watches the pods of [`Scene::run_pods`] from now on.
    pub(crate) fn watch_pods(&self) -> Result<Watch> {
        Watch::begin(
            self.world.api(),
            &format!("{PODS}?labelSelector=app%3D{}", self.name),
        )
    }

    // === waiting ===

    /// Waits until something is so.
    pub(crate) fn wait<T>(&self, what: &str, look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        wait_on(format!("{}: {what}", self.name), DEADLINE, look)
    }

    /// Waits until the pool is to have another config than `before`. The result is that.
    pub(crate) fn wait_rendered(&self, before: &str) -> Result<String> {
        self.wait("the pool to be rendered", || {
            let target = self.target()?;
            Ok((!target.is_empty() && target != before).then_some(target))
        })
    }

    /// Waits until every node has the config that the pool is to have, and the pool says so. The result is that.
    pub(crate) fn wait_updated(&self) -> Result<String> {
        let count = self.nodes.len();
        self.wait("the pool to be updated", || {
            let pool = self.pool()?;
            let target = &pool["spec"]["configuration"]["name"];
            let has = &pool["status"]["configuration"]["name"];
            let all =
                pool["status"]["updatedMachineCount"] == count && pool["status"]["machineCount"] == count;
            let updated = target.is_string() && target == has && all && condition(&pool, "Updated") == "True";
            Ok(updated.then(|| text(target).to_owned()))
        })
    }

    /// Does something to the pool's MachineConfigs, and waits until the pool is rendered anew and updated. The result is the config.
    pub(crate) fn updated_by(&self, change: impl FnOnce() -> Result<()>) -> Result<String> {
        let before = self.target()?;
        change()?;
        self.wait_rendered(&before)?;
        self.wait_updated()
    }
}

// === objects ===

/// The spec of a MachineConfig with one file.
pub(crate) fn file(path: &str, contents: &str) -> Value {
    ignition(&json!({"storage": {"files": [
        {"path": path, "mode": 420, "overwrite": true, "contents": {"source": format!("data:,{contents}")}},
    ]}}))
}

/// The spec of a MachineConfig with these sections of an Ignition config.
pub(crate) fn ignition(sections: &Value) -> Value {
    let mut config = json!({"ignition": {"version": "3.5.0"}});
    for (key, value) in sections.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    json!({"config": config})
}

/// A text; empty when it is none.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn find<'a>(object: &'a Value, type_: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let found = conditions.find(|condition| condition["type"] == type_);
    found.unwrap_or(&Value::Null)
}

/// The status of a condition; empty when there is none.
pub(crate) fn condition<'a>(object: &'a Value, type_: &str) -> &'a str {
    text(&find(object, type_)["status"])
}

/// The message of a condition; empty when there is none.
pub(crate) fn message<'a>(object: &'a Value, type_: &str) -> &'a str {
    text(&find(object, type_)["message"])
}
