//! The output on disk, complete or untouched. [`publish`] is the entry point.
//!
//! The whole directory is built beside the destination, everything in the destination that is not ours is linked into it,
//! and the two are exchanged in one step. Whoever opens the destination sees the old directory or the new one, also when
//! the process is killed or the power fails.
//!
//! A directory that is a mount point cannot be exchanged. There the sub-directories are, one after the other, the pools
//! last: they name the rendered configs, whose names are those of their contents, so that every pool there is at any
//! moment finds its config.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{CWD, RenameFlags, renameat, renameat_with};
use rustix::io::Errno;
use tempfile::TempDir;

use carry::carry;

mod carry;
mod stale;

/// The directories that are written, in the order in which they may be published one by one.
const DIRECTORIES: [&str; 4] = [
    "machine-configs",
    "api-server",
    "controller-config",
    "machine-pools",
];

/// Permissions of directories, whatever the umask (MCO controller 8.3).
const DIRECTORY_MODE: u32 = 0o764;
/// Permissions of files, likewise.
const FILE_MODE: u32 = 0o664;

/// The files of an output: contents by path below the destination, all of them in one of [`DIRECTORIES`].
pub(super) type Files = BTreeMap<PathBuf, String>;

/// A moment between two steps, at which tests let it fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// The files are about to be written.
    Write,
    /// They are written and synced; what is not ours is about to be linked in.
    Carry,
    /// One step is left: the exchange.
    Exchange,
    /// In place: the next sub-directory is about to be exchanged.
    Next,
}

/// What may be told to fail.
type Probe<'a> = &'a mut dyn FnMut(Step) -> io::Result<()>;

/// Makes `destination` hold `files` in place of an earlier output. Everything else in it stays. An error means that
/// nothing has changed.
pub(super) fn publish(destination: &Path, files: &Files) -> anyhow::Result<()> {
    publish_with(destination, files, &mut |_| Ok(()))
}

fn publish_with(destination: &Path, files: &Files, probe: Probe<'_>) -> anyhow::Result<()> {
    let destination = real(destination)?;
    let parent = destination.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    if replace(&destination, parent, files, probe)? == Replaced::Yes {
        return Ok(());
    }
    in_place(&destination, files, probe).with_context(|| format!("cannot write to {}", destination.display()))
}

/// Whether a directory could be replaced as a whole.
#[derive(PartialEq, Eq)]
enum Replaced {
    Yes,
    /// It is a mount point, or holds what cannot be linked, or its parent may not be written to.
    Impossible,
}

fn replace(destination: &Path, parent: &Path, files: &Files, probe: Probe<'_>) -> anyhow::Result<Replaced> {
    let failed = || format!("cannot write {}", destination.display());
    let exists = destination.exists();
    let name = destination.file_name().with_context(failed)?;
    let stage = match stage_in(parent, name) {
        Ok(stage) => stage,
        Err(error) if exists && may_not(&error) => return Ok(Replaced::Impossible),
        Err(error) => return Err(error).with_context(failed),
    };
    let new = stage.directory.path();
    // First, so that what is written inherits security labels as it would in the destination.
    let dressed = if exists {
        carry::attributes(destination, new)
    } else {
        set_mode(new, DIRECTORY_MODE)
    };
    match dressed {
        Ok(()) => {}
        // It belongs to someone else, who lets us write into it.
        Err(error) if exists && cannot_link(&error) => return Ok(Replaced::Impossible),
        Err(error) => return Err(error).with_context(failed),
    }
    probe(Step::Write)
        .and_then(|()| write(new, files))
        .with_context(failed)?;
    probe(Step::Carry).with_context(failed)?;
    if exists {
        match carry(destination, new) {
            Ok(()) => {}
            Err(error) if cannot_link(&error) => return Ok(Replaced::Impossible),
            Err(error) => return Err(error).with_context(failed),
        }
    }
    probe(Step::Exchange)
        .and_then(|()| sync_tree(new))
        .with_context(failed)?;
    match exchange(new, destination, exists) {
        Ok(()) => {}
        Err(Errno::BUSY | Errno::XDEV | Errno::INVAL) if exists => return Ok(Replaced::Impossible),
        Err(error) => return Err(error).with_context(failed),
    }
    sync(parent).with_context(failed)?;
    if !exists {
        // The staged directory has become the destination: there is nothing to remove.
        stage.disarm();
    }
    Ok(Replaced::Yes)
}

/// The one step: exchanges the two, or where there is no destination yet, makes the new one it.
fn exchange(new: &Path, destination: &Path, exists: bool) -> Result<(), Errno> {
    if exists {
        return renameat_with(CWD, new, CWD, destination, RenameFlags::EXCHANGE);
    }
    match renameat_with(CWD, new, CWD, destination, RenameFlags::NOREPLACE) {
        // Not every file system knows the flag. Without it, an empty directory that has come up meanwhile is replaced.
        Err(Errno::INVAL) => renameat(CWD, new, CWD, destination),
        result => result,
    }
}

/// One sub-directory after the other, back again if one of them fails.
fn in_place(destination: &Path, files: &Files, probe: Probe<'_>) -> io::Result<()> {
    let stage = stage_in(destination, "bootstrap".as_ref())?;
    let new = stage.directory.path();
    probe(Step::Write)?;
    write(new, files)?;
    probe(Step::Carry)?;
    for name in DIRECTORIES {
        let old = destination.join(name);
        if old.exists() {
            carry::carry_into(&old, &new.join(name), name)?;
        }
    }
    // Until the pools name the new configs, the old ones have to be there too.
    let retained = carry::retain_configs(destination, new)?;
    sync_tree(new)?;
    let mut done = Vec::new();
    for name in DIRECTORIES {
        let swapped = probe(Step::Next).and_then(|()| swap(&new.join(name), &destination.join(name)));
        match swapped {
            Ok(swap) => done.push((name, swap)),
            Err(error) => {
                for (name, swap) in done.into_iter().rev() {
                    swap.undo(&new.join(name), &destination.join(name))?;
                }
                return Err(error);
            }
        }
    }
    sync(destination)?;
    for old in retained {
        fs::remove_file(destination.join("machine-configs").join(old))?;
    }
    Ok(())
}

/// How a sub-directory was published, and is taken back.
enum Swap {
    Exchanged,
    Created,
    Removed,
    Nothing,
}

fn swap(new: &Path, old: &Path) -> io::Result<Swap> {
    let rename = |from: &Path, to: &Path, how| renameat_with(CWD, from, CWD, to, how);
    Ok(match (new.exists(), old.exists()) {
        (true, true) => rename(new, old, RenameFlags::EXCHANGE).map(|()| Swap::Exchanged)?,
        (true, false) => rename(new, old, RenameFlags::NOREPLACE).map(|()| Swap::Created)?,
        (false, true) => rename(old, new, RenameFlags::NOREPLACE).map(|()| Swap::Removed)?,
        (false, false) => Swap::Nothing,
    })
}

// === impl Swap ===

impl Swap {
    fn undo(&self, new: &Path, old: &Path) -> io::Result<()> {
        match self {
            Swap::Exchanged => renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE)?,
            Swap::Created => fs::rename(old, new)?,
            Swap::Removed => fs::rename(new, old)?,
            Swap::Nothing => {}
        }
        Ok(())
    }
}

// === staging ===

/// A directory that is removed with everything in it, unless it has become the destination.
struct Stage {
    directory: TempDir,
    /// Held while the directory is in use, so that another run can tell it from one that was left behind.
    _lock: File,
}

impl Stage {
    fn disarm(self) {
        let _ = self.directory.keep();
    }
}

fn stage_in(parent: &Path, name: &std::ffi::OsStr) -> io::Result<Stage> {
    let prefix = stale::prefix(name);
    // Between the creation of a directory and its lock, another run would take it for one that was left behind.
    let guard = File::open(parent)?;
    guard.lock()?;
    stale::remove(parent, &prefix)?;
    let directory = tempfile::Builder::new().prefix(&prefix).tempdir_in(parent)?;
    let lock = File::open(directory.path())?;
    lock.lock()?;
    drop(guard);
    Ok(Stage {
        directory,
        _lock: lock,
    })
}

fn write(stage: &Path, files: &Files) -> io::Result<()> {
    for (path, contents) in files {
        let path = stage.join(path);
        if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
            fs::create_dir(directory)?;
            set_mode(directory, DIRECTORY_MODE)?;
        }
        fs::write(&path, contents)?;
        set_mode(&path, FILE_MODE)?;
        sync(&path)?;
    }
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Syncs the directories of a tree; files are synced as they are written, or were there before.
fn sync_tree(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        }
    }
    sync(directory)
}

/// The destination with every link followed, so that it is the directory that is replaced and not the link to it.
fn real(destination: &Path) -> anyhow::Result<PathBuf> {
    let failed = || format!("cannot use {} as the destination", destination.display());
    match fs::canonicalize(destination) {
        Ok(real) => {
            anyhow::ensure!(real.is_dir(), "{} is no directory", destination.display());
            Ok(real)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A link to nowhere would be replaced by a directory.
            anyhow::ensure!(
                fs::symlink_metadata(destination).is_err(),
                "{} is a link that leads nowhere",
                destination.display()
            );
            std::path::absolute(destination).with_context(failed)
        }
        Err(error) => Err(error).with_context(failed),
    }
}

/// Whether nothing may be written beside the destination.
fn may_not(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// Whether something in the destination cannot be linked: it is on another file system, or not ours to link.
fn cannot_link(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::CrossesDevices
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::TooManyLinks
            | io::ErrorKind::Unsupported
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// Everything below a directory: path, type, mode, contents or link text.
    fn tree(directory: &Path) -> BTreeMap<String, String> {
        fn add(at: &Path, base: &Path, tree: &mut BTreeMap<String, String>) {
            let Ok(facts) = fs::symlink_metadata(at) else {
                return;
            };
            let what = if facts.is_dir() {
                "directory".to_owned()
            } else if facts.is_symlink() {
                format!("-> {}", fs::read_link(at).unwrap().display())
            } else {
                fs::read_to_string(at).unwrap()
            };
            let path = at.strip_prefix(base).unwrap().display().to_string();
            tree.insert(path, format!("{:o} {what}", facts.mode() & 0o7777));
            if facts.is_dir() {
                for entry in fs::read_dir(at).unwrap() {
                    add(&entry.unwrap().path(), base, tree);
                }
            }
        }
        let mut all = BTreeMap::new();
        add(directory, directory, &mut all);
        all
    }

    fn files(version: &str) -> Files {
        let mut files = Files::new();
        for (path, text) in [
            ("machine-pools/worker.yaml", format!("pool of {version}")),
            (
                "machine-configs/rendered-worker-{}.yaml",
                format!("config of {version}"),
            ),
            (
                "controller-config/machine-config-controller.yaml",
                format!("controller of {version}"),
            ),
        ] {
            files.insert(path.replace("{}", version).into(), text);
        }
        files
    }

    /// A destination with an earlier output and things of others.
    fn lived_in(base: &Path) -> PathBuf {
        let destination = base.join("dest");
        publish(&destination, &files("old")).unwrap();
        let mut with_server = files("old");
        with_server.insert("api-server/api-server.yaml".into(), "old".into());
        publish(&destination, &with_server).unwrap();
        fs::write(destination.join("kubeconfig"), "kubeconfig").unwrap();
        fs::create_dir_all(destination.join("tls/deep")).unwrap();
        set_mode(&destination.join("tls"), 0o750).unwrap();
        fs::write(destination.join("tls/deep/key"), "key").unwrap();
        set_mode(&destination.join("tls/deep/key"), 0o600).unwrap();
        std::os::unix::fs::symlink("kubeconfig", destination.join("link")).unwrap();
        fs::write(destination.join("machine-configs/99-worker.yaml"), "a user's").unwrap();
        set_mode(&destination, 0o755).unwrap();
        destination
    }

    /// What `lived_in` must look like once the new output is in it.
    fn expected(mut before: BTreeMap<String, String>) -> BTreeMap<String, String> {
        before.retain(|path, _| !path.contains("rendered-") && !path.starts_with("api-server"));
        for (path, text) in files("new") {
            before.insert(path.display().to_string(), format!("664 {text}"));
        }
        before
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_new_destination_has_the_modes_of_the_reference_whatever_the_umask() {
        let base = tempfile::tempdir().unwrap();
        let destination = base.path().join("a/b/dest");
        publish(&destination, &files("new")).unwrap();
        for (path, what) in tree(&destination) {
            let mode = what.split(' ').next().unwrap();
            assert_eq!(
                mode,
                if what.ends_with("directory") { "764" } else { "664" },
                "{path}"
            );
        }
        assert_eq!(names(&base.path().join("a/b")), ["dest"]);
    }

    #[test]
    fn an_earlier_output_is_replaced_and_everything_else_stays() {
        let base = tempfile::tempdir().unwrap();
        let destination = lived_in(base.path());
        let before = tree(&destination);
        let key = fs::metadata(destination.join("tls/deep/key")).unwrap().ino();
        publish(&destination, &files("new")).unwrap();
        assert_eq!(tree(&destination), expected(before));
        assert_eq!(
            fs::metadata(destination.join("tls/deep/key")).unwrap().ino(),
            key,
            "linked, not copied"
        );
        assert_eq!(names(base.path()), ["dest"]);
    }

    #[test]
    fn in_place_the_outcome_is_the_same() {
        let base = tempfile::tempdir().unwrap();
        let destination = lived_in(base.path());
        let before = tree(&destination);
        let directory = fs::metadata(&destination).unwrap().ino();
        in_place(&destination, &files("new"), &mut |_| Ok(())).unwrap();
        assert_eq!(tree(&destination), expected(before));
        assert_eq!(fs::metadata(&destination).unwrap().ino(), directory);
    }

    #[test]
    fn in_place_every_pool_finds_its_config_at_every_moment() {
        let base = tempfile::tempdir().unwrap();
        let destination = lived_in(base.path());
        let mut seen = Vec::new();
        in_place(&destination, &files("new"), &mut |_| {
            let pool = fs::read_to_string(destination.join("machine-pools/worker.yaml")).unwrap();
            let version = pool.strip_prefix("pool of ").unwrap().to_owned();
            let config = destination.join(format!("machine-configs/rendered-worker-{version}.yaml"));
            assert_eq!(
                fs::read_to_string(config).unwrap(),
                format!("config of {version}")
            );
            seen.push(version);
            Ok(())
        })
        .unwrap();
        assert!(seen.iter().all(|version| version == "old") && seen.len() == 2 + DIRECTORIES.len());
    }

    #[test]
    fn a_failure_at_any_step_leaves_all_as_it_was_and_nothing_behind() {
        type Way = fn(&Path, &Files, Probe<'_>) -> bool;
        let ways: [(Way, usize); 2] = [
            (
                |destination, files, probe| publish_with(destination, files, probe).is_err(),
                3,
            ),
            (
                |destination, files, probe| in_place(destination, files, probe).is_err(),
                2 + DIRECTORIES.len(),
            ),
        ];
        for (way, steps) in ways {
            for fatal in 0..steps {
                let base = tempfile::tempdir().unwrap();
                let destination = lived_in(base.path());
                let before = tree(base.path());
                let mut step = 0;
                let failed = way(&destination, &files("new"), &mut |_| {
                    step += 1;
                    if step > fatal {
                        Err(io::Error::other("full"))
                    } else {
                        Ok(())
                    }
                });
                assert!(failed, "step {fatal}");
                assert_eq!(tree(base.path()), before, "step {fatal}");
            }
        }
    }

    #[test]
    fn a_failure_before_there_is_a_destination_leaves_none() {
        let base = tempfile::tempdir().unwrap();
        for fatal in [Step::Write, Step::Carry, Step::Exchange] {
            let fail = &mut |step| {
                if step == fatal {
                    Err(io::Error::other("full"))
                } else {
                    Ok(())
                }
            };
            publish_with(&base.path().join("dest"), &files("new"), fail).unwrap_err();
            assert_eq!(names(base.path()), [""; 0]);
        }
    }

    #[test]
    fn what_a_killed_run_has_left_is_removed_and_what_a_running_one_uses_is_not() {
        let base = tempfile::tempdir().unwrap();
        let left = base.path().join(".dest.staged-left");
        let used = base.path().join(".dest.staged-used");
        for directory in [&left, &used] {
            fs::create_dir(directory).unwrap();
            fs::write(directory.join("file"), "x").unwrap();
        }
        let lock = File::open(&used).unwrap();
        lock.lock().unwrap();
        publish(&base.path().join("dest"), &files("new")).unwrap();
        assert!(!left.exists() && used.exists());
    }

    #[test]
    fn a_link_to_the_destination_stays_a_link() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", base.path().join("dest")).unwrap();
        publish(&base.path().join("dest"), &files("new")).unwrap();
        assert!(
            fs::symlink_metadata(base.path().join("dest"))
                .unwrap()
                .is_symlink()
        );
        assert!(base.path().join("real/machine-pools/worker.yaml").exists());
    }

    #[test]
    fn a_destination_that_is_none_is_refused() {
        let base = tempfile::tempdir().unwrap();
        fs::write(base.path().join("file"), "x").unwrap();
        std::os::unix::fs::symlink("nowhere", base.path().join("dangling")).unwrap();
        fs::create_dir(base.path().join("dest")).unwrap();
        fs::write(base.path().join("dest/machine-pools"), "no directory").unwrap();
        let before = tree(base.path());
        for name in ["file", "dangling", "dest", "file/below"] {
            publish(&base.path().join(name), &files("new")).unwrap_err();
        }
        assert_eq!(tree(base.path()), before);
    }

    #[test]
    fn two_runs_at_once_leave_one_whole_output() {
        let base = tempfile::tempdir().unwrap();
        let destination = lived_in(base.path());
        let versions: Vec<String> = (0..4).map(|run| format!("run{run}")).collect();
        std::thread::scope(|scope| {
            for version in &versions {
                let destination = &destination;
                scope.spawn(move || publish(destination, &files(version)).unwrap());
            }
        });
        let pool = fs::read_to_string(destination.join("machine-pools/worker.yaml")).unwrap();
        let version = pool.strip_prefix("pool of ").unwrap();
        for (path, text) in files(version) {
            assert_eq!(fs::read_to_string(destination.join(path)).unwrap(), text);
        }
        let configs = names(&destination.join("machine-configs"));
        assert_eq!(
            configs
                .iter()
                .filter(|name| name.starts_with("rendered-"))
                .count(),
            1,
            "{configs:?}"
        );
    }
}
