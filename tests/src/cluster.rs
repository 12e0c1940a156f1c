//! A real Kubernetes cluster on this host: etcd, the API server, the controller manager and the scheduler, and nodes that are
//! [machines](crate::machine) with a real kubelet and containerd, which join by asking for certificates.
//!
//! Nothing of it is on the host's own addresses: a cluster has a bridge with a subnet of its own, the control plane a network namespace,
//! each node another. The API server is at port 443 of `10.(200 + n).0.2`, nodes at `10.(200 + n).1.x`, where n is the cluster's number;
//! several clusters do not meet. No setting of the host is changed; with more than six nodes at a
//! time its number of watchers of files (`fs.inotify.max_user_instances`) must be raised: the harness says so, and [`MoreWatchers`] does it. There is no proxy for services and no name service: of all services only `kubernetes` can be reached.
//!
//! A [`Cluster`] ends with its value, also when the test panics; what a killed test leaves is cleaned when the next cluster is made. One
//! that `cargo xtask cluster up` made is kept by a process of its own, and reached by [`Kept`].

mod accounts;
mod api;
mod audit;
mod bundle;
mod control_plane;
mod image;
mod joining;
mod keeper;
mod node;
mod parts;
mod pki;
mod place;
mod process;
pub mod product;
mod watchers;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub use accounts::{Account, NAMESPACE};
pub use api::{Answer, Api, JSON, MERGE, wait_on};
pub use audit::{Audit, Entry};
pub use control_plane::Component;
pub use image::{ImageFile, image_from_binaries};
pub use keeper::{Kept, NodeState, State, keep};
pub use node::{Node, NodeSpec};
pub use parts::Parts;
pub use pki::Identity;
pub use watchers::MoreWatchers;

use crate::program::{Ran, run, wait_for};
use control_plane::ControlPlane;
use node::{Beginning, PAUSE};
use pki::Pki;
use place::Place;

/// How long a node may take from its first boot until it is ready; it takes four seconds, and many times that with many others.
pub const READY: Duration = Duration::from_mins(3);

/// How long one command of kubectl may take.
const KUBECTL: Duration = Duration::from_mins(2);

/// What a cluster is to be.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Its nodes at the beginning.
    pub nodes: Vec<NodeSpec>,
    /// Whether our own system is installed, so that every worker is kept at its config.
    pub system: bool,
    /// Whether the API server keeps a record of who asked what of it: see [`Cluster::audit`].
    pub audit: bool,
}

impl Options {
    /// So many workers: `worker-1`, `worker-2` and so on, labelled as such.
    #[must_use]
    pub fn workers(count: u8) -> Self {
        let role = "node-role.kubernetes.io/worker".to_owned();
        let nodes = (1..=count).map(|number| NodeSpec {
            name: format!("worker-{number}"),
            labels: BTreeMap::from([(role.clone(), String::new())]),
        });
        Self {
            nodes: nodes.collect(),
            system: false,
            audit: false,
        }
    }

    /// The same, with our own system.
    #[must_use]
    pub fn with_system(self) -> Self {
        Self { system: true, ..self }
    }

    /// The same, with a record of who asks what.
    #[must_use]
    pub fn audited(self) -> Self {
        Self { audit: true, ..self }
    }
}

/// One cluster. Everything of it goes with the value.
#[derive(Debug)]
pub struct Cluster {
    /// Before the rest: nodes go first.
    nodes: BTreeMap<String, Node>,
    control_plane: ControlPlane,
    pki: Pki,
    parts: Parts,
    /// Archives that every node has, also a later one.
    images: Vec<PathBuf>,
    /// Whether our own system is installed.
    system: bool,
    /// How many nodes were ever made: an address is not used twice.
    made: u8,
    api: Api,
    kubeconfig: PathBuf,
    place: Place,
}

// === making ===

impl Cluster {
    /// Makes a cluster; its nodes are ready on return.
    pub fn up(options: &Options) -> Result<Self> {
        let parts = Parts::provide()?;
        watchers::ensure_room(1 + options.nodes.len())?;
        let place = Place::claim().context("could not make a place for a cluster")?;
        let pki = Pki::create(&place.dir().join("pki"), &place.addresses(), &place.server())
            .context("could not make the certificates of the cluster")?;
        let mut cluster = Self {
            nodes: BTreeMap::new(),
            control_plane: ControlPlane::new(&place, options.audit)?,
            api: Api::new(&place.server(), &pki.ca, &pki.admin)?,
            kubeconfig: pki.file("admin.kubeconfig"),
            images: Vec::new(),
            system: options.system,
            made: 0,
            pki,
            parts,
            place,
        };
        let begun = cluster.begin(options);
        let id = cluster.id();
        cluster
            .judged("up", begun)
            .with_context(|| format!("cluster {id} did not come up"))?;
        Ok(cluster)
    }

    fn begin(&mut self, options: &Options) -> Result<()> {
        self.make_images()?;
        self.launch(Component::Etcd)?;
        self.launch(Component::KubeApiserver)?;
        // While those start.
        for spec in &options.nodes {
            self.make(spec)?;
        }
        self.control_plane.wait_ready(&self.api)?;
        self.launch(Component::KubeControllerManager)?;
        self.launch(Component::KubeScheduler)?;
        joining::prepare(&self.api)?;
        // Only then are certificates signed, and a kubelet that waits for one asks ever more seldom.
        self.control_plane.wait_controllers(&self.api)?;
        for name in self.names() {
            self.switch_on(&name)?;
        }
        if self.system {
            self.apply_system()?;
        }
        for name in self.names() {
            self.wait_ready(&name)?;
            self.node(&name)?.label(&self.api)?;
        }
        if self.system {
            self.wait_installed()?;
        }
        Ok(())
    }

    fn make_images(&mut self) -> Result<()> {
        let images = self.place.dir().join("images");
        fs::create_dir_all(&images)?;
        if self.system {
            let archive = images.join("machine-config.tar");
            product::make_image(&product::static_programs()?, &archive)?;
            self.images.push(archive);
        }
        let archive = images.join("pause.tar");
        let program = ImageFile {
            path: "/bin/guest-pod".to_owned(),
            from: self.parts.pod_program().to_owned(),
        };
        image_from_binaries(PAUSE, &[program], &["pause"], &archive)?;
        self.images.push(archive);
        Ok(())
    }

    /// Makes a node that is off, and that has never been booted: what a test puts into its root now is there at its first boot.
    pub fn make_node(&mut self, spec: &NodeSpec) -> Result<&Node> {
        watchers::ensure_room(1)?;
        self.make(spec)?;
        self.introduce(&spec.name)?;
        self.node(&spec.name)
    }

    /// Makes a machine that is off, and that could become a node: it has the programs for that, its name and an address. It knows no
    /// cluster, and nothing that it asks for is granted by the harness.
    pub fn make_bare(&mut self, name: &str) -> Result<&Node> {
        watchers::ensure_room(1)?;
        let spec = NodeSpec {
            name: name.to_owned(),
            labels: BTreeMap::new(),
        };
        self.make_with(&spec, Beginning::Bare)?;
        self.node(name)
    }

    fn make(&mut self, spec: &NodeSpec) -> Result<()> {
        self.make_with(spec, Beginning::Provisioned)
    }

    fn make_with(&mut self, spec: &NodeSpec, beginning: Beginning) -> Result<()> {
        ensure!(
            !self.nodes.contains_key(&spec.name),
            "cluster {} has a node {} already",
            self.id(),
            spec.name
        );
        let index = self
            .made
            .checked_add(1)
            .context("this cluster has had 255 nodes")?;
        self.made = index;
        let node = Node::create(&self.place, &self.parts, spec, index, beginning)?;
        for archive in &self.images {
            node.load_image(archive)?;
        }
        if self.system {
            product::provision(node.machine().root())?;
        }
        self.nodes.insert(spec.name.clone(), node);
        Ok(())
    }

    fn introduce(&self, name: &str) -> Result<()> {
        let token = joining::token(&self.api)?;
        self.node(name)?
            .introduce(&self.pki, &self.place.server(), &token)
    }

    fn switch_on(&mut self, name: &str) -> Result<()> {
        self.introduce(name)?;
        self.power_on(name)
    }

    /// Adds a node; it is ready on return.
    pub fn add_node(&mut self, spec: &NodeSpec) -> Result<&Node> {
        watchers::ensure_room(1)?;
        self.make(spec)?;
        self.switch_on(&spec.name)?;
        self.wait_ready(&spec.name)?;
        self.node(&spec.name)?.label(&self.api)?;
        self.node(&spec.name)
    }

    /// Takes a node out of the cluster, as if its power and its cable were cut at once. It ends with the value; its object stays.
    pub fn take_node(&mut self, name: &str) -> Result<Node> {
        let node = self.nodes.remove(name);
        node.with_context(|| format!("cluster {} has no node {name}", self.id()))
    }

    /// Takes a node away as if it had burnt: first the machine, then its object.
    pub fn remove_node(&mut self, name: &str) -> Result<()> {
        drop(self.take_node(name)?);
        let path = format!("/api/v1/nodes/{name}");
        if self.api.find(&path)?.is_some() {
            self.api.delete(&path)?;
        }
        Ok(())
    }
}

// === looking ===

impl Cluster {
    /// What the cluster is called on this host; unique on it.
    #[must_use]
    pub fn id(&self) -> String {
        self.place.id()
    }

    /// The directory of its files while it lives; a test may keep files of its own there.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.place.dir()
    }

    /// The kubeconfig file of its administrator, for clients on this host.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The URL of the API server, as the host and nodes reach it.
    #[must_use]
    pub fn server(&self) -> String {
        self.place.server()
    }

    /// The certificate of the cluster's authority, as kubeconfigs have it.
    fn authority(&self) -> String {
        STANDARD.encode(&self.pki.ca)
    }

    /// A client that may do everything.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// A client with another identity, such as a [node's own](Node::identity).
    pub fn api_as(&self, identity: &Identity) -> Result<Api> {
        Api::new(&self.place.server(), &self.pki.ca, identity)
    }

    /// Runs kubectl to its end. For a manifest, give the path of a file.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<Ran> {
        let mut command = Command::new(self.parts.kubernetes("kubectl"));
        command.env("KUBECONFIG", &self.kubeconfig).args(arguments);
        run(&mut command, KUBECTL)
    }

    /// The names of its nodes, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.nodes.keys().cloned().collect()
    }

    /// A node.
    pub fn node(&self, name: &str) -> Result<&Node> {
        let node = self.nodes.get(name);
        node.with_context(|| format!("cluster {} has no node {name}", self.id()))
    }

    fn node_mut(&mut self, name: &str) -> Result<&mut Node> {
        let node = self.nodes.get_mut(name);
        node.with_context(|| format!("there is no node {name}"))
    }

    /// Waits until the present boot of a node is ready, and grants it the certificates that it asks for meanwhile. The result is its
    /// boot id.
    pub fn wait_ready(&self, name: &str) -> Result<String> {
        let node = self.node(name)?;
        wait_on(format!("node {name} to be ready"), READY, || {
            self.look_ready(name)
        })
        .with_context(|| self.report(node))
        .or_else(|error| self.control_plane.check().and(Err(error)))
    }

    /// One look of [`Cluster::wait_ready`]: the boot id, when the node is ready.
    pub fn look_ready(&self, name: &str) -> Result<Option<String>> {
        let provisioned = self.nodes.values().filter(|node| node.is_provisioned());
        let names: Vec<String> = provisioned.map(|node| node.name().to_owned()).collect();
        joining::approve(&self.api, &names)?;
        self.node(name)?.ready(&self.api)
    }

    /// Waits until a node, which was asked to reboot by whomever, is ready in another boot than `before`. The result is the new boot id.
    pub fn wait_reboot(&self, name: &str, before: &str) -> Result<String> {
        let node = self.node(name)?;
        wait_for(&format!("another boot of node {name}"), READY, || {
            Ok(node.machine().boot_id().ok().filter(|boot| boot != before))
        })
        .with_context(|| self.report(node))?;
        self.wait_ready(name)
    }

    /// What helps to see why a node is not ready.
    fn report(&self, node: &Node) -> String {
        let console = crate::machine::tail(node.machine().console().as_bytes());
        let kubelet = match node.machine().journal_of("kubelet.service") {
            Ok(journal) => crate::machine::tail(journal.as_bytes()),
            Err(error) => format!("{error:#}"),
        };
        format!(
            "cluster {}, node {}; its console:\n{console}\nits kubelet:\n{kubelet}\n",
            self.id(),
            node.name()
        )
    }
}

// === steering ===

impl Cluster {
    /// Imports an image on every node, those to come and those that are off included. `archive` is as [`image_from_binaries`] makes it,
    /// and its name stands for it: another archive of that name takes its place.
    pub fn load_image(&mut self, archive: &Path) -> Result<()> {
        let name = archive.file_name().context("the archive has no name")?;
        let kept = self.place.dir().join("images").join(name);
        if kept != archive {
            fs::copy(archive, &kept).with_context(|| format!("could not copy {}", archive.display()))?;
        }
        for node in self.nodes.values() {
            node.load_image(&kept)?;
        }
        if !self.images.contains(&kept) {
            self.images.push(kept);
        }
        Ok(())
    }

    /// Starts a part of the control plane that was killed. It works on return if it is etcd or the API server.
    pub fn start_component(&mut self, component: Component) -> Result<()> {
        self.launch(component)?;
        match component {
            Component::Etcd | Component::KubeApiserver => self.control_plane.wait_ready(&self.api),
            Component::KubeControllerManager | Component::KubeScheduler => Ok(()),
        }
    }

    fn launch(&mut self, component: Component) -> Result<()> {
        self.control_plane
            .start(component, &self.place, &self.parts, &self.pki)
    }

    /// Kills a part of the control plane: it has no time for anything. Nothing starts it again by itself.
    pub fn kill_component(&mut self, component: Component) -> Result<()> {
        self.control_plane.kill(component)
    }

    /// Kills a part of the control plane and starts it again.
    pub fn restart_component(&mut self, component: Component) -> Result<()> {
        self.kill_component(component)?;
        self.start_component(component)
    }

    /// Cuts the power of a node: see [`Machine::cut`](crate::machine::Machine::cut).
    pub fn cut(&mut self, name: &str) -> Result<()> {
        self.node_mut(name)?.machine_mut().cut()
    }

    /// Shuts a node down in good order.
    pub fn power_off(&mut self, name: &str) -> Result<()> {
        self.node_mut(name)?.machine_mut().power_off()
    }

    /// Switches a node on that is off, and does not wait for it.
    pub fn power_on(&mut self, name: &str) -> Result<()> {
        self.node_mut(name)?.machine_mut().power_on()
    }

    /// Switches a node on that is off; it is ready on return. The result is its boot id.
    pub fn start(&mut self, name: &str) -> Result<String> {
        self.power_on(name)?;
        let boot = self.wait_ready(name)?;
        self.node(name)?.label(&self.api)?;
        Ok(boot)
    }

    /// Asks a node to reboot as its administrator would; it is ready on return. The result is its new boot id.
    pub fn reboot(&self, name: &str) -> Result<String> {
        let machine = self.node(name)?.machine();
        let before = machine.boot_id()?;
        machine.reboot()?;
        self.wait_reboot(name, &before)
    }

    /// Pulls the network cable of a node.
    pub fn disconnect(&self, name: &str) -> Result<()> {
        self.place.plug(self.node(name)?.index(), false)
    }

    /// Plugs it in again.
    pub fn connect(&self, name: &str) -> Result<()> {
        self.place.plug(self.node(name)?.index(), true)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // All at once: each takes a second or two.
        let nodes = std::mem::take(&mut self.nodes);
        let ends: Vec<_> = nodes
            .into_values()
            .map(|node| thread::spawn(move || drop(node)))
            .collect();
        for end in ends {
            if end.join().is_err() {
                eprintln!("the end of a node of cluster {} panicked", self.place.id());
            }
        }
    }
}
