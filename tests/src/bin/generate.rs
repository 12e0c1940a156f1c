//! Writes the generated files, or says which of them are stale: `generate [--check]`.

use std::process::ExitCode;

use clap::Parser;

/// Writes the generated files of the repository.
#[derive(Debug, Parser)]
struct Args {
    /// Only say whether they are up to date
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let Args { check } = Args::parse();
    let result = if check {
        e2e::generated::check()
    } else {
        e2e::generated::write()
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("generate: {error:#}");
            ExitCode::FAILURE
        }
    }
}
