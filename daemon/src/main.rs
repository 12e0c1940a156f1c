//! `machine-config-daemon`: keeps one node at its rendered config.

use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::cli::run(std::env::args_os()).into()
}
