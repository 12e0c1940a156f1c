//! The inner cargo, and where builds are kept: outside the clone, so that every clone finds them again.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, bail};

/// The root of the repository this program was built from.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in a directory of the workspace")
}

/// Where everything that is worth keeping between runs goes: `$XDG_CACHE_HOME/machine-config`, else
/// `~/.cache/machine-config`.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    // The XDG rule: a relative path is to be ignored.
    let xdg = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let base = match xdg {
        Some(base) => base,
        None => env::home_dir()
            .context("neither XDG_CACHE_HOME nor HOME is set: nowhere to keep builds")?
            .join(".cache"),
    };
    Ok(base.join("machine-config"))
}

/// The build directory of all inner builds: `CARGO_TARGET_DIR` when set, else one in the cache.
pub(crate) fn target_dir() -> Result<PathBuf> {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) if !dir.is_empty() => Ok(env::current_dir()?.join(dir)),
        _ => Ok(cache_dir()?.join("target")),
    }
}

/// An inner cargo at the root of the repository.
pub(crate) fn cargo<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Result<Command> {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command
        .args(args)
        .current_dir(root())
        .env("CARGO_TARGET_DIR", target_dir()?);
    // What the outer `cargo run` says of this package would be taken for the tests' own.
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR" {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// Runs a command to its end with our own streams.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    command
        .status()
        .with_context(|| format!("could not run {}", line(command)))
}

/// As [`status`]; anything but success is an error that names the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("{} ended with {status}", line(command));
    }
    Ok(())
}

/// The command as a person would type it.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}
