//! The chores that are one program of package `e2e` each.

use std::ffi::OsString;
use std::path::{Path, absolute};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, root, run, status, target_dir};
use crate::{guest, needs};

/// Builds the real programs, then tells the story with them.
pub(crate) fn demo() -> Result<ExitCode> {
    build(false)?;
    program("demo", false, Vec::new())
}

/// Builds everything in release, then measures.
pub(crate) fn bench(cluster: bool, only: Option<&str>, json: Option<&Path>) -> Result<ExitCode> {
    let mut args: Vec<OsString> = Vec::new();
    if cluster {
        needs::provide_for_clusters()?;
        args.push("--cluster".into());
    } else {
        needs::provide_for_bench()?;
    }
    build(true)?;
    if let Some(only) = only {
        args.extend(["--only".into(), only.into()]);
    }
    if let Some(json) = json {
        args.extend(["--json".into(), absolute(json)?.into()]);
    }
    let mut command = built("bench", true)?;
    if cluster {
        command.env("GUEST_PROGRAMS", guest::programs()?);
    }
    took_over(command.args(args))
}

/// Makes a real cluster, or does something with the one there is.
pub(crate) fn cluster(arguments: &[OsString]) -> Result<ExitCode> {
    build(false)?;
    let mut command = built("cluster", false)?;
    command.args(arguments);
    // Only what makes a cluster needs more than the cluster itself.
    if arguments.iter().any(|argument| argument == "up") {
        needs::provide_for_clusters()?;
        command.env("GUEST_PROGRAMS", guest::programs()?);
    }
    took_over(&mut command)
}

/// Makes the image of our programs; by default among the builds.
pub(crate) fn image(file: Option<&Path>) -> Result<ExitCode> {
    let file = match file {
        Some(file) => absolute(file)?,
        None => target_dir()?.join("machine-config.oci.tar"),
    };
    let programs = guest::programs()?;
    build(false)?;
    took_over(built("image", false)?.arg(file).env("GUEST_PROGRAMS", programs))
}

/// Writes the generated files, or only compares them.
pub(crate) fn generate(check: bool) -> Result<ExitCode> {
    build(false)?;
    program(
        "generate",
        false,
        if check { vec!["--check".into()] } else { Vec::new() },
    )
}

/// Runs the vectors of a directory.
pub(crate) fn vectors(dir: Option<&Path>) -> Result<ExitCode> {
    let dir = dir.map(absolute).transpose()?;
    build(false)?;
    program("vectors", false, dir.into_iter().map(Into::into).collect())
}

/// Builds every program of the workspace. The programs of `e2e` find the others beside themselves.
///
/// Always all of them in one go: cargo unites the features of what it builds together, so that a single package would be
/// built with other features, and all it rests on a second time.
pub(crate) fn build(release: bool) -> Result<()> {
    let mut command = cargo(["build", "--quiet", "--workspace", "--exclude", "xtask", "--bins"])?;
    if release {
        command.arg("--release");
    }
    eprintln!("building into {} …", target_dir()?.display());
    run(&mut command).context("the build failed")
}

/// One program of package `e2e` as [`build`] left it.
pub(crate) fn built(name: &str, release: bool) -> Result<Command> {
    let profile = if release { "release" } else { "debug" };
    let path = target_dir()?.join(profile).join(name);
    if !path.is_file() {
        bail!(
            "the build left no {}; does a setting of cargo (build.target) put programs elsewhere?",
            path.display()
        );
    }
    let mut command = Command::new(path);
    command.current_dir(root());
    Ok(command)
}

/// Runs one program of package `e2e` that was built and takes over its exit code.
fn program(name: &str, release: bool, args: Vec<OsString>) -> Result<ExitCode> {
    took_over(built(name, release)?.args(args))
}

/// Runs a command and takes over its exit code.
fn took_over(command: &mut Command) -> Result<ExitCode> {
    let code = status(command)?.code().unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
