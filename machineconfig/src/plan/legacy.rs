//! The table that decides on first boot, when no policy can be read yet (MCO daemon 4.2).

use std::fmt;

use crate::{Finding, RenderedConfig};

/// The one action of the first-boot table. Displays as the reference names it: `none`, `reload crio`, `restart crio`, `reboot`.
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

/// Decides by the first-boot table. Fails when registries.conf decides and cannot be read.
pub fn legacy(current: &RenderedConfig, desired: &RenderedConfig) -> Result<Legacy, Finding> {
    let _ = (current, desired);
    todo!()
}
