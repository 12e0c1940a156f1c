//! Taps on the one hand that writes: one that records what it did, and one that stops it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use daemon::host::{Op, Rename, Tap};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};

/// An [`Op`] that outlives the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Done {
    /// [`Op::MakeDirectory`]
    MakeDirectory { path: PathBuf, mode: u32 },
    /// [`Op::RemoveDirectory`]
    RemoveDirectory { path: PathBuf },
    /// [`Op::Create`]
    Create { path: PathBuf },
    /// [`Op::Append`]
    Append { path: PathBuf, bytes: Vec<u8> },
    /// [`Op::Truncate`]
    Truncate { path: PathBuf, length: u64 },
    /// [`Op::SetOwner`]
    SetOwner { path: PathBuf, uid: u32, gid: u32 },
    /// [`Op::SetMode`]
    SetMode { path: PathBuf, mode: u32 },
    /// [`Op::SetAttribute`]
    SetAttribute {
        path: PathBuf,
        name: String,
        value: Vec<u8>,
    },
    /// [`Op::Link`]
    Link { path: PathBuf, target: PathBuf },
    /// [`Op::SecondName`]
    SecondName { of: PathBuf, path: PathBuf },
    /// [`Op::Rename`]
    Rename { from: PathBuf, to: PathBuf, how: Rename },
    /// [`Op::Remove`]
    Remove { path: PathBuf },
    /// [`Op::SyncFile`]
    SyncFile { path: PathBuf },
    /// [`Op::SyncDirectory`]
    SyncDirectory { path: PathBuf },
    /// [`Op::SyncFileSystem`]
    SyncFileSystem { path: PathBuf },
}

/// Records every call that succeeded, in order.
#[derive(Debug)]
pub(crate) struct Recorder {
    done: Mutex<Vec<Done>>,
    killer: Killer,
}

/// Counts the points at which a program can be stopped, two for each call (before, after), and does something at one of them.
pub(crate) struct Killer {
    passed: AtomicU64,
    when: When,
    act: Act,
}

/// At which points a [`Killer`] acts, counted from 0: until a call fails, number n has points 2n (before it) and 2n + 1 (after it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// At none: it only counts.
    Never,
    /// At this one.
    At(u64),
    /// At this one and all that follow: a full or broken disk stays so.
    From(u64),
}

/// What a [`Killer`] does. An error that it returns takes the place of the call, or of its success.
type Act = Box<dyn Fn(&Op<'_>) -> io::Result<()> + Send + Sync>;

// === impl Done ===

impl From<&Op<'_>> for Done {
    fn from(op: &Op<'_>) -> Self {
        let own = Path::to_path_buf;
        match *op {
            Op::MakeDirectory { path, mode } => Done::MakeDirectory {
                path: own(path),
                mode,
            },
            Op::RemoveDirectory { path } => Done::RemoveDirectory { path: own(path) },
            Op::Create { path } => Done::Create { path: own(path) },
            Op::Append { path, bytes } => Done::Append {
                path: own(path),
                bytes: bytes.to_vec(),
            },
            Op::Truncate { path, length } => Done::Truncate {
                path: own(path),
                length,
            },
            Op::SetOwner { path, uid, gid } => Done::SetOwner {
                path: own(path),
                uid,
                gid,
            },
            Op::SetMode { path, mode } => Done::SetMode {
                path: own(path),
                mode,
            },
            Op::SetAttribute { path, name, value } => Done::SetAttribute {
                path: own(path),
                name: name.to_owned(),
                value: value.to_vec(),
            },
            Op::Link { path, target } => Done::Link {
                path: own(path),
                target: own(target),
            },
            Op::SecondName { of, path } => Done::SecondName {
                of: own(of),
                path: own(path),
            },
            Op::Rename { from, to, how } => Done::Rename {
                from: own(from),
                to: own(to),
                how,
            },
            Op::Remove { path } => Done::Remove { path: own(path) },
            Op::SyncFile { path } => Done::SyncFile { path: own(path) },
            Op::SyncDirectory { path } => Done::SyncDirectory { path: own(path) },
            Op::SyncFileSystem { path } => Done::SyncFileSystem { path: own(path) },
        }
    }
}

impl Done {
    /// The call that it was.
    pub(crate) fn op(&self) -> Op<'_> {
        match self {
            Done::MakeDirectory { path, mode } => Op::MakeDirectory { path, mode: *mode },
            Done::RemoveDirectory { path } => Op::RemoveDirectory { path },
            Done::Create { path } => Op::Create { path },
            Done::Append { path, bytes } => Op::Append { path, bytes },
            Done::Truncate { path, length } => Op::Truncate {
                path,
                length: *length,
            },
            Done::SetOwner { path, uid, gid } => Op::SetOwner {
                path,
                uid: *uid,
                gid: *gid,
            },
            Done::SetMode { path, mode } => Op::SetMode { path, mode: *mode },
            Done::SetAttribute { path, name, value } => Op::SetAttribute { path, name, value },
            Done::Link { path, target } => Op::Link { path, target },
            Done::SecondName { of, path } => Op::SecondName { of, path },
            Done::Rename { from, to, how } => Op::Rename { from, to, how: *how },
            Done::Remove { path } => Op::Remove { path },
            Done::SyncFile { path } => Op::SyncFile { path },
            Done::SyncDirectory { path } => Op::SyncDirectory { path },
            Done::SyncFileSystem { path } => Op::SyncFileSystem { path },
        }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = self.op();
        match op {
            Op::Rename { from, to, how } => {
                write!(f, "rename {} to {} ({how:?})", from.display(), to.display())
            }
            Op::SecondName { of, path } => write!(f, "name {} also {}", of.display(), path.display()),
            Op::Append { path, bytes } => write!(f, "write {} bytes to {}", bytes.len(), path.display()),
            Op::MakeDirectory { path, .. }
            | Op::RemoveDirectory { path }
            | Op::Create { path }
            | Op::Truncate { path, .. }
            | Op::SetOwner { path, .. }
            | Op::SetMode { path, .. }
            | Op::SetAttribute { path, .. }
            | Op::Link { path, .. }
            | Op::Remove { path }
            | Op::SyncFile { path }
            | Op::SyncDirectory { path }
            | Op::SyncFileSystem { path } => write!(f, "{} {}", op.words(), path.display()),
        }
    }
}

// === impl Recorder ===

impl Recorder {
    /// Records until `killer` acts, and what is done after that.
    pub(crate) fn with(killer: Killer) -> Self {
        Self {
            done: Mutex::default(),
            killer,
        }
    }

    /// How many points were passed so far.
    pub(crate) fn points(&self) -> u64 {
        self.killer.points()
    }

    /// What was done so far.
    pub(crate) fn done(&self) -> Vec<Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::with(Killer::counting())
    }
}

impl Tap for Recorder {
    fn before(&self, op: &Op<'_>) -> io::Result<()> {
        self.killer.before(op)
    }

    fn after(&self, op: &Op<'_>) -> io::Result<()> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.push(op.into());
        self.killer.after(op)
    }
}

// === impl Killer ===

impl Killer {
    /// Counts and does nothing.
    pub(crate) fn counting() -> Self {
        Self::new(When::Never, |_| Ok(()))
    }

    /// Kills this process with SIGKILL at a point.
    pub(crate) fn killing(at: u64) -> Self {
        Self::new(When::At(at), |_| {
            kill_process(getpid(), Signal::KILL)?;
            // Nobody may go on after the point, also if the signal takes a moment.
            loop {
                std::thread::park();
            }
        })
    }

    /// Makes calls fail.
    pub(crate) fn failing(when: When, errno: Errno) -> Self {
        Self::new(when, move |_| Err(errno.into()))
    }

    /// Does `act`.
    pub(crate) fn new(when: When, act: impl Fn(&Op<'_>) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self {
            passed: AtomicU64::new(0),
            when,
            act: Box::new(act),
        }
    }

    /// How many points were passed so far.
    pub(crate) fn points(&self) -> u64 {
        self.passed.load(Ordering::SeqCst)
    }

    fn pass(&self, op: &Op<'_>) -> io::Result<()> {
        let point = self.passed.fetch_add(1, Ordering::SeqCst);
        let hit = match self.when {
            When::Never => false,
            When::At(at) => point == at,
            When::From(from) => point >= from,
        };
        if hit { (self.act)(op) } else { Ok(()) }
    }
}

impl fmt::Debug for Killer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Killer")
            .field("passed", &self.passed)
            .field("when", &self.when)
            .finish_non_exhaustive()
    }
}

impl Tap for Killer {
    fn before(&self, op: &Op<'_>) -> io::Result<()> {
        self.pass(op)
    }

    fn after(&self, op: &Op<'_>) -> io::Result<()> {
        self.pass(op)
    }
}
