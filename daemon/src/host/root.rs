//! The node's file system: a directory handle, and every path resolved beneath it.
//!
//! Links of the node resolve inside the root, absolute ones too (`/etc/alternatives`), as they do for the node itself; a
//! link that leads out is reported and not followed. [`Root::look`] is the entry point. Nothing here opens a device, a
//! pipe or a socket, and nothing blocks.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

pub use super::links::Exit;
use super::links::{Route, follow};
use super::write::Tap;

/// How paths are opened: links are read and followed by [`follow`], so the kernel never has to.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

/// Entries read of one directory. A directory of units or drop-ins has hundreds; a bound keeps a hostile tree from
/// filling memory.
const MAX_ENTRIES: usize = 100_000;

/// Longest list of attribute names, and longest value of one, in bytes: the kernel's own bound.
const MAX_ATTRIBUTES: usize = 64 << 10;
/// What is tried first, in bytes: labels and capabilities are shorter, and every file that changes is asked.
const USUAL_ATTRIBUTES: usize = 512;

/// A directory that stands for `/` of a node.
#[derive(Debug)]
pub struct Root {
    handle: OwnedFd,
    tap: Option<Arc<dyn Tap>>,
    /// Whether all new files are this process's, whoever they should belong to.
    unprivileged: bool,
}

/// What lies at a path. A link at the path itself is not followed.
#[derive(Debug)]
pub enum Found {
    /// Nothing; or a parent is missing or no directory.
    Missing,
    /// A link on the way leads out of the root.
    LeadsOut(Exit),
    /// A regular file.
    File(OpenFile),
    /// A symbolic link.
    Symlink {
        /// Its text.
        target: PathBuf,
        /// Where it leads in the end, as an absolute path beneath the root, whether or not something is there; absent
        /// when it leads out of the root or round in circles.
        resolved: Option<PathBuf>,
    },
    /// A directory.
    Directory,
    /// Something else, and what it is called.
    Other(&'static str),
}

/// A regular file, open for reading.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    /// Permission bits with set-uid, set-gid and sticky: at most 07777.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Size in bytes when it was opened.
    pub size: u64,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name.
    pub name: OsString,
    /// Whether it is a link, and to what; or a directory; or anything else.
    pub kind: EntryKind,
}

/// What an [`Entry`] is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A symbolic link with this text.
    Link(PathBuf),
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// Anything else.
    Other,
}

/// Why nothing is written by way of a path.
#[derive(Debug, thiserror::Error)]
pub enum WayError {
    /// A link leads out of the root.
    #[error("{} leads out of the root, to {}", .0.link.display(), .0.target.display())]
    Out(Exit),
    /// A link on the way was made by somebody whom nobody has to trust.
    #[error("the link {} on its way was made neither by root nor by the owner of the root directory, so it is not followed", .0.display())]
    Untrusted(PathBuf),
    /// Something else than a directory is on the way.
    #[error("{} is no directory", .0.display())]
    NoDirectory(PathBuf),
    /// It cannot be looked at.
    #[error("cannot be looked at: {0}")]
    Unreadable(#[from] io::Error),
}

/// Looks at many paths, and keeps the directories of the last few open. So it is made for one piece of work and dropped: a
/// directory that others replace in between would go on being looked into.
#[derive(Debug)]
pub struct Looker<'a> {
    root: &'a Root,
    /// What was opened last comes last.
    open: VecDeque<(PathBuf, Rc<OwnedFd>)>,
}

/// Directories that a [`Looker`] keeps open: a path, its record elsewhere, and what is beside them.
const KEPT_OPEN: usize = 8;

/// The directory that holds a path, or why there is none.
enum Parent {
    Here(OwnedFd),
    Missing,
    LeadsOut(Exit),
}

// === impl Root ===

impl Root {
    /// Takes `directory` for the node's root: `/` on the node itself, `/rootfs` in a pod, any directory in a test.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = fs::open(directory, flags, Mode::empty())?;
        let owner = fs::fstat(&handle)?.st_uid;
        Ok(Self {
            handle,
            tap: None,
            unprivileged: owner != 0 && !rustix::process::geteuid().is_root(),
        })
    }

    /// Lets `tap` see every state-changing call from now on.
    #[must_use]
    pub fn with_tap(self, tap: Arc<dyn Tap>) -> Self {
        Self {
            tap: Some(tap),
            ..self
        }
    }

    pub(super) fn tap(&self) -> Option<&dyn Tap> {
        self.tap.as_deref()
    }

    /// Who owns the root directory itself.
    pub fn owner(&self) -> io::Result<(u32, u32)> {
        let stat = fs::fstat(&self.handle)?;
        Ok((stat.st_uid, stat.st_gid))
    }

    /// What lies at `path`, an absolute path of the node.
    pub fn look(&self, path: &Path) -> io::Result<Found> {
        let Some(name) = path.file_name() else {
            return Ok(Found::Directory);
        };
        match self.parent(path)? {
            Parent::Here(parent) => self.look_in(&parent, name, path),
            Parent::Missing => Ok(Found::Missing),
            Parent::LeadsOut(exit) => Ok(Found::LeadsOut(exit)),
        }
    }

    /// For looking at many paths.
    #[must_use]
    pub fn looker(&self) -> Looker<'_> {
        Looker {
            root: self,
            open: VecDeque::new(),
        }
    }

    /// What `name` is in the directory of `path`.
    fn look_in(&self, parent: &OwnedFd, name: &OsStr, path: &Path) -> io::Result<Found> {
        let Some(stat) = stat_in(parent, name)? else {
            return Ok(Found::Missing);
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => open_regular(parent, name),
            FileType::Symlink => {
                let target = readlink(parent, name)?;
                Ok(Found::Symlink {
                    target,
                    resolved: self.resolve(path)?,
                })
            }
            FileType::Directory => Ok(Found::Directory),
            other => Ok(Found::Other(describe(other))),
        }
    }

    /// All of the file at `path`, links at the path itself followed too. `None` when there is no regular file, or it is
    /// longer than `limit` bytes.
    pub fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(end) = self.resolve(path)? else {
            return Ok(None);
        };
        match self.look(&end)? {
            Found::File(file) => file.read(limit),
            Found::Missing
            | Found::LeadsOut(_)
            | Found::Symlink { .. }
            | Found::Directory
            | Found::Other(_) => Ok(None),
        }
    }

    /// Whether anything is at `path`, a link at the path itself not followed.
    pub fn is_there(&self, path: &Path) -> io::Result<bool> {
        self.looker().is_there(path)
    }

    /// The entries of the directory at `path`, links followed, sorted by name. Empty when there is none beneath the root.
    pub fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let Some(end) = self.resolve(path)? else {
            return Ok(Vec::new());
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = match self.open_plain(&end, flags) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut entries = Vec::new();
        for entry in fs::Dir::read_from(&directory)? {
            let entry = entry?;
            let name = OsString::from_vec(entry.file_name().to_bytes().to_vec());
            if name == "." || name == ".." {
                continue;
            }
            if entries.len() == MAX_ENTRIES {
                let message = format!("{} has more than {MAX_ENTRIES} entries", path.display());
                return Err(io::Error::other(message));
            }
            if let Some(kind) = entry_kind(&directory, &name)? {
                entries.push(Entry { name, kind });
            }
        }
        entries.sort();
        Ok(entries)
    }

    /// Where `path` leads with every link followed, as an absolute path beneath the root, whether or not something is
    /// there; `None` when it leads out of the root or round in circles.
    pub fn resolve(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        Ok(match follow(path, true, |at| self.link_text(at))? {
            Route::To(end) => Some(Path::new("/").join(end)),
            Route::Out(_) | Route::Loop => None,
        })
    }

    /// Whose a new file is before it is given away: user and group of this process.
    #[allow(
        clippy::unused_self,
        reason = "that it is the process's is the affair of the root"
    )]
    pub(super) fn creator(&self) -> (u32, u32) {
        (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        )
    }

    /// Whose a new file is in the end that should belong to `uid` and `gid`. In a tree of a user who is not root and runs us
    /// everything is his: he can give nothing away, and owners do not count there ([`crate::observe`]).
    pub(crate) fn owner_of_new(&self, uid: u32, gid: u32) -> (u32, u32) {
        if self.unprivileged {
            self.creator()
        } else {
            (uid, gid)
        }
    }

    /// The path without links of a directory that is there, for a write; `None` when nothing is there.
    pub fn real_directory(&self, directory: &Path) -> Result<Option<PathBuf>, WayError> {
        const FLAGS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
        let end = self.way_to(directory)?;
        match self.open_plain(&end, FLAGS) {
            Ok(_) => Ok(Some(end)),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR) => Err(WayError::NoDirectory(end)),
            Err(error) => Err(WayError::Unreadable(error.into())),
        }
    }

    /// Where a directory really is, for a write: links that anybody but root or the owner of the root directory has made are
    /// not followed.
    fn way_to(&self, directory: &Path) -> Result<PathBuf, WayError> {
        const FLAGS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
        if self.open_plain(directory, FLAGS).is_ok() && !has_dots(directory) {
            return Ok(directory.to_owned());
        }
        let (owner, _) = self.owner()?;
        let mut untrusted = None;
        let route = follow(directory, true, |at| {
            let Some((text, uid)) = self.link(at)? else {
                return Ok(None);
            };
            if uid != 0 && uid != owner {
                untrusted.get_or_insert_with(|| Path::new("/").join(at));
            }
            Ok(Some(text))
        })?;
        if let Some(link) = untrusted {
            return Err(WayError::Untrusted(link));
        }
        match route {
            Route::To(end) => Ok(Path::new("/").join(end)),
            Route::Out(exit) => Err(WayError::Out(exit)),
            Route::Loop => Err(WayError::Unreadable(Errno::LOOP.into())),
        }
    }

    fn parent(&self, path: &Path) -> io::Result<Parent> {
        const FLAGS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
        let directory = path.parent().unwrap_or(Path::new("/"));
        let mut opened = self.open_plain(directory, FLAGS);
        // A link on the way (LOOP), or `..` (XDEV, if it leads above): the long way round.
        if matches!(opened, Err(Errno::LOOP | Errno::XDEV)) {
            opened = match follow(directory, true, |at| self.link_text(at))? {
                Route::To(end) => self.open_plain(&end, FLAGS),
                Route::Out(exit) => return Ok(Parent::LeadsOut(exit)),
                Route::Loop => Err(Errno::LOOP),
            };
        }
        match opened {
            Ok(directory) => Ok(Parent::Here(directory)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(Parent::Missing),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a path that holds no link; fails with `LOOP` when it does.
    pub(super) fn open_plain(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let relative = path.strip_prefix("/").unwrap_or(path);
        let relative = if relative.as_os_str().is_empty() {
            Path::new(".")
        } else {
            relative
        };
        fs::openat2(&self.handle, relative, flags, Mode::empty(), RESOLVE)
    }

    /// The text of the link at a path that holds no other link.
    pub(super) fn link_text(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        Ok(self.link(path)?.map(|(text, _)| text))
    }

    /// The link at a path that holds no other link: its text, and the number of who made it.
    fn link(&self, path: &Path) -> io::Result<Option<(PathBuf, u32)>> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let link = match self.open_plain(path, flags) {
            Ok(link) => link,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stat = fs::fstat(&link)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            return Ok(None);
        }
        Ok(Some((readlink(&link, OsStr::new(""))?, stat.st_uid)))
    }
}

/// Whether a path climbs: what it leads to then depends on the links before it.
fn has_dots(path: &Path) -> bool {
    path.components()
        .any(|part| part == std::path::Component::ParentDir)
}

/// What the name of a directory is; `None` when it has none such.
fn stat_in(directory: &OwnedFd, name: &OsStr) -> io::Result<Option<Stat>> {
    match fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn readlink(directory: impl AsFd, name: &OsStr) -> io::Result<PathBuf> {
    let text = fs::readlinkat(directory, name, Vec::new())?;
    Ok(OsString::from_vec(text.into_bytes()).into())
}

/// Opens what was seen to be a regular file, and makes sure that it still is one.
fn open_regular(parent: &OwnedFd, name: &OsStr) -> io::Result<Found> {
    // Should a pipe or a terminal have taken its place: neither wait for it nor be owned by it.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match fs::openat(parent, name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(Found::Missing),
        Err(error) => return Err(error.into()),
    };
    let stat = fs::fstat(&file)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(Found::File(OpenFile::new(file, &stat))),
        other => Ok(Found::Other(describe(other))),
    }
}

fn entry_kind(directory: &OwnedFd, name: &OsStr) -> io::Result<Option<EntryKind>> {
    // None: gone since it was listed.
    let Some(stat) = stat_in(directory, name)? else {
        return Ok(None);
    };
    Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => EntryKind::Link(readlink(directory, name)?),
        FileType::Directory => EntryKind::Directory,
        FileType::RegularFile => EntryKind::File,
        _ => EntryKind::Other,
    }))
}

fn describe(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "regular file",
        FileType::Directory => "directory",
        FileType::Symlink => "symbolic link",
        FileType::Fifo => "named pipe",
        FileType::Socket => "socket",
        FileType::CharacterDevice => "character device",
        FileType::BlockDevice => "block device",
        FileType::Unknown => "file of unknown type",
    }
}

/// What a call for attributes gives, with more room when it wants more.
fn all(call: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut room = vec![0; USUAL_ATTRIBUTES];
    let length = match call(&mut room) {
        Err(Errno::RANGE) => {
            room.resize(MAX_ATTRIBUTES, 0);
            call(&mut room)?
        }
        other => other?,
    };
    room.truncate(length);
    Ok(room)
}

// === impl Looker ===

impl Looker<'_> {
    /// As [`Root::look`].
    pub fn look(&mut self, path: &Path) -> io::Result<Found> {
        match (self.directory(path)?, path.file_name()) {
            (Some(directory), Some(name)) => self.root.look_in(&directory, name, path),
            // Why there is none.
            (None, _) | (_, None) => self.root.look(path),
        }
    }

    /// As [`Root::is_there`].
    pub fn is_there(&mut self, path: &Path) -> io::Result<bool> {
        match (self.directory(path)?, path.file_name()) {
            (Some(directory), Some(name)) => Ok(stat_in(&directory, name)?.is_some()),
            (None, _) | (_, None) => Ok(!matches!(self.root.look(path)?, Found::Missing)),
        }
    }

    /// The directory of a path, if it is there.
    pub(super) fn directory(&mut self, path: &Path) -> io::Result<Option<Rc<OwnedFd>>> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        if let Some((_, open)) = self.open.iter().rev().find(|(known, _)| known == parent) {
            return Ok(Some(open.clone()));
        }
        let Parent::Here(opened) = self.root.parent(path)? else {
            return Ok(None);
        };
        let opened = Rc::new(opened);
        if self.open.len() == KEPT_OPEN {
            self.open.pop_front();
        }
        self.open.push_back((parent.to_owned(), opened.clone()));
        Ok(Some(opened))
    }
}

// === impl OpenFile ===

impl OpenFile {
    #[allow(
        clippy::unnecessary_cast,
        reason = "the widths of the kernel's numbers differ between architectures"
    )]
    fn new(file: OwnedFd, stat: &Stat) -> Self {
        Self {
            file: file.into(),
            mode: stat.st_mode as u32 & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
        }
    }

    /// All of it, or `None` when it is longer than `limit` bytes, whatever its size was said to be.
    pub fn read(mut self, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let bytes = self.start(limit.saturating_add(1))?;
        Ok((bytes.len() as u64 <= limit).then_some(bytes))
    }

    /// Its first `limit` bytes, or all of it when that is less.
    pub(crate) fn start(&mut self, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.room(limit)];
        let read = loop {
            match self.file.read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        bytes.truncate(read);
        // One more was asked for than there should be, so nothing more is there: as nearly always.
        if read as u64 == self.size && read as u64 <= limit && read > 0 {
            return Ok(bytes);
        }
        let left = limit.saturating_sub(read as u64);
        self.file.by_ref().take(left).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// What to have ready for reading up to `limit` bytes, so that it is read at once: its size and one more, which finds the end.
    pub(crate) fn room(&self, limit: u64) -> usize {
        // A size that does not fit is not read anyway; until it is seen to be true, no more than this is believed of one.
        const MAX: u64 = 1 << 20;
        usize::try_from(self.size.min(limit).min(MAX) + 1).unwrap_or_default()
    }

    /// Its extended attributes by name; none on a file system that has none.
    pub fn attributes(&self) -> io::Result<Vec<(String, Vec<u8>)>> {
        let names = match all(|room| fs::flistxattr(&self.file, room)) {
            Ok(names) => names,
            Err(Errno::OPNOTSUPP) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        let mut attributes = Vec::new();
        for name in names {
            let name = String::from_utf8_lossy(name).into_owned();
            let value = all(|room| fs::fgetxattr(&self.file, name.as_str(), room))?;
            attributes.push((name, value));
        }
        Ok(attributes)
    }

    /// The open file itself.
    #[must_use]
    pub fn into_file(self) -> File {
        self.file
    }

    /// For reading it piece by piece.
    pub fn reader(&mut self) -> impl Read {
        &mut self.file
    }
}
