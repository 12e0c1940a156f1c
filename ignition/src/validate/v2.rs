//! The rules of the 2.x specs, where they differ from those of 3.x.

use super::node::SPECIAL_BITS;
use super::resource::{check_hash, check_source, compression};
use super::storage::{check_level, is_format, is_guid, label_max};
use super::unit::{check_contents, check_unit_name};
use super::{Report, View, shorten};
use crate::path::Path;
use crate::problem::Kind as Fault;
use crate::version::Spec;

/// The rule of a config: what no 3.x config can say.
pub(crate) fn config(config: &View<'_>, report: &mut Report) {
    if config
        .inner("networkd")
        .is_some_and(|networkd| !networkd.list("units").is_empty())
    {
        report.error(
            &config.at("networkd"),
            Fault::Deprecated,
            "networkd units are no longer written: make them files in /etc/systemd/network",
        );
    }
}

/// The rule of a reference to a config or certificate authority.
pub(crate) fn reference(reference: &View<'_>, report: &mut Report) {
    check_source(
        reference.text("source").unwrap_or_default(),
        reference.spec,
        &reference.at("source"),
        report,
    );
}

/// The rule of a verification.
pub(crate) fn verification(verification: &View<'_>, report: &mut Report) {
    if let Some(hash) = verification.text("hash") {
        check_hash(hash, verification.spec, &verification.at("hash"), report);
    }
}

/// The rule of the contents of a file.
pub(crate) fn contents(contents: &View<'_>, report: &mut Report) {
    compression(contents.text("compression"), &contents.at("compression"), report);
    check_source(
        contents.text("source").unwrap_or_default(),
        contents.spec,
        &contents.at("source"),
        report,
    );
}

/// The rule of a user.
pub(crate) fn user(user: &View<'_>, report: &mut Report) {
    if user.has("create") {
        let message = "create is ignored: set its fields on the user itself";
        report.warn(&user.at("create"), Fault::Deprecated, message);
        let own = [
            "gecos",
            "groups",
            "homeDir",
            "noCreateHome",
            "noLogInit",
            "noUserGroup",
            "primaryGroup",
            "shell",
        ];
        if let Some(name) = own
            .into_iter()
            .chain(["system", "uid"])
            .find(|name| is_said(user, name))
        {
            let message = format!("{name} and create must not both be set: drop create");
            report.error(&user.at(name), Fault::Conflict, message);
        }
    }
}

/// Whether a field says something: an empty list does not.
fn is_said(user: &View<'_>, name: &str) -> bool {
    user.has(name) && (name != "groups" || !user.list(name).is_empty())
}

/// The rule of a file.
pub(crate) fn file(file: &View<'_>, report: &mut Report) {
    node(file, report);
    mode(file, report);
    if file.is_set("overwrite") && file.is_set("append") {
        report.error(
            &file.at("append"),
            Fault::Conflict,
            "append and overwrite must not both be true: keep one of them",
        );
    }
}

/// The rule of a directory.
pub(crate) fn directory(directory: &View<'_>, report: &mut Report) {
    node(directory, report);
    mode(directory, report);
}

/// The rule of a link.
pub(crate) fn link(link: &View<'_>, report: &mut Report) {
    node(link, report);
}

fn node(node: &View<'_>, report: &mut Report) {
    if node.filled("filesystem").is_none() {
        let message = "a file system is needed: write \"root\"";
        report.error(&node.at("filesystem"), Fault::Missing, message);
    }
    absolute(node.text("path").unwrap_or_default(), &node.at("path"), report);
}

/// Reports a path that is not absolute. A 2.x path need not be clean; it is cleaned on the way up.
fn absolute(path: &str, at: &Path<'_>, report: &mut Report) {
    if !path.starts_with('/') {
        report.error(
            at,
            Fault::Path,
            format!("{} is not absolute: begin it with /", shorten(path)),
        );
    }
}

fn mode(node: &View<'_>, report: &mut Report) {
    match node.int("mode") {
        Some(mode) if !(0..=0o7777).contains(&mode) => {
            let message =
                format!("mode {mode} is out of range: at most 0o7777, written in decimal (0644 is 420)");
            report.error(&node.at("mode"), Fault::Mode, message);
        }
        Some(mode) if mode & SPECIAL_BITS != 0 => {
            let message =
                format!("mode {mode:#o}: setuid, setgid and sticky bits have no effect before version 3.6.0");
            report.warn(&node.at("mode"), Fault::Mode, message);
        }
        // From 2.2 on no mode is left to whoever writes the node, as in 3.x.
        None if node.spec < Spec::V2_2 => report.warn(
            &node.at("mode"),
            Fault::Mode,
            "no mode is set: before version 2.2.0 it is 0000",
        ),
        Some(_) | None => {}
    }
}

/// The rule of a disk.
pub(crate) fn disk(disk: &View<'_>, report: &mut Report) {
    let device = disk.text("device").unwrap_or_default();
    if device.is_empty() {
        report.error(&disk.at("device"), Fault::Missing, "a disk needs a device");
    } else {
        absolute(device, &disk.at("device"), report);
    }
    let mut numbers = std::collections::HashSet::new();
    let path = disk.at("partitions");
    for (i, partition) in disk.objects("partitions").enumerate() {
        let number = partition.int("number").unwrap_or(0);
        if number != 0 && !numbers.insert(number) {
            let message = format!("partition {number} is defined twice");
            report.error(&path.index(i).field("number"), Fault::Duplicate, message);
        }
    }
}

/// The rule of a partition.
pub(crate) fn partition(partition: &View<'_>, report: &mut Report) {
    let label = partition.text("label").unwrap_or_default();
    if label.len() > 36 {
        report.error(
            &partition.at("label"),
            Fault::Value,
            "a partition's label has at most 36 characters",
        );
    } else if label.contains(':') {
        report.warn(
            &partition.at("label"),
            Fault::Value,
            "a partition's label holds no colon",
        );
    }
    for name in ["guid", "typeGuid"] {
        if !partition.text(name).is_none_or(is_guid) {
            let message = "not of the form 01234567-89AB-CDEF-EDCB-A98765432101";
            report.error(&partition.at(name), Fault::Value, message);
        }
    }
}

/// The rule of a file system.
pub(crate) fn filesystem(filesystem: &View<'_>, report: &mut Report) {
    let path = filesystem.text("path");
    match (filesystem.inner("mount"), path) {
        (None, None) => report.error(
            filesystem.path,
            Fault::Missing,
            "a file system needs a mount or a path",
        ),
        (Some(_), Some(_)) => {
            let message = "mount and path of a file system must not both be set: keep one of them";
            report.error(filesystem.path, Fault::Conflict, message);
        }
        (Some(_), None) | (None, Some(_)) => {}
    }
    if let Some(path) = path {
        absolute(path, &filesystem.at("path"), report);
    }
}

/// The rule of a mount.
pub(crate) fn mount(mount: &View<'_>, report: &mut Report) {
    let format = mount.text("format").unwrap_or_default();
    if !is_format(format, mount.spec) {
        let formats = "ext4, btrfs, xfs, and from 2.1.0 on swap and vfat";
        let message = format!(
            "unknown format {} of a file system: there are {formats}",
            shorten(format)
        );
        report.error(&mount.at("format"), Fault::Value, message);
    }
    absolute(
        mount.text("device").unwrap_or_default(),
        &mount.at("device"),
        report,
    );
    if let Some(longest) =
        label_max(format).filter(|longest| mount.text("label").is_some_and(|l| l.len() > *longest))
    {
        let message = format!("a label of {format} has at most {longest} bytes");
        report.error(&mount.at("label"), Fault::Value, message);
    }
    if mount.has("create") {
        if mount.is_set("wipeFilesystem") || !mount.list("options").is_empty() {
            let message = "create cannot be used with wipeFilesystem or options: drop create";
            report.error(&mount.at("create"), Fault::Conflict, message);
        }
        report.warn(
            &mount.at("create"),
            Fault::Deprecated,
            "create is ignored: use wipeFilesystem and options",
        );
    }
}

/// The rule of an array.
pub(crate) fn raid(raid: &View<'_>, report: &mut Report) {
    check_level(
        raid.text("level").unwrap_or_default(),
        raid.int("spares").unwrap_or(0),
        raid,
        report,
    );
    let path = raid.at("devices");
    for (i, device) in raid.list("devices").iter().enumerate() {
        absolute(device.as_str().unwrap_or_default(), &path.index(i), report);
    }
}

/// The rule of a unit.
pub(crate) fn unit(unit: &View<'_>, report: &mut Report) {
    let name = unit.text("name").unwrap_or_default();
    check_unit_name(name, &unit.at("name"), report);
    let at = unit.at("contents");
    let Some(syntax) = check_contents(unit.text("contents"), &at, report) else {
        return;
    };
    let is_enabled = unit.is_set("enable") || unit.is_set("enabled");
    if is_enabled && unit.filled("contents").is_some() && !syntax.has_install {
        report.warn(
            &at,
            Fault::Unit,
            format!("unit {} is enabled, but has no [Install] section", shorten(name)),
        );
    }
}

/// What the step from 2.x to 3.x refuses (`MCO render 2.6`): only `core` can be set up after the first
/// boot, and only the root file system can be written to.
pub(crate) fn upward(config: &View<'_>, report: &mut Report) {
    let section = config.at("passwd");
    let path = section.field("users");
    for (i, user) in config
        .inner("passwd")
        .into_iter()
        .flat_map(|passwd| passwd.objects("users"))
        .enumerate()
    {
        let name = user.text("name").unwrap_or_default();
        if name != "core" {
            let message = format!("user {} in a 2.x config: only core is supported", shorten(name));
            report.error(&path.index(i).field("name"), Fault::User, message);
        }
    }
    let Some(storage) = config.inner("storage") else {
        return;
    };
    let section = config.at("storage");
    let path = section.field("filesystems");
    for (i, filesystem) in storage.objects("filesystems").enumerate() {
        let name = filesystem.text("name").unwrap_or_default();
        if name != "root" {
            let message = format!(
                "file system {} has no place in a 3.x config: only root has",
                shorten(name)
            );
            report.error(&path.index(i).field("name"), Fault::Deprecated, message);
        }
    }
    let path = section.field("disks");
    for (i, disk) in storage.objects("disks").enumerate() {
        if !disk.list("partitions").is_empty() {
            let message =
                "2.x partitions are measured in sectors: write a 3.x config with sizeMiB and startMiB";
            report.error(&path.index(i).field("partitions"), Fault::Deprecated, message);
        }
    }
}
