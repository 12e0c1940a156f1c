//! A cluster without kubelets, with controllers, and the words to steer and look at it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use e2e::cluster::{Account, Api, Cluster, NAMESPACE, Options, wait_on};
use e2e::program::{Background, built, free_port};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// How long anything may take: a rollout of a few played nodes takes some seconds.
pub(crate) const DEADLINE: Duration = Duration::from_mins(2);
/// How many rendered configs the controller keeps.
pub(crate) const KEEP: usize = 2;
/// What annotations of the handshake begin with.
const PREFIX: &str = "machineconfiguration.openshift.io/";
/// Where the objects are.
const GROUP: &str = "/apis/machineconfiguration.openshift.io/v1";

/// The cluster and its controllers.
pub(crate) struct World {
    /// Before the cluster: they end first.
    controllers: Vec<Controller>,
    started: usize,
    cluster: Cluster,
}

/// A replica.
struct Controller {
    process: Background,
    port: u16,
}

/// A pool that was made, and the config that its nodes begin with.
pub(crate) struct Made {
    pub(crate) target: String,
}

// === making ===

impl World {
    pub(crate) fn up() -> Result<Self> {
        let cluster = Cluster::up(&Options::default().audited())?;
        let mut world = Self {
            controllers: Vec::new(),
            started: 0,
            cluster,
        };
        world.cluster.install_accounts()?;
        let kubeconfig = world.cluster.kubeconfig_of(Account::Controller, None)?;
        std::fs::write(world.kubeconfig(), kubeconfig.to_string())?;
        world.define_scheduler()?;
        world.start_controller()?;
        Ok(world)
    }

    /// The kind Scheduler and the object of it that OpenShift has, as far as the controller reads it.
    fn define_scheduler(&self) -> Result<()> {
        let spec = json!({"type": "object", "properties": {"mastersSchedulable": {"type": "boolean"}}});
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "schedulers.config.openshift.io"},
            "spec": {
                "group": "config.openshift.io", "scope": "Cluster",
                "names": {"plural": "schedulers", "singular": "scheduler", "kind": "Scheduler", "listKind": "SchedulerList"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                    "type": "object", "properties": {"spec": spec},
                }}}],
            },
        });
        let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        self.api().create(definitions, &definition)?;
        let scheduler = json!({
            "apiVersion": "config.openshift.io/v1", "kind": "Scheduler", "metadata": {"name": "cluster"},
            "spec": {"mastersSchedulable": false},
        });
        wait("the kind Scheduler", || {
            self.api()
                .create("/apis/config.openshift.io/v1/schedulers", &scheduler)
                .map(Some)
        })
        .map(drop)
    }

    /// The controller's own: it may do what its account may, and nothing more.
    fn kubeconfig(&self) -> PathBuf {
        self.cluster.dir().join("controller.kubeconfig")
    }

    /// Starts one more replica.
    pub(crate) fn start_controller(&mut self) -> Result<()> {
        self.started += 1;
        let port = free_port()?;
        let log = self
            .cluster
            .dir()
            .join(format!("logs/controller-{}.log", self.started));
        let mut command = Command::new(built("machine-config-controller")?);
        command
            .args(["start", "--render-delay=0.3", "--v=4"])
            .arg(format!("--rendered-configs-to-keep={KEEP}"))
            .arg(format!("--kubeconfig={}", self.kubeconfig().display()))
            .arg(format!("--resourcelock-namespace={NAMESPACE}"))
            .arg(format!("--metrics-listen-address=127.0.0.1:{port}"))
            .args([
                "--leader-elect-lease-duration=5",
                "--leader-elect-renew-deadline=3",
            ])
            .arg("--leader-elect-retry-period=0.5");
        let process = Background::start(&mut command, &log)?;
        self.controllers.push(Controller { process, port });
        Ok(())
    }

    /// Makes a pool with a first config and so many nodes that have it.
    pub(crate) fn make_pool(&self, name: &str, nodes: usize, spec: &Value) -> Result<Made> {
        let mut whole = json!({
            "machineConfigSelector": {"matchExpressions": [
                {"key": format!("{PREFIX}role"), "operator": "In", "values": ["worker", name]},
            ]},
            "nodeSelector": {"matchLabels": {format!("node-role.kubernetes.io/{name}"): ""}},
        });
        for (key, value) in spec.as_object().into_iter().flatten() {
            whole[key] = value.clone();
        }
        self.configure(
            &format!("00-{name}"),
            name,
            &file(&format!("/etc/base-{name}"), "0"),
        )?;
        let pool = json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool",
            "metadata": {"name": name}, "spec": whole,
        });
        self.api().create(&format!("{GROUP}/machineconfigpools"), &pool)?;
        let target = self.wait_rendered(name, "")?;
        for number in 1..=nodes {
            self.make_node(name, number)?;
        }
        wait(&format!("pool {name} to have its nodes"), || {
            let pool = self.pool(name)?;
            let count = pool["status"]["readyMachineCount"].as_u64();
            Ok((count == Some(nodes as u64) && condition(&pool, "Updated") == "True").then_some(()))
        })?;
        Ok(Made { target })
    }

    fn make_node(&self, pool: &str, number: usize) -> Result<()> {
        let now = jiff::Timestamp::now();
        let capacity = json!({"pods": "20", "cpu": "4", "memory": "8Gi"});
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": format!("{pool}-{number}"), "labels": {
                format!("node-role.kubernetes.io/{pool}"): "", "example.com/pool": pool,
            }},
            "status": {"capacity": capacity, "allocatable": capacity, "conditions": [{
                "type": "Ready", "status": "True", "reason": "Played", "message": "",
                "lastHeartbeatTime": format!("{now:.0}"), "lastTransitionTime": format!("{now:.0}"),
            }]},
        });
        self.api().create("/api/v1/nodes", &node).map(drop)
    }

    /// Writes a MachineConfig.
    pub(crate) fn configure(&self, name: &str, role: &str, spec: &Value) -> Result<()> {
        let path = Self::config_path(name);
        if self.api().find(&path)?.is_some() {
            return self.api().merge(&path, &json!({"spec": spec})).map(drop);
        }
        let config = json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig",
            "metadata": {"name": name, "labels": {format!("{PREFIX}role"): role}}, "spec": spec,
        });
        self.api()
            .create(&format!("{GROUP}/machineconfigs"), &config)
            .map(drop)
    }

    /// Lets a DaemonSet run a pod on every node of a pool, and waits for one.
    pub(crate) fn run_daemon_set(&self, name: &str, pool: &str) -> Result<()> {
        let labels = json!({"app": name});
        let set = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels},
                "spec": {"nodeSelector": {"example.com/pool": pool}, "tolerations": [{"operator": "Exists"}],
                         "containers": [{"name": "c", "image": "example.com/none"}]},
            }},
        });
        self.api()
            .create("/apis/apps/v1/namespaces/default/daemonsets", &set)?;
        wait("the pod of a DaemonSet", || {
            let pods = self.pods_of(name)?;
            Ok(pods
                .iter()
                .any(|pod| pod["spec"]["nodeName"].is_string())
                .then_some(()))
        })
    }

    /// The pods with this value of the label `app` that are not on their way out.
    pub(crate) fn pods_of(&self, app: &str) -> Result<Vec<Value>> {
        let pods = self.api().get(&format!(
            "/api/v1/namespaces/default/pods?labelSelector=app%3D{app}"
        ))?;
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        let stays = |pod: &Value| pod["metadata"]["deletionTimestamp"].is_null();
        Ok(pods.into_iter().filter(stays).collect())
    }

    /// Lets a pod run on a node, as far as the API server can tell.
    pub(crate) fn run_pod(&self, node: &str, name: &str, labels: &Value) -> Result<()> {
        let pods = "/api/v1/namespaces/default/pods";
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": labels},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "example.com/none"}],
                     "tolerations": [{"operator": "Exists"}]},
        });
        self.api().create(pods, &pod)?;
        let status =
            json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        self.api()
            .merge(&format!("{pods}/{name}/status"), &status)
            .map(drop)
    }

    pub(crate) fn annotate_node(&self, node: &str, key: &str, value: &str) -> Result<()> {
        let change = json!({"metadata": {"annotations": {key: value}}});
        self.api().merge(&Self::node_path(node), &change).map(drop)
    }

    pub(crate) fn change_pool(&self, pool: &str, change: &Value) -> Result<()> {
        self.api().merge(&Self::pool_path(pool), change).map(drop)
    }
}

// === looking ===

impl World {
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(crate) fn api(&self) -> &Api {
        self.cluster.api()
    }

    pub(crate) fn config_path(name: &str) -> String {
        format!("{GROUP}/machineconfigs/{name}")
    }

    pub(crate) fn pool_path(name: &str) -> String {
        format!("{GROUP}/machineconfigpools/{name}")
    }

    pub(crate) fn node_path(name: &str) -> String {
        format!("/api/v1/nodes/{name}")
    }

    pub(crate) fn pool(&self, name: &str) -> Result<Value> {
        self.api().get(&Self::pool_path(name))
    }

    pub(crate) fn node(&self, name: &str) -> Result<Value> {
        self.api().get(&Self::node_path(name))
    }

    pub(crate) fn pod(&self, name: &str) -> Result<Option<Value>> {
        self.api()
            .find(&format!("/api/v1/namespaces/default/pods/{name}"))
    }

    pub(crate) fn nodes(&self, pool: &str) -> Result<Vec<Value>> {
        let list = self.api().get(&format!(
            "/api/v1/nodes?labelSelector=example.com%2Fpool%3D{pool}"
        ))?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// The config that a pool is to have; empty when it has none.
    pub(crate) fn target(&self, pool: &str) -> Result<String> {
        let pool = self.pool(pool)?;
        Ok(text(&pool["spec"]["configuration"]["name"]))
    }

    /// The names of a pool's rendered configs.
    pub(crate) fn rendered(&self, pool: &str) -> Result<Vec<String>> {
        let list = self.api().get(&format!("{GROUP}/machineconfigs"))?;
        let names = list["items"].as_array().into_iter().flatten();
        let names = names.map(|config| text(&config["metadata"]["name"]));
        Ok(names
            .filter(|name| name.starts_with(&format!("rendered-{pool}-")))
            .collect())
    }

    /// The reasons of the events of a pool.
    pub(crate) fn events_of(&self, pool: &str) -> Result<Vec<String>> {
        let list = self
            .api()
            .get("/apis/events.k8s.io/v1/namespaces/machine-config/events")?;
        let events = list["items"].as_array().into_iter().flatten();
        let of_pool = events.filter(|event| event["regarding"]["name"] == pool);
        Ok(of_pool.map(|event| text(&event["reason"])).collect())
    }

    /// The certificate of the cluster's authority, as objects have it.
    pub(crate) fn authority(&self) -> Result<Value> {
        let kubeconfig = self.cluster.kubeconfig_of(Account::Controller, None)?;
        Ok(kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"].clone())
    }

    /// The metrics of all replicas.
    pub(crate) fn all_metrics(&self) -> Result<String> {
        let mut all = String::new();
        for controller in &self.controllers {
            let url = format!("http://127.0.0.1:{}/metrics", controller.port);
            all += &ureq::get(url).call()?.body_mut().read_to_string()?;
        }
        Ok(all)
    }

    /// The metrics of the first replica.
    pub(crate) fn metrics(&self) -> Result<String> {
        let controller = self.controllers.first().context("no controller runs")?;
        let url = format!("http://127.0.0.1:{}", controller.port);
        for path in ["healthz", "readyz"] {
            ureq::get(format!("{url}/{path}"))
                .call()
                .with_context(|| format!("/{path}"))?;
        }
        Ok(ureq::get(format!("{url}/metrics"))
            .call()?
            .body_mut()
            .read_to_string()?)
    }

    /// Waits until a pool is pointed at another config than `before`.
    pub(crate) fn wait_rendered(&self, pool: &str, before: &str) -> Result<String> {
        wait(&format!("pool {pool} to be rendered"), || {
            let target = self.target(pool)?;
            Ok((!target.is_empty() && target != before).then_some(target))
        })
    }

    /// Waits until every node of a pool has another config than `before`, and the pool says so.
    pub(crate) fn wait_updated(&self, pool: &str, before: &str) -> Result<String> {
        wait(&format!("pool {pool} to be updated"), || {
            let object = self.pool(pool)?;
            let target = text(&object["spec"]["configuration"]["name"]);
            let has = text(&object["status"]["configuration"]["name"]);
            let done = target != before && has == target && condition(&object, "Updated") == "True";
            Ok(done.then_some(target))
        })
        .with_context(|| match self.pool(pool) {
            Ok(pool) => format!("the pool says {}", pool["status"]),
            Err(error) => format!("{error:#}"),
        })
    }

    /// Passes the outcome on, with what the controllers wrote when it is a failure.
    pub(crate) fn judged(mut self, outcome: Result<()>) -> Result<()> {
        let outcome = outcome.and_then(|()| {
            let mut controllers = self.controllers.iter_mut();
            controllers.try_for_each(|controller| controller.process.check())
        });
        if outcome.is_err() {
            for (index, controller) in self.controllers.iter().enumerate() {
                let log = controller.process.log();
                let lines: Vec<_> = log.lines().collect();
                let end = lines.len().saturating_sub(60);
                eprintln!("controller {index}, its last words:\n{}", lines[end..].join("\n"));
            }
        }
        self.cluster.judged("controller", outcome)
    }
}

// === replicas ===

impl World {
    /// Who leads.
    pub(crate) fn leader(&self) -> Result<String> {
        let lease = self
            .api()
            .get("/apis/coordination.k8s.io/v1/namespaces/machine-config/leases/machine-config-controller")?;
        Ok(text(&lease["spec"]["holderIdentity"]))
    }

    fn take_leader(&mut self) -> Result<(String, Controller)> {
        let leader = self.leader()?;
        let position = self
            .controllers
            .iter()
            .position(|controller| controller.process.log().contains(&leader));
        let position = position.with_context(|| format!("no replica is {leader}"))?;
        Ok((leader, self.controllers.remove(position)))
    }

    /// Kills the leader. The result is its name.
    pub(crate) fn kill_leader(&mut self) -> Result<String> {
        let (name, controller) = self.take_leader()?;
        let pid = i32::try_from(controller.process.id())
            .ok()
            .and_then(Pid::from_raw);
        // It is a child of this process that nobody has waited for, so its number is its own.
        kill_process(pid.context("it has no number")?, Signal::KILL)?;
        Ok(name)
    }

    /// Asks the leader to end, and waits for that. The result is its exit code.
    pub(crate) fn terminate_leader(&mut self) -> Result<Option<i32>> {
        let (name, mut controller) = self.take_leader()?;
        let pid = i32::try_from(controller.process.id())
            .ok()
            .and_then(Pid::from_raw);
        kill_process(pid.context("it has no number")?, Signal::TERM)?;
        let code = wait(&format!("{name} to end"), || match controller.process.check() {
            Ok(()) => Ok(None),
            Err(ended) => Ok(Some(format!("{ended:#}"))),
        })?;
        if code.contains("exit status: 0") {
            return Ok(Some(0));
        }
        bail!("the leader ended otherwise: {code}")
    }
}

/// Waits until something is so.
pub(crate) fn wait<T>(what: &str, look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    wait_on(what, DEADLINE, look)
}

// === objects ===

/// The spec of a MachineConfig with one file.
pub(crate) fn file(path: &str, contents: &str) -> Value {
    json!({"config": {"ignition": {"version": "3.5.0"}, "storage": {"files": [
        {"path": path, "mode": 420, "contents": {"source": format!("data:,{contents}")}},
    ]}}})
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn find<'a>(object: &'a Value, type_: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == type_);
    found.unwrap_or(&Value::Null)
}

/// The status of a condition; empty when there is none.
pub(crate) fn condition(object: &Value, type_: &str) -> String {
    text(&find(object, type_)["status"])
}

/// The message of a condition; empty when there is none.
pub(crate) fn message(object: &Value, type_: &str) -> String {
    text(&find(object, type_)["message"])
}

/// An annotation of the handshake; empty when there is none.
pub(crate) fn annotation(object: &Value, key: &str) -> String {
    text(&object["metadata"]["annotations"][format!("{PREFIX}{key}")])
}

/// An annotation of our own; empty when there is none.
pub(crate) fn own_annotation(object: &Value, key: &str) -> String {
    text(&object["metadata"]["annotations"][format!("machine-config.io/{key}")])
}
