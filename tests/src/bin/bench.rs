//! Measures speed and memory against goals: `bench [--cluster] [--only NAME] [--json FILE]`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use e2e::bench::Part;

/// Measures speed and memory and holds them against goals.
#[derive(Debug, Parser)]
struct Args {
    /// Measure clusters, instead of the programs by themselves
    #[arg(long)]
    cluster: bool,
    /// Only the rows whose name contains this
    #[arg(long, default_value = "", hide_default_value = true)]
    only: String,
    /// Also write the table to this file as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Args { cluster, only, json } = Args::parse();
    let part = if cluster { Part::Clusters } else { Part::Programs };
    match e2e::bench::run(part, &only, json.as_deref()) {
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
