//! `verify`: holds the disk of a node against a config and tells every mismatch.

use std::io;
use std::path::{Path, PathBuf};

use machineconfig::drift::{self, Drift, Expectation, report};
use machineconfig::finding::{Located, Place};
use machineconfig::{Code, Finding};

use crate::cli::answer::{Form, refuse, styles};
use crate::cli::recovery::take_up_first;
use crate::cli::{Exit, print};
use crate::host::Root;
use crate::observe::{Enablement, OnDisk, observe};
use crate::source::{self, Source};
use crate::store;

/// Hold the disk of a node against a config and tell every mismatch
///
/// Compares files, units, drop-ins, enablement and SSH keys. The config is not applied, and nothing outside the root is read:
/// a symbolic link that leads out of it is reported and not followed. A change that was cut off is taken up first, as by every command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory that is the root of the node
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Rendered MachineConfig or Ignition config, as YAML or JSON; `-` for standard input [default: the current config of the node]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Form of the report
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Form,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let Self { root, config, output } = self;
        take_up_first(&root);
        let node = Root::open(&root).map_err(|error| {
            let message = format!("cannot be opened as a directory: {error}");
            vec![unreadable(&root, &message)]
        });
        let source = match (&config, &node) {
            (Some(path), _) => source::read(path),
            (None, Ok(node)) => current(node, &root),
            // That there is no root is told already.
            (None, Err(_)) => Err(Vec::new()),
        };
        let source = source.and_then(|source| Ok((source.expectation()?, source.name)));
        let ((expectation, name), node) = match (source, node) {
            (Ok(source), Ok(node)) => (source, node),
            (source, node) => {
                let findings = source.err().into_iter().chain(node.err()).flatten();
                return Ok(refuse(findings, Exit::Failed));
            }
        };
        let compared = OnDisk::read(&node)
            .map_err(anyhow::Error::from)
            .and_then(|enablement| verify(&node, &expectation, &enablement));
        let drift = match compared {
            Ok(drift) => drift,
            Err(error) => return Ok(refuse([unreadable(&root, &format!("{error:#}"))], Exit::Failed)),
        };
        let exit = if drift.is_empty() { Exit::Done } else { Exit::Drift };
        print(&match output {
            Form::Text => report::text(&name, &drift, &styles(&io::stdout())),
            Form::Json => report::json(&name, drift),
        })?;
        Ok(exit)
    }
}

/// Every mismatch between what a config demands and what is beneath `root`, sorted by path. Fails only when the users or
/// units of the node cannot be read at all; what cannot be read at one path is a mismatch there.
pub fn verify(
    root: &Root,
    expectation: &Expectation,
    enablement: &dyn Enablement,
) -> anyhow::Result<Vec<Drift>> {
    Ok(drift::compare(
        expectation,
        &observe(root, expectation, enablement)?,
    ))
}

/// The config that the node has.
fn current(node: &Root, root: &Path) -> Result<Source, Vec<Located>> {
    let one = |finding| {
        vec![Located {
            place: Place::file(root.to_string_lossy()),
            finding,
        }]
    };
    match store::current(node).map_err(one)? {
        Some(config) => {
            let text = serde_json::to_string(&config).expect("all keys of a config are strings");
            source::parse(store::CURRENT, &text)
        }
        None => Err(one(Finding::error(
            Code::CURRENT_UNREADABLE,
            store::CURRENT,
            "",
            "this node has no config of ours",
        )
        .remedy("Apply a config first, or name one with --config."))),
    }
}

fn unreadable(root: &Path, message: &str) -> Located {
    Located {
        place: Place::file(root.to_string_lossy()),
        finding: Finding::error(Code::NODE_UNREADABLE, "", "", message),
    }
}
