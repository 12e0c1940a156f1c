//! `render`: what a pool's nodes get, and which MachineConfig each part of it came from.

use anyhow::bail;
use clap::builder::NonEmptyStringValueParser;
use machineconfig::Rendered;

use crate::cli::Exit;
use crate::explain::{self, Explanation};
use crate::form;
use crate::input::Files;
use crate::objects;
use crate::pool::{self, Images};
use crate::report::Findings;
use crate::terminal::Terminal;

/// Render the MachineConfigs of a pool into the one config its nodes get
///
/// The selector of the MachineConfigPool decides which MachineConfigs a pool is made of. Without that object it
/// is the label machineconfiguration.openshift.io/role, and a custom pool takes the role worker too.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    mcctl render -f examples/base --pool worker\n  \
    mcctl render -f examples/base --pool edge --explain\n  \
    mcctl render -f examples/base --pool worker -o ignition | mcctl convert --to 3.2.0 -")]
pub(crate) struct Args {
    /// The pool
    #[arg(long, value_name = "POOL", value_parser = NonEmptyStringValueParser::new())]
    pool: String,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    images: Images,
    /// What to print: the rendered MachineConfig (as YAML if not said otherwise), or its name or Ignition config alone
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Output>,
    /// Print who won instead: each path, unit, drop-in or kernel argument that several MachineConfigs set, or all
    #[arg(
        long,
        value_enum,
        value_name = "WHICH",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "contested"
    )]
    explain: Option<explain::Which>,
}

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Yaml,
    Json,
    Name,
    Ignition,
}

// === impl Args ===

impl Args {
    pub(crate) fn run(self, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self {
            pool,
            files,
            images,
            output,
            explain,
        } = self;
        if explain.is_some() && matches!(output, Some(Output::Name | Output::Ignition)) {
            bail!("--explain is printed as text, or with -o json or -o yaml; leave the other -o out");
        }
        let mut findings = Findings::default();
        let objects = objects::read(&files.paths, files.recursive, &mut findings);
        let mut rendered = None;
        if objects.is_complete() {
            let (result, said) = pool::render_strictly(&objects, &pool, &images);
            findings.extend(said.into_iter().map(|finding| objects.locate(finding)));
            rendered = result;
        }
        let failed = findings.print(terminal);
        let Some(rendered) = rendered.filter(|_| !failed) else {
            return Ok(Exit::Failed);
        };
        terminal.print(&match explain {
            Some(which) => explained(
                &Explanation::new(&pool, &rendered, &objects, which),
                output,
                terminal,
            ),
            None => printed(&rendered, output),
        })?;
        Ok(Exit::Done)
    }
}

fn printed(rendered: &Rendered, output: Option<Output>) -> String {
    match output {
        None | Some(Output::Yaml) => form::yaml(&rendered.machine_config()),
        Some(Output::Json) => form::json(&rendered.machine_config()),
        Some(Output::Name) => format!("{}\n", rendered.name),
        Some(Output::Ignition) => form::safe_json(&rendered.ignition.to_json()),
    }
}

fn explained(explanation: &Explanation, output: Option<Output>, terminal: &Terminal) -> String {
    match output {
        Some(Output::Yaml) => form::yaml(explanation),
        Some(Output::Json) => form::json(explanation),
        None | Some(Output::Name | Output::Ignition) => explanation.text(&terminal.out),
    }
}
