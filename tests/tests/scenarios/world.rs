//! The cluster that all scenarios share, its nodes, and the policies that are in force in it.

use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use e2e::cluster::product::GROUP;
use e2e::cluster::{Api, Cluster, MoreWatchers, Node, NodeSpec, Options, READY, wait_on};
use serde_json::json;

/// How long anything may take: a reboot with a drain takes ten seconds, and there are other scenarios.
pub(crate) const DEADLINE: Duration = Duration::from_mins(3);

/// Nodes of all scenarios at once: so many fit on two processors.
const NODES: usize = 10;

/// The unit that every node has, for what policies do to units: see [`crate::scene::Scene::traces`].
pub(crate) const PROBE: (&str, &str) = (
    "etc/systemd/system/probe.service",
    "[Unit]\nDescription=What a policy restarts and reloads\n[Service]\nExecStart=/bin/sleep infinity\n\
     ExecReload=/bin/sh -c 'echo reload >> /var/lib/probe-reloads'\n[Install]\nWantedBy=multi-user.target\n",
);

/// Everything that scenarios share.
pub(crate) struct World {
    cluster: RwLock<Cluster>,
    api: Api,
    free: Mutex<usize>,
    freed: Condvar,
    /// Last: nodes go before it.
    _watchers: MoreWatchers,
}

/// The world, made for the first scenario that asks for it.
#[derive(Default)]
pub(crate) struct Shared(Mutex<Option<Result<Arc<World>, String>>>);

/// Nodes that one scenario may have; others may when the value goes.
pub(crate) struct Room<'w> {
    world: &'w World,
    nodes: usize,
}

impl Shared {
    pub(crate) fn world(&self) -> Result<Arc<World>> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that could not be made is not tried again by the next scenario.
        let made =
            shared.get_or_insert_with(|| World::up().map(Arc::new).map_err(|error| format!("{error:#}")));
        made.clone()
            .map_err(|error| anyhow!("there is no world: {error}"))
    }
}

impl World {
    fn up() -> Result<Self> {
        let watchers = MoreWatchers::allow()?;
        // The replicas of the controller stay there, since the scenarios' own nodes come later and the control plane is preferred.
        let roles = ["worker", "control-plane"]
            .map(|role| (format!("node-role.kubernetes.io/{role}"), String::new()));
        let system = NodeSpec {
            name: "system".to_owned(),
            labels: roles.into(),
        };
        let options = Options {
            nodes: vec![system],
            system: true,
            audit: false,
        };
        let cluster = Cluster::up(&options)?;
        let world = Self {
            api: cluster.api().clone(),
            cluster: RwLock::new(cluster),
            free: Mutex::new(NODES),
            freed: Condvar::new(),
            _watchers: watchers,
        };
        world.set_policies()?;
        Ok(world)
    }

    /// One policy for each thing that can happen. There is one MachineConfiguration for all, so it never changes.
    fn set_policies(&self) -> Result<()> {
        let unit = |kind: &str, key: &str| json!({"type": kind, key: {"serviceName": "probe.service"}});
        let files = [
            ("none", json!({"type": "None"})),
            ("restart", unit("Restart", "restart")),
            ("reload", unit("Reload", "reload")),
            ("drain", json!({"type": "Drain"})),
            ("daemon-reload", json!({"type": "DaemonReload"})),
        ]
        .map(|(name, action)| json!({"path": format!("/etc/policy/{name}"), "actions": [action]}));
        let change = json!({"spec": {"nodeDisruptionPolicy": {"files": files}}});
        self.api
            .merge(
                "/apis/operator.openshift.io/v1/machineconfigurations/cluster",
                &change,
            )
            .context("could not set the policies")?;
        Ok(())
    }

    pub(crate) fn api(&self) -> &Api {
        &self.api
    }

    /// The cluster, to look at. Nobody may change it meanwhile, so not for long.
    pub(crate) fn cluster(&self) -> RwLockReadGuard<'_, Cluster> {
        self.cluster.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cluster, to change. Nobody else may even look meanwhile.
    pub(crate) fn cluster_mut(&self) -> RwLockWriteGuard<'_, Cluster> {
        self.cluster.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until so many nodes more may be made.
    pub(crate) fn room(&self, nodes: usize) -> Room<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self
            .freed
            .wait_while(free, |free| *free < nodes)
            .unwrap_or_else(PoisonError::into_inner);
        *free -= nodes;
        Room { world: self, nodes }
    }

    /// Makes nodes, which are ready and labelled on return.
    pub(crate) fn add_nodes(&self, specs: &[NodeSpec]) -> Result<()> {
        for spec in specs {
            let mut cluster = self.cluster_mut();
            let node = cluster.make_node(spec)?;
            let (path, text) = PROBE;
            let path = node.machine().root().join(path);
            std::fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
            let preset = node
                .machine()
                .root()
                .join("usr/lib/systemd/system-preset/01-probe.preset");
            std::fs::write(preset, "enable probe.service\n")?;
            cluster.power_on(&spec.name)?;
        }
        for NodeSpec { name, labels } in specs {
            self.wait_ready(name)?;
            let change = json!({"metadata": {"labels": labels}});
            self.api.merge(&format!("/api/v1/nodes/{name}"), &change)?;
        }
        Ok(())
    }

    /// Waits until a node is ready, and lets others go on meanwhile. The result is its boot id.
    pub(crate) fn wait_ready(&self, name: &str) -> Result<String> {
        wait_on(format!("node {name} to be ready"), READY, || {
            self.cluster().look_ready(name)
        })
    }

    /// Removes nodes, and what belongs to them; what cannot be removed is told and left.
    pub(crate) fn remove_nodes(&self, names: &[String]) {
        let mut gone: Vec<Node> = Vec::new();
        for name in names {
            match self.cluster_mut().take_node(name) {
                Ok(node) => gone.push(node),
                Err(error) => eprintln!("{error:#}"),
            }
        }
        // All at once, and nobody waits for them meanwhile: each takes a second or two.
        let ends: Vec<_> = gone
            .into_iter()
            .map(|node| thread::spawn(move || drop(node)))
            .collect();
        for end in ends {
            let _ = end.join();
        }
        for name in names {
            self.forget(&format!("/api/v1/nodes/{name}"));
        }
    }

    /// Deletes an object, if it is there.
    pub(crate) fn forget(&self, path: &str) {
        let deleted = match self.api.find(path) {
            Ok(Some(_)) => self.api.delete(path),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = deleted {
            eprintln!("{path} is left: {error:#}");
        }
    }

    /// The pool of that name.
    pub(crate) fn pool_path(name: &str) -> String {
        format!("{GROUP}/machineconfigpools/{name}")
    }

    /// The MachineConfig of that name.
    pub(crate) fn config_path(name: &str) -> String {
        format!("{GROUP}/machineconfigs/{name}")
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        *self.world.free.lock().unwrap_or_else(PoisonError::into_inner) += self.nodes;
        self.world.freed.notify_all();
    }
}
