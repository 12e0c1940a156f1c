//! What is done after a change is in place: labels, then the actions of the plan, each awaited and verified.

use std::collections::BTreeSet;
use std::path::Path;

use machineconfig::plan::{Action, Plan, Target};

use crate::change::State;
use crate::host::Root;
use crate::host::command::{Commands, Output};
use crate::host::enablement::State as FileState;
use crate::host::systemd::{ActiveState, Systemd, Verb};
use crate::journal::{Begin, Journal};

/// The service whose reload `Special` means (MCO daemon 4.4).
const CRIO: &str = "crio.service";
/// The service that makes the host trust certificates which were added or removed (MCO daemon 4.4).
const UPDATE_TRUST: &str = "coreos-update-ca-trust.service";
/// What it runs, for hosts that have the program only.
const UPDATE_TRUST_PROGRAM: &str = "update-ca-trust";
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
    /// The boot it is in; empty for a root that is not the running system's.
    pub boot_id: &'a str,
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
        let mut due = Vec::new();
        if (units_change(plan) && !reboot) || plan.actions.contains(&Action::DaemonReload) {
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

    /// Whether an action is carried out here and now. Others are left to the caller or to the next boot.
    #[must_use]
    pub fn carries_out(&self, action: &Action) -> bool {
        match (&self.services, action) {
            // Whoever asked for the change decides when.
            (_, Action::Reboot) | (Services::Absent, _) => false,
            (Services::Running(_) | Services::Booting(_), _) => true,
        }
    }

    /// Whether the unit that an action is about runs; `None` when it is about none, or systemd does not say.
    #[must_use]
    pub fn is_active(&self, action: &Action) -> Option<bool> {
        let (Services::Running(systemd) | Services::Booting(systemd)) = &self.services else {
            return None;
        };
        let state = systemd.active_state(unit(action)?).ok()?;
        Some(state.is_up())
    }

    /// Carries out one action; false when it is left to the caller or to the next boot.
    ///
    /// # Errors
    /// Why it failed, in words that name the unit.
    pub fn perform(&self, action: &Action) -> Result<bool, String> {
        let (Services::Running(systemd) | Services::Booting(systemd)) = &self.services else {
            return Ok(false);
        };
        if !self.carries_out(action) {
            return Ok(false);
        }
        match action {
            Action::DaemonReload => reload_manager(systemd)?,
            // Nobody has read the old file. The built-in policy reloads CRI-O on hosts without it, too.
            Action::Reload { service } if is_idle(systemd, service) => {}
            Action::Reload { service } => self.ask(systemd, Verb::Reload, service)?,
            Action::Restart { service } if service == UPDATE_TRUST && is_missing(systemd, service) => {
                self.update_trust()?;
            }
            Action::Restart { service } => self.ask(systemd, Verb::Restart, service)?,
            // The last was left to the caller; the others are none of those that are due.
            Action::Special | Action::Drain | Action::None | Action::Reboot => {}
        }
        Ok(true)
    }

    /// Has systemd do something to a unit. While the node boots nobody waits, and only what runs already is touched.
    fn ask(&self, systemd: &Systemd, verb: Verb, unit: &str) -> Result<(), String> {
        let asked = match &self.services {
            Services::Booting(_) => {
                let verb = match verb {
                    Verb::Start | Verb::Restart | Verb::TryRestart => Verb::TryRestart,
                    Verb::Reload | Verb::ReloadOrTryRestart => Verb::ReloadOrTryRestart,
                    Verb::Stop => Verb::Stop,
                };
                systemd.queue(verb, unit)
            }
            Services::Running(_) | Services::Absent => systemd.run(verb, unit),
        };
        asked.map_err(|error| crate::apply::chain(&error))
    }

    fn update_trust(&self) -> Result<(), String> {
        self.commands
            .run(UPDATE_TRUST_PROGRAM, [""; 0])
            .and_then(Output::success)
            .map(drop)
            .map_err(|error| crate::apply::chain(&error))
    }

    /// After the old config is back: services that may have seen the new one get the old one, and those that did not run before are
    /// stopped again. What was not begun has seen nothing. One that fails does not stop the others.
    pub(crate) fn restore(&self, journal: &Journal) -> Result<(), String> {
        let (Services::Running(systemd) | Services::Booting(systemd)) = &self.services else {
            return Ok(());
        };
        let mut failed = Vec::new();
        if journal.phase_reached_publishing() && units_change(&journal.begin.plan) {
            failed.extend(reload_manager(systemd).err());
        }
        for (action, was_active) in journal.begun() {
            let before = Before::of(was_active, journal.begin.boot_id == self.boot_id);
            failed.extend(self.put_back(systemd, action, before).err());
        }
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed.join("; "))
        }
    }

    fn put_back(&self, systemd: &Systemd, action: &Action, before: Before) -> Result<(), String> {
        let (verb, unit) = match (action, before) {
            // What it has done is on disk, so it is done again, whether it ran before or not.
            (Action::Restart { service }, _) if service == UPDATE_TRUST => {
                return self.perform(action).map(drop);
            }
            (Action::Restart { service }, Before::Ran) => (Verb::Restart, service),
            (Action::Restart { service }, Before::Idle) => (Verb::Stop, service),
            // The boot may have started it, and then it is to run on.
            (Action::Restart { service }, Before::IdleInAnotherBoot) => (Verb::TryRestart, service),
            (Action::Reload { service }, Before::Ran | Before::IdleInAnotherBoot) => {
                (Verb::ReloadOrTryRestart, service)
            }
            // A reload starts nothing.
            (Action::Reload { .. }, Before::Idle)
            | (
                Action::Special | Action::DaemonReload | Action::Drain | Action::None | Action::Reboot,
                Before::Ran | Before::Idle | Before::IdleInAnotherBoot,
            ) => return Ok(()),
        };
        if !is_missing(systemd, unit) {
            return self.ask(systemd, verb, unit);
        }
        // The change brought it, and it went with it; what runs of it is not of the old config.
        match systemd.active_state(unit) {
            Ok(state) if !state.is_up() => Ok(()),
            Ok(_) | Err(_) => self.ask(systemd, Verb::Stop, unit),
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

/// What a unit did before a change touched it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// It ran, in whichever boot; or nobody knows, and then it is better up than down.
    Ran,
    /// It did not run.
    Idle,
    /// It did not run in the boot that the change began in, and that is over.
    IdleInAnotherBoot,
}

impl Before {
    fn of(was_active: Option<bool>, same_boot: bool) -> Self {
        match (was_active, same_boot) {
            (Some(true) | None, _) => Before::Ran,
            (Some(false), true) => Before::Idle,
            (Some(false), false) => Before::IdleInAnotherBoot,
        }
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

/// Whether a plan changes what systemd reads of its units.
fn units_change(plan: &Plan) -> bool {
    let of_units = plan.steps.iter().any(|step| {
        matches!(step.target, Target::Unit { .. } | Target::Dropin { .. }) || is_unit_file(&step.target)
    });
    of_units || plan.actions.contains(&Action::DaemonReload)
}

/// The unit that an action is about.
fn unit(action: &Action) -> Option<&str> {
    match action {
        Action::Reload { service } | Action::Restart { service } => Some(service),
        Action::Special | Action::DaemonReload | Action::Drain | Action::None | Action::Reboot => None,
    }
}

/// Whether a unit does not run and has not failed; so it is with one that is not there. When systemd does not say, what comes next tells.
fn is_idle(systemd: &Systemd, unit: &str) -> bool {
    systemd
        .active_state(unit)
        .is_ok_and(|state| state == ActiveState::Inactive)
}

/// Whether a unit has no file. When systemd does not say, what comes next tells.
fn is_missing(systemd: &Systemd, unit: &str) -> bool {
    systemd
        .unit_file_state(unit)
        .is_ok_and(|state| state == FileState::NotFound)
}

fn reload_manager(systemd: &Systemd) -> Result<(), String> {
    systemd
        .reload_manager()
        .map_err(|error| crate::apply::chain(&error))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use machineconfig::plan::Action;

    use super::*;
    use crate::host::systemd::tests::fake::{Fake, Moment, RUNNING, Script};
    use crate::journal::Event;
    use crate::journal::tests::text;

    /// The boot that the tests happen in.
    const BOOT: &str = "this";

    const IDLE: Moment = Moment {
        active: "inactive",
        sub: "dead",
        ..RUNNING
    };

    fn restart(service: &str) -> Action {
        Action::Restart {
            service: service.to_owned(),
        }
    }

    fn reload(service: &str) -> Action {
        Action::Reload {
            service: service.to_owned(),
        }
    }

    /// What is asked of systemd, without questions.
    fn asked(fake: &Fake) -> Vec<String> {
        let mut calls = fake.calls();
        calls.retain(|call| call != "Subscribe" && !call.starts_with("GetUnitFileState"));
        calls
    }

    /// Does `work` on a host whose units are all as `script` says; gives what was asked of its systemd, and which of its programs ran.
    fn on<T>(script: Script, work: impl FnOnce(&Acts<'_>) -> T) -> (T, Vec<String>, String) {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        let (launcher, log) = (directory.path().join("launcher"), directory.path().join("log"));
        fs::write(
            &launcher,
            format!("#!/bin/sh\necho \"$*\" >> {}\n", log.display()),
        )
        .unwrap();
        fs::set_permissions(&launcher, fs::Permissions::from_mode(0o755)).unwrap();
        let commands = Commands::new(directory.path()).unwrap().with_launcher(launcher);
        let (fake, systemd) = Fake::start(script);
        let acts = Acts {
            root: &root,
            commands: &commands,
            services: Services::Running(&systemd),
            boot_id: BOOT,
        };
        let result = work(&acts);
        (result, asked(&fake), fs::read_to_string(&log).unwrap_or_default())
    }

    fn with(moment: Moment, file_state: Option<&'static str>) -> Script {
        Script {
            moments: [moment].into(),
            file_state,
            ..Script::default()
        }
    }

    fn acting(action: &Action, was_active: Option<bool>) -> Event {
        Event::Acting {
            action: action.clone(),
            was_active,
        }
    }

    /// A journal of a change that brought units and was to do `actions`.
    fn journal(actions: &[Action], events: &[Event]) -> Journal {
        let mut journal = Journal::parse(&text(events)).unwrap();
        journal.begin.plan.actions = [&[Action::DaemonReload], actions].concat();
        journal.begin.boot_id = BOOT.to_owned();
        journal
    }

    #[test]
    fn a_reload_of_what_does_not_run_is_done() {
        let crio = reload("crio.service");
        for (moment, expected) in [(IDLE, &[][..]), (RUNNING, &["ReloadUnit crio.service replace"])] {
            let (done, asked, _) = on(with(moment, None), |acts| acts.perform(&crio));
            assert_eq!(done, Ok(true));
            assert_eq!(asked, expected, "{moment:?}");
        }
    }

    #[test]
    fn trust_is_updated_by_the_program_where_the_service_is_not_there() {
        let action = restart(UPDATE_TRUST);
        let (done, asked, ran) = on(with(IDLE, None), |acts| acts.perform(&action));
        assert_eq!((done, asked.len()), (Ok(true), 0), "{asked:?}");
        assert!(ran.contains(UPDATE_TRUST_PROGRAM), "{ran:?}");
        let (done, asked, ran) = on(with(RUNNING, Some("static")), |acts| acts.perform(&action));
        assert_eq!((done, ran.as_str()), (Ok(true), ""));
        assert_eq!(asked, [format!("RestartUnit {UPDATE_TRUST} replace")]);
        // No other service has a program to take its place.
        let refused = Script {
            job: crate::host::systemd::tests::fake::Job::Refused,
            ..with(IDLE, None)
        };
        let (done, _, ran) = on(refused, |acts| acts.perform(&restart("gone.service")));
        assert!(done.is_err_and(|why| why.contains("gone.service")));
        assert_eq!(ran, "");
    }

    #[test]
    fn units_that_were_begun_are_put_back_as_they_were() {
        let (a, b) = (restart("a.service"), reload("b.service"));
        let published = [Event::Committed, Event::Published];
        let cases: [(&[Event], &[&str]); 6] = [
            (&[], &["Reload"]),
            (
                &[acting(&a, Some(true))],
                &["Reload", "RestartUnit a.service replace"],
            ),
            (&[acting(&a, None)], &["Reload", "RestartUnit a.service replace"]),
            (
                &[acting(&a, Some(false))],
                &["Reload", "StopUnit a.service replace"],
            ),
            (
                &[
                    acting(&a, Some(false)),
                    Event::Acted { action: a.clone() },
                    acting(&b, Some(true)),
                ],
                &[
                    "Reload",
                    "StopUnit a.service replace",
                    "ReloadOrTryRestartUnit b.service replace",
                ],
            ),
            (&[acting(&b, Some(false))], &["Reload"]),
        ];
        for (begun, expected) in cases {
            let journal = journal(&[a.clone(), b.clone()], &[&published, begun].concat());
            let (done, asked, _) = on(with(RUNNING, Some("enabled")), |acts| acts.restore(&journal));
            assert_eq!(done, Ok(()), "{begun:?}");
            assert_eq!(asked, expected, "{begun:?}");
        }
        // Nothing was published, or no unit changed: systemd has nothing to read anew.
        let staged = journal(std::slice::from_ref(&a), &[]);
        let mut no_unit = journal(&[], &published);
        no_unit.begin.plan.actions.clear();
        for journal in [staged, no_unit] {
            let (done, asked, _) = on(with(RUNNING, Some("enabled")), |acts| acts.restore(&journal));
            assert_eq!((done, asked.len()), (Ok(()), 0), "{asked:?}");
        }
    }

    #[test]
    fn what_ran_before_is_noted_before_it_is_touched() {
        let (a, b) = (restart("a.service"), reload("b.service"));
        for (moment, was_active) in [(RUNNING, Some(true)), (IDLE, Some(false))] {
            let events = [Event::Committed];
            let mut journal = journal(&[a.clone(), b.clone(), Action::Reboot], &events);
            journal.begin.plan.actions.remove(0);
            let (left, _, _) = on(with(moment, Some("enabled")), |acts| {
                let mut writer = crate::host::Writer::new(acts.root);
                crate::apply::provide_state(acts.root, &mut writer).unwrap();
                let path = Path::new(crate::journal::JOURNAL);
                writer
                    .create(path, &text(&events), &crate::host::Traits::default())
                    .unwrap();
                let left = crate::apply::settle(acts, &mut journal, &mut writer);
                // What is on the disk says the same.
                let read = Journal::read(acts.root).unwrap().unwrap();
                assert_eq!(read.events, journal.events);
                left
            });
            assert_eq!(left, Ok(vec![Action::Reboot]));
            let expected = [
                Event::Committed,
                Event::Published,
                acting(&a, was_active),
                Event::Acted { action: a.clone() },
                acting(&b, was_active),
                Event::Acted { action: b.clone() },
            ];
            assert_eq!(journal.events, expected);
        }
    }

    #[test]
    fn what_did_not_run_in_an_earlier_boot_is_not_stopped_in_this_one() {
        let (a, b) = (restart("a.service"), reload("b.service"));
        let events = [
            Event::Committed,
            Event::Published,
            acting(&a, Some(false)),
            acting(&b, Some(false)),
        ];
        let mut journal = journal(&[a, b], &events);
        let restored = |journal: &Journal| {
            let (done, asked, _) = on(with(RUNNING, Some("enabled")), |acts| acts.restore(journal));
            assert_eq!(done, Ok(()));
            asked
        };
        assert_eq!(restored(&journal), ["Reload", "StopUnit a.service replace"]);
        journal.begin.boot_id = "an earlier one".to_owned();
        assert_eq!(
            restored(&journal),
            [
                "Reload",
                "TryRestartUnit a.service replace",
                "ReloadOrTryRestartUnit b.service replace"
            ]
        );
    }

    #[test]
    fn a_unit_that_went_with_the_change_is_stopped_if_it_runs() {
        let a = restart("a.service");
        let events = [Event::Committed, Event::Published, acting(&a, Some(true))];
        let journal = journal(std::slice::from_ref(&a), &events);
        for (moment, expected) in [
            (RUNNING, &["Reload", "StopUnit a.service replace"][..]),
            (IDLE, &["Reload"]),
        ] {
            let (done, asked, _) = on(with(moment, None), |acts| acts.restore(&journal));
            assert_eq!(done, Ok(()));
            assert_eq!(asked, expected, "{moment:?}");
        }
    }

    #[test]
    fn one_unit_that_cannot_be_put_back_does_not_stop_the_others() {
        let (a, b) = (restart("a.service"), restart("b.service"));
        let events = [
            Event::Committed,
            Event::Published,
            acting(&a, Some(true)),
            acting(&b, Some(true)),
        ];
        let journal = journal(&[a, b], &events);
        let refused = Script {
            job: crate::host::systemd::tests::fake::Job::Refused,
            ..with(RUNNING, Some("enabled"))
        };
        let (done, asked, _) = on(refused, |acts| acts.restore(&journal));
        let why = done.unwrap_err();
        assert!(why.contains("a.service") && why.contains("b.service"), "{why}");
        assert_eq!(asked.len(), 3, "{asked:?}");
    }
}
