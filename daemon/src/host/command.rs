//! The one way to run a program of the host: in the host's root, in bounds, and gone when we are.
//!
//! [`Commands`] is the entry point. Each program is started by our own binary (`in-root`, see [`launcher`]), since the image that
//! we run in holds no `chroot`, and since a child can only ask for itself to end with its parent.

mod child;
pub mod launcher;
mod vendor;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use machineconfig::Code;
use serde::de::DeserializeOwned;

use super::Root;

/// How much of a command line a message shows, in bytes: its program and first arguments.
const SHOWN: usize = 200;

/// What a program may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Until it has ended. Two minutes: questions to a package database that another process has locked wait for it.
    pub deadline: Duration,
    /// Bytes on standard output. 16 MiB: the answer for tens of thousands of files.
    pub output: usize,
    /// Bytes of the end of standard error that a message holds: a few lines, which say what went wrong.
    pub tail: usize,
}

/// The programs of one host.
#[derive(Debug)]
pub struct Commands {
    /// Where the host's root is.
    directory: PathBuf,
    root: Root,
    /// Our own binary.
    launcher: PathBuf,
    bounds: Bounds,
}

/// What a program that has ended by itself has said.
#[derive(Debug)]
pub struct Output {
    /// Its program and first arguments.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// The end of its standard error.
    pub stderr: String,
}

/// Why a program of the host gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It cannot be started, or not be waited for.
    #[error("cannot run {command}")]
    Run {
        /// Its program and first arguments.
        command: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The host has no such program.
    #[error("cannot run {command}: {stderr}")]
    NotStarted {
        /// Its program and first arguments.
        command: String,
        /// What the launcher says.
        stderr: String,
    },
    /// It has not ended in time, and was ended.
    #[error("{command} did not end within {} s{}", after.as_secs_f32(), told(stderr))]
    Deadline {
        /// Its program and first arguments.
        command: String,
        /// How long was waited.
        after: Duration,
        /// What it said so far.
        stderr: String,
    },
    /// It says more than any answer to what was asked, and was ended.
    #[error("{command} said more than {limit} bytes")]
    TooLong {
        /// Its program and first arguments.
        command: String,
        /// What an answer may have.
        limit: usize,
    },
    /// It has ended badly.
    #[error("{command} ended with {status}{}", told(stderr))]
    Failed {
        /// Its program and first arguments.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its standard error.
        stderr: String,
    },
    /// Its answer cannot be understood.
    #[error("the answer of {command} is not understood: {what}")]
    Answer {
        /// Its program and first arguments.
        command: String,
        /// What is wrong with it.
        what: String,
    },
}

// === impl Bounds ===

impl Default for Bounds {
    fn default() -> Self {
        Self {
            deadline: Duration::from_mins(2),
            output: 16 << 20,
            tail: 2 << 10,
        }
    }
}

// === impl Commands ===

impl Commands {
    /// The programs of the host whose root is `directory`. They are started by this very binary.
    pub fn new(directory: &Path) -> io::Result<Self> {
        Ok(Self {
            directory: directory.to_owned(),
            root: Root::open(directory)?,
            launcher: "/proc/self/exe".into(),
            bounds: Bounds::default(),
        })
    }

    /// The same, started by another copy of `machine-config-daemon`: for programs that are not that one.
    #[must_use]
    pub fn with_launcher(self, launcher: PathBuf) -> Self {
        Self { launcher, ..self }
    }

    /// The same within other bounds.
    #[must_use]
    pub fn with_bounds(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// The same programs within other bounds, for one piece of work.
    pub fn within(&self, bounds: Bounds) -> Result<Self, CommandError> {
        let cannot = |source| CommandError::Run {
            command: "the programs of the host".to_owned(),
            source,
        };
        let commands = Self::new(&self.directory).map_err(cannot)?;
        Ok(commands.with_launcher(self.launcher.clone()).with_bounds(bounds))
    }

    /// The host's files.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Whether the host has something of this absolute path that could be run.
    pub fn has(&self, program: &str) -> io::Result<bool> {
        let Some(end) = self.root.resolve(Path::new(program))? else {
            return Ok(false);
        };
        self.root.is_there(&end)
    }

    /// Runs `program`, found on the host's path, with `arguments`, and gives what it said however it ended. They are logged, so
    /// nothing secret may be among them.
    pub fn run(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Result<Output, CommandError> {
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let command = shown(program, &arguments);
        tracing::debug!(program, ?arguments, root = %self.directory.display(), "Running a program of the host");
        let output = child::run(self, program, &arguments, command)?;
        if launcher::has_failed(output.status, &output.stderr) {
            return Err(CommandError::NotStarted {
                command: output.command,
                stderr: output.stderr.trim_end().to_owned(),
            });
        }
        Ok(output)
    }

    /// Runs `program` and reads its standard output as JSON.
    pub fn json<T: DeserializeOwned>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Result<T, CommandError> {
        let output = self.run(program, arguments)?.success()?;
        serde_json::from_slice(&output.stdout).map_err(|error| output.not_understood(error.to_string()))
    }
}

// === impl Output ===

impl Output {
    /// Itself, if the program ended with status 0.
    pub fn success(self) -> Result<Self, CommandError> {
        if self.status.success() {
            Ok(self)
        } else {
            Err(self.failed())
        }
    }

    /// Standard output as text, without white space at its ends.
    pub fn text(&self) -> Result<&str, CommandError> {
        std::str::from_utf8(&self.stdout)
            .map(str::trim)
            .map_err(|error| self.not_understood(error.to_string()))
    }

    fn failed(self) -> CommandError {
        CommandError::Failed {
            command: self.command,
            status: self.status,
            stderr: self.stderr,
        }
    }

    fn not_understood(&self, what: String) -> CommandError {
        CommandError::Answer {
            command: self.command.clone(),
            what,
        }
    }
}

// === impl CommandError ===

impl CommandError {
    /// Its stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Run { .. }
            | Self::NotStarted { .. }
            | Self::Deadline { .. }
            | Self::TooLong { .. }
            | Self::Failed { .. }
            | Self::Answer { .. } => Code::HOST_COMMAND,
        }
    }
}

/// A command line as a message shows it.
fn shown(program: &str, arguments: &[OsString]) -> String {
    let mut text = program.to_owned();
    for argument in arguments {
        if text.len() + argument.len() > SHOWN {
            text.push_str(" …");
            break;
        }
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// Standard error at the end of a message, if there is any.
fn told(stderr: &str) -> impl fmt::Display {
    let text = stderr.trim();
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}
