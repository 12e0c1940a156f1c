//! The one test command: every step with a heading and its time, and one line at the end that says how it went.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::cargo::{cargo, run};
use crate::chores::built;
use crate::{guest, needs, sizes};

/// One step.
struct Step {
    name: &'static str,
    run: fn() -> Result<()>,
    /// Whether the later steps make no sense when it fails.
    basis: bool,
}

const STEPS: [Step; 14] = [
    Step {
        name: "what the tests need",
        run: needs::provide,
        basis: true,
    },
    Step {
        name: "format",
        run: format,
        basis: false,
    },
    Step {
        name: "size of files",
        run: sizes::check,
        basis: false,
    },
    Step {
        name: "lint",
        run: lint,
        basis: false,
    },
    Step {
        name: "documentation builds",
        run: documentation,
        basis: false,
    },
    Step {
        name: "build",
        run: build,
        basis: true,
    },
    Step {
        name: "generated files are fresh",
        run: fresh,
        basis: false,
    },
    Step {
        name: "tests",
        run: tests,
        basis: false,
    },
    Step {
        name: "vectors",
        run: vectors,
        basis: false,
    },
    Step {
        name: "programs of a host",
        run: host_programs,
        basis: false,
    },
    Step {
        name: "real Ignition",
        run: ignition,
        basis: false,
    },
    Step {
        name: "real systemd",
        run: systemd,
        basis: false,
    },
    Step {
        name: "real clusters",
        run: clusters,
        basis: false,
    },
    Step {
        name: "power cuts",
        run: power,
        basis: false,
    },
];

/// Runs every step, also after one failed, unless the rest rests on it.
pub(crate) fn run_all() -> ExitCode {
    let begin = Instant::now();
    let mut failed = Vec::new();
    for (number, step) in STEPS.iter().enumerate() {
        println!("\n=== {}/{} {}", number + 1, STEPS.len(), step.name);
        let start = Instant::now();
        let result = (step.run)();
        println!(
            "--- {}: {} in {}",
            step.name,
            if result.is_ok() { "ok" } else { "FAILED" },
            human(start.elapsed())
        );
        if let Err(error) = result {
            println!("    {error:#}");
            failed.push(step.name);
            if step.basis {
                println!("    the later steps rest on it and were not run");
                break;
            }
        }
    }
    let time = human(begin.elapsed());
    if failed.is_empty() {
        println!("\nPASS: {} steps in {time}", STEPS.len());
        return ExitCode::SUCCESS;
    }
    println!("\nFAIL: {} (in {time})", failed.join(", "));
    ExitCode::FAILURE
}

fn format() -> Result<()> {
    run(&mut cargo(["fmt", "--all", "--check"])?)
}

fn lint() -> Result<()> {
    run(&mut cargo([
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ])?)
}

fn documentation() -> Result<()> {
    let mut doc = cargo(["doc", "--quiet", "--workspace", "--no-deps"])?;
    run(doc.env("RUSTDOCFLAGS", "--deny warnings"))
}

/// Programs and tests in one go and with the same features, so that no later step has anything left to build.
fn build() -> Result<()> {
    run(&mut cargo([
        "build",
        "--quiet",
        "--workspace",
        "--bins",
        "--tests",
    ])?)
}

fn fresh() -> Result<()> {
    run(built("generate", false)?.arg("--check"))
}

fn tests() -> Result<()> {
    // Snapshots are compared, never written.
    run(cargo(["test", "--quiet", "--workspace", "--no-fail-fast"])?.env("INSTA_UPDATE", "no"))
}

fn vectors() -> Result<()> {
    run(&mut built("vectors", false)?)
}

/// The tests that `cargo test` leaves out, since they change the root directory or mount.
fn host_programs() -> Result<()> {
    if !needs::is_root() {
        bail!("only root may change the root directory and mount: run this as root");
    }
    run(&mut cargo([
        "test",
        "--quiet",
        "--workspace",
        "--test",
        "commands",
        "--test",
        "apply",
        "--",
        "--ignored",
    ])?)
}

/// The tests that `cargo test` leaves out, since they need root and the two Ignitions.
fn ignition() -> Result<()> {
    if !needs::is_root() {
        bail!("Ignition creates users and changes owners, which only root may do: run this as root");
    }
    let mut test = cargo([
        "test",
        "--quiet",
        // Not the one package that has it: that would be built with other features.
        "--workspace",
        "--test",
        "ignition",
        "--",
        "--ignored",
    ])?;
    run(test.env("IGNITION_BUILT", needs::ignition_dir()?))
}

/// The tests that `cargo test` leaves out, since they boot machines, which takes root and an image of one.
fn systemd() -> Result<()> {
    if !needs::is_root() {
        bail!(
            "machines have namespaces and cgroups of their own, which only root may make: run this as root"
        );
    }
    println!("image of a machine: made by debootstrap if it is not there (once, a minute or two)");
    run(built("machine", false)?.arg("image"))?;
    run(&mut cargo([
        "test",
        "--quiet",
        "--workspace",
        "--test",
        "machine",
        "--test",
        "host",
        "--",
        "--ignored",
    ])?)
}

/// The tests that `cargo test` leaves out, since they make clusters, which takes root, the parts of those, and static programs.
fn clusters() -> Result<()> {
    if !needs::is_root() {
        bail!("clusters have networks and machines of their own, which only root may make: run this as root");
    }
    let programs = parts_of_clusters()?;
    let mut test = cargo([
        "test",
        "--quiet",
        "--workspace",
        "--test",
        "cluster",
        "--test",
        "controller",
        "--test",
        "daemon_start",
        "--test",
        "server_start",
        "--test",
        "join",
        "--",
        "--ignored",
        // Each has a control plane and nodes of its own.
        "--test-threads=2",
    ])?;
    // Machines that join go through an Ignition.
    run(test
        .env("GUEST_PROGRAMS", &programs)
        .env("IGNITION_BUILT", needs::ignition_dir()?))?;
    scenarios(&programs, None)
}

/// Sees to what clusters are made of, and returns where the static programs are.
fn parts_of_clusters() -> Result<PathBuf> {
    needs::provide_for_clusters()?;
    let programs = guest::programs()?;
    println!("parts of clusters: built from Go modules if they are not there (once, ten minutes or more)");
    run(built("cluster", false)?
        .arg("parts")
        .env("GUEST_PROGRAMS", &programs))?;
    Ok(programs)
}

/// The scenarios whose names contain this, or all. They share a cluster, and see themselves to how many run at once.
fn scenarios(programs: &Path, name: Option<&str>) -> Result<()> {
    let mut test = cargo(["test", "--workspace", "--test", "scenarios", "--", "--ignored"])?;
    run(test.args(name).env("GUEST_PROGRAMS", programs))
}

/// Builds what scenarios take, and runs some of them, or all.
pub(crate) fn run_scenarios(name: Option<&str>) -> Result<()> {
    build()?;
    scenarios(&parts_of_clusters()?, name)
}

/// The tests that `cargo test` leaves out, since they need root, QEMU, a kernel for guests and static programs.
fn power() -> Result<()> {
    if !needs::is_root() {
        bail!("the trees of guests belong to many users, which only root may make: run this as root");
    }
    let programs = guest::programs()?;
    let mut test = cargo([
        "test",
        "--quiet",
        "--workspace",
        "--test",
        "power",
        "--",
        "--ignored",
        "--nocapture",
        // Each guest is a busy processor.
        "--test-threads=2",
    ])?;
    run(test
        .env("GUEST_KERNEL", guest::kernel()?)
        .env("GUEST_PROGRAMS", programs))
}

/// `7.3 s`, `12 min 03 s`.
fn human(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        return format!("{:.1} s", time.as_secs_f64());
    }
    format!("{} min {:02} s", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::{Duration, human};

    #[test]
    fn times_are_readable() {
        assert_eq!(human(Duration::from_millis(7340)), "7.3 s");
        assert_eq!(human(Duration::from_secs(723)), "12 min 03 s");
    }
}
