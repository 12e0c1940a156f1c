//! The cgroups of one machine: one in each hierarchy of the host. They hold everything the machine runs, so they tell which
//! processes are its own.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::program::wait_for;

/// Where the host's cgroups are.
const HOST: &str = "/sys/fs/cgroup";

/// How long killed processes may take to be gone: the kernel frees their memory first.
const GONE: Duration = Duration::from_secs(20);

/// The script that enters cgroups (the arguments up to `--`, see [`Cgroup::doors`]), then becomes the rest.
pub(crate) const ENTER: &str =
    r#"while [ "$1" != -- ]; do echo 0 > "$1" || exit 1; shift; done; shift; exec "$@""#;

/// The cgroups of the machine with that id, whether they exist or not.
#[derive(Debug, Clone)]
pub(crate) struct Cgroup {
    dirs: Vec<PathBuf>,
}

impl Cgroup {
    /// With cgroup v1 every controller is a hierarchy of its own; with v2 there is one for all.
    pub(crate) fn of(id: &str) -> Result<Self> {
        let host = Path::new(HOST);
        if host.join("cgroup.procs").exists() {
            return Ok(Self {
                dirs: vec![host.join(id)],
            });
        }
        let mut dirs = Vec::new();
        for entry in fs::read_dir(host).with_context(|| format!("could not list {HOST}"))? {
            let dir = entry?.path();
            // Links are second names of controllers that share a hierarchy.
            if !dir.is_symlink() && dir.join("cgroup.procs").exists() {
                dirs.push(dir.join(id));
            }
        }
        Ok(Self { dirs })
    }

    /// Makes them anew, as a boot does: nothing that an earlier boot made below them is left.
    pub(crate) fn create(&self) -> Result<()> {
        self.remove()?;
        for dir in &self.dirs {
            fs::create_dir(dir).with_context(|| format!("could not create cgroup {}", dir.display()))?;
            // A new cpuset of v1 lets no process in before it has processors and memory.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let parent = dir.with_file_name(file);
                if parent.exists() && dir.with_file_name("cpuset.cpu_exclusive").exists() {
                    fs::write(dir.join(file), fs::read(parent)?)
                        .with_context(|| format!("could not set {file} of {}", dir.display()))?;
                }
            }
        }
        Ok(())
    }

    /// The files through which a process enters.
    pub(crate) fn doors(&self) -> Vec<PathBuf> {
        self.dirs.iter().map(|dir| dir.join("cgroup.procs")).collect()
    }

    /// Every process of the machine, and the nspawn that holds it.
    pub(super) fn processes(&self) -> BTreeSet<i32> {
        let mut found = BTreeSet::new();
        for dir in &self.dirs {
            for dir in subtree(dir) {
                // A cgroup may go while we look.
                let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
                found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
            }
        }
        found
    }

    /// The machine's process 1, which for a moment at the start of a boot is not systemd yet.
    pub(super) fn init(&self) -> Option<Pid> {
        self.processes()
            .into_iter()
            .filter_map(Pid::from_raw)
            .find(|pid| is_init(*pid))
    }

    /// Kills the machine's process 1, and the kernel everything in its process namespace with it; nothing when there is none.
    pub(super) fn kill_init(&self) -> Result<()> {
        let Some(pid) = self.init() else { return Ok(()) };
        self.kill(pid, is_init)
    }

    /// Kills every process and removes the cgroups.
    pub(crate) fn destroy(&self) -> Result<()> {
        wait_for("the processes of the machine to be gone", GONE, || {
            let processes = self.processes();
            for pid in processes.iter().copied().filter_map(Pid::from_raw) {
                self.kill(pid, |_| true)?;
            }
            Ok(processes.is_empty().then_some(()))
        })?;
        self.remove()
    }

    /// Removes the cgroups; what was in them must be on its way out.
    pub(super) fn remove(&self) -> Result<()> {
        for dir in self.dirs.iter().flat_map(|dir| subtree(dir)) {
            wait_for(&format!("cgroup {} to be empty", dir.display()), GONE, || {
                match fs::remove_dir(&dir) {
                    Ok(()) => Ok(Some(())),
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some(())),
                    // Still in use.
                    Err(error) if error.kind() == ErrorKind::ResourceBusy => Ok(None),
                    Err(error) => {
                        Err(error).with_context(|| format!("could not remove cgroup {}", dir.display()))
                    }
                }
            })?;
        }
        Ok(())
    }

    /// Kills one process, unless its number belongs to a process of somebody else by now.
    fn kill(&self, pid: Pid, is_meant: impl Fn(Pid) -> bool) -> Result<()> {
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(Errno::SRCH) => return Ok(()),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("could not open process {}", pid.as_raw_nonzero()));
            }
        };
        // Looked at after it was opened: so it is this process that is ours.
        if !self.processes().contains(&pid.as_raw_nonzero().get()) || !is_meant(pid) {
            return Ok(());
        }
        match pidfd_send_signal(&process, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => {
                Err(error).with_context(|| format!("could not kill process {}", pid.as_raw_nonzero()))
            }
        }
    }
}

/// Whether a process is the first one of a process namespace directly below ours.
fn is_init(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let ids: Vec<&str> = ids.unwrap_or_default().split_whitespace().collect();
    matches!(ids[..], [_, "1"])
}

/// Whether it has become systemd; before, the machine's file systems are not in place.
pub(super) fn is_systemd(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero())).is_ok_and(|name| name == "systemd\n")
}

/// A directory and everything below it, the deepest first; empty when it does not exist.
fn subtree(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else {
        return found;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(subtree(&entry.path()));
        }
    }
    found.push(dir.to_owned());
    found
}
