//! One config that is watched: what has happened to its paths, and what is to be compared when. Entry points: [`Watching::mend`],
//! [`Watching::ready`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::Failure;
use super::places::{Places, Touched};
use super::table::Table;
use crate::host::Root;

/// How soon everything is compared again when notices keep being lost.
const LOST_AGAIN: Duration = Duration::from_secs(1);
/// How often everything is compared without any notice, for what gives none: something mounted over a path, users that are renumbered.
pub(super) const SWEEP_EVERY: Duration = Duration::from_mins(10);

/// A config, and what has happened to it.
pub(super) struct Watching {
    pub(super) table: Table,
    pub(super) places: Places,
    pub(super) touched: Touched,
    /// Paths from here on are still to be compared in a sweep over all.
    pub(super) sweep: Option<u32>,
    pub(super) swept: Instant,
    /// Another config than before is to be told of when the sweep is through.
    pub(super) announce: bool,
    /// Paths that were told of just now.
    pub(super) quiet: BTreeMap<u32, Instant>,
    pub(super) units_not_before: Instant,
    pub(super) lost_not_before: Instant,
}

/// Whether notices were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    Yes,
    No,
}

// === impl Watching ===

impl Watching {
    pub(super) fn new(table: Table, places: Places) -> Self {
        let now = Instant::now();
        Self {
            table,
            places,
            touched: Touched {
                units: true,
                ..Touched::default()
            },
            sweep: Some(0),
            swept: now,
            announce: true,
            quiet: BTreeMap::new(),
            units_not_before: now,
            lost_not_before: now,
        }
    }

    /// When there is something to do without a notice.
    pub(super) fn due(&self) -> Option<Instant> {
        let now = Instant::now();
        let touched = self
            .touched
            .paths
            .iter()
            .map(|path| self.quiet.get(path).copied().unwrap_or(now));
        let sweep = self.sweep.map(|_| now);
        let units = self.touched.units.then_some(self.units_not_before);
        let lost = self.touched.lost.then_some(self.lost_not_before);
        touched
            .chain(sweep)
            .chain(units)
            .chain(lost)
            .chain([self.swept + SWEEP_EVERY])
            .min()
    }

    /// Watches what has moved where it is now; all of it anew when notices were lost.
    pub(super) fn mend(&mut self, root: &Root) -> Result<Lost, Failure> {
        const CONTEXT: &str = "cannot watch the node's directories";
        let now = Instant::now();
        if now >= self.swept + SWEEP_EVERY && self.sweep.is_none() {
            self.sweep = Some(0);
            self.touched.units = true;
        }
        let lost = self.touched.lost && now >= self.lost_not_before;
        if !lost && self.places.mend(root, &mut self.touched).context(CONTEXT)? {
            return Ok(Lost::No);
        }
        self.places = Places::new(root, &self.table).context(CONTEXT)?;
        self.touched.units = true;
        self.sweep = Some(0);
        if !lost {
            return Ok(Lost::No);
        }
        self.touched.lost = false;
        self.lost_not_before = now + LOST_AGAIN;
        Ok(Lost::Yes)
    }

    /// Whether nothing that has happened is of any concern, and nothing is due.
    pub(super) fn is_calm(&self) -> bool {
        self.touched == Touched::default()
            && self.places.is_whole()
            && self.sweep.is_none()
            && Instant::now() < self.swept + SWEEP_EVERY
    }

    /// Takes the touched paths that may be told of again.
    pub(super) fn ready(&mut self) -> Vec<u32> {
        let now = Instant::now();
        self.quiet.retain(|_, until| *until > now);
        let touched = std::mem::take(&mut self.touched.paths);
        let (quiet, ready) = touched
            .into_iter()
            .partition(|path| self.quiet.contains_key(path));
        self.touched.paths = quiet;
        let ready: BTreeSet<u32> = ready;
        ready.into_iter().collect()
    }

    pub(super) fn units_are_due(&self) -> bool {
        self.touched.units && Instant::now() >= self.units_not_before
    }
}
