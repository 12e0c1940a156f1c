//! What is done after a change is in place: labels, then the actions of the plan, each awaited and verified.

use std::collections::BTreeSet;
use std::path::Path;

use machineconfig::plan::{Action, Plan, Target};

use crate::change::State;
use crate::host::Root;
use crate::host::command::{Commands, Output};
use crate::host::systemd::{Systemd, Verb};
use crate::journal::{Begin, Journal};

/// The service whose reload `Special` means (MCO daemon 4.4).
const CRIO: &str = "crio.service";
/// Where a host with `SELinux` shows it.
const SELINUX: &str = "/sys/fs/selinux/enforce";

/// How services are reached.
#[derive(Debug)]
pub struct Acts<'a> {
    /// The node.
    pub root: &'a Root,
    /// How its programs are run.
    pub commands: &'a Commands,
    /// How its services are reached.
    pub services: Services<'a>,
}

/// How services are reached.
#[derive(Debug)]
pub enum Services<'a> {
    /// The node runs: every action is awaited.
    Running(&'a Systemd),
    /// The node is just booting: what runs already is told to start anew, and nobody waits, since what is started may wait for us.
    Booting(&'a Systemd),
    /// The root is that of no running system: what it will run starts with the new config anyway.
    Absent,
}

impl Acts<'_> {
    /// The actions of a plan in their order, with systemd reading its units first when any of them changes. A drain is the
    /// affair of who asked for the change, and done by now.
    #[must_use]
    pub fn due(&self, plan: &Plan) -> Vec<Action> {
        let reboot = plan.actions.contains(&Action::Reboot);
        let units = plan.steps.iter().any(|step| {
            matches!(step.target, Target::Unit { .. } | Target::Dropin { .. }) || is_unit_file(&step.target)
        });
        let mut due = Vec::new();
        if (units && !reboot) || plan.actions.contains(&Action::DaemonReload) {
            due.push(Action::DaemonReload);
        }
        for action in &plan.actions {
            match action {
                Action::Drain | Action::None | Action::DaemonReload => {}
                Action::Special => due.push(Action::Reload {
                    service: CRIO.to_owned(),
                }),
                Action::Reload { .. } | Action::Restart { .. } | Action::Reboot => due.push(action.clone()),
            }
        }
        due
    }

    /// Carries out one action; false when it is left to the caller or to the next boot.
    ///
    /// # Errors
    /// Why it failed, in words that name the unit.
    pub fn perform(&self, action: &Action) -> Result<bool, String> {
        match (&self.services, action) {
            // Whoever asked for the change decides when.
            (_, Action::Reboot) | (Services::Absent, _) => Ok(false),
            (Services::Running(systemd), action) => run(systemd, action).map(|()| true),
            (Services::Booting(systemd), action) => {
                let queued = |verb, unit| {
                    systemd
                        .queue(verb, unit)
                        .map_err(|error| crate::apply::chain(&error))
                };
                match action {
                    Action::DaemonReload => reload_manager(systemd),
                    Action::Reload { service } => queued(Verb::ReloadOrTryRestart, service),
                    Action::Restart { service } => queued(Verb::TryRestart, service),
                    Action::Special | Action::Drain | Action::None | Action::Reboot => Ok(()),
                }
                .map(|()| true)
            }
        }
    }

    /// After the old config is back: services that have seen the new one get the old one, so that they run as before.
    pub(crate) fn restore(&self, journal: &Journal) -> Result<(), String> {
        let (Services::Running(systemd) | Services::Booting(systemd)) = &self.services else {
            return Ok(());
        };
        if journal.phase_reached_publishing() {
            reload_manager(systemd)?;
        }
        let mut failed = Vec::new();
        // The one that failed was begun, so it counts too.
        for action in self.due(&journal.begin.plan) {
            let done = journal.acted(&action);
            let unit = match &action {
                Action::Restart { service } => Some((Verb::Restart, service.as_str())),
                Action::Reload { service } => Some((Verb::ReloadOrTryRestart, service.as_str())),
                Action::Special | Action::DaemonReload | Action::Drain | Action::None | Action::Reboot => {
                    None
                }
            };
            if let Some((verb, unit)) = unit
                && let Err(error) = systemd.run(verb, unit)
            {
                failed.push(crate::apply::chain(&error));
            }
            if !done && unit.is_some() {
                break;
            }
        }
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed.join("; "))
        }
    }

    /// Gives a program of ours the label that lets systemd run it, on a host with `SELinux`.
    pub(crate) fn label_program(&self, path: &str) -> Result<(), String> {
        if !self.root.is_there(Path::new(SELINUX)).unwrap_or(false) {
            return Ok(());
        }
        self.commands
            .run("chcon", ["-t", "bin_t", path])
            .and_then(Output::success)
            .map(|_| ())
            .map_err(|error| {
                format!(
                    "the SELinux label of {path} cannot be set: {}",
                    crate::apply::chain(&error)
                )
            })
    }

    /// Gives new files the label that the policy of a host with `SELinux` has for them. Files that were replaced have kept theirs.
    pub(crate) fn label(&self, begin: &Begin) -> Result<(), String> {
        if !self.root.is_there(Path::new(SELINUX)).unwrap_or(false) {
            return Ok(());
        }
        let new: BTreeSet<&str> = begin
            .changes
            .iter()
            .filter(|change| !matches!(change.old, State::File(_)) && change.new != State::Missing)
            .filter_map(|change| change.path.to_str())
            .chain(
                begin
                    .directories
                    .iter()
                    .filter_map(|directory| directory.path.to_str()),
            )
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let arguments: Vec<&str> = ["-F", "--"].into_iter().chain(new).collect();
        self.commands
            .run("restorecon", arguments)
            .and_then(Output::success)
            .map(|_| ())
            .map_err(|error| format!("SELinux labels cannot be set: {}", crate::apply::chain(&error)))
    }
}

/// Whether a file of the config is a unit or drop-in all the same.
fn is_unit_file(target: &Target) -> bool {
    match target {
        Target::File { path } => {
            path.starts_with("/etc/systemd/system/") || path.starts_with("/etc/systemd/system.conf.d/")
        }
        Target::OsImage
        | Target::KernelType
        | Target::Extensions
        | Target::KernelArguments
        | Target::Fips
        | Target::Unit { .. }
        | Target::Dropin { .. }
        | Target::SshKeys { .. }
        | Target::PasswordHash { .. }
        | Target::Accounts => false,
    }
}

fn run(systemd: &Systemd, action: &Action) -> Result<(), String> {
    let done = |verb, unit| {
        systemd
            .run(verb, unit)
            .map_err(|error| crate::apply::chain(&error))
    };
    match action {
        Action::DaemonReload => reload_manager(systemd),
        Action::Reload { service } => done(Verb::Reload, service),
        Action::Restart { service } => done(Verb::Restart, service),
        // The last is left to the caller; the others are none of those that are due.
        Action::Special | Action::Drain | Action::None | Action::Reboot => Ok(()),
    }
}

fn reload_manager(systemd: &Systemd) -> Result<(), String> {
    systemd
        .reload_manager()
        .map_err(|error| crate::apply::chain(&error))
}
