//! `status`, `rollback`, `recover` and `confirm`: what is on this node, and the ways back.

use std::path::PathBuf;

use jiff::Timestamp;
use machineconfig::{Code, Finding, Policy};
use serde::Serialize;

use super::answer::{Form, refuse, unplaced};
use super::recovery::take_up_first;
use super::{Exit, apply, print};
use crate::confirm::{self, Trial, Verdict};
use crate::converge::{Wanted, converge};
use crate::host::lock::holder;
use crate::journal::{Event, Journal, Outcome, Phase, Purpose};
use crate::node::Node;
use crate::recover::recover;
use crate::store::{self, RebootDue};
use crate::{reboot, rules};

/// Transactions that `status` lists.
const LISTED: usize = 5;

/// Say which config this node has, what was done last, and what is due
///
/// A change that was cut off is taken up first, as by every command.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// Directory that is the root of the node
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Form of the result
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Form,
}

/// Go back to an earlier config, by a plan like any other
#[derive(Debug, clap::Args)]
pub(crate) struct Rollback {
    /// The config to go back to, one of those that `status` lists; without it the one before
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
    /// Directory that is the root of the node
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// MachineConfiguration whose nodeDisruptionPolicy decides; without it the built-in policy
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Reboot when the plan needs it
    #[arg(long)]
    reboot: bool,
    /// Form of the result
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Form,
}

/// Finish or undo a change that was cut off
#[derive(Debug, clap::Args)]
pub(crate) struct Recover {
    /// Directory that is the root of the node
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// The node is just booting: wait for no service
    #[arg(long, hide = true)]
    booting: bool,
}

/// Keep watch over a config on trial
#[derive(Debug, clap::Args)]
pub(crate) struct Confirm {
    /// Directory that is the root of the node
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

/// The JSON form of `status`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct State {
    schema_version: u32,
    current: Option<String>,
    kept: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reboot_due: Option<RebootDue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trial: Option<Trial>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_work: Option<String>,
    transactions: Vec<Line>,
    problems: Vec<Finding>,
}

/// One transaction in short.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    id: String,
    purpose: Purpose,
    from: String,
    to: String,
    started: Timestamp,
    phase: &'static str,
    acted: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
}

impl Status {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let Self { root, output } = self;
        take_up_first(&root);
        let node = match Node::open_to_look(&root) {
            Ok(node) => node,
            Err(finding) => return Ok(refuse(unplaced([finding]), Exit::Failed)),
        };
        let state = state(&node);
        match output {
            Form::Json => print(&(serde_json::to_string_pretty(&state)? + "\n"))?,
            Form::Text => print(&text(&state))?,
        }
        let failed = if state.problems.is_empty() {
            Exit::Done
        } else {
            Exit::Failed
        };
        if output == Form::Text {
            refuse(unplaced(state.problems), failed);
        }
        Ok(failed)
    }
}

fn state(node: &Node) -> State {
    let mut problems = Vec::new();
    let current = match store::current(&node.root) {
        Ok(current) => current.and_then(|config| config.metadata.name),
        Err(finding) => {
            problems.push(finding);
            None
        }
    };
    let mut journals = Vec::new();
    match Journal::read(&node.root) {
        Ok(journal) => journals.extend(journal),
        Err(error) => problems.push(Finding::error(
            Code::JOURNAL_DAMAGED,
            crate::journal::JOURNAL,
            "",
            crate::apply::chain(&error),
        )),
    }
    journals.extend(Journal::history(&node.root).unwrap_or_default());
    let (due, kept, trial) = records(node, &mut problems);
    let at_work = holder(&node.root).map(|holder| holder.to_string());
    let cut_off = journals
        .first()
        .filter(|journal| journal.phase() != Phase::Closed);
    if let (Some(journal), None) = (cut_off, &at_work) {
        let message = format!(
            "the change to {} was cut off and is not taken up yet",
            journal.begin.plan.to
        );
        problems.push(Finding::error(
            Code::CUT_OFF,
            crate::journal::JOURNAL,
            "",
            message,
        ));
    }
    problems.extend(
        due.as_ref()
            .and_then(|due| reboot::overdue(due, Timestamp::now())),
    );
    State {
        schema_version: crate::converge::SCHEMA_VERSION,
        current,
        kept,
        reboot_due: due,
        trial,
        verdict: confirm::verdict(&node.root),
        at_work,
        transactions: journals.iter().take(LISTED).map(line).collect(),
        problems,
    }
}

/// What the records say of a reboot that is due, of configs that are kept, and of a trial. One that says nothing is a problem.
fn records(node: &Node, problems: &mut Vec<Finding>) -> (Option<RebootDue>, Vec<String>, Option<Trial>) {
    let damaged =
        |path: &str, error: std::io::Error| Finding::error(Code::RECORD_DAMAGED, path, "", error.to_string());
    let due = store::reboot_due(&node.root).unwrap_or_else(|error| {
        problems.push(damaged(store::REBOOT, error));
        None
    });
    let due = due.filter(|due| due.boot_id == node.boot_id);
    let kept = store::names(&node.root).unwrap_or_else(|error| {
        problems.push(damaged(store::CONFIGS, error));
        Vec::new()
    });
    let trial = confirm::trial(&node.root).unwrap_or_else(|finding| {
        problems.push(finding);
        None
    });
    (due, kept, trial)
}

fn line(journal: &Journal) -> Line {
    let acted = journal.events.iter().filter_map(|event| match event {
        Event::Acted { action } => Some(action.to_string()),
        Event::Committed
        | Event::Published
        | Event::Acting { .. }
        | Event::Undoing { .. }
        | Event::Closed { .. } => None,
    });
    Line {
        id: journal.begin.id.clone(),
        purpose: journal.begin.purpose,
        from: journal.begin.plan.from.clone(),
        to: journal.begin.plan.to.clone(),
        started: journal.begin.started,
        phase: match journal.phase() {
            Phase::Staging => "staging",
            Phase::Committed => "committed",
            Phase::Published => "published",
            Phase::Undoing => "undoing",
            Phase::Closed => "closed",
        },
        acted: acted.collect(),
        outcome: journal.outcome().map(|(outcome, _)| outcome.clone()),
    }
}

fn text(state: &State) -> String {
    let mut text = String::new();
    let mut say = |line: String| text.push_str(&(line + "\n"));
    say(format!(
        "current config: {}",
        state.current.as_deref().unwrap_or("none of ours")
    ));
    let others: Vec<_> = state
        .kept
        .iter()
        .filter(|name| Some(*name) != state.current.as_ref())
        .cloned()
        .collect();
    if !others.is_empty() {
        say(format!("kept to go back to: {}", others.join(", ")));
    }
    if let Some(due) = &state.reboot_due {
        say(format!(
            "a reboot is due since {:.0}, for {}",
            due.since, due.config
        ));
    }
    if let Some(trial) = &state.trial {
        say(format!(
            "on trial: {}, back to {} unless {} check(s) pass within {} s",
            trial.config,
            trial.before,
            trial.checks.len(),
            trial.within
        ));
    }
    if let Some(Verdict {
        config,
        confirmed: false,
        reason,
        at,
    }) = &state.verdict
    {
        say(format!(
            "went back at {at:.0}, {config} was not confirmed: {reason}"
        ));
    }
    if let Some(holder) = &state.at_work {
        say(format!("at work: {holder}"));
    }
    state
        .transactions
        .iter()
        .for_each(|line| text.push_str(&line.text()));
    text
}

impl Line {
    /// For people.
    fn text(&self) -> String {
        let how = match &self.outcome {
            Some(Outcome::Applied { .. }) => "applied".to_owned(),
            Some(Outcome::Undone { error }) => format!("undone: {error}"),
            Some(Outcome::Abandoned) => "cut off before it was committed, nothing was changed".to_owned(),
            None => format!("{}, cut off", self.phase),
        };
        let purpose = match self.purpose {
            Purpose::Apply => "apply",
            Purpose::Rollback => "rollback",
            Purpose::NotConfirmed => "not confirmed, back",
        };
        let Self {
            from,
            to,
            started,
            acted,
            ..
        } = self;
        let mut text = format!("{started:.0} {purpose}: {from} -> {to}: {how}\n");
        if !acted.is_empty() {
            text = text + "  did: " + &acted.join(", ") + "\n";
        }
        text
    }
}

impl Rollback {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let Self {
            to,
            root,
            policy,
            reboot,
            output,
        } = self;
        let policy = match rules::read(policy.as_deref()) {
            Ok(policy) => policy,
            Err(findings) => return apply::refused(findings, output),
        };
        let node = match Node::open(&root) {
            Ok(node) => node,
            Err(finding) => return apply::refused(unplaced([finding]), output),
        };
        let report = match back(&node, to.as_deref(), &policy) {
            Ok(report) => report,
            Err(findings) => return apply::refused(unplaced(findings), output),
        };
        let exit = apply::show(&report, output)?;
        if reboot && exit == Exit::RebootDue {
            return Ok(match crate::reboot::request(&node) {
                Ok(()) => exit,
                Err(finding) => refuse(unplaced([finding]), Exit::Failed),
            });
        }
        Ok(exit)
    }
}

fn back(node: &Node, to: Option<&str>, policy: &Policy) -> Result<crate::converge::Report, Vec<Finding>> {
    let one = |finding| vec![finding];
    let lock = node.lock("rollback").map_err(one)?;
    // What was cut off may yet change which config is the current one.
    let recovered = recover(&node.root, &node.acts(), &node.machine_id).map_err(one)?;
    let name = match to {
        Some(name) => name.to_owned(),
        None => before(node).map_err(one)?,
    };
    let config = store::kept(&node.root, &name).map_err(one)?;
    let wanted = Wanted {
        config,
        policy,
        purpose: Purpose::Rollback,
        diffs: None,
        only: None,
    };
    Ok(converge(node, &lock, wanted)?.after(&recovered))
}

/// The config before the current one.
fn before(node: &Node) -> Result<String, Finding> {
    let current = store::current(&node.root)?.and_then(|config| config.metadata.name);
    let names = store::names(&node.root)
        .map_err(|error| Finding::error(Code::NODE_UNREADABLE, store::CONFIGS, "", error.to_string()))?;
    names
        .into_iter()
        .find(|name| Some(name) != current.as_ref())
        .ok_or_else(|| {
            Finding::error(
                Code::NO_SUCH_CONFIG,
                "rollback",
                "",
                "this node has had no other config",
            )
        })
}

impl Recover {
    pub(crate) fn run(self) -> Exit {
        let Self { root, booting } = self;
        let opened = if booting {
            Node::open_booting(&root)
        } else {
            Node::open(&root)
        };
        let node = match opened {
            Ok(node) => node,
            Err(finding) => return refuse(unplaced([finding]), Exit::Failed),
        };
        match take_up(&node, booting) {
            Ok(()) => Exit::Done,
            Err(findings) => refuse(unplaced(findings), Exit::Failed),
        }
    }
}

fn take_up(node: &Node, booting: bool) -> Result<(), Vec<Finding>> {
    let one = |finding| vec![finding];
    let lock = node.lock("recover").map_err(one)?;
    let recovered = recover(&node.root, &node.acts(), &node.machine_id).map_err(one)?;
    apply::tell_recovered(&recovered);
    reboot::settle(node).map_err(one)?;
    drop(lock);
    if booting
        && confirm::count_boot(node).map_err(one)?
        && let Some(trial) = confirm::trial(&node.root).map_err(one)?
    {
        confirm::go_back(
            node,
            &trial,
            format!("it was not confirmed in {} boots", trial.boots),
        )?;
    }
    Ok(())
}

impl Confirm {
    pub(crate) fn run(self) -> Exit {
        let Self { root } = self;
        let watched = Node::open(&root)
            .map_err(|finding| vec![finding])
            .and_then(|node| {
                reboot::settle(&node).map_err(|finding| vec![finding])?;
                confirm::keep_watch(&node)
            });
        match watched {
            Ok(()) => Exit::Done,
            Err(findings) => refuse(unplaced(findings), Exit::Failed),
        }
    }
}
