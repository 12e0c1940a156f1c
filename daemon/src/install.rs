//! What of ours works without us: a copy of this program and the units that run it, so that recovery needs no container runtime.
//!
//! [`install`] is the entry point. What is installed already stays as it is.

use std::fs;
use std::path::Path;

use crate::host::write::Failed;
use crate::host::{Rename, Root, Traits, Writer};
use crate::node::Node;

/// Where the copy of this program is.
pub const PROGRAM: &str = "/var/lib/machine-config/bin/machine-config-daemon";
/// Where units of the host's administrator are.
const UNITS: &str = "/etc/systemd/system";
/// Finishes or undoes at boot what was cut off.
const RECOVER: &str = "machine-config-recover.service";
/// Goes back to the config before unless the new one is confirmed.
pub const CONFIRM: &str = "machine-config-confirm.service";
/// What is being put in place, beside its place, until it is whole.
const UNBORN: &str = ".machine-config.new";
/// Longest program that is copied, in bytes.
const MAX_PROGRAM: u64 = 256 << 20;

/// The units: name, text, and the target that pulls each in.
const ALL: [(&str, &str, &str); 2] = [
    (
        RECOVER,
        include_str!("install/machine-config-recover.service"),
        "sysinit.target",
    ),
    (
        CONFIRM,
        include_str!("install/machine-config-confirm.service"),
        "multi-user.target",
    ),
];

/// Installs the copy and its units, and has systemd read them. Does nothing when they are there. The
/// caller holds the node's lock.
///
/// # Errors
/// What the file system or systemd says, in words.
pub fn install(node: &Node) -> Result<(), String> {
    let chain = |failed: Failed| crate::apply::chain(&failed);
    let program = own_program()?;
    let mut writer = Writer::new(&node.root);
    crate::apply::provide_state(&node.root, &mut writer).map_err(chain)?;
    let mut changed = put(&node.root, &mut writer, PROGRAM, &program, 0o755).map_err(chain)?;
    if changed {
        node.acts().label_program(PROGRAM)?;
    }
    for (name, text, target) in ALL {
        changed |= put(
            &node.root,
            &mut writer,
            &format!("{UNITS}/{name}"),
            text.as_bytes(),
            0o644,
        )
        .map_err(chain)?;
        changed |= pull_in(&node.root, &mut writer, name, target).map_err(chain)?;
    }
    match node.systemd() {
        Some(systemd) if changed => systemd
            .reload_manager()
            .map_err(|error| crate::apply::chain(&error)),
        Some(_) | None => Ok(()),
    }
}

/// Whether a path is that of a unit of ours.
#[must_use]
pub fn is_unit(path: &Path) -> bool {
    let name = path.strip_prefix(UNITS).ok().and_then(Path::to_str);
    name.is_some_and(|name| {
        ALL.iter()
            .any(|(unit, _, _)| name == *unit || name.starts_with(&format!("{unit}.d/")))
    })
}

/// The bytes of the program that runs.
fn own_program() -> Result<Vec<u8>, String> {
    let path = "/proc/self/exe";
    let length = fs::metadata(path)
        .map_err(|error| format!("cannot read {path}: {error}"))?
        .len();
    if length > MAX_PROGRAM {
        return Err(format!(
            "this program is {length} bytes long, too long to be copied"
        ));
    }
    fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))
}

/// Puts a file in place, durable, unless it is so already. True when it was not.
fn put(root: &Root, writer: &mut Writer<'_>, path: &str, bytes: &[u8], mode: u32) -> Result<bool, Failed> {
    let path = Path::new(path);
    let there = root.read(path, MAX_PROGRAM).ok().flatten();
    if there.as_deref() == Some(bytes) {
        return Ok(false);
    }
    let parent = path.parent().unwrap_or(Path::new("/"));
    provide(root, writer, parent)?;
    // One name will do, since the caller holds the lock; what a process that was cut off has left is removed.
    let unborn = &parent.join(UNBORN);
    crate::change::gone(writer.remove(unborn))?;
    writer.create(
        unborn,
        bytes,
        &Traits {
            mode,
            ..Traits::default()
        },
    )?;
    writer.sync_file(unborn)?;
    writer.rename(unborn, path, Rename::Over)?;
    writer.sync_directory(parent)?;
    Ok(true)
}

/// Makes the link that pulls a unit in at boot. True when it was not there.
fn pull_in(root: &Root, writer: &mut Writer<'_>, unit: &str, target: &str) -> Result<bool, Failed> {
    let wants = format!("{UNITS}/{target}.wants");
    let link = format!("{wants}/{unit}");
    if root.is_there(Path::new(&link)).unwrap_or(false) {
        return Ok(false);
    }
    provide(root, writer, Path::new(&wants))?;
    writer.link(Path::new(&link), Path::new(&format!("../{unit}")), 0, 0)?;
    writer.sync_directory(Path::new(&wants))?;
    Ok(true)
}

fn provide(root: &Root, writer: &mut Writer<'_>, directory: &Path) -> Result<(), Failed> {
    if root.is_there(directory).unwrap_or(false) {
        return Ok(());
    }
    if let Some(parent) = directory.parent().filter(|parent| parent.parent().is_some()) {
        provide(root, writer, parent)?;
    }
    writer.make_directory(
        directory,
        &Traits {
            mode: 0o755,
            ..Traits::default()
        },
    )
}
