//! Programs, ours and others', run with a deadline and never left behind.

use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a program in the background may take to end when asked to.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often a condition is looked at while it is waited for.
const POLL: Duration = Duration::from_millis(10);

/// A program of this workspace, built beside the one that runs.
pub fn built(name: &str) -> Result<PathBuf> {
    let own = env::current_exe().context("could not find this program")?;
    let dir = own.parent().context("this program lies in no directory")?;
    // Tests are built one directory deeper.
    let dir = if dir.ends_with("deps") {
        dir.parent().unwrap_or(dir)
    } else {
        dir
    };
    let path = dir.join(name);
    if !path.exists() {
        bail!(
            "{} is not built; `cargo xtask` builds it, and so does `cargo build --workspace --bins`",
            path.display()
        );
    }
    Ok(path)
}

/// What a program left.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Ran {
    /// Both streams, for messages.
    #[must_use]
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Runs a program to its end, which must come within `deadline`.
pub fn run(command: &mut Command, deadline: Duration) -> Result<Ran> {
    let name = line(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not run {name}"))?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let ended = wait_for(&format!("the end of {name}"), deadline, || Ok(child.try_wait()?));
    if ended.is_err() {
        kill(&mut child);
    }
    let (stdout, stderr) = (text(stdout), text(stderr));
    let status = ended.with_context(|| format!("so far it wrote:\n{stdout}{stderr}"))?;
    Ok(Ran {
        code: status.code(),
        stdout,
        stderr,
    })
}

fn drain<R: Read + Send + 'static>(stream: Option<R>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What was read before an error is what there is.
            let _ = stream.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn text(stream: thread::JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&stream.join().unwrap_or_default()).into_owned()
}

/// A program in the background; it ends with this value.
#[derive(Debug)]
pub struct Background {
    child: Child,
    log: PathBuf,
}

impl Background {
    /// Starts it; both its streams go to the file `log`.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("could not create {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("could not start {}", line(command)))?;
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Waits for its end. The result is its exit code; none when a signal ended it.
    pub fn wait(&mut self, deadline: Duration) -> Result<Option<i32>> {
        let status = wait_for("its end", deadline, || Ok(self.child.try_wait()?))
            .with_context(|| format!("it wrote:\n{}", self.log()))?;
        Ok(status.code())
    }

    /// Fails, with what it wrote, when it is no longer there.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("it ended with {status} and wrote:\n{}", self.log());
        }
        Ok(())
    }
}

impl Drop for Background {
    /// Asks it to end, so that it can end children of its own, and makes it end when it does not.
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It fails only when the process has ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
        let ended = wait_for("its end", PATIENCE, || Ok(self.child.try_wait()?));
        if ended.is_err() {
            kill(&mut self.child);
        }
    }
}

fn kill(child: &mut Child) {
    // Both fail only when it has ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// Looks at a condition again and again until it holds or the deadline has passed.
pub fn wait_for<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = look()? {
            return Ok(value);
        }
        if Instant::now() >= end {
            bail!("waited {deadline:?} for {what}, in vain");
        }
        thread::sleep(POLL);
    }
}

/// A port of the loopback device that nobody uses at the moment.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(listener.local_addr()?.port())
}

/// Whether this process may do everything.
#[must_use]
pub fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uids = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .unwrap_or_default();
    uids.split_whitespace().nth(1) == Some("0")
}

/// The command as a person would type it.
#[must_use]
pub fn line(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::{Background, run, wait_for};
    use std::path::Path;
    use std::process::Command;
    use std::time::Duration;

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        let error = run(Command::new("sleep").arg("600"), Duration::from_millis(50)).unwrap_err();
        assert!(format!("{error:#}").contains("the end of sleep 600"), "{error:#}");
    }

    #[test]
    fn both_streams_and_the_exit_code_are_kept() {
        let ran = run(
            Command::new("sh").args(["-c", "echo a; echo b >&2; exit 3"]),
            Duration::from_secs(10),
        )
        .unwrap();
        assert_eq!(
            (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
            (Some(3), "a\n", "b\n")
        );
    }

    #[test]
    fn what_runs_in_the_background_ends_with_its_value() {
        // One that ends when asked to, and one that has to be made to.
        for script in [
            "echo ready; exec sleep 600",
            "trap '' TERM; echo ready; while :; do sleep 0.1; done",
        ] {
            let dir = tempfile::tempdir().unwrap();
            let mut command = Command::new("sh");
            let background =
                Background::start(command.args(["-c", script]), &dir.path().join("log")).unwrap();
            let ready = || Ok(background.log().contains("ready").then_some(()));
            wait_for("the script", Duration::from_secs(10), ready).unwrap();
            let proc = format!("/proc/{}", background.id());
            assert!(Path::new(&proc).exists());
            drop(background);
            assert!(!Path::new(&proc).exists(), "{script}");
        }
    }

    #[test]
    fn waiting_ends_with_the_condition_or_the_deadline() {
        let mut looks = 0;
        let third = wait_for("it", Duration::from_secs(10), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(third.unwrap(), 3);
        assert!(wait_for("it", Duration::ZERO, || Ok(None::<()>)).is_err());
    }
}
