//! Takes a node through one transaction: old or new, never a mix.
//!
//! [`execute`] is the entry point. The order is stage, commit, publish, act, close (docs/apply.md has the drawing); what was cut
//! off is taken up by [`crate::recover`].

use std::path::Path;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use machineconfig::plan::Action;

use crate::abreast;
use crate::act::Acts;
use crate::change::{Change, ChangeError, State, gone, is_errno};
use crate::host::write::Failed;
use crate::host::{Root, Traits, Writer};
use crate::journal::{Begin, Event, HISTORY, Journal, Outcome, STATE};
use crate::transaction::{PRIVATE, Staged, Transaction};

/// Times that an undoing is tried before it is left to recovery.
const UNDO_ATTEMPTS: u32 = 3;
/// Wait between two of them: long enough for a passing shortage to pass.
const UNDO_PAUSE: Duration = Duration::from_millis(50);

/// Why a transaction did not end with the new config.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The node has the old config, as before.
    #[error("the change was not made, the node has its old config: {reason}")]
    Undone {
        /// What failed, with its causes.
        reason: String,
    },
    /// The old config could not be put back either. The journal is kept, and recovery goes on.
    #[error(
        "the change failed ({reason}) and could not be undone yet ({undo}); `machine-config-daemon recover` goes on with it"
    )]
    Stuck {
        /// What failed first.
        reason: String,
        /// Why the way back failed.
        undo: String,
    },
}

/// Carries out a transaction. `acts` is how services are reached; without it the actions are left.
///
/// # Errors
/// [`ApplyError::Undone`] when the node ended in the old state; [`ApplyError::Stuck`] when it could not be brought there yet.
pub fn execute(root: &Root, acts: &Acts<'_>, transaction: &Transaction) -> Result<Outcome, ApplyError> {
    let mut writer = Writer::new(root);
    let mut journal = match start(root, &mut writer, &transaction.begin) {
        Ok(journal) => journal,
        Err(failed) => {
            return Err(ApplyError::Undone {
                reason: chain(&failed),
            });
        }
    };
    let staged = stage(&mut writer, &mut journal, transaction);
    if let Err(failed) = staged {
        return Err(abandon(root, &mut journal, &chain(&failed)));
    }
    match forward(root, acts, &mut journal) {
        Ok(left) => Ok(close(root, &mut journal, Outcome::Applied { left })),
        Err(reason) => Err(back(root, acts, &mut journal, reason)),
    }
}

/// Makes the places of the state, and the journal.
fn start(root: &Root, writer: &mut Writer<'_>, begin: &Begin) -> Result<Journal, Failed> {
    let made = make_state(root, writer)?;
    Journal::begin(writer, begin.clone(), made)
}

/// Makes the directories of the state, durable.
pub(crate) fn provide_state(root: &Root, writer: &mut Writer<'_>) -> Result<(), Failed> {
    if make_state(root, writer)? {
        // A record in a directory whose name is lost would be lost with it. One that was made is on the file system of the one
        // above it, so this makes all names durable.
        writer.sync_file_system(Path::new(STATE))?;
    }
    Ok(())
}

/// Makes the directories of the state. True when one was not there: its name is not durable yet.
fn make_state(root: &Root, writer: &mut Writer<'_>) -> Result<bool, Failed> {
    let mut made = false;
    let private = Traits {
        mode: 0o700,
        ..Traits::default()
    };
    for directory in [STATE, HISTORY, crate::store::CONFIGS] {
        let path = Path::new(directory);
        if root.is_there(path).unwrap_or(false) {
            continue;
        }
        for missing in missing_parents(root, path) {
            writer.make_directory(
                missing,
                &Traits {
                    mode: 0o755,
                    ..Traits::default()
                },
            )?;
        }
        writer.make_directory(path, &private)?;
        made = true;
    }
    Ok(made)
}

/// The directories above `path` that are not there, the uppermost first.
fn missing_parents<'p>(root: &Root, path: &'p Path) -> Vec<&'p Path> {
    let parents = path
        .ancestors()
        .skip(1)
        .filter(|parent| parent.parent().is_some());
    let mut missing: Vec<_> = parents
        .take_while(|parent| !root.is_there(parent).unwrap_or(true))
        .collect();
    missing.reverse();
    missing
}

/// Writes every new state beside its path, durable, and marks that as done.
fn stage(writer: &mut Writer<'_>, journal: &mut Journal, transaction: &Transaction) -> Result<(), Failed> {
    for directory in &journal.begin.directories {
        let traits = Traits {
            mode: directory.mode,
            uid: directory.uid,
            gid: directory.gid,
            attributes: Vec::new(),
        };
        match writer.make_directory(&directory.path, &traits) {
            // Somebody was quicker: it is as good.
            Err(failed) if is_errno(&failed, &[rustix::io::Errno::EXIST]) => {}
            other => other?,
        }
    }
    let all: Vec<_> = journal.begin.changes.iter().zip(&transaction.staged).collect();
    let root = writer.root();
    abreast::each(
        &all,
        || Writer::new(root),
        |writer, (change, staged)| match staged {
            Staged::Nothing => Ok(()),
            Staged::File { contents, traits } => writer.create(&change.aside, contents.bytes(), traits),
            Staged::SecondName { of } => name_again(writer, of, &change.aside),
            Staged::Link { target, uid, gid } => writer.link(&change.aside, target, *uid, *gid),
        },
    )?;
    sync(writer, &journal.begin)?;
    journal.note(writer, Event::Committed, true)
}

/// Gives a file a second name, or makes a copy of it where the file system has no such thing, as between parts of one that are like
/// file systems of their own.
fn name_again(writer: &mut Writer<'_>, of: &Path, name: &Path) -> Result<(), Failed> {
    use rustix::io::Errno;
    let refused = match writer.second_name(of, name) {
        Err(failed)
            if is_errno(
                &failed,
                &[Errno::XDEV, Errno::PERM, Errno::MLINK, Errno::OPNOTSUPP],
            ) =>
        {
            failed
        }
        other => return other,
    };
    let read = writer.root().read(of, ignition::contents::MAX_INFLATED as u64);
    let bytes = read.ok().flatten().ok_or(refused)?;
    writer.create(
        name,
        &bytes,
        &Traits {
            mode: PRIVATE,
            ..Traits::default()
        },
    )
}

fn sync(writer: &mut Writer<'_>, begin: &Begin) -> Result<(), Failed> {
    begin
        .file_systems
        .iter()
        .try_for_each(|directory| writer.sync_file_system(directory))
}

/// Nothing is in place yet: what is staged is removed.
fn abandon(root: &Root, journal: &mut Journal, reason: &str) -> ApplyError {
    let mut writer = Writer::new(root);
    match remove_staged(&mut writer, &journal.begin) {
        Ok(()) => {
            close(
                root,
                journal,
                Outcome::Undone {
                    error: reason.to_owned(),
                },
            );
            ApplyError::Undone {
                reason: reason.to_owned(),
            }
        }
        Err(failed) => ApplyError::Stuck {
            reason: reason.to_owned(),
            undo: chain(&failed),
        },
    }
}

/// Removes whatever was staged, and the directories that were made for it.
pub(crate) fn remove_staged(writer: &mut Writer<'_>, begin: &Begin) -> Result<(), Failed> {
    for change in begin.changes.iter().filter(|change| change.new != State::Missing) {
        match absent(change.clean_up(writer)) {
            // Where nothing may be removed, nothing may have been made either.
            Err(failed) if may_not(&failed) && !is_there(writer, &change.aside) => {}
            other => other?,
        }
    }
    remove_directories(writer, begin)
}

/// Removes the directories that the transaction has made, unless somebody uses them.
fn remove_directories(writer: &mut Writer<'_>, begin: &Begin) -> Result<(), Failed> {
    for directory in begin.directories.iter().rev() {
        in_use(writer.remove_directory(&directory.path))?;
    }
    Ok(())
}

/// Publishes and acts. What is done already is left alone, so it serves for a fresh transaction and for one that was cut off.
/// Gives the actions that were left.
fn forward(root: &Root, acts: &Acts<'_>, journal: &mut Journal) -> Result<Vec<Action>, String> {
    let mut writer = Writer::new(root);
    // The record of the config is the last change: who reads it finds the rest in place.
    if let Some((last, others)) = journal.begin.changes.split_last() {
        let publish = |writer: &mut Writer<'_>, change: &Change| change.publish(writer);
        abreast::each(others, || Writer::new(root), publish)
            .and_then(|()| last.publish(&mut writer))
            .map_err(|failed| chain(&failed))?;
    }
    sync(&mut writer, &journal.begin).map_err(|failed| chain(&failed))?;
    settle(acts, journal, &mut writer)
}

/// As [`forward`] for a transaction that was cut off.
pub(crate) fn finish(root: &Root, acts: &Acts<'_>, journal: &mut Journal) -> Result<Vec<Action>, String> {
    let mut writer = Writer::new(root);
    for change in &journal.begin.changes {
        lost(change.finish(root, &mut writer)).map_err(|error| chain(&error))?;
    }
    sync(&mut writer, &journal.begin).map_err(|failed| chain(&failed))?;
    settle(acts, journal, &mut writer)
}

/// Everything is in place: label it and act.
pub(crate) fn settle(
    acts: &Acts<'_>,
    journal: &mut Journal,
    writer: &mut Writer<'_>,
) -> Result<Vec<Action>, String> {
    journal
        .note(writer, Event::Published, false)
        .map_err(|failed| chain(&failed))?;
    acts.label(&journal.begin)?;
    let plan = journal.begin.plan.clone();
    let mut left = Vec::new();
    for action in acts.due(&plan) {
        if journal.acted(&action) {
            continue;
        }
        if acts.carries_out(&action) {
            let was_active = acts.is_active(&action);
            let action = action.clone();
            journal
                .note(writer, Event::Acting { action, was_active }, false)
                .map_err(|failed| chain(&failed))?;
        }
        if acts.perform(&action)? {
            journal
                .note(writer, Event::Acted { action }, false)
                .map_err(|failed| chain(&failed))?;
        } else {
            left.push(action);
        }
    }
    Ok(left)
}

/// Goes back to the old state after a step failed for `reason`.
pub(crate) fn back(root: &Root, acts: &Acts<'_>, journal: &mut Journal, reason: String) -> ApplyError {
    // Should even this line not be written, then the tree is old now and recovery makes it new: one of the two all the same.
    let noted = attempts(|| {
        journal.note(
            &mut Writer::new(root),
            Event::Undoing {
                error: reason.clone(),
            },
            true,
        )
    });
    if let Err(error) = &noted {
        tracing_line(&format!("the journal cannot be written: {error}"));
    }
    if let Err(undo) = attempts(|| undo(root, &journal.begin)) {
        return ApplyError::Stuck { reason, undo };
    }
    let services = acts.restore(journal);
    let reason = match services {
        Ok(()) => reason,
        Err(error) => format!("{reason}; with the old config back, {error}"),
    };
    close(
        root,
        journal,
        Outcome::Undone {
            error: reason.clone(),
        },
    );
    // Neither that it is to be undone nor that it was is written down, so recovery will make it new after all.
    match noted {
        Err(undo) if journal.outcome().is_none() => ApplyError::Stuck { reason, undo },
        Ok(()) | Err(_) => ApplyError::Undone { reason },
    }
}

/// Puts every old state back, the last change first. One that fails does not stop the others.
fn undo(root: &Root, begin: &Begin) -> Result<(), ChangeError> {
    let mut writer = Writer::new(root);
    let mut first = None;
    for change in begin.changes.iter().rev() {
        if let Err(error) = lost(change.undo(root, &mut writer)) {
            first.get_or_insert(error);
        }
    }
    if let Some(error) = first {
        return Err(error);
    }
    sync(&mut writer, begin)?;
    Ok(())
}

/// Marks the transaction as over and removes what it has left. Nothing here changes how it ended, so failures are only told: the
/// next start tidies up.
pub(crate) fn close(root: &Root, journal: &mut Journal, outcome: Outcome) -> Outcome {
    let mut writer = Writer::new(root);
    let event = Event::Closed {
        outcome: outcome.clone(),
        at: Timestamp::now(),
    };
    let tidied = attempts(|| journal.note(&mut writer, event.clone(), false))
        .and_then(|()| attempts(|| tidy(root, journal)));
    if let Err(error) = tidied {
        tracing_line(&format!(
            "what the transaction has left is removed at the next start: {error}"
        ));
    }
    outcome
}

/// Removes what a closed transaction has left, and files its journal away.
pub(crate) fn tidy(root: &Root, journal: &Journal) -> Result<(), Failed> {
    // One after the other: ext4 has one list of files without a name, so two threads only wait for each other (measured).
    let mut writer = Writer::new(root);
    for change in &journal.begin.changes {
        absent(change.clean_up(&mut writer))?;
    }
    match journal.outcome() {
        Some((Outcome::Applied { .. }, _)) => {
            for directory in &journal.begin.prune {
                // Left-over directories do no harm, and nothing may hang on them.
                let _ = writer.remove_directory(directory);
            }
        }
        Some((Outcome::Undone { .. } | Outcome::Abandoned, _)) | None => {
            remove_directories(&mut writer, &journal.begin)?;
        }
    }
    // Filed away while what it was to remove comes back after a power cut, it would be forgotten.
    sync(&mut writer, &journal.begin)?;
    journal.file_away(root, &mut writer)
}

/// Whether a call was not allowed at all.
fn may_not(failed: &Failed) -> bool {
    use rustix::io::Errno;
    is_errno(failed, &[Errno::ROFS, Errno::PERM, Errno::ACCESS])
}

fn is_there(writer: &Writer<'_>, path: &Path) -> bool {
    writer.root().is_there(path).unwrap_or(true)
}

/// That a directory is not there, or is a link by now, is as good as that something in it is not.
fn absent(result: Result<(), Failed>) -> Result<(), Failed> {
    use rustix::io::Errno;
    match gone(result) {
        Err(failed) if is_errno(&failed, &[Errno::NOTDIR, Errno::LOOP, Errno::NAMETOOLONG]) => Ok(()),
        other => other,
    }
}

/// A directory that somebody uses, or that is gone, stays as it is.
fn in_use(result: Result<(), Failed>) -> Result<(), Failed> {
    use rustix::io::Errno;
    match absent(result) {
        Err(failed) if is_errno(&failed, &[Errno::NOTEMPTY, Errno::EXIST]) => Ok(()),
        other => other,
    }
}

/// A path whose two names somebody else has written to meanwhile is his by now: it stays as it is, and the next comparison with the
/// config finds it. Nobody who may write to one directory may hold up the node.
fn lost(result: Result<(), ChangeError>) -> Result<(), ChangeError> {
    match result {
        Err(error @ ChangeError::Lost { .. }) => {
            tracing_line(&format!("{error}: it is left as it is"));
            Ok(())
        }
        other => other,
    }
}

fn attempts<E: std::error::Error>(mut attempt: impl FnMut() -> Result<(), E>) -> Result<(), String> {
    let mut left = UNDO_ATTEMPTS;
    loop {
        left -= 1;
        match attempt() {
            Ok(()) => return Ok(()),
            Err(error) if left == 0 => return Err(chain(&error)),
            Err(_) => thread::sleep(UNDO_PAUSE),
        }
    }
}

/// An error with all its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// For the journal of the host: nobody waits for it.
fn tracing_line(text: &str) {
    crate::cli::message(&format!("warning: {text}\n"));
}

#[cfg(test)]
mod tests;
