//! Real machines by hand: `machine image`, `machine run COMMAND...`.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use e2e::machine::{Image, Machine};

/// Makes the image of the machines that tests boot, and boots one.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make the image, if it is not there
    Image,
    /// Boot a machine, run a command in it, and throw the machine away
    Run {
        /// The command; a shell by default
        #[arg(trailing_var_arg = true, default_value = "bash")]
        command: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Args::parse().what) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("machine: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(what: What) -> Result<ExitCode> {
    let image = Image::provide()?;
    match what {
        What::Image => {
            println!("image of a machine: {}", image.root().display());
            Ok(ExitCode::SUCCESS)
        }
        What::Run { command } => {
            let machine = Machine::start(&image, "machine")?;
            eprintln!("{} is up, its root is {}", machine.id(), machine.root().display());
            let argv: Vec<&str> = command.iter().map(String::as_str).collect();
            let code = machine.command(&argv)?.status()?.code().unwrap_or(1);
            Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
        }
    }
}
