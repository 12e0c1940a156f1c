//! `machine-config-daemon apply`, `plan` and `verify`, the real program on a real disk: how often it flushes, and how long it takes
//! beside a plain copy and beside writing, flushing and renaming file by file.

use std::env;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ignition::contents;
use serde_json::json;
use tempfile::TempDir;

use super::row::{Goal, Row};
use crate::program::{built, is_root, line, run};

/// Size of each file that is applied, in bytes.
const SIZE: usize = 4096;
/// Files in one directory.
const TOGETHER: usize = 100;
/// Repetitions of everything that is timed, an odd number so that the median is one of them.
const ROUNDS: usize = 5;
/// Flushes that an apply may make, however many files it changes.
const FLUSHES: f64 = 6.0;
/// Files that are planned and verified, their size in bytes, and of how many one differs in the config that is planned.
const MANAGED: (usize, usize, usize) = (10_000, 256, 100);
/// File systems that lose everything with the power: a flush costs nothing there.
const IN_MEMORY: [&str; 2] = ["tmpfs", "ramfs"];
/// Size of the file system that is applied to, in bytes; what is not written takes no room.
const DISK: u64 = 8 << 30;
/// System calls that wait for a disk.
const FLUSHING: &str = "trace=fsync,fdatasync,syncfs,sync,sync_file_range,msync";
/// How long one run of a program may take, in seconds.
const PATIENCE: &str = "120";
/// Runs of programs that nobody times.
const UNTIMED: Duration = Duration::from_mins(2);

/// Rows of [`hundreds`].
pub(super) const HUNDREDS: [&str; 4] = [
    "apply 500 changed files of 4 KiB to a new node: flushes",
    "apply 500 changed files of 4 KiB: flushes",
    "apply 500 changed files of 4 KiB: time beside a plain copy",
    "apply 500 changed files of 4 KiB: time beside one by one",
];

/// Rows of [`thousands`].
pub(super) const THOUSANDS: [&str; 4] = [
    "apply 5000 changed files of 4 KiB to a new node: flushes",
    "apply 5000 changed files of 4 KiB: flushes",
    "apply 5000 changed files of 4 KiB: time beside a plain copy",
    "apply 5000 changed files of 4 KiB: time beside one by one",
];

/// Rows of [`managed`].
pub(super) const MANAGED_NAMES: [&str; 3] = [
    "plan 10000 managed files, warm",
    "verify 10000 managed files, warm",
    "plan + verify 10000 managed files, warm",
];

/// Five hundred changed files.
pub(super) fn hundreds() -> Result<Vec<Row>> {
    applied(500, HUNDREDS)
}

/// Five thousand changed files.
pub(super) fn thousands() -> Result<Vec<Row>> {
    applied(5000, THOUSANDS)
}

fn applied(count: usize, names: [&'static str; 4]) -> Result<Vec<Row>> {
    let mut node = Node::new(count, SIZE)?;
    node.config(1, |number| text(SIZE, number, 1))?;
    node.config(2, |number| text(SIZE, number, 2))?;
    let fresh = node.flushes(1)?;
    let changed = node.flushes(2)?;
    let (mut ours, mut copies, mut singles) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        node.renew()?;
        node.time("apply", 1)?;
        ours.push(node.time_apply(2)?);
        copies.push(node.time_copy()?);
        singles.push(node.time_one_by_one(2)?);
    }
    let (ours, copies, singles) = (median(ours), median(copies), median(singles));
    let flushes = |name, value| Row {
        name,
        value,
        unit: "flushes",
        compared_with: "one per file, as the reference has it",
        // A few thousand at most.
        #[expect(clippy::cast_precision_loss)]
        other: count as f64,
        goal: Goal::AtMost(FLUSHES),
    };
    let time = |name, compared_with, other, limit| Row {
        name,
        value: ours,
        unit: "ms",
        compared_with,
        other,
        goal: Goal::RatioAtMost(limit),
    };
    Ok(vec![
        flushes(names[0], fresh),
        flushes(names[1], changed),
        time(names[2], "cp -a of the tree, then sync -f", copies, 1.5),
        time(
            names[3],
            "write, fsync, rename each, as the reference does",
            singles,
            1.0,
        ),
    ])
}

/// Planning a config that differs here and there, and verifying the one that is on the node.
pub(super) fn managed() -> Result<Vec<Row>> {
    let (count, size, one_in) = MANAGED;
    let node = Node::new(count, size)?;
    node.config(1, |number| text(size, number, 1))?;
    node.config(2, |number| {
        text(size, number, 1 + usize::from(number % one_in == 0))
    })?;
    node.time("apply", 1)?;
    node.check(1)?;
    let (mut plans, mut verifications) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        plans.push(node.time("plan", 2)?);
        verifications.push(node.time("verify", 1)?);
    }
    let (plan, verify) = (median(plans), median(verifications));
    let row = |name, value, goal| Row {
        name,
        value,
        unit: "ms",
        compared_with: "the goal",
        other: goal,
        goal: Goal::AtMost(goal),
    };
    let [first, second, both] = MANAGED_NAMES;
    Ok(vec![
        row(first, plan, 300.0),
        row(second, verify, 300.0),
        row(both, plan + verify, 300.0),
    ])
}

/// A node on a disk, the configs for it, and a place beside it for what it is compared with.
///
/// The disk is an ext4 of its own in a file on the disk of this machine: with a journal and mounted as usual, whatever that of the
/// machine is like (some tell the disk of every block that becomes free, and wait: milliseconds for each file that is removed), and
/// without anybody else's writes, which would be flushed with ours.
///
/// Each round has its own root and its own copies, and nothing is removed before the end: ext4 gives a number of a file out again
/// only minutes after the file was removed, and what looks for one in between takes longer the more were removed.
struct Node {
    disk: Disk,
    /// Which round it is.
    round: usize,
    daemon: PathBuf,
    count: usize,
    size: usize,
}

// === impl Node ===

impl Node {
    fn new(count: usize, size: usize) -> Result<Self> {
        let daemon = built("machine-config-daemon")?;
        let disk = Disk::new()?;
        let mut node = Self {
            disk,
            round: 0,
            daemon,
            count,
            size,
        };
        // What a change to these files asks for is not what is measured: nothing.
        let quiet = json!({"files": [{"path": format!("/{MANAGED_BELOW}"), "actions": [{"type": "None"}]}]});
        let policy = json!({
            "apiVersion": "operator.openshift.io/v1",
            "kind": "MachineConfiguration",
            "metadata": {"name": "cluster"},
            "spec": {"nodeDisruptionPolicy": quiet},
        });
        fs::write(node.place("policy.json"), policy.to_string())?;
        node.renew()?;
        Ok(node)
    }

    /// Another node, with nothing on it.
    fn renew(&mut self) -> Result<()> {
        self.round += 1;
        Ok(fs::create_dir_all(self.root().join("etc"))?)
    }

    fn place(&self, name: &str) -> PathBuf {
        self.disk.at.join(name)
    }

    fn root(&self) -> PathBuf {
        self.place(&format!("root-{}", self.round))
    }

    fn config_file(&self, revision: usize) -> PathBuf {
        self.place(&format!("{revision}.json"))
    }

    /// Writes down the config of a revision.
    fn config(&self, revision: usize, text: impl Fn(usize) -> Vec<u8>) -> Result<()> {
        let file = |number: usize| {
            json!({
                "path": format!("/{}", at(number)),
                "mode": 0o644,
                "overwrite": true,
                "contents": {"source": contents::base64(&text(number))},
            })
        };
        let files: Vec<_> = (0..self.count).map(file).collect();
        let config = json!({
            "apiVersion": "machineconfiguration.openshift.io/v1",
            "kind": "MachineConfig",
            "metadata": {"name": format!("rendered-bench-{revision}")},
            "spec": {"config": {"ignition": {"version": "3.4.0"}, "storage": {"files": files}}},
        });
        Ok(fs::write(self.config_file(revision), config.to_string())?)
    }

    /// The command line of the daemon.
    fn ask(&self, command: &mut Command, verb: &str, revision: usize) {
        command
            .args([verb, "--root"])
            .arg(self.root())
            .arg("--config")
            .arg(self.config_file(revision));
        if verb != "verify" {
            command.arg("--policy").arg(self.place("policy.json"));
        }
    }

    /// Applies, and counts what was flushed meanwhile.
    fn flushes(&self, revision: usize) -> Result<f64> {
        let log = self.place("flushes");
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-e", FLUSHING, "-e", "signal=none", "-o"]);
        command.arg(&log).arg(&self.daemon);
        self.ask(&mut command, "apply", revision);
        let ran =
            run(&mut command, UNTIMED).context("the bench needs strace; `cargo xtask bench` installs it")?;
        if ran.code != Some(0) {
            bail!("{} failed:\n{}", line(&command), ran.stderr);
        }
        self.check(revision)?;
        let log = fs::read_to_string(&log)?;
        // A call that another thread cuts in on has a second line.
        let calls = log.lines().filter(|line| !line.contains(" resumed>")).count();
        if calls == 0 {
            bail!("strace saw no flush at all, so the row would say nothing");
        }
        Ok(f64::from(u32::try_from(calls)?))
    }

    /// Fails unless every file is as the revision has it.
    fn check(&self, revision: usize) -> Result<()> {
        for number in 0..self.count {
            let path = self.root().join(at(number));
            let there = fs::read(&path).with_context(|| format!("{} was not applied", path.display()))?;
            if there != text(self.size, number, revision) {
                bail!("{} is not as applied", path.display());
            }
        }
        Ok(())
    }

    /// Milliseconds of an apply that changes every file.
    fn time_apply(&self, revision: usize) -> Result<f64> {
        let took = self.time("apply", revision)?;
        self.check(revision)?;
        Ok(took)
    }

    /// Milliseconds of a command of the daemon.
    fn time(&self, verb: &str, revision: usize) -> Result<f64> {
        self.settle()?;
        let mut command = Command::new("timeout");
        command.arg(PATIENCE).arg(&self.daemon);
        self.ask(&mut command, verb, revision);
        time(&mut command)
    }

    /// Milliseconds of copying what is managed and one flush.
    fn time_copy(&self) -> Result<f64> {
        let copy = self.place(&format!("copy-{}", self.round));
        self.settle()?;
        let mut copying = Command::new("timeout");
        copying.args([PATIENCE, "cp", "-a"]);
        copying.arg(self.root().join(MANAGED_BELOW)).arg(&copy);
        let mut syncing = Command::new("timeout");
        syncing.args([PATIENCE, "sync", "-f"]).arg(&copy);
        let took = time(&mut copying)? + time(&mut syncing)?;
        let copied = fs::read_dir(&copy)?.count();
        if copied != self.count.div_ceil(TOGETHER) {
            bail!("the copy has {copied} directories");
        }
        Ok(took)
    }

    /// Milliseconds of writing each file beside its path, flushing it and renaming it into place, and flushing its directory at
    /// the end: the reference's way without what else it does. Done here, so that no program has to be started for it.
    fn time_one_by_one(&self, revision: usize) -> Result<f64> {
        let tree = self.place(&format!("one-by-one-{}", self.round));
        let texts: Vec<_> = (0..self.count)
            .map(|number| text(self.size, number, revision))
            .collect();
        for number in 0..self.count {
            let path = tree.join(at(number));
            fs::create_dir_all(path.parent().context("it lies in a directory")?)?;
            fs::write(&path, "old")?;
        }
        self.settle()?;
        let start = Instant::now();
        for (number, text) in texts.iter().enumerate() {
            let path = tree.join(at(number));
            let beside = path.with_extension("new");
            let mut file = File::create_new(&beside)?;
            file.write_all(text)?;
            file.sync_all()?;
            fs::rename(&beside, &path)?;
        }
        Ok(milliseconds(start))
    }

    /// Nobody pays for what others have left to be written.
    fn settle(&self) -> Result<()> {
        let directory = File::open(&self.disk.at)?;
        Ok(rustix::fs::syncfs(&directory)?)
    }
}

/// A file system in a file; gone with this value.
struct Disk {
    /// Where it is mounted.
    at: PathBuf,
    /// Holds the file and the mount point.
    _dir: TempDir,
}

// === impl Disk ===

impl Disk {
    fn new() -> Result<Self> {
        if !is_root() {
            bail!("the bench mounts a file system to apply to, which only root may do");
        }
        // Where programs are built there is a disk, or nothing that flushes could be measured on.
        let own = env::current_exe().context("could not find this program")?;
        let above = own.parent().context("this program lies in no directory")?;
        let system = file_system(above)?;
        if IN_MEMORY.contains(&system.as_str()) {
            bail!(
                "{} is on {system}, and what apply costs is told on a disk only; build with CARGO_TARGET_DIR on one",
                above.display()
            );
        }
        let dir = TempDir::with_prefix_in("machine-config-", above)?;
        let (image, at) = (dir.path().join("image"), dir.path().join("disk"));
        File::create_new(&image)?.set_len(DISK)?;
        fs::create_dir(&at)?;
        succeed(Command::new("mkfs.ext4").arg("-q").arg(&image))?;
        succeed(
            Command::new("mount")
                .args(["-t", "ext4", "-o", "loop"])
                .arg(&image)
                .arg(&at),
        )?;
        let disk = Self { at, _dir: dir };
        eprintln!(
            "bench: {} in a file on {system}, in {}",
            file_system(&disk.at)?,
            above.display()
        );
        Ok(disk)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = succeed(Command::new("umount").arg(&self.at)) {
            eprintln!("bench: {error:#}");
        }
    }
}

/// Runs a program that nobody times and that must succeed.
fn succeed(command: &mut Command) -> Result<()> {
    let ran = run(command, UNTIMED)?;
    if ran.code != Some(0) {
        bail!("{} failed: {}", line(command), ran.all());
    }
    Ok(())
}

/// Milliseconds of a program that must succeed. What it prints is not read while it is timed.
fn time(command: &mut Command) -> Result<f64> {
    let errors = tempfile::tempfile()?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors.try_clone()?);
    let start = Instant::now();
    let status = command
        .status()
        .with_context(|| format!("could not run {}", line(command)))?;
    let took = milliseconds(start);
    if !status.success() {
        bail!("{} ended with {status}: {}", line(command), written(errors)?);
    }
    Ok(took)
}

/// Everything that was written to a file by whoever else has it.
fn written(mut file: File) -> Result<String> {
    use std::io::{Read as _, Seek as _};
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// Name of the file system that a path is on.
fn file_system(path: &Path) -> Result<String> {
    let mut command = Command::new("findmnt");
    command
        .args(["--noheadings", "--output", "FSTYPE", "--target"])
        .arg(path);
    let ran = run(&mut command, UNTIMED)?;
    if ran.code != Some(0) {
        bail!("cannot tell what {} is on: {}", path.display(), ran.stderr);
    }
    Ok(ran.stdout.trim().to_owned())
}

/// Directory of the managed files beneath a root.
const MANAGED_BELOW: &str = "etc/app";

/// Where a file is, beneath a root.
fn at(number: usize) -> String {
    format!("{MANAGED_BELOW}/{:03}/{number:05}.conf", number / TOGETHER)
}

/// Lines of a file, other ones in each revision.
fn text(size: usize, number: usize, revision: usize) -> Vec<u8> {
    let mut text = String::new();
    let mut line = 0;
    while text.len() < size {
        writeln!(text, "option-{number}-{line} = value-{revision}")
            .expect("a String takes all that is written");
        line += 1;
    }
    text.truncate(size);
    text.into_bytes()
}

/// The one in the middle.
fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::{median, text};

    #[test]
    fn every_file_and_revision_differs() {
        assert_eq!(text(4096, 1, 1).len(), 4096);
        assert_ne!(text(256, 1, 1), text(256, 1, 2));
        assert_ne!(text(256, 1, 1), text(256, 2, 1));
    }

    #[test]
    fn the_median_is_not_moved_by_one_slow_round() {
        assert!((median(vec![3.0, 900.0, 1.0]) - 3.0).abs() < f64::EPSILON);
        assert!(median(Vec::new()).is_nan(), "nothing measured is no figure");
    }
}
