//! The record of one transaction on disk: what it is about, and how far it got.
//!
//! Entry points: [`Journal::begin`], [`Journal::read`]. The first line is written whole or not at all and durable before anything
//! is staged; each further line is an [`Event`]. A line carries its own checksum, so that one which a power cut tore is seen.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use machineconfig::plan::{Action, Plan};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::change::{Change, NewDirectory};
use crate::host::write::Failed;
use crate::host::{Rename, Root, Traits, Writer};

/// Everything of ours that outlives a reboot.
pub const STATE: &str = "/var/lib/machine-config";
/// The journal of the transaction under way, or of the last one until it is tidied up.
pub const JOURNAL: &str = "/var/lib/machine-config/journal";
/// The journal while its first line is written.
const UNBORN: &str = "/var/lib/machine-config/journal.new";
/// Closed journals.
pub const HISTORY: &str = "/var/lib/machine-config/history";
/// Closed journals that are kept: enough to tell what led to where a node is.
const KEPT: usize = 10;

/// Version of the format. A reader refuses a newer one: it could not know what is to be finished.
pub const VERSION: u32 = 1;
/// Longest journal that is read, in bytes: tens of thousands of changes.
const MAX_BYTES: u64 = 256 << 20;
/// Hexadecimal digits of the checksum of a line.
const CHECKSUM: usize = 16;

/// The first line: everything needed to finish or undo without the config.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Begin {
    /// [`VERSION`].
    pub version: u32,
    /// Identifies the transaction; part of the names beside the paths.
    pub id: String,
    /// The boot it began in.
    pub boot_id: String,
    /// The node it is of, by its machine id; empty when it had none yet.
    pub machine_id: String,
    /// When.
    pub started: Timestamp,
    /// What for.
    pub purpose: Purpose,
    /// What was planned.
    pub plan: Plan,
    /// Directories it makes, parents first.
    pub directories: Vec<NewDirectory>,
    /// Paths it changes, in this order.
    pub changes: Vec<Change>,
    /// Directories that are removed at the end if nothing is left in them, deepest first.
    #[serde(with = "crate::paths::list")]
    pub prune: Vec<PathBuf>,
    /// A directory on each file system that is written to.
    #[serde(with = "crate::paths::list")]
    pub file_systems: Vec<PathBuf>,
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Purpose {
    /// Another config, or the same again to mend what drifted.
    Apply,
    /// Back to an earlier config because somebody asked for it.
    Rollback,
    /// Back to the config before because a new one was not confirmed in time.
    NotConfirmed,
}

/// What has happened since.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase")]
pub enum Event {
    /// Everything is staged and durable: from here on the transaction is finished, whatever happens.
    Committed,
    /// Every change is in place and durable.
    Published,
    /// An action is about to be carried out. Not durable: it only helps to put services back as they were.
    Acting {
        /// Which.
        action: Action,
        /// Whether its unit ran before; unknown for what is about no unit, and when systemd did not say.
        was_active: Option<bool>,
    },
    /// An action was carried out, and its end was good.
    Acted {
        /// Which.
        action: Action,
    },
    /// A step cannot succeed, so the old state is put back: from here on the transaction is undone, whatever happens.
    Undoing {
        /// Why.
        error: String,
    },
    /// Over.
    Closed {
        /// How.
        outcome: Outcome,
        /// When.
        at: Timestamp,
    },
}

/// How a transaction ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
pub enum Outcome {
    /// The node has the new config.
    Applied {
        /// Actions that were left to the next boot or to the caller.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<Action>,
    },
    /// The node has the old config.
    Undone {
        /// Why.
        error: String,
    },
    /// It was cut off before it was committed, and left nothing behind.
    Abandoned,
}

/// How far a transaction got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Something may be staged; nothing is in place.
    Staging,
    /// To be finished.
    Committed,
    /// In place; actions may be left.
    Published,
    /// To be undone.
    Undoing,
    /// Over; what is kept beside the paths may be left.
    Closed,
}

/// A journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Journal {
    /// Its first line.
    pub begin: Begin,
    /// The others, without one that was torn.
    pub events: Vec<Event>,
    /// Length in bytes of what was good.
    good: u64,
    /// Whether something torn follows it.
    torn: bool,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be read.
    #[error("cannot read {JOURNAL}")]
    Unreadable(#[source] io::Error),
    /// It is damaged.
    #[error("{JOURNAL} is damaged: {0}")]
    Damaged(String),
    /// A newer version of ours wrote it.
    #[error("{JOURNAL} is of version {found}, and this program knows up to version {VERSION}")]
    Newer {
        /// The version.
        found: u32,
    },
}

// === impl Journal ===

impl Journal {
    /// Writes the first line, durable when this returns. There must be no journal. `fresh` says that the names of the directories
    /// above it may not be durable yet.
    pub fn begin(writer: &mut Writer<'_>, begin: Begin, fresh: bool) -> Result<Self, Failed> {
        let line = line(&begin);
        let traits = Traits {
            mode: 0o600,
            ..Traits::default()
        };
        crate::change::gone(writer.remove(Path::new(UNBORN)))?;
        writer.create(Path::new(UNBORN), &line, &traits)?;
        if fresh {
            // A journal in a directory whose name is lost would be lost with it, and what it has staged would stay. Directories
            // that were made are on the file system of the one above them, so one call is enough for all, and for the contents.
            writer.sync_file_system(Path::new(STATE))?;
        } else {
            writer.sync_file(Path::new(UNBORN))?;
        }
        writer.rename(Path::new(UNBORN), Path::new(JOURNAL), Rename::IfAbsent)?;
        writer.sync_directory(Path::new(STATE))?;
        Ok(Self {
            begin,
            events: Vec::new(),
            good: line.len() as u64,
            torn: false,
        })
    }

    /// The journal of a node; `None` when there is none.
    pub fn read(root: &Root) -> Result<Option<Self>, JournalError> {
        let bytes = match root
            .read(Path::new(JOURNAL), MAX_BYTES)
            .map_err(JournalError::Unreadable)?
        {
            Some(bytes) => bytes,
            None if root
                .is_there(Path::new(JOURNAL))
                .map_err(JournalError::Unreadable)? =>
            {
                return Err(JournalError::Damaged("it is no file, or far too long".to_owned()));
            }
            None => return Ok(None),
        };
        Self::parse(&bytes).map(Some)
    }

    /// From its text.
    pub fn parse(bytes: &[u8]) -> Result<Self, JournalError> {
        let damaged = |what: &str| JournalError::Damaged(what.to_owned());
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let first = lines.next().ok_or_else(|| damaged("it is empty"))?;
        let text = checked(first).ok_or_else(|| damaged("its first line is cut off or was changed"))?;
        let version = serde_json::from_slice::<Versioned>(text)
            .map_err(|_| damaged("its first line says no version"))?
            .version;
        if version > VERSION {
            return Err(JournalError::Newer { found: version });
        }
        let begin: Begin = serde_json::from_slice(text)
            .map_err(|error| JournalError::Damaged(format!("its first line: {error}")))?;
        let mut journal = Self {
            begin,
            events: Vec::new(),
            good: first.len() as u64,
            torn: false,
        };
        for line in lines {
            let event = checked(line).and_then(|text| serde_json::from_slice(text).ok());
            match event {
                // Until the mark every line is durable before the next is written, so a bad one in between was changed. What comes
                // after the mark may have reached the disk in any order, and is found out again.
                Some(_) if journal.torn && journal.phase() == Phase::Staging => {
                    return Err(damaged("a line in its middle was changed"));
                }
                Some(event) if !journal.torn => {
                    journal.events.push(event);
                    journal.good += line.len() as u64;
                }
                Some(_) => {}
                None => journal.torn = true,
            }
        }
        Ok(journal)
    }

    /// Adds an event; durable when this returns if `durable` says so.
    pub fn note(&mut self, writer: &mut Writer<'_>, event: Event, durable: bool) -> Result<(), Failed> {
        let path = Path::new(JOURNAL);
        if self.torn {
            writer.truncate(path, self.good)?;
            self.torn = false;
        }
        let line = line(&event);
        // Should the call fail half-way, what it wrote is cut off next time.
        self.torn = true;
        writer.append(path, &line)?;
        self.torn = false;
        self.good += line.len() as u64;
        self.events.push(event);
        if durable {
            writer.sync_file(path)?;
        }
        Ok(())
    }

    /// How far it got.
    #[must_use]
    pub fn phase(&self) -> Phase {
        let mut phase = Phase::Staging;
        for event in &self.events {
            phase = match event {
                Event::Committed => Phase::Committed,
                Event::Published => Phase::Published,
                Event::Acting { .. } | Event::Acted { .. } => phase,
                Event::Undoing { .. } => Phase::Undoing,
                Event::Closed { .. } => Phase::Closed,
            };
        }
        phase
    }

    /// Whether anything may have been put in place.
    #[must_use]
    pub fn phase_reached_publishing(&self) -> bool {
        self.events.contains(&Event::Committed)
    }

    /// Whether an action was carried out.
    #[must_use]
    pub fn acted(&self, action: &Action) -> bool {
        self.events
            .iter()
            .any(|event| matches!(event, Event::Acted { action: done } if done == action))
    }

    /// The actions that were begun, each once and in order, with what is known of whether its unit ran before the first attempt.
    #[must_use]
    pub fn begun(&self) -> Vec<(&Action, Option<bool>)> {
        let mut begun: Vec<(&Action, Option<bool>)> = Vec::new();
        for event in &self.events {
            let (action, was_active) = match event {
                Event::Acting { action, was_active } => (action, *was_active),
                Event::Acted { action } => (action, None),
                Event::Committed | Event::Published | Event::Undoing { .. } | Event::Closed { .. } => {
                    continue;
                }
            };
            if !begun.iter().any(|(known, _)| *known == action) {
                begun.push((action, was_active));
            }
        }
        begun
    }

    /// Why it is being undone, if it is.
    #[must_use]
    pub fn undoing(&self) -> Option<&str> {
        self.events.iter().find_map(|event| match event {
            Event::Undoing { error } => Some(error.as_str()),
            _ => None,
        })
    }

    /// How it ended, if it did.
    #[must_use]
    pub fn outcome(&self) -> Option<(&Outcome, Timestamp)> {
        self.events.iter().find_map(|event| match event {
            Event::Closed { outcome, at } => Some((outcome, *at)),
            _ => None,
        })
    }

    /// Moves a closed journal to the history, of which the last few are kept.
    pub fn file_away(&self, root: &Root, writer: &mut Writer<'_>) -> Result<(), Failed> {
        let name = format!("{:020}-{}", self.begin.started.as_microsecond(), self.begin.id);
        // Names must sort by age; a clock that was set back only costs an old entry.
        let to = Path::new(HISTORY).join(name);
        writer.rename(Path::new(JOURNAL), &to, Rename::Over)?;
        let entries = root.list(Path::new(HISTORY)).map_err(|source| Failed {
            what: "list",
            path: HISTORY.into(),
            source,
        })?;
        for entry in entries.iter().rev().skip(KEPT) {
            crate::change::gone(writer.remove(&Path::new(HISTORY).join(&entry.name)))?;
        }
        Ok(())
    }

    /// The closed journals that are kept, the newest first. One that cannot be read is left out: it is only history.
    pub fn history(root: &Root) -> io::Result<Vec<Self>> {
        let mut journals = Vec::new();
        for entry in root.list(Path::new(HISTORY))?.iter().rev() {
            let bytes = root.read(&Path::new(HISTORY).join(&entry.name), MAX_BYTES)?;
            journals.extend(bytes.and_then(|bytes| Self::parse(&bytes).ok()));
        }
        Ok(journals)
    }
}

/// What every version of the first line has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

fn line(value: &impl Serialize) -> Vec<u8> {
    let text = serde_json::to_string(value).expect("all keys of a record are strings");
    let mut line = checksum(text.as_bytes()).into_bytes();
    line.push(b' ');
    line.extend_from_slice(text.as_bytes());
    line.push(b'\n');
    line
}

/// The text of a whole line.
fn checked(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_suffix(b"\n")?;
    let (sum, text) = line.split_at_checked(CHECKSUM)?;
    let text = text.strip_prefix(b" ")?;
    (checksum(text).as_bytes() == sum).then_some(text)
}

fn checksum(text: &[u8]) -> String {
    use std::fmt::Write as _;
    let digest = Sha256::digest(text);
    digest[..CHECKSUM / 2]
        .iter()
        .fold(String::new(), |mut sum, byte| {
            let _ = write!(sum, "{byte:02x}");
            sum
        })
}

#[cfg(test)]
pub(crate) mod tests {
    use machineconfig::plan::Disruption;
    use machineconfig::plan::{Drain, Images};

    use super::*;

    pub(crate) fn begin() -> Begin {
        let plan = Plan {
            schema_version: 1,
            from: "rendered-a".to_owned(),
            to: "rendered-b".to_owned(),
            disruption: Disruption::None,
            drain: Drain {
                required: false,
                reason: String::new(),
            },
            actions: Vec::new(),
            sections: Vec::new(),
            current_images: Images::default(),
            desired_images: Images::default(),
            steps: Vec::new(),
            same_on_disk: Vec::new(),
            ignored: Vec::new(),
            refusals: Vec::new(),
            warnings: Vec::new(),
        };
        Begin {
            version: VERSION,
            id: "0123".to_owned(),
            boot_id: String::new(),
            machine_id: String::new(),
            started: Timestamp::UNIX_EPOCH,
            purpose: Purpose::Apply,
            plan,
            directories: Vec::new(),
            changes: Vec::new(),
            prune: Vec::new(),
            file_systems: Vec::new(),
        }
    }

    /// The text of a journal with these events.
    pub(crate) fn text(events: &[Event]) -> Vec<u8> {
        events
            .iter()
            .fold(line(&begin()), |text, event| [text, line(event)].concat())
    }

    #[test]
    fn a_journal_reads_as_it_was_written() {
        let undoing = Event::Undoing {
            error: "no\nroom".to_owned(),
        };
        let cases: [(&[Event], Phase); 5] = [
            (&[], Phase::Staging),
            (&[Event::Committed], Phase::Committed),
            (&[Event::Committed, Event::Published], Phase::Published),
            (&[Event::Committed, undoing.clone()], Phase::Undoing),
            (
                &[Event::Committed, Event::Published, acting("a.service", None)],
                Phase::Published,
            ),
        ];
        for (events, phase) in cases {
            let journal = Journal::parse(&text(events)).unwrap();
            assert_eq!(
                (journal.phase(), journal.events.as_slice(), &journal.begin),
                (phase, events, &begin())
            );
        }
    }

    fn acting(service: &str, was_active: Option<bool>) -> Event {
        Event::Acting {
            action: restart(service),
            was_active,
        }
    }

    fn restart(service: &str) -> Action {
        Action::Restart {
            service: service.to_owned(),
        }
    }

    #[test]
    fn what_is_known_of_a_unit_is_from_before_the_first_attempt() {
        let events = [
            Event::Committed,
            Event::Published,
            acting("a.service", Some(true)),
            Event::Acted {
                action: restart("a.service"),
            },
            acting("b.service", Some(true)),
            acting("b.service", Some(false)),
            // Of a journal that does not say.
            Event::Acted {
                action: restart("c.service"),
            },
        ];
        let journal = Journal::parse(&text(&events)).unwrap();
        let (a, b, c) = (restart("a.service"), restart("b.service"), restart("c.service"));
        assert_eq!(journal.begun(), [(&a, Some(true)), (&b, Some(true)), (&c, None)]);
    }

    #[test]
    fn a_last_line_that_is_torn_anywhere_was_never_written() {
        let whole = text(&[Event::Published]);
        let before = text(&[]).len();
        for end in before..whole.len() {
            let journal = Journal::parse(&whole[..end]).unwrap();
            assert_eq!(journal.phase(), Phase::Staging, "cut off after {end} bytes");
            assert_eq!(journal.torn, end > before);
        }
        let mut zeros = whole.clone();
        zeros[before..].fill(0);
        assert_eq!(Journal::parse(&zeros).unwrap().phase(), Phase::Staging);
    }

    #[test]
    fn damage_is_told_from_a_line_that_was_torn() {
        let whole = text(&[Event::Committed, Event::Published]);
        let first = line(&begin()).len();
        for end in 0..first {
            assert!(
                matches!(Journal::parse(&whole[..end]), Err(JournalError::Damaged(_))),
                "{end}"
            );
        }
        let mut middle = whole.clone();
        middle[first + CHECKSUM + 3] ^= 1;
        assert!(matches!(Journal::parse(&middle), Err(JournalError::Damaged(_))));
        let newer = line(&serde_json::json!({"version": VERSION + 1}));
        assert!(matches!(Journal::parse(&newer), Err(JournalError::Newer { found }) if found == VERSION + 1));
    }
}
