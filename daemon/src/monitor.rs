//! Watches the disk of a node, and tells when and how it stops being what the config says.
//!
//! [`Monitor::turn`] is the entry point, to be called again and again; what it tells are [`Event`]s. It stands aside while a writer
//! of ours is at work ([`Standing`]): what is observed counts only if no writer was there before, after, or in between.

mod config;
mod event;
mod known;
mod places;
pub(crate) mod table;
mod watching;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::Timestamp;
use machineconfig::drift::policy::DriftPolicy;
use machineconfig::drift::{self, Drift};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::host::{Root, Standing, lock};
use crate::observe::{Enablement, OnDisk, observe};
use config::Seen;
use known::{Known, Outcome, Rules};
use places::Places;
use table::Table;
use watching::{Lost, SWEEP_EVERY, Watching};

pub use config::{CURRENT, Config};
pub use event::{Aspect, Event, Found, Reaction, Since, Watched};

/// How long the first notice is held back so that others can join it: short beside what a person or a program notices, and long enough
/// that a storm of notices costs fifty turns a second and not thousands.
const COALESCE: Duration = Duration::from_millis(20);
/// How often a writer at work is looked after, since its end gives no notice.
const WHILE_WRITING: Duration = Duration::from_millis(20);
/// How often it is asked for another config, which gives no notice either; and how soon something that failed is tried again.
const TICK: Duration = Duration::from_secs(1);
/// How soon a path is told of again: a file that is written all the time is told of four times a second.
const QUIET: Duration = Duration::from_millis(250);
/// Paths that are compared at once: enough that reading the users of the node does not count, few enough to be forgotten soon.
const CHUNK: u32 = 64;
/// Paths of a sweep that are compared before it is asked what else has happened.
const SLICE: u32 = 512;
/// Units are compared again after this many times the time that took, so that noise in unit directories costs at most a tenth of it.
const UNITS_REST: u32 = 10;
/// But no later than this.
const UNITS_REST_AT_MOST: Duration = Duration::from_secs(1);

/// Applies the config again at these paths, taking the lock of writers by itself.
pub type Repair<'a> = dyn Fn(&BTreeSet<PathBuf>) -> anyhow::Result<()> + Send + Sync + 'a;

/// Takes what there is to tell. An error ends the turn.
pub type Tell<'a> = dyn FnMut(Event) -> anyhow::Result<()> + 'a;

/// What to watch, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The config.
    pub config: Config,
    /// What follows drift.
    pub policy: DriftPolicy,
    /// This program, or another one that knows its sub-commands: it is run to read the config.
    pub program: PathBuf,
}

/// Watches one node.
pub struct Monitor<'a> {
    root: Root,
    options: Options,
    repair: Option<&'a Repair<'a>>,
    watching: Option<Watching>,
    known: Known,
    /// The file of the config when it was last read, with success or not.
    seen: Seen,
    /// How writers stood then.
    standing: Option<Standing>,
    /// What failed last, so as to say it once.
    failure: Option<String>,
    started: bool,
    /// A writer is at work.
    writing: bool,
    /// What failed is not tried before.
    retry: Option<Instant>,
    /// When writers and config were looked at last.
    looked: Instant,
}

/// Whether what was observed may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Steady {
    Yes,
    /// A writer or another config has come in between.
    No,
}

// === impl Monitor ===

impl<'a> Monitor<'a> {
    /// For the node beneath `root`. Nothing is done before the first turn. Without `repair`, drift that should be repaired is told.
    #[must_use]
    pub fn new(root: Root, options: Options, repair: Option<&'a Repair<'a>>) -> Self {
        Self {
            root,
            options,
            repair,
            watching: None,
            known: Known::default(),
            seen: Seen::NotYet,
            standing: None,
            failure: None,
            started: false,
            writing: false,
            retry: None,
            looked: Instant::now(),
        }
    }

    /// Waits until something happens, at most for `patience`, and tells what came of it. What fails on the node is told as well; an
    /// error is one of the kernel's queue of notices, or of `tell`.
    pub fn turn(&mut self, patience: Duration, tell: &mut Tell<'_>) -> anyhow::Result<()> {
        self.take_notices(patience)?;
        // Notices about neighbours, and it was looked just now.
        let calm = self.watching.as_ref().is_some_and(Watching::is_calm);
        if calm && !self.writing && self.retry.is_none() && self.looked.elapsed() < TICK {
            return Ok(());
        }
        self.looked = Instant::now();
        match self.look(tell) {
            Ok(()) => {
                if self.retry.take().is_some() {
                    self.failure = None;
                }
                Ok(())
            }
            Err(Failure::Tell(error)) => Err(error),
            Err(Failure::Node(error)) => {
                // What was to be compared may be forgotten half-way.
                if let Some(watching) = &mut self.watching {
                    watching.sweep = Some(0);
                    watching.touched.units = true;
                }
                self.retry = Some(Instant::now() + TICK);
                self.fail(format!("{error:#}"), tell)
            }
        }
    }

    /// Waits for notices, and takes in those that have come.
    fn take_notices(&mut self, patience: Duration) -> anyhow::Result<()> {
        let patience = patience.min(self.due());
        let came = wait(self.watching.as_ref().map(|watching| &watching.places), patience)
            .context("cannot wait for notices of the kernel")?;
        let Some(watching) = self.watching.as_mut().filter(|_| came) else {
            return Ok(());
        };
        thread::sleep(COALESCE);
        let Watching {
            table,
            places,
            touched,
            ..
        } = watching;
        places
            .drain(table, touched)
            .context("cannot read notices of the kernel")?;
        Ok(())
    }

    /// When there is something to do without a notice.
    fn due(&self) -> Duration {
        let now = Instant::now();
        if self.writing {
            return WHILE_WRITING;
        }
        if let Some(retry) = self.retry {
            return retry.saturating_duration_since(now);
        }
        let Some(watching) = &self.watching else {
            return if self.seen == Seen::NotYet {
                Duration::ZERO
            } else {
                TICK
            };
        };
        watching
            .due()
            .map_or(TICK, |due| due.saturating_duration_since(now).min(TICK))
    }

    fn look(&mut self, tell: &mut Tell<'_>) -> Result<(), Failure> {
        let standing = Standing::of(&self.root).context("cannot tell whether somebody writes to the node")?;
        self.writing = standing == Standing::Writing;
        if self.writing {
            return Ok(());
        }
        if self.standing != Some(standing) {
            if let Standing::CutOff { .. } = standing {
                let event = Event::Interrupted {
                    at: Timestamp::now(),
                    holder: lock::holder(&self.root),
                };
                tell(event).map_err(Failure::Tell)?;
            }
            self.standing = Some(standing);
            if let Some(watching) = &mut self.watching {
                watching.sweep = Some(0);
            }
        }
        if self.seen != self.options.config.look(&self.root) {
            self.load(tell)?;
        }
        let Some(watching) = &mut self.watching else {
            return Ok(());
        };
        if watching.mend(&self.root)? == Lost::Yes {
            let event = Event::Overflow { at: Timestamp::now() };
            tell(event).map_err(Failure::Tell)?;
        }
        let blind = watching.places.blind();
        let repair = self.compare(tell)?;
        self.repair(&repair, tell)?;
        match blind {
            Some((count, reason)) => self.fail(unwatched(count, reason), tell).map_err(Failure::Tell),
            None => Ok(()),
        }
    }

    /// Takes another config; when it cannot be read, what was watched goes on being watched.
    fn load(&mut self, tell: &mut Tell<'_>) -> Result<(), Failure> {
        let name = self.options.config.name();
        let opened = self.options.config.open(&self.root);
        let (file, identity) = match opened {
            Ok(Some((file, identity))) => (file, identity),
            Ok(None) => {
                self.seen = Seen::Nothing;
                return self
                    .fail(format!("there is no config at {name}"), tell)
                    .map_err(Failure::Tell);
            }
            Err(error) => {
                self.seen = Seen::Nothing;
                return self.fail(format!("{error:#}"), tell).map_err(Failure::Tell);
            }
        };
        // Until it is through, it is to be tried again.
        self.seen = Seen::NotYet;
        let table = match Table::load(&self.options.program, file, &name)? {
            Ok(table) => table,
            Err(wrong) => {
                self.seen = Seen::File(identity);
                return self.fail(wrong, tell).map_err(Failure::Tell);
            }
        };
        let places = Places::new(&self.root, &table).context("cannot watch the node's directories")?;
        self.seen = Seen::File(identity);
        let mut gone = Vec::new();
        self.known
            .retain(|path| table.has(path), Timestamp::now(), &mut gone);
        self.watching = Some(Watching::new(table, places));
        self.failure = None;
        for event in gone {
            tell(event).map_err(Failure::Tell)?;
        }
        Ok(())
    }

    /// Compares what was touched, and goes on with the sweep if there is one. Gives back what is to be repaired.
    fn compare(&mut self, tell: &mut Tell<'_>) -> Result<BTreeSet<String>, Failure> {
        let mut repair = BTreeSet::new();
        let Some(watching) = &mut self.watching else {
            return Ok(repair);
        };
        let ready = watching.ready();
        for chunk in ready.chunks(CHUNK as usize) {
            if self.paths(chunk, &mut repair, tell)? == Steady::No {
                return Ok(repair);
            }
        }
        if self.watching.as_ref().is_some_and(Watching::units_are_due)
            && self.units(&mut repair, tell)? == Steady::No
        {
            return Ok(repair);
        }
        for _ in 0..SLICE / CHUNK {
            let Some(watching) = &self.watching else { break };
            let Some(first) = watching.sweep else { break };
            let end = (first + CHUNK).min(watching.table.len());
            let chunk: Vec<u32> = (first..end).collect();
            if self.paths(&chunk, &mut repair, tell)? == Steady::No {
                break;
            }
            self.swept(end, tell)?;
        }
        Ok(repair)
    }

    /// Notes that a sweep has come to `end`, and tells so when it is through.
    fn swept(&mut self, end: u32, tell: &mut Tell<'_>) -> Result<(), Failure> {
        let Some(watching) = &mut self.watching else {
            return Ok(());
        };
        if end < watching.table.len() {
            watching.sweep = Some(end);
            return Ok(());
        }
        watching.sweep = None;
        watching.swept = Instant::now();
        if !std::mem::take(&mut watching.announce) {
            return Ok(());
        }
        let watched = Watched {
            at: Timestamp::now(),
            config: watching.table.config.clone(),
            paths: watching.table.len(),
            directories: watching.places.count(),
            drifted: self.known.drifted(),
        };
        let again = std::mem::replace(&mut self.started, true);
        tell(if again {
            Event::Reloaded(watched)
        } else {
            Event::Started(watched)
        })
        .map_err(Failure::Tell)
    }

    /// Compares these paths, and tells what is new unless a writer came in between: then they are compared again.
    fn paths(
        &mut self,
        paths: &[u32],
        repair: &mut BTreeSet<String>,
        tell: &mut Tell<'_>,
    ) -> Result<Steady, Failure> {
        let Some(watching) = &self.watching else {
            return Ok(Steady::Yes);
        };
        let found = watching
            .table
            .piece(paths)
            .and_then(|piece| Ok(drift::compare(&piece, &observe(&self.root, &piece, &Nobody)?)));
        let steady = found.as_ref().map_or(Steady::No, |_| self.steady());
        let Some(watching) = &mut self.watching else {
            return Ok(Steady::Yes);
        };
        if steady == Steady::No {
            watching.touched.paths.extend(paths);
            return found.map(|_| Steady::No).map_err(Failure::Node);
        }
        let table = &watching.table;
        let names: BTreeSet<&str> = paths.iter().map(|path| table.text(*path)).collect();
        let rules = Rules {
            policy: &self.options.policy,
            can_repair: self.repair.is_some(),
        };
        let outcome = self.known.update(
            &table.config,
            Aspect::Path,
            found?,
            |path| names.contains(path),
            &rules,
            Timestamp::now(),
        );
        let until = Instant::now() + QUIET;
        for event in &outcome.events {
            let path = event.path().and_then(|path| table.number(path));
            watching.quiet.extend(path.map(|path| (path, until)));
        }
        told(outcome, repair, tell)?;
        Ok(Steady::Yes)
    }

    /// As [`Monitor::paths`], for what is demanded of units as a whole.
    fn units(&mut self, repair: &mut BTreeSet<String>, tell: &mut Tell<'_>) -> Result<Steady, Failure> {
        let Some(watching) = &mut self.watching else {
            return Ok(Steady::Yes);
        };
        let start = Instant::now();
        watching.touched.units = false;
        let found = of_units(&self.root, &watching.table);
        let rest = start.elapsed() * UNITS_REST;
        watching.units_not_before = Instant::now() + rest.min(UNITS_REST_AT_MOST);
        let steady = found.as_ref().map_or(Steady::No, |_| self.steady());
        let Some(watching) = &mut self.watching else {
            return Ok(Steady::Yes);
        };
        if steady == Steady::No {
            watching.touched.units = true;
            return found.map(|_| Steady::No).map_err(Failure::Node);
        }
        let rules = Rules {
            policy: &self.options.policy,
            can_repair: self.repair.is_some(),
        };
        let (config, now) = (&watching.table.config, Timestamp::now());
        let outcome = self
            .known
            .update(config, Aspect::Unit, found?, |_| true, &rules, now);
        told(outcome, repair, tell)?;
        Ok(Steady::Yes)
    }

    /// Whether writers and config are as they were when this look began.
    fn steady(&self) -> Steady {
        let standing = Standing::of(&self.root).ok();
        if standing == self.standing && self.seen == self.options.config.look(&self.root) {
            Steady::Yes
        } else {
            Steady::No
        }
    }

    fn repair(&mut self, paths: &BTreeSet<String>, tell: &mut Tell<'_>) -> Result<(), Failure> {
        let Some(repair) = self.repair.filter(|_| !paths.is_empty()) else {
            return Ok(());
        };
        self.known.repaired(paths, Timestamp::now());
        let outcome = repair(&paths.iter().map(PathBuf::from).collect());
        let (at, paths) = (Timestamp::now(), paths.iter().cloned().collect());
        tell(match outcome {
            Ok(()) => Event::Repaired { at, paths },
            Err(error) => Event::RepairFailed {
                at,
                paths,
                error: format!("{error:#}"),
            },
        })
        .map_err(Failure::Tell)
    }

    /// Tells what fails, once.
    fn fail(&mut self, message: String, tell: &mut Tell<'_>) -> anyhow::Result<()> {
        if self.failure.as_ref() == Some(&message) {
            return Ok(());
        }
        self.failure = Some(message.clone());
        tell(Event::Failed {
            at: Timestamp::now(),
            message,
        })
    }
}

/// What ends a look.
enum Failure {
    /// Something on the node, to be told and tried again.
    Node(anyhow::Error),
    /// There is nobody to tell any more.
    Tell(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::Node(error)
    }
}

fn told(outcome: Outcome, repair: &mut BTreeSet<String>, tell: &mut Tell<'_>) -> Result<(), Failure> {
    repair.extend(outcome.repair);
    outcome
        .events
        .into_iter()
        .try_for_each(tell)
        .map_err(Failure::Tell)
}

fn of_units(root: &Root, table: &Table) -> anyhow::Result<Vec<Drift>> {
    let piece = table.of_units()?;
    let enablement = OnDisk::read(root).context("cannot read the units of the node")?;
    Ok(drift::compare(&piece, &observe(root, &piece, &enablement)?))
}

fn unwatched(count: usize, reason: io::ErrorKind) -> String {
    format!(
        "{count} directories cannot be watched ({reason}), so drift in them is found every {} minutes only; \
         fs.inotify.max_user_watches may be too low",
        SWEEP_EVERY.as_secs() / 60
    )
}

/// Waits for a notice of one of `places`. True when there is one.
fn wait(places: Option<&Places>, patience: Duration) -> io::Result<bool> {
    let timeout = Timespec::try_from(patience).map_err(io::Error::other)?;
    let mut handles: Vec<PollFd<'_>> = places
        .iter()
        .map(|places| PollFd::from_borrowed_fd(places.as_fd(), PollFlags::IN))
        .collect();
    match poll(&mut handles, Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// For paths, of which enablement is not asked.
struct Nobody;

impl Enablement for Nobody {
    fn answer(&self, _unit: &str) -> io::Result<Option<String>> {
        Ok(None)
    }
}
