//! The one door to every chore. Light on purpose: heavy work lives in the binaries of package `e2e`, which are built and run.

mod cargo;
mod chores;
mod guest;
mod needs;
mod sizes;
mod test;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Chores of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Option<Chore>,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Tell the whole path as a story: render, serve, fetch, plan and drift, in a temporary directory
    Demo,
    /// Format, lint, build and test everything; what the tests need is installed or named
    Test {
        /// Only a part of it
        #[command(subcommand)]
        only: Option<Part>,
    },
    /// Measure speed and memory against the goals, in one table
    Bench {
        /// Measure clusters with thousands of nodes and real daemons, instead of the programs by themselves; takes root
        #[arg(long)]
        cluster: bool,
        /// Only the rows whose name contains this
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
        /// Also write the table to this file as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// A real Kubernetes cluster on this machine, for tests by hand: up, down, status, kubeconfig, exec, cut, start, logs
    #[command(disable_help_flag = true)]
    Cluster {
        /// What to do, and with what; `--help` tells more
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<OsString>,
    },
    /// Make the image of controller, daemon and server, an OCI archive of static programs, without any container tool
    Image {
        /// Where to [default: among the builds]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Write the generated files: CRD manifests, base configs and the list of error codes
    Generate {
        /// Only say whether they are up to date
        #[arg(long)]
        check: bool,
    },
    /// Run the vectors made by the reference's own code
    Vectors {
        /// Directory with one sub-directory (or .jsonl file) per family
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

/// A part of the tests that is run by itself.
#[derive(Debug, Subcommand)]
enum Part {
    /// The scenarios on a real cluster, all or some
    Scenarios {
        /// Only those whose name contains this
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().chore {
        None => {
            list();
            Ok(ExitCode::SUCCESS)
        }
        Some(Chore::Demo) => chores::demo(),
        Some(Chore::Test { only: None }) => Ok(test::run_all()),
        Some(Chore::Test {
            only: Some(Part::Scenarios { name }),
        }) => test::run_scenarios(name.as_deref()).map(|()| ExitCode::SUCCESS),
        Some(Chore::Bench { cluster, only, json }) => {
            chores::bench(cluster, only.as_deref(), json.as_deref())
        }
        Some(Chore::Cluster { arguments }) => chores::cluster(&arguments),
        Some(Chore::Image { out }) => chores::image(out.as_deref()),
        Some(Chore::Generate { check }) => chores::generate(check),
        Some(Chore::Vectors { dir }) => chores::vectors(dir.as_deref()),
    };
    result.unwrap_or_else(|error| {
        eprintln!("cargo xtask: {error:#}");
        ExitCode::FAILURE
    })
}

/// One line per chore.
fn list() {
    let cli = Cli::command();
    for chore in cli.get_subcommands() {
        let about = chore.get_about().map(ToString::to_string).unwrap_or_default();
        println!("cargo xtask {:<10} {about}", chore.get_name());
    }
}
