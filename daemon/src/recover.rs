//! Takes up what was cut off: a change that was not committed leaves nothing, one that was is finished, one that was being undone
//! is undone. [`recover`] is the entry point; it may itself be cut off at any time.

use std::path::Path;

use machineconfig::{Code, Finding};

use crate::act::Acts;
use crate::apply::{ApplyError, back, chain, close, finish, remove_staged, tidy};
use crate::host::{Root, Writer};
use crate::journal::{JOURNAL, Journal, JournalError, Outcome, Phase};

/// What recovery found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovered {
    /// No change was cut off.
    Nothing,
    /// A change was taken up, and ended.
    Ended {
        /// The config it was to.
        to: String,
        /// How it ended.
        outcome: Outcome,
    },
}

/// Takes up a change that was cut off, if one was.
///
/// # Errors
/// A journal that cannot be used, or a node that is stuck between old and new because calls go on failing.
pub fn recover(root: &Root, acts: &Acts<'_>, machine_id: &str) -> Result<Recovered, Finding> {
    let journal = Journal::read(root).map_err(|error| {
        let code = match &error {
            JournalError::Unreadable(_) => Code::NODE_UNREADABLE,
            JournalError::Damaged(_) => Code::JOURNAL_DAMAGED,
            JournalError::Newer { .. } => Code::JOURNAL_NEWER,
        };
        Finding::error(code, JOURNAL, "", chain(&error))
    })?;
    let Some(mut journal) = journal else {
        return Ok(Recovered::Nothing);
    };
    let of = &journal.begin.machine_id;
    if !of.is_empty() && !machine_id.is_empty() && of != machine_id {
        return Err(Finding::error(
            Code::JOURNAL_FOREIGN,
            JOURNAL,
            "",
            format!("was written on the machine {of}, and this is {machine_id}"),
        ));
    }
    let to = journal.begin.plan.to.clone();
    let outcome = take_up(root, acts, &mut journal)?;
    Ok(Recovered::Ended { to, outcome })
}

fn take_up(root: &Root, acts: &Acts<'_>, journal: &mut Journal) -> Result<Outcome, Finding> {
    let stuck = |reason: String| Finding::error(Code::APPLY_STUCK, JOURNAL, "", reason);
    match journal.phase() {
        Phase::Staging => {
            remove_staged(&mut Writer::new(root), &journal.begin).map_err(|failed| stuck(chain(&failed)))?;
            Ok(close(root, journal, Outcome::Abandoned))
        }
        Phase::Committed | Phase::Published => match finish(root, acts, journal) {
            Ok(left) => Ok(close(root, journal, Outcome::Applied { left })),
            Err(reason) => undone(back(root, acts, journal, reason)).map_err(stuck),
        },
        Phase::Undoing => {
            let reason = journal.undoing().unwrap_or_default().to_owned();
            undone(back(root, acts, journal, reason)).map_err(stuck)
        }
        Phase::Closed => {
            let outcome = journal
                .outcome()
                .map_or(Outcome::Abandoned, |(outcome, _)| outcome.clone());
            tidy(root, journal).map_err(|failed| stuck(chain(&failed)))?;
            Ok(outcome)
        }
    }
}

/// An error that says the node has its old config is, after a cut, an end like any other.
fn undone(error: ApplyError) -> Result<Outcome, String> {
    match error {
        ApplyError::Undone { reason } => Ok(Outcome::Undone { error: reason }),
        ApplyError::Stuck { .. } => Err(error.to_string()),
    }
}

/// Whether a change is under way or was cut off.
#[must_use]
pub fn is_due(root: &Root) -> bool {
    root.is_there(Path::new(JOURNAL)).unwrap_or(true)
}
