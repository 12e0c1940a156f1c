//! A cluster of one control plane node with everything that is deployed for machines that join, and the words to make such machines.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::cluster::product::{GROUP, NAMESPACE, annotation, is_done, make_image, static_programs};
use e2e::cluster::{Api, Cluster, MoreWatchers, NodeSpec, Options, wait_on};
use e2e::real_ignition::{Ignition, Machine};
use e2e::repository;
use jiff::{SignedDuration, Timestamp};
use machineconfig::join::{JoinToken, TOKENS, Uses};
use serde_json::{Value, json};

/// How long anything may take that is no join.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);
/// From power on to Ready, which takes ten seconds where little else runs.
pub(crate) const JOIN: Duration = Duration::from_secs(90);
/// The node of the control plane, where the server is.
const SYSTEM: &str = "system";
/// The port of the server.
const PORT: u16 = 22623;
/// Where the requests for certificates are.
pub(crate) const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// What the test's own MachineConfig adds to those of `deploy/base-configs`: what the machines of this test lack.
const TESTBED: [(&str, &str); 3] = [
    (
        "/etc/kubernetes/kubelet.conf.d/50-testbed.conf",
        include_str!("testbed/kubelet.conf"),
    ),
    (
        "/etc/containerd/conf.d/50-testbed.toml",
        include_str!("testbed/containerd.toml"),
    ),
    (
        "/etc/containerd/cni.template",
        include_str!("testbed/cni.template"),
    ),
];

/// What becomes of requests that a rule does not like, and of requests for certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// As it is deployed: everybody is let in, and a person approves.
    Watched,
    /// Only who shows a token and is no pod and no node; the controller approves.
    Guarded,
}

/// The cluster, and what machines are made with.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) ignitions: [Ignition; 2],
    tokens: u8,
    /// Last: nodes go before it.
    _watchers: MoreWatchers,
}

impl World {
    /// The control plane with our system as it is deployed, and MachineConfigs that make a host a node.
    pub(crate) fn up() -> Result<Self> {
        let ignitions = Ignition::both()?;
        let watchers = MoreWatchers::allow()?;
        let role = "node-role.kubernetes.io/control-plane".to_owned();
        let system = NodeSpec {
            name: SYSTEM.to_owned(),
            labels: [(role, String::new())].into(),
        };
        let cluster = Cluster::up(&Options {
            nodes: vec![system],
            ..Options::default()
        })?;
        let mut world = Self {
            cluster,
            ignitions,
            tokens: 0,
            _watchers: watchers,
        };
        let begun = world.begin();
        world.judged(begun)?;
        Ok(world)
    }

    fn begin(&mut self) -> Result<()> {
        let archive = self.cluster.dir().join("machine-config.tar");
        make_image(&static_programs()?, &archive)?;
        self.cluster.load_image(&archive)?;
        self.deploy(Door::Watched)?;
        let configs = repository().join("deploy/base-configs").display().to_string();
        // It takes a moment until a definition is served.
        wait_on("the configs to be taken", DEADLINE, || {
            let ran = self
                .cluster
                .kubectl(&["apply", "--server-side", "-k", &configs])?;
            ensure!(ran.code == Some(0), "{}", ran.all());
            Ok(Some(()))
        })?;
        let files = TESTBED.map(|(path, text)| file(path, text));
        self.make_config("worker", "99-worker-testbed", &files)?;
        let ca = [
            "config",
            "view",
            "--raw",
            "--output=jsonpath={.clusters[0].cluster.certificate-authority-data}",
        ];
        let ca = self.cluster.kubectl(&ca)?.stdout;
        self.set_kubelet_ca(&String::from_utf8(STANDARD.decode(ca.trim())?)?)?;
        self.settled("worker", "99-worker-testbed")
    }

    /// Installs what is deployed, with what an administrator would write into the `.properties`.
    fn deploy(&self, door: Door) -> Result<()> {
        let (mode, approve) = match door {
            Door::Watched => ("audit", false),
            Door::Guarded => ("enforce", true),
        };
        let server = [
            format!("APISERVER_URL={}", self.cluster.server()),
            // As a person would have it who has not thought about it yet.
            format!("DENY_NETWORKS={}", if approve { "10.100.0.0/16" } else { "" }),
            format!("NETWORKS={mode}"),
            format!("JOINED_NODES={mode}"),
            format!("JOIN_TOKEN={mode}"),
        ];
        let joining = [
            format!(
                "IGNITION_URL=https://{}:{PORT}",
                self.cluster.node(SYSTEM)?.address()
            ),
            format!("APPROVE_KUBELET_CERTIFICATES={approve}"),
        ];
        self.cluster.deploy(
            &["base", "server", "approval"],
            &[
                ("machine-config-server", &server),
                ("machine-config-joining", &joining),
            ],
        )
    }

    /// As the guide has it: the settings are changed, and what reads them is started anew. All of it at once, which is quicker than one
    /// after the other.
    pub(crate) fn change_door(&self, door: Door) -> Result<()> {
        self.deploy(door)?;
        let selector =
            "--selector=app.kubernetes.io/name in (machine-config-controller, machine-config-server)";
        let ran = self
            .cluster
            .kubectl(&["delete", "pods", "--namespace", NAMESPACE, selector])?;
        ensure!(ran.code == Some(0), "{}", ran.all());
        Ok(())
    }

    pub(crate) fn api(&self) -> &Api {
        self.cluster.api()
    }

    /// Leaves a bundle behind when it went wrong, with the logs of the system.
    pub(crate) fn judged(&self, outcome: Result<()>) -> Result<()> {
        let outcome = outcome.map_err(|error| {
            let logs = |name: &str| {
                let selector = format!("--selector=app.kubernetes.io/name={name}");
                let ran = self.cluster.kubectl(&[
                    "logs",
                    "--namespace",
                    NAMESPACE,
                    &selector,
                    "--tail=12",
                    "--prefix",
                ]);
                ran.map_or_else(|error| format!("{error:#}"), |ran| ran.all())
            };
            error.context(format!(
                "server:\n{}\ncontroller:\n{}\n",
                logs("machine-config-server"),
                logs("machine-config-controller")
            ))
        });
        self.cluster.judged("join", outcome)
    }

    // === machines ===

    /// The user data of a pool's machines: what the Secret holds, with a token if there is one.
    pub(crate) fn user_data(&self, pool: &str, token: Option<&JoinToken>) -> Result<Value> {
        let path = format!("/api/v1/namespaces/machine-config-user-data/secrets/{pool}-user-data-managed");
        let secret = wait_on(format!("the pointer of pool {pool}"), DEADLINE, || {
            self.api().find(&path)
        })?;
        let data = secret["data"]["userData"]
            .as_str()
            .context("the pointer is empty")?;
        let mut pointer: Value = serde_json::from_slice(&STANDARD.decode(data)?)?;
        if let Some(token) = token {
            pointer["ignition"]["version"] = "3.1.0".into();
            pointer["ignition"]["config"]["merge"][0]["httpHeaders"] =
                json!([{"name": "Authorization", "value": format!("Bearer {}", token.revealed())}]);
        }
        Ok(pointer)
    }

    /// A token for a pool that is good for so long, or has been over for so long.
    pub(crate) fn token(&mut self, pool: &str, uses: Uses, left: SignedDuration) -> Result<JoinToken> {
        self.tokens += 1;
        let token = JoinToken::new([self.tokens; 4], [self.tokens; 16]);
        let stored = serde_json::to_vec(&token.stored(pool, Timestamp::now() + left, uses))?;
        let data = json!({token.id(): STANDARD.encode(stored)});
        let list = format!("/api/v1/namespaces/{NAMESPACE}/secrets");
        let path = format!("{list}/{TOKENS}");
        if self.api().find(&path)?.is_some() {
            self.api().merge(&path, &json!({"data": data}))?;
        } else {
            let secret =
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": TOKENS}, "data": data});
            self.api().create(&list, &secret)?;
        }
        Ok(token)
    }

    /// A token for one machine of a pool.
    pub(crate) fn good_token(&mut self, pool: &str) -> Result<JoinToken> {
        self.token(pool, Uses::Once, SignedDuration::from_hours(1))
    }

    /// A bare machine; Ignition has not run on it yet.
    pub(crate) fn bare(&mut self, name: &str, ignition: usize, user_data: &Value) -> Result<Machine> {
        let node = self.cluster.make_bare(name)?;
        let machine = node.machine();
        Machine::with_root(
            &self.ignitions[ignition],
            user_data,
            machine.root(),
            &machine.network(),
        )
    }

    /// A bare machine that Ignition has been through with a good token; it is still off. The result is the config it was served.
    pub(crate) fn provisioned(&mut self, name: &str, pool: &str) -> Result<String> {
        let token = self.good_token(pool)?;
        let user_data = self.user_data(pool, Some(&token))?;
        let machine = self.bare(name, 1, &user_data)?;
        machine.provision()?;
        self.served_to(name)
    }

    /// The name of the rendered config that a machine was served, as its disk has it.
    pub(crate) fn served_to(&self, name: &str) -> Result<String> {
        let text = self.read(name, "etc/machine-config-daemon/node-annotations.json")?;
        let annotations: Value = serde_json::from_str(&text)?;
        let config = annotations["machineconfiguration.openshift.io/currentConfig"].as_str();
        Ok(config.context("the machine was told no config")?.to_owned())
    }

    /// Waits until a pool is rendered from a MachineConfig, among others, and new machines are served that.
    pub(crate) fn settled(&self, pool: &str, source: &str) -> Result<()> {
        wait_on(format!("pool {pool} to settle with {source}"), DEADLINE, || {
            let object = self.pool(pool)?;
            let target = &object["spec"]["configuration"];
            let sources = target["source"].as_array();
            let has_it = sources.into_iter().flatten().any(|of| of["name"] == source);
            let is_served = object["status"]["configuration"]["name"] == target["name"];
            Ok((has_it && is_served).then_some(()))
        })
    }

    /// Switches a machine on and waits until it is ready and in its pool. The result is its boot id.
    pub(crate) fn joined(&mut self, name: &str, pool: &str) -> Result<String> {
        self.cluster.power_on(name)?;
        let boot = wait_on(format!("{name} to be ready"), JOIN, || {
            self.cluster.look_ready(name)
        })?;
        for role in ["worker", pool] {
            let label = format!("node-role.kubernetes.io/{role}");
            wait_on(format!("the label {label} of {name}"), DEADLINE, || {
                let node = self.node(name)?;
                Ok(node["metadata"]["labels"][&label].is_string().then_some(()))
            })?;
        }
        Ok(boot)
    }

    /// Waits until the daemon of a machine says that it has its config; it must not have been booted again for it.
    pub(crate) fn done_at(&self, name: &str, config: &str, boot: &str) -> Result<()> {
        let mut said = String::new();
        wait_on(format!("{name} to be done"), DEADLINE, || {
            let node = self.node(name)?;
            said = node["metadata"]["annotations"].to_string();
            Ok((is_done(&node) && !self.exists(name, LAID_DOWN)).then_some(()))
        })
        .with_context(|| format!("it says {said}"))?;
        let node = self.node(name)?;
        let current = annotation(&node, "currentConfig");
        ensure!(current == config, "{name} is at {current}, expected {config}");
        let now = self.cluster.node(name)?.machine().boot_id()?;
        ensure!(now == boot, "{name} was booted again");
        Ok(())
    }

    // === looking ===

    pub(crate) fn node(&self, name: &str) -> Result<Value> {
        self.api().get(&format!("/api/v1/nodes/{name}"))
    }

    pub(crate) fn pool(&self, name: &str) -> Result<Value> {
        self.api().get(&format!("{GROUP}/machineconfigpools/{name}"))
    }

    /// The config that a pool is to have.
    pub(crate) fn target(&self, pool: &str) -> Result<String> {
        let pool = self.pool(pool)?;
        let name = pool["spec"]["configuration"]["name"].as_str();
        Ok(name.unwrap_or_default().to_owned())
    }

    /// Waits until a pool counts so many machines, all of which have its config.
    pub(crate) fn counted(&self, pool: &str, machines: u32) -> Result<()> {
        let mut said = String::new();
        wait_on(format!("pool {pool} to count {machines}"), 2 * DEADLINE, || {
            let status = self.pool(pool)?["status"].take();
            said = status.to_string();
            let is_counted = ["machineCount", "updatedMachineCount", "readyMachineCount"]
                .into_iter()
                .all(|count| status[count] == machines);
            Ok(is_counted.then_some(()))
        })
        .with_context(|| format!("it says {said}"))
    }

    fn root(&self, name: &str) -> Result<PathBuf> {
        Ok(self.cluster.node(name)?.machine().root().to_owned())
    }

    /// A file of a machine.
    pub(crate) fn read(&self, name: &str, path: &str) -> Result<String> {
        let path = self.root(name)?.join(path);
        std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))
    }

    pub(crate) fn exists(&self, name: &str, path: &str) -> bool {
        self.root(name).is_ok_and(|root| root.join(path).exists())
    }

    /// The node where the server is.
    pub(crate) fn system(&self) -> Result<&e2e::machine::Machine> {
        Ok(self.cluster.node(SYSTEM)?.machine())
    }

    // === objects ===

    /// A MachineConfig of a role with files.
    pub(crate) fn make_config(&self, role: &str, name: &str, files: &[Value]) -> Result<()> {
        let object = json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig",
            "metadata": {"name": name, "labels": {"machineconfiguration.openshift.io/role": role}},
            "spec": {"config": {"ignition": {"version": "3.2.0"}, "storage": {"files": files}}},
        });
        self.api().create(&format!("{GROUP}/machineconfigs"), &object)?;
        Ok(())
    }

    /// A pool of workers with a role of their own.
    pub(crate) fn make_pool(&self, name: &str) -> Result<()> {
        let role = format!("node-role.kubernetes.io/{name}");
        let object = json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool", "metadata": {"name": name},
            "spec": {
                "machineConfigSelector": {"matchExpressions": [
                    {"key": "machineconfiguration.openshift.io/role", "operator": "In", "values": ["worker", name]},
                ]},
                "nodeSelector": {"matchLabels": {role: ""}},
            },
        });
        self.api()
            .create(&format!("{GROUP}/machineconfigpools"), &object)?;
        Ok(())
    }

    pub(crate) fn change_pool(&self, name: &str, spec: &Value) -> Result<()> {
        let path = format!("{GROUP}/machineconfigpools/{name}");
        self.api().merge(&path, &json!({"spec": spec})).map(drop)
    }

    /// Whom kubelets believe: the cluster's own CA, and what is added to it.
    pub(crate) fn set_kubelet_ca(&self, pem: &str) -> Result<()> {
        let path = format!("{GROUP}/controllerconfigs/machine-config-controller");
        let change = json!({"spec": {"kubeAPIServerServingCAData": STANDARD.encode(pem)}});
        wait_on("the ControllerConfig to be there", DEADLINE, || {
            self.api().merge(&path, &change).map(Some)
        })?;
        Ok(())
    }
}

/// What the server lays down for the daemon's first start.
pub(crate) const LAID_DOWN: &str = "etc/machine-config-daemon/node-annotations.json";

/// A file of a MachineConfig.
pub(crate) fn file(path: &str, text: &str) -> Value {
    let source = format!("data:;base64,{}", STANDARD.encode(text));
    json!({"path": path, "mode": 0o644, "overwrite": true, "contents": {"source": source}})
}
