//! A tree of files as a value: what a disk holds, to be written out, read back and compared.
//!
//! [`Tree`] is the entry point. Two trees are equal when kinds, contents, modes, owners, link targets and extended attributes are.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::XattrFlags;

/// Bytes of contents that a difference shows.
const SHOWN: usize = 60;
/// Longest list of attribute names, and longest value of one, in bytes: the kernel's own bound.
const MAX_ATTRIBUTES: usize = 64 << 10;

/// Paths, absolute beneath the root, and what they hold. The root itself is there as `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    nodes: BTreeMap<PathBuf, Node>,
}

/// What a path holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    /// What it is.
    pub(crate) kind: Kind,
    /// Permission bits, at most 07777; of a link always 0777.
    pub(crate) mode: u32,
    /// The owner's number.
    pub(crate) uid: u32,
    /// The group's number.
    pub(crate) gid: u32,
    /// Extended attributes by name.
    pub(crate) attributes: BTreeMap<String, Vec<u8>>,
}

/// What a [`Node`] is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A directory.
    Directory,
    /// A regular file with these contents.
    File(Contents),
    /// A symbolic link that says this.
    Link(PathBuf),
}

/// Contents of a file; cheap to clone and to hash, since thousands of trees share them.
#[derive(Debug, Clone)]
pub(crate) struct Contents {
    bytes: Arc<[u8]>,
    digest: u64,
}

// === impl Contents ===

impl Contents {
    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<&[u8]> for Contents {
    fn from(bytes: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(bytes);
        Self {
            bytes: bytes.into(),
            digest: hasher.finish(),
        }
    }
}

impl PartialEq for Contents {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest && self.bytes == other.bytes
    }
}

impl Eq for Contents {}

impl Hash for Contents {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.digest);
    }
}

// === impl Node ===

impl Node {
    /// A directory of this mode that belongs to this process.
    pub(crate) fn directory(mode: u32) -> Self {
        Self::of(Kind::Directory, mode)
    }

    /// A file of this mode that belongs to this process.
    pub(crate) fn file(mode: u32, bytes: &[u8]) -> Self {
        Self::of(Kind::File(bytes.into()), mode)
    }

    /// A link that belongs to this process.
    pub(crate) fn link(target: &Path) -> Self {
        Self::of(Kind::Link(target.to_owned()), 0o777)
    }

    fn of(kind: Kind, mode: u32) -> Self {
        Self {
            kind,
            mode,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            attributes: BTreeMap::new(),
        }
    }

    /// In a line.
    fn words(&self) -> String {
        let mut words = match &self.kind {
            Kind::Directory => "directory".to_owned(),
            Kind::Link(target) => format!("link to {}", target.display()),
            Kind::File(contents) => format!("file {}", shown(contents.bytes())),
        };
        let _ = write!(words, ", {:04o} {}:{}", self.mode, self.uid, self.gid);
        for (name, value) in &self.attributes {
            let _ = write!(words, ", {name}={}", shown(value));
        }
        words
    }
}

fn shown(bytes: &[u8]) -> String {
    let some = bytes[..bytes.len().min(SHOWN)].escape_ascii();
    let more = if bytes.len() > SHOWN { "…" } else { "" };
    format!("of {} bytes \"{some}{more}\"", bytes.len())
}

// === impl Tree ===

impl Tree {
    /// A root of mode 0755 with nothing in it.
    pub(crate) fn new() -> Self {
        Self {
            nodes: BTreeMap::from([(PathBuf::from("/"), Node::directory(0o755))]),
        }
    }

    /// With a node more, and directories of mode 0755 on its way where there are none.
    pub(crate) fn with(mut self, path: impl AsRef<Path>, node: Node) -> Self {
        let path = path.as_ref();
        for parent in path.ancestors().skip(1) {
            self.nodes
                .entry(parent.to_owned())
                .or_insert_with(|| Node::directory(0o755));
        }
        self.insert(path.to_owned(), node);
        self
    }

    /// Puts a node at a path whose directory is there.
    pub(crate) fn insert(&mut self, path: PathBuf, node: Node) {
        self.nodes.insert(path, node);
    }

    /// What is at a path.
    pub(crate) fn get(&self, path: impl AsRef<Path>) -> Option<&Node> {
        self.nodes.get(path.as_ref())
    }

    /// The contents of the file at a path; `None` when there is no file.
    pub(crate) fn contents(&self, path: impl AsRef<Path>) -> Option<&[u8]> {
        match &self.get(path)?.kind {
            Kind::File(contents) => Some(contents.bytes()),
            Kind::Directory | Kind::Link(_) => None,
        }
    }

    /// All paths and what they hold, directories before what is in them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Path, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_path(), node))
    }

    /// A number that two different trees do not share, but for a chance of one in 2^64.
    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (path, node) in &self.nodes {
            // Not the path itself, which is taken apart for that.
            path.as_os_str().hash(&mut hasher);
            node.hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Makes `directory`, which must be there and empty, this tree.
    pub(crate) fn write_to(&self, directory: &Path) -> io::Result<()> {
        for (path, node) in self.iter() {
            let place = beneath(directory, path);
            match &node.kind {
                Kind::Directory if path == Path::new("/") => {}
                Kind::Directory => fs::create_dir(&place)?,
                Kind::File(contents) => fs::write(&place, contents.bytes())?,
                Kind::Link(target) => symlink(target, &place)?,
            }
        }
        // Modes last and from the bottom up: one may forbid us to go on in a directory.
        for (path, node) in self.nodes.iter().rev() {
            let place = beneath(directory, path);
            for (name, value) in &node.attributes {
                rustix::fs::lsetxattr(&place, name.as_str(), value, XattrFlags::empty())?;
            }
            let found = fs::symlink_metadata(&place)?;
            if (found.uid(), found.gid()) != (node.uid, node.gid) {
                lchown(&place, Some(node.uid), Some(node.gid))?;
            }
            match node.kind {
                Kind::Directory | Kind::File(_) => {
                    fs::set_permissions(&place, fs::Permissions::from_mode(node.mode))?;
                }
                Kind::Link(_) => {}
            }
        }
        Ok(())
    }

    /// What is in `directory` and below. A device, pipe or socket is an error: nothing here knows them.
    pub(crate) fn read_from(directory: &Path) -> io::Result<Self> {
        let mut nodes = BTreeMap::new();
        let mut left = vec![PathBuf::from("/")];
        while let Some(path) = left.pop() {
            let place = beneath(directory, &path);
            let found = fs::symlink_metadata(&place)?;
            let kind = if found.is_dir() {
                for entry in fs::read_dir(&place)? {
                    left.push(path.join(entry?.file_name()));
                }
                Kind::Directory
            } else if found.is_symlink() {
                Kind::Link(fs::read_link(&place)?)
            } else if found.is_file() {
                Kind::File(fs::read(&place)?.as_slice().into())
            } else {
                let text = format!("{} is neither file, directory nor link", path.display());
                return Err(io::Error::other(text));
            };
            let node = Node {
                kind,
                mode: found.mode() & 0o7777,
                uid: found.uid(),
                gid: found.gid(),
                attributes: attributes(&place)?,
            };
            nodes.insert(path, node);
        }
        Ok(Self { nodes })
    }

    /// What `other` has otherwise, a line for each path: `-` only here, `+` only there, `~` both. Empty when they are equal.
    pub(crate) fn difference(&self, other: &Self) -> String {
        let mut lines = String::new();
        let mut paths: Vec<&PathBuf> = self.nodes.keys().chain(other.nodes.keys()).collect();
        paths.sort();
        paths.dedup();
        for path in paths {
            let name = path.display();
            let _ = match (self.nodes.get(path), other.nodes.get(path)) {
                (Some(here), None) => writeln!(lines, "- {name}: {}", here.words()),
                (None, Some(there)) => writeln!(lines, "+ {name}: {}", there.words()),
                (Some(here), Some(there)) if here != there => {
                    writeln!(lines, "~ {name}: {}\n    there {}", here.words(), there.words())
                }
                (Some(_), Some(_)) | (None, None) => Ok(()),
            };
        }
        lines
    }
}

impl FromIterator<(PathBuf, Node)> for Tree {
    fn from_iter<T: IntoIterator<Item = (PathBuf, Node)>>(nodes: T) -> Self {
        Self {
            nodes: nodes.into_iter().collect(),
        }
    }
}

fn beneath(directory: &Path, path: &Path) -> PathBuf {
    directory.join(path.strip_prefix("/").expect("paths of a tree are absolute"))
}

fn attributes(place: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut list = Vec::with_capacity(MAX_ATTRIBUTES);
    rustix::fs::llistxattr(place, rustix::buffer::spare_capacity(&mut list))?;
    let mut attributes = BTreeMap::new();
    for name in list.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = Vec::with_capacity(MAX_ATTRIBUTES);
        let key = std::ffi::OsStr::from_bytes(name);
        rustix::fs::lgetxattr(place, key, rustix::buffer::spare_capacity(&mut value))?;
        attributes.insert(key.to_string_lossy().into_owned(), value);
    }
    Ok(attributes)
}
