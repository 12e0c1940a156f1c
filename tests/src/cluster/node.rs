//! A node: a [`Machine`] with containerd and the kubelet on it, and a cable to the cluster's bridge.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::api::Api;
use super::parts::Parts;
use super::pki::{Identity, Pki, kubeconfig};
use super::place::Place;
use crate::machine::{Fittings, Image, Machine};

/// What runs before systemd.
const INIT: &str = "/usr/local/sbin/node-init";

/// Where a node has the container runtime and its network plug-ins.
const RUNTIME: &str = "/opt/node";

/// Where a node has the kubelet: not in `/usr`, so that nothing of it is in the way of what a config puts there.
const KUBELET: &str = "/opt/kubernetes/kubelet";

/// Archives here are imported at boot, before the kubelet starts.
const IMAGES: &str = "var/lib/images";

/// The sandbox of every pod.
pub(super) const PAUSE: &str = "localhost/pause:1";

/// A file of a node: path, mode, contents.
type File = (&'static str, u32, &'static str);

/// What every host of containers has beside the image of its machine.
const HOST: [File; 3] = [
    (
        "usr/local/sbin/node-init",
        0o755,
        include_str!("../../cluster/node/node-init"),
    ),
    (
        "usr/lib/systemd/system/containerd.service",
        0o644,
        include_str!("../../cluster/node/containerd.service"),
    ),
    (
        "usr/lib/systemd/system/image-import.service",
        0o644,
        include_str!("../../cluster/node/image-import.service"),
    ),
];

/// What makes it a node.
const PROVISIONED: [File; 5] = [
    (
        "usr/lib/systemd/system-preset/05-node.preset",
        0o644,
        include_str!("../../cluster/node/node.preset"),
    ),
    (
        "etc/systemd/system/kubelet.service",
        0o644,
        include_str!("../../cluster/node/kubelet.service"),
    ),
    (
        "etc/containerd/config.toml",
        0o644,
        include_str!("../../cluster/node/containerd.toml"),
    ),
    (
        "etc/containerd/cni.template",
        0o644,
        include_str!("../../cluster/node/cni.template"),
    ),
    (
        "etc/kubernetes/kubelet.conf",
        0o600,
        include_str!("../../cluster/node/kubelet.conf"),
    ),
];

/// What a bare host has in the place of that: what its distribution starts, and nothing of a kubelet.
const BARE: [File; 1] = [(
    "usr/lib/systemd/system-preset/05-host.preset",
    0o644,
    "enable containerd.service\nenable image-import.service\n",
)];

/// Where the preset of a machine is that disables everything else, and where a bare host has it: behind the one that Ignition writes, and
/// before that of systemd, whose network daemon would be waited for.
const PRESET: (&str, &str) = (
    "usr/lib/systemd/system-preset/10-machine.preset",
    "usr/lib/systemd/system-preset/30-machine.preset",
);

/// Where a bare host has the network plug-ins.
const PLUGINS: &str = "/opt/cni/bin";

/// Directories that must be there.
const DIRECTORIES: [&str; 4] = [
    "etc/cni/net.d",
    "etc/kubernetes/manifests",
    "var/lib/kubelet",
    IMAGES,
];

/// What a node begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// Everything that makes it a node of its cluster; the harness grants what it asks for.
    Provisioned,
    /// The programs alone, and its own address; whoever is tested makes it a node.
    Bare,
}

/// What a node is to be.
#[derive(Debug, Clone, Default)]
pub struct NodeSpec {
    /// Its name, which is its host name too.
    pub name: String,
    /// What it is labelled with once it has joined.
    pub labels: BTreeMap<String, String>,
}

/// One node. It is off or on; everything of it goes with the value.
#[derive(Debug)]
pub struct Node {
    machine: Machine,
    labels: BTreeMap<String, String>,
    index: u8,
    address: Ipv4Addr,
    beginning: Beginning,
}

impl Node {
    /// Makes a node that has never been booted, and does not know its cluster yet.
    pub(super) fn create(
        place: &Place,
        parts: &Parts,
        spec: &NodeSpec,
        index: u8,
        beginning: Beginning,
    ) -> Result<Self> {
        let image = Image::provide_for_containers()?;
        let mut shared = vec![
            (parts.runtime_dir().to_owned(), RUNTIME),
            (parts.kubernetes("kubelet"), KUBELET),
        ];
        if beginning == Beginning::Bare {
            shared.push((parts.runtime_dir().to_owned(), PLUGINS));
        }
        let fittings = Fittings {
            init: Some(INIT),
            shared,
        };
        let machine = Machine::create_with(&image, &spec.name, fittings)?;
        let address = place.node(index);
        match beginning {
            Beginning::Provisioned => provision(machine.root(), address)?,
            Beginning::Bare => leave_bare(machine.root(), address)?,
        }
        place
            .connect_node(index, machine.id())
            .with_context(|| format!("could not connect node {}", spec.name))?;
        Ok(Self {
            machine,
            labels: spec.labels.clone(),
            index,
            address,
            beginning,
        })
    }

    /// Tells the node where its cluster is, and gives it a token to ask for certificates with.
    pub(super) fn introduce(&self, pki: &Pki, server: &str, token: &str) -> Result<()> {
        let cluster = json!({"server": server, "certificate-authority": "/etc/kubernetes/ca.crt"});
        let config = kubeconfig(&cluster, &json!({"token": token}));
        write(self.machine.root(), "etc/kubernetes/ca.crt", 0o644, &pki.ca)?;
        write(
            self.machine.root(),
            "etc/kubernetes/kubeconfig",
            0o600,
            &config.to_string(),
        )
    }

    /// The machine, for everything that is not about the cluster: running programs inside, files, the journal.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// As [`Node::machine`].
    pub(super) fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.machine.name()
    }

    /// Its address, which the host reaches too.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Whether the harness has made it a node, and so grants what it asks for.
    pub(super) fn is_provisioned(&self) -> bool {
        self.beginning == Beginning::Provisioned
    }

    /// Which cable is its own.
    pub(super) fn index(&self) -> u8 {
        self.index
    }

    /// Whether it runs: it may be on its way up or down.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.machine.is_on()
    }

    /// What its kubelet shows to the API server, once it has joined.
    pub fn identity(&self) -> Result<Identity> {
        let pki = self.machine.root().join("var/lib/kubelet/pki");
        // A link with an absolute path, which means the root of the node.
        let link = fs::read_link(pki.join("kubelet-client-current.pem"))
            .with_context(|| format!("node {} has no certificate yet", self.name()))?;
        let file = pki.join(link.file_name().context("the link names no file")?);
        let text = fs::read_to_string(&file).with_context(|| format!("could not read {}", file.display()))?;
        // One file holds both.
        Ok(Identity {
            certificate: text.clone(),
            key: text,
        })
    }

    /// Labels the node object as it was asked for: the kubelet may not do that itself for all labels.
    pub(super) fn label(&self, api: &Api) -> Result<()> {
        if self.labels.is_empty() {
            return Ok(());
        }
        let change = json!({"metadata": {"labels": self.labels}});
        api.merge(&format!("/api/v1/nodes/{}", self.name()), &change)?;
        Ok(())
    }

    /// Whether the node object says that this boot of the node is ready, and the kubelet answers the API server; the result is the boot id.
    pub(super) fn ready(&self, api: &Api) -> Result<Option<String>> {
        if !self.is_on() {
            bail!("node {} is off", self.name());
        }
        let path = format!("/api/v1/nodes/{}", self.name());
        let (Some(node), Ok(boot)) = (api.find(&path)?, self.machine.boot_id()) else {
            return Ok(None);
        };
        let status = &node["status"];
        if status["nodeInfo"]["bootID"].as_str() != Some(&boot) || !is_ready(&node) {
            return Ok(None);
        }
        // Only with the certificate for that do logs and exec work.
        api.text(&format!("{path}/proxy/healthz"))?;
        Ok(Some(boot))
    }

    /// Imports an image now, or, when the node is off, at its next boot.
    pub(super) fn load_image(&self, archive: &Path) -> Result<()> {
        let name = archive.file_name().context("the archive has no name")?;
        let target = self.machine.root().join(IMAGES).join(name);
        fs::copy(archive, &target)
            .with_context(|| format!("could not copy {} to node {}", archive.display(), self.name()))?;
        if !self.is_on() {
            return Ok(());
        }
        let inside = format!("/{IMAGES}/{}", name.to_string_lossy());
        let ctr = format!("{RUNTIME}/ctr");
        self.machine
            .succeed(&[&ctr, "--namespace", "k8s.io", "images", "import", &inside])?;
        fs::remove_file(&target).with_context(|| format!("could not remove {}", target.display()))
    }
}

/// Whether a node object has the condition Ready.
pub(super) fn is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Makes a root that of a node, which does not know its cluster yet.
fn provision(root: &Path, address: Ipv4Addr) -> Result<()> {
    for directory in DIRECTORIES {
        fs::create_dir_all(root.join(directory))?;
    }
    for (path, mode, text) in HOST.into_iter().chain(PROVISIONED) {
        write(root, path, mode, text)?;
    }
    let environment = format!("NODE_IP={address}\n");
    write(root, "etc/kubernetes/kubelet.env", 0o644, &environment)
}

/// Makes a root that of a host which has the programs of a node, and knows its own address.
fn leave_bare(root: &Path, address: Ipv4Addr) -> Result<()> {
    fs::create_dir_all(root.join(IMAGES))?;
    for (path, mode, text) in HOST.into_iter().chain(BARE) {
        write(root, path, mode, text)?;
    }
    let (from, to) = PRESET;
    fs::rename(root.join(from), root.join(to)).with_context(|| format!("could not rename {from}"))?;
    symlink(KUBELET, root.join("usr/local/bin/kubelet")).context("could not link the kubelet")?;
    let environment = format!("KUBELET_ARGS=--node-ip={address}\n");
    write(root, "etc/kubernetes/kubelet.env", 0o644, &environment)
}

fn write(root: &Path, path: &str, mode: u32, text: &str) -> Result<()> {
    let path = root.join(path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
    Ok(fs::set_permissions(&path, Permissions::from_mode(mode))?)
}

#[cfg(test)]
mod tests {
    use super::is_ready;
    use serde_json::json;

    #[test]
    fn a_node_is_ready_by_its_condition() {
        let with =
            |kind: &str, status: &str| json!({"status": {"conditions": [{"type": kind, "status": status}]}});
        assert!(is_ready(&with("Ready", "True")));
        assert!(!is_ready(&with("Ready", "Unknown")));
        assert!(!is_ready(&with("DiskPressure", "True")));
        assert!(!is_ready(&json!({})));
    }
}
