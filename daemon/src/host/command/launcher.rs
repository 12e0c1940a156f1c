//! `machine-config-daemon in-root DIR -- PROGRAM ARGS`: becomes a program of the host, in the host's root.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, bail};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

/// The sub-command.
pub const NAME: &str = "in-root";

/// Exit status when the program could not be started; the message then begins with `in-root: `.
/// As of chroot(1).
pub const NOT_STARTED: i32 = 126;

/// How the launcher's own message begins: a program may end with status 126 too.
const MARK: &str = "in-root: ";

/// Run a program in another root directory
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The root directory
    directory: PathBuf,
    /// End when this process does
    #[arg(long)]
    parent: Option<i32>,
    /// The program, then its arguments
    #[arg(required = true, last = true)]
    command: Vec<OsString>,
}

// === impl Args ===

impl Args {
    /// Becomes the program. Returns only when that is not possible, and says why not.
    #[must_use]
    pub fn run(self) -> String {
        let Self {
            directory,
            parent,
            command,
        } = self;
        let error = become_program(&directory, parent, command);
        format!("{MARK}{error:#}\n")
    }
}

fn become_program(directory: &Path, parent: Option<i32>, command: Vec<OsString>) -> anyhow::Error {
    if let Err(error) = prepare(directory, parent) {
        return error;
    }
    let mut command = command.into_iter();
    let program = command.next().unwrap_or_default();
    let error = Command::new(&program).args(command).exec();
    anyhow::Error::new(error).context(format!("{} in {}", program.display(), directory.display()))
}

fn prepare(directory: &Path, parent: Option<i32>) -> anyhow::Result<()> {
    if let Some(parent) = parent {
        set_pdeathsig(Signal::SIGKILL).context("cannot be bound to the life of its parent")?;
        // It may have ended before that.
        if nix::unistd::getppid().as_raw() != parent {
            bail!("the process that asked for it is gone");
        }
    }
    if directory != Path::new("/") {
        nix::unistd::chroot(directory)
            .map_err(io::Error::from)
            .with_context(|| format!("cannot make {} the root directory", directory.display()))?;
    }
    std::env::set_current_dir("/").context("cannot go to the root directory")
}

/// The arguments that have our binary run `program` in `directory`, and end when we do.
pub(super) fn arguments(directory: &Path, program: &str, arguments: &[OsString]) -> Vec<OsString> {
    let parent = std::process::id().to_string();
    let mut all: Vec<OsString> = vec![NAME.into(), directory.into()];
    all.extend(["--parent", &parent, "--", program].map(OsString::from));
    all.extend_from_slice(arguments);
    all
}

/// Whether it was the launcher that failed, not the program.
pub(super) fn has_failed(status: ExitStatus, stderr: &str) -> bool {
    status.code() == Some(NOT_STARTED) && stderr.starts_with(MARK)
}
