//! `watch`: tells when the disk of a node stops being what its config says, for as long as it runs.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anstyle::Style;
use anyhow::Context;
use crds::{MachineConfig, manifest};
use machineconfig::drift::policy::DriftPolicy;
use machineconfig::drift::report::{line, mismatch};
use machineconfig::finding::{Located, Place};
use machineconfig::style::Styles;
use machineconfig::{Code, Finding, Policy};

use crate::cli::answer::{Form, styles};
use crate::cli::recovery::take_up_first;
use crate::cli::{Exit, message};
use crate::converge::{Ending, Wanted, converge};
use crate::host::Root;
use crate::journal::Purpose;
use crate::monitor::{Config, Event, Monitor, Options, Reaction, Watched, table};
use crate::node::Node;
use crate::{recover, rules, source, store};

/// This program, whatever has become of its file.
const THIS_PROGRAM: &str = "/proc/self/exe";
/// How long a turn without notices lasts. Nothing depends on it: the monitor knows by itself what is due.
const TURN: Duration = Duration::from_mins(1);

/// Watch the disk of a node and tell when it stops being what its config says
///
/// Runs until it is ended. Writes nothing but what the drift policy wants repaired; while the config is being applied it waits.
/// Follows the node's config when it is replaced. A change that was cut off is taken up first, as by every command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory that is the root of the node
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Rendered MachineConfig or Ignition config, as YAML or JSON [default: the current config of the node]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What to do about drift, by path, as YAML or JSON [default: report all of it]
    #[arg(long, value_name = "FILE")]
    drift_policy: Option<PathBuf>,
    /// MachineConfiguration whose nodeDisruptionPolicy decides what a repair takes; without it the built-in policy
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Form of what is told
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Form,
}

/// Writes what the config on standard input demands, for a monitor that is not to parse it itself.
#[derive(Debug, clap::Args)]
#[command(name = table::READ_CONFIG)]
pub(crate) struct ReadConfig {
    /// What reports are to call the config
    #[arg(long)]
    name: String,
}

// === impl Args ===

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let Self {
            root: directory,
            config,
            drift_policy,
            policy: disruption,
            output,
        } = self;
        let mut findings = Vec::new();
        take_up_first(&directory);
        let root = Root::open(&directory);
        if let Err(error) = &root {
            let message = format!("cannot be opened as a directory: {error}");
            findings.push(refused(&directory, Code::NODE_UNREADABLE, message));
        }
        // A node may get its config later, but a file that is named is there.
        if let Some(path) = &config
            && let Err(error) = fs::File::open(path)
        {
            findings.push(refused(
                path,
                Code::UNREADABLE,
                format!("cannot be read: {error}"),
            ));
        }
        let policy = drift_policy.as_deref().map_or(Ok(DriftPolicy::default()), policy);
        let (root, policy) = match (root, policy) {
            (Ok(root), Ok(policy)) if findings.is_empty() => (root, policy),
            (_, policy) => {
                return Ok(refuse(
                    findings.into_iter().chain(policy.err().into_iter().flatten()),
                ));
            }
        };
        let disruption = match rules::read(disruption.as_deref()) {
            Ok(disruption) => disruption,
            Err(findings) => return Ok(refuse(findings)),
        };
        let repair = |paths: &BTreeSet<PathBuf>| mend(&directory, config.as_deref(), &disruption, paths);
        let options = Options {
            config: config.clone().map_or(Config::OfNode, Config::File),
            policy,
            program: THIS_PROGRAM.into(),
        };
        tell(Monitor::new(root, options, Some(&repair)), output)
    }
}

/// Applies the config that is watched once more, to these paths only: by a plan, with the disruption that it takes. A reboot is left
/// to somebody else.
fn mend(
    directory: &Path,
    config: Option<&Path>,
    policy: &Policy,
    paths: &BTreeSet<PathBuf>,
) -> anyhow::Result<()> {
    let node = Node::open(directory).map_err(|finding| told(&[finding]))?;
    let config = match config {
        Some(path) => {
            source::read(path)
                .map_err(|located| {
                    told(
                        &located
                            .into_iter()
                            .map(|located| located.finding)
                            .collect::<Vec<_>>(),
                    )
                })?
                .config
        }
        None => store::current(&node.root)
            .map_err(|finding| told(&[finding]))?
            .context("this node has no config of ours")?,
    };
    let lock = node
        .lock("watch, repairing")
        .map_err(|finding| told(&[finding]))?;
    // What was cut off may yet change which config is the current one.
    recover::recover(&node.root, &node.acts(), &node.machine_id).map_err(|finding| told(&[finding]))?;
    same_config(&node, &config)?;
    let wanted = Wanted {
        config,
        policy,
        purpose: Purpose::Apply,
        diffs: None,
        only: Some(paths.clone()),
    };
    let report = converge(&node, &lock, wanted).map_err(|findings| told(&findings))?;
    match report.ending {
        Ending::Applied | Ending::Unchanged => Ok(()),
        Ending::Refused | Ending::Undone | Ending::Stuck => Err(told(&report.errors)),
    }
}

/// Refuses to mend a node that has another config than the one that is watched: a few paths of it would be recorded as all of it.
fn same_config(node: &Node, watched: &MachineConfig) -> anyhow::Result<()> {
    let name = |config: &MachineConfig| config.metadata.name.clone().unwrap_or_default();
    let watched = name(watched);
    let current = store::current(&node.root).map_err(|finding| told(&[finding]))?;
    let has = match current.as_ref().map(name) {
        Some(current) if current == watched => return Ok(()),
        Some(current) => current,
        None => "no config of ours".to_owned(),
    };
    anyhow::bail!("the node has {has}, and {watched} is watched")
}

/// Findings as one error.
fn told(findings: &[Finding]) -> anyhow::Error {
    let texts: Vec<_> = findings
        .iter()
        .map(|finding| format!("{} {}: {}", finding.code, finding.object, finding.message))
        .collect();
    anyhow::anyhow!("{}", texts.join("; "))
}

/// Lets a monitor run until there is nobody to tell.
fn tell(mut monitor: Monitor<'_>, form: Form) -> anyhow::Result<Exit> {
    let styles = styles(&io::stdout());
    loop {
        let turn = monitor.turn(TURN, &mut |event| {
            let text = match form {
                Form::Text => text(&event, &styles),
                Form::Json => serde_json::to_string(&event)? + "\n",
            };
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())?;
            Ok(())
        });
        if let Err(error) = turn {
            let gone = error
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
            return if gone { Ok(Exit::Done) } else { Err(error) };
        }
    }
}

/// An event for people.
fn text(event: &Event, styles: &Styles) -> String {
    let mut out = String::new();
    let plain = Style::new();
    match event {
        Event::Started(watched) => {
            line(&mut out, 0, styles.strong, &watching("watching", watched));
        }
        Event::Reloaded(watched) => {
            line(&mut out, 0, styles.strong, &watching("now watching", watched));
        }
        Event::Drift(found) => {
            let head = format!("{:.0} {}", found.at, found.path);
            line(&mut out, 0, styles.alarm, &head);
            for since in &found.drift {
                mismatch(&mut out, &since.drift, styles);
                line(&mut out, 2, styles.faint, &format!("Since {:.0}.", since.since));
            }
            if let Some(text) = follows(&found.reaction) {
                line(&mut out, 1, styles.caution, &text);
            }
        }
        Event::Resolved { at, path, since, .. } => {
            let text = format!("{at:.0} {path}: as in the config again (drift since {since:.0})");
            line(&mut out, 0, styles.added, &text);
        }
        Event::Repaired { at, paths } => {
            line(
                &mut out,
                0,
                styles.added,
                &format!("{at:.0} repaired {}", paths.join(", ")),
            );
        }
        Event::RepairFailed { at, paths, error } => {
            let text = format!("{at:.0} cannot repair {}: {error}", paths.join(", "));
            line(&mut out, 0, styles.alarm, &text);
        }
        Event::Interrupted { at, holder } => {
            let who = holder.as_ref().map_or("a writer".to_owned(), ToString::to_string);
            let text = format!("{at:.0} {who} ended before it was done; what it left is to be recovered");
            line(&mut out, 0, styles.alarm, &text);
        }
        Event::Overflow { at } => {
            let text = format!("{at:.0} more happened than the kernel kept count of; everything is compared");
            line(&mut out, 0, styles.caution, &text);
        }
        Event::Failed { at, message } => {
            let mut lines = message.lines();
            let first = lines.next().unwrap_or_default();
            line(&mut out, 0, styles.alarm, &format!("{at:.0} {first}"));
            lines.for_each(|text| line(&mut out, 1, plain, text));
        }
    }
    out
}

fn watching(how: &str, watched: &Watched) -> String {
    let Watched {
        at,
        config,
        paths,
        directories,
        drifted,
    } = watched;
    format!("{at:.0} {how} {paths} paths of {config} in {directories} directories, {drifted} with drift")
}

fn follows(reaction: &Reaction) -> Option<String> {
    match reaction {
        Reaction::Reported => None,
        Reaction::Repair => Some("It is being repaired.".to_owned()),
        Reaction::CannotRepair => Some("It should be repaired, which is not possible here.".to_owned()),
        Reaction::Flapping { repairs, until } => Some(format!(
            "It was repaired {repairs} times lately and is left alone until {until:.0}."
        )),
    }
}

/// Reads a drift policy.
fn policy(path: &Path) -> Result<DriftPolicy, Vec<Located>> {
    let file = path.to_string_lossy();
    let one = |code, message: String| vec![refused(path, code, message)];
    let text = fs::read_to_string(path)
        .map_err(|error| one(Code::UNREADABLE, format!("cannot be read: {error}")))?;
    let value =
        manifest::value(&file, &text).map_err(|error| vec![machineconfig::objects::malformed(error)])?;
    let policy: DriftPolicy =
        serde_json::from_value(value).map_err(|error| one(Code::DRIFT_POLICY, error.to_string()))?;
    let findings = policy.check();
    if findings.is_empty() {
        return Ok(policy);
    }
    let at_file = |finding| Located {
        place: Place::file(&*file),
        finding,
    };
    Err(findings.into_iter().map(at_file).collect())
}

fn refused(path: &Path, code: Code, message: String) -> Located {
    Located {
        place: Place::file(path.to_string_lossy()),
        finding: Finding::error(code, "", "", message),
    }
}

fn refuse(findings: impl IntoIterator<Item = Located>) -> Exit {
    let styles = styles(&io::stderr());
    for located in findings {
        message(&located.show(&styles));
    }
    Exit::Failed
}

// === impl ReadConfig ===

impl ReadConfig {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let Self { name } = self;
        let read = source::read_as(Path::new("-"), &name);
        match read.and_then(|source| Ok((source.expectation()?, source.name))) {
            Ok((expectation, name)) => {
                let out = &mut io::stdout().lock();
                table::write(name, expectation, out).context("cannot hand over the config")?;
                Ok(Exit::Done)
            }
            Err(findings) => Ok(refuse(findings)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_with_another_config_than_the_watched_one_is_not_mended() {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        let write = |path: &str, text: &str| {
            fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            fs::write(at(path), text).unwrap();
        };
        let config = |name: &str| {
            serde_json::json!({
                "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig", "metadata": {"name": name},
                "spec": {"config": {
                    "ignition": {"version": "3.4.0"},
                    "storage": {"files": [{"path": "/etc/a", "mode": 420, "overwrite": true, "contents": {"source": "data:,wanted"}}]},
                }},
            })
            .to_string()
        };
        write("etc/passwd", "root:x:0:0::/root:/bin/sh\n");
        write("etc/group", "root:x:0:\n");
        write("etc/a", "drifted");
        write("watched.json", &config("rendered-b"));
        let paths: BTreeSet<PathBuf> = [PathBuf::from("/etc/a")].into();
        let watched = at("watched.json");
        let mend = || mend(directory.path(), Some(&watched), &Policy::default(), &paths);
        for (current, has) in [(None, "no config of ours"), (Some("rendered-a"), "rendered-a")] {
            if let Some(current) = current {
                write(store::CURRENT.trim_start_matches('/'), &config(current));
            }
            let refused = mend().unwrap_err().to_string();
            assert!(
                refused.contains(&format!("the node has {has}, and rendered-b is watched")),
                "{refused}"
            );
            assert_eq!(fs::read_to_string(at("etc/a")).unwrap(), "drifted");
        }
        write(store::CURRENT.trim_start_matches('/'), &config("rendered-b"));
        mend().unwrap();
        assert_eq!(fs::read_to_string(at("etc/a")).unwrap(), "wanted");
    }
}
