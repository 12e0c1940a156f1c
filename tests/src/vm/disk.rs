//! Disks of guests: sparse files with one file system.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::program::run;

/// Bytes of a disk: the least that mkfs.xfs takes is 300 MiB. Next to nothing of it is ever written.
const SIZE: u64 = 320 << 20;

/// More than any mkfs takes for a disk this small.
const DEADLINE: Duration = Duration::from_mins(1);

/// What a disk is formatted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    /// As Debian, Flatcar and Fedora CoreOS have it for `/boot`, and most others for `/`.
    Ext4,
    /// As RHCOS and Fedora CoreOS have it for `/`.
    Xfs,
}

impl FileSystem {
    /// Its name for the kernel.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// Makes an empty disk at `path`, with the defaults of the formatting program.
    pub fn format(self, path: &Path) -> Result<()> {
        let file = File::create(path).with_context(|| format!("could not create {}", path.display()))?;
        file.set_len(SIZE)?;
        let mut command = match self {
            Self::Ext4 => {
                let mut command = Command::new("/usr/sbin/mke2fs");
                command.args(["-q", "-t", "ext4"]);
                command
            }
            Self::Xfs => {
                let mut command = Command::new("/usr/sbin/mkfs.xfs");
                command.arg("-q");
                command
            }
        };
        let ran = run(command.arg(path), DEADLINE)?;
        if ran.code != Some(0) {
            bail!("could not format a disk with {}: {}", self.name(), ran.all());
        }
        Ok(())
    }
}
