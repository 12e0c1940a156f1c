//! Findings with the place they were met at, and the one style they are printed in:
//! `error[MC1108] FILE:LINE: KIND/NAME FIELD: MESSAGE` and a line with the remedy.

use std::fmt::{self, Write as _};

use anstyle::Style;
use crds::manifest::Fields;
use serde::Serialize;

use super::{Finding, Severity};
use crate::redact::printable;
use crate::style::Styles;

/// Where something was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Place {
    /// The file as the user named it, `-` for standard input, empty when unknown.
    pub file: String,
    /// Line from 1, 0 when unknown.
    pub line: usize,
    /// Column from 1, 0 when unknown.
    pub column: usize,
}

/// A finding and its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Located {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What.
    #[serde(flatten)]
    pub finding: Finding,
}

/// Puts findings about a field, placed where their object begins, at the field itself. `texts` are the files they were met in, each
/// with the name it has in [`Place::file`].
pub fn point_at_fields<'a>(findings: &mut [Located], texts: impl IntoIterator<Item = (&'a str, &'a str)>) {
    for (name, text) in texts {
        let wanting = findings.iter_mut().filter(|located| {
            let Place { file, column, .. } = &located.place;
            file == name && *column == 0 && !located.finding.field.is_empty()
        });
        let mut wanting = wanting.peekable();
        if wanting.peek().is_none() {
            continue;
        }
        let fields = Fields::of(text);
        for located in wanting {
            if let Some((line, column)) = fields.place(located.place.line, &located.finding.field) {
                (located.place.line, located.place.column) = (line, column);
            }
        }
    }
}

// === impl Place ===

impl Place {
    /// A whole file.
    #[must_use]
    pub fn file(name: impl Into<String>) -> Self {
        Self {
            file: name.into(),
            ..Self::default()
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.file))?;
        let mut numbers = [self.line, self.column].into_iter().take_while(|n| *n > 0);
        numbers.try_for_each(|number| write!(f, ":{number}"))
    }
}

// === impl Located ===

impl Located {
    /// Whether it refuses its object.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.finding.severity == Severity::Error
    }

    /// The finding in the style of all findings, ending in a newline.
    #[must_use]
    pub fn show(&self, styles: &Styles) -> String {
        let Finding {
            code,
            severity,
            object,
            field,
            message,
            remedy,
        } = &self.finding;
        let (style, word) = match severity {
            Severity::Error => (styles.alarm, "error"),
            Severity::Warning => (styles.caution, "warning"),
        };
        let mut text = paint(style, &format!("{word}[{code}]"));
        if !self.place.file.is_empty() {
            let _ = write!(text, " {}:", self.place);
        }
        let subject = [object.as_str(), field.as_str()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        if !subject.is_empty() {
            let _ = write!(text, " {}:", paint(styles.strong, &printable(&subject)));
        }
        let _ = writeln!(text, " {}", printable(message));
        if !remedy.is_empty() {
            let _ = writeln!(text, "  help: {}", printable(remedy));
        }
        text
    }
}

/// `text` in `style`. The text must be safe to show ([`printable`]).
fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    fn located(severity: Severity, object: &str, field: &str, remedy: &str, place: Place) -> Located {
        Located {
            place,
            finding: Finding {
                code: Code(1108),
                severity,
                object: object.into(),
                field: field.into(),
                message: "mode 01777 is too wide".into(),
                remedy: remedy.into(),
            },
        }
    }

    #[test]
    fn a_finding_names_its_code_place_object_field_and_remedy() {
        let place = Place {
            file: "a/b.yaml".into(),
            line: 12,
            column: 3,
        };
        let table = [
            (
                located(
                    Severity::Error,
                    "MachineConfig/x",
                    "spec.config",
                    "Use 0777.",
                    place,
                ),
                "error[MC1108] a/b.yaml:12:3: MachineConfig/x spec.config: mode 01777 is too wide\n  help: Use 0777.\n",
            ),
            (
                located(Severity::Warning, "MachineConfig/x", "", "", Place::file("-")),
                "warning[MC1108] -: MachineConfig/x: mode 01777 is too wide\n",
            ),
            (
                located(Severity::Error, "", "", "", Place::default()),
                "error[MC1108] mode 01777 is too wide\n",
            ),
        ];
        for (finding, expected) in table {
            assert_eq!(finding.show(&Styles::plain()), expected);
        }
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        let hostile = located(
            Severity::Error,
            "MachineConfig/\u{1b}[2J",
            "",
            "",
            Place::file("\u{1b}]0;x\u{7}"),
        );
        assert!(!hostile.show(&Styles::plain()).contains('\u{1b}'));
    }
}
