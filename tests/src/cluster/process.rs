//! A program of the control plane: in the cluster's network namespace and cgroups, watched over by a thread of its own.

use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process};

use super::place::Place;
use crate::machine::cgroup::ENTER;
use crate::program::Background;

/// One running program; it ends with this value.
#[derive(Debug)]
pub(super) struct Process {
    background: Arc<Mutex<Background>>,
    /// While it is there, so is the thread.
    stay: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts `argv` with its streams in the file `log`.
    pub(super) fn start(place: &Place, argv: &[String], log: &Path) -> Result<Self> {
        let mut command = Command::new("sh");
        command
            .args(["-c", ENTER, "enter"])
            .args(place.cgroup().doors())
            .args(["--", "setpriv", "--pdeathsig", "KILL"])
            .args(["ip", "netns", "exec", &place.id()])
            .args(argv);
        let log = log.to_owned();
        let (stay, stays) = channel();
        let (tell, told) = channel();
        // The kernel ends the program with the thread that started it; the caller's may end before the cluster does.
        let thread = thread::Builder::new()
            .name(argv.first().cloned().unwrap_or_default())
            .spawn(move || watch(command, &log, &tell, &stays))
            .context("could not start a thread")?;
        let background = told.recv().map_err(|_| anyhow!("the thread panicked"))??;
        Ok(Self {
            background,
            stay: Some(stay),
            thread: Some(thread),
        })
    }

    /// Kills it, as a fault would: it has no time for anything.
    pub(super) fn kill(&self) -> Result<()> {
        let mut background = self.background();
        background.check()?;
        let pid = i32::try_from(background.id()).ok().and_then(Pid::from_raw);
        // It was there a moment ago, and its number stays its own until somebody looks again.
        kill_process(pid.context("it has no number")?, Signal::KILL).context("could not send the signal")
    }

    /// Fails, with what it wrote, when it is no longer there.
    pub(super) fn check(&self) -> Result<()> {
        self.background().check()
    }

    fn background(&self) -> MutexGuard<'_, Background> {
        self.background.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread does.
fn watch(
    mut command: Command,
    log: &Path,
    tell: &Sender<Result<Arc<Mutex<Background>>>>,
    stays: &Receiver<()>,
) {
    let started = Background::start(&mut command, log).map(|background| Arc::new(Mutex::new(background)));
    let held = started.as_ref().ok().map(Arc::clone);
    // Fails when nobody waits any more, and then the program ends with what holds it.
    let _ = tell.send(started);
    // Nothing is ever sent: it ends when the sender goes.
    let _ = stays.recv();
    drop(held);
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.stay.take());
        if let Some(thread) = self.thread.take() {
            // It does nothing that could panic.
            let _ = thread.join();
        }
    }
}
