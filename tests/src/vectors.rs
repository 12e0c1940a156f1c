//! The vectors: what the reference answered, held against what our code answers. Entry point: [`run`].

mod actions;
mod candidates;
mod cases;
mod checks;
mod convert;
mod deviations;
mod mentions;
mod policy;
mod reconcile;
mod render;
mod serve;
mod sourceless;
mod verify;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use cases::{Case, Family};
use checks::Checks;
pub use deviations::Deviations;

/// How long one case may take before it counts as failed. The slowest takes milliseconds.
const DEADLINE: Duration = Duration::from_mins(1);

/// Stack of the thread a case runs on: deeply nested input is to end in an error, not in an overflow.
const STACK: usize = 64 << 20;

/// Compares one case; every difference goes into the [`Checks`]. An error means the case itself cannot be read.
type Compare = fn(&Case, &mut Checks<'_>) -> Result<()>;

/// The families that have code. Those of other names are reported as not covered.
const FAMILIES: [(&str, Compare); 12] = [
    ("accept", serve::accept),
    ("actions", actions::compare),
    ("blame", reconcile::blame),
    ("candidates", candidates::compare),
    ("convert", convert::compare),
    ("disruption-policy", policy::disruption_policy),
    ("reconcilable", reconcile::reconcilable),
    ("registries", policy::registries),
    ("render", render::compare),
    ("render-errors", render::compare),
    ("serve", serve::serve),
    ("verify", verify::compare),
];

/// What a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Cases that agree with the reference, or differ from it by a listed rule.
    pub passed: usize,
    /// Cases that differ, cannot be read, panic or hang.
    pub failed: usize,
}

/// Runs every family found in `dir` and reports to `out`; the last line is `N passed, M failed`.
///
/// Fails when `dir` holds no case at all, which is never what was meant.
pub fn run(dir: &Path, deviations: Deviations, out: &mut dyn Write) -> Result<Totals> {
    let families = cases::find(dir)?;
    if families.iter().all(|family| family.cases.is_empty()) {
        bail!(
            "no vectors in {}: expected <family>/*.json, <family>/*.jsonl or <family>.jsonl",
            dir.display()
        );
    }
    let deviations = Arc::new(deviations);
    let mut totals = Totals::default();
    for family in families {
        let Some(compare) = FAMILIES
            .iter()
            .find(|(name, _)| *name == family.name)
            .map(|(_, compare)| *compare)
        else {
            writeln!(out, "{}: not covered ({} cases)", family.name, family.cases.len())?;
            continue;
        };
        let of_family = run_family(family, compare, &deviations, out)?;
        totals.passed += of_family.passed;
        totals.failed += of_family.failed;
    }
    writeln!(out, "{} passed, {} failed", totals.passed, totals.failed)?;
    Ok(totals)
}

fn run_family(
    family: Family,
    compare: Compare,
    deviations: &Arc<Deviations>,
    out: &mut dyn Write,
) -> io::Result<Totals> {
    let mut totals = Totals::default();
    let mut by_rule = BTreeMap::<String, usize>::new();
    for (place, case) in family.cases {
        let label = case
            .as_ref()
            .map(|case| format!(" ({})", case.name))
            .unwrap_or_default();
        match case.and_then(|case| run_case(case, compare, Arc::clone(deviations))) {
            Ok(rules) => {
                totals.passed += 1;
                for rule in rules {
                    *by_rule.entry(rule).or_default() += 1;
                }
            }
            Err(error) => {
                totals.failed += 1;
                writeln!(
                    out,
                    "FAILED {}/{place}{label}\n{}",
                    family.name,
                    indent(&format!("{error:#}"))
                )?;
            }
        }
    }
    write!(
        out,
        "{}: {} passed, {} failed",
        family.name, totals.passed, totals.failed
    )?;
    for (rule, count) in by_rule {
        write!(out, "; {count} by rule {rule}")?;
    }
    writeln!(out)?;
    Ok(totals)
}

/// Runs one case on a thread of its own, so that neither a panic nor a hang stops the run. Returns the rules it needed.
fn run_case(case: Case, compare: Compare, deviations: Arc<Deviations>) -> Result<Vec<String>> {
    let (sender, receiver) = mpsc::channel();
    let work = move || {
        let mut checks = Checks::new(&case.family, &deviations);
        let result = panic::catch_unwind(AssertUnwindSafe(|| compare(&case, &mut checks)));
        let verdict = match result {
            Ok(Ok(())) => checks.verdict(),
            Ok(Err(error)) => Err(error.context("the case cannot be read")),
            Err(payload) => Err(anyhow::anyhow!(
                "our code panicked: {}",
                panic_text(payload.as_ref())
            )),
        };
        // The receiver is gone when the deadline has passed.
        drop(sender.send(verdict));
    };
    thread::Builder::new()
        .stack_size(STACK)
        .spawn(work)
        .context("could not start a thread")?;
    receiver
        .recv_timeout(DEADLINE)
        .unwrap_or_else(|_| bail!("no answer within {DEADLINE:?}"))
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("without a message")
}

fn indent(text: &str) -> String {
    text.lines()
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests;
