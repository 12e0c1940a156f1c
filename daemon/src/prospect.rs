//! What would become of a node: the config it has, what of that its disk still says, the config it is to get, and the plan.
//!
//! [`Prospect::of`] is the entry point; it writes nothing. The plan starts from what the disk says, so that the same command
//! brings a node to another config and mends what drifted from the one it has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::thread;

use crds::MachineConfig;
use jiff::Timestamp;
use machineconfig::layout::{self, UNIT_DIRECTORY, WantedUnit};
use machineconfig::plan::{Action, Facts, Plan, plan};
use machineconfig::reconcile::Origins;
use machineconfig::{Code, Finding, Layout, RenderedConfig, drift};

use crate::change::Contents;
use crate::converge::Wanted;
use crate::first::FirstLook;
use crate::host::Root;
use crate::host::identity::Identity;
use crate::host::lock::{self, Lock};
use crate::journal::Purpose;
use crate::node::Node;
use crate::observe::{OnDisk, observe};
use crate::recover::is_due;
use crate::store::{self, RebootDue};
use crate::transaction::{self, Input, Transaction};

/// What a plan calls the config of a node that has had none of ours.
pub const NO_CONFIG: &str = "(no config yet)";

/// What would become of a node.
#[derive(Debug)]
pub struct Prospect {
    /// The config to be on the node, as it is recorded.
    pub config: MachineConfig,
    /// What for.
    purpose: Purpose,
    /// What is to be done.
    pub plan: Plan,
    /// Whether the node has had no config of ours so far.
    pub first: bool,
    /// Name of the config that is on record, if one is.
    before: Option<String>,
    /// What the current config says of units.
    current: BTreeMap<String, WantedUnit>,
    /// The config as it is written down.
    record: Contents,
    /// The desired config, parsed.
    desired: RenderedConfig,
    /// What is doubtful.
    pub warnings: Vec<Finding>,
}

/// A node as it is, told as a config.
#[derive(Debug)]
pub struct Standing {
    /// The config that the disk was held against.
    recorded: RenderedConfig,
    /// What the disk says of it, where that differs.
    found: Option<RenderedConfig>,
}

/// A node as it was before its lock was taken: looking takes as long as reading the config to be, which needs no lock.
#[derive(Debug)]
pub struct Ahead {
    standing: Standing,
    /// How writers stood before the look.
    writers: lock::Standing,
}

impl Ahead {
    /// `None` for a node without a config of ours, with a change that was cut off, with a writer at work, or that cannot be read: who
    /// has the lock looks at it then, and says what is wrong.
    #[must_use]
    pub fn of(node: &Node) -> Option<Self> {
        let writers = lock::Standing::of(&node.root).ok()?;
        let calm = matches!(writers, lock::Standing::Idle { .. }) && !is_due(&node.root);
        let standing = calm.then(|| Standing::of(node, None).ok().flatten())??;
        Some(Self { standing, writers })
    }

    /// The node as it was, unless another writer has been at work since.
    pub(crate) fn under(self, lock: &Lock<'_>) -> Option<Standing> {
        lock.follows(self.writers).then_some(self.standing)
    }
}

impl Standing {
    /// Of a node that has a config of ours on record; of what drifted from it only the paths `only`, if they are given.
    ///
    /// # Errors
    /// Everything that keeps the record or the disk from being read.
    pub fn of(node: &Node, only: Option<&BTreeSet<PathBuf>>) -> Result<Option<Self>, Vec<Finding>> {
        let current = current(&node.root)?;
        current
            .map(|current| Self::against(node, current, only))
            .transpose()
    }

    fn against(
        node: &Node,
        config: RenderedConfig,
        only: Option<&BTreeSet<PathBuf>>,
    ) -> Result<Self, Vec<Finding>> {
        Ok(Self {
            found: as_found(node, &config, only)?,
            recorded: config,
        })
    }
}

impl Prospect {
    /// Compares the node with `config`.
    ///
    /// # Errors
    /// Everything that keeps the node or the config from being read. What the plan refuses is in the plan.
    ///
    /// # Panics
    /// Never: reading a config panics on nothing.
    pub fn of(node: &Node, wanted: Wanted<'_>) -> Result<Self, Vec<Finding>> {
        // Each may be tens of megabytes to parse, and neither needs the other.
        let (desired, standing) = thread::scope(|scope| {
            let standing = scope.spawn(|| Standing::of(node, wanted.only.as_ref()));
            (
                parsed(&wanted.config),
                standing.join().expect("reading a config does not panic"),
            )
        });
        let desired = desired?;
        Self::from(node, standing?, desired, wanted)
    }

    /// As [`Prospect::of`], of a node that was looked at already.
    ///
    /// # Errors
    /// As [`Prospect::of`].
    pub fn of_standing(
        node: &Node,
        standing: Option<Standing>,
        wanted: Wanted<'_>,
    ) -> Result<Self, Vec<Finding>> {
        let desired = parsed(&wanted.config)?;
        Self::from(node, standing, desired, wanted)
    }

    fn from(
        node: &Node,
        standing: Option<Standing>,
        desired: RenderedConfig,
        wanted: Wanted<'_>,
    ) -> Result<Self, Vec<Finding>> {
        let Wanted {
            config,
            policy,
            purpose,
            diffs,
            only,
        } = wanted;
        readable(&desired)?;
        let first = standing.is_none();
        let before = standing.as_ref().map(|standing| standing.recorded.name.clone());
        let Standing { recorded, found } = match standing {
            Some(standing) => standing,
            // Without a record the disk is held against what it is to be: what is so already, Ignition has made so.
            None => Standing::against(node, desired.clone(), only.as_ref())?,
        };
        let units = layout::units(&recorded.ignition);
        let mut warnings = Vec::new();
        let mut found = found;
        if first {
            let drifted = found.unwrap_or_else(|| recorded.clone());
            let look = FirstLook::of(&node.root, &desired, drifted)
                .map_err(|error| unreadable(node, error.to_string()))?;
            found = Some(RenderedConfig {
                name: NO_CONFIG.to_owned(),
                ..look.found
            });
            warnings = look.warnings;
        }
        let found = found.as_ref().unwrap_or(&recorded);
        let users = Identity::read(&node.root)
            .map_err(|error| unreadable(node, error.to_string()))?
            .users
            .into_keys()
            .collect();
        let origins = Origins {
            old: Some(&found.provenance),
            new: Some(&desired.provenance),
        };
        let facts = Facts {
            origins,
            overrides: None,
            diffs,
            recorded: Some(&recorded),
            users: Some(&users),
        };
        let (plan, record) = beside_record(&config, || plan(found, &desired, policy, &facts));
        warnings.extend(plan.warnings.clone());
        Ok(Self {
            config,
            purpose,
            plan,
            first,
            before,
            current: units,
            record,
            desired,
            warnings,
        })
    }

    /// The transaction for it.
    ///
    /// # Errors
    /// The refusals of the plan, and everything on this disk that keeps it from being carried out.
    pub fn transaction(&self, node: &Node, now: Timestamp) -> Result<Transaction, Vec<Finding>> {
        if !self.plan.refusals.is_empty() {
            return Err(self.plan.refusals.clone());
        }
        let due = self.reboot_due(node, now).map_err(|finding| vec![finding])?;
        let desired = Layout::of(&self.desired.ignition);
        let input = Input {
            root: &node.root,
            commands: &node.commands,
            plan: &self.plan,
            current: &self.current,
            desired: &desired,
            records: store::records(
                &node.root,
                self.config.metadata.name.as_deref().unwrap_or_default(),
                &self.record,
                self.before.as_deref(),
                due.as_ref(),
            ),
            purpose: self.purpose,
            boot_id: &node.boot_id,
            machine_id: &node.machine_id,
            id: id(),
            now,
        };
        transaction::build(input)
    }

    /// The reboot that is due once this is done: this one's, or one that an earlier config asked for and that has not come yet.
    fn reboot_due(&self, node: &Node, now: Timestamp) -> Result<Option<RebootDue>, Finding> {
        let unreadable = |error: std::io::Error| {
            Finding::error(Code::NODE_UNREADABLE, store::REBOOT, "", error.to_string())
        };
        let before = store::reboot_due(&node.root).map_err(unreadable)?;
        let before = before.filter(|due| due.boot_id == node.boot_id);
        if !self.plan.actions.contains(&Action::Reboot) {
            return Ok(before);
        }
        let config = self.config.metadata.name.clone().unwrap_or_default();
        Ok(Some(RebootDue {
            boot_id: node.boot_id.clone(),
            config,
            since: before.map_or(now, |before| before.since),
            requested: None,
        }))
    }
}

/// What `work` gives, and the config as it is written down: of tens of megabytes each takes its time, and neither needs the other.
fn beside_record<T>(config: &MachineConfig, work: impl FnOnce() -> T) -> (T, Contents) {
    thread::scope(|scope| {
        let record = scope.spawn(|| Contents::of(store::encode(config)));
        (work(), record.join().expect("writing to memory does not panic"))
    })
}

/// The config that is on record, if one is.
fn current(root: &Root) -> Result<Option<RenderedConfig>, Vec<Finding>> {
    let current = store::current(root).map_err(|finding| vec![finding])?;
    current.map(|current| parsed(&current)).transpose()
}

fn unreadable(node: &Node, error: String) -> Vec<Finding> {
    vec![Finding::error(
        Code::NODE_UNREADABLE,
        node.path.to_string_lossy(),
        "",
        error,
    )]
}

/// What the disk says, as a config, where it differs.
fn as_found(
    node: &Node,
    base: &RenderedConfig,
    only: Option<&BTreeSet<PathBuf>>,
) -> Result<Option<RenderedConfig>, Vec<Finding>> {
    let expectation = drift::Expectation::of(base);
    let enablement = OnDisk::read(&node.root)
        .map_err(|error| unreadable(node, format!("the units cannot be read: {error}")))?;
    let mut observed = observe(&node.root, &expectation, &enablement)
        .map_err(|error| unreadable(node, format!("{error:#}")))?;
    if let Some(only) = only {
        // What was not looked at is taken to be as it should.
        observed.paths.retain(|path, _| only.contains(Path::new(path)));
        observed
            .enablement
            .retain(|unit, _| only.contains(&Path::new(UNIT_DIRECTORY).join(unit)));
    }
    Ok(drift::as_found(base, &expectation, &observed))
}

fn parsed(config: &MachineConfig) -> Result<RenderedConfig, Vec<Finding>> {
    RenderedConfig::from_machine_config(config).map_err(|invalid| {
        let object = format!(
            "MachineConfig/{}",
            config.metadata.name.as_deref().unwrap_or_default()
        );
        invalid
            .problems
            .iter()
            .map(|problem| Finding::from_problem(&object, "spec.config", problem))
            .collect()
    })
}

/// What to do about a path that there cannot be: nothing is in its place that could be moved away.
const OTHER_PATH: &str = "Choose another path.";

/// That every path is one that a disk can have. (Of one that it cannot have nothing is found, so nothing would be planned.)
fn readable(config: &RenderedConfig) -> Result<(), Vec<Finding>> {
    let layout = Layout::of(&config.ignition);
    let bad = layout.files.keys().filter(|path| path.contains('\0'));
    let findings: Vec<_> = bad
        .map(|path| {
            Finding::error(
                Code::TARGET_TYPE,
                path,
                "",
                "holds a zero byte, which no path can",
            )
            .remedy(OTHER_PATH)
        })
        .collect();
    if findings.is_empty() {
        Ok(())
    } else {
        Err(findings)
    }
}

/// A fresh name for a transaction.
fn id() -> String {
    let mut bytes = [0_u8; 4];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    if filled.is_err() {
        // Without the kernel's random numbers: names need not be secret, only new.
        bytes = std::process::id().to_le_bytes();
    }
    bytes.iter().fold(String::new(), |mut id, byte| {
        use std::fmt::Write as _;
        let _ = write!(id, "{byte:02x}");
        id
    })
}
