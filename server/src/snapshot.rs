//! What is served at one moment: the finished bodies of every pool. A value; requests only look things up.

mod body;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use ignition::Version;
use jiff::Timestamp;
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
    /// Every pool of a cluster. What is said of a pool that is not there, or that has no rendered MachineConfig yet:
    Cluster(Unknown),
}

/// What a machine is told whose pool cannot be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// To come again: the pool may yet be made. The reference's way.
    Wait,
    /// To give up.
    GiveUp,
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
    /// What of the cluster is not known yet.
    pub awaited: Vec<&'static str>,
    /// When the serving certificate ends, if that can be told.
    pub certificate_end: Option<Timestamp>,
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
    /// When the bodies were made.
    pub built_at: Timestamp,
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
    /// The same, and machines are to come again.
    Awaited,
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
            Self::All | Self::Cluster(_) => true,
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
            built_at: Timestamp::now(),
            bodies,
        }
    }

    /// The same pool, with a slot in each body where `placeholder` stands. None unless it stands once in each.
    #[must_use]
    pub fn with_slot(mut self, placeholder: &str) -> Option<Self> {
        for body in self.bodies.iter_mut().flatten() {
            *body = std::mem::take(body).with_slot(placeholder)?;
        }
        Some(self)
    }

    /// The bodies there are, with their versions.
    pub fn bodies(&self) -> impl Iterator<Item = (Version, &Body)> {
        let each = Version::ALL.into_iter().zip(&self.bodies);
        each.filter_map(|(version, body)| Some((version, body.as_ref()?)))
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
            // Before everything is known, a pool that cannot be found may well be there, and a good join token may not be known.
            _ if !self.awaited.is_empty() => Lookup::Awaited,
            Some(Slot::Ready(pool)) => Lookup::Ready(pool),
            Some(Slot::Broken) => Lookup::Broken,
            Some(Slot::Missing) | None => match self.served {
                Served::Cluster(Unknown::Wait) => Lookup::Awaited,
                Served::Cluster(Unknown::GiveUp) | Served::ControlPlane | Served::All => Lookup::Missing,
            },
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
        !self.draining
            && self.awaited.is_empty()
            && !self.is_certificate_over()
            && self.ready_pools().next().is_some()
    }

    fn is_certificate_over(&self) -> bool {
        self.certificate_end.is_some_and(|end| end <= Timestamp::now())
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
        for awaited in &self.awaited {
            let _ = writeln!(text, "[-] {awaited}: not known yet");
        }
        if let Some(end) = self.certificate_end.filter(|_| self.is_certificate_over()) {
            let _ = writeln!(text, "[-] serving certificate: its time was over at {end}");
        }
        text.push_str(match (self.draining, self.is_ready()) {
            (true, _) => "not ready: the server is shutting down\n",
            (false, true) => "ready\n",
            (false, false) if self.ready_pools().next().is_none() => "not ready: no pool can be served\n",
            (false, false) => "not ready\n",
        });
        text
    }
}
