//! `machine-config-controller`: renders MachineConfigs into one rendered config per pool.

use std::process::ExitCode;

fn main() -> ExitCode {
    controller::cli::run(std::env::args_os()).into()
}
