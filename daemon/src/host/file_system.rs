//! What a file system allows: room, writing, and whether a path is a mount point or cannot be replaced.

use std::io;
use std::path::Path;

use rustix::fs::{self, AtFlags, OFlags, StatVfsMountFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::{Looker, Root};

/// The file system that a directory is on, by way of one mount: another may be read-only, and no file is renamed or named again from
/// one to the other, though both are of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSystem {
    /// Number of its device.
    pub device: u64,
    /// Number of the mount.
    pub mount: u64,
    /// Whether no name in the directory itself may be changed, or none but added (`chattr +i`, `+a`).
    pub fixed: bool,
    /// Bytes that may still be written.
    pub free_bytes: u64,
    /// Files that may still be made; `u64::MAX` where there is no such bound.
    pub free_files: u64,
    /// Length of a block: the least that a file takes, in bytes.
    pub block: u64,
    /// Whether nothing can be written to it.
    pub read_only: bool,
}

/// Why a name cannot be replaced, whatever its file system allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fixed {
    /// Something is mounted there.
    MountPoint,
    /// It is marked immutable or append-only (`chattr +i`, `+a`).
    Immutable,
}

/// What keeps a name from being replaced.
const UNMOVABLE: StatxAttributes = StatxAttributes::IMMUTABLE.union(StatxAttributes::APPEND);

impl Root {
    /// Of the directory at a path without links.
    pub fn file_system(&self, directory: &Path) -> io::Result<FileSystem> {
        let handle = self.open_plain(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC)?;
        let stat = fs::fstat(&handle)?;
        let more = fs::statx(
            &handle,
            "",
            AtFlags::EMPTY_PATH,
            StatxFlags::BASIC_STATS | StatxFlags::MNT_ID,
        )?;
        let room = fs::fstatvfs(&handle)?;
        Ok(FileSystem {
            device: stat.st_dev,
            mount: more.stx_mnt_id,
            fixed: more.stx_attributes.intersects(UNMOVABLE),
            free_bytes: room.f_bavail.saturating_mul(room.f_frsize),
            // Some file systems make files as they go and count none.
            free_files: if room.f_files == 0 {
                u64::MAX
            } else {
                room.f_favail
            },
            block: room.f_frsize.max(1),
            read_only: room.f_flag.contains(StatVfsMountFlags::RDONLY),
        })
    }
}

impl Looker<'_> {
    /// Whether what is at a path can be replaced by another name; `None` says it can.
    pub fn fixed(&mut self, path: &Path) -> io::Result<Option<Fixed>> {
        let Some(name) = path.file_name() else {
            return Ok(Some(Fixed::MountPoint));
        };
        let Some(parent) = self.directory(path)? else {
            return Ok(None);
        };
        let stat = match fs::statx(
            &*parent,
            name,
            AtFlags::SYMLINK_NOFOLLOW,
            StatxFlags::BASIC_STATS | StatxFlags::MNT_ID,
        ) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(if stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
            Some(Fixed::MountPoint)
        } else if stat.stx_attributes.intersects(UNMOVABLE) {
            Some(Fixed::Immutable)
        } else {
            None
        })
    }
}
