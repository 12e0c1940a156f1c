//! `verify`: holds the disk of a node against a config and tells every mismatch.

use std::io;
use std::path::{Path, PathBuf};

use machineconfig::drift::{self, Drift, Expectation, report};
use machineconfig::finding::{Located, Place};
use machineconfig::{Code, Finding};

use crate::cli::answer::{Form, refuse, styles};
use crate::cli::{Exit, print};
use crate::host::Root;
use crate::observe::{Enablement, OnDisk, observe};
use crate::source;

/// Hold the disk of a node against a config and tell every mismatch
///
/// Compares files, units, drop-ins, enablement and SSH keys. Nothing is written, and nothing outside the root is read:
/// a symbolic link that leads out of it is reported and not followed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory that is the root of the node
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Rendered MachineConfig or Ignition config, as YAML or JSON; `-` for standard input
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Form of the report
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Form,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let Self { root, config, output } = self;
        let source = source::read(&config).and_then(|source| Ok((source.expectation()?, source.name)));
        let ((expectation, name), node) = match (source, Root::open(&root)) {
            (Ok(source), Ok(node)) => (source, node),
            (source, node) => {
                let no_root = |error| unreadable(&root, &format!("cannot be opened as a directory: {error}"));
                let findings = source.err().into_iter().flatten().chain(node.err().map(no_root));
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

fn unreadable(root: &Path, message: &str) -> Located {
    Located {
        place: Place::file(root.to_string_lossy()),
        finding: Finding::error(Code::NODE_UNREADABLE, "", "", message),
    }
}
