//! `completion`: what the shell, or kubectl for its plugin, offers at the tab key.

use std::ffi::OsString;

use clap::{Arg, ValueEnum, ValueHint};
use clap_complete::Shell;

use crate::cli::{self, Exit};
use crate::terminal::Terminal;

/// Print a completion script for a shell
///
/// For bash: source <(mcctl completion bash). For kubectl's plugin: save what `completion kubectl` prints as
/// an executable file named kubectl_complete-mc on the PATH.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell, or kubectl
    #[arg(value_name = "SHELL")]
    shell: Target,
}

/// Who completes.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Target {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
    Kubectl,
}

/// What kubectl asks: the words so far, the last one incomplete.
#[derive(Debug, clap::Args)]
pub(crate) struct Question {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// The script kubectl runs when `kubectl mc` is completed (kubectl, plugins: `kubectl_complete-NAME`).
const KUBECTL_SCRIPT: &str = "#!/bin/sh\n\
    # Completes kubectl mc: save as an executable file named kubectl_complete-mc on the PATH.\n\
    exec kubectl-mc __complete -- \"$@\"\n";

/// kubectl offers what was printed and nothing else (cobra, `ShellCompDirectiveNoFileComp`).
const ONLY_THESE: u8 = 4;
/// kubectl offers files (cobra, `ShellCompDirectiveDefault`).
const FILES: u8 = 0;

// === impl Args ===

impl Args {
    pub(crate) fn run(self, name: &'static str, terminal: &Terminal) -> anyhow::Result<Exit> {
        let shell = match self.shell {
            Target::Bash => Shell::Bash,
            Target::Elvish => Shell::Elvish,
            Target::Fish => Shell::Fish,
            Target::Powershell => Shell::PowerShell,
            Target::Zsh => Shell::Zsh,
            Target::Kubectl => {
                terminal.print(KUBECTL_SCRIPT)?;
                return Ok(Exit::Done);
            }
        };
        // The shell completes the file that is run, which is one word.
        let program = name.replace("kubectl mc", "kubectl-mc");
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut cli::definition("mcctl"), program, &mut script);
        terminal.print(&String::from_utf8(script)?)?;
        Ok(Exit::Done)
    }
}

// === impl Question ===

impl Question {
    pub(crate) fn run(self, name: &'static str, terminal: &Terminal) -> anyhow::Result<Exit> {
        let words: Vec<_> = self.words.iter().map(|word| word.to_string_lossy()).collect();
        let mut definition = cli::definition(name);
        definition.build();
        let (offers, directive) = answer(&definition, &words);
        let mut text = String::new();
        for offer in offers {
            text.push_str(&offer);
            text.push('\n');
        }
        terminal.print(&format!("{text}:{directive}\n"))?;
        Ok(Exit::Done)
    }
}

/// What may stand in place of the last word, with cobra's directive.
fn answer(definition: &clap::Command, words: &[impl AsRef<str>]) -> (Vec<String>, u8) {
    let Some((typed, before)) = words.split_last() else {
        return (Vec::new(), ONLY_THESE);
    };
    let typed = typed.as_ref();
    let mut command = definition;
    let mut awaiting: Option<&Arg> = None;
    for word in before.iter().map(AsRef::as_ref) {
        if let Some(argument) = option(command, word) {
            awaiting = Some(argument).filter(|a| a.get_action().takes_values());
        } else if let Some(below) = command.find_subcommand(word) {
            command = below;
            awaiting = None;
        } else if awaiting.is_some_and(|a| a.get_num_args().is_none_or(|n| n.max_values() == 1)) {
            awaiting = None;
        }
    }
    let mut offers: Vec<String> = if typed.starts_with('-') {
        flags(command)
    } else if let Some(argument) = awaiting {
        return values(argument, typed);
    } else if command.has_subcommands() {
        let visible = command.get_subcommands().filter(|c| !c.is_hide_set());
        visible.map(|c| described(c.get_name(), c.get_about())).collect()
    } else {
        return command
            .get_positionals()
            .next()
            .map_or((Vec::new(), ONLY_THESE), |a| values(a, typed));
    };
    offers.retain(|offer| offer.starts_with(typed));
    (offers, ONLY_THESE)
}

/// The option a word names: `--pool`, `-f`.
fn option<'a>(command: &'a clap::Command, word: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|argument| {
        let long = word
            .strip_prefix("--")
            .is_some_and(|w| argument.get_long() == Some(w));
        let short = word
            .strip_prefix('-')
            .is_some_and(|w| argument.get_short().is_some_and(|s| w.chars().eq([s])));
        long || short
    })
}

fn flags(command: &clap::Command) -> Vec<String> {
    let visible = command.get_arguments().filter(|a| !a.is_hide_set());
    visible
        .filter_map(|a| {
            a.get_long()
                .map(|long| described(&format!("--{long}"), a.get_help()))
        })
        .collect()
}

/// The values an argument may have; files where it takes paths.
fn values(argument: &Arg, typed: &str) -> (Vec<String>, u8) {
    let possible = argument.get_possible_values();
    if possible.is_empty() {
        let takes_paths = argument.get_value_hint() == ValueHint::AnyPath;
        return (Vec::new(), if takes_paths { FILES } else { ONLY_THESE });
    }
    let names = possible.iter().map(|value| value.get_name().to_owned());
    (names.filter(|name| name.starts_with(typed)).collect(), ONLY_THESE)
}

/// An offer as cobra writes it: the word, a tab, what it means.
fn described(word: &str, help: Option<&clap::builder::StyledStr>) -> String {
    match help {
        Some(help) => format!("{word}\t{}", help.to_string().lines().next().unwrap_or_default()),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(words: &[&str]) -> (Vec<String>, u8) {
        let mut definition = cli::definition("kubectl mc");
        definition.build();
        let (offers, directive) = answer(&definition, words);
        let words = offers.iter().filter_map(|o| o.split('\t').next());
        (words.map(str::to_owned).collect(), directive)
    }

    #[test]
    fn kubectl_is_told_what_may_come_next() {
        let commands = [
            "render",
            "plan",
            "lint",
            "convert",
            "inspect",
            "status",
            "why",
            "pause",
            "unpause",
            "diff",
            "history",
            "token",
            "pointer",
            "completion",
            "version",
        ];
        let versions = ["2.2.0", "3.1.0", "3.2.0", "3.3.0", "3.4.0", "3.5.0"];
        let table: &[(&[&str], &[&str], u8)] = &[
            (&[""], &commands, ONLY_THESE),
            (&["pl"], &["plan"], ONLY_THESE),
            (&["--color", "never", "li"], &["lint"], ONLY_THESE),
            (&["convert", "--to", ""], &versions, ONLY_THESE),
            (&["convert", "--to", "3.1"], &["3.1.0"], ONLY_THESE),
            (&["convert", "--to", "3.1.0", ""], &[], FILES),
            (&["plan", "--po"], &["--pool", "--policy"], ONLY_THESE),
            (&["plan", "--pool", ""], &[], ONLY_THESE),
            (&["lint", "-f", ""], &[], FILES),
            (&["lint", "-f", "a.yaml", ""], &[], FILES),
            (&["render", "-o", "j"], &["json"], ONLY_THESE),
            (&["completion", "k"], &["kubectl"], ONLY_THESE),
            (&[], &[], ONLY_THESE),
        ];
        for (words, offers, directive) in table {
            let expected = (offers.iter().map(ToString::to_string).collect(), *directive);
            assert_eq!(ask(words), expected, "{words:?}");
        }
    }
}
