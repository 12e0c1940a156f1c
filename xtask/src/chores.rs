//! The chores that are one program of package `e2e` each.

use std::ffi::OsString;
use std::path::{Path, absolute};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cargo::{cargo, run, status, target_dir};
use crate::needs;

/// Builds the real programs, then tells the story with them.
pub(crate) fn demo() -> Result<ExitCode> {
    build(false)?;
    program("demo", false, Vec::new())
}

/// Builds everything in release, then measures.
pub(crate) fn bench(only: Option<&str>, json: Option<&Path>) -> Result<ExitCode> {
    needs::provide_for_bench()?;
    build(true)?;
    let mut args: Vec<OsString> = Vec::new();
    if let Some(only) = only {
        args.extend(["--only".into(), only.into()]);
    }
    if let Some(json) = json {
        args.extend(["--json".into(), absolute(json)?.into()]);
    }
    program("bench", true, args)
}

/// Writes the generated files, or only compares them.
pub(crate) fn generate(check: bool) -> Result<ExitCode> {
    program(
        "generate",
        false,
        if check { vec!["--check".into()] } else { Vec::new() },
    )
}

/// Runs the vectors of a directory.
pub(crate) fn vectors(dir: Option<&Path>) -> Result<ExitCode> {
    let dir = dir.map(absolute).transpose()?;
    program("vectors", false, dir.into_iter().map(Into::into).collect())
}

/// Builds every program of the workspace. The programs of `e2e` find the others beside themselves.
pub(crate) fn build(release: bool) -> Result<()> {
    let mut command = cargo(["build", "--quiet", "--workspace", "--exclude", "xtask", "--bins"])?;
    if release {
        command.arg("--release");
    }
    eprintln!("building into {} …", target_dir()?.display());
    run(&mut command).context("the build failed")
}

/// Runs one program of package `e2e` and takes over its exit code.
fn program(name: &str, release: bool, args: Vec<OsString>) -> Result<ExitCode> {
    let mut command = cargo(["run", "--quiet", "--package", "e2e", "--bin", name])?;
    if release {
        command.arg("--release");
    }
    command.arg("--").args(args);
    let code = status(&mut command)?.code().unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
