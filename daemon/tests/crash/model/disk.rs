//! A file system in memory, by inodes: names and what they name are apart, as they are on a disk.
//!
//! [`Disk`] is the entry point; an [`Effect`] is what a call does to it, with every path already looked up, so that one can be
//! left out and the next still means the same.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::tree::{Contents, Kind, Node, Tree};

/// Number of an inode. It is never used again.
pub(super) type Id = usize;

/// The inode of `/`.
const ROOT: Id = 0;

/// Inodes by number.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    inodes: Vec<Arc<Inode>>,
}

/// What has names.
#[derive(Debug, Clone)]
pub(super) struct Inode {
    pub(super) body: Body,
    mode: u32,
    uid: u32,
    gid: u32,
    attributes: BTreeMap<String, Vec<u8>>,
    /// Which of the file systems it is on, as an index into the mount points.
    pub(super) file_system: usize,
}

/// What an [`Inode`] holds.
#[derive(Debug, Clone)]
pub(super) enum Body {
    Directory(BTreeMap<OsString, Id>),
    File(Contents),
    Link(PathBuf),
}

/// What a new inode is to be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Newborn<'a> {
    Directory { mode: u32 },
    File,
    Link { target: &'a Path },
}

/// What a call does.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    /// Names that come, go or change at once.
    Names(Vec<Put>),
    /// Bytes of a file from an offset on.
    Write { file: Id, at: usize, bytes: Arc<[u8]> },
    /// A new length of a file.
    Cut { file: Id, length: usize },
    /// A new owner.
    Owner { inode: Id, uid: u32, gid: u32 },
    /// New permission bits.
    Mode { inode: Id, mode: u32 },
    /// An extended attribute.
    Attribute { inode: Id, name: String, value: Vec<u8> },
    /// Nothing that could be seen.
    Sync,
}

/// One name and what it names from then on.
#[derive(Debug, Clone)]
pub(super) struct Put {
    pub(super) directory: Id,
    pub(super) name: OsString,
    pub(super) holds: Option<Id>,
}

// === impl Disk ===

impl Disk {
    /// Holds `tree`, with file systems of their own at `mounts` besides the one of the root.
    pub(super) fn new(tree: &Tree, mounts: &[PathBuf]) -> Self {
        let mut disk = Self { inodes: Vec::new() };
        for (path, node) in tree.iter() {
            let body = match &node.kind {
                Kind::Directory => Body::Directory(BTreeMap::new()),
                Kind::File(contents) => Body::File(contents.clone()),
                Kind::Link(target) => Body::Link(target.clone()),
            };
            // The deepest mount point is the longest one that the path is below.
            let mount = (0..mounts.len())
                .filter(|mount| path.starts_with(&mounts[*mount]))
                .max_by_key(|mount| mounts[*mount].as_os_str().len());
            let id = disk.add(Inode {
                body,
                mode: node.mode,
                uid: node.uid,
                gid: node.gid,
                attributes: node.attributes.clone(),
                file_system: mount.map_or(0, |mount| mount + 1),
            });
            if let Some((directory, name)) = disk.entry(path) {
                disk.put(&Put {
                    directory,
                    name,
                    holds: Some(id),
                });
            }
        }
        disk
    }

    /// What can be reached by a name.
    pub(super) fn tree(&self) -> Tree {
        let mut nodes = Vec::with_capacity(self.inodes.len());
        // Taken from the end, so that paths come in order and the tree need not be sorted.
        let mut left = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, id)) = left.pop() {
            let inode = &self.inodes[id];
            let kind = match &inode.body {
                Body::Directory(names) => {
                    left.extend(names.iter().rev().map(|(name, id)| (path.join(name), *id)));
                    Kind::Directory
                }
                Body::File(contents) => Kind::File(contents.clone()),
                Body::Link(target) => Kind::Link(target.clone()),
            };
            let node = Node {
                kind,
                mode: inode.mode,
                uid: inode.uid,
                gid: inode.gid,
                attributes: inode.attributes.clone(),
            };
            nodes.push((path, node));
        }
        nodes.into_iter().collect()
    }

    /// How many inodes there ever were.
    pub(super) fn len(&self) -> usize {
        self.inodes.len()
    }

    /// The inodes from number `from` on.
    pub(super) fn since(&self, from: Id) -> &[Arc<Inode>] {
        &self.inodes[from..]
    }

    /// Takes inodes over that nothing names yet.
    pub(super) fn extend(&mut self, inodes: &[Arc<Inode>]) {
        self.inodes.extend_from_slice(inodes);
    }

    /// An inode.
    pub(super) fn inode(&self, id: Id) -> &Inode {
        &self.inodes[id]
    }

    /// What is at a path that holds no link.
    pub(super) fn find(&self, path: &Path) -> Option<Id> {
        let mut id = ROOT;
        for part in path.components() {
            match part {
                Component::RootDir => {}
                Component::Normal(name) => id = self.named(id, name)?,
                Component::Prefix(_) | Component::CurDir | Component::ParentDir => return None,
            }
        }
        Some(id)
    }

    /// What a name in a directory names.
    pub(super) fn named(&self, directory: Id, name: &OsStr) -> Option<Id> {
        match &self.inodes[directory].body {
            Body::Directory(names) => names.get(name).copied(),
            Body::File(_) | Body::Link(_) => None,
        }
    }

    /// The directory of a path, and the name in it; `None` for the root and where there is no directory.
    pub(super) fn entry(&self, path: &Path) -> Option<(Id, OsString)> {
        let directory = self.find(path.parent()?)?;
        Some((directory, path.file_name()?.to_owned()))
    }

    /// The contents of a file; empty for anything else.
    pub(super) fn contents(&self, file: Id) -> &[u8] {
        match &self.inodes[file].body {
            Body::File(contents) => contents.bytes(),
            Body::Directory(_) | Body::Link(_) => &[],
        }
    }

    /// Replaces the contents of a file.
    pub(super) fn set_contents(&mut self, file: Id, contents: Contents) {
        self.change(file).body = Body::File(contents);
    }

    /// Makes an inode that has no name yet, for a name in `directory`.
    pub(super) fn bear(&mut self, directory: Id, newborn: Newborn<'_>) -> Id {
        let parent = &self.inodes[directory];
        // In a set-gid directory the group is the directory's, and directories get the bit too.
        let inherits = parent.mode & 0o2000;
        let (body, mode) = match newborn {
            Newborn::Directory { mode } => {
                let allowed = mode & 0o1777 & !umask();
                (Body::Directory(BTreeMap::new()), allowed | inherits)
            }
            Newborn::File => (Body::File([].as_slice().into()), 0o600),
            Newborn::Link { target } => (Body::Link(target.to_owned()), 0o777),
        };
        let gid = if inherits == 0 {
            rustix::process::getegid().as_raw()
        } else {
            parent.gid
        };
        let file_system = parent.file_system;
        self.add(Inode {
            body,
            mode,
            uid: rustix::process::geteuid().as_raw(),
            gid,
            attributes: BTreeMap::new(),
            file_system,
        })
    }

    /// Does what a call does.
    pub(super) fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Names(puts) => puts.iter().for_each(|put| self.put(put)),
            Effect::Write { file, at, bytes } => {
                let whole = written(self.contents(*file).to_vec(), *at, bytes);
                self.set_contents(*file, whole.as_slice().into());
            }
            Effect::Cut { file, length } => {
                let mut bytes = self.contents(*file).to_vec();
                bytes.resize(*length, 0);
                self.set_contents(*file, bytes.as_slice().into());
            }
            Effect::Owner { inode, uid, gid } => {
                let inode = self.change(*inode);
                (inode.uid, inode.gid) = (*uid, *gid);
            }
            Effect::Mode { inode, mode } => self.change(*inode).mode = *mode,
            Effect::Attribute { inode, name, value } => {
                let attributes = &mut self.change(*inode).attributes;
                attributes.insert(name.clone(), value.clone());
            }
            Effect::Sync => {}
        }
    }

    fn put(&mut self, put: &Put) {
        let Body::Directory(names) = &mut self.change(put.directory).body else {
            panic!(
                "inode {} is no directory, so {} cannot be in it",
                put.directory,
                put.name.display()
            );
        };
        match put.holds {
            Some(id) => names.insert(put.name.clone(), id),
            None => names.remove(&put.name),
        };
    }

    fn add(&mut self, inode: Inode) -> Id {
        self.inodes.push(Arc::new(inode));
        self.inodes.len() - 1
    }

    fn change(&mut self, id: Id) -> &mut Inode {
        Arc::make_mut(&mut self.inodes[id])
    }
}

/// `contents` after `bytes` have been written at an offset; zeros fill a gap before them.
pub(super) fn written(mut contents: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    let end = at + bytes.len();
    if contents.len() < end {
        contents.resize(end, 0);
    }
    contents[at..end].copy_from_slice(bytes);
    contents
}

/// What this process takes off the modes of directories that it makes. Asked from the kernel in the one way that does not
/// change it.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells of its processes");
    status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))
        .and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok())
        .expect("the kernel is of 4.7 or later and tells the mask")
}
