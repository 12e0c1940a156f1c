//! A child process: what it says, how it ends, and that it does.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::{CommandError, Commands, Output, launcher};

/// How much is read at once, in bytes: what a pipe holds.
const CHUNK: usize = 64 << 10;

/// The environment of a program, whatever ours is. Messages are read, so they have to be in English.
const ENVIRONMENT: [(&str, &str); 2] = [
    ("LC_ALL", "C"),
    (
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
];

/// A child that is ended with all it has started when it is let go of.
struct Guard {
    child: Child,
    ended: bool,
}

/// How reading from a child came to its end.
enum Reading {
    Done,
    Deadline,
    TooLong,
}

// === impl Guard ===

impl Drop for Guard {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // Its process group bears its own number. Nothing is left to be done about one that has gone by itself.
        if let Some(group) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Runs a program until it ends or exceeds its bounds.
pub(super) fn run(
    commands: &Commands,
    program: &str,
    arguments: &[OsString],
    command: String,
) -> Result<Output, CommandError> {
    let cannot = |source| CommandError::Run {
        command: command.clone(),
        source,
    };
    let bounds = commands.bounds;
    let spawned = Command::new(&commands.launcher)
        .args(launcher::arguments(&commands.directory, program, arguments))
        .env_clear()
        .envs(ENVIRONMENT)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(cannot)?;
    let mut guard = Guard {
        child: spawned,
        ended: false,
    };
    let mut stdout = Vec::new();
    let mut stderr = Vec::new();
    let end = read(&mut guard.child, bounds, &mut stdout, &mut stderr).map_err(cannot)?;
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    match end {
        Reading::Done => {
            let status = guard.child.wait().map_err(cannot)?;
            guard.ended = true;
            Ok(Output {
                command,
                status,
                stdout,
                stderr,
            })
        }
        Reading::Deadline => Err(CommandError::Deadline {
            command,
            after: bounds.deadline,
            stderr,
        }),
        Reading::TooLong => Err(CommandError::TooLong {
            command,
            limit: bounds.output,
        }),
    }
}

/// Reads both outputs until the child has ended. What it leaves running is not waited for.
fn read(
    child: &mut Child,
    bounds: super::Bounds,
    stdout: &mut Vec<u8>,
    stderr: &mut Vec<u8>,
) -> io::Result<Reading> {
    let end = Instant::now() + bounds.deadline;
    let pid = Pid::from_raw(child.id().cast_signed()).ok_or(io::ErrorKind::InvalidInput)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let (mut out, mut err) = (Some(pipe(out.into())?), Some(pipe(err.into())?));
    loop {
        let has_ended = wait(
            &process,
            [&out, &err],
            end.saturating_duration_since(Instant::now()),
        )?;
        // In this order: what it said before its end is in the pipes by now.
        drain(&mut out, |bytes| {
            stdout.extend_from_slice(bytes);
            stdout.len() <= bounds.output
        })?;
        drain(&mut err, |bytes| {
            stderr.extend_from_slice(bytes);
            let excess = stderr.len().saturating_sub(bounds.tail);
            stderr.drain(..excess);
            true
        })?;
        if stdout.len() > bounds.output {
            return Ok(Reading::TooLong);
        }
        if has_ended {
            return Ok(Reading::Done);
        }
        if Instant::now() >= end {
            return Ok(Reading::Deadline);
        }
    }
}

/// Waits until there is something to read, or the process has ended: whether it has.
fn wait(process: &OwnedFd, pipes: [&Option<std::fs::File>; 2], limit: Duration) -> io::Result<bool> {
    let mut fds = vec![PollFd::new(process, PollFlags::IN)];
    for pipe in pipes.into_iter().flatten() {
        fds.push(PollFd::new(pipe, PollFlags::IN));
    }
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    match poll(&mut fds, Some(&limit)) {
        Ok(_) => Ok(!fds[0].revents().is_empty()),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn pipe(end: OwnedFd) -> io::Result<std::fs::File> {
    rustix::io::ioctl_fionbio(end.as_fd(), true)?;
    Ok(end.into())
}

/// Reads what is there, for as long as `take` wants more; closes a pipe that is at its end.
fn drain(pipe: &mut Option<std::fs::File>, mut take: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    while let Some(open) = pipe {
        match open.read(&mut chunk) {
            Ok(0) => *pipe = None,
            Ok(length) => {
                if !take(&chunk[..length]) {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
