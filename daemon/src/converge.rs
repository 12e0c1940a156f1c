//! Brings a node to a config: recovery, plan, transaction, execution. [`converge`] is the entry point of every command that
//! changes a node, and of whatever else does.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crds::MachineConfig;
use jiff::Timestamp;
use machineconfig::plan::{Action, Plan};
use machineconfig::redact::Limits;
use machineconfig::{Code, Finding, Policy};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use serde::Serialize;

use crate::apply::{ApplyError, execute};
use crate::host::lock::Lock;
use crate::journal::{JOURNAL, Outcome, Purpose};
use crate::node::Node;
use crate::prospect::{Ahead, Prospect, Standing};
use crate::recover::{Recovered, is_due, recover};
use crate::store::{self, RebootDue};
use crate::{confirm, install, reboot};

/// Version of the JSON form of [`Report`], raised when a reader of an older one could misread it.
pub const SCHEMA_VERSION: u32 = 1;

/// What is wanted.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The config to be on the node.
    pub config: MachineConfig,
    /// What decides about disruption.
    pub policy: &'a Policy,
    /// What for.
    pub purpose: Purpose,
    /// Whether the plan in the report shows contents, and how much.
    pub diffs: Option<Limits>,
    /// Of what drifted only these paths are mended; without it all of them.
    pub only: Option<BTreeSet<PathBuf>>,
}

/// What was done, or would be.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Name of the config.
    pub config: String,
    /// How it ended.
    pub ending: Ending,
    /// Whether nothing was done on purpose.
    pub dry_run: bool,
    /// What became of a change that was cut off before, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered: Option<String>,
    /// Paths that were written, removed or linked.
    pub changed: usize,
    /// Actions that were carried out, in order.
    pub acted: Vec<Action>,
    /// Actions that were not: a reboot, or all of them when the root is that of no running system.
    pub left: Vec<Action>,
    /// The reboot that is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reboot_due: Option<RebootDue>,
    /// What was planned.
    pub plan: Plan,
    /// What is doubtful.
    pub warnings: Vec<Finding>,
    /// What went wrong.
    pub errors: Vec<Finding>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Ending {
    /// All was so already.
    Unchanged,
    /// The node has the config.
    Applied,
    /// A step failed, and the node has the config it had.
    Undone,
    /// A step failed, and so did the way back; recovery goes on with it.
    Stuck,
    /// The node or the plan refuses it; nothing was touched.
    Refused,
}

/// Brings `node` to a config; the lock is the proof that nobody else does.
///
/// # Errors
/// What keeps the node or the config from being read; nothing was touched then. A refusal by the plan or by the disk is an
/// ending like others.
pub fn converge(node: &Node, lock: &Lock<'_>, wanted: Wanted<'_>) -> Result<Report, Vec<Finding>> {
    converge_from(node, lock, None, wanted)
}

/// As [`converge`], of a node that was looked at before the lock was taken.
///
/// # Errors
/// As [`converge`].
pub fn converge_from(
    node: &Node,
    lock: &Lock<'_>,
    ahead: Option<Ahead>,
    wanted: Wanted<'_>,
) -> Result<Report, Vec<Finding>> {
    let recovered = recover(&node.root, &node.acts(), &node.machine_id).map_err(|finding| vec![finding])?;
    let recovered = recovered_text(&recovered);
    reboot::settle(node).map_err(|finding| vec![finding])?;
    let now = Timestamp::now();
    let purpose = wanted.purpose;
    // What is to be mended in part is looked at in part.
    let ahead = ahead.filter(|_| wanted.only.is_none());
    let prospect = match ahead.and_then(|ahead| ahead.under(lock)) {
        Some(standing) => Prospect::of_standing(node, Some(standing), wanted)?,
        None => Prospect::of(node, wanted)?,
    };
    let transaction = match prospect.transaction(node, now) {
        Ok(transaction) => transaction,
        Err(errors) => {
            return Ok(Report {
                recovered,
                ..report(node, prospect, Ending::Refused, errors)
            });
        }
    };
    let mut warnings = transaction.warnings.clone();
    warnings.extend(provide_recovery(node));
    let changed = transaction.begin.changes.len();
    let mut report = if transaction.is_empty() {
        report(node, prospect, Ending::Unchanged, Vec::new())
    } else {
        let outcome = undisturbed(node, || execute(&node.root, &node.acts(), &transaction));
        told(node, prospect, outcome, changed)
    };
    if report.ending == Ending::Applied {
        warnings.extend(end_trial(node, purpose));
    }
    report.warnings.extend(warnings);
    Ok(Report { recovered, ..report })
}

/// Ends the trial of another config than the one that is on the node now. One that is not confirmed has its verdict written first, by
/// who goes back.
fn end_trial(node: &Node, purpose: Purpose) -> Option<Finding> {
    match purpose {
        Purpose::NotConfirmed => None,
        Purpose::Apply | Purpose::Rollback => {
            let failed = confirm::supersede(&node.root).err()?;
            Some(Finding::warning(
                failed.code,
                failed.object,
                failed.field,
                failed.message,
            ))
        }
    }
}

/// Sees to it that a change which is cut off is taken up at boot. Without that it is taken up by the next command.
fn provide_recovery(node: &Node) -> Option<Finding> {
    if !node.is_running() {
        return None;
    }
    let error = install::install(node).err()?;
    let message = format!("recovery at boot cannot be installed: {error}");
    Some(Finding::warning(
        Code::RECORD_FAILED,
        install::PROGRAM,
        "",
        message,
    ))
}

/// What [`converge`] would do, as far as that can be known; nothing is written.
///
/// # Errors
/// As [`converge`].
pub fn foresee(node: &Node, wanted: Wanted<'_>) -> Result<Report, Vec<Finding>> {
    Ok(foreseen(node, Prospect::of(node, wanted)?))
}

/// As [`foresee`], of a node that was looked at already.
///
/// # Errors
/// As [`converge`].
pub fn foresee_from(
    node: &Node,
    standing: Option<Standing>,
    wanted: Wanted<'_>,
) -> Result<Report, Vec<Finding>> {
    Ok(foreseen(node, Prospect::of_standing(node, standing, wanted)?))
}

fn foreseen(node: &Node, prospect: Prospect) -> Report {
    let now = Timestamp::now();
    let (ending, errors, warnings, changed) = match prospect.transaction(node, now) {
        Ok(transaction) if transaction.is_empty() => (Ending::Unchanged, Vec::new(), transaction.warnings, 0),
        Ok(transaction) => (
            Ending::Applied,
            Vec::new(),
            transaction.warnings,
            transaction.begin.changes.len(),
        ),
        Err(errors) => (Ending::Refused, errors, Vec::new(), 0),
    };
    let left = node.acts().due(&prospect.plan);
    let mut report = report(node, prospect, ending, errors);
    report.warnings.extend(warnings);
    if is_due(&node.root) {
        let message = "a change that was cut off is taken up first, which may change the plan";
        report
            .warnings
            .push(Finding::warning(Code::CUT_OFF, JOURNAL, "", message));
    }
    Report {
        dry_run: true,
        changed,
        left,
        ..report
    }
}

fn told(node: &Node, prospect: Prospect, outcome: Result<Outcome, ApplyError>, changed: usize) -> Report {
    let object = format!("MachineConfig/{}", prospect.plan.to);
    match outcome {
        Ok(Outcome::Applied { left }) => {
            let mut acted = node.acts().due(&prospect.plan);
            acted.retain(|action| !left.contains(action));
            Report {
                changed,
                acted,
                left,
                ..report(node, prospect, Ending::Applied, Vec::new())
            }
        }
        Ok(Outcome::Undone { error }) => report(
            node,
            prospect,
            Ending::Undone,
            vec![Finding::error(Code::APPLY_UNDONE, object, "", error)],
        ),
        Ok(Outcome::Abandoned) => report(node, prospect, Ending::Undone, Vec::new()),
        Err(error @ ApplyError::Undone { .. }) => report(
            node,
            prospect,
            Ending::Undone,
            vec![Finding::error(Code::APPLY_UNDONE, object, "", error.to_string())],
        ),
        Err(error @ ApplyError::Stuck { .. }) => report(
            node,
            prospect,
            Ending::Stuck,
            vec![Finding::error(Code::APPLY_STUCK, object, "", error.to_string())],
        ),
    }
}

fn report(node: &Node, prospect: Prospect, ending: Ending, errors: Vec<Finding>) -> Report {
    let due = store::reboot_due(&node.root).ok().flatten();
    Report {
        schema_version: SCHEMA_VERSION,
        config: prospect.plan.to.clone(),
        ending,
        dry_run: false,
        recovered: None,
        changed: 0,
        acted: Vec::new(),
        left: Vec::new(),
        reboot_due: due.filter(|due| due.boot_id == node.boot_id),
        warnings: prospect.warnings,
        plan: prospect.plan,
        errors,
    }
}

/// Keeps the host from going down, and this process from being asked to end, while a change is half-way. Both would be mended
/// by recovery; neither has to come to that.
fn undisturbed<T>(node: &Node, work: impl FnOnce() -> T) -> T {
    let _inhibitor = node
        .systemd()
        .and_then(|systemd| systemd.inhibit("machine-config is changing this node").ok());
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    let before = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK);
    let result = work();
    if let Ok(before) = before {
        // Whoever asked in the meantime is heard now.
        let _ = before.thread_set_mask();
    }
    result
}

impl Report {
    /// With what the caller itself recovered before.
    #[must_use]
    pub fn after(self, recovered: &Recovered) -> Self {
        Self {
            recovered: recovered_text(recovered).or(self.recovered),
            ..self
        }
    }
}

/// What [`recover`] did, for people.
#[must_use]
pub fn recovered_text(recovered: &Recovered) -> Option<String> {
    match recovered {
        Recovered::Nothing => None,
        Recovered::Ended {
            to,
            outcome: Outcome::Applied { .. },
        } => Some(format!("finished the change to {to} that was cut off")),
        Recovered::Ended {
            to,
            outcome: Outcome::Abandoned,
        } => Some(format!(
            "removed what a change to {to} had staged that was cut off; the node has its old config"
        )),
        Recovered::Ended {
            to,
            outcome: Outcome::Undone { error },
        } => Some(format!(
            "undid the change to {to} that had failed ({error}); the node has its old config"
        )),
    }
}
