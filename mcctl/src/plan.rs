//! `plan`: what a change does to the nodes of a pool, before it is made; of files, or of a cluster.

mod live;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::builder::NonEmptyStringValueParser;
use crds::{MachineConfig, MachineConfigSpec, MachineConfiguration};
use machineconfig::plan::{Facts, Verdict};
use machineconfig::reconcile::{Origins, StorageOverride};
use machineconfig::redact::Limits;
use machineconfig::{Code, Finding, Policy, Rendered, RenderedConfig};

use crate::cli::Exit;
use crate::cluster::{self, Connection, Subject};
use crate::form;
use crate::objects::{self, Objects};
use crate::pool::{self, Images};
use crate::report::{Findings, Located, Place, plural};
use crate::terminal::Terminal;

use live::Question;

/// Tell what a change does to the nodes of a pool: what differs, what it costs, who causes it
///
/// Both sides are rendered as `render` does it; a side that is one rendered MachineConfig is taken as it is.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 no change, 2 change without drain or reboot, 3 drain or reboot, \
        4 refused by running nodes, 1 error.",
    after_long_help = "Exit codes: 0 no change, 2 change without drain or reboot, 3 drain or reboot, \
        4 refused by running nodes, 1 error.\n\nExamples:\n  \
        mcctl plan --pool worker --from examples/base --to examples/revision-2 --policy examples/policy.yaml\n  \
        mcctl plan --pool worker --from main/ --to branch/ --show-diff -o markdown > comment.md\n  \
        mcctl plan --live pool/worker\n  \
        mcctl plan --live -f new-machine-config.yaml"
)]
pub(crate) struct Args {
    /// The pool
    #[arg(long, value_name = "POOL", value_parser = NonEmptyStringValueParser::new(), required_unless_present = "live")]
    pool: Option<String>,
    /// The objects as they are: files, directories, or `-` for standard input
    #[arg(long, value_name = "PATH", num_args = 1.., required_unless_present = "live")]
    from: Vec<PathBuf>,
    /// The objects as they are to be
    #[arg(long, value_name = "PATH", num_args = 1.., required_unless_present = "live")]
    to: Vec<PathBuf>,
    /// Ask a cluster: what is still to be done to its nodes, by the policy in force there
    #[arg(long, conflicts_with_all = ["pool", "from", "to", "policy"])]
    live: bool,
    /// With --live: the node or the pool, as node/NAME or pool/NAME; without it all pools
    #[arg(value_name = "node/NAME|pool/NAME", requires = "live")]
    subject: Option<Subject>,
    /// With --live: what would be done once these objects were applied
    #[arg(short = 'f', long = "filename", value_name = "PATH", num_args = 1.., requires = "live")]
    files: Vec<PathBuf>,
    /// Read the directories below a directory too
    #[arg(short = 'R', long)]
    recursive: bool,
    /// A file with the MachineConfiguration whose nodeDisruptionPolicy holds; without it the one among the
    /// objects of --to, without that the built-in policy
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// How to print the plan
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,
    /// Show what changes in the decoded contents of files and units; secrets by size and hash only
    #[arg(long)]
    show_diff: bool,
    #[command(flatten)]
    connection: Connection,
}

/// The form of the plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    #[default]
    Text,
    Json,
    Markdown,
}

// === impl Args ===

impl Args {
    pub(crate) fn run(self, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self {
            pool,
            from,
            to,
            live,
            subject,
            files,
            recursive,
            policy,
            output,
            show_diff,
            connection,
        } = self;
        if live {
            if output == Output::Markdown {
                bail!("plan --live is printed as text or JSON; leave -o markdown out");
            }
            let json = output == Output::Json;
            return Question {
                subject,
                files,
                recursive,
                show_diff,
                json,
                connection,
            }
            .run(terminal);
        }
        let pool = pool.unwrap_or_default();
        of_files(
            &pool,
            &[from, to],
            recursive,
            policy.as_deref(),
            (output, show_diff),
            terminal,
        )
    }
}

/// The plan of a pool from one set of objects to another.
fn of_files(
    pool: &str,
    [from, to]: &[Vec<PathBuf>; 2],
    recursive: bool,
    policy: Option<&Path>,
    (output, show_diff): (Output, bool),
    terminal: &Terminal,
) -> anyhow::Result<Exit> {
    if [from, to]
        .iter()
        .all(|paths| paths.iter().any(|path| path == Path::new("-")))
    {
        bail!("standard input can be one side only; give the other as files");
    }
    let mut findings = Findings::default();
    let current = objects::read(from, recursive, &mut findings);
    let desired = objects::read(to, recursive, &mut findings);
    let current_side = side(&current, pool, &mut findings);
    let desired_side = side(&desired, pool, &mut findings);
    // What nodes have may be unusable and must be left again; what they are to get may not.
    if desired_side.is_some() && objects::only_rendered(&desired).is_none() {
        let (_, said) = pool::render_strictly(&desired, pool, &Images::default());
        findings.extend(said.into_iter().map(|finding| desired.locate(finding)));
    }
    let rules = rules(policy, &desired, &mut findings);
    let failed = findings.print(terminal);
    let (Some(old), Some(new), Some(rules)) = (current_side, desired_side, rules) else {
        return Ok(Exit::Failed);
    };
    if failed {
        return Ok(Exit::Failed);
    }
    let facts = Facts {
        origins: Origins {
            old: Some(&old.provenance),
            new: Some(&new.provenance),
        },
        overrides: Some(&rules.overrides),
        diffs: show_diff.then(Limits::default),
        ..Facts::default()
    };
    let plan = machineconfig::plan(&old, &new, &rules.policy, &facts);
    terminal.print(&match output {
        Output::Text => machineconfig::plan::text(&plan, &terminal.out),
        Output::Json => form::json(&plan),
        Output::Markdown => machineconfig::plan::markdown(&plan),
    })?;
    Ok(exit_of(plan.verdict()))
}

/// The answer of a plan as an exit code.
fn exit_of(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::NoChange => Exit::Done,
        Verdict::Change => Exit::Changes,
        Verdict::Disruption => Exit::Disrupts,
        Verdict::Refused => Exit::Refused,
    }
}

/// One side from its objects, as given or rendered; what is met goes to `findings`.
fn side(objects: &Objects, pool: &str, findings: &mut Findings) -> Option<RenderedConfig> {
    if !objects.is_complete() {
        return None;
    }
    if let Some(config) = objects::only_rendered(objects) {
        return as_given(objects, config, pool, findings);
    }
    let (rendered, said) = pool::render(objects, pool, &Images::default());
    findings.extend(said.into_iter().map(|finding| objects.locate(finding)));
    rendered.map(rendered_config)
}

/// What was rendered, as plans take it.
fn rendered_config(rendered: Rendered) -> RenderedConfig {
    let spec = MachineConfigSpec {
        config: None,
        ..rendered.spec
    };
    RenderedConfig {
        name: rendered.name,
        spec,
        ignition: rendered.ignition,
        provenance: rendered.provenance,
    }
}

/// A side that is a rendered MachineConfig: not validated, since what nodes run may be broken and must be left again.
fn as_given(
    objects: &Objects,
    config: &MachineConfig,
    pool: &str,
    findings: &mut Findings,
) -> Option<RenderedConfig> {
    let name = config.metadata.name.as_deref().unwrap_or_default();
    let object = format!("MachineConfig/{name}");
    if !pool::is_rendered_for(name, pool) {
        let message = format!("is no rendered config of the pool {pool}");
        let finding = Finding::error(Code::POOL_NOT_FOUND, object, "metadata.name", message);
        findings.extend([objects.locate(finding)]);
        return None;
    }
    match RenderedConfig::from_machine_config(config) {
        Ok(config) => Some(config),
        Err(invalid) => {
            let problems = invalid.problems.iter();
            let found = problems.map(|problem| Finding::from_problem(&object, "spec.config", problem));
            findings.extend(found.map(|finding| objects.locate(finding)));
            None
        }
    }
}

/// What a cluster's MachineConfiguration says about changes.
#[derive(Default)]
struct Rules {
    policy: Policy,
    overrides: BTreeSet<StorageOverride>,
}

/// The rules from the file of `--policy`, else from the objects of `--to`, else the built-in ones.
fn rules(file: Option<&Path>, desired: &Objects, findings: &mut Findings) -> Option<Rules> {
    let Some(file) = file else {
        return match desired.policies.as_slice() {
            [] => Some(Rules::default()),
            [one] => read_rules(one, desired, findings),
            several => {
                findings.extend([not_one(Place::default(), several.len())]);
                None
            }
        };
    };
    let given = objects::read(&[file.to_owned()], false, findings);
    match given.policies.as_slice() {
        [one] => read_rules(one, &given, findings),
        _ if !given.is_complete() => None,
        others => {
            findings.extend([not_one(Place::file(file.to_string_lossy()), others.len())]);
            None
        }
    }
}

fn not_one(place: Place, count: usize) -> Located {
    let message = format!(
        "holds {}, and one is needed",
        plural(count, "MachineConfiguration")
    );
    let remedy = "Give one MachineConfiguration (operator.openshift.io/v1) with spec.nodeDisruptionPolicy.";
    Located {
        place,
        finding: Finding::error(Code::NOT_ONE_OBJECT, "", "", message).remedy(remedy),
    }
}

fn read_rules(object: &MachineConfiguration, from: &Objects, findings: &mut Findings) -> Option<Rules> {
    let spec = &object.spec;
    let policy = match &spec.node_disruption_policy {
        None => Policy::default(),
        Some(user) => {
            let said = crate::policy::findings(object);
            findings.extend(said.into_iter().map(|finding| from.locate(finding)));
            Policy::merge(user).ok()?
        }
    };
    let overrides = spec.irreconcilable_validation_overrides.as_ref();
    let overrides = overrides.map(|o| o.storage.iter().map(|part| cluster::storage(*part)).collect());
    Some(Rules {
        policy,
        overrides: overrides.unwrap_or_default(),
    })
}
