//! The command line: what can be asked, under which name, and what the exit codes mean.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{ColorChoice, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use machineconfig::style::Styles;

use crate::terminal::{Terminal, paint};
use crate::{
    complete, convert, diff, escape, history, inspect, lint, pause, plan, pointer, render, status, token, why,
};

/// How a command ended. One enumeration for all commands, so that a script can tell `plan`'s answers from
/// failures, wrong flags included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; of `plan`: nothing changes.
    Done = 0,
    /// Not done: an error, findings that refuse, or a wrong command line.
    Failed = 1,
    /// `plan`: a change that neither drains nor reboots; `diff`: a difference; `why`: it passes by itself.
    Changes = 2,
    /// `plan`: a change that drains or reboots; `why`: somebody has to see to it.
    Disrupts = 3,
    /// `plan`: a change that running nodes refuse.
    Refused = 4,
}

/// Works on files, or asks a cluster; only `pause`, `unpause` and `token` change anything there.
#[derive(Debug, Parser)]
#[command(
    name = "mcctl",
    version,
    about = "Render, plan, lint, convert and inspect MachineConfigs; see how a cluster stands, and why",
    long_about = "Render, plan, lint, convert and inspect MachineConfigs; see how a cluster stands, and why.\n\n\
        render, lint, convert, inspect and plan work on files alone. status, why, diff, history and plan --live ask a cluster; \
        pause, unpause and token are the only ones that change anything there. Messages go to standard error.",
    after_help = "Exit codes: 0 done, 1 error (wrong flags too); `plan` also has 2 change, 3 drain or reboot, \
        4 refused; `why` 2 passes by itself, 3 see to it; `diff` 2 a difference.\n\
        Environment: KUBECONFIG, NO_COLOR, CLICOLOR_FORCE.",
    max_term_width = 110,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    /// When to colour
    #[arg(long, global = true, value_name = "WHEN", display_order = 900, default_value_t = ColorChoice::Auto)]
    color: ColorChoice,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Render(render::Args),
    Plan(plan::Args),
    Lint(lint::Args),
    Convert(convert::Args),
    Inspect(inspect::Args),
    Status(status::Args),
    Why(why::Args),
    Pause(pause::Pause),
    Unpause(pause::Unpause),
    Diff(diff::Args),
    History(history::Args),
    Token(token::Args),
    Pointer(pointer::Args),
    Completion(complete::Args),
    /// Print the version, and the Ignition versions that are read and written
    Version,
    /// Answer kubectl's question what may come next
    #[command(name = "__complete", hide = true)]
    Complete(complete::Question),
}

/// The name the tool is called by: a copy named `kubectl-mc` is kubectl's plugin `mc`.
pub(crate) fn called_as(program: &Path) -> &'static str {
    match program.file_stem().and_then(|stem| stem.to_str()) {
        Some("kubectl-mc") => "kubectl mc",
        _ => "mcctl",
    }
}

/// The command line's definition under the name it was called by.
pub(crate) fn definition(name: &'static str) -> clap::Command {
    Cli::command().bin_name(name).display_name(name)
}

/// Runs the command line `args`, program name first.
pub(crate) fn run(args: impl Iterator<Item = OsString>) -> Exit {
    let args: Vec<OsString> = args.collect();
    let name = called_as(Path::new(
        args.first().map_or("mcctl".as_ref(), OsString::as_os_str),
    ));
    let parsed = definition(name)
        .try_get_matches_from(args)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let Cli { color, command } = match parsed {
        Ok(cli) => cli,
        Err(answer) => {
            let terminal = Terminal::new(ColorChoice::Auto);
            return told(tell(&answer, &terminal), &terminal);
        }
    };
    let terminal = Terminal::new(color);
    told(command.run(name, &terminal), &terminal)
}

/// Prints what is to be said about a command line: help, the version, or what is wrong with it.
fn tell(answer: &clap::Error, terminal: &Terminal) -> anyhow::Result<Exit> {
    let text = answer.render();
    let coloured = |styles: Styles| {
        if styles == Styles::plain() {
            text.to_string()
        } else {
            text.ansi().to_string()
        }
    };
    if answer.use_stderr() {
        terminal.message(&coloured(terminal.err));
        return Ok(Exit::Failed);
    }
    terminal.print(&coloured(terminal.out))?;
    Ok(Exit::Done)
}

/// How a command ended, its error told.
fn told(ended: anyhow::Result<Exit>, terminal: &Terminal) -> Exit {
    ended.unwrap_or_else(|error| {
        let word = paint(terminal.err.alarm, "error:");
        terminal.message(&format!("{word} {}\n", escape::line(&format!("{error:#}"))));
        Exit::Failed
    })
}

// === impl Command ===

impl Command {
    fn run(self, name: &'static str, terminal: &Terminal) -> anyhow::Result<Exit> {
        match self {
            Command::Render(args) => args.run(terminal),
            Command::Plan(args) => args.run(terminal),
            Command::Lint(args) => args.run(terminal),
            Command::Convert(args) => args.run(terminal),
            Command::Inspect(args) => args.run(terminal),
            Command::Status(args) => args.run(terminal),
            Command::Why(args) => args.run(terminal),
            Command::Pause(args) => args.run(terminal),
            Command::Unpause(args) => args.run(terminal),
            Command::Diff(args) => args.run(terminal),
            Command::History(args) => args.run(terminal),
            Command::Token(args) => args.run(terminal),
            Command::Pointer(args) => args.run(terminal),
            Command::Completion(args) => args.run(name, terminal),
            Command::Version => version(name, terminal),
            Command::Complete(question) => question.run(name, terminal),
        }
    }
}

fn version(name: &str, terminal: &Terminal) -> anyhow::Result<Exit> {
    let written = ignition::Version::ALL
        .into_iter()
        .filter(|v| convert::is_target(*v))
        .map(ignition::Version::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    terminal.print(&format!(
        "{name} {}\nreads Ignition 2.0.0 to 2.2.0, 3.0.0 to 3.6.0\nwrites Ignition {written}\n",
        env!("CARGO_PKG_VERSION"),
    ))?;
    Ok(Exit::Done)
}

// === impl Exit ===

impl Exit {
    /// Of `why`: what is the matter passes by itself.
    pub(crate) const PASSES: Self = Exit::Changes;
    /// Of `why`: somebody has to see to it.
    pub(crate) const STUCK: Self = Exit::Disrupts;
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        definition("mcctl").debug_assert();
    }

    #[test]
    fn a_copy_named_kubectl_mc_is_the_plugin() {
        let table = [
            ("mcctl", "mcctl"),
            ("/usr/local/bin/mcctl", "mcctl"),
            ("/usr/local/bin/kubectl-mc", "kubectl mc"),
            ("kubectl-mc.exe", "kubectl mc"),
            ("", "mcctl"),
        ];
        for (program, name) in table {
            assert_eq!(called_as(Path::new(program)), name, "{program:?}");
        }
    }
}
