//! What a power cut may leave of a program's writes on a POSIX file system.
//!
//! [`Model`] is the entry point: from a tree and the calls that a program made on it (see [`Recorder`]), [`Model::crashes`] makes
//! the trees that a machine may come up with. The rules, where file systems differ, are those that promise least:
//!
//! - A file's contents and length are durable by `SyncFile`, but neither its name nor its mode, owner and attributes are. Until
//!   then they may be as before, cut off, or zeros to the full length.
//! - The names in a directory, and its own mode, owner and attributes, are durable by `SyncDirectory`; its own name is not.
//! - Everything on a file system is durable by `SyncFileSystem`.
//! - Between syncs each change may be there or not, but for four rules. Changes of one name keep their order. A renaming happens
//!   whole or not at all. What is moved into a directory comes after what put that directory where it is, and a directory goes
//!   after what was in it: else a file would be lost that nobody removed.

mod crashes;
mod disk;
mod tap;
mod tree;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use daemon::host::{Op, Rename};

pub(crate) use crashes::{Crash, Crashes, Limits};
use disk::{Disk, Effect, Id, Newborn, Put};
pub(crate) use tap::{Done, Killer, Recorder, When};
pub(crate) use tree::{Node, Tree};

/// A program's writes.
#[derive(Debug)]
pub(crate) struct Model {
    steps: Vec<Step>,
    /// The disk when everything before a step is durable, by the number of that step, in order.
    bases: Vec<(usize, Disk)>,
    end: Disk,
}

/// One call.
#[derive(Debug)]
struct Step {
    what: Done,
    effect: Effect,
    /// Earlier steps that must have reached the disk when this has.
    needs: Vec<usize>,
    /// The file system it is about.
    file_system: usize,
    /// After how many calls it is durable; absent when it is not even at the end.
    durable: Option<usize>,
}

/// Looks up the paths of calls while it makes them in memory.
struct Builder {
    start: Disk,
    now: Disk,
    steps: Vec<Step>,
    /// The last step that changed a name.
    last: HashMap<(Id, OsString), usize>,
}

// === impl Model ===

impl Model {
    /// Of `done`, made on `base`, all on one file system.
    ///
    /// # Panics
    /// When a call does not fit what is there: `base` is not what the program found, or not all it did was recorded.
    pub(crate) fn new(base: &Tree, done: &[Done]) -> Self {
        Self::with_mounts(base, done, &[])
    }

    /// As [`Model::new`], with file systems of their own at these directories.
    pub(crate) fn with_mounts(base: &Tree, done: &[Done], mounts: &[PathBuf]) -> Self {
        let disk = Disk::new(base, mounts);
        let mut builder = Builder {
            start: disk.clone(),
            now: disk,
            steps: Vec::new(),
            last: HashMap::new(),
        };
        for what in done {
            builder.take(what);
        }
        builder.finish()
    }

    /// What the program sees in the end.
    pub(crate) fn end(&self) -> Tree {
        self.end.tree()
    }

    /// The calls, in order.
    pub(crate) fn recorded(&self) -> impl Iterator<Item = &Done> {
        self.steps.iter().map(|step| &step.what)
    }

    /// How many calls there were, and so the point after the last.
    pub(crate) fn calls(&self) -> usize {
        self.steps.len()
    }

    /// The trees that a power cut may leave. None comes twice; each comes with the last point at which it may be left. Later
    /// points come first.
    pub(crate) fn crashes(&self, limits: &Limits) -> Crashes<'_> {
        Crashes::new(self, limits)
    }
}

// === impl Builder ===

impl Builder {
    fn take(&mut self, what: &Done) {
        let op = what.op();
        let path = op.path();
        let (effect, needs) = match op {
            Op::MakeDirectory { path, mode } => self.born(what, path, Newborn::Directory { mode }),
            Op::Create { path } => self.born(what, path, Newborn::File),
            Op::Link { path, target } => self.born(what, path, Newborn::Link { target }),
            Op::SecondName { of, path } => self.named_again(what, of, path),
            Op::RemoveDirectory { path } | Op::Remove { path } => self.gone(what, path),
            Op::Rename { from, to, how } => self.renamed(what, from, to, how),
            Op::Append { path, bytes } => {
                let file = self.there(what, path);
                let at = self.now.contents(file).len();
                let bytes = bytes.into();
                (Effect::Write { file, at, bytes }, Vec::new())
            }
            Op::Truncate { path, length } => {
                let file = self.there(what, path);
                let length = usize::try_from(length).expect("lengths of tests fit into memory");
                (Effect::Cut { file, length }, Vec::new())
            }
            Op::SetOwner { path, uid, gid } => {
                let inode = self.there(what, path);
                (Effect::Owner { inode, uid, gid }, Vec::new())
            }
            Op::SetMode { path, mode } => {
                let inode = self.there(what, path);
                (Effect::Mode { inode, mode }, Vec::new())
            }
            Op::SetAttribute { path, name, value } => {
                let inode = self.there(what, path);
                let (name, value) = (name.to_owned(), value.to_owned());
                (Effect::Attribute { inode, name, value }, Vec::new())
            }
            Op::SyncFile { path } => self.synced(|effect, inode, _, _| effect.is_data_of(inode), what, path),
            Op::SyncDirectory { path } => self.synced(
                |effect, inode, _, _| effect.is_name_in(inode) || effect.is_trait_of(inode),
                what,
                path,
            ),
            Op::SyncFileSystem { path } => self.synced(|_, _, its, this| its == this, what, path),
        };
        // What was removed was beside something: of a name, its directory tells the file system.
        let whole = self.now.find(path).or_else(|| self.now.find(path.parent()?));
        let file_system = self.now.inode(whole.unwrap_or(0)).file_system;
        self.now.apply(&effect);
        let number = self.steps.len();
        if let Effect::Names(puts) = &effect {
            for put in puts {
                self.last.insert((put.directory, put.name.clone()), number);
            }
        }
        let durable = matches!(effect, Effect::Sync).then_some(number + 1);
        self.steps.push(Step {
            what: what.clone(),
            effect,
            needs,
            file_system,
            durable,
        });
    }

    fn born(&mut self, what: &Done, path: &Path, newborn: Newborn<'_>) -> (Effect, Vec<usize>) {
        let (directory, name) = self.entry(what, path);
        assert!(
            self.now.named(directory, &name).is_none(),
            "{what}: something is there"
        );
        let before = self.now.len();
        let id = self.now.bear(directory, newborn);
        self.start.extend(self.now.since(before));
        let needs = self.changed(directory, &name).collect();
        let put = Put {
            directory,
            name,
            holds: Some(id),
        };
        (Effect::Names(vec![put]), needs)
    }

    fn named_again(&self, what: &Done, of: &Path, path: &Path) -> (Effect, Vec<usize>) {
        let file = self.there(what, of);
        let (directory, name) = self.entry(what, path);
        assert!(
            self.now.named(directory, &name).is_none(),
            "{what}: something is there"
        );
        let needs = self.changed(directory, &name).chain(self.way_to(path)).collect();
        let put = Put {
            directory,
            name,
            holds: Some(file),
        };
        (Effect::Names(vec![put]), needs)
    }

    fn gone(&self, what: &Done, path: &Path) -> (Effect, Vec<usize>) {
        let inode = self.there(what, path);
        let (directory, name) = self.entry(what, path);
        let mut needs: Vec<usize> = self.changed(directory, &name).collect();
        needs.extend(self.changed_in(inode));
        let put = Put {
            directory,
            name,
            holds: None,
        };
        (Effect::Names(vec![put]), needs)
    }

    fn renamed(&self, what: &Done, from: &Path, to: &Path, how: Rename) -> (Effect, Vec<usize>) {
        let moved = self.there(what, from);
        let replaced = self.now.find(to);
        let (old, new) = (self.entry(what, from), self.entry(what, to));
        let mut needs: Vec<usize> = self.changed(old.0, &old.1).collect();
        needs.extend(self.changed(new.0, &new.1));
        needs.extend(self.way_to(to));
        let left = match how {
            Rename::Over => {
                needs.extend(
                    replaced
                        .into_iter()
                        .flat_map(|replaced| self.changed_in(replaced)),
                );
                None
            }
            Rename::IfAbsent => {
                assert!(replaced.is_none(), "{what}: something is there");
                None
            }
            Rename::Exchange => {
                assert!(replaced.is_some(), "{what}: nothing is there");
                needs.extend(self.way_to(from));
                replaced
            }
        };
        let puts = [(old, left), (new, Some(moved))].map(|((directory, name), holds)| Put {
            directory,
            name,
            holds,
        });
        (Effect::Names(puts.into()), needs)
    }

    /// Makes durable what `covers` says of an effect, the inode at `path`, the file system of the effect and that of the inode.
    fn synced(
        &mut self,
        covers: impl Fn(&Effect, Id, usize, usize) -> bool,
        what: &Done,
        path: &Path,
    ) -> (Effect, Vec<usize>) {
        let inode = self.there(what, path);
        let file_system = self.now.inode(inode).file_system;
        let point = self.steps.len() + 1;
        let mut covered: Vec<usize> = (0..self.steps.len())
            .filter(|number| {
                let step = &self.steps[*number];
                covers(&step.effect, inode, step.file_system, file_system)
            })
            .collect();
        while let Some(number) = covered.pop() {
            let step = &mut self.steps[number];
            if step.durable.is_none() {
                step.durable = Some(point);
                covered.extend(&step.needs);
            }
        }
        (Effect::Sync, Vec::new())
    }

    fn finish(self) -> Model {
        let Self {
            start, now, steps, ..
        } = self;
        let mut bases = vec![(0, start)];
        for point in 1..=steps.len() {
            let (begun, disk) = bases.last().expect("the first is there from the beginning");
            let durable = steps[*begun..point]
                .iter()
                .take_while(|step| step.is_durable(point))
                .count();
            if durable > 0 {
                let mut disk = disk.clone();
                for step in &steps[*begun..begun + durable] {
                    disk.apply(&step.effect);
                }
                bases.push((begun + durable, disk));
            }
        }
        Model {
            steps,
            bases,
            end: now,
        }
    }

    /// What is at the path of a call.
    fn there(&self, what: &Done, path: &Path) -> Id {
        let found = self.now.find(path);
        found.unwrap_or_else(|| panic!("{what}: there is nothing at {}", path.display()))
    }

    fn entry(&self, what: &Done, path: &Path) -> (Id, OsString) {
        let found = self.now.entry(path);
        found.unwrap_or_else(|| panic!("{what}: there is no directory for {}", path.display()))
    }

    /// The last step that changed a name.
    fn changed(&self, directory: Id, name: &OsString) -> impl Iterator<Item = usize> + use<> {
        self.last.get(&(directory, name.clone())).copied().into_iter()
    }

    /// The last steps that changed the names in a directory.
    fn changed_in(&self, directory: Id) -> impl Iterator<Item = usize> {
        let inside = self.last.iter().filter(move |((id, _), _)| *id == directory);
        inside.map(|(_, number)| *number)
    }

    /// The last steps that put the directories where they are that are above a path.
    fn way_to(&self, path: &Path) -> impl Iterator<Item = usize> {
        path.ancestors()
            .skip(1)
            .filter_map(|above| self.now.entry(above))
            .flat_map(|(directory, name)| self.changed(directory, &name))
    }
}

// === impl Step ===

impl Step {
    /// Whether it is durable after so many calls.
    fn is_durable(&self, point: usize) -> bool {
        self.durable.is_some_and(|durable| durable <= point)
    }
}

// === impl Effect ===

impl Effect {
    /// Whether it changes the contents of a file.
    fn is_data_of(&self, inode: Id) -> bool {
        self.file() == Some(inode)
    }

    /// The file whose contents it changes.
    fn file(&self) -> Option<Id> {
        match self {
            Effect::Write { file, .. } | Effect::Cut { file, .. } => Some(*file),
            Effect::Names(_)
            | Effect::Owner { .. }
            | Effect::Mode { .. }
            | Effect::Attribute { .. }
            | Effect::Sync => None,
        }
    }

    /// Whether it changes a name in a directory.
    fn is_name_in(&self, inode: Id) -> bool {
        match self {
            Effect::Names(puts) => puts.iter().any(|put| put.directory == inode),
            Effect::Write { .. }
            | Effect::Cut { .. }
            | Effect::Owner { .. }
            | Effect::Mode { .. }
            | Effect::Attribute { .. }
            | Effect::Sync => false,
        }
    }

    /// Whether it changes mode, owner or attributes.
    fn is_trait_of(&self, of: Id) -> bool {
        match self {
            Effect::Owner { inode, .. } | Effect::Mode { inode, .. } | Effect::Attribute { inode, .. } => {
                *inode == of
            }
            Effect::Names(_) | Effect::Write { .. } | Effect::Cut { .. } | Effect::Sync => false,
        }
    }
}
