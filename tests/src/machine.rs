//! Real machines: a Debian root of their own with systemd as process 1, D-Bus, a journal, services, reboots and power cuts.
//!
//! A [`Machine`] is a systemd-nspawn container that a thread of ours boots again whenever it asks for a reboot. Real is all that lives
//! in user space; the kernel, its arguments and most of its settings are the host's. It has a network of its own, with nothing but a
//! loopback device, on which the test can listen too ([`Machine::listen`]).
//!
//! Its file system is one in memory, mounted on the host ([`Machine::root`]), so that a test looks at it, and changes it, from outside;
//! also while the machine is off. What is mounted inside only (`/run`, `/tmp`) is not seen there but below `/proc/<init>/root`
//! ([`Machine::inside`]). So the system bus is at `/proc/<init>/root/run/dbus/system_bus_socket` ([`Machine::bus`]); since the machine
//! has no user namespace, root outside is root for the bus.
//!
//! A machine ends with its value, also when the test panics. One whose test was killed shuts itself down, and what it leaves (a
//! directory, a mount, cgroups, a network namespace) is cleaned when the next machine is made.

pub(crate) mod cgroup;
mod image;
pub(crate) mod network;
pub(crate) mod place;
mod supervisor;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Pid;

pub use image::Image;

use crate::program::{Background, Ran, line, run, wait_for};
use place::Place;
use supervisor::Supervisor;

/// How long a boot may take; it takes a second, and several on a busy host.
pub const BOOT: Duration = Duration::from_mins(1);

/// How long a command inside may take when the test does not say.
pub const COMMAND: Duration = Duration::from_mins(1);

/// How long an orderly shutdown may take: systemd itself gives a service 90 s.
const SHUTDOWN: Duration = Duration::from_mins(2);

/// Where Debian's root finds its programs.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What systemd says of a machine that has booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Every unit that was to start did.
    Running,
    /// At least one unit failed.
    Degraded,
}

/// What a machine has beyond what every machine has.
#[derive(Debug, Clone, Default)]
pub struct Fittings {
    /// The program inside that runs before systemd, as the same process, and becomes systemd at its end. With one, the machine may do
    /// all that running containers takes: it has every capability, and may change the settings of its network.
    pub init: Option<&'static str>,
    /// Directories of the host that it sees, and cannot change: where they are on the host, and where inside.
    pub shared: Vec<(PathBuf, &'static str)>,
}

/// One machine. It is off or on; everything of it goes with the value.
#[derive(Debug)]
pub struct Machine {
    /// None: the machine is off. Before `place`, since what runs must end before its place is cleaned.
    supervisor: Option<Supervisor>,
    place: Place,
    name: String,
    fittings: Fittings,
}

// === making and power ===

impl Machine {
    /// Makes a machine that has never been booted: a copy of the image, and off. What a test puts into its root now is there at the
    /// first boot, in which systemd applies the presets. `name` becomes its host name; machines of the same name do not collide.
    pub fn create(image: &Image, name: &str) -> Result<Self> {
        Self::create_with(image, name, Fittings::default())
    }

    /// As [`Machine::create`], with more than every machine has.
    pub fn create_with(image: &Image, name: &str, fittings: Fittings) -> Result<Self> {
        let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ensure!(
            (1..=32).contains(&name.len()) && name.chars().all(valid),
            "{name:?} is no name for a machine: 1 to 32 lower case letters, digits and dashes"
        );
        let place = Place::claim().with_context(|| format!("could not make a place for machine {name}"))?;
        image
            .copy_to(&place.root())
            .with_context(|| format!("could not make the root of machine {name}"))?;
        fs::write(place.root().join("etc/hostname"), format!("{name}\n"))?;
        network::create(place.id())?;
        Ok(Self {
            supervisor: None,
            place,
            name: name.to_owned(),
            fittings,
        })
    }

    /// Makes a machine and boots it; it is up on return.
    pub fn start(image: &Image, name: &str) -> Result<Self> {
        let mut machine = Self::create(image, name)?;
        machine.power_on()?;
        machine.wait_running(BOOT)?;
        Ok(machine)
    }

    /// Switches a machine on that is off. It is not up yet on return: see [`Machine::wait_running`].
    pub fn power_on(&mut self) -> Result<()> {
        if self.is_on() {
            bail!("machine {} is on already", self.name);
        }
        self.supervisor = Some(Supervisor::start(&self.place, &self.name, &self.fittings)?);
        Ok(())
    }

    /// Cuts the power: process 1 and with it everything inside is killed, no service stops, nothing is synced. What was written is
    /// still there afterwards, synced or not, since the host's kernel goes on; so this shows what a process left half done, not what
    /// a disk lost.
    pub fn cut(&mut self) -> Result<()> {
        let Some(supervisor) = self.supervisor.take() else {
            bail!("machine {} is off already", self.name);
        };
        supervisor
            .cut()
            .with_context(|| format!("could not cut the power of machine {}", self.name))
    }

    /// Shuts the machine down in good order, and waits until it is off.
    pub fn power_off(&mut self) -> Result<()> {
        self.ask("poweroff")?;
        self.wait_off(SHUTDOWN)?;
        self.supervisor = None;
        Ok(())
    }

    /// Waits until the machine is off because of something inside.
    pub fn wait_off(&self, deadline: Duration) -> Result<()> {
        let Some(supervisor) = &self.supervisor else {
            return Ok(());
        };
        wait_for("the machine to be off", deadline, || {
            Ok(supervisor.ended().map(drop))
        })
        .with_context(|| self.report())
    }

    /// Asks for a reboot as an administrator would, and waits until the machine is up again. The result is the new boot id.
    pub fn reboot_and_wait(&self, deadline: Duration) -> Result<String> {
        let before = self.boot_id()?;
        self.reboot()?;
        self.wait_reboot(&before, deadline)
    }

    /// Asks for a reboot as an administrator would.
    pub fn reboot(&self) -> Result<()> {
        self.ask("reboot")
    }

    /// Waits until the machine, which was asked to reboot by whomever, is up with another boot id than `before`. The result is that
    /// new boot id.
    pub fn wait_reboot(&self, before: &str, deadline: Duration) -> Result<String> {
        let end = Instant::now() + deadline;
        let id = wait_for("another boot id", deadline, || {
            self.alive()?;
            // It cannot be read while one boot has ended and the next has not begun.
            Ok(self.boot_id().ok().filter(|id| id != before))
        })
        .with_context(|| self.report())?;
        self.wait_running(end.saturating_duration_since(Instant::now()))?;
        Ok(id)
    }

    /// Waits until systemd has started everything that is part of the boot.
    pub fn wait_running(&self, deadline: Duration) -> Result<Health> {
        let end = Instant::now() + deadline;
        wait_for("the end of the boot", deadline, || {
            self.alive()?;
            // Before there is a bus the question would only fail, at the cost of a process each time.
            if !self.bus().is_ok_and(|bus| bus.exists()) {
                return Ok(None);
            }
            let left = end.saturating_duration_since(Instant::now());
            let Ok(ran) = self.run_within(&["systemctl", "is-system-running", "--wait"], left) else {
                return Ok(None);
            };
            Ok(match ran.stdout.trim() {
                "running" => Some(Health::Running),
                "degraded" => Some(Health::Degraded),
                // Not up yet, or on its way down for a reboot.
                _ => None,
            })
        })
        .with_context(|| self.report())
    }

    fn ask(&self, what: &str) -> Result<()> {
        let ran = self.run(&["systemctl", what])?;
        // The shutdown may be quicker than the end of the command that asked for it, and then kills it.
        if ran.code.is_some_and(|code| code != 0) {
            bail!("systemctl {what} on machine {} failed: {}", self.name, ran.all());
        }
        Ok(())
    }

    /// Whether it is on: it runs, or is on its way up or down.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.supervisor
            .as_ref()
            .is_some_and(|supervisor| supervisor.ended().is_none())
    }

    /// Fails when nothing will ever boot this machine again by itself.
    fn alive(&self) -> Result<()> {
        match self.supervisor.as_ref().map(Supervisor::ended) {
            Some(None) => Ok(()),
            Some(Some(how)) => bail!("machine {} is off: {how}", self.name),
            None => bail!("machine {} is off", self.name),
        }
    }

    /// What helps to see why something did not come about.
    fn report(&self) -> String {
        format!(
            "machine {}; its console:\n{}",
            self.name,
            tail(&fs::read(self.place.console()).unwrap_or_default())
        )
    }
}

// === looking and acting ===

impl Machine {
    /// Its host name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What cgroups, network namespace and directory of this machine are called on the host; unique on it.
    #[must_use]
    pub fn id(&self) -> &str {
        self.place.id()
    }

    /// The file that stands for its network namespace on the host, whether the machine is on or off: `nsenter --net=FILE` enters it.
    #[must_use]
    pub fn network(&self) -> PathBuf {
        network::path(self.place.id())
    }

    /// Its file system as the host sees it, without what is mounted inside only; there whether the machine is on or off.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.place.root_path()
    }

    /// The process id, on the host, of the machine's process 1. It changes with each boot.
    pub fn init(&self) -> Result<Pid> {
        self.alive()?;
        let booted = self.place.cgroup().init().filter(|pid| cgroup::is_systemd(*pid));
        booted.with_context(|| format!("machine {} is between two boots", self.name))
    }

    /// An absolute path as processes inside see it, also on what is mounted inside only, for use on the host: `/run/x` is `/proc/<init>/root/run/x`. It
    /// holds until the next boot.
    pub fn inside(&self, path: &str) -> Result<PathBuf> {
        let root = format!("/proc/{}/root", self.init()?.as_raw_nonzero());
        Ok(Path::new(&root).join(path.trim_start_matches('/')))
    }

    /// The socket of its system bus, for a client on the host, until the next boot.
    pub fn bus(&self) -> Result<PathBuf> {
        self.inside("/run/dbus/system_bus_socket")
    }

    /// The boot id that programs inside see; another one after each boot.
    pub fn boot_id(&self) -> Result<String> {
        let path = self.inside("/proc/sys/kernel/random/boot_id")?;
        let id = fs::read_to_string(path)
            .with_context(|| format!("could not read the boot id of machine {}", self.name))?;
        Ok(id.trim().to_owned())
    }

    /// The command that runs a program inside as root: in all the machine's namespaces, with a small environment of its own. It ends
    /// by SIGKILL with the process that the command starts. Exit code 127: there is no such program inside.
    ///
    /// It is no unit of the machine. What a service would see of itself (cgroup, `INVOCATION_ID`, watchdog) takes a unit, or
    /// `systemd-run` inside.
    pub fn command(&self, argv: &[&str]) -> Result<Command> {
        Ok(entering(self.init()?, argv))
    }

    /// Runs a program inside to its end, which must come within [`COMMAND`].
    pub fn run(&self, argv: &[&str]) -> Result<Ran> {
        self.run_within(argv, COMMAND)
    }

    /// As [`Machine::run`], with another deadline.
    pub fn run_within(&self, argv: &[&str], deadline: Duration) -> Result<Ran> {
        run(&mut self.command(argv)?, deadline).with_context(|| format!("on machine {}", self.name))
    }

    /// Runs a program inside that must succeed. The result is what it wrote to standard output, without white space at the end.
    pub fn succeed(&self, argv: &[&str]) -> Result<String> {
        let ran = self.run(argv)?;
        if ran.code != Some(0) {
            bail!(
                "{} on machine {} ended with {:?}:\n{}",
                argv.join(" "),
                self.name,
                ran.code,
                ran.all()
            );
        }
        Ok(ran.stdout.trim_end().to_owned())
    }

    /// Starts a program inside, in the background; both its streams go to the file `log` on the host. It is killed when the value
    /// goes.
    pub fn spawn(&self, argv: &[&str], log: &Path) -> Result<Background> {
        Background::start(&mut self.command(argv)?, log)
    }

    /// A property of a unit, as `systemctl show` has it; empty when systemd knows none of that name.
    pub fn property(&self, unit: &str, property: &str) -> Result<String> {
        self.succeed(&["systemctl", "show", "--value", "--property", property, "--", unit])
    }

    /// Copies a program of the host to `/usr/local/bin` of the machine. It must run with the libraries of Debian 12. One that runs
    /// there already under this name keeps its old file. The result is its path inside.
    pub fn install_program(&self, program: &Path) -> Result<String> {
        let name = program.file_name().and_then(|name| name.to_str());
        let name = name.with_context(|| format!("{} is no program", program.display()))?;
        let dir = self.root().join("usr/local/bin");
        let partial = dir.join(format!(".{name}.partial"));
        fs::copy(program, &partial)
            .with_context(|| format!("could not copy {} to machine {}", program.display(), self.name))?;
        fs::set_permissions(&partial, fs::Permissions::from_mode(0o755))?;
        fs::rename(&partial, dir.join(name))?;
        Ok(format!("/usr/local/bin/{name}"))
    }

    /// A listener of this process on the machine's own loopback device: what runs inside can connect to it, nobody else can. It stays
    /// through reboots, as another computer would.
    pub fn listen(&self, address: SocketAddr) -> Result<TcpListener> {
        network::listen(self.place.id(), address)
    }

    /// What was written to its console in all its boots.
    #[must_use]
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.place.console()).unwrap_or_default()).into_owned()
    }

    /// The journal of all its boots, with precise times; there whether the machine is on or off.
    pub fn journal(&self) -> Result<String> {
        self.journal_with(&[])
    }

    /// What one unit has in the [journal](Machine::journal).
    pub fn journal_of(&self, unit: &str) -> Result<String> {
        self.journal_with(&["--unit", unit])
    }

    fn journal_with(&self, filter: &[&str]) -> Result<String> {
        if let Ok(mut sync) = self.command(&["journalctl", "--sync"]) {
            // A machine that goes down at this moment has nothing more to add.
            let _ = run(&mut sync, COMMAND);
        }
        let mut command = Command::new("journalctl");
        command.args([
            "--no-pager",
            "--quiet",
            "--output",
            "short-iso-precise",
            "--directory",
        ]);
        command.arg(self.root().join("var/log/journal")).args(filter);
        let ran = run(&mut command, COMMAND)?;
        if ran.code != Some(0) {
            bail!("{} ended with {:?}: {}", line(&command), ran.code, ran.stderr);
        }
        Ok(ran.stdout)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(supervisor) = self.supervisor.take()
            && let Err(error) = supervisor.cut()
        {
            // The place kills what is left, and says so when it cannot.
            eprintln!("machine {} did not end by a power cut: {error:#}", self.name);
        }
    }
}

/// The command that runs a program in the machine whose process 1 is `init`: see [`Machine::command`].
pub(crate) fn entering(init: Pid, argv: &[&str]) -> Command {
    let init = init.as_raw_nonzero().to_string();
    let mut command = Command::new("nsenter");
    command.args([
        "--target", &init, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
    ]);
    command.args(["--root", "--wd", "--"]);
    // nsenter passes no signal on. With this, what it started ends with it.
    command.args(["setpriv", "--pdeathsig", "KILL"]);
    command
        .args(["env", "-i", PATH, "HOME=/root", "LANG=C.UTF-8"])
        .args(argv);
    command
}

/// The end of a log, which is where the reason is.
pub(crate) fn tail(log: &[u8]) -> String {
    let log = String::from_utf8_lossy(log);
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
