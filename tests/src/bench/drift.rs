//! `machine-config-daemon watch`, the real program, over ten thousand paths: how soon it tells, and what it costs.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ignition::contents;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::row::{Goal, Row};
use crate::program::{built, wait_for};

/// Paths of the config, and in how many directories.
const PATHS: (usize, usize) = (10_000, 20);
/// Size of each file, in bytes.
const SIZE: usize = 256;
/// Time between two writes to neighbours: a thousand a second.
const NEIGHBOURS_EVERY: Duration = Duration::from_millis(1);
/// Writes to managed paths that are timed, and the time between two, during which neighbours are written all the time.
const TIMED: usize = 300;
const TIMED_EVERY: Duration = Duration::from_millis(40);
/// How long nothing happens while what is written is counted.
const IDLE: Duration = Duration::from_secs(5);
/// How long anything may take at all.
const PATIENCE: Duration = Duration::from_mins(1);

/// Rows of [`rows`].
pub(super) const NAMES: [&str; 4] = [
    "watch 10000 paths, 1000 writes/s beside: p99 from write to report",
    "watch 10000 paths, 1000 writes/s beside: processor",
    "watch 10000 paths: resident memory, with what it keeps in files of memory",
    "watch 10000 paths: bytes written while idle",
];

/// The program, and when it told of which path.
struct Watch {
    child: Child,
    told: Receiver<(Instant, String)>,
}

/// All rows about drift.
pub(super) fn rows() -> Result<Vec<Row>> {
    let dir = TempDir::with_prefix("machine-config-")?;
    let root = dir.path();
    node(root)?;
    let watch = Watch::start(root)?;

    let written = watch.written()?;
    thread::sleep(IDLE);
    let idle = watch.written()? - written;

    let stop = Arc::new(AtomicBool::new(false));
    let neighbours = thread::spawn({
        let (root, stop) = (root.to_owned(), stop.clone());
        move || write_neighbours(&root, &stop)
    });
    let (start, before) = (Instant::now(), watch.processor_time()?);
    let latencies = watch.time_reports(root);
    let (after, lasted) = (watch.processor_time()?, start.elapsed());
    let took = after.saturating_sub(before);
    stop.store(true, Ordering::Relaxed);
    let rate = neighbours
        .join()
        .map_err(|_| anyhow::anyhow!("the writer of neighbours panicked"))??;
    if rate < 900.0 {
        bail!("only {rate:.0} neighbours were written per second, so the rows would say nothing");
    }
    let row = |name: &'static str, value: f64, unit: &'static str, goal: f64| Row {
        name,
        value,
        unit,
        compared_with: "the goal",
        other: goal,
        goal: Goal::AtMost(goal),
    };
    Ok(vec![
        row(NAMES[0], p99(latencies?), "ms", 100.0),
        row(
            NAMES[1],
            took.as_secs_f64() / lasted.as_secs_f64() * 100.0,
            "% of a core",
            2.0,
        ),
        row(NAMES[2], watch.memory()?, "MiB", 15.0),
        row(NAMES[3], idle, "B", 0.0),
    ])
}

/// A node that has what its config says.
fn node(root: &Path) -> Result<()> {
    let (count, _) = PATHS;
    let mut files = Vec::new();
    for number in 0..count {
        let at = at(root, number);
        let text = text(number);
        fs::create_dir_all(at.parent().context("it lies in a directory")?)?;
        fs::write(&at, &text)?;
        let path = at.strip_prefix(root)?;
        files.push(json!({
            "path": Path::new("/").join(path),
            "mode": 0o644,
            "overwrite": true,
            "contents": {"source": contents::base64(text.as_bytes())},
        }));
    }
    let config = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineConfig",
        "metadata": {"name": "rendered-bench"},
        "spec": {"config": {"ignition": {"version": "3.4.0"}, "storage": {"files": files}}},
    });
    let current = root.join(daemon::monitor::CURRENT.trim_start_matches('/'));
    fs::create_dir_all(current.parent().context("it lies in a directory")?)?;
    Ok(fs::write(current, config.to_string())?)
}

fn at(root: &Path, number: usize) -> PathBuf {
    let (_, directories) = PATHS;
    let directory = format!("etc/app/{:02}", number % directories);
    root.join(directory).join(format!("{number:05}.conf"))
}

fn text(number: usize) -> String {
    let line = format!("option-{number} = value\n");
    let mut text = line.repeat(SIZE / line.len() + 1);
    text.truncate(SIZE);
    text
}

/// Writes to files beside the managed ones until it is to stop. Gives back how many per second.
fn write_neighbours(root: &Path, stop: &AtomicBool) -> Result<f64> {
    let start = Instant::now();
    let mut written = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        let beside = at(root, written as usize % 200).with_extension("beside");
        // Without truncating: some file systems flush a file that was truncated, and the disk would set the pace.
        let mut file = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(beside)?;
        file.write_all(written.to_string().as_bytes())?;
        written += 1;
        thread::sleep((NEIGHBOURS_EVERY * written).saturating_sub(start.elapsed()));
    }
    Ok(f64::from(written) / start.elapsed().as_secs_f64())
}

/// The latency that one in a hundred is above, in milliseconds.
fn p99(mut latencies: Vec<Duration>) -> f64 {
    latencies.sort();
    let index = (latencies.len() * 99).div_ceil(100).saturating_sub(1);
    latencies
        .get(index)
        .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
}

// === impl Watch ===

impl Watch {
    /// Starts it, and waits until it has compared everything.
    fn start(root: &Path) -> Result<Self> {
        let mut child = Command::new(built("machine-config-daemon")?)
            .args(["watch", "-o", "json", "--root"])
            .arg(root)
            .stdout(Stdio::piped())
            .spawn()
            .context("could not start watch")?;
        let lines = BufReader::new(child.stdout.take().context("it has an output")?).lines();
        let (sender, told) = channel();
        let watch = Self { child, told };
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send((Instant::now(), line)).is_err() {
                    break;
                }
            }
        });
        let first = watch.next()?.1;
        if first["event"] != "started" || first["drifted"] != 0 {
            bail!("watch began with {first}");
        }
        Ok(watch)
    }

    fn next(&self) -> Result<(Instant, Value)> {
        let (when, line) = self
            .told
            .recv_timeout(PATIENCE)
            .context("watch told nothing more")?;
        Ok((when, serde_json::from_str(&line)?))
    }

    /// Writes to managed paths, one after the other, and times each report.
    fn time_reports(&self, root: &Path) -> Result<Vec<Duration>> {
        let (count, _) = PATHS;
        let mut latencies = Vec::new();
        for round in 0..TIMED {
            // Never in step with what the program does by the clock.
            thread::sleep(TIMED_EVERY + Duration::from_millis(round as u64 * 7 % 23));
            let at = at(root, round * 7919 % count);
            fs::write(&at, "drift\n")?;
            let written = Instant::now();
            let path = Path::new("/").join(at.strip_prefix(root)?);
            // Truncating and writing may be told one by one; the first report is the one that counts.
            let when = wait_for("the report", PATIENCE, || {
                let (when, event) = self.next()?;
                Ok(
                    (event["event"] == "drift" && event["path"] == path.to_string_lossy().as_ref())
                        .then_some(when),
                )
            })?;
            latencies.push(when.saturating_duration_since(written));
        }
        Ok(latencies)
    }

    fn proc(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).with_context(|| format!("could not read {path}: watch is gone"))
    }

    fn processor_time(&self) -> Result<Duration> {
        let text = self.proc("schedstat")?;
        let first = text.split_whitespace().next().context("schedstat is empty")?;
        Ok(Duration::from_nanos(first.parse()?))
    }

    /// Bytes it has written, to disks and to anything else.
    fn written(&self) -> Result<f64> {
        let text = self.proc("io")?;
        let fields = text.lines().filter_map(|line| line.split_once(": "));
        let mut sum = 0.0;
        for (key, value) in fields {
            if matches!(key, "wchar" | "write_bytes") {
                sum += value.parse::<f64>()?;
            }
        }
        Ok(sum)
    }

    /// Resident memory and anonymous files, in MiB.
    fn memory(&self) -> Result<f64> {
        let status = self.proc("status")?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("no VmRSS")?;
        let mut kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        for handle in fs::read_dir(format!("/proc/{}/fd", self.child.id()))? {
            let handle = handle?.path();
            if fs::read_link(&handle)?.to_string_lossy().starts_with("/memfd:") {
                // Handles of one process are few, and its anonymous files small.
                #[expect(clippy::cast_precision_loss)]
                let size = fs::metadata(&handle)?.len() as f64;
                kib += size / 1024.0;
            }
        }
        Ok(kib / 1024.0)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Both fail only when it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
