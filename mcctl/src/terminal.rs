//! The way out: results to standard output, messages to standard error, colour only where it is seen.

use std::io::{self, IsTerminal as _, Write as _};

use anstyle::Style;
use clap::ColorChoice;
use machineconfig::style::Styles;

/// Where text goes, and how it is coloured there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    /// Colours of standard output.
    pub(crate) out: Styles,
    /// Colours of standard error.
    pub(crate) err: Styles,
}

/// `text` in `style`. The text must be safe to show ([`crate::escape`]).
pub(crate) fn paint(style: Style, text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("{style}{text}{style:#}")
    }
}

/// Whether `CLICOLOR_FORCE` is 0, which forces nothing. The library takes any value for yes.
fn is_not_forced() -> bool {
    std::env::var_os("CLICOLOR_FORCE").is_some_and(|value| value == "0")
}

// === impl Terminal ===

impl Terminal {
    /// Colours as asked for; `auto` means on a terminal that knows them, unless `NO_COLOR` is set, and
    /// anywhere when `CLICOLOR_FORCE` is, to anything but 0.
    pub(crate) fn new(choice: ColorChoice) -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        let decide = |auto: anstream::ColorChoice, is_terminal: bool| {
            let coloured = match choice {
                ColorChoice::Always => true,
                ColorChoice::Never => false,
                ColorChoice::Auto => {
                    auto != anstream::ColorChoice::Never && (!is_not_forced() || is_terminal)
                }
            };
            if coloured {
                Styles::coloured()
            } else {
                Styles::plain()
            }
        };
        Self {
            out: decide(anstream::AutoStream::choice(&out), out.is_terminal()),
            err: decide(anstream::AutoStream::choice(&err), err.is_terminal()),
        }
    }

    /// Writes a result. A reader that has seen enough (`| head`) is no error, so that the exit code still
    /// tells what the result was.
    pub(crate) fn print(&self, text: &str) -> anyhow::Result<()> {
        self.stream(text).map(drop)
    }

    /// Writes a part of a result that goes on. False when nobody reads it any more.
    #[expect(clippy::unused_self, reason = "a result is printed by who holds the terminal")]
    pub(crate) fn stream(&self, text: &str) -> anyhow::Result<bool> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(anyhow::Error::new(error).context("cannot write to standard output")),
        }
    }

    /// Whether somebody looks at standard output on a screen.
    #[expect(clippy::unused_self, reason = "a result is printed by who holds the terminal")]
    pub(crate) fn is_interactive(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// Writes a message. There is nobody left to tell when standard error is gone, so failures are dropped.
    #[expect(
        clippy::unused_self,
        reason = "a message is written by who holds the terminal"
    )]
    pub(crate) fn message(&self, text: &str) {
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paint_adds_nothing_without_colours_or_text() {
        assert_eq!(paint(Styles::plain().alarm, "x"), "x");
        assert_eq!(paint(Styles::coloured().alarm, ""), "");
        assert_eq!(paint(Styles::coloured().removed, "x"), "\u{1b}[31mx\u{1b}[0m");
    }

    #[test]
    fn an_explicit_choice_wins_over_the_environment() {
        assert_eq!(Terminal::new(ColorChoice::Always).out, Styles::coloured());
        assert_eq!(Terminal::new(ColorChoice::Never).err, Styles::plain());
    }
}
