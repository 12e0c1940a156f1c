//! Directories that a run which was killed has left behind.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What the names of directories begin with in which the directory `name` is staged.
pub(super) fn prefix(name: &OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".staged-");
    prefix
}

/// Removes the directories in `parent` whose names begin with `prefix` and that no run holds locked any more.
pub(super) fn remove(parent: &Path, prefix: &OsStr) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.as_bytes().starts_with(prefix.as_bytes()) || !entry.file_type()?.is_dir() {
            continue;
        }
        let directory = match File::open(entry.path()) {
            Ok(directory) => directory,
            // The run that it belongs to has just removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        match directory.try_lock() {
            Ok(()) => match fs::remove_dir_all(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            },
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(())
}
