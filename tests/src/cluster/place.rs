//! What a cluster takes up on the host beside its nodes: a directory, a bridge with a subnet, the network namespace and the cgroups of its
//! control plane. All carry its number, which no other cluster of this host has, so that clusters do not meet.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::machine::cgroup::Cgroup;
use crate::machine::network::{self, asked, ip};
use crate::machine::place::{absent, cache, in_use, locked};
use crate::program::is_root;

/// What the names of all clusters begin with. Short: the name of a network device has 15 characters at most.
const PREFIX: &str = "mcc";

/// How many clusters a host may have: so many subnets `10.200.0.0/16` and up there are.
const CLUSTERS: u8 = 55;

/// The services of a cluster. Nobody but its own nodes and pods sees these addresses, so they are the same for each cluster.
pub(super) const SERVICES: &str = "10.96.0.0/16";

/// The service `kubernetes`, whose address the control plane itself has: so pods reach it without any proxy.
pub(super) const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// The place of one cluster, which is cleaned when the value goes.
#[derive(Debug)]
pub(super) struct Place {
    number: u8,
    dir: PathBuf,
    cgroup: Cgroup,
    /// The kernel frees it when this process ends, however it ends.
    _lock: File,
}

impl Place {
    /// Makes a new place, after what killed runs left has been cleaned.
    pub(super) fn claim() -> Result<Self> {
        ensure!(is_root(), "a cluster takes root: run this as root");
        let all = running()?;
        fs::create_dir_all(&all).with_context(|| format!("could not create {}", all.display()))?;
        // Nobody may look at a place between its making and its lock.
        let _door = locked(&all.join("lock"))?;
        sweep(&all)?;
        for number in 0..CLUSTERS {
            let id = name(number);
            let dir = all.join(&id);
            // Another user of this host keeps places elsewhere, but has the same devices and routes.
            if dir.exists() || Path::new("/sys/class/net").join(&id).exists() || is_routed(number)? {
                continue;
            }
            fs::create_dir(&dir).with_context(|| format!("could not create {}", dir.display()))?;
            let place = Self {
                number,
                cgroup: Cgroup::of(&id)?,
                _lock: locked(&dir.join("lock"))?,
                dir,
            };
            place.connect()?;
            place.cgroup.create()?;
            return Ok(place);
        }
        bail!("all {CLUSTERS} subnets for clusters are in use on this host")
    }

    /// The unique name; the bridge, the namespace and the cgroups are called so too.
    pub(super) fn id(&self) -> String {
        name(self.number)
    }

    /// Where everything of this cluster is kept while it lives.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The cgroups of the control plane.
    pub(super) fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// The host's address in the subnet.
    fn host(&self) -> Ipv4Addr {
        subnet(self.number, 0, 1)
    }

    /// The control plane's address.
    pub(super) fn control_plane(&self) -> Ipv4Addr {
        subnet(self.number, 0, 2)
    }

    /// Where the API server is found, from the host and from nodes.
    pub(super) fn server(&self) -> String {
        format!("https://{}:443", self.control_plane())
    }

    /// The addresses that the API server answers at.
    pub(super) fn addresses(&self) -> [IpAddr; 3] {
        [
            self.control_plane().into(),
            SERVICE.into(),
            Ipv4Addr::LOCALHOST.into(),
        ]
    }

    /// The address of a node.
    pub(super) fn node(&self, index: u8) -> Ipv4Addr {
        subnet(self.number, 1, index)
    }

    /// The host's end of the cable to a node.
    fn cable(&self, index: u8) -> String {
        format!("{}-n{index}", self.id())
    }

    /// The bridge, and on it the control plane's namespace.
    fn connect(&self) -> Result<()> {
        let id = self.id();
        ip(&["link", "add", &id, "type", "bridge"])?;
        ip(&["address", "add", &format!("{}/16", self.host()), "dev", &id])?;
        ip(&["link", "set", &id, "up"])?;
        network::create(&id)?;
        self.lead(&format!("{id}-cp"), &id, self.control_plane())?;
        ip(&["-n", &id, "address", "add", &format!("{SERVICE}/32"), "dev", "lo"])
    }

    /// Lays the cable to the network namespace of a node.
    pub(super) fn connect_node(&self, index: u8, namespace: &str) -> Result<()> {
        self.lead(&self.cable(index), namespace, self.node(index))?;
        let gateway = self.control_plane().to_string();
        // Only the control plane's own address answers there.
        ip(&["-n", namespace, "route", "add", SERVICES, "via", &gateway])
    }

    fn lead(&self, cable: &str, namespace: &str, address: Ipv4Addr) -> Result<()> {
        // The cable of an earlier cluster of this number goes with its namespace, which the kernel takes apart in its own time.
        let _ = ip(&["link", "del", cable]);
        ip(&[
            "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace,
        ])?;
        ip(&["link", "set", cable, "master", &self.id(), "up"])?;
        let address = format!("{address}/16");
        ip(&["-n", namespace, "address", "add", &address, "dev", "eth0"])?;
        ip(&["-n", namespace, "link", "set", "eth0", "up"])?;
        let gateway = self.host().to_string();
        ip(&["-n", namespace, "route", "add", "default", "via", &gateway])
    }

    /// Plugs the cable of a node in, or out.
    pub(super) fn plug(&self, index: u8, is_in: bool) -> Result<()> {
        let state = if is_in { "up" } else { "down" };
        ip(&["link", "set", &self.cable(index), state])
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = clean(self.number, &self.dir) {
            eprintln!(
                "could not clean up after cluster {}, the next run tries again: {error:#}",
                self.id()
            );
        }
    }
}

/// Where clusters are kept while they live.
fn running() -> Result<PathBuf> {
    Ok(cache()?.join("cluster/running"))
}

fn name(number: u8) -> String {
    format!("{PREFIX}{number}")
}

fn subnet(number: u8, third: u8, fourth: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 200 + number, third, fourth)
}

/// Whether the host has a way of its own to a subnet.
fn is_routed(number: u8) -> Result<bool> {
    let subnet = format!("{}/16", subnet(number, 0, 0));
    for which in ["root", "match"] {
        let routes = asked(&["-4", "route", "show", which, &subnet])?;
        if routes.lines().any(|route| !route.starts_with("default")) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Cleans every place whose owner has ended.
fn sweep(all: &Path) -> Result<()> {
    for number in 0..CLUSTERS {
        let dir = all.join(name(number));
        if dir.exists() && !in_use(&dir)? {
            clean(number, &dir)
                .with_context(|| format!("could not clean up what a killed run left as {}", name(number)))?;
        }
    }
    Ok(())
}

/// Ends and removes everything of one cluster. What is gone already is no error, so that it can be done again.
fn clean(number: u8, dir: &Path) -> Result<()> {
    let id = name(number);
    Cgroup::of(&id)?.destroy()?;
    // By name, and before its namespace: with that it would go too, but some time later.
    for device in [format!("{id}-cp"), id.clone()] {
        if Path::new("/sys/class/net").join(&device).exists() {
            ip(&["link", "delete", &device])?;
        }
    }
    network::remove(&id)?;
    absent(fs::remove_dir_all(dir)).with_context(|| format!("could not remove {}", dir.display()))
}
