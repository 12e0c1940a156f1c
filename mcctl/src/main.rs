//! The people's tool: render, plan, lint, convert and inspect MachineConfigs, and see how a cluster stands, and why.
//!
//! One module per command; `input` and `objects` read files, `cluster` asks a cluster, `report` prints findings, `terminal` is the only
//! way out.

mod age;
mod cli;
mod cluster;
mod complete;
mod convert;
mod diff;
mod escape;
mod explain;
mod form;
mod history;
mod input;
mod inspect;
mod lint;
mod objects;
mod pause;
mod pending;
mod plan;
mod pointer;
mod policy;
mod pool;
mod render;
mod report;
mod source;
mod status;
mod terminal;
mod token;
mod why;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os()).into()
}
