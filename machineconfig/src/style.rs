//! Colours of the text forms, so that a caller decides whether there are any.

use anstyle::{AnsiColor, Style};

/// What is coloured how. [`Styles::plain`] for files and pipes, [`Styles::coloured`] for terminals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Styles {
    /// Headlines and paths.
    pub strong: Style,
    /// What is added.
    pub added: Style,
    /// What is removed.
    pub removed: Style,
    /// What disturbs: drains, reboots, refusals.
    pub alarm: Style,
    /// What deserves a look: restarts, warnings.
    pub caution: Style,
    /// Side remarks.
    pub faint: Style,
}

impl Styles {
    /// No colours.
    #[must_use]
    pub const fn plain() -> Self {
        let none = Style::new();
        Self {
            strong: none,
            added: none,
            removed: none,
            alarm: none,
            caution: none,
            faint: none,
        }
    }

    /// Colours every terminal has.
    #[must_use]
    pub const fn coloured() -> Self {
        Self {
            strong: Style::new().bold(),
            added: AnsiColor::Green.on_default(),
            removed: AnsiColor::Red.on_default(),
            alarm: AnsiColor::Red.on_default().bold(),
            caution: AnsiColor::Yellow.on_default(),
            faint: Style::new().dimmed(),
        }
    }
}
