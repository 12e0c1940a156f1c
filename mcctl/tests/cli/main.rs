//! The tool as people run it: the real binary, its exit codes, standard output and standard error.

#![allow(clippy::unwrap_used, reason = "a test ends where something fails")]

mod api;
mod bad_input;
mod command_line;
mod docs;
mod inspect;
mod join;
mod lint;
mod live;
mod plan;
mod render;
mod terminal;

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// How a run ended and what it said.
#[derive(Debug, PartialEq, Eq)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// The tool with these arguments, run in the directory that holds `examples/`, in a plain environment.
fn mcctl<I: IntoIterator<Item: AsRef<OsStr>>>(arguments: I) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcctl"));
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "KUBECONFIG"] {
        command.env_remove(variable);
    }
    command.args(arguments).current_dir(root).stdin(Stdio::null());
    command
}

/// Runs the tool with the words of `line` as its arguments.
fn run(line: &str) -> Ran {
    finish(&mut mcctl(line.split_whitespace()))
}

/// Runs the tool with `input` as its standard input.
fn run_with_input(line: &str, input: &[u8]) -> Ran {
    let mut command = mcctl(line.split_whitespace());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // From a thread of its own, so that neither side waits for the other to read.
    let writer = std::thread::spawn(move || {
        // The tool may end before it has read all, which is not what is tested.
        let _ = stdin.write_all(&input);
    });
    let ran = Ran::from(child.wait_with_output().unwrap());
    writer.join().unwrap();
    ran
}

fn finish(command: &mut Command) -> Ran {
    Ran::from(command.output().unwrap())
}

impl From<std::process::Output> for Ran {
    fn from(output: std::process::Output) -> Self {
        Self {
            code: output.status.code().expect("the tool ends by itself"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A MachineConfig as YAML with `spec` as the lines below `spec:`.
fn machine_config(name: &str, role: &str, spec: &str) -> String {
    format!(
        "apiVersion: machineconfiguration.openshift.io/v1\nkind: MachineConfig\nmetadata:\n  name: {name}\n  \
         labels:\n    machineconfiguration.openshift.io/role: {role}\nspec:\n{spec}\n"
    )
}

/// The lines of a `spec` with an Ignition config that holds one file.
fn one_file(path: &str, mode: &str, source: &str) -> String {
    format!(
        "  config:\n    ignition:\n      version: 3.4.0\n    storage:\n      files:\n        - path: {path}\n          \
         mode: {mode}\n          contents:\n            source: \"{source}\"\n"
    )
}
