//! Measures speed and memory against goals: `bench [--only NAME] [--json FILE]`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Measures speed and memory and holds them against goals.
#[derive(Debug, Parser)]
struct Args {
    /// Only the rows whose name contains this
    #[arg(long, default_value = "", hide_default_value = true)]
    only: String,
    /// Also write the table to this file as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Args { only, json } = Args::parse();
    match e2e::bench::run(&only, json.as_deref()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("bench: a goal does not hold");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
