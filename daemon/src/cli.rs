//! The command line: what can be asked, and what the exit codes mean.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::host::command::launcher;
use crate::{verify, watch};

pub(crate) mod answer;
mod apply;
mod fetch;
mod once;
pub(crate) mod recovery;
mod state;

/// How a command ended. One enumeration for all commands, so that a script can tell drift from failures, wrong flags
/// included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done; of `verify`: no drift.
    Done,
    /// Not done: an error, or a wrong command line. A node that was to be changed has its old config.
    Failed,
    /// `verify`: the disk differs from the config.
    Drift,
    /// `apply`: done, and a reboot is due.
    RebootDue,
    /// `apply`: refused, nothing was touched.
    Refused,
    /// `in-root`: the program could not be started.
    NotStarted,
}

/// Keeps one node at its rendered config.
#[derive(Debug, Parser)]
#[command(
    name = "machine-config-daemon",
    version,
    about = "Keep one node at its rendered config",
    after_help = "Exit codes: 0 done, 1 failed (wrong flags too), the node has its old config; `verify` also has 2 drift, `apply` and \
                  `rollback` 2 done and a reboot is due, 4 refused, nothing was touched.",
    max_term_width = 110,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    reference: Reference,
}

/// Flags of the reference and its logging library, accepted so that their callers need not change. Messages go to standard error,
/// and there are few of them.
#[derive(Debug, clap::Args)]
struct Reference {
    /// How much `start` logs: debug messages from 4 on
    #[arg(short, long, global = true, value_name = "N", hide = true)]
    v: Option<u8>,
    /// Ignored
    #[arg(long, global = true, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    logtostderr: Option<bool>,
    /// Ignored
    #[arg(long, global = true, hide = true)]
    stderrthreshold: Option<String>,
    /// Ignored
    #[arg(long, global = true, hide = true)]
    payload_version: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Apply(apply::Apply),
    Plan(apply::Plan),
    Verify(verify::Args),
    Status(state::Status),
    Rollback(state::Rollback),
    Recover(state::Recover),
    #[command(hide = true)]
    Confirm(state::Confirm),
    Start(once::Start),
    #[command(name = "firstboot-complete-machineconfig")]
    FirstBoot(once::FirstBoot),
    #[command(name = launcher::NAME, hide = true)]
    InRoot(launcher::Args),
    Watch(watch::Args),
    #[command(hide = true)]
    ReadConfig(watch::ReadConfig),
    /// Print the version
    Version,
}

/// Runs the command line `args`, program name first.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Exit {
    let Cli { command, reference } = match Cli::try_parse_from(args) {
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
        Command::Apply(args) => args.run(),
        Command::Plan(args) => args.run(),
        Command::Verify(args) => args.run(),
        Command::Status(args) => args.run(),
        Command::Rollback(args) => args.run(),
        Command::Recover(args) => Ok(args.run()),
        Command::Confirm(args) => Ok(args.run()),
        Command::Start(args) => args.run(reference.v.unwrap_or_default()),
        Command::FirstBoot(args) => args.run(),
        Command::InRoot(args) => {
            message(&args.run());
            Ok(Exit::NotStarted)
        }
        Command::Watch(args) => args.run(),
        Command::ReadConfig(args) => args.run(),
        Command::Version => {
            print(&format!("machine-config-daemon {}\n", env!("CARGO_PKG_VERSION"))).map(|()| Exit::Done)
        }
    };
    result.unwrap_or_else(|error| {
        message(&format!("error: {error:#}\n"));
        Exit::Failed
    })
}

/// Writes a result. A reader that has seen enough (`| head`) is no error, so that the exit code still tells what the
/// result was.
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

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Drift | Exit::RebootDue => 2,
            Exit::Refused => 4,
            Exit::NotStarted => u8::try_from(launcher::NOT_STARTED).unwrap_or(u8::MAX),
        })
    }
}
