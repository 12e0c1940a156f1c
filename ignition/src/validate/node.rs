//! Files, directories and links: what each must be, and what they must be to one another.

use std::collections::HashSet;

use super::{Report, View, shorten};
use crate::path::Path;
use crate::problem::Kind as Fault;
use crate::version::Spec;

/// The bits of a mode besides reading, writing and executing: setuid, setgid, sticky.
pub(crate) const SPECIAL_BITS: i64 = 0o7000;
/// The largest mode there is.
const LARGEST_MODE: i64 = 0o7777;
/// Where units are written.
const UNIT_DIRECTORY: &str = "/etc/systemd/system/";

/// Why a path may not be used; `None` when it may: it is absolute and clean.
pub(super) fn path_fault(path: &str) -> Option<String> {
    if path.is_empty() {
        return Some("a path is needed".to_owned());
    }
    let Some(relative) = path.strip_prefix('/') else {
        return Some(format!("{} is not absolute: begin it with /", shorten(path)));
    };
    let clean = relative.is_empty() || relative.split('/').all(|part| !matches!(part, "" | "." | ".."));
    (!clean).then(|| {
        format!(
            "{} is not clean: no //, no . or .. part, no / at the end",
            shorten(path)
        )
    })
}

/// Reports a path field that is not absolute and clean.
pub(super) fn check_path(path: &str, at: &Path<'_>, report: &mut Report) {
    if let Some(fault) = path_fault(path) {
        report.error(at, Fault::Path, fault);
    }
}

/// The rule of a file.
pub(crate) fn file(file: &View<'_>, report: &mut Report) {
    node(file, report);
    mode(file, report);
    if file.is_set("overwrite")
        && file
            .inner("contents")
            .is_none_or(|contents| !contents.has("source"))
    {
        report.error(
            &file.at("overwrite"),
            Fault::Conflict,
            "overwrite must not be true without contents.source: give the contents (\"data:,\" for an empty file)",
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
    if link.filled("target").is_none() {
        report.error(&link.at("target"), Fault::Missing, "a link needs a target");
        return;
    }
    if !link.is_set("hard") {
        return;
    }
    for owner in ["user", "group"] {
        let Some(view) = link.inner(owner) else { continue };
        if view.has("id") || view.has("name") {
            report.warn(
                &link.at(owner),
                Fault::Conflict,
                "a hard link has the owner of its target",
            );
        }
    }
}

/// The rule of a user or group of a node.
pub(crate) fn owner(owner: &View<'_>, report: &mut Report) {
    if owner.has("id") && owner.filled("name").is_some() {
        report.error(
            owner.path,
            Fault::Conflict,
            "id and name must not both be set: keep one of them",
        );
    }
}

fn node(node: &View<'_>, report: &mut Report) {
    check_path(node.text("path").unwrap_or_default(), &node.at("path"), report);
}

fn mode(node: &View<'_>, report: &mut Report) {
    let Some(mode) = node.int("mode") else { return };
    if !(0..=LARGEST_MODE).contains(&mode) {
        let message =
            format!("mode {mode} is out of range: at most 0o7777, written in decimal (0644 is 420)");
        report.error(&node.at("mode"), Fault::Mode, message);
    } else if mode & SPECIAL_BITS != 0 && node.spec < Spec::V3_6 {
        report.warn(
            &node.at("mode"),
            Fault::Mode,
            format!("mode {mode:#o}: setuid, setgid and sticky bits have no effect before version 3.6.0"),
        );
    }
}

/// File modes beyond 0777, with the path of the file in the message.
pub(super) fn special_modes(config: &View<'_>, report: &mut Report) {
    let storage = Path::Root.field("storage");
    let files = storage.field("files");
    let Some(section) = config.inner("storage") else {
        return;
    };
    for (i, file) in section.list("files").iter().enumerate() {
        let Some(mode) = file.get("mode").and_then(crate::tree::Value::as_i64) else {
            continue;
        };
        if mode > 0o777 {
            let path = file
                .get("path")
                .and_then(crate::tree::Value::as_str)
                .unwrap_or_default();
            let message = format!(
                "mode {mode} ({mode:#o}) of {}: at most 0o777 can be set, written in decimal (0644 is 420)",
                shorten(path)
            );
            report.error(&files.index(i).field("mode"), Fault::Mode, message);
        }
    }
}

/// The rule of the storage section: no node lies below a link that the config makes, and no hard link
/// leads to a directory that it makes.
pub(crate) fn links(storage: &View<'_>, report: &mut Report) {
    let links: HashSet<&str> = storage
        .objects("links")
        .filter_map(|link| link.text("path"))
        .collect();
    if links.is_empty() {
        return;
    }
    for list in ["directories", "files", "links"] {
        let path = storage.at(list);
        for (i, node) in storage.objects(list).enumerate() {
            let own = node.text("path").unwrap_or_default();
            if let Some(link) = ancestors(own).find(|ancestor| links.contains(ancestor)) {
                report.error(
                    &path.index(i),
                    Fault::Path,
                    format!(
                        "{} lies below the link {}: use the link's target",
                        shorten(own),
                        shorten(link)
                    ),
                );
            }
        }
    }
    hard_links(storage, report);
}

/// The paths above a path, as text: what stands before each `/` in it.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(i, _)| &path[..i])
}

fn hard_links(storage: &View<'_>, report: &mut Report) {
    let directories: HashSet<&str> = storage
        .objects("directories")
        .filter_map(|d| d.text("path"))
        .collect();
    let path = storage.at("links");
    for (i, link) in storage.objects("links").enumerate() {
        let (Some(own), Some(target), true) = (link.text("path"), link.filled("target"), link.is_set("hard"))
        else {
            continue;
        };
        // A relative target is joined to the link's own path (`Ignition spec 3.5`, its storage rule).
        let target = if target.starts_with('/') {
            clean(target)
        } else {
            clean(&format!("{own}/{target}"))
        };
        if directories.contains(target.as_str()) {
            report.error(
                &path.index(i),
                Fault::Conflict,
                format!(
                    "a hard link cannot lead to the directory {}: make it a symbolic link",
                    shorten(&target)
                ),
            );
        }
    }
}

/// An absolute path without `//`, `.`, `..` and a slash at the end.
pub(crate) fn clean(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The rule of a config: no node stands where a unit or drop-in is written.
pub(crate) fn units_and_nodes(config: &View<'_>, report: &mut Report) {
    let written: HashSet<String> = config
        .inner("systemd")
        .into_iter()
        .flat_map(|systemd| systemd.objects("units"))
        .flat_map(unit_paths)
        .collect();
    let Some(storage) = config.inner("storage").filter(|_| !written.is_empty()) else {
        return;
    };
    let section = config.at("storage");
    for list in ["files", "directories", "links"] {
        let path = section.field(list);
        for (i, node) in storage.objects(list).enumerate() {
            let own = node.text("path").unwrap_or_default();
            if written.contains(own) {
                report.error(
                    &path.index(i).field("path"),
                    Fault::Duplicate,
                    format!(
                        "{} is written by a unit or drop-in of this config: keep one of them",
                        shorten(own)
                    ),
                );
            }
        }
    }
}

/// The paths a unit and its drop-ins are written to: those with contents.
fn unit_paths(unit: View<'_>) -> Vec<String> {
    let name = unit.text("name").unwrap_or_default();
    let own = unit.filled("contents").map(|_| format!("{UNIT_DIRECTORY}{name}"));
    let dropins = unit
        .objects("dropins")
        .filter(|dropin| dropin.filled("contents").is_some());
    let dropins = dropins.map(|dropin| {
        format!(
            "{UNIT_DIRECTORY}{name}.d/{}",
            dropin.text("name").unwrap_or_default()
        )
    });
    own.into_iter().chain(dropins).collect()
}
