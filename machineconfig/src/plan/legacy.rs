//! The table that decides on first boot, when no policy can be read yet (MCO daemon 4.2).

use std::fmt;

use super::drain::registries_reasons;
use super::lists::{both, section};
use super::system;
use crate::{RenderedConfig, registries};

/// The one action of the first-boot table, the least disturbing first. Displays as the reference names it: `none`, `reload crio`, `restart crio`, `reboot`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LegacyAction {
    /// Nothing.
    None,
    /// Reload crio.
    ReloadCrio,
    /// Update the CA trust and restart crio.
    RestartCrio,
    /// Reboot.
    Reboot,
}

impl fmt::Display for LegacyAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LegacyAction::None => "none",
            LegacyAction::ReloadCrio => "reload crio",
            LegacyAction::RestartCrio => "restart crio",
            LegacyAction::Reboot => "reboot",
        })
    }
}

/// What the first-boot table says about a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Legacy {
    /// What to do.
    pub action: LegacyAction,
    /// Whether to drain first.
    pub drain: bool,
}

/// What the table says about files, by path. Directories stand for what is directly in them.
const NONE: &[&str] = &["/etc/kubernetes/kubelet-ca.crt", "/var/lib/kubelet/config.json"];
const NONE_DIRECTORIES: &[&str] = &["/etc/nmstate/openshift"];
const RELOAD: &[&str] = &[
    registries::PATH,
    "/etc/containers/policy.json",
    "/etc/machine-config-daemon/no-reboot/containers-gpg.pub",
];
const RELOAD_DIRECTORIES: &[&str] = &["/etc/containers/registries.d"];
const RESTART: &[&str] = &["/etc/pki/ca-trust/source/anchors/openshift-config-user-ca-bundle.crt"];

/// Decides by the first-boot table. Fails when registries.conf decides about the drain and cannot be read.
pub fn legacy(current: &RenderedConfig, desired: &RenderedConfig) -> Result<Legacy, registries::Unreadable> {
    let files = |config| section(config, "/storage/files");
    let pairs = both(files(&current.ignition), files(&desired.ignition), "path");
    let changed: Vec<_> = pairs
        .iter()
        .filter(|(_, (old, new))| old != new)
        .map(|(path, _)| *path)
        .collect();
    let units = |config| section(config, "/systemd/units");
    let units_differ = units(&current.ignition) != units(&desired.ignition);
    let action = if units_differ || system::differs(&current.spec, &desired.spec) {
        LegacyAction::Reboot
    } else {
        changed
            .iter()
            .map(|path| of_file(path))
            .max()
            .unwrap_or(LegacyAction::None)
    };
    let drain = match action {
        LegacyAction::None => false,
        LegacyAction::Reboot => true,
        LegacyAction::ReloadCrio | LegacyAction::RestartCrio => {
            changed.contains(&registries::PATH) && !registries_reasons(current, desired)?.is_empty()
        }
    };
    Ok(Legacy { action, drain })
}

fn of_file(path: &str) -> LegacyAction {
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    if RESTART.contains(&path) {
        LegacyAction::RestartCrio
    } else if RELOAD.contains(&path) || RELOAD_DIRECTORIES.contains(&directory) {
        LegacyAction::ReloadCrio
    } else if NONE.contains(&path) || NONE_DIRECTORIES.contains(&directory) {
        LegacyAction::None
    } else {
        LegacyAction::Reboot
    }
}
