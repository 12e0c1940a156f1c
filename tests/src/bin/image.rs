//! The image of our programs: `image FILE`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use e2e::cluster::product;

/// Makes the image of controller, daemon and server, from static programs.
#[derive(Debug, Parser)]
struct Args {
    /// The OCI archive to write
    file: PathBuf,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("image: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(Args { file }: &Args) -> Result<()> {
    let programs = product::static_programs()?;
    product::make_image(&programs, file)?;
    println!("{} in {}", product::IMAGE, file.display());
    println!("its programs, for deploy/Containerfile: {}", programs.display());
    Ok(())
}
