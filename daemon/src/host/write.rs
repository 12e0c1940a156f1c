//! Everything that changes a node's file system. One method is one system call, and there is no other way: a [`Tap`] sees each
//! [`Op`] before and after, so tests can fail, record or cut off every single one, also those that are added later.
//!
//! [`Writer`] is the entry point. Every path is resolved beneath the root as in [`Root`]; besides, a link on the way that neither
//! root nor the owner of the root directory has made is not followed, since it could lead a write anywhere.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{self, AtFlags, Gid, Mode, OFlags, RenameFlags, Uid, XattrFlags};
use rustix::io::Errno;

use super::root::Root;

/// One state-changing call. Paths are absolute beneath the root and hold no link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op<'a> {
    /// Makes a directory of this mode.
    MakeDirectory {
        /// Where.
        path: &'a Path,
        /// Permission bits.
        mode: u32,
    },
    /// Removes an empty directory.
    RemoveDirectory {
        /// Which.
        path: &'a Path,
    },
    /// Makes an empty file that was not there, for its owner alone.
    Create {
        /// Where.
        path: &'a Path,
    },
    /// Writes at the end of a file.
    Append {
        /// The file.
        path: &'a Path,
        /// What is written.
        bytes: &'a [u8],
    },
    /// Cuts a file off.
    Truncate {
        /// The file.
        path: &'a Path,
        /// Its length from then on, in bytes.
        length: u64,
    },
    /// Gives a file or directory to an owner.
    SetOwner {
        /// Which.
        path: &'a Path,
        /// The user's number.
        uid: u32,
        /// The group's number.
        gid: u32,
    },
    /// Sets the permission bits of a file or directory.
    SetMode {
        /// Which.
        path: &'a Path,
        /// The bits.
        mode: u32,
    },
    /// Sets an extended attribute of a file.
    SetAttribute {
        /// The file.
        path: &'a Path,
        /// The attribute, such as `security.selinux`.
        name: &'a str,
        /// Its value.
        value: &'a [u8],
    },
    /// Makes a symbolic link where nothing was.
    Link {
        /// Where.
        path: &'a Path,
        /// What it says.
        target: &'a Path,
    },
    /// Gives a file a second name within one file system, where nothing was.
    SecondName {
        /// The name it has.
        of: &'a Path,
        /// The name it gets besides.
        path: &'a Path,
    },
    /// Renames within one file system.
    Rename {
        /// The name it has.
        from: &'a Path,
        /// The name it gets.
        to: &'a Path,
        /// What becomes of what has that name.
        how: Rename,
    },
    /// Removes a file or link.
    Remove {
        /// Which.
        path: &'a Path,
    },
    /// Makes a file durable: its contents, not its name.
    SyncFile {
        /// Which.
        path: &'a Path,
    },
    /// Makes the names in a directory durable.
    SyncDirectory {
        /// Which.
        path: &'a Path,
    },
    /// Makes everything durable that is on the file system of a directory.
    SyncFileSystem {
        /// The directory.
        path: &'a Path,
    },
}

/// What becomes of what already has the new name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rename {
    /// It is replaced.
    Over,
    /// It stays, and the call fails.
    IfAbsent,
    /// The two change places.
    Exchange,
}

/// Sees every [`Op`]. An error from `before` takes the place of the call; one from `after` comes when it is done.
pub trait Tap: Send + Sync + fmt::Debug {
    /// Called before the call is made.
    fn before(&self, op: &Op<'_>) -> io::Result<()>;
    /// Called when the call has succeeded.
    fn after(&self, op: &Op<'_>) -> io::Result<()>;
}

/// A call that failed: what, where, why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}", path.display())]
pub struct Failed {
    /// In words, such as `write to`.
    pub what: &'static str,
    /// What it was about.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// What a new file is to have besides its contents. In a tree of a user who is not root, and runs us, its owner is that user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traits {
    /// Permission bits, at most 07777.
    pub mode: u32,
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Extended attributes by name.
    pub attributes: Vec<(String, Vec<u8>)>,
}

/// The one hand that writes. Keeps the directory it wrote to last open, so it is made for one piece of work and dropped: a
/// directory that others replace in between would go on being written to.
#[derive(Debug)]
pub struct Writer<'a> {
    root: &'a Root,
    last: Option<Arc<Directory>>,
}

/// A directory without links on its way.
#[derive(Debug)]
struct Directory {
    handle: OwnedFd,
    path: PathBuf,
}

/// A name in a [`Directory`].
struct Spot {
    directory: Arc<Directory>,
    name: OsString,
    path: PathBuf,
}

// === impl Writer ===

impl<'a> Writer<'a> {
    /// For one piece of work beneath `root`.
    #[must_use]
    pub fn new(root: &'a Root) -> Self {
        Self { root, last: None }
    }

    /// What it writes beneath.
    #[must_use]
    pub fn root(&self) -> &'a Root {
        self.root
    }

    /// Makes a directory. One that is there already is an error ([`io::ErrorKind::AlreadyExists`]).
    pub fn make_directory(&mut self, path: &Path, traits: &Traits) -> Result<(), Failed> {
        let spot = self.spot(path, "make the directory")?;
        let op = Op::MakeDirectory {
            path: &spot.path,
            mode: traits.mode,
        };
        self.call(op, || {
            fs::mkdirat(
                &spot.directory.handle,
                &spot.name,
                Mode::from_raw_mode(traits.mode),
            )
        })?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = fs::openat(&spot.directory.handle, &spot.name, flags, Mode::empty())
            .map_err(|error| failed("open the directory", &spot.path, error))?;
        self.set_traits(&handle, &spot.path, traits, true)
    }

    /// Removes an empty directory.
    pub fn remove_directory(&mut self, path: &Path) -> Result<(), Failed> {
        let spot = self.spot(path, "remove the directory")?;
        let op = Op::RemoveDirectory { path: &spot.path };
        self.call(op, || {
            fs::unlinkat(&spot.directory.handle, &spot.name, AtFlags::REMOVEDIR)
        })
    }

    /// Makes a file that was not there, with contents, owner, mode and attributes. It is not durable yet.
    pub fn create(&mut self, path: &Path, bytes: &[u8], traits: &Traits) -> Result<(), Failed> {
        let spot = self.spot(path, "create")?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // For nobody else until it belongs to whom it should.
        let mode = Mode::from_raw_mode(0o600);
        let op = Op::Create { path: &spot.path };
        let handle = self.call(op, || fs::openat(&spot.directory.handle, &spot.name, flags, mode))?;
        let mut file = File::from(handle);
        if !bytes.is_empty() {
            self.append_to(&mut file, &spot.path, bytes)?;
        }
        self.set_traits(&file, &spot.path, traits, false)
    }

    /// Writes at the end of a file that is there.
    pub fn append(&mut self, path: &Path, bytes: &[u8]) -> Result<(), Failed> {
        let spot = self.spot(path, "open")?;
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = fs::openat(&spot.directory.handle, &spot.name, flags, Mode::empty())
            .map_err(|error| failed("open", &spot.path, error))?;
        self.append_to(&mut File::from(handle), &spot.path, bytes)
    }

    /// Cuts a file off after `length` bytes.
    pub fn truncate(&mut self, path: &Path, length: u64) -> Result<(), Failed> {
        let spot = self.spot(path, "open")?;
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = fs::openat(&spot.directory.handle, &spot.name, flags, Mode::empty())
            .map_err(|error| failed("open", &spot.path, error))?;
        self.call(
            Op::Truncate {
                path: &spot.path,
                length,
            },
            || fs::ftruncate(&handle, length),
        )
    }

    /// Makes a symbolic link where nothing was. Whose it is in a tree of a user: as for [`Traits`].
    pub fn link(&mut self, path: &Path, target: &Path, uid: u32, gid: u32) -> Result<(), Failed> {
        let spot = self.spot(path, "make the link")?;
        let op = Op::Link {
            path: &spot.path,
            target,
        };
        self.call(op, || fs::symlinkat(target, &spot.directory.handle, &spot.name))?;
        let (uid, gid) = self.root.owner_of_new(uid, gid);
        let made = fs::statat(&spot.directory.handle, &spot.name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| failed("look at", &spot.path, error))?;
        if (uid, gid) == (made.st_uid, made.st_gid) {
            return Ok(());
        }
        let op = Op::SetOwner {
            path: &spot.path,
            uid,
            gid,
        };
        let (user, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        self.call(op, || {
            fs::chownat(
                &spot.directory.handle,
                &spot.name,
                user,
                group,
                AtFlags::SYMLINK_NOFOLLOW,
            )
        })
    }

    /// Gives the file `of` the name `path` too, where nothing was, on one file system.
    pub fn second_name(&mut self, of: &Path, path: &Path) -> Result<(), Failed> {
        let of = self.spot(of, "name again")?;
        let spot = self.spot(path, "name again")?;
        let op = Op::SecondName {
            of: &of.path,
            path: &spot.path,
        };
        self.call(op, || {
            fs::linkat(
                &of.directory.handle,
                &of.name,
                &spot.directory.handle,
                &spot.name,
                AtFlags::empty(),
            )
        })
    }

    /// Renames `from` to `to`, on one file system.
    pub fn rename(&mut self, from: &Path, to: &Path, how: Rename) -> Result<(), Failed> {
        let from = self.spot(from, "rename")?;
        let to = self.spot(to, "rename to")?;
        let flags = match how {
            Rename::Over => RenameFlags::empty(),
            Rename::IfAbsent => RenameFlags::NOREPLACE,
            Rename::Exchange => RenameFlags::EXCHANGE,
        };
        let op = Op::Rename {
            from: &from.path,
            to: &to.path,
            how,
        };
        self.call(op, || {
            fs::renameat_with(
                &from.directory.handle,
                &from.name,
                &to.directory.handle,
                &to.name,
                flags,
            )
        })
    }

    /// Removes a file or link.
    pub fn remove(&mut self, path: &Path) -> Result<(), Failed> {
        let spot = self.spot(path, "remove")?;
        let op = Op::Remove { path: &spot.path };
        self.call(op, || {
            fs::unlinkat(&spot.directory.handle, &spot.name, AtFlags::empty())
        })
    }

    /// Makes the contents of a file durable.
    pub fn sync_file(&mut self, path: &Path) -> Result<(), Failed> {
        let spot = self.spot(path, "open")?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = fs::openat(&spot.directory.handle, &spot.name, flags, Mode::empty())
            .map_err(|error| failed("open", &spot.path, error))?;
        self.call(Op::SyncFile { path: &spot.path }, || fs::fdatasync(&handle))
    }

    /// Makes the names in a directory durable.
    pub fn sync_directory(&mut self, path: &Path) -> Result<(), Failed> {
        let handle = self.open_directory(path)?;
        self.call(Op::SyncDirectory { path }, || fs::fsync(&handle))
    }

    /// Makes everything durable on the file system that the directory `path` is on.
    pub fn sync_file_system(&mut self, path: &Path) -> Result<(), Failed> {
        let handle = self.open_directory(path)?;
        self.call(Op::SyncFileSystem { path }, || fs::syncfs(&handle))
    }

    fn open_directory(&self, path: &Path) -> Result<OwnedFd, Failed> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.open_parent(path, flags).map_err(|source| Failed {
            what: "open the directory",
            path: path.to_owned(),
            source,
        })
    }

    fn append_to(&self, file: &mut File, path: &Path, bytes: &[u8]) -> Result<(), Failed> {
        let op = Op::Append { path, bytes };
        self.try_call(op, || file.write_all(bytes))
    }

    /// Owner first: giving a file away takes set-uid bits off.
    fn set_traits(
        &self,
        file: &impl AsFd,
        path: &Path,
        traits: &Traits,
        is_directory: bool,
    ) -> Result<(), Failed> {
        let Traits {
            mode,
            uid,
            gid,
            attributes,
        } = traits;
        for (name, value) in attributes {
            let op = Op::SetAttribute { path, name, value };
            self.call(op, || {
                fs::fsetxattr(file, name.as_str(), value, XattrFlags::empty())
            })?;
        }
        let (uid, gid) = self.root.owner_of_new(*uid, *gid);
        // Not always the process's: a set-group-ID directory gives its own group to what is made in it.
        let made = fs::fstat(file).map_err(|error| failed("look at", path, error))?;
        if (uid, gid) != (made.st_uid, made.st_gid) {
            let op = Op::SetOwner { path, uid, gid };
            self.call(op, || {
                fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            })?;
        }
        // What the process's mask may have taken off a directory, or what the file does not have yet.
        if is_directory || *mode != 0o600 || !attributes.is_empty() {
            let op = Op::SetMode { path, mode: *mode };
            self.call(op, || fs::fchmod(file, Mode::from_raw_mode(*mode)))?;
        }
        Ok(())
    }

    /// The directory of `path`, open, and the name in it.
    fn spot(&mut self, path: &Path, what: &'static str) -> Result<Spot, Failed> {
        let wrong = |source| Failed {
            what,
            path: path.to_owned(),
            source,
        };
        let name = file_name(path).map_err(wrong)?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        let directory = match &self.last {
            Some(last) if last.path == parent => last.clone(),
            _ => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let handle = self.open_parent(parent, flags).map_err(wrong)?;
                let opened = Arc::new(Directory {
                    handle,
                    path: parent.to_owned(),
                });
                self.last = Some(opened.clone());
                opened
            }
        };
        Ok(Spot {
            directory,
            name: name.to_owned(),
            path: path.to_owned(),
        })
    }

    /// Opens a directory. Links on the way that root has made are followed, as on hosts whose `/var` is elsewhere.
    fn open_parent(&self, parent: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        match self.root.open_plain(parent, flags) {
            Err(Errno::LOOP) => match self.root.real_directory(parent) {
                Ok(Some(real)) => Ok(self.root.open_plain(&real, flags)?),
                Ok(None) => Err(Errno::NOENT.into()),
                Err(_) => Err(Errno::LOOP.into()),
            },
            other => Ok(other?),
        }
    }

    fn call<T>(&self, op: Op<'_>, call: impl FnOnce() -> Result<T, Errno>) -> Result<T, Failed> {
        self.try_call(op, || call().map_err(io::Error::from))
    }

    fn try_call<T>(&self, op: Op<'_>, call: impl FnOnce() -> io::Result<T>) -> Result<T, Failed> {
        let outcome = match self.root.tap() {
            None => call(),
            Some(tap) => tap
                .before(&op)
                .and_then(|()| call())
                .and_then(|value| tap.after(&op).map(|()| value)),
        };
        outcome.map_err(|source| Failed {
            what: op.words(),
            path: op.path().to_owned(),
            source,
        })
    }
}

// === impl Op ===

impl<'a> Op<'a> {
    /// What it is about; of a renaming the new name.
    #[must_use]
    pub fn path(&self) -> &'a Path {
        match self {
            Op::MakeDirectory { path, .. }
            | Op::RemoveDirectory { path }
            | Op::Create { path }
            | Op::Append { path, .. }
            | Op::Truncate { path, .. }
            | Op::SetOwner { path, .. }
            | Op::SetMode { path, .. }
            | Op::SetAttribute { path, .. }
            | Op::Link { path, .. }
            | Op::SecondName { path, .. }
            | Op::Rename { to: path, .. }
            | Op::Remove { path }
            | Op::SyncFile { path }
            | Op::SyncDirectory { path }
            | Op::SyncFileSystem { path } => path,
        }
    }

    /// What it does, in words that stand before a path.
    #[must_use]
    pub fn words(&self) -> &'static str {
        match self {
            Op::MakeDirectory { .. } => "make the directory",
            Op::RemoveDirectory { .. } => "remove the directory",
            Op::Create { .. } => "create",
            Op::Append { .. } => "write to",
            Op::Truncate { .. } => "cut off",
            Op::SetOwner { .. } => "set the owner of",
            Op::SetMode { .. } => "set the mode of",
            Op::SetAttribute { .. } => "set an extended attribute of",
            Op::Link { .. } => "make the link",
            Op::SecondName { .. } => "give a second name to what becomes",
            Op::Rename { .. } => "put in place",
            Op::Remove { .. } => "remove",
            Op::SyncFile { .. } | Op::SyncDirectory { .. } | Op::SyncFileSystem { .. } => "make durable",
        }
    }

    /// Whether it makes earlier ones durable.
    #[must_use]
    pub fn is_sync(&self) -> bool {
        match self {
            Op::SyncFile { .. } | Op::SyncDirectory { .. } | Op::SyncFileSystem { .. } => true,
            Op::MakeDirectory { .. }
            | Op::RemoveDirectory { .. }
            | Op::Create { .. }
            | Op::Append { .. }
            | Op::Truncate { .. }
            | Op::SetOwner { .. }
            | Op::SetMode { .. }
            | Op::SetAttribute { .. }
            | Op::Link { .. }
            | Op::SecondName { .. }
            | Op::Rename { .. }
            | Op::Remove { .. } => false,
        }
    }
}

fn failed(what: &'static str, path: &Path, error: Errno) -> Failed {
    Failed {
        what,
        path: path.to_owned(),
        source: error.into(),
    }
}

fn file_name(path: &Path) -> io::Result<&OsStr> {
    path.file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it has no name"))
}
