//! The archive a guest starts from: its first process, its drivers, and what it is to run. The kernel unpacks it into memory.

use std::fs::{self, Metadata};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use cpio::newc::{Builder, trailer};

use super::disk::FileSystem;
use super::{Kit, text};

/// Kinds of objects, as in the mode of `stat`.
const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// An archive in the making. Paths in it are relative and must be added after their directories.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    /// One that boots: with the first process and the drivers.
    pub fn bootable(kit: &Kit, file_system: FileSystem) -> Result<Self> {
        let mut archive = Self::default();
        archive.file("init", &read(&kit.program("guest-init")?)?)?;
        archive.tree(&kit.drivers(file_system), "modules")?;
        Ok(archive)
    }

    /// Adds a directory of root, 0755.
    pub fn directory(&mut self, path: &str) -> Result<()> {
        self.add(path, DIRECTORY | 0o755, (0, 0), &[])
    }

    /// Adds a file of root, 0755: whatever is added by its contents may be run.
    pub fn file(&mut self, path: &str, contents: &[u8]) -> Result<()> {
        self.add(path, FILE | 0o755, (0, 0), contents)
    }

    /// Adds a directory of this machine with everything below it: modes and owners too.
    pub fn tree(&mut self, dir: &Path, path: &str) -> Result<()> {
        self.add(path, DIRECTORY | mode(&fs::metadata(dir)?), (0, 0), &[])?;
        let mut entries = fs::read_dir(dir)
            .with_context(|| format!("could not list {}", dir.display()))?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<Vec<_>>>()?;
        entries.sort();
        for entry in entries {
            let name = entry.file_name().unwrap_or_default();
            let path = format!("{path}/{}", text(Path::new(name))?);
            let metadata = fs::symlink_metadata(&entry)?;
            let owner = (metadata.uid(), metadata.gid());
            if metadata.is_dir() {
                self.tree(&entry, &path)?;
            } else if metadata.is_symlink() {
                let target = fs::read_link(&entry)?;
                self.add(&path, LINK | 0o777, owner, target.as_os_str().as_bytes())?;
            } else if metadata.is_file() {
                self.add(&path, FILE | mode(&metadata), owner, &read(&entry)?)?;
            } else {
                bail!("{} is neither file, link nor directory", entry.display());
            }
        }
        Ok(())
    }

    /// Writes it to a file of this machine.
    pub fn write(self, path: &Path) -> Result<()> {
        let bytes = trailer(self.bytes).context("could not end the archive")?;
        fs::write(path, bytes).with_context(|| format!("could not write {}", path.display()))
    }

    fn add(&mut self, path: &str, mode: u32, (owner, group): (u32, u32), contents: &[u8]) -> Result<()> {
        let size = u32::try_from(contents.len()).with_context(|| format!("{path} is too large"))?;
        self.inode += 1;
        let builder = Builder::new(path)
            .ino(self.inode)
            .nlink(1)
            .mode(mode)
            .uid(owner)
            .gid(group);
        let mut writer = builder.write(&mut self.bytes, size);
        writer.write_all(contents)?;
        writer.finish().with_context(|| format!("could not add {path}"))?;
        Ok(())
    }
}

fn mode(metadata: &Metadata) -> u32 {
    metadata.mode() & 0o7777
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("could not read {}", path.display()))
}
