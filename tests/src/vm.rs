//! Guests whose power is cut. A QEMU guest boots a Debian kernel with a small first process (package `e2e-guest`), runs one of our
//! programs on a real file system, and is killed at a random moment; the entry point is [`power::cut_power`].
//!
//! What such a cut loses is what matters here: everything that the guest's kernel had not yet written to its disk. What QEMU was
//! given it keeps, in the page cache of this machine, so nothing here tells whether the kernel asks the disk to empty its own cache:
//! that is between the file system and the disk, and no program can do anything about it but sync.

pub mod archive;
pub mod disk;
pub mod guest;
pub mod power;

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use self::disk::FileSystem;

/// What guests are made of.
#[derive(Debug, Clone)]
pub struct Kit {
    /// `vmlinuz`, and for each file system a directory with the drivers, named in the order of loading.
    kernel: PathBuf,
    /// Our programs, static.
    programs: PathBuf,
}

impl Kit {
    /// What `cargo xtask test` has provided: it names the two directories in `GUEST_KERNEL` and `GUEST_PROGRAMS`.
    pub fn provided() -> Result<Self> {
        let dir = |name: &str| {
            env::var_os(name)
                .map(PathBuf::from)
                .with_context(|| format!("{name} is not set: run this by `cargo xtask test`"))
        };
        let kit = Self {
            kernel: dir("GUEST_KERNEL")?,
            programs: dir("GUEST_PROGRAMS")?,
        };
        let kernel = kit.vmlinuz();
        if !kernel.exists() {
            bail!(
                "{} is missing: run this by `cargo xtask test`, which provides it",
                kernel.display()
            );
        }
        Ok(kit)
    }

    /// The kernel.
    #[must_use]
    pub fn vmlinuz(&self) -> PathBuf {
        self.kernel.join("vmlinuz")
    }

    /// The drivers of a guest with this file system.
    #[must_use]
    pub fn drivers(&self, file_system: FileSystem) -> PathBuf {
        self.kernel.join(file_system.name())
    }

    /// One of our programs.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        let path = self.programs.join(name);
        if !path.exists() {
            bail!(
                "{} is not built: run this by `cargo xtask test`, which builds it",
                path.display()
            );
        }
        Ok(path)
    }
}

/// The path as text, for command lines.
fn text(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is no UTF-8", path.display()))
}
