//! Runs the vectors of a directory: `vectors [DIR]`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use e2e::vectors::{Deviations, run};

/// Runs every family of vectors found in a directory.
#[derive(Debug, Parser)]
struct Args {
    /// The directory; the project's own vectors by default
    dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    // A panic is reported with its case; the default report would only stand between the lines.
    std::panic::set_hook(Box::new(|_| {}));
    match vectors() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("vectors: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn vectors() -> Result<bool> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let deviations = Deviations::read(&own.join("deviations.toml"))?;
    let dir = Args::parse().dir.unwrap_or(own);
    let mut out = io::stdout().lock();
    let totals = run(&dir, deviations, &mut out)?;
    out.flush()?;
    Ok(totals.failed == 0)
}
