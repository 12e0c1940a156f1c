//! `apply` and `plan`: brings this node to a config, or says what that would do.

use std::io;
use std::path::PathBuf;
use std::thread;

use crds::MachineConfig;
use machineconfig::finding::Located;
use machineconfig::redact::Limits;
use machineconfig::{Code, Finding, Policy, plan};
use serde::Serialize;

use super::answer::{Form, about, refuse, styles, unplaced};
use super::recovery::take_up_to_plan;
use super::{Exit, fetch, message, print};
use crate::confirm::Confirmation;
use crate::converge::{Ending, Report, SCHEMA_VERSION, Wanted, converge_from, foresee_from};
use crate::journal::Purpose;
use crate::node::Node;
use crate::prospect::{Ahead, Standing};
use crate::source::{self, Source};
use crate::{reboot, rules};

/// Bring this node to a config, or mend what drifted from it
///
/// The change is planned from what is on the disk, staged, and put in place at once: whatever happens meanwhile, the node has the
/// old config or the new one. Then the actions of the plan are carried out. A reboot is left to the caller unless --reboot is
/// given; pods are not evicted.
#[derive(Debug, clap::Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    target: Target,
    /// Say what would be done, and do nothing
    #[arg(long, conflicts_with = "confirm_within")]
    dry_run: bool,
    /// Reboot when the plan needs it
    #[arg(long, conflicts_with = "dry_run")]
    reboot: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// Say what applying a config to this node would do
///
/// A change that was cut off is taken up first, as by every command.
#[derive(Debug, clap::Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// Rendered MachineConfig or Ignition config, as YAML or JSON: a file, `-` for standard input, or an http(s) URL
    #[arg(long, value_name = "FILE|URL")]
    config: String,
    /// Certificate authority to trust when the config is fetched, as PEM; without it those of this system
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Directory that is the root of the node
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// MachineConfiguration whose nodeDisruptionPolicy decides; without it the built-in policy
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Show what changes in files
    #[arg(long)]
    show_diff: bool,
    /// Form of the result
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Form,
}

impl Plan {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let Self { target } = self;
        run(&target, Mode::DryRun)
    }
}

impl Apply {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let Self {
            target,
            dry_run,
            reboot,
            confirmation,
        } = self;
        let mode = if dry_run {
            Mode::DryRun
        } else {
            Mode::Apply { reboot, confirmation }
        };
        run(&target, mode)
    }
}

enum Mode {
    DryRun,
    Apply {
        reboot: bool,
        confirmation: Confirmation,
    },
}

/// What a command is told to bring a node to, and by which rules.
type Read = (MachineConfig, Policy);
/// What a node is found to be, for who looks and for who changes it.
type Looked = (Option<Result<Option<Standing>, Vec<Finding>>>, Option<Ahead>);

fn run(target: &Target, mode: Mode) -> anyhow::Result<Exit> {
    // Only who changes nothing may look before it has the lock.
    let looks = matches!(mode, Mode::DryRun);
    // What apply would refuse is no plan.
    if looks && let Err(finding) = take_up_to_plan(&target.root) {
        return refused(unplaced([finding]), target.output);
    }
    let node = Node::open(&target.root);
    let (read, (standing, ahead)) = read_and_look(target, node.as_ref().ok(), looks);
    let (config, policy) = match read {
        Ok(read) => read,
        Err(findings) => return refused(findings, target.output),
    };
    let node = match node {
        Ok(node) => node,
        Err(finding) => return refused(unplaced([finding]), target.output),
    };
    if matches!(mode, Mode::Apply { reboot: true, .. }) && !node.is_running() {
        let message = "cannot be rebooted: this root is not that of the running system; leave --reboot out";
        let finding = Finding::error(
            Code::SYSTEMD_UNREACHABLE,
            target.root.to_string_lossy(),
            "",
            message,
        );
        return refused(unplaced([finding]), target.output);
    }
    let wanted = Wanted {
        config,
        policy: &policy,
        purpose: Purpose::Apply,
        diffs: target.show_diff.then(Limits::default),
        only: None,
    };
    let done = match mode {
        Mode::DryRun => standing
            .transpose()
            .and_then(|standing| foresee_from(&node, standing.flatten(), wanted))
            .map(|report| (report, None)),
        Mode::Apply { reboot, confirmation } => {
            let changed = change(&node, ahead, wanted, &confirmation);
            changed.map(|(report, armed)| (report, Some((reboot, armed))))
        }
    };
    let (report, after) = match done {
        Ok(done) => done,
        Err(findings) => return refused(unplaced(findings), target.output),
    };
    let exit = show(&report, target.output)?;
    Ok(match after {
        Some((reboot, armed)) if matches!(exit, Exit::Done | Exit::RebootDue) => {
            finish(&node, &report.config, exit, reboot, armed)
        }
        Some(_) | None => exit,
    })
}

/// The config and the policy, and the node at the same time: as it stands for a plan, else ahead of a change.
fn read_and_look(target: &Target, node: Option<&Node>, looks: bool) -> (Result<Read, Vec<Located>>, Looked) {
    let look = |node| {
        let standing = looks.then(|| Standing::of(node, None));
        // What comes over a network may take its time, in which the node goes on.
        let soon = !looks && !fetch::is_url(&target.config);
        (standing, soon.then(|| Ahead::of(node)).flatten())
    };
    thread::scope(|scope| {
        let look = node.map(|node| scope.spawn(move || look(node)));
        let read = read(target);
        let look = look.map(|look| look.join().expect("looking at a node does not panic"));
        (read, look.unwrap_or_default())
    })
}

/// The config and the policy, with everything that is wrong with them.
fn read(target: &Target) -> Result<Read, Vec<Located>> {
    let Target {
        config,
        ca,
        policy,
        root: _,
        show_diff: _,
        output: _,
    } = target;
    let source = if fetch::is_url(config) {
        fetch::read(config, ca.as_deref())
    } else {
        source::read(config.as_ref())
    };
    let source = source.and_then(Source::into_config);
    let (object, policy) = match (source, rules::read(policy.as_deref())) {
        (Ok(object), Ok(policy)) => (object, policy),
        (source, policy) => {
            let of_config = source.err().into_iter().flatten();
            return Err(of_config.chain(policy.err().into_iter().flatten()).collect());
        }
    };
    // A rendered config is for one pool, and no label of it says for which.
    let faults: Vec<_> = machineconfig::render::check(&object)
        .into_iter()
        .filter(|finding| finding.is_error() && finding.code != Code::NO_ROLE)
        .map(|finding| about(config.as_ref(), finding))
        .collect();
    if faults.is_empty() {
        Ok((object, policy))
    } else {
        Err(faults)
    }
}

/// Changes the node under its lock.
fn change(
    node: &Node,
    ahead: Option<Ahead>,
    wanted: Wanted<'_>,
    confirmation: &Confirmation,
) -> Result<(Report, bool), Vec<Finding>> {
    let name = wanted.config.metadata.name.clone().unwrap_or_default();
    let lock = node
        .lock(&format!("apply {name}"))
        .map_err(|finding| vec![finding])?;
    let armed = confirmation
        .arm(node, &wanted.config, wanted.policy)
        .map_err(|finding| vec![finding])?;
    let done = converge_from(node, &lock, ahead, wanted);
    let changed = done.as_ref().is_ok_and(|report| report.ending == Ending::Applied);
    if let Some(armed) = armed.as_ref().filter(|_| !changed) {
        armed.disarm(node);
    }
    let report = done?;
    Ok(match armed {
        Some(armed) => (report.after(&armed.recovered), changed),
        None => (report, false),
    })
}

/// What comes after a change: the reboot, and the wait for a confirmation.
fn finish(node: &Node, config: &str, exit: Exit, reboot: bool, armed: bool) -> Exit {
    match exit {
        Exit::RebootDue if reboot => match reboot::request(node) {
            Ok(()) => exit,
            Err(finding) => refuse(unplaced([finding]), Exit::Failed),
        },
        Exit::Done if armed => crate::confirm::wait(node, config),
        _ => exit,
    }
}

/// The JSON form of a command that ended before there was a report.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    schema_version: u32,
    ending: Ending,
    errors: Vec<Finding>,
}

/// Tells why there is no report, and says how the command is to end: a node that is stuck between two configs has not refused.
pub(crate) fn refused(findings: impl IntoIterator<Item = Located>, output: Form) -> anyhow::Result<Exit> {
    let findings: Vec<Located> = findings.into_iter().collect();
    let errors: Vec<Finding> = findings.iter().map(|located| located.finding.clone()).collect();
    let stuck = errors.iter().any(|finding| finding.code == Code::APPLY_STUCK);
    let (ending, exit) = if stuck {
        (Ending::Stuck, Exit::Failed)
    } else {
        (Ending::Refused, Exit::Refused)
    };
    refuse(findings, exit);
    match output {
        Form::Text => {}
        Form::Json => {
            let refusal = Refusal {
                schema_version: SCHEMA_VERSION,
                ending,
                errors,
            };
            print(&(serde_json::to_string_pretty(&refusal)? + "\n"))?;
        }
    }
    Ok(exit)
}

/// Prints a report, and says how the command is to end.
pub(crate) fn show(report: &Report, output: Form) -> anyhow::Result<Exit> {
    match output {
        Form::Json => print(&(serde_json::to_string_pretty(report)? + "\n"))?,
        Form::Text => {
            print(&text(report))?;
            let warnings = report
                .warnings
                .iter()
                .filter(|warning| !report.plan.warnings.contains(warning));
            refuse(unplaced(warnings.chain(&report.errors).cloned()), Exit::Done);
        }
    }
    Ok(match report.ending {
        Ending::Refused => Exit::Refused,
        Ending::Undone | Ending::Stuck => Exit::Failed,
        Ending::Applied | Ending::Unchanged if report.reboot_due.is_some() || foreseen_reboot(report) => {
            Exit::RebootDue
        }
        Ending::Applied | Ending::Unchanged => Exit::Done,
    })
}

fn foreseen_reboot(report: &Report) -> bool {
    report.left.contains(&plan::Action::Reboot)
}

fn paths(count: usize) -> String {
    match count {
        1 => "1 path".to_owned(),
        count => format!("{count} paths"),
    }
}

fn text(report: &Report) -> String {
    let mut text = plan::text(&report.plan, &styles(&io::stdout()));
    let list = |actions: &[plan::Action]| {
        actions
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let name = &report.config;
    let mut say = |line: String| text.push_str(&(line + "\n"));
    if let Some(recovered) = &report.recovered {
        say(format!("before that: {recovered}"));
    }
    match (report.ending, report.dry_run) {
        (Ending::Unchanged, _) => say(format!("{name}: nothing to do, the node is so already")),
        (Ending::Applied, true) => say(format!(
            "{name}: {} would be written; nothing was done",
            paths(report.changed)
        )),
        (Ending::Applied, false) => {
            say(format!("{name}: applied, {} written", paths(report.changed)));
            if !report.acted.is_empty() {
                say(format!("  done: {}", list(&report.acted)));
            }
            let left: Vec<_> = report
                .left
                .iter()
                .filter(|action| **action != plan::Action::Reboot)
                .cloned()
                .collect();
            if !left.is_empty() {
                say(format!(
                    "  not run, since this root is not that of the running system: {}",
                    list(&left)
                ));
            }
        }
        (Ending::Refused, _) => say(format!("{name}: refused, nothing was touched")),
        (Ending::Undone, _) => say(format!("{name}: not applied, the node has its old config")),
        (Ending::Stuck, _) => say(format!("{name}: neither applied nor undone yet")),
    }
    if let Some(due) = &report.reboot_due {
        say(format!(
            "  a reboot is due since {:.0}, for {}",
            due.since, due.config
        ));
    }
    text
}

/// Tells what recovery did at the start of a command.
pub(crate) fn tell_recovered(recovered: &crate::recover::Recovered) {
    if let Some(text) = crate::converge::recovered_text(recovered) {
        message(&format!("{text}\n"));
    }
}
