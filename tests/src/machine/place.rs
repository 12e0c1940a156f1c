//! What a machine takes up on the host: its directory, the file system of its root, cgroups and network namespace, all of one unique
//! name. A lock says whether its owner lives, so that what a killed run left can be told from what is in use.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::cgroup::Cgroup;
use super::network;
use crate::program::{is_root, line, run};

/// What the names of all machines begin with.
const PREFIX: &str = "machine-config-";

/// Where systemd-nspawn keeps what outlives a container.
const NSPAWN: &str = "/run/systemd/nspawn";

/// The most that a root may take of the host's memory: many times what an image has, and enough for images of containers.
const SIZE: &str = "size=4g,mode=0755";

/// How long a mount may take; it takes milliseconds.
const QUICKLY: Duration = Duration::from_secs(20);

/// Counts the machines of this process.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// The place of one machine, which is cleaned when the value goes.
#[derive(Debug)]
pub(super) struct Place {
    id: String,
    dir: PathBuf,
    root: PathBuf,
    cgroup: Cgroup,
    /// The kernel frees it when this process ends, however it ends.
    _lock: File,
}

impl Place {
    /// Makes a new place, after what killed runs left has been cleaned.
    pub(super) fn claim() -> Result<Self> {
        ensure!(is_root(), "machines take root: run this as root");
        let all = base()?.join("running");
        fs::create_dir_all(&all).with_context(|| format!("could not create {}", all.display()))?;
        // Nobody may look at a place between its making and its lock.
        let _door = locked(&all.join("lock"))?;
        sweep(&all)?;
        let id = format!(
            "{PREFIX}{}-{}",
            process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let dir = all.join(&id);
        fs::create_dir(&dir).with_context(|| format!("could not create {}", dir.display()))?;
        let place = Self {
            root: dir.join("root"),
            cgroup: Cgroup::of(&id)?,
            _lock: locked(&dir.join("lock"))?,
            id,
            dir,
        };
        place.mount()?;
        Ok(place)
    }

    /// Gives the root a file system of its own, in memory: thousands of files made and removed for each machine take seconds on some
    /// disks, and this takes a tenth of one.
    fn mount(&self) -> Result<()> {
        fs::create_dir(&self.root).with_context(|| format!("could not create {}", self.root.display()))?;
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", SIZE, &self.id]);
        succeed(command.arg(&self.root))
    }

    /// The unique name.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Where the machine's root is, or is to be.
    pub(super) fn root_path(&self) -> &Path {
        &self.root
    }

    /// As [`Place::root_path`].
    pub(super) fn root(&self) -> PathBuf {
        self.root.clone()
    }

    /// The file that takes what the machine writes to its console.
    pub(super) fn console(&self) -> PathBuf {
        self.dir.join("console.log")
    }

    /// The machine's cgroups.
    pub(super) fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = clean(&self.id, &self.dir) {
            eprintln!(
                "could not clean up after {}, the next run tries again: {error:#}",
                self.id
            );
        }
    }
}

/// Where images and machines are.
pub(super) fn base() -> Result<PathBuf> {
    Ok(cache()?.join("machine"))
}

/// The directory that `cargo xtask` keeps builds in: `$XDG_CACHE_HOME/machine-config`, else `~/.cache/machine-config`.
pub(crate) fn cache() -> Result<PathBuf> {
    // The XDG rule: a relative path is to be ignored.
    let xdg = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let cache = match xdg {
        Some(cache) => cache,
        None => env::home_dir()
            .context("neither XDG_CACHE_HOME nor HOME is set: nowhere to keep machines")?
            .join(".cache"),
    };
    Ok(cache.join("machine-config"))
}

/// Waits for a lock and holds it as long as the file is open.
pub(crate) fn locked(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("could not create {}", path.display()))?;
    file.lock()
        .with_context(|| format!("could not lock {}", path.display()))?;
    Ok(file)
}

/// Cleans every place whose owner has ended.
fn sweep(all: &Path) -> Result<()> {
    for entry in fs::read_dir(all)? {
        let dir = entry?.path();
        let Some(id) = dir.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if !id.starts_with(PREFIX) || in_use(&dir)? {
            continue;
        }
        clean(id, &dir).with_context(|| format!("could not clean up what a killed run left as {id}"))?;
    }
    Ok(())
}

/// Whether the process that made a place still has it.
pub(crate) fn in_use(dir: &Path) -> Result<bool> {
    let lock = match File::open(dir.join("lock")) {
        Ok(lock) => lock,
        // It is the last file that cleaning removes, or its owner was killed before it made one.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => {
            return Err(error).with_context(|| format!("could not open the lock of {}", dir.display()));
        }
    };
    match lock.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("could not try the lock of {}", dir.display()))
        }
    }
}

/// Ends and removes everything of one machine. What is gone already is no error, so that it can be done again.
fn clean(id: &str, dir: &Path) -> Result<()> {
    Cgroup::of(id)?.destroy()?;
    network::remove(id)?;
    let root = dir.join("root");
    if let Ok(metadata) = fs::metadata(&root) {
        let lock = format!("{NSPAWN}/locks/inode-{}:{}", metadata.dev(), metadata.ino());
        absent(fs::remove_file(lock))?;
    }
    absent(fs::remove_dir(format!("{NSPAWN}/propagate/{id}")))?;
    unmount(&root)?;
    absent(fs::remove_dir_all(dir)).with_context(|| format!("could not remove {}", dir.display()))
}

/// Unmounts a root, if it is mounted. A file that the test still has open keeps only the memory, not the mount.
fn unmount(root: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("could not read the list of mounts")?;
    let root = root.to_string_lossy();
    // This list writes a space as an escape.
    let is_mounted = mounts
        .lines()
        .filter_map(|mount| mount.split(' ').nth(4))
        .any(|place| place.replace("\\040", " ") == root);
    if !is_mounted {
        return Ok(());
    }
    let mut command = Command::new("umount");
    succeed(command.args(["--lazy", &root]))
}

fn succeed(command: &mut Command) -> Result<()> {
    let ran = run(command, QUICKLY)?;
    if ran.code != Some(0) {
        bail!("{} ended with {:?}: {}", line(command), ran.code, ran.all());
    }
    Ok(())
}

pub(crate) fn absent(result: std::io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
