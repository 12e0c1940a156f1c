//! `machine-config-server`: hands Ignition to new machines.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use server::cli::{Cli, Command};

fn main() -> ExitCode {
    let Cli { command, serving } = Cli::parse();
    let result = match command {
        Command::Bootstrap(bootstrap) => server::bootstrap::run(bootstrap, &serving),
        Command::Start(start) => server::cluster::run(&start, &serving),
        Command::Version => writeln!(
            io::stdout(),
            "MachineConfigServer {}-{}",
            server::VERSION,
            server::COMMIT
        )
        .map_err(|error| anyhow::anyhow!("cannot print: {error}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A standard error that is closed is no reason to panic.
            let _ = writeln!(io::stderr(), "machine-config-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}
