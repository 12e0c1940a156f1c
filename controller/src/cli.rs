//! The command line: the reference's flags (MCO controller 0.1), and what the exit codes mean.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use machineconfig::finding::Located;
use machineconfig::style::Styles;

use crate::version::VERSION;
use crate::{bootstrap, start};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Not done: an error, findings that refuse, or a wrong command line.
    Failed = 1,
}

/// Renders MachineConfigs into one rendered config per pool, and rolls them out to the nodes.
#[derive(Debug, Parser)]
#[command(
    name = "machine-config-controller",
    version,
    about = "Render MachineConfigs into one rendered config per pool, and roll them out to the nodes",
    after_help = "Exit codes: 0 done, 1 error (wrong flags too).",
    max_term_width = 110,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(flatten)]
    common: bootstrap::Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bootstrap(bootstrap::Args),
    Start(Box<start::Args>),
    /// Print the version
    Version,
}

/// Runs the command line `args`, program name first.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Exit {
    let Cli { common, command } = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(answer) => {
            // Help that nobody reads on is no failure.
            let _ = answer.print();
            return if answer.use_stderr() {
                Exit::Failed
            } else {
                Exit::Done
            };
        }
    };
    let result = match command {
        Command::Bootstrap(args) => args.run(common),
        Command::Start(args) => args.run(common),
        Command::Version => print(&format!("machine-config-controller {VERSION}\n")).map(|()| Exit::Done),
    };
    result.unwrap_or_else(|error| {
        message(&format!("error: {error:#}\n"));
        Exit::Failed
    })
}

/// Writes a result. A reader that has seen enough (`| head`) is no error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("cannot write to standard output"))
        }
        _ => Ok(()),
    }
}

/// Writes a message. There is nobody left to tell when standard error is gone, so failures are dropped.
pub(crate) fn message(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Writes findings as messages, and says whether one of them refuses. In colour on a terminal that knows it, unless
/// `NO_COLOR` is set.
pub(crate) fn show(findings: &[Located]) -> bool {
    let styles = match anstream::AutoStream::choice(&io::stderr()) {
        anstream::ColorChoice::Never => Styles::plain(),
        _ => Styles::coloured(),
    };
    for located in findings {
        message(&located.show(&styles));
    }
    findings.iter().any(Located::is_error)
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
