//! A node's root made from an Ignition config, as far as verification looks at it: a stand-in for Ignition's `files` stage where
//! the real one is not at hand. Never used on a real node.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use ignition::types::{File, Unit, User};
use ignition::{Config, contents};

use crate::program::is_root;

/// Where systemd keeps the units of the administrator.
const UNITS: &str = "/etc/systemd/system";

/// Writes files, units, drop-ins, masks, the presets that enable units at first boot, and the SSH keys of `config` below `root`,
/// an empty directory. Refuses what it has no code for, rather than making a root that lacks it.
pub fn materialise(config: &Config, root: &Path) -> Result<()> {
    let typed = config.typed();
    let storage = &typed.storage;
    if storage
        .as_ref()
        .is_some_and(|s| s.directories.is_some() || s.links.is_some() || s.disks.is_some())
    {
        bail!("this root is made of files and units only");
    }
    for file in storage.iter().flat_map(|storage| storage.files.iter().flatten()) {
        write_file(file, root).with_context(|| format!("could not write {}", file.path))?;
    }
    let units: Vec<&Unit> = typed
        .systemd
        .iter()
        .flat_map(|systemd| systemd.units.iter().flatten())
        .collect();
    for unit in &units {
        write_unit(unit, root).with_context(|| format!("could not write unit {}", unit.name))?;
    }
    write(
        &beneath(root, "/etc/systemd/system-preset/20-ignition.preset"),
        presets(&units).as_bytes(),
        0o644,
    )?;
    let users: Vec<&User> = typed
        .passwd
        .iter()
        .flat_map(|passwd| passwd.users.iter().flatten())
        .collect();
    write_accounts(&users, root)
}

/// The user databases and everyone's SSH keys.
fn write_accounts(users: &[&User], root: &Path) -> Result<()> {
    let mut groups = "root:x:0:\n".to_owned();
    let mut accounts = "root:x:0:0:root:/root:/bin/bash\n".to_owned();
    for (user, id) in users.iter().zip(1000..) {
        let keys: Vec<&str> = user
            .ssh_authorized_keys
            .iter()
            .flatten()
            .map(AsRef::as_ref)
            .collect();
        let home = format!("/home/{}", user.name);
        let ssh = beneath(root, &format!("{home}/.ssh"));
        write(
            &ssh.join("authorized_keys.d/ignition"),
            lines(&keys).as_bytes(),
            0o600,
        )?;
        if is_root() {
            for path in ["", "authorized_keys.d", "authorized_keys.d/ignition"] {
                chown(ssh.join(path), Some(id), Some(id))?;
            }
        }
        // Writing to a string does not fail.
        let _ = writeln!(accounts, "{0}:x:{id}:{id}::{home}:/bin/bash", user.name);
        let _ = writeln!(groups, "{0}:x:{id}:", user.name);
    }
    write(&beneath(root, "/etc/group"), groups.as_bytes(), 0o644)?;
    write(&beneath(root, "/etc/passwd"), accounts.as_bytes(), 0o644)
}

fn write_file(file: &File, root: &Path) -> Result<()> {
    if file.append.as_ref().is_some_and(|append| !append.is_empty()) {
        bail!("append is not supported");
    }
    let source = file
        .contents
        .as_ref()
        .and_then(|resource| resource.source.as_deref());
    let compression = file
        .contents
        .as_ref()
        .and_then(|resource| resource.compression.as_deref());
    let bytes = contents::decode(source, compression, contents::MAX_INFLATED)?;
    let mode = u32::try_from(file.mode.unwrap_or(0o644)).context("the mode is no mode")?;
    write(&beneath(root, &file.path), &bytes, mode)
}

fn write_unit(unit: &Unit, root: &Path) -> Result<()> {
    let path = beneath(root, &format!("{UNITS}/{}", unit.name));
    if unit.mask == Some(true) {
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        symlink("/dev/null", &path)?;
    } else if let Some(text) = &unit.contents {
        write(&path, text.as_bytes(), 0o644)?;
    }
    for dropin in unit.dropins.iter().flatten() {
        if let Some(text) = &dropin.contents {
            let path = beneath(root, &format!("{UNITS}/{}.d/{}", unit.name, dropin.name));
            write(&path, text.as_bytes(), 0o644)?;
        }
    }
    Ok(())
}

/// What enables and disables units when the machine boots for the first time.
fn presets(units: &[&Unit]) -> String {
    let line = |unit: &&Unit| {
        unit.enabled
            .map(|enabled| format!("{} {}", if enabled { "enable" } else { "disable" }, unit.name))
    };
    lines(&units.iter().filter_map(line).collect::<Vec<_>>())
}

fn lines<S: AsRef<str>>(items: &[S]) -> String {
    items.iter().flat_map(|item| [item.as_ref(), "\n"]).collect()
}

fn beneath(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    fs::create_dir_all(path.parent().context("the root itself is no file")?)?;
    fs::write(path, bytes)?;
    Ok(fs::set_permissions(path, Permissions::from_mode(mode))?)
}
