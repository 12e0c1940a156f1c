//! Disks, partitions, arrays, file systems and encrypted volumes.

use std::collections::{HashMap, HashSet};

use super::node::check_path;
use super::{Report, View, shorten};
use crate::problem::Kind as Fault;
use crate::version::Spec;

/// The longest label of a partition: the name in a GPT entry has 36 characters.
const PARTITION_LABEL_MAX: usize = 36;
/// The longest label of a LUKS2 header, which has 48 bytes with the zero.
const LUKS_LABEL_MAX: usize = 47;

/// The rule of the storage section.
pub(crate) fn storage(storage: &View<'_>, report: &mut Report) {
    super::node::links(storage, report);
    overwritten_disks(storage, report);
}

/// File systems made on a disk that also gets partitions or loses its table.
fn overwritten_disks(storage: &View<'_>, report: &mut Report) {
    let disks: HashMap<&str, View<'_>> = storage
        .objects("disks")
        .map(|disk| (disk.text("device").unwrap_or_default(), disk))
        .collect();
    let path = storage.at("filesystems");
    for (i, filesystem) in storage.objects("filesystems").enumerate() {
        let Some(disk) = disks.get(filesystem.text("device").unwrap_or_default()) else {
            continue;
        };
        let warning = if !disk.list("partitions").is_empty() {
            "the file system overwrites the disk's partitions"
        } else if !filesystem.is_set("wipeFilesystem") && disk.is_set("wipeTable") {
            "wipeTable of the disk wipes the file system, though wipeFilesystem is not set"
        } else {
            continue;
        };
        report.warn(&path.index(i).field("device"), Fault::Conflict, warning);
    }
}

/// The rule of a disk.
pub(crate) fn disk(disk: &View<'_>, report: &mut Report) {
    let device = disk.text("device").unwrap_or_default();
    if device.is_empty() {
        report.error(&disk.at("device"), Fault::Missing, "a disk needs a device");
        return;
    }
    check_path(device, &disk.at("device"), report);
    let partitions: Vec<View<'_>> = disk.objects("partitions").collect();
    repeated_partitions(disk, &partitions, report);
    overlapping_partitions(disk, &partitions, report);
    let is_removed = |p: &View<'_>| p.flag("shouldExist") == Some(false);
    let is_unnumbered = |p: &View<'_>| p.int("number").unwrap_or(0) == 0;
    if partitions.iter().any(is_removed) && partitions.iter().any(is_unnumbered) {
        report.error(
            &disk.at("partitions"),
            Fault::Conflict,
            "partitions without a number cannot be used with shouldExist: false: number them all",
        );
    }
}

fn repeated_partitions(disk: &View<'_>, partitions: &[View<'_>], report: &mut Report) {
    let path = disk.at("partitions");
    let mut numbers = HashSet::new();
    let mut labels = HashSet::new();
    for (i, partition) in partitions.iter().enumerate() {
        let number = partition.int("number").unwrap_or(0);
        if number != 0 && !numbers.insert(number) {
            report.error(
                &path.index(i).field("number"),
                Fault::Duplicate,
                format!("partition {number} is defined twice"),
            );
        }
        let label = partition.text("label");
        if label.is_some_and(|label| !labels.insert(label)) {
            let label = shorten(label.unwrap_or_default());
            report.error(
                &path.index(i).field("label"),
                Fault::Duplicate,
                format!("label {label} is used twice"),
            );
        }
    }
}

fn overlapping_partitions(disk: &View<'_>, partitions: &[View<'_>], report: &mut Report) {
    // Those without an explicit start are placed where there is room. A size of zero fills what is left.
    let mut ranges: Vec<(i64, i64, usize)> = (partitions.iter().enumerate())
        .filter_map(|(i, partition)| {
            let (start, size) = (partition.int("startMiB")?, partition.int("sizeMiB")?);
            let end = if size == 0 {
                start
            } else {
                start.saturating_add(size).saturating_sub(1)
            };
            (start != 0).then_some((start, end, i))
        })
        .collect();
    ranges.sort_unstable();
    let mut reached: Option<i64> = None;
    let path = disk.at("partitions");
    for (start, end, i) in ranges {
        if reached.is_some_and(|reached| start <= reached) {
            report.error(
                &path.index(i),
                Fault::Conflict,
                "the partition overlaps another: mend startMiB or sizeMiB",
            );
        }
        reached = reached.max(Some(end));
    }
}

/// The rule of a partition.
pub(crate) fn partition(partition: &View<'_>, report: &mut Report) {
    let is_described = partition.has("label")
        || partition.filled("typeGuid").is_some()
        || partition.filled("guid").is_some()
        || partition.has("startMiB")
        || partition.has("sizeMiB");
    if partition.flag("shouldExist") == Some(false) && is_described {
        let message = "a partition with shouldExist: false has a number and nothing else";
        report.error(partition.path, Fault::Conflict, message);
    }
    if partition.int("number").unwrap_or(0) == 0 && !partition.has("label") {
        let message = "a partition needs a number or a label";
        report.error(partition.path, Fault::Missing, message);
    }
    let label = partition.text("label").unwrap_or_default();
    if label.len() > PARTITION_LABEL_MAX {
        report.error(
            &partition.at("label"),
            Fault::Value,
            "a partition's label has at most 36 characters",
        );
    } else if label.contains(':') {
        report.error(
            &partition.at("label"),
            Fault::Value,
            "a partition's label holds no colon",
        );
    }
    for name in ["guid", "typeGuid"] {
        if !partition.text(name).is_none_or(is_guid) {
            report.error(
                &partition.at(name),
                Fault::Value,
                "not of the form 01234567-89AB-CDEF-EDCB-A98765432101",
            );
        }
    }
}

/// Whether a text is a GUID, or empty.
pub(super) fn is_guid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let is_hex = |group: &&str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    text.is_empty() || (lengths == [8, 4, 4, 4, 12] && groups.iter().all(is_hex))
}

/// The rule of a file system.
pub(crate) fn filesystem(filesystem: &View<'_>, report: &mut Report) {
    if let Some(path) = filesystem.filled("path") {
        check_path(path, &filesystem.at("path"), report);
    }
    check_path(
        filesystem.text("device").unwrap_or_default(),
        &filesystem.at("device"),
        report,
    );
    let label = filesystem.filled("label");
    match filesystem.filled("format") {
        None => missing_format(filesystem, report),
        Some(format) => {
            if !is_format(format, filesystem.spec) {
                let formats = "ext4, btrfs, xfs, swap, vfat, and from 3.3.0 on none";
                let message = format!(
                    "unknown format {} of a file system: there are {formats}",
                    shorten(format)
                );
                report.error(&filesystem.at("format"), Fault::Value, message);
            }
            if let Some(longest) =
                label_max(format).filter(|longest| label.is_some_and(|l| l.len() > *longest))
            {
                let message = format!("a label of {format} has at most {longest} bytes");
                report.error(&filesystem.at("label"), Fault::Value, message);
            }
        }
    }
}

fn missing_format(filesystem: &View<'_>, report: &mut Report) {
    let is_described = ["path", "label", "uuid"]
        .into_iter()
        .any(|name| filesystem.filled(name).is_some())
        || filesystem.is_set("wipeFilesystem")
        || !filesystem.list("mountOptions").is_empty()
        || !filesystem.list("options").is_empty();
    if is_described {
        let message = "a format is needed with path, label, uuid, wipeFilesystem, options or mountOptions";
        report.error(&filesystem.at("format"), Fault::Missing, message);
    }
}

/// Whether file systems of this format are made.
pub(super) fn is_format(format: &str, spec: Spec) -> bool {
    match format {
        "ext4" | "btrfs" | "xfs" => true,
        "swap" | "vfat" => spec >= Spec::V2_1,
        "none" => spec >= Spec::V3_3,
        _ => false,
    }
}

/// The longest label of a format, in bytes.
pub(super) fn label_max(format: &str) -> Option<usize> {
    match format {
        "ext4" => Some(16),
        "btrfs" => Some(256),
        "xfs" => Some(12),
        "swap" => Some(15),
        "vfat" => Some(11),
        _ => None,
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
    if raid.list("devices").is_empty() {
        report.error(&raid.at("devices"), Fault::Missing, "an array needs devices");
    }
    let path = raid.at("devices");
    for (i, device) in raid.list("devices").iter().enumerate() {
        check_path(device.as_str().unwrap_or_default(), &path.index(i), report);
    }
}

/// Reports an unknown level, or spares where there can be none.
pub(super) fn check_level(level: &str, spares: i64, raid: &View<'_>, report: &mut Report) {
    match level {
        "linear" | "raid0" | "0" | "stripe" if spares != 0 => {
            report.error(
                &raid.at("level"),
                Fault::Conflict,
                format!("an array of level {level} has no spares"),
            );
        }
        "linear" | "raid0" | "0" | "stripe" | "raid1" | "1" | "mirror" | "raid4" | "4" | "raid5" | "5"
        | "raid6" | "6" | "raid10" | "10" => {}
        "" => report.error(&raid.at("level"), Fault::Missing, "an array needs a level"),
        other => report.error(
            &raid.at("level"),
            Fault::Value,
            format!(
                "unknown level {} of an array: there are linear, raid0, 1, 4, 5, 6 and 10",
                shorten(other)
            ),
        ),
    }
}

/// The rule of an encrypted volume.
pub(crate) fn luks(luks: &View<'_>, report: &mut Report) {
    if luks.text("name").is_some_and(|name| name.contains('/')) {
        report.error(
            &luks.at("name"),
            Fault::Value,
            "a LUKS volume's name holds no slash",
        );
    }
    if luks
        .text("label")
        .is_some_and(|label| label.len() > LUKS_LABEL_MAX)
    {
        report.error(
            &luks.at("label"),
            Fault::Value,
            "a LUKS volume's label has at most 47 bytes",
        );
    }
    match luks.filled("device") {
        None => report.error(&luks.at("device"), Fault::Missing, "a LUKS volume needs a device"),
        Some(device) => check_path(device, &luks.at("device"), report),
    }
    unlocking(luks, report);
}

/// A volume is unlocked in one way.
fn unlocking(luks: &View<'_>, report: &mut Report) {
    let clevis = luks.inner("clevis");
    let has_custom = clevis
        .and_then(|clevis| clevis.inner("custom"))
        .is_some_and(|custom| custom.filled("pin").is_some());
    let has_other = clevis.is_some_and(|clevis| {
        !clevis.list("tang").is_empty() || clevis.is_set("tpm2") || clevis.int("threshold").unwrap_or(0) != 0
    });
    if has_custom && has_other {
        let message = "a custom clevis pin cannot be used with tang, tpm2 or threshold: keep one of them";
        report.error(&luks.at("clevis"), Fault::Conflict, message);
    }
    if !luks.inner("cex").is_some_and(|cex| cex.is_set("enabled")) {
        return;
    }
    if has_custom || has_other {
        let message = "cex cannot be used with clevis: keep one of them";
        report.error(&luks.at("cex"), Fault::Conflict, message);
    }
    let has_key = luks
        .inner("keyFile")
        .is_some_and(|key| key.filled("source").is_some());
    if has_key {
        let message = "cex cannot be used with a key file: keep one of them";
        report.error(&luks.at("cex"), Fault::Conflict, message);
    }
}

/// The rule of a custom clevis pin.
pub(crate) fn clevis_custom(custom: &View<'_>, report: &mut Report) {
    let (pin, config) = (custom.filled("pin"), custom.filled("config"));
    if pin.is_none() && config.is_none() && !custom.is_set("needsNetwork") {
        return;
    }
    match pin {
        None => report.error(
            &custom.at("pin"),
            Fault::Missing,
            "a custom clevis pin needs a pin",
        ),
        Some("tpm2" | "tang" | "sss") => {}
        Some(_) if custom.spec >= Spec::V3_6 => {}
        Some(other) => report.error(
            &custom.at("pin"),
            Fault::Value,
            format!(
                "unknown clevis pin {}: before version 3.6.0 there are tpm2, tang and sss",
                shorten(other)
            ),
        ),
    }
    if config.is_none() {
        report.error(
            &custom.at("config"),
            Fault::Missing,
            "a custom clevis pin needs a config",
        );
    }
}
