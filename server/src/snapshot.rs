//! What is served at one moment: the finished bodies of every pool. A value; requests only look things up.

mod body;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use ignition::Version;
use machineconfig::Finding;

pub use body::Body;

/// Pools the reference serves from files: those that exist before there is a cluster.
const CONTROL_PLANE: [&str; 2] = ["master", "arbiter"];

/// Which pools are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Served {
    /// `master` and `arbiter` only, as the reference does.
    #[default]
    ControlPlane,
    /// Every pool there is.
    All,
}

/// Everything that is served, and what is wrong with the rest.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Which pools are served at all.
    pub served: Served,
    /// The pools there are, by name.
    pub pools: BTreeMap<String, Slot>,
    /// What is wrong with the input at the moment. Pools that were good before are still served as they were.
    pub problems: Vec<Finding>,
    /// The server is about to end.
    pub draining: bool,
}

/// What there is of one pool.
#[derive(Debug, Clone)]
pub enum Slot {
    /// Bodies.
    Ready(Arc<Pool>),
    /// The pool's MachineConfig does not exist.
    Missing,
    /// It cannot be served for now.
    Broken,
}

/// The finished bodies of one pool.
#[derive(Debug)]
pub struct Pool {
    /// Name of the pool.
    pub name: Arc<str>,
    /// Name of the rendered MachineConfig that is served.
    pub rendered: String,
    /// One body per version, in the order of [`Version::ALL`]; none where the version cannot say what the config says.
    bodies: [Option<Body>; Version::ALL.len()],
}

/// What a pool's name leads to.
#[derive(Debug, Clone, Copy)]
pub enum Lookup<'a> {
    /// A pool with bodies.
    Ready(&'a Arc<Pool>),
    /// No such pool, or a pool without its MachineConfig.
    Missing,
    /// The pool is there and cannot be served for now.
    Broken,
    /// A pool that this server is not to serve.
    NotServed,
}

impl Served {
    /// Whether a pool of that name is served if it exists.
    #[must_use]
    pub fn includes(self, pool: &str) -> bool {
        match self {
            Self::ControlPlane => CONTROL_PLANE.contains(&pool),
            Self::All => true,
        }
    }
}

impl Pool {
    /// A pool with the body that `body` makes for each version.
    pub fn new(name: &str, rendered: String, mut body: impl FnMut(Version) -> Option<String>) -> Self {
        let mut bodies = [const { None }; Version::ALL.len()];
        for (at, version) in Version::ALL.into_iter().enumerate() {
            let (before, rest) = bodies.split_at_mut(at);
            let whole = body(version).map(Bytes::from);
            rest[0] = whole.map(|whole| Body::sharing(whole, before.iter().flatten()));
        }
        Self {
            name: name.into(),
            rendered,
            bodies,
        }
    }

    /// The body for a version, unless that version cannot say what the config says.
    #[must_use]
    pub fn body(&self, version: Version) -> Option<&Body> {
        let at = Version::ALL.iter().position(|v| *v == version)?;
        self.bodies[at].as_ref()
    }
}

impl Snapshot {
    /// Looks a pool up.
    #[must_use]
    pub fn pool(&self, name: &str) -> Lookup<'_> {
        match self.pools.get(name) {
            _ if !self.served.includes(name) => Lookup::NotServed,
            Some(Slot::Ready(pool)) => Lookup::Ready(pool),
            Some(Slot::Broken) => Lookup::Broken,
            Some(Slot::Missing) | None => Lookup::Missing,
        }
    }

    /// The pools with bodies.
    pub fn ready_pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.pools.values().filter_map(|slot| match slot {
            Slot::Ready(pool) => Some(pool),
            Slot::Missing | Slot::Broken => None,
        })
    }

    /// Whether a machine that comes now can be served, given that its pool is a good one.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.draining && self.ready_pools().next().is_some()
    }

    /// What `/readyz` says on the port of the metrics: one line per pool, one per problem, and the verdict.
    #[must_use]
    pub fn readiness(&self) -> String {
        let mut text = String::new();
        for (name, slot) in &self.pools {
            // Writing to a string does not fail.
            let _ = match slot {
                Slot::Ready(pool) => writeln!(text, "[+] pool {name}: {}", pool.rendered),
                Slot::Missing => writeln!(text, "[-] pool {name}: its MachineConfig does not exist"),
                Slot::Broken => writeln!(text, "[-] pool {name}: cannot be served"),
            };
        }
        for problem in &self.problems {
            let _ = writeln!(text, "[!] {problem}");
        }
        text.push_str(match (self.draining, self.is_ready()) {
            (true, _) => "not ready: the server is shutting down\n",
            (false, true) => "ready\n",
            (false, false) => "not ready: no pool can be served\n",
        });
        text
    }
}
