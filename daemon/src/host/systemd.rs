//! The one way to systemd and logind: D-Bus, never `systemctl`.
//!
//! [`Systemd`] is the entry point. It waits for what it asked for, always within a bound, so it must not be called from an
//! asynchronous task.

mod bus;
mod direct;
mod error;
mod job;
mod logind;
mod proxy;
mod state;
#[cfg(test)]
pub(crate) mod tests;

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::enablement::State as FileState;
use super::unit_name;
use bus::Bus;
pub use error::{BusError, Died, JobResult, UnitFailed};
pub use job::Verb;
pub use logind::Inhibitor;
pub use state::{ActiveState, Ended, UnitState};

/// The system bus of a host.
const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";

/// Where systemd itself listens, before there is a bus and when it has failed. Only root may connect; logind is not there.
const PRIVATE_SOCKET: &str = "/run/systemd/private";

/// How long to wait for what, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// To connect and be answered once. Five seconds: a bus that is being started keeps its clients waiting, and at boot
    /// systemd's private socket answers meanwhile.
    pub connect: Duration,
    /// For the answer to one call. 25 s, D-Bus's own custom.
    pub call: Duration,
    /// For the manager to read all units anew. 180 s, as `systemctl daemon-reload` waits: many generators on a slow disk.
    pub reload: Duration,
    /// For the result of one job. Five minutes: systemd itself gives up after 90 s to stop and 90 s to start unless the unit
    /// says otherwise, and other jobs may come first.
    pub job: Duration,
    /// How long a unit has to stay up before it counts as started: a second, in which a program that cannot read its
    /// configuration has long ended. systemd calls a `Type=simple` service started before its program has done anything.
    pub settle: Duration,
}

/// A connection to the systemd of a host.
///
/// It is made for one piece of work, not for the life of a process: when the bus is restarted, calls fail with
/// [`BusError::Lost`], and a new connection is to be made.
#[derive(Debug)]
pub struct Systemd {
    // Dropped before the runtime it runs on.
    bus: Bus,
    runtime: Runtime,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            call: Duration::from_secs(25),
            reload: Duration::from_mins(3),
            job: Duration::from_mins(5),
            settle: Duration::from_secs(1),
        }
    }
}

// === impl Systemd ===

impl Systemd {
    /// Connects to the systemd of the host whose root is `host_root`: over the system bus, or over systemd's own socket when
    /// the bus does not answer.
    pub fn connect(host_root: &Path) -> Result<Self, BusError> {
        Self::connect_within(host_root, Limits::default())
    }

    /// The same with other limits.
    pub fn connect_within(host_root: &Path, limits: Limits) -> Result<Self, BusError> {
        let over_bus = match Self::at(host_root, SYSTEM_BUS, Peer::Bus, limits) {
            Ok(systemd) => return Ok(systemd),
            Err(error) => error,
        };
        tracing::debug!(error = %over_bus, "The system bus does not answer");
        Self::connect_early(host_root, limits).map_err(|private| BusError::NoSystemd {
            bus: Box::new(over_bus),
            private: Box::new(private),
        })
    }

    /// Connects to systemd's own socket only, which answers from the first moment of a boot. logind is not to be had there.
    pub fn connect_early(host_root: &Path, limits: Limits) -> Result<Self, BusError> {
        Self::at(host_root, PRIVATE_SOCKET, Peer::Systemd, limits)
    }

    /// Speaks to a systemd at the other end of `stream`, with no bus in between. A logind may be there too.
    pub fn over(stream: UnixStream, limits: Limits) -> Result<Self, BusError> {
        Self::with(limits, Bus::over(stream, limits))
    }

    /// Has systemd read all unit files anew, and waits until it has.
    pub fn reload_manager(&self) -> Result<(), BusError> {
        self.runtime.block_on(self.bus.reload())
    }

    /// Does `verb` to `unit` and waits for the result; except after a stop, the unit also has to stay up for
    /// [`Limits::settle`]. What systemd skips (a condition that does not hold, a unit that does not run) is no failure.
    ///
    /// A job that gives no result in time is left to systemd, which has a time limit of its own for it.
    pub fn run(&self, verb: Verb, unit: &str) -> Result<(), UnitFailed> {
        tracing::debug!(%verb, unit, "Asking systemd");
        self.runtime.block_on(self.bus.run(verb, unit))
    }

    /// [`Verb::Start`], see [`Systemd::run`].
    pub fn start(&self, unit: &str) -> Result<(), UnitFailed> {
        self.run(Verb::Start, unit)
    }

    /// [`Verb::Stop`], see [`Systemd::run`].
    pub fn stop(&self, unit: &str) -> Result<(), UnitFailed> {
        self.run(Verb::Stop, unit)
    }

    /// [`Verb::Restart`], see [`Systemd::run`].
    pub fn restart(&self, unit: &str) -> Result<(), UnitFailed> {
        self.run(Verb::Restart, unit)
    }

    /// [`Verb::Reload`], see [`Systemd::run`].
    pub fn reload(&self, unit: &str) -> Result<(), UnitFailed> {
        self.run(Verb::Reload, unit)
    }

    /// [`Verb::TryRestart`], see [`Systemd::run`].
    pub fn try_restart(&self, unit: &str) -> Result<(), UnitFailed> {
        self.run(Verb::TryRestart, unit)
    }

    /// [`Verb::ReloadOrTryRestart`], see [`Systemd::run`].
    pub fn reload_or_try_restart(&self, unit: &str) -> Result<(), UnitFailed> {
        self.run(Verb::ReloadOrTryRestart, unit)
    }

    /// Has systemd do `verb` to `unit` and does not wait: for early boot, where a job may have to wait for the caller's unit.
    pub fn queue(&self, verb: Verb, unit: &str) -> Result<(), UnitFailed> {
        tracing::debug!(%verb, unit, "Queueing with systemd");
        self.runtime.block_on(self.bus.queue(verb, unit))
    }

    /// Enables units by their `[Install]` sections, replacing links that are in the way. Nothing is started, and the manager
    /// learns of it at the next [`Systemd::reload_manager`]; so with the four that follow.
    pub fn enable(&self, units: &[&str]) -> Result<(), BusError> {
        let units = valid(units)?;
        let call = self.bus.manager.enable_unit_files(&units, false, true);
        self.bounded("EnableUnitFiles", call).map(drop)
    }

    /// Removes every link that enables a unit.
    pub fn disable(&self, units: &[&str]) -> Result<(), BusError> {
        let units = valid(units)?;
        let call = self.bus.manager.disable_unit_files(&units, false);
        self.bounded("DisableUnitFiles", call).map(drop)
    }

    /// Makes units impossible to start. Fails for a unit whose file is in `/etc`: a link would have to replace it.
    pub fn mask(&self, units: &[&str]) -> Result<(), BusError> {
        let units = valid(units)?;
        let call = self.bus.manager.mask_unit_files(&units, false, false);
        self.bounded("MaskUnitFiles", call).map(drop)
    }

    /// Undoes [`Systemd::mask`].
    pub fn unmask(&self, units: &[&str]) -> Result<(), BusError> {
        let units = valid(units)?;
        let call = self.bus.manager.unmask_unit_files(&units, false);
        self.bounded("UnmaskUnitFiles", call).map(drop)
    }

    /// Enables or disables units as the host's presets say.
    pub fn preset(&self, units: &[&str]) -> Result<(), BusError> {
        let units = valid(units)?;
        let call = self.bus.manager.preset_unit_files(&units, false, true);
        self.bounded("PresetUnitFiles", call).map(drop)
    }

    /// Whether `unit` is enabled, in the words of `systemctl is-enabled`.
    pub fn unit_file_state(&self, unit: &str) -> Result<FileState, BusError> {
        if !unit_name::is_valid(unit) {
            return Ok(FileState::Bad);
        }
        let call = self.bus.manager.get_unit_file_state(unit);
        match self.bounded("GetUnitFileState", call) {
            Ok(answer) => state::file_state(&answer),
            Err(error) if error.says_not_found() => Ok(FileState::NotFound),
            Err(error) => Err(error),
        }
    }

    /// All that is told here of how `unit` fares. A unit that does not exist is inactive.
    pub fn state(&self, unit: &str) -> Result<UnitState, BusError> {
        self.runtime.block_on(self.bus.state(unit))
    }

    /// Whether `unit` runs.
    pub fn active_state(&self, unit: &str) -> Result<ActiveState, BusError> {
        Ok(self.state(unit)?.active)
    }

    /// What tells one run of `unit` from the next: 32 hexadecimal digits. None when it has not run since boot.
    pub fn invocation_id(&self, unit: &str) -> Result<Option<String>, BusError> {
        Ok(self.state(unit)?.invocation)
    }

    /// The units that have failed, sorted.
    pub fn failed_units(&self) -> Result<Vec<String>, BusError> {
        let call = self.bus.manager.list_units_filtered(&["failed"]);
        let units = self.bounded("ListUnitsFiltered", call)?;
        let mut names: Vec<String> = units.into_iter().map(|unit| unit.0).collect();
        names.sort();
        Ok(names)
    }

    /// Keeps the host from shutting down, rebooting and sleeping until the [`Inhibitor`] is dropped, and tells people `why`.
    ///
    /// The inhibitor blocks; one that delays would hold for five seconds only, less than one unit may take to restart. Whoever
    /// has to can overrule it (`systemctl reboot --force`), and a reboot by force does no harm that recovery does not mend.
    pub fn inhibit(&self, why: &str) -> Result<Inhibitor, BusError> {
        self.runtime.block_on(self.bus.inhibit(why))
    }

    /// Has the host reboot in good order, and people told the `reason`; returns once that is accepted. Without logind it is
    /// `reboot.target` that is started.
    ///
    /// An [`Inhibitor`] has to be dropped before: newer versions of logind heed it even if it is the caller's.
    pub fn reboot(&self, reason: &str) -> Result<(), BusError> {
        tracing::info!(reason, "Rebooting the host");
        self.runtime.block_on(self.bus.reboot(reason))
    }

    fn at(host_root: &Path, socket: &str, peer: Peer, limits: Limits) -> Result<Self, BusError> {
        let socket = host_root.join(socket.trim_start_matches('/'));
        Self::with(limits, Bus::at(&socket, peer, limits))
    }

    fn with(limits: Limits, bus: impl Future<Output = Result<Bus, BusError>>) -> Result<Self, BusError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(BusError::Runtime)?;
        let connected = runtime.block_on(async { tokio::time::timeout(limits.connect, bus).await });
        let bus = connected.unwrap_or(Err(BusError::NoAnswer {
            call: "Connect",
            after: limits.connect,
        }))?;
        Ok(Self { bus, runtime })
    }

    fn bounded<T>(
        &self,
        call: &'static str,
        answer: impl Future<Output = zbus::Result<T>>,
    ) -> Result<T, BusError> {
        self.runtime
            .block_on(self.bus.bounded(call, self.bus.limits.call, answer))
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    /// A bus, with systemd and logind on it.
    Bus,
    /// systemd itself.
    Systemd,
}

/// The names, if each is one that a unit can have.
fn valid<'a>(units: &[&'a str]) -> Result<Vec<&'a str>, BusError> {
    match units.iter().find(|unit| !unit_name::is_valid(unit)) {
        Some(unit) => Err(BusError::UnitName((*unit).to_owned())),
        None => Ok(units.to_vec()),
    }
}
