//! The people's tool: render, plan, lint, convert and inspect MachineConfigs.
//!
//! One module per command; `input` and `objects` read files, `report` prints findings, `terminal` is the only way out.

mod cli;
mod complete;
mod convert;
mod escape;
mod explain;
mod form;
mod input;
mod inspect;
mod lint;
mod objects;
mod plan;
mod policy;
mod pool;
mod render;
mod report;
mod source;
mod terminal;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os()).into()
}
