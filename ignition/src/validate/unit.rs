//! systemd units and their drop-ins.

use std::collections::HashMap;

use super::unit_syntax::{self, Syntax};
use super::{Report, View, shorten};
use crate::path::Path;
use crate::problem::Kind as Fault;

/// What a unit's name may end in.
const SUFFIXES: [&str; 12] = [
    "service",
    "socket",
    "device",
    "mount",
    "automount",
    "swap",
    "target",
    "path",
    "timer",
    "snapshot",
    "slice",
    "scope",
];

/// The rule of a unit.
pub(crate) fn unit(unit: &View<'_>, report: &mut Report) {
    let name = unit.text("name").unwrap_or_default();
    check_unit_name(name, &unit.at("name"), report);
    let at = unit.at("contents");
    let Some(syntax) = check_contents(unit.text("contents"), &at, report) else {
        return;
    };
    if unit.is_set("enabled") && unit.filled("contents").is_some() && !syntax.has_install {
        report.warn(
            &at,
            Fault::Unit,
            format!("unit {} is enabled, but has no [Install] section", shorten(name)),
        );
    }
}

/// The rule of a drop-in.
pub(crate) fn dropin(dropin: &View<'_>, report: &mut Report) {
    check_contents(dropin.text("contents"), &dropin.at("contents"), report);
    check_name(
        dropin.text("name").unwrap_or_default(),
        &["conf"],
        &dropin.at("name"),
        report,
    );
}

/// The rule of the systemd section: an enabled instance needs a template that can be installed.
pub(crate) fn instances(systemd: &View<'_>, report: &mut Report) {
    let units: HashMap<&str, View<'_>> = systemd
        .objects("units")
        .map(|unit| (unit.text("name").unwrap_or_default(), unit))
        .collect();
    let path = systemd.at("units");
    for (i, unit) in systemd.objects("units").enumerate() {
        let name = unit.text("name").unwrap_or_default();
        let Some(template) = template_of(name).filter(|_| unit.is_set("enabled")) else {
            continue;
        };
        let Some(contents) = units
            .get(template.as_str())
            .and_then(|unit| unit.filled("contents"))
        else {
            continue;
        };
        // A template that does not parse is reported where it stands.
        if unit_syntax::read(contents).is_ok_and(|syntax| !syntax.has_install) {
            report.warn(
                &path.index(i).field("contents"),
                Fault::Unit,
                format!(
                    "instance {} is enabled, but its template {template:?} has no [Install] section",
                    shorten(name)
                ),
            );
        }
    }
}

/// The template `a@.service` of an instance `a@b.service`.
fn template_of(name: &str) -> Option<String> {
    let stem = name.strip_suffix(".service")?;
    // Something stands before the @ and after it.
    let at = stem
        .match_indices('@')
        .map(|(i, _)| i)
        .find(|i| *i > 0 && i + 1 < stem.len())?;
    Some(format!("{}@.service", &stem[..at]))
}

/// Reports a unit's name that systemd does not know.
pub(super) fn check_unit_name(name: &str, at: &Path<'_>, report: &mut Report) {
    check_name(name, &SUFFIXES, at, report);
}

/// Reports a name without one of the suffixes, or one that would lead to another directory.
fn check_name(name: &str, suffixes: &[&str], at: &Path<'_>, report: &mut Report) {
    let suffix = name.rsplit_once('.').map(|(_, suffix)| suffix);
    if !suffix.is_some_and(|suffix| suffixes.contains(&suffix)) {
        report.error(
            at,
            Fault::Unit,
            format!("name {} must end in .{}", shorten(name), suffixes.join(", .")),
        );
    } else if name.contains('/') {
        report.error(
            at,
            Fault::Unit,
            format!("name {} must not hold a slash", shorten(name)),
        );
    }
}

/// Reports contents that do not parse.
pub(super) fn check_contents(contents: Option<&str>, at: &Path<'_>, report: &mut Report) -> Option<Syntax> {
    match unit_syntax::read(contents.unwrap_or_default()) {
        Ok(syntax) => Some(syntax),
        Err(fault) => {
            report.error(
                at,
                Fault::Unit,
                format!("the contents do not parse as a unit: {fault}"),
            );
            None
        }
    }
}
