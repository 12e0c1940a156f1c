//! The trial by power cuts: a program that changes a tree as a whole is cut off again and again, and after each boot its recovery
//! must have made the tree equal to the old one or to the new one, byte for byte.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use tempfile::TempDir;

use super::Kit;
use super::archive::Archive;
use super::disk::FileSystem;
use super::guest::{Ended, Guest, Machine};

/// The root of the node inside a guest.
const NODE: &str = "/node";

/// A neighbour's file on the same file system, written and synced without an end.
const NOISE: &str = "/node/noise";

/// The program inside a guest.
const PROGRAM: &str = "/program";

/// After how many cuts of an apply one cut of a recovery follows.
const RECOVERY_EVERY: usize = 5;

/// The moments of the cuts are spread over the time that one apply took, and a quarter more: an apply that takes longer by now is to be
/// cut near its end too, and what it did when it had ended must last.
const SPAN: f64 = 1.25;

/// How many times the cuts that were asked for are made when all of them fell on one side of the commit.
const ROUNDS: usize = 3;

/// How much longer an apply is thought to take when it had not ended by the time that was expected: this machine does other work too.
const SLOWER: f64 = 1.25;

/// Lines of a difference that are shown.
const SHOWN: usize = 12;

/// The program on trial: `PROGRAM FLAGS apply --root DIR --config FILE` and `PROGRAM FLAGS recover --root DIR`.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its name in the [`Kit`].
    pub program: &'static str,
    /// What comes before the sub-command.
    pub flags: &'static [&'static str],
    /// Two configs, between which it goes back and forth.
    pub configs: [Vec<u8>; 2],
    /// A tree the disk begins with.
    pub seed: Option<PathBuf>,
    /// Exit codes of what is done.
    pub done: &'static [i32],
    /// Paths that are no part of old and new: its own journal. As seen from the root.
    pub without: &'static [&'static str],
}

/// One of the two configs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Config {
    First,
    Second,
}

/// What the tree may be after a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowed {
    /// The apply of the second of these was cut off.
    Either(Config, Config),
    /// The apply had said that it was done, so a cut must not take it back.
    Only(Config),
    /// Nothing was cut.
    Uncut(Config),
}

/// A tree that is neither old nor new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix {
    /// What happened, and what the tree has that it should not, and has not that it should.
    pub story: String,
}

/// How a trial went.
#[derive(Debug, Clone)]
pub struct Report {
    /// The file system.
    pub file_system: FileSystem,
    /// What the moments were drawn from: with the same seed they are the same fractions of an apply.
    pub seed: u64,
    /// Cuts after which the tree was the old one.
    pub old: usize,
    /// Cuts, before the end of an apply, after which the tree was the new one.
    pub new: usize,
    /// Cuts that came after the end of an apply. The tree was the new one each time.
    pub ended: usize,
    /// Further cuts that hit a recovery.
    pub recoveries: usize,
    /// What one apply took, uninterrupted.
    pub apply: Duration,
    /// What all of it took.
    pub total: Duration,
    /// The first tree that was neither; the trial ended with it.
    pub mix: Option<Mix>,
}

impl Report {
    /// Cuts of an apply, whose outcome was looked at.
    #[must_use]
    pub fn cuts(&self) -> usize {
        self.old + self.new + self.ended
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} cuts of an apply ({} old, {} new, {} after its end) and {} of a recovery; an apply takes {:.2} s, \
             all took {:.0} s; POWER_SEED={}",
            self.file_system.name(),
            self.cuts(),
            self.old,
            self.new,
            self.ended,
            self.recoveries,
            self.apply.as_secs_f64(),
            self.total.as_secs_f64(),
            self.seed
        )?;
        if let Some(mix) = &self.mix {
            write!(f, "\nneither old nor new: {}", mix.story)?;
        }
        Ok(())
    }
}

/// The seed of this run: `POWER_SEED` when it is set, so that a run can be repeated, else another one each time.
pub fn seed() -> Result<u64> {
    match std::env::var("POWER_SEED") {
        Ok(text) => text.parse().context("POWER_SEED is no number"),
        Err(_) => Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs()),
    }
}

/// Cuts the power at least `cuts` times during an apply, and now and then during the recovery after it. When all cuts fell on one side of
/// the commit, there are up to two more rounds. Ends at the first tree that is neither
/// old nor new, which is part of the report. An error means that no statement can be made: a guest that does not boot, a program that
/// fails.
pub fn cut_power(
    kit: &Kit,
    subject: &Subject,
    file_system: FileSystem,
    cuts: usize,
    seed: u64,
) -> Result<Report> {
    let begin = Instant::now();
    let dir = TempDir::with_prefix("machine-config-")?;
    let machine = Machine::new(kit, file_system, dir.path());
    archive(kit, subject, file_system)?.write(&machine.archive)?;
    file_system.format(&machine.disk)?;
    machine.freeze()?;
    let trial = Trial::prepare(subject, &machine)?;
    let report = Report {
        file_system,
        seed,
        old: 0,
        new: 0,
        ended: 0,
        recoveries: 0,
        apply: trial.apply,
        total: Duration::ZERO,
        mix: None,
    };
    let mut report = trial
        .run(cuts, report)
        .with_context(|| format!("{}, POWER_SEED={seed}", file_system.name()))?;
    report.total = begin.elapsed();
    Ok(report)
}

fn archive(kit: &Kit, subject: &Subject, file_system: FileSystem) -> Result<Archive> {
    let mut archive = Archive::bootable(kit, file_system)?;
    let program = kit.program(subject.program)?;
    let bytes = fs::read(&program).with_context(|| format!("could not read {}", program.display()))?;
    archive.file(PROGRAM.trim_start_matches('/'), &bytes)?;
    for (config, bytes) in [Config::First, Config::Second].iter().zip(&subject.configs) {
        archive.file(config.path().trim_start_matches('/'), bytes)?;
    }
    if let Some(seed) = &subject.seed {
        archive.tree(seed, "seed")?;
    }
    Ok(archive)
}

/// A program that is known to work when nothing is cut, and how long it takes.
struct Trial<'a> {
    subject: &'a Subject,
    machine: &'a Machine,
    /// The trees of both configs.
    trees: [Vec<String>; 2],
    recover: Duration,
    apply: Duration,
}

// === impl Config ===

impl Config {
    fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    /// Its file inside a guest.
    fn path(self) -> &'static str {
        match self {
            Self::First => "/config-first",
            Self::Second => "/config-second",
        }
    }
}

// === impl Trial ===

impl<'a> Trial<'a> {
    /// Goes back and forth without a cut: both trees must come out the same each time, or old and new would mean nothing. Ends at the
    /// second config.
    fn prepare(subject: &'a Subject, machine: &'a Machine) -> Result<Self> {
        let mut trial = Self {
            subject,
            machine,
            trees: [Vec::new(), Vec::new()],
            recover: Duration::ZERO,
            apply: Duration::ZERO,
        };
        let mut guest = Guest::boot(machine)?;
        if subject.seed.is_some() {
            guest.order(&["copy", "/seed", NODE])?;
        }
        guest.order(&["noise", NOISE])?;
        // What the first ones leave beside their work (originals of the vendor, directories that have become empty) is there ever
        // after, so it is not looked at.
        for config in [Config::First, Config::Second, Config::First] {
            trial.apply(&mut guest, config)?;
        }
        trial.apply(&mut guest, Config::Second)?;
        trial.trees[1] = trial.look(&mut guest)?;
        trial.apply(&mut guest, Config::First)?;
        trial.trees[0] = trial.look(&mut guest)?;
        ensure!(
            trial.trees[0] != trial.trees[1],
            "both configs lead to the same tree"
        );
        guest.off()?;
        // Timed in a fresh guest, as the applies that will be cut are.
        let mut guest = trial.boot()?;
        trial.recover = trial.recover(&mut guest)?;
        trial.expect(&mut guest, Config::First)?;
        trial.apply = trial.apply(&mut guest, Config::Second)?;
        trial.expect(&mut guest, Config::Second)?;
        guest.off()?;
        Ok(trial)
    }

    fn run(&self, cuts: usize, mut report: Report) -> Result<Report> {
        let mut rng = Rng::with_seed(report.seed);
        let mut span = self.apply;
        let mut allowed = Allowed::Uncut(Config::Second);
        let mut story = "nothing was cut yet".to_owned();
        let moments = (0..ROUNDS)
            .flat_map(|_| moments(&mut rng, cuts))
            .collect::<Vec<_>>();
        for (number, moment) in moments.into_iter().enumerate() {
            if number >= cuts && report.old > 0 && report.new > 0 {
                break;
            }
            if number % RECOVERY_EVERY == RECOVERY_EVERY - 1 {
                let moment = self.recover.mul_f64(rng.f64());
                self.cut_recovery(moment)?;
                report.recoveries += 1;
                story = format!("{story}, then the recovery was cut after {moment:?}");
            }
            let mut guest = self.boot()?;
            let Some(current) = self.settle(&mut guest, allowed, &story, &mut report)? else {
                return Ok(report);
            };
            let moment = span.mul_f64(moment * SPAN);
            let next = current.other();
            let begin = Instant::now();
            guest.start(&self.words(&["apply", "--root", NODE, "--config", next.path()]))?;
            let ended = match guest.ended(moment)? {
                Some(ended) => Some(ended),
                None => guest.cut()?,
            };
            allowed = if let Some(ended) = ended {
                self.check(ended)?;
                span = (span + begin.elapsed()) / 2;
                Allowed::Only(next)
            } else {
                span = if moment > span { span.mul_f64(SLOWER) } else { span };
                Allowed::Either(current, next)
            };
            story = format!("cut {number} came {moment:?} after the begin of an apply");
        }
        let mut guest = self.boot()?;
        self.settle(&mut guest, allowed, &story, &mut report)?;
        Ok(report)
    }

    /// Recovers and looks which tree it is; none, and a mix in the report, when it is neither.
    fn settle(
        &self,
        guest: &mut Guest,
        allowed: Allowed,
        story: &str,
        report: &mut Report,
    ) -> Result<Option<Config>> {
        self.recover(guest).with_context(|| story.to_owned())?;
        let tree = self.look(guest)?;
        match allowed {
            Allowed::Either(old, _) if tree == self.trees[old as usize] => {
                report.old += 1;
                Ok(Some(old))
            }
            Allowed::Either(_, new) if tree == self.trees[new as usize] => {
                report.new += 1;
                Ok(Some(new))
            }
            Allowed::Only(new) if tree == self.trees[new as usize] => {
                report.ended += 1;
                Ok(Some(new))
            }
            Allowed::Uncut(new) if tree == self.trees[new as usize] => Ok(Some(new)),
            Allowed::Either(_, expected) | Allowed::Only(expected) | Allowed::Uncut(expected) => {
                let story = format!(
                    "{story}; {allowed:?} was expected, and this is how it differs from {expected:?}:\n{}",
                    difference(&self.trees[expected as usize], &tree)
                );
                report.mix = Some(Mix { story });
                Ok(None)
            }
        }
    }

    fn boot(&self) -> Result<Guest> {
        let mut guest = Guest::boot(self.machine)?;
        guest.order(&["noise", NOISE])?;
        Ok(guest)
    }

    fn cut_recovery(&self, moment: Duration) -> Result<()> {
        let mut guest = self.boot()?;
        guest.start(&self.words(&["recover", "--root", NODE]))?;
        if guest.ended(moment)?.is_none() {
            guest.cut()?;
        }
        Ok(())
    }

    fn recover(&self, guest: &mut Guest) -> Result<Duration> {
        let begin = Instant::now();
        let ended = guest.run(&self.words(&["recover", "--root", NODE]))?;
        self.check(ended).with_context(|| guest.said())?;
        Ok(begin.elapsed())
    }

    fn apply(&self, guest: &mut Guest, config: Config) -> Result<Duration> {
        let begin = Instant::now();
        let ended = guest.run(&self.words(&["apply", "--root", NODE, "--config", config.path()]))?;
        self.check(ended).with_context(|| guest.said())?;
        Ok(begin.elapsed())
    }

    fn check(&self, ended: Ended) -> Result<()> {
        match ended {
            Ended::Exit(code) if self.subject.done.contains(&code) => Ok(()),
            Ended::Exit(_) | Ended::Signal(_) => bail!("{} ended with {ended:?}", self.subject.program),
        }
    }

    fn expect(&self, guest: &mut Guest, config: Config) -> Result<()> {
        let (tree, expected) = (self.look(guest)?, &self.trees[config as usize]);
        ensure!(
            tree == *expected,
            "the {config:?} config leads to another tree each time, without any cut:\n{}",
            difference(expected, &tree)
        );
        Ok(())
    }

    fn look(&self, guest: &mut Guest) -> Result<Vec<String>> {
        let own = NOISE.strip_prefix(NODE).unwrap_or(NOISE);
        guest.manifest(NODE, &[self.subject.without, &[own]].concat())
    }

    fn words<'w>(&self, args: &[&'w str]) -> Vec<&'w str> {
        [&[PROGRAM], self.subject.flags, args].concat()
    }
}

/// Fractions of an apply, one from each of as many equal parts as there are cuts, in random order.
fn moments(rng: &mut Rng, cuts: usize) -> Vec<f64> {
    // A number of cuts fits in 32 bits, whatever the machine.
    let parts = u32::try_from(cuts).unwrap_or(u32::MAX);
    let mut moments: Vec<f64> = (0..parts)
        .map(|part| (f64::from(part) + rng.f64()) / f64::from(parts))
        .collect();
    rng.shuffle(&mut moments);
    moments
}

/// The first lines that only one of both trees has.
fn difference(expected: &[String], found: &[String]) -> String {
    let only = |sign: char, some: &[String], others: &[String]| {
        some.iter()
            .filter(|line| !others.contains(line))
            .map(|line| format!("  {sign}{line}"))
            .collect::<Vec<_>>()
    };
    let lines = [only('-', expected, found), only('+', found, expected)];
    let mut text = format!(
        "  {} of {} lines are missing, {} are not as expected",
        lines[0].len(),
        expected.len(),
        lines[1].len()
    );
    for line in lines.iter().flat_map(|side| side.iter().take(SHOWN)) {
        text.extend(["\n", line]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Rng, difference, moments};

    #[test]
    fn moments_are_spread_and_repeatable() {
        let draw = || moments(&mut Rng::with_seed(7), 30);
        assert_eq!(draw(), draw());
        let mut parts: Vec<usize> = draw()
            .iter()
            .map(|moment| {
                (0..30)
                    .rposition(|part| f64::from(part) / 30.0 <= *moment)
                    .unwrap()
            })
            .collect();
        assert!(!parts.is_sorted());
        parts.sort_unstable();
        assert_eq!(parts, (0..30).collect::<Vec<_>>());
    }

    #[test]
    fn a_difference_shows_both_sides() {
        let tree = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            difference(&tree(&["a", "b"]), &tree(&["b", "c", "d"])),
            "  1 of 2 lines are missing, 2 are not as expected\n  -a\n  +c\n  +d"
        );
    }
}
