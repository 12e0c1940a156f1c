//! Where the config is that a node is to have, and whether it is still the same.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::host::{Found, Root};

/// Where the reference keeps the config that a node has (MCO daemon 1.11).
pub const CURRENT: &str = "/etc/machine-config-daemon/currentconfig";

/// Where to find the config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Config {
    /// In the node itself, at [`CURRENT`].
    OfNode,
    /// In this file, wherever the node's root is.
    File(PathBuf),
}

/// What was at the place of a config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nobody has looked yet.
    NotYet,
    /// Nothing, or nothing that can be opened.
    Nothing,
    /// A file.
    File(Identity),
}

/// Tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

// === impl Config ===

impl Config {
    /// What reports call it.
    pub(super) fn name(&self) -> String {
        match self {
            Config::OfNode => CURRENT.to_owned(),
            Config::File(path) => path.to_string_lossy().into_owned(),
        }
    }

    /// Opens it; `None` when there is none.
    pub(super) fn open(&self, root: &Root) -> anyhow::Result<Option<(File, Identity)>> {
        let opened = match self {
            Config::OfNode => beneath(root),
            Config::File(path) => match File::open(path) {
                Ok(file) => Ok(Some(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            },
        };
        let identified = opened.and_then(|file| match file {
            Some(file) => Identity::of(&file).map(|identity| Some((file, identity))),
            None => Ok(None),
        });
        identified.with_context(|| format!("cannot open {}", self.name()))
    }

    /// What is there now.
    pub(super) fn look(&self, root: &Root) -> Seen {
        match self.open(root) {
            Ok(Some((_, identity))) => Seen::File(identity),
            Ok(None) | Err(_) => Seen::Nothing,
        }
    }
}

fn beneath(root: &Root) -> io::Result<Option<File>> {
    let Some(end) = root.resolve(Path::new(CURRENT))? else {
        return Ok(None);
    };
    Ok(match root.look(&end)? {
        Found::File(file) => Some(file.into_file()),
        Found::Missing | Found::LeadsOut(_) | Found::Symlink { .. } | Found::Directory | Found::Other(_) => {
            None
        }
    })
}

// === impl Identity ===

impl Identity {
    fn of(file: &File) -> io::Result<Self> {
        let data = file.metadata()?;
        Ok(Self {
            device: data.dev(),
            inode: data.ino(),
            size: data.size(),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
        })
    }
}
