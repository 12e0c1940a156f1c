//! A node as a command finds it: its root, who it is, and how its services and programs are reached.

use std::io;
use std::path::{Path, PathBuf};

use machineconfig::{Code, Finding};

use crate::act::{Acts, Services};
use crate::host::boot;
use crate::host::command::Commands;
use crate::host::lock::{Lock, LockError};
use crate::host::os::Os;
use crate::host::systemd::{Limits, Systemd};
use crate::host::{Root, Tap};

/// Where a node says who it is.
const MACHINE_ID: &str = "/etc/machine-id";
/// Longest machine id that is read, in bytes; it has 33.
const MAX_MACHINE_ID: u64 = 256;

/// A node.
#[derive(Debug)]
pub struct Node {
    /// Its file system.
    pub root: Root,
    /// Where that is, seen from us.
    pub path: PathBuf,
    /// How its programs are run.
    pub commands: Commands,
    /// The boot it is in; empty for a root that is not the running system's.
    pub boot_id: String,
    /// Who it is; empty before its first boot.
    pub machine_id: String,
    /// The kind of its operating system.
    pub os: Os,
    running: bool,
    /// systemd, when the root is that of the running system.
    systemd: Option<Systemd>,
    /// Whether it is so early in its boot that nobody may wait for a job.
    booting: bool,
}

/// How systemd is to be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Over the bus, for the result of every job.
    Bus,
    /// By its own socket, before there is a bus.
    Early,
    /// Not at all.
    No,
}

impl Node {
    /// Opens the node at `path`, and reaches its systemd if it runs.
    ///
    /// # Errors
    /// A directory that is no root of a node; a running node whose systemd cannot be reached.
    pub fn open(path: &Path) -> Result<Self, Finding> {
        Self::with(path, None, Reach::Bus)
    }

    /// As [`Node::open`], while the node boots: systemd is reached by its own socket, and no job is waited for.
    pub fn open_booting(path: &Path) -> Result<Self, Finding> {
        Self::with(path, None, Reach::Early)
    }

    /// As [`Node::open`] for those who only look: systemd is not needed.
    pub fn open_to_look(path: &Path) -> Result<Self, Finding> {
        Self::with(path, None, Reach::No)
    }

    /// As [`Node::open`], with a tap on every write.
    pub fn open_tapped(path: &Path, tap: std::sync::Arc<dyn Tap>) -> Result<Self, Finding> {
        Self::with(path, Some(tap), Reach::Bus)
    }

    fn with(path: &Path, tap: Option<std::sync::Arc<dyn Tap>>, reach: Reach) -> Result<Self, Finding> {
        let name = path.to_string_lossy();
        let unreadable = |error: io::Error| {
            Finding::error(
                Code::NODE_UNREADABLE,
                &*name,
                "",
                format!("cannot be opened as a directory: {error}"),
            )
        };
        let root = Root::open(path).map_err(unreadable)?;
        let root = match tap {
            Some(tap) => root.with_tap(tap),
            None => root,
        };
        if !matches!(root.real_directory(Path::new("/etc")), Ok(Some(_))) {
            return Err(Finding::error(Code::NO_NODE, &*name, "", "has no directory /etc"));
        }
        let running = boot::is_running(path).map_err(unreadable)?;
        let boot_id = if running {
            boot::boot_id(&root).map_err(|error| unreadable(io::Error::other(error)))?
        } else {
            String::new()
        };
        let reached = match (running, reach) {
            (false, _) | (true, Reach::No) => None,
            (true, Reach::Bus) => Some(Systemd::connect(path)),
            (true, Reach::Early) => Some(Systemd::connect_early(path, Limits::default())),
        };
        let systemd = reached.transpose().map_err(|error| {
            Finding::error(Code::SYSTEMD_UNREACHABLE, &*name, "", crate::apply::chain(&error))
        })?;
        let commands = Commands::new(path).map_err(unreadable)?;
        let os = Os::detect(&commands)
            .map_err(|error| Finding::error(error.code(), &*name, "", crate::apply::chain(&error)))?;
        let machine_id = root
            .read(Path::new(MACHINE_ID), MAX_MACHINE_ID)
            .map_err(unreadable)?
            .unwrap_or_default();
        let machine_id = String::from_utf8_lossy(&machine_id).trim().to_owned();
        // The word that stands for "not booted yet" is nobody's name.
        let machine_id = if machine_id == "uninitialized" {
            String::new()
        } else {
            machine_id
        };
        Ok(Self {
            root,
            path: path.to_owned(),
            commands,
            boot_id,
            machine_id,
            os,
            running,
            systemd,
            booting: reach == Reach::Early,
        })
    }

    /// Whether the root is that of the running system.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Its systemd, when it runs.
    #[must_use]
    pub fn systemd(&self) -> Option<&Systemd> {
        self.systemd.as_ref()
    }

    /// How the actions of a plan are carried out on it.
    #[must_use]
    pub fn acts(&self) -> Acts<'_> {
        let services = match &self.systemd {
            None => Services::Absent,
            Some(systemd) if self.booting => Services::Booting(systemd),
            Some(systemd) => Services::Running(systemd),
        };
        Acts {
            root: &self.root,
            commands: &self.commands,
            services,
            boot_id: &self.boot_id,
        }
    }

    /// Makes this process the one that may change the node.
    pub fn lock(&self, who: &str) -> Result<Lock<'_>, Finding> {
        if !rustix::process::geteuid().is_root() && self.is_running() {
            return Err(Finding::error(
                Code::NOT_ROOT,
                self.path.to_string_lossy(),
                "",
                "can be changed by root only",
            ));
        }
        Lock::acquire(&self.root, who).map_err(|error| {
            let of_source = |source: &io::Error| match source.kind() {
                // EACCES and EPERM: a root that is somebody else's.
                io::ErrorKind::PermissionDenied => Code::NOT_ROOT,
                _ => Code::RECORD_FAILED,
            };
            let code = match &error {
                LockError::Held(_) => Code::LOCKED,
                LockError::Unusable(source) => of_source(source),
                LockError::Failed(failed) => of_source(&failed.source),
            };
            Finding::error(code, self.path.to_string_lossy(), "", crate::apply::chain(&error))
        })
    }
}
