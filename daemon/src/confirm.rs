//! A config on trial: unless checks pass in time, after a reboot too, the node goes back to the one before, offline.
//!
//! The trial is a record on disk, written before the change, so that whatever is cut off, the next to look knows of it. A service of
//! its own keeps watch ([`keep_watch`]); commands only wait for its verdict.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crds::MachineConfig;
use crds::machine_configuration::{
    NodeDisruptionPolicyAction, NodeDisruptionPolicyFile, NodeDisruptionPolicyUnit,
};
use jiff::Timestamp;
use machineconfig::{Code, Finding, Policy};
use serde::{Deserialize, Serialize};

use crate::cli::answer::{refuse, unplaced};
use crate::cli::{Exit, message};
use crate::converge::{Ending, Wanted, converge};
use crate::host::Root;
use crate::host::command::{Bounds, Output};
use crate::host::lock::{Lock, Standing};
use crate::journal::Purpose;
use crate::node::Node;
use crate::recover::{self, Recovered};
use crate::{install, reboot, store};

/// The trial that is under way.
pub const TRIAL: &str = "/var/lib/machine-config/confirm";
/// How the last one ended.
pub const VERDICT: &str = "/var/lib/machine-config/verdict";
/// Longest record that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// How often a check is tried, and how often somebody waiting looks.
const PAUSE: Duration = Duration::from_millis(500);
/// Least time that a check gets, however late it is: enough for one that is quick.
const LEAST: Duration = Duration::from_secs(1);
/// Boots that a config on trial may take: one that it needs, and one more for bad luck.
const MAX_BOOTS: u32 = 2;

/// What the command line says about a trial.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Confirmation {
    /// Go back to the config before unless every --check passes within this time, counted again after a reboot (30s, 2m)
    #[arg(long, value_name = "TIME", value_parser = span, requires = "check")]
    confirm_within: Option<Duration>,
    /// Command that must end with success, run by the shell of the node until it does; may be given several times
    #[arg(long, value_name = "CMD", requires = "confirm_within")]
    check: Vec<String>,
}

/// A trial.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trial {
    /// The config on trial. The record means nothing while another one is on the node.
    pub config: String,
    /// The beginning of its hash, which tells it from another of its name.
    #[serde(default)]
    pub digest: String,
    /// The config to go back to.
    pub before: String,
    /// Seconds that the checks have.
    pub within: u64,
    /// The checks.
    pub checks: Vec<String>,
    /// What decides about disruption on the way back.
    pub policy: Entries,
    /// The boot it was last looked at in.
    pub boot_id: String,
    /// Boots since it began.
    pub boots: u32,
}

/// What arming a trial came upon.
#[derive(Debug)]
pub struct Armed {
    /// What recovery found and did.
    pub recovered: Recovered,
    /// The trial that was under way.
    earlier: Option<Trial>,
}

/// A policy as it is written down.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entries {
    files: Vec<NodeDisruptionPolicyFile>,
    units: Vec<NodeDisruptionPolicyUnit>,
    sshkey: Vec<NodeDisruptionPolicyAction>,
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The config that was on trial.
    pub config: String,
    /// Whether it stayed.
    pub confirmed: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

// === impl Confirmation ===

impl Confirmation {
    /// For whoever is no command line: every check must pass `within` this time.
    #[must_use]
    pub fn new(within: Duration, checks: Vec<String>) -> Self {
        Self {
            confirm_within: Some(within),
            check: checks,
        }
    }

    /// Takes up what was cut off, writes the trial down and sees to it that somebody keeps watch; `None` when no trial is wanted. The
    /// caller holds the node's lock, so that nobody takes the trial for one whose change never came.
    ///
    /// # Errors
    /// When there is nothing to go back to, or nobody to keep watch.
    pub fn arm(
        &self,
        node: &Node,
        config: &MachineConfig,
        policy: &Policy,
    ) -> Result<Option<Armed>, Finding> {
        let Some(within) = self.confirm_within else {
            return Ok(None);
        };
        // What was cut off may yet change which config is the current one.
        let recovered = recover::recover(&node.root, &node.acts(), &node.machine_id)?;
        let before = before(node, config)?;
        let systemd = node.systemd().ok_or_else(|| {
            Finding::error(
                Code::SYSTEMD_UNREACHABLE,
                "confirmation",
                "",
                "this root is not that of the running system, so nobody could keep watch",
            )
        })?;
        let armed = Armed {
            recovered,
            earlier: trial(&node.root)?,
        };
        let trial = Trial {
            config: name_of(config),
            digest: store::digest(config),
            before,
            within: within.as_secs().max(1),
            checks: self.check.clone(),
            policy: Entries::of(policy),
            boot_id: node.boot_id.clone(),
            boots: 0,
        };
        install::install(node)
            .map_err(|error| Finding::error(Code::RECORD_FAILED, install::PROGRAM, "", error))?;
        store_failed(store::remove(&node.root, VERDICT))?;
        store_failed(store::replace(&node.root, TRIAL, &store::encode(&trial)))?;
        if let Err(error) = systemd.restart(install::CONFIRM) {
            armed.disarm(node);
            return Err(Finding::error(
                error.code(),
                install::CONFIRM,
                "",
                crate::apply::chain(&error),
            ));
        }
        Ok(Some(armed))
    }
}

// === impl Armed ===

impl Armed {
    /// Ends the trial, whose change was not made; one that was under way before goes on.
    pub fn disarm(&self, node: &Node) {
        // One that stays is for a config that is not on the node; whoever keeps watch ends it.
        let _ = match &self.earlier {
            Some(earlier) => store::replace(&node.root, TRIAL, &store::encode(earlier)),
            None => store::remove(&node.root, TRIAL),
        };
    }
}

/// The config that a trial of `config` would go back to.
fn before(node: &Node, config: &MachineConfig) -> Result<String, Finding> {
    let nothing =
        |object: &str, message: &str| Err(Finding::error(Code::NO_SUCH_CONFIG, object, "", message));
    let Some(current) = store::current(&node.root)? else {
        return nothing("confirmation", "there is no config on this node to go back to");
    };
    let name = name_of(config);
    let before = name_of(&current);
    if before != name {
        return Ok(before);
    }
    // What it will be kept as, which says whether it is the same.
    store::namesake(&node.root, config).map_or_else(
        || {
            nothing(
                &format!("MachineConfig/{name}"),
                "is on the node already, so there is nothing to go back to",
            )
        },
        Ok,
    )
}

fn name_of(config: &MachineConfig) -> String {
    config.metadata.name.clone().unwrap_or_default()
}

/// The trial on a node, if one is under way.
///
/// # Errors
/// A record that says nothing: what was to be confirmed is not known any more.
pub fn trial(root: &Root) -> Result<Option<Trial>, Finding> {
    let damaged = |reason: String| {
        let message =
            format!("does not say what is on trial ({reason}); confirm or roll back by hand, then remove it");
        Finding::error(Code::RECORD_DAMAGED, TRIAL, "", message)
    };
    let bytes = root
        .read(Path::new(TRIAL), MAX_BYTES)
        .map_err(|error| damaged(error.to_string()))?;
    bytes
        .map(|bytes| serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string())))
        .transpose()
}

/// How the last trial ended, if there was one.
#[must_use]
pub fn verdict(root: &Root) -> Option<Verdict> {
    let bytes = root.read(Path::new(VERDICT), MAX_BYTES).ok()??;
    serde_json::from_slice(&bytes).ok()
}

/// Waits for the verdict on the trial of `config` that was just armed.
pub fn wait(node: &Node, config: &str) -> Exit {
    message("waiting for the checks …\n");
    let not_confirmed = |reason: String| {
        let finding = Finding::error(Code::NOT_CONFIRMED, format!("MachineConfig/{config}"), "", reason);
        refuse(unplaced([finding]), Exit::Failed)
    };
    loop {
        // The verdict is written before the trial ends, so it must be looked for after it.
        let goes_on = matches!(trial(&node.root), Ok(Some(trial)) if trial.config == config);
        let verdict = verdict(&node.root).filter(|verdict| verdict.config == config);
        match verdict {
            Some(verdict) if verdict.confirmed => {
                message(&format!("{config}: confirmed\n"));
                return Exit::Done;
            }
            Some(verdict) => return not_confirmed(verdict.reason),
            None if !goes_on => return not_confirmed("the trial was ended by another change".to_owned()),
            None => thread::sleep(PAUSE),
        }
    }
}

/// Ends a trial of another config than the one that is on the node now, in its place.
///
/// # Errors
/// When the record cannot be read or removed.
pub fn supersede(root: &Root) -> Result<(), Finding> {
    match trial(root)? {
        Some(trial) if !has(root, &trial)? => store_failed(store::remove(root, TRIAL)),
        Some(_) | None => Ok(()),
    }
}

/// Counts a boot, and says whether the config on trial has had too many.
pub fn count_boot(node: &Node) -> Result<bool, Finding> {
    let Some(trial) = trial(&node.root)? else {
        return Ok(false);
    };
    if trial.boot_id == node.boot_id {
        return Ok(trial.boots > MAX_BOOTS);
    }
    let boots = trial.boots + 1;
    let counted = Trial {
        boots,
        boot_id: node.boot_id.clone(),
        ..trial
    };
    store_failed(store::replace(&node.root, TRIAL, &store::encode(&counted)))?;
    Ok(boots > MAX_BOOTS)
}

/// Keeps watch over the trial until it is over.
///
/// # Errors
/// When the node cannot be brought back; the service that runs this tries again.
pub fn keep_watch(node: &Node) -> Result<(), Vec<Finding>> {
    let one = |finding| vec![finding];
    let mut begun: Option<Instant> = None;
    while let Some(trial) = trial(&node.root).map_err(one)? {
        if !is_effective(node, &trial).map_err(one)? {
            begun = None;
            thread::sleep(PAUSE);
            continue;
        }
        let begun = *begun.get_or_insert_with(Instant::now);
        match failing(node, &trial, begun) {
            None if stays(node, &trial).map_err(one)? => return Ok(()),
            Some(reason) if begun.elapsed() >= Duration::from_secs(trial.within) => {
                go_back(node, &trial, reason)?;
            }
            None | Some(_) => thread::sleep(PAUSE),
        }
    }
    Ok(())
}

/// Whether the config on trial is on the node and runs. Takes up a change that was cut off; ends a trial whose change never came.
fn is_effective(node: &Node, trial: &Trial) -> Result<bool, Finding> {
    if Standing::of(&node.root).is_ok_and(|standing| standing == Standing::Writing) {
        return Ok(false);
    }
    if recover::is_due(&node.root) {
        let Some(_lock) = lock(node)? else {
            return Ok(false);
        };
        recover::recover(&node.root, &node.acts(), &node.machine_id)?;
    }
    if !has(&node.root, trial)? {
        end_futile(node)?;
        return Ok(false);
    }
    Ok(reboot::due(node)?.is_none())
}

/// The lock of the node; `None` when somebody else is at work.
fn lock(node: &Node) -> Result<Option<Lock<'_>>, Finding> {
    match node.lock("confirm") {
        Ok(lock) => Ok(Some(lock)),
        Err(finding) if finding.code == Code::LOCKED => Ok(None),
        Err(finding) => Err(finding),
    }
}

/// Lets the config on trial stay. False when somebody is at work, or has brought another one meanwhile.
fn stays(node: &Node, trial: &Trial) -> Result<bool, Finding> {
    let Some(_lock) = lock(node)? else {
        return Ok(false);
    };
    if !goes_on(node, trial)? {
        return Ok(false);
    }
    settle(node, trial, true, String::new())?;
    Ok(true)
}

/// Whether a trial is still the one under way, and its config on the node.
fn goes_on(node: &Node, of: &Trial) -> Result<bool, Finding> {
    let same = trial(&node.root)?
        .is_some_and(|trial| (trial.config, trial.digest) == (of.config.clone(), of.digest.clone()));
    Ok(same && has(&node.root, of)?)
}

/// Whether the config on trial is the current one.
fn has(root: &Root, trial: &Trial) -> Result<bool, Finding> {
    let Some(current) = store::current(root)? else {
        return Ok(false);
    };
    let same = trial.digest.is_empty() || trial.digest == store::digest(&current);
    Ok(same && name_of(&current) == trial.config)
}

/// Ends a trial whose change never came. Whoever arms one holds the lock until its change is made, so under the lock that is known.
fn end_futile(node: &Node) -> Result<(), Finding> {
    let Some(_lock) = lock(node)? else {
        return Ok(());
    };
    match trial(&node.root)? {
        Some(trial) if !recover::is_due(&node.root) && !has(&node.root, &trial)? => {
            store_failed(store::remove(&node.root, TRIAL))
        }
        Some(_) | None => Ok(()),
    }
}

/// What is left to a check of the time that all of them share.
fn left(within: Duration, elapsed: Duration) -> Duration {
    within.saturating_sub(elapsed).max(LEAST)
}

/// The first check that fails, in words. All of them share the time that began with `begun`.
fn failing(node: &Node, trial: &Trial, begun: Instant) -> Option<String> {
    trial.checks.iter().find_map(|check| {
        // One that hangs must not hold up the verdict.
        let bounds = Bounds {
            deadline: left(Duration::from_secs(trial.within), begun.elapsed()),
            ..Bounds::default()
        };
        let ran = node
            .commands
            .within(bounds)
            .and_then(|commands| commands.run("/bin/sh", ["-c", check]))
            .and_then(Output::success);
        ran.err().map(|error| {
            format!(
                "the check {check:?} did not pass within {} s: {}",
                trial.within,
                crate::apply::chain(&error)
            )
        })
    })
}

/// Brings the node back to the config before, if the one on trial is still there.
///
/// # Errors
/// What keeps it from being brought there.
pub fn go_back(node: &Node, trial: &Trial, reason: String) -> Result<(), Vec<Finding>> {
    let one = |finding| vec![finding];
    let config = store::kept(&node.root, &trial.before).map_err(one)?;
    let lock = node.lock("going back, not confirmed").map_err(one)?;
    // Somebody may have brought another one before the lock was to be had.
    if !goes_on(node, trial).map_err(one)? {
        return Ok(());
    }
    let policy = trial.policy.policy();
    let wanted = Wanted {
        config,
        policy: &policy,
        purpose: Purpose::NotConfirmed,
        diffs: None,
        only: None,
    };
    let report = converge(node, &lock, wanted)?;
    match report.ending {
        Ending::Applied | Ending::Unchanged => {}
        Ending::Refused | Ending::Undone | Ending::Stuck => return Err(report.errors),
    }
    drop(lock);
    settle(node, trial, false, reason).map_err(one)?;
    if report.reboot_due.is_some() {
        reboot::request(node).map_err(one)?;
    }
    Ok(())
}

/// Writes the verdict, then ends the trial.
fn settle(node: &Node, trial: &Trial, confirmed: bool, reason: String) -> Result<(), Finding> {
    let verdict = Verdict {
        config: trial.config.clone(),
        confirmed,
        reason,
        at: Timestamp::now(),
    };
    store_failed(store::replace(&node.root, VERDICT, &store::encode(&verdict)))?;
    store_failed(store::remove(&node.root, TRIAL))
}

fn store_failed(result: Result<(), crate::host::write::Failed>) -> Result<(), Finding> {
    result.map_err(|failed| Finding::error(Code::RECORD_FAILED, TRIAL, "", crate::apply::chain(&failed)))
}

// === impl Entries ===

impl Entries {
    fn of(policy: &Policy) -> Self {
        let Policy { files, units, sshkey } = policy.clone();
        Self { files, units, sshkey }
    }

    fn policy(&self) -> Policy {
        let Self { files, units, sshkey } = self.clone();
        Policy { files, units, sshkey }
    }
}

/// A time as people write it: `90s`, `2m`.
fn span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time such as 30s or 2m");
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..split].parse().map_err(|_| wrong())?;
    let seconds = match &text[split..] {
        "s" => number,
        "m" | "min" => number.saturating_mul(60),
        "h" => number.saturating_mul(3600),
        _ => return Err(wrong()),
    };
    if (1..=86_400).contains(&seconds) {
        Ok(Duration::from_secs(seconds))
    } else {
        Err(format!("{text} is not between a second and a day"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_share_one_deadline_and_each_has_a_second_at_least() {
        let within = Duration::from_secs(30);
        for (elapsed, expected) in [(0, 30), (10, 20), (29, 1), (30, 1), (500, 1)] {
            assert_eq!(
                left(within, Duration::from_secs(elapsed)),
                Duration::from_secs(expected),
                "after {elapsed} s"
            );
        }
        assert_eq!(left(within, Duration::from_millis(29_900)), LEAST);
    }

    #[test]
    fn times_are_written_as_people_write_them() {
        for (text, seconds) in [
            ("1s", 1),
            ("90s", 90),
            ("2m", 120),
            ("2min", 120),
            ("24h", 86_400),
        ] {
            assert_eq!(span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "s",
            "1",
            "0s",
            "25h",
            "1d",
            "-1s",
            "1.5s",
            "99999999999999999999s",
        ] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
