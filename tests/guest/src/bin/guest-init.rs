//! The first process of a guest. It says `hello` until somebody answers `begin BOOT-ID` (in between the machine may be frozen and
//! thawed any number of times, since no driver has seen the disk), mounts the disk, says `ready`, and then does what the second serial
//! port says, line by line:
//!
//! | line | answer |
//! |---|---|
//! | `run PROGRAM ARG…`, separated by tabs | `started`, then `exit CODE` or `signal NUMBER`; its output goes to the console |
//! | `manifest DIR WITHOUT…`, separated by tabs | `+LINE` for each object, then `done` |
//! | `copy FROM TO` | `done` |
//! | `noise FILE` | `done`; from now on a neighbour writes and syncs this file without an end |
//! | `off` | the end of the machine, with everything written |
//!
//! What fails is answered with `error REASON`. The kernel command line names the file system of the disk: `guest.fs=ext4`.

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use e2e_guest::manifest;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mount::{MountFlags, mount, mount_bind};
use rustix::system::{RebootCommand, finit_module, reboot};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// The root of the node: where the disk is mounted.
const NODE: &str = "/node";

/// The disk.
const DISK: &str = "/dev/vda";

/// The port for orders and answers; the first one is the kernel's console.
const PORT: &str = "/dev/ttyS1";

/// How long the disk may take to show up once its driver is there.
const DISK_DEADLINE: Duration = Duration::from_secs(20);

/// Where programs read what tells one boot from another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Between two greetings.
const GREETING: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 10_000_000,
};

/// Between two syncs of the noise: often enough that the journal of the file system is written at every stage of an apply, seldom
/// enough to leave the processor to it.
const NOISE_PAUSE: Duration = Duration::from_millis(2);

fn main() {
    if let Err(error) = serve() {
        eprintln!("guest-init: {error:#}");
    }
    // Without power-off a kernel panics when its first process ends, which stops the machine as well.
    if let Err(error) = reboot(RebootCommand::PowerOff) {
        eprintln!("guest-init: could not power off: {error}");
    }
}

/// Until `off`.
fn serve() -> Result<()> {
    mount_kernel()?;
    let port = OpenOptions::new()
        .read(true)
        .write(true)
        .open(PORT)
        .with_context(|| format!("could not open {PORT}"))?;
    let mut settings = tcgetattr(&port)?;
    settings.make_raw();
    tcsetattr(&port, OptionalActions::Now, &settings)?;
    let mut answers = port.try_clone()?;
    let mut orders = BufReader::new(port).lines();
    let first = greet(&mut answers, &mut orders)?;
    let Some(("begin", boot)) = first.split_once('\t') else {
        bail!("the first order is not begin BOOT-ID: {first:?}");
    };
    replace_boot_id(boot)?;
    load_drivers()?;
    mount_disk()?;
    writeln!(answers, "ready")?;
    for line in orders {
        let line = line.context("could not read an order")?;
        let words: Vec<&str> = line.split('\t').collect();
        if words == ["off"] {
            break;
        }
        let answer = obey(&words, &mut answers).unwrap_or_else(|error| format!("error {error:#}"));
        writeln!(answers, "{}", answer.replace('\n', " "))?;
    }
    rustix::fs::sync();
    Ok(())
}

/// Says that we are there until the first order comes.
fn greet(answers: &mut File, orders: &mut impl Iterator<Item = io::Result<String>>) -> Result<String> {
    loop {
        writeln!(answers, "hello")?;
        let heard = poll(&mut [PollFd::new(answers, PollFlags::IN)], Some(&GREETING))?;
        if heard > 0 {
            let line = orders.next().context("the port was closed")?;
            return line.context("could not read the first order");
        }
    }
}

/// Mounts what programs expect of a kernel.
fn mount_kernel() -> Result<()> {
    for (kind, target) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/run"),
        ("tmpfs", "/tmp"),
    ] {
        fs::create_dir_all(target)?;
        attach(kind, target, kind)?;
    }
    Ok(())
}

/// A thawed kernel draws the same random numbers as the last time it was thawed, but each power cut is followed by another boot.
fn replace_boot_id(boot: &str) -> Result<()> {
    fs::write("/tmp/boot_id", format!("{boot}\n"))?;
    mount_bind("/tmp/boot_id", BOOT_ID).context("could not replace the boot id")
}

fn load_drivers() -> Result<()> {
    let mut drivers = fs::read_dir("/modules")
        .context("could not list the drivers")?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    drivers.sort();
    for driver in drivers {
        finit_module(File::open(&driver)?, c"", 0)
            .with_context(|| format!("could not load {}", driver.display()))?;
    }
    Ok(())
}

fn mount_disk() -> Result<()> {
    let arguments = fs::read_to_string("/proc/cmdline")?;
    let kind = arguments
        .split_whitespace()
        .find_map(|word| word.strip_prefix("guest.fs="))
        .context("the kernel command line has no guest.fs")?;
    let end = Instant::now() + DISK_DEADLINE;
    while !Path::new(DISK).exists() {
        if Instant::now() > end {
            bail!("{DISK} did not show up within {DISK_DEADLINE:?}");
        }
        thread::sleep(Duration::from_millis(1));
    }
    fs::create_dir_all(NODE)?;
    attach(DISK, NODE, kind)
}

fn attach(source: &str, target: &str, kind: &str) -> Result<()> {
    mount(source, target, kind, MountFlags::empty(), None::<&CStr>)
        .with_context(|| format!("could not mount {source} ({kind}) at {target}"))
}

/// Does one thing; the answer is its last line.
fn obey(words: &[&str], answers: &mut File) -> Result<String> {
    match words {
        ["run", program, args @ ..] => run(program, args, answers),
        ["manifest", dir, without @ ..] => {
            let without: Vec<PathBuf> = without.iter().map(PathBuf::from).collect();
            let mut text = String::new();
            for line in manifest::of(Path::new(dir), &without)? {
                text.extend(["+", &line, "\n"]);
            }
            answers.write_all(text.as_bytes())?;
            Ok("done".to_owned())
        }
        ["copy", from, to] => {
            copy(Path::new(from), Path::new(to))?;
            rustix::fs::sync();
            Ok("done".to_owned())
        }
        ["noise", file] => {
            let file = File::create(file).with_context(|| format!("could not create {file}"))?;
            thread::spawn(move || noise(&file));
            Ok("done".to_owned())
        }
        _ => bail!("no such order: {words:?}"),
    }
}

fn run(program: &str, args: &[&str], answers: &mut File) -> Result<String> {
    let console = OpenOptions::new().write(true).open("/dev/console")?;
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(console.try_clone()?)
        .stderr(console)
        .spawn()
        .with_context(|| format!("could not run {program}"))?;
    writeln!(answers, "started")?;
    let status = child.wait()?;
    Ok(match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => bail!("{program} ended with {status}"),
    })
}

/// Writes and syncs, as the neighbours of a daemon do on every node: a sync of theirs writes out our half-done work too.
fn noise(file: &File) {
    for turn in 0_u64.. {
        let written = file
            .write_all_at(&turn.to_le_bytes(), 0)
            .and_then(|()| file.sync_all());
        if let Err(error) = written {
            eprintln!("guest-init: the noise ended: {error}");
            return;
        }
        thread::sleep(NOISE_PAUSE);
    }
}

/// Everything below `from` into `to`, with modes and owners.
fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("could not list {}", from.display()))? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let metadata = entry.metadata()?;
        let (owner, group) = (Some(metadata.uid()), Some(metadata.gid()));
        if metadata.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
            lchown(&target, owner, group)?;
            continue;
        }
        if metadata.is_dir() {
            fs::create_dir_all(&target)?;
            copy(&source, &target)?;
        } else {
            fs::copy(&source, &target).with_context(|| format!("could not copy {}", source.display()))?;
        }
        // The mode comes last: a change of owner takes the set-user-id bit away.
        chown(&target, owner, group)?;
        fs::set_permissions(&target, fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
    }
    Ok(())
}
