//! The operating system of a host, where it comes as an image: what is booted, with which kernel arguments, and what is staged.
//!
//! [`Os::detect`] is the entry point. Nothing here changes anything.

mod bootc;
pub mod release;
mod rpm_ostree;

use std::io;
use std::path::Path;

use machineconfig::Code;

use super::Root;
use super::command::{CommandError, Commands};

/// Made at boot by a system that runs from an image.
const BOOTED_MARK: &str = "/run/ostree-booted";

/// Where the kernel tells the arguments that it was booted with.
const COMMAND_LINE: &str = "/proc/cmdline";

/// Longest command line, in bytes. The kernel's own bound is 4 KiB at most on all architectures but s390x, with 64 KiB.
const MAX_COMMAND_LINE: u64 = 64 << 10;

/// Who updates the operating system of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Os {
    /// Nobody that we know: packages, or a person.
    None,
    /// rpm-ostree, also where it works on images.
    RpmOstree,
    /// bootc.
    Bootc,
}

/// What a host has booted, and what it will boot next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Images {
    /// What runs; none if it does not come as an image.
    pub booted: Option<Deployment>,
    /// What is to run after the next reboot, if that is something else.
    pub staged: Option<Deployment>,
}

/// One version of the operating system on a host's disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deployment {
    /// The image it was made from, as one would pull it: of a container image reference the part after the transport, else
    /// what the reference's own mark says, else empty (MCO daemon 1.4).
    pub image: String,
    /// The digest of that image, `sha256:…`, if known.
    pub digest: Option<String>,
    /// The version it bears, or empty.
    pub version: String,
    /// The checksum of its tree.
    pub checksum: String,
}

/// Why the operating system cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum OsError {
    /// A file of the host cannot be read.
    #[error("cannot read {path} of the host")]
    Read {
        /// The file.
        path: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The host does not say which operating system it is.
    #[error("there is neither {} nor {}", release::PATHS[0], release::PATHS[1])]
    NoRelease,
    /// A program that should know does not say.
    #[error("cannot ask {program} about the operating system")]
    Program {
        /// The program.
        program: &'static str,
        /// What is the matter with it.
        #[source]
        source: CommandError,
    },
    /// The host runs from an image, and what should know says that nothing is booted.
    #[error("{program} knows of no booted deployment")]
    NotBooted {
        /// The program.
        program: &'static str,
    },
}

// === impl Os ===

impl Os {
    /// Who updates the host, told from what there is: rpm-ostree goes before bootc where both are, as in the reference.
    pub fn detect(commands: &Commands) -> Result<Self, OsError> {
        let has = |path: &'static str| {
            commands
                .has(path)
                .map_err(|source| OsError::Read { path, source })
        };
        if !has(BOOTED_MARK)? {
            return Ok(Self::None);
        }
        if has("/usr/bin/rpm-ostree")? {
            return Ok(Self::RpmOstree);
        }
        Ok(if has("/usr/bin/bootc")? {
            Self::Bootc
        } else {
            Self::None
        })
    }

    /// What is booted and what is staged.
    pub fn images(self, commands: &Commands) -> Result<Images, OsError> {
        match self {
            Self::None => Ok(Images::default()),
            Self::RpmOstree => rpm_ostree::images(commands),
            Self::Bootc => bootc::images(commands),
        }
    }

    /// The kernel arguments, in order. Of rpm-ostree those of the deployment that boots next (MCO daemon 7.4); elsewhere those
    /// that the kernel runs with, the boot loader's own among them.
    pub fn kernel_arguments(self, commands: &Commands) -> Result<Vec<String>, OsError> {
        match self {
            Self::RpmOstree => rpm_ostree::kernel_arguments(commands),
            Self::None | Self::Bootc => command_line(commands.root()),
        }
    }
}

// === impl OsError ===

impl OsError {
    /// Its stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Program { source, .. } => source.code(),
            Self::NotBooted { .. } => Code::HOST_COMMAND,
            Self::Read { .. } | Self::NoRelease => Code::NODE_UNREADABLE,
        }
    }
}

fn command_line(root: &Root) -> Result<Vec<String>, OsError> {
    let cannot = |source| OsError::Read {
        path: COMMAND_LINE,
        source,
    };
    let bytes = root
        .read(Path::new(COMMAND_LINE), MAX_COMMAND_LINE)
        .map_err(cannot)?
        .ok_or_else(|| cannot(io::ErrorKind::NotFound.into()))?;
    Ok(split_arguments(&String::from_utf8_lossy(&bytes)))
}

/// A kernel command line in its arguments. Double quotes keep blanks together and stay, as the kernel has it.
fn split_arguments(line: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut argument = String::new();
    let mut quoted = false;
    for letter in line.chars() {
        quoted ^= letter == '"';
        if letter.is_whitespace() && !quoted {
            if !argument.is_empty() {
                arguments.push(std::mem::take(&mut argument));
            }
        } else {
            argument.push(letter);
        }
    }
    if !argument.is_empty() {
        arguments.push(argument);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_arguments_are_split_at_blanks_outside_quotes() {
        assert_eq!(
            split_arguments(" root=UUID=1 quiet  a=\"b c\"\tdyndbg=\"file x +p\"\n"),
            ["root=UUID=1", "quiet", "a=\"b c\"", "dyndbg=\"file x +p\""]
        );
        assert!(split_arguments("\n").is_empty());
    }
}
