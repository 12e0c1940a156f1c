//! One writer at a time, and how everybody else sees that there is one.
//!
//! [`Lock::acquire`] is for who writes. It takes an exclusive flock on [`LOCK`], so the kernel gives it back however the holder ends, and
//! counts [`GENERATION`] up: odd while it writes, even when it is done. [`Standing::of`] is for who looks on. It never takes a
//! lock, not even for an instant, so it can make no writer fail; who finds the same standing before and after an observation knows that
//! no writer was at work in between.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::write::Failed;
use super::{Rename, Root, Traits, Writer};

/// What is gone after a reboot.
pub const RUN: &str = "/run/machine-config";
/// What is locked; who holds it is written in it, as JSON.
pub const LOCK: &str = "/run/machine-config/lock";
/// How often a writer has begun or ended: a number and a newline. Replaced as a whole each time, so nobody ever reads half of it.
pub const GENERATION: &str = "/run/machine-config/generation";
/// The next generation until it is in place.
const NEXT: &str = "/run/machine-config/generation.new";

/// Longest text that is read of [`LOCK`] and [`GENERATION`], in bytes: a number, or a few words.
const MAX_BYTES: u64 = 4096;
/// How often a lock that is held is asked for again. Its holder says who it is in its next few system calls, and one that ends while it
/// starts a program leaves the lock to that for a moment.
const ASKED: u32 = 100;
/// How long between two askings.
const BETWEEN: Duration = Duration::from_millis(5);

/// The right to write to a node, until it is dropped.
#[derive(Debug)]
pub struct Lock<'a> {
    root: &'a Root,
    generation: u64,
    // Both locks go with the last handle; nothing that is run inherits it.
    _handle: OwnedFd,
}

/// Who writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Number of its process, as it sees itself.
    pub pid: u32,
    /// What it calls itself, such as `apply`.
    pub who: String,
    /// Since when.
    pub since: Timestamp,
}

/// Why the lock was not to be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("{}", held(.0.as_ref()))]
    Held(Option<Holder>),
    /// The file cannot be opened or locked.
    #[error("cannot lock {LOCK}")]
    Unusable(#[source] io::Error),
    /// Who has it, or that it is had, cannot be written down.
    #[error(transparent)]
    Failed(#[from] Failed),
}

/// How writers stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// None is at work.
    Idle {
        /// Differs after every writer.
        generation: u64,
    },
    /// One is at work.
    Writing,
    /// One was, and ended before it was done; nobody is at work now. What it left may be a mix until it is recovered.
    CutOff {
        /// Differs after every writer.
        generation: u64,
    },
}

// === impl Lock ===

impl<'a> Lock<'a> {
    /// Takes the lock of the node beneath `root` for `who`, or says at once who has it.
    pub fn acquire(root: &'a Root, who: &str) -> Result<Self, LockError> {
        let mut writer = Writer::new(root);
        prepare(root, &mut writer)?;
        let handle = open(root).map_err(|error| LockError::Unusable(error.into()))?;
        let mut asked = 0;
        loop {
            match flock(&handle, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) => {}
                Err(error) => return Err(LockError::Unusable(error.into())),
            }
            let holder = holder(root);
            asked += 1;
            if asked == ASKED {
                return Err(LockError::Held(holder));
            }
            thread::sleep(BETWEEN);
        }
        // The flock keeps writers apart. This one nobody contends for: it is there since one can ask for it without taking it.
        fcntl(&handle, FcntlArg::F_OFD_SETLK(&whole_file()))
            .map_err(|error| LockError::Unusable(error.into()))?;
        let me = Holder {
            pid: std::process::id(),
            who: who.to_owned(),
            since: Timestamp::now(),
        };
        let lock = Path::new(LOCK);
        writer.truncate(lock, 0)?;
        writer.append(lock, &line(&me))?;
        let before = generation(root).map_err(LockError::Unusable)?;
        // One that was cut off has left it odd, and the two must be told apart.
        let generation = before.wrapping_add(if is_odd(before) { 2 } else { 1 });
        turn(root, &mut writer, generation)?;
        Ok(Self {
            root,
            generation,
            _handle: handle,
        })
    }
}

impl Lock<'_> {
    /// Whether no other writer has been at work since writers stood so.
    #[must_use]
    pub fn follows(&self, before: Standing) -> bool {
        match before {
            Standing::Idle { generation } => generation.wrapping_add(1) == self.generation,
            Standing::Writing | Standing::CutOff { .. } => false,
        }
    }
}

impl Drop for Lock<'_> {
    /// Should it fail, the writer looks as if it had been cut off, which lets others look closely.
    fn drop(&mut self) {
        let mut writer = Writer::new(self.root);
        if turn(self.root, &mut writer, self.generation.wrapping_add(1)).is_ok() {
            let _ = writer.truncate(Path::new(LOCK), 0);
        }
    }
}

// === impl Holder ===

/// Who holds the lock, or held it when it was cut off; `None` when nobody does, or it has not said so yet.
#[must_use]
pub fn holder(root: &Root) -> Option<Holder> {
    let bytes = root.read(Path::new(LOCK), MAX_BYTES).ok()??;
    serde_json::from_slice(&bytes).ok()
}

fn line(holder: &Holder) -> Vec<u8> {
    let mut line = serde_json::to_vec(holder).expect("all keys of a holder are strings");
    line.push(b'\n');
    line
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, who, since } = self;
        write!(f, "{who} (process {pid}, since {since:.0})")
    }
}

fn held(holder: Option<&Holder>) -> String {
    match holder {
        Some(holder) => format!("{holder} is at work on this node"),
        None => format!("somebody who does not say who holds {LOCK}"),
    }
}

// === impl Standing ===

impl Standing {
    /// How writers stand beneath `root` now.
    pub fn of(root: &Root) -> io::Result<Self> {
        loop {
            let now = generation(root)?;
            if !is_odd(now) {
                return Ok(Standing::Idle { generation: now });
            }
            if is_locked(root)? {
                return Ok(Standing::Writing);
            }
            // Not locked: cut off, unless it was done, or another began, since the number was read.
            if generation(root)? == now {
                return Ok(Standing::CutOff { generation: now });
            }
        }
    }
}

/// Whether a writer has its lock, without touching it.
fn is_locked(root: &Root) -> io::Result<bool> {
    let handle = match open(root) {
        Ok(handle) => handle,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let mut answer = whole_file();
    fcntl(&handle, FcntlArg::F_OFD_GETLK(&mut answer))?;
    Ok(libc::c_int::from(answer.l_type) != libc::F_UNLCK)
}

/// A write lock on all of a file.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the kernel's constants fit the kernel's field"
)]
fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn open(root: &Root) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    root.open_plain(Path::new(LOCK), flags)
}

/// Makes the directory and the file, unless they are there.
fn prepare(root: &Root, writer: &mut Writer<'_>) -> Result<(), Failed> {
    let directory = traits(root, 0o755);
    // A root that was never booted may have no /run.
    for path in [Path::new("/run"), Path::new(RUN)] {
        there(writer.make_directory(path, &directory))?;
    }
    // Nobody else may open it, since whoever can open a file can lock it.
    there(writer.create(Path::new(LOCK), b"", &traits(root, 0o600)))
}

/// That something is there already is as good.
fn there(result: Result<(), Failed>) -> Result<(), Failed> {
    match result {
        Err(failed) if failed.source.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Writers so far, twice, and one more while one is at work. None have been when there is no file.
fn generation(root: &Root) -> io::Result<u64> {
    let Some(bytes) = root.read(Path::new(GENERATION), MAX_BYTES)? else {
        return Ok(0);
    };
    // What is no number was not written by a writer; the next one begins anew.
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.trim().parse().unwrap_or(0))
}

fn turn(root: &Root, writer: &mut Writer<'_>, generation: u64) -> Result<(), Failed> {
    crate::change::gone(writer.remove(Path::new(NEXT)))?;
    writer.create(
        Path::new(NEXT),
        format!("{generation}\n").as_bytes(),
        &traits(root, 0o644),
    )?;
    writer.rename(Path::new(NEXT), Path::new(GENERATION), Rename::Over)
}

/// Of what is this process's own: it may run as somebody else than root, on a tree of his.
fn traits(root: &Root, mode: u32) -> Traits {
    let (uid, gid) = root.creator();
    Traits {
        mode,
        uid,
        gid,
        ..Traits::default()
    }
}

fn is_odd(generation: u64) -> bool {
    generation % 2 == 1
}

#[cfg(test)]
mod tests;
