//! The thread that boots one machine, and boots it again whenever it asks for a reboot.

use std::fs::File;
use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use super::Fittings;
use super::cgroup::{Cgroup, ENTER};
use super::network;
use super::place::Place;
use crate::program::wait_for;

/// With this status systemd-nspawn says that the machine wants to be booted again, when nobody else (`--keep-unit`) would see to it.
const REBOOT: i32 = 133;

/// How long systemd-nspawn may take to end after the machine's process 1 was killed.
const CUT: Duration = Duration::from_secs(20);

/// Whether the machine is, or is to be, on.
#[derive(Debug)]
enum Power {
    /// It runs, or boots, or is between two boots.
    On,
    /// As `On`, but its next end is the last: somebody cuts the power.
    Cut,
    /// It has ended, and nobody boots it: how.
    Off(String),
}

/// A machine that was switched on.
#[derive(Debug)]
pub(super) struct Supervisor {
    power: Arc<Mutex<Power>>,
    cgroup: Cgroup,
    thread: JoinHandle<()>,
}

impl Supervisor {
    /// Switches the machine on.
    pub(super) fn start(place: &Place, name: &str, fittings: &Fittings) -> Result<Self> {
        let power = Arc::new(Mutex::new(Power::On));
        let boots = Boots {
            power: Arc::clone(&power),
            cgroup: place.cgroup().clone(),
            console: File::options()
                .create(true)
                .append(true)
                .open(place.console())
                .context("could not open the file for the console")?,
            arguments: arguments(place, name, fittings),
            network_settings: fittings.init.is_some(),
        };
        let thread = thread::Builder::new()
            .name(format!("machine {name}"))
            .spawn(move || boots.all())
            .context("could not start the thread that boots the machine")?;
        Ok(Self {
            power,
            cgroup: place.cgroup().clone(),
            thread,
        })
    }

    /// How it ended, if it did.
    pub(super) fn ended(&self) -> Option<String> {
        match &*lock(&self.power) {
            Power::On | Power::Cut => None,
            Power::Off(how) => Some(how.clone()),
        }
    }

    /// Kills the machine's process 1 and waits for the end.
    pub(super) fn cut(self) -> Result<()> {
        {
            let mut power = lock(&self.power);
            match *power {
                Power::On | Power::Cut => *power = Power::Cut,
                Power::Off(_) => {}
            }
        }
        let end = wait_for("the end of systemd-nspawn", CUT, || {
            // Again and again: at the start of a boot there is no process 1 yet.
            self.cgroup.kill_init()?;
            Ok(self.ended())
        });
        if end.is_err() {
            // systemd-nspawn itself hangs; it is in the cgroup too.
            self.cgroup.destroy()?;
        }
        self.thread
            .join()
            .map_err(|_| anyhow!("the thread that boots the machine panicked"))
    }
}

/// What the thread has.
struct Boots {
    power: Arc<Mutex<Power>>,
    cgroup: Cgroup,
    console: File,
    arguments: Vec<String>,
    /// Whether the machine may change the settings of its network.
    network_settings: bool,
}

impl Boots {
    /// Boots until the machine ends without wanting to be booted again.
    fn all(self) {
        let how = loop {
            match self.one() {
                Ok(Some(status)) if status.code() == Some(REBOOT) => {}
                Ok(Some(status)) => break format!("systemd-nspawn ended with {status}"),
                Ok(None) => break "the power was cut between two boots".to_owned(),
                Err(error) => break format!("it could not be booted: {error:#}"),
            }
        };
        *lock(&self.power) = Power::Off(how);
    }

    /// One boot, from its begin to its end; none when the power has been cut.
    fn one(&self) -> Result<Option<ExitStatus>> {
        self.cgroup.create()?;
        let child = {
            // Held meanwhile: who cuts the power afterwards finds a process to kill.
            let power = lock(&self.power);
            match *power {
                Power::On => Some(self.spawn()?),
                Power::Cut | Power::Off(_) => None,
            }
        };
        let status = match child {
            Some(mut child) => Some(child.wait().context("could not wait for systemd-nspawn")?),
            None => None,
        };
        self.cgroup.remove()?;
        Ok(status)
    }

    fn spawn(&self) -> Result<Child> {
        let mut command = Command::new("sh");
        command.args(["-c", ENTER, "enter"]).args(self.cgroup.doors());
        command.arg("--").args(&self.arguments);
        let streams =
            || -> io::Result<(File, File)> { Ok((self.console.try_clone()?, self.console.try_clone()?)) };
        let (out, err) = streams().context("could not open the console")?;
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        if self.network_settings {
            // Of all that is below /proc/sys this makes the machine's own part writable, and nothing of the host.
            command.env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network");
        }
        command.spawn().context("could not start systemd-nspawn")
    }
}

fn lock(power: &Mutex<Power>) -> MutexGuard<'_, Power> {
    // A value that is one assignment is never half changed.
    power.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The command that boots a machine.
fn arguments(place: &Place, name: &str, fittings: &Fittings) -> Vec<String> {
    // When the thread that boots it ends, since its process was killed, the machine is told to shut down.
    let parent = ["setpriv", "--pdeathsig", "TERM"].map(ToOwned::to_owned);
    // Nothing of the host is asked or told: there need be no systemd on it.
    let nspawn = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit"].map(ToOwned::to_owned);
    let machine = [
        format!("--directory={}", place.root_path().display()),
        format!("--machine={}", place.id()),
        format!("--hostname={name}"),
        format!("--network-namespace-path={}", network::path(place.id()).display()),
    ];
    let rest = [
        "--resolv-conf=off",
        "--timezone=off",
        // Its journal is in its root, and only there.
        "--link-journal=no",
        "--console=pipe",
        // On SIGTERM systemd-nspawn asks the systemd inside to shut down.
        "--kill-signal=SIGRTMIN+3",
    ];
    let rest = rest.map(ToOwned::to_owned);
    let shared = fittings
        .shared
        .iter()
        .map(|(host, inside)| format!("--bind-ro={}:{inside}", host.display()));
    parent
        .into_iter()
        .chain(nspawn)
        .chain(machine)
        .chain(rest)
        .chain(shared)
        .chain(powers(fittings))
        .collect()
}

/// What it may do, and its first program, which comes last.
fn powers(fittings: &Fittings) -> Vec<String> {
    match fittings.init {
        // Its network is its own.
        None => vec!["--capability=CAP_NET_ADMIN".to_owned(), "--boot".to_owned()],
        // The program of our own is there because `--boot` knows only systemd's.
        Some(init) => vec![
            "--capability=all".to_owned(),
            "--system-call-filter=@keyring bpf".to_owned(),
            init.to_owned(),
        ],
    }
}
