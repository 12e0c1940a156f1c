//! One path that a transaction takes from an old state to a new one, and how that is done so that a crash leaves one of the two.
//!
//! The new state is staged beside the path under a name of its own (`aside`) and put in place by one renaming; the old state
//! then has that name until the transaction is closed. So every step is atomic, can be finished or undone by looking at the two
//! names, and undoing is the same step backwards.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::host::write::Failed;
use crate::host::{Found, Rename, Root, Traits, Writer};

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "camelCase")]
pub enum State {
    /// Nothing.
    Missing,
    /// A regular file.
    File(FileState),
    /// A symbolic link.
    Link {
        /// What it says.
        #[serde(with = "crate::paths")]
        target: PathBuf,
    },
}

/// A regular file, all that has to be the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 of the contents, in hexadecimal.
    pub sha256: String,
    /// Permission bits, at most 07777.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// Contents of a file, with their hash, which is taken once. A copy costs nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    bytes: Arc<Vec<u8>>,
    sha256: String,
}

/// A path and its two states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Absolute beneath the root; its directory holds no link.
    #[serde(with = "crate::paths")]
    pub path: PathBuf,
    /// The name beside it that the new state is staged under, and the old one is kept under.
    #[serde(with = "crate::paths")]
    pub aside: PathBuf,
    /// Before.
    pub old: State,
    /// After; never equal to `old`.
    pub new: State,
}

/// A directory that a transaction makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDirectory {
    /// Absolute beneath the root; no link in it.
    #[serde(with = "crate::paths")]
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// Why a change can be neither finished nor undone, or not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// A call failed.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// A path cannot be looked at.
    #[error("cannot look at {}", path.display())]
    Look {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Neither of its names holds what is needed: somebody else was at work.
    #[error("{} holds neither its old nor its new state, and neither does the name beside it", path.display())]
    Lost {
        /// Which.
        path: PathBuf,
    },
}

// === impl State ===

impl State {
    /// Of a file with these contents.
    #[must_use]
    pub fn file(bytes: &[u8], traits: &Traits) -> Self {
        of_hash(bytes.len(), hex(&Sha256::digest(bytes)), traits)
    }

    /// What is at `path` now; `None` for what is neither file, link nor nothing, and for a file that is longer than any of a config.
    pub fn at(root: &Root, path: &Path) -> Result<Option<Self>, ChangeError> {
        let wrong = |source| ChangeError::Look {
            path: path.to_owned(),
            source,
        };
        Ok(match root.look(path).map_err(wrong)? {
            Found::Missing => Some(State::Missing),
            Found::Symlink { target, .. } => Some(State::Link { target }),
            Found::File(file) if file.size > MAX_FILE => None,
            Found::File(mut file) => {
                let (mode, uid, gid) = (file.mode, file.uid, file.gid);
                let mut hash = Sha256::new();
                let mut size = 0;
                let mut buffer = vec![0; READ_AT_ONCE];
                let mut reader = file.reader();
                loop {
                    match reader.read(&mut buffer) {
                        Ok(0) => break,
                        Ok(read) => {
                            hash.update(&buffer[..read]);
                            size += read as u64;
                        }
                        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(wrong(error)),
                    }
                }
                Some(State::File(FileState {
                    size,
                    sha256: hex(&hash.finalize()),
                    mode,
                    uid,
                    gid,
                }))
            }
            Found::LeadsOut(_) | Found::Directory | Found::Other(_) => None,
        })
    }
}

fn of_hash(size: usize, sha256: String, traits: &Traits) -> State {
    State::File(FileState {
        size: size as u64,
        sha256,
        mode: traits.mode,
        uid: traits.uid,
        gid: traits.gid,
    })
}

/// Longest file that is read, in bytes: no config has a longer one.
const MAX_FILE: u64 = ignition::contents::MAX_INFLATED as u64;
/// Bytes read at a time.
const READ_AT_ONCE: usize = 64 << 10;

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

// === impl Contents ===

impl Contents {
    /// Takes the hash.
    #[must_use]
    pub fn of(bytes: Vec<u8>) -> Self {
        Self {
            sha256: hex(&Sha256::digest(&bytes)),
            bytes: Arc::new(bytes),
        }
    }

    /// Themselves.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Their SHA-256, in hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Of a file that holds them.
    #[must_use]
    pub fn state(&self, traits: &Traits) -> State {
        of_hash(self.bytes.len(), self.sha256.clone(), traits)
    }
}

// === impl Change ===

impl Change {
    /// Puts the new state in place. What is staged must be there.
    pub fn publish(&self, writer: &mut Writer<'_>) -> Result<(), Failed> {
        match (&self.old, &self.new) {
            (State::Missing, _) => writer.rename(&self.aside, &self.path, Rename::IfAbsent),
            (_, State::Missing) => writer.rename(&self.path, &self.aside, Rename::IfAbsent),
            (State::File(_) | State::Link { .. }, State::File(_) | State::Link { .. }) => {
                writer.rename(&self.aside, &self.path, Rename::Exchange)
            }
        }
    }

    /// As [`Change::publish`], unless that is done already: after a crash nobody knows.
    ///
    /// Nothing beside the path means that it was done, and tidied up: what was staged is durable by then and goes only by being
    /// put in place. What has come to the path since is somebody else's.
    pub fn finish(&self, root: &Root, writer: &mut Writer<'_>) -> Result<(), ChangeError> {
        let there = State::at(root, &self.path)?;
        let beside = State::at(root, &self.aside)?;
        let done = match &self.new {
            State::Missing => there == Some(State::Missing) || beside != Some(State::Missing),
            State::File(_) | State::Link { .. } => {
                there.as_ref() == Some(&self.new) || beside == Some(State::Missing)
            }
        };
        if done {
            return Ok(());
        }
        if self.new == State::Missing {
            return Ok(writer.rename(&self.path, &self.aside, Rename::IfAbsent)?);
        }
        if beside.as_ref() != Some(&self.new) {
            return Err(self.lost());
        }
        // Whatever is at the path by now is set aside: the config says what is to be there.
        let how = match there {
            Some(State::Missing) => Rename::IfAbsent,
            Some(State::File(_) | State::Link { .. }) | None => Rename::Exchange,
        };
        Ok(writer.rename(&self.aside, &self.path, how)?)
    }

    /// Puts the old state back in place, unless it is. Nothing beside the path means the same as for [`Change::finish`].
    pub fn undo(&self, root: &Root, writer: &mut Writer<'_>) -> Result<(), ChangeError> {
        let there = State::at(root, &self.path)?;
        let beside = State::at(root, &self.aside)?;
        if self.old == State::Missing {
            if there.as_ref() == Some(&self.new) {
                writer.rename(&self.path, &self.aside, Rename::Over)?;
            }
            return Ok(());
        }
        if there.as_ref() == Some(&self.old) || beside == Some(State::Missing) {
            return Ok(());
        }
        if beside.as_ref() != Some(&self.old) {
            return Err(self.lost());
        }
        let how = match (&self.new, there) {
            (_, Some(State::Missing)) => Rename::IfAbsent,
            // Somebody has put something where the old one was taken away: it stays.
            (State::Missing, _) => return Ok(()),
            (State::File(_) | State::Link { .. }, _) => Rename::Exchange,
        };
        Ok(writer.rename(&self.aside, &self.path, how)?)
    }

    fn lost(&self) -> ChangeError {
        ChangeError::Lost {
            path: self.path.clone(),
        }
    }

    /// Removes what is kept beside the path, the transaction being over one way or the other.
    pub fn clean_up(&self, writer: &mut Writer<'_>) -> Result<(), Failed> {
        gone(writer.remove(&self.aside))
    }
}

/// That something was not there to be removed is as good.
pub(crate) fn gone(result: Result<(), Failed>) -> Result<(), Failed> {
    match result {
        Err(failed) if is_errno(&failed, &[Errno::NOENT]) => Ok(()),
        other => other,
    }
}

/// Whether the kernel gave one of these reasons.
pub(crate) fn is_errno(failed: &Failed, reasons: &[Errno]) -> bool {
    let code = failed.source.raw_os_error();
    reasons.iter().any(|reason| code == Some(reason.raw_os_error()))
}
