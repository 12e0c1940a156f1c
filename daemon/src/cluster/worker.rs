//! What takes time on the node's disk or with its systemd, on a thread of its own: one job after the other, so that nobody waits for the
//! lock of writers but on others. [`Worker::start`] is the entry point.

use std::path::Path;
use std::sync::mpsc;
use std::thread;

use machineconfig::plan::Action;
use machineconfig::{Code, Finding, Policy};
use tokio::sync::mpsc as answers;

use super::disk;
use super::handshake::Handshake;
use super::state_machine::{Disk, Kind};
use super::trust::{self, Trust};
use crate::converge::{Ending, Report, Wanted, converge, foresee};
use crate::journal::Purpose;
use crate::node::Node;
use crate::{converge as engine, reboot, recover, source, store};

/// Who changes the node, as others are told.
const WHO: &str = "machine-config-daemon";
/// Longest config that is read, in bytes.
const MAX_CONFIG: u64 = 512 << 20;

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Job {
    /// Take up what was cut off, and look.
    Recover,
    /// Look what is on the disk.
    Look,
    /// Keep a config that was fetched.
    Keep {
        /// Its name.
        config: String,
        /// All of it, as JSON.
        text: String,
    },
    /// Find out what the config that was fetched takes.
    Plan {
        /// Its name.
        config: String,
        /// What decides about disruption.
        policy: Box<Policy>,
    },
    /// Bring the node to it.
    Apply {
        /// Its name.
        config: String,
        /// What decides about disruption.
        policy: Box<Policy>,
    },
    /// Reboot, for this config. It has an answer only when the reboot does not come.
    Reboot(String),
    /// Put away what was laid down for the first start.
    PutAway,
    /// Write certificates.
    Trust(Box<Trust>),
    /// Remember what the API server said.
    Remember(Handshake, Option<Box<Policy>>),
}

/// What became of a job.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Of which.
    pub(crate) outcome: Outcome,
    /// What is on the disk then; why that cannot be told.
    pub(crate) disk: Result<Disk, String>,
    /// The config that is kept after it was fetched.
    pub(crate) kept: Option<String>,
}

/// How a job ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Nothing was to be done, or it was done.
    Looked,
    /// What the API server said is remembered, as far as that can be.
    Remembered,
    /// What was cut off was taken up, or was not to be.
    Recovered(Result<Option<String>, Problem>),
    /// A config was kept, or not.
    Kept(String, Result<(), Problem>),
    /// What it takes.
    Planned(String, Result<Planned, Problem>),
    /// The node was brought to it.
    Applied(String, Result<Applied, Problem>),
    /// The reboot did not come.
    NotRebooted(String, Problem),
    /// What was laid down was put away, or not.
    PutAway(Result<(), Problem>),
    /// Certificates are on the disk: whether any were written.
    Trusted(Box<Trust>, Result<bool, String>),
}

/// What a config takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Whether the node is drained.
    pub(crate) drain: bool,
    /// Why, or why not.
    pub(crate) reason: String,
    /// What is done after writing, in words.
    pub(crate) actions: String,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Actions that were carried out, in words.
    pub(crate) acted: String,
    /// What is doubtful, in words.
    pub(crate) warnings: String,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// What kind of failure it is.
    pub(crate) kind: Kind,
    /// Why, in words.
    pub(crate) reason: String,
}

/// The thread, as others reach it.
#[derive(Debug)]
pub(crate) struct Worker {
    jobs: mpsc::Sender<Job>,
}

impl Worker {
    /// Begins, for the node at `root`. Answers come in the order of the jobs.
    pub(crate) fn start(root: &Path) -> std::io::Result<(Self, answers::UnboundedReceiver<Answer>)> {
        let (jobs, todo) = mpsc::channel::<Job>();
        let (told, answers) = answers::unbounded_channel();
        let root = root.to_owned();
        thread::Builder::new().name("worker".to_owned()).spawn(move || {
            for job in todo {
                // Nobody listens any more: the process ends.
                if told.send(answer(&root, job)).is_err() {
                    return;
                }
            }
        })?;
        Ok((Self { jobs }, answers))
    }

    /// Gives it something to do.
    pub(crate) fn give(&self, job: Job) {
        // It ends with the process only.
        let _ = self.jobs.send(job);
    }
}

fn answer(root: &Path, job: Job) -> Answer {
    // Opened anew for each job: systemd, its bus and whether it can be reached change over months.
    let node = Node::open(root);
    let outcome = match &node {
        Ok(node) => perform(node, job),
        Err(finding) => unreached(job, &problem(std::slice::from_ref(finding))),
    };
    let node = node.or_else(|_| Node::open_to_look(root));
    match node {
        Ok(node) => Answer {
            outcome,
            disk: disk::read(&node),
            kept: disk::kept(&node.root),
        },
        Err(finding) => Answer {
            outcome,
            disk: Err(words(&[finding])),
            kept: None,
        },
    }
}

/// What becomes of a job on a node that cannot be opened.
fn unreached(job: Job, problem: &Problem) -> Outcome {
    let problem = problem.clone();
    match job {
        Job::Recover => Outcome::Recovered(Err(problem)),
        Job::Look => Outcome::Looked,
        Job::Remember(..) => Outcome::Remembered,
        Job::Keep { config, .. } => Outcome::Kept(config, Err(problem)),
        Job::Plan { config, .. } => Outcome::Planned(config, Err(problem)),
        Job::Apply { config, .. } => Outcome::Applied(config, Err(problem)),
        Job::Reboot(config) => Outcome::NotRebooted(config, problem),
        Job::PutAway => Outcome::PutAway(Err(problem)),
        Job::Trust(trust) => Outcome::Trusted(trust, Err(problem.reason)),
    }
}

fn perform(node: &Node, job: Job) -> Outcome {
    match job {
        Job::Recover => Outcome::Recovered(take_up(node)),
        Job::Look => Outcome::Looked,
        Job::Keep { config, text } => {
            let kept = disk::keep(&node.root, &text);
            Outcome::Kept(config, kept.map_err(failed))
        }
        Job::Plan { config, policy } => {
            let planned = plan(node, &config, &policy);
            Outcome::Planned(config, fetched_anew(node, planned))
        }
        Job::Apply { config, policy } => {
            let applied = apply(node, &config, &policy);
            Outcome::Applied(config, fetched_anew(node, applied))
        }
        Job::Reboot(config) => match reboot::request(node) {
            Ok(()) => Outcome::Looked,
            Err(finding) => Outcome::NotRebooted(config, problem(&[finding])),
        },
        Job::PutAway => Outcome::PutAway(put_away(node)),
        Job::Remember(handshake, policy) => {
            if let Err(error) = disk::remember(&node.root, &handshake, policy.as_deref()) {
                tracing::warn!(%error, "What the API server said cannot be remembered");
            }
            Outcome::Remembered
        }
        Job::Trust(trust) => {
            let written = trust::write(node, &trust);
            Outcome::Trusted(trust, written)
        }
    }
}

/// After a failure the config is fetched anew: what was wrong with it may have been put right.
fn fetched_anew<T>(node: &Node, outcome: Result<T, Problem>) -> Result<T, Problem> {
    if outcome.as_ref().is_err_and(|problem| problem.kind != Kind::Busy) {
        disk::forget(&node.root);
    }
    outcome
}

fn take_up(node: &Node) -> Result<Option<String>, Problem> {
    let is_due = recover::is_due(&node.root)
        || store::reboot_due(&node.root)
            .ok()
            .flatten()
            .is_some_and(|due| due.boot_id != node.boot_id);
    if !is_due {
        // Nothing is written on a node that is as it should be.
        return Ok(None);
    }
    let told = |finding: Finding| problem(&[finding]);
    let _lock = node.lock(WHO).map_err(told)?;
    let recovered = recover::recover(&node.root, &node.acts(), &node.machine_id).map_err(told)?;
    reboot::settle(node).map_err(told)?;
    Ok(engine::recovered_text(&recovered))
}

fn put_away(node: &Node) -> Result<(), Problem> {
    let _lock = node.lock(WHO).map_err(|finding| problem(&[finding]))?;
    disk::put_away(&node.root).map_err(failed)
}

/// What is wanted: the config that was fetched, held against the rules for MachineConfigs.
fn wanted<'a>(node: &Node, config: &str, policy: &'a Policy) -> Result<Wanted<'a>, Problem> {
    let object = format!("MachineConfig/{config}");
    let bytes = node
        .root
        .read(Path::new(disk::TARGET), MAX_CONFIG)
        .map_err(|error| failed(format!("cannot read {}: {error}", disk::TARGET)))?;
    let bytes = bytes.ok_or_else(|| failed(format!("{object} is not kept on this node any more")))?;
    let text = String::from_utf8_lossy(&bytes);
    let read = source::parse(&object, &text).and_then(source::Source::into_config);
    let read = read.map_err(|located| {
        let findings: Vec<_> = located.into_iter().map(|located| located.finding).collect();
        problem(&findings)
    })?;
    if read.metadata.name.as_deref() != Some(config) {
        return Err(failed(format!("{object} is not what was fetched by that name")));
    }
    // A rendered config is for one pool, and no label of it says for which.
    let faults: Vec<_> = machineconfig::render::check(&read)
        .into_iter()
        .filter(|finding| finding.is_error() && finding.code != Code::NO_ROLE)
        .collect();
    if faults.is_empty() {
        Ok(Wanted {
            config: read,
            policy,
            purpose: Purpose::Apply,
            diffs: None,
            only: None,
        })
    } else {
        Err(problem(&faults))
    }
}

fn plan(node: &Node, config: &str, policy: &Policy) -> Result<Planned, Problem> {
    let report = foresee(node, wanted(node, config, policy)?).map_err(|findings| problem(&findings))?;
    let report = judged(report)?;
    Ok(Planned {
        drain: report.plan.drain.required,
        reason: report.plan.drain.reason.clone(),
        actions: in_words(&report.plan.actions),
    })
}

fn apply(node: &Node, config: &str, policy: &Policy) -> Result<Applied, Problem> {
    let wanted = wanted(node, config, policy)?;
    let lock = node.lock(WHO).map_err(|finding| problem(&[finding]))?;
    // It counts for one attempt, also when that fails (MCO daemon 7.5).
    store::remove(&node.root, disk::FORCE).map_err(|error| failed(crate::apply::chain(&error)))?;
    let report = converge(node, &lock, wanted).map_err(|findings| problem(&findings))?;
    let report = judged(report)?;
    disk::forget(&node.root);
    Ok(Applied {
        acted: in_words(&report.acted),
        warnings: words(&report.warnings),
    })
}

/// A report of something that was done, or would be.
fn judged(report: Report) -> Result<Report, Problem> {
    match report.ending {
        Ending::Unchanged | Ending::Applied => Ok(report),
        Ending::Refused if !report.plan.refusals.is_empty() => Err(Problem {
            kind: Kind::Refused,
            reason: words(&report.errors),
        }),
        Ending::Refused | Ending::Undone | Ending::Stuck => Err(problem(&report.errors)),
    }
}

fn in_words(actions: &[Action]) -> String {
    let words: Vec<_> = actions.iter().map(ToString::to_string).collect();
    words.join(", ")
}

fn failed(reason: String) -> Problem {
    Problem {
        kind: Kind::Failed,
        reason,
    }
}

/// What findings come to.
pub(crate) fn problem(findings: &[Finding]) -> Problem {
    let busy = findings.iter().any(|finding| finding.code == Code::LOCKED);
    Problem {
        kind: if busy { Kind::Busy } else { Kind::Failed },
        reason: words(findings),
    }
}

/// Findings as people read them in a condition, the most telling first.
fn words(findings: &[Finding]) -> String {
    let texts: Vec<_> = findings
        .iter()
        .map(|finding| {
            let field = if finding.field.is_empty() { "" } else { " " };
            format!(
                "{} {}{field}{}: {}",
                finding.code, finding.object, finding.field, finding.message
            )
        })
        .collect();
    texts.join("; ")
}
