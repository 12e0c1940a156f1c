//! From a plan to the paths that it changes on one disk, each with its old and its new state.
//!
//! [`build`] is the entry point. Nothing is written here; everything that would keep the change from being made is found
//! before anything is touched, and all of it is told.

mod accounts;
mod files;
mod place;
mod units;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use machineconfig::layout::WantedUnit;
use machineconfig::plan::{Plan, Target};
use machineconfig::{Code, Finding, Layout};

use crate::change::{Change, Contents, NewDirectory, State};
use crate::host::command::Commands;
use crate::host::identity::Identity;
use crate::host::lock::RUN;
use crate::host::{Looker, Root, Traits};
use crate::install;
use crate::journal::{Begin, Purpose, STATE, VERSION};
use crate::store::CURRENT;

/// What there is to build from.
#[derive(Debug)]
pub struct Input<'a> {
    /// The node.
    pub root: &'a Root,
    /// How programs of the node are run: rpm or dpkg are asked whose a file is.
    pub commands: &'a Commands,
    /// What is to be done.
    pub plan: &'a Plan,
    /// What the current config says of units.
    pub current: &'a BTreeMap<String, WantedUnit>,
    /// What the desired config lays on the disk.
    pub desired: &'a Layout<'a>,
    /// Files of our own that belong to the change: the record of the current config.
    pub records: Vec<Record>,
    /// What for.
    pub purpose: Purpose,
    /// The boot it happens in.
    pub boot_id: &'a str,
    /// The node's machine id; empty when it has none yet.
    pub machine_id: &'a str,
    /// Distinguishes the transaction from others; part of file names, so letters and digits only.
    pub id: String,
    /// When it begins.
    pub now: Timestamp,
}

/// A file of our own, which nobody else may read.
#[derive(Debug, Clone)]
pub enum Record {
    /// It is to have these contents.
    Written {
        /// Where.
        path: PathBuf,
        /// The contents.
        contents: Contents,
    },
    /// It is to be what another one is, which is then replaced.
    Kept {
        /// Where.
        path: PathBuf,
        /// The other one.
        of: PathBuf,
    },
    /// It is to go.
    Gone {
        /// Where.
        path: PathBuf,
    },
}

/// A transaction, ready to be carried out.
#[derive(Debug)]
pub struct Transaction {
    /// What the journal is to say.
    pub begin: Begin,
    /// What is to be staged for each change, in the same order.
    pub staged: Vec<Staged>,
    /// What is doubtful.
    pub warnings: Vec<Finding>,
}

/// What is written beside a path.
#[derive(Debug, Clone)]
pub enum Staged {
    /// Nothing: the path goes.
    Nothing,
    /// A file.
    File {
        /// Its contents.
        contents: Contents,
        /// Everything else.
        traits: Traits,
    },
    /// A second name of a file that is there, which nobody writes to any more.
    SecondName {
        /// The name it has.
        of: PathBuf,
    },
    /// A symbolic link.
    Link {
        /// What it says.
        target: PathBuf,
        /// The owner's number.
        uid: u32,
        /// The group's number.
        gid: u32,
    },
}

/// What is wanted at a path.
#[derive(Debug, Clone)]
enum Wish {
    File {
        contents: Contents,
        mode: u32,
        uid: u32,
        gid: u32,
    },
    /// What is at another path now, for root alone.
    SameAs {
        path: PathBuf,
    },
    Link {
        target: PathBuf,
    },
    Absent,
}

/// Directories that a wish may need.
#[derive(Debug, Clone, Copy)]
struct Housing {
    mode: u32,
    uid: u32,
    gid: u32,
    /// How many directories above the path it is about; those further up are root's.
    levels: usize,
}

/// Directories of a config's files (MCO daemon 3.6).
const COMMON: Housing = Housing {
    mode: 0o755,
    uid: 0,
    gid: 0,
    levels: 0,
};

/// Mode of a file that holds a config: it may hold secrets.
pub(crate) const PRIVATE: u32 = 0o600;

/// Collects what is wanted, step by step.
struct Builder<'a> {
    input: &'a Input<'a>,
    looker: Looker<'a>,
    identity: Identity,
    /// Existing files that belong to a package of the host.
    vendor: BTreeSet<String>,
    /// What is wanted, in order; of two wishes for one path the later stands.
    wishes: Vec<(PathBuf, Wish, Housing)>,
    findings: Vec<Finding>,
    warnings: Vec<Finding>,
    prune: BTreeSet<PathBuf>,
}

/// Builds the transaction for a plan.
///
/// # Errors
/// Everything that keeps the change from being made, each with its path.
pub fn build(mut input: Input<'_>) -> Result<Transaction, Vec<Finding>> {
    let records = std::mem::take(&mut input.records);
    let input = &input;
    let identity = Identity::read(input.root).map_err(|error| {
        vec![finding(
            Code::NODE_UNREADABLE,
            "/etc/passwd",
            format!("cannot be read: {error}"),
        )]
    })?;
    let mut builder = Builder {
        input,
        looker: input.root.looker(),
        identity,
        vendor: BTreeSet::new(),
        wishes: Vec::new(),
        findings: Vec::new(),
        warnings: Vec::new(),
        prune: BTreeSet::new(),
    };
    builder.ask_vendor()?;
    builder.steps();
    builder.leave_ours_alone();
    for record in records {
        let (path, wish) = record.wish();
        builder.wish(path, wish);
    }
    builder.finish()
}

// === impl Record ===

impl Record {
    fn wish(self) -> (PathBuf, Wish) {
        match self {
            Record::Written { path, contents } => (
                path,
                Wish::File {
                    contents,
                    mode: PRIVATE,
                    uid: 0,
                    gid: 0,
                },
            ),
            Record::Kept { path, of } => (path, Wish::SameAs { path: of }),
            Record::Gone { path } => (path, Wish::Absent),
        }
    }
}

// === impl Builder ===

impl Builder<'_> {
    fn wish(&mut self, path: PathBuf, wish: Wish) {
        self.wishes.push((path, wish, COMMON));
    }

    fn refuse(&mut self, code: Code, path: impl Into<String>, message: impl Into<String>) {
        self.findings.push(finding(code, path, message));
    }

    fn warn(&mut self, code: Code, object: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Finding::warning(code, object, "", message));
    }

    fn steps(&mut self) {
        let mut contents = files::contents(self.input);
        let mut units = BTreeSet::new();
        let mut shadow = BTreeSet::new();
        for step in &self.input.plan.steps {
            match &step.target {
                Target::OsImage
                | Target::KernelType
                | Target::Extensions
                | Target::KernelArguments
                | Target::Fips => self.refuse(
                    Code::OS_CHANGE,
                    step.target.to_string(),
                    "this change is not made by this version on any host",
                ),
                Target::File { path } => self.file(path, contents.remove(path.as_str())),
                Target::Unit { name } => {
                    units.insert(name.as_str());
                }
                Target::Dropin { unit, name } => {
                    self.dropin(unit, name);
                    units.insert(unit.as_str());
                }
                Target::SshKeys { user } => self.ssh_keys(user),
                Target::PasswordHash { user } => {
                    shadow.insert(user.as_str());
                }
                // The two before it are all that a running node does (MCO daemon 3.9).
                Target::Accounts => {}
            }
        }
        self.units(&units);
        self.passwords(&shadow);
    }

    /// What keeps a node true is no file of its config: recovery could not rely on it.
    fn leave_ours_alone(&mut self) {
        let root = self.input.root;
        let is_ours = |path: &Path| {
            let real = path
                .parent()
                .and_then(|parent| root.real_directory(parent).ok().flatten());
            let real = real.zip(path.file_name()).map(|(parent, name)| parent.join(name));
            [Some(path), real.as_deref()].into_iter().flatten().any(|path| {
                [STATE, RUN].iter().any(|ours| path.starts_with(ours))
                    || path == Path::new(CURRENT)
                    || install::is_unit(path)
            })
        };
        let ours: Vec<_> = self
            .wishes
            .iter()
            .filter(|wish| is_ours(&wish.0))
            .map(|wish| wish.0.clone())
            .collect();
        for path in ours {
            self.refuse(
                Code::TARGET_TYPE,
                path.to_string_lossy(),
                "belongs to machine-config itself",
            );
        }
    }

    /// Turns wishes into changes, and checks that each can be made.
    fn finish(mut self) -> Result<Transaction, Vec<Finding>> {
        let wishes = std::mem::take(&mut self.wishes);
        let last: BTreeMap<PathBuf, usize> = wishes
            .iter()
            .enumerate()
            .map(|(index, wish)| (wish.0.clone(), index))
            .collect();
        let mut placed = place::Placed::new(self.input.root);
        placed.look_ahead(wishes.iter().map(|wish| wish.0.as_path()));
        for (index, (path, wish, housing)) in wishes.into_iter().enumerate() {
            if last[&path] == index
                && let Err(finding) = placed.add(&self.input.id, &path, wish, housing)
            {
                self.findings.push(finding);
            }
        }
        self.findings.extend(placed.without_room());
        if !self.findings.is_empty() {
            return Err(self.findings);
        }
        let file_systems = placed.written();
        let place::Placed {
            changes,
            staged,
            directories,
            ..
        } = placed;
        let real = |path: &PathBuf| self.input.root.real_directory(path).ok().flatten();
        let mut prune: Vec<PathBuf> = self.prune.iter().filter_map(real).collect();
        prune.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
        let Input {
            plan,
            purpose,
            boot_id,
            machine_id,
            id,
            now,
            ..
        } = self.input;
        let begin = Begin {
            version: VERSION,
            id: id.clone(),
            boot_id: (*boot_id).to_owned(),
            machine_id: (*machine_id).to_owned(),
            started: *now,
            purpose: *purpose,
            plan: (*plan).clone(),
            directories,
            changes,
            prune,
            file_systems,
        };
        Ok(Transaction {
            begin,
            staged,
            warnings: self.warnings,
        })
    }
}

impl Transaction {
    /// Whether nothing would be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.begin.changes.is_empty()
    }
}

fn finding(code: Code, path: impl Into<String>, message: impl Into<String>) -> Finding {
    Finding::error(code, path, "", message)
}

/// What is at `path`, all of it.
fn held(root: &Root, path: &Path) -> std::io::Result<Option<(Vec<u8>, State)>> {
    let crate::host::Found::File(file) = root.look(path)? else {
        return Ok(None);
    };
    let traits = Traits {
        mode: file.mode,
        uid: file.uid,
        gid: file.gid,
        attributes: Vec::new(),
    };
    let bytes = file.read(ignition::contents::MAX_INFLATED as u64)?;
    Ok(bytes.map(|bytes| {
        let state = State::file(&bytes, &traits);
        (bytes, state)
    }))
}

/// A directory that has to be made.
fn new_directory(path: PathBuf, housing: Housing) -> NewDirectory {
    let Housing {
        mode,
        uid,
        gid,
        levels: _,
    } = housing;
    NewDirectory { path, mode, uid, gid }
}

/// The change that a wish comes to.
fn change(path: PathBuf, aside: PathBuf, old: State, new: State) -> Change {
    Change {
        path,
        aside,
        old,
        new,
    }
}
