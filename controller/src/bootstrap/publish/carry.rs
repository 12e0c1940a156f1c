//! What is in a destination and not ours, linked into the directory that takes its place.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Gid, Uid, XattrFlags};
use rustix::io::Errno;

use super::DIRECTORIES;
use crate::bootstrap::output::{API_SERVER, CONTROLLER_CONFIG};

/// Longest list of names, and longest value, of extended attributes, in bytes (xattr(7)).
const MAX_XATTR: usize = 64 << 10;

/// Links everything in `old` that is no earlier output into `new`.
pub(super) fn carry(old: &Path, new: &Path) -> io::Result<()> {
    for entry in fs::read_dir(old)? {
        let entry = entry?;
        let name = entry.file_name();
        let (from, to) = (entry.path(), new.join(&name));
        match DIRECTORIES.iter().find(|ours| name == **ours) {
            Some(ours) => carry_into(&from, &to, ours)?,
            None => link(&from, &to)?,
        }
    }
    Ok(())
}

/// The same for one of the directories that are written: `old` to `new`, both called `name`.
pub(super) fn carry_into(old: &Path, new: &Path, name: &str) -> io::Result<()> {
    if !fs::symlink_metadata(old)?.is_dir() {
        let message = format!("{} is no directory; move it away", old.display());
        return Err(io::Error::new(io::ErrorKind::NotADirectory, message));
    }
    for entry in fs::read_dir(old)? {
        let entry = entry?;
        if is_ours(name, &entry.file_name()) {
            continue;
        }
        if !new.exists() {
            fs::create_dir(new)?;
            attributes(old, new)?;
        }
        link(&entry.path(), &new.join(entry.file_name()))?;
    }
    Ok(())
}

/// Links the rendered configs of the earlier output in `destination` beside those of the new one, and names them.
pub(super) fn retain_configs(destination: &Path, new: &Path) -> io::Result<Vec<OsString>> {
    let (from, to) = (destination.join("machine-configs"), new.join("machine-configs"));
    let mut retained = Vec::new();
    if !from.exists() || !to.exists() {
        return Ok(retained);
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if is_ours("machine-configs", &name) && !to.join(&name).exists() {
            link(&entry.path(), &to.join(&name))?;
            retained.push(name);
        }
    }
    Ok(retained)
}

/// Whether a file of this name in one of the directories is an output of ours, which a new one takes the place of.
fn is_ours(directory: &str, file: &OsStr) -> bool {
    let Some(file) = file.to_str() else { return false };
    let yaml = Path::new(file).extension() == Some(OsStr::new("yaml"));
    match directory {
        "machine-pools" => yaml,
        "machine-configs" => yaml && file.starts_with("rendered-"),
        "controller-config" => file == CONTROLLER_CONFIG,
        "api-server" => file == API_SERVER,
        _ => false,
    }
}

/// Links a file, or a directory with all that is in it. The same files under a second name: nothing is copied, and
/// nothing about them changes.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    let facts = fs::symlink_metadata(from)?;
    if !facts.is_dir() {
        return fs::hard_link(from, to);
    }
    if facts.dev() != fs::metadata(from.parent().unwrap_or(Path::new("/")))?.dev() {
        // Something is mounted on it.
        return Err(Errno::XDEV.into());
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        link(&entry.path(), &to.join(entry.file_name()))?;
    }
    attributes(from, to)
}

/// Gives the directory `to` the owner, mode and extended attributes (security labels, access lists) of `from`.
pub(super) fn attributes(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (fs::File::open(from)?, fs::File::open(to)?);
    let (facts, own) = (from.metadata()?, to.metadata()?);
    if (facts.uid(), facts.gid()) != (own.uid(), own.gid()) {
        rustix::fs::fchown(
            &to,
            Some(Uid::from_raw(facts.uid())),
            Some(Gid::from_raw(facts.gid())),
        )?;
    }
    to.set_permissions(facts.permissions())?;
    let mut names = vec![0; MAX_XATTR];
    let length = match rustix::fs::flistxattr(&from, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut value = vec![0; MAX_XATTR];
    for name in names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let length = rustix::fs::fgetxattr(&from, name, &mut value[..])?;
        rustix::fs::fsetxattr(&to, name, &value[..length], XattrFlags::empty())?;
    }
    Ok(())
}
