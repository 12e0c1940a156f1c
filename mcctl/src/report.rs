//! Findings with the place they were met at, and the one style they are printed in:
//! `error[MC1108] FILE:LINE: KIND/NAME FIELD: MESSAGE` and a line with the remedy.

use std::fmt::{self, Write as _};

use machineconfig::Finding;
use machineconfig::finding::Severity;
use machineconfig::style::Styles;
use serde::Serialize;

use crate::escape;
use crate::terminal::{Terminal, paint};

/// Where something was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Place {
    /// The file as the user named it, `-` for standard input, empty when unknown.
    pub(crate) file: String,
    /// Line from 1, 0 when unknown.
    pub(crate) line: usize,
    /// Column from 1, 0 when unknown.
    pub(crate) column: usize,
}

/// A finding and its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Located {
    /// Where.
    #[serde(flatten)]
    pub(crate) place: Place,
    /// What.
    #[serde(flatten)]
    pub(crate) finding: Finding,
}

/// Something worth knowing that is no fault: which of several MachineConfigs wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Note {
    /// The object it is about.
    pub(crate) object: String,
    /// What is worth knowing.
    pub(crate) message: String,
}

// === impl Place ===

impl Place {
    /// A whole file.
    pub(crate) fn file(name: impl Into<String>) -> Self {
        Self {
            file: name.into(),
            ..Self::default()
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape::line(&self.file))?;
        let mut numbers = [self.line, self.column].into_iter().take_while(|n| *n > 0);
        numbers.try_for_each(|number| write!(f, ":{number}"))
    }
}

// === impl Located ===

impl Located {
    /// Whether it refuses its object.
    pub(crate) fn is_error(&self) -> bool {
        self.finding.severity == Severity::Error
    }

    /// The finding in the style of all findings.
    pub(crate) fn show(&self, styles: &Styles) -> String {
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
            let _ = write!(text, " {}:", paint(styles.strong, &escape::line(&subject)));
        }
        let _ = writeln!(text, " {}", escape::line(message));
        if !remedy.is_empty() {
            let _ = writeln!(text, "  help: {}", escape::line(remedy));
        }
        text
    }
}

// === impl Note ===

impl Note {
    /// The note in the style of findings.
    pub(crate) fn show(&self, styles: &Styles) -> String {
        let word = paint(styles.faint, "note:");
        let object = paint(styles.strong, &escape::line(&self.object));
        format!("{word} {object}: {}\n", escape::line(&self.message))
    }
}

/// Prints findings as messages and says whether one of them is an error.
pub(crate) fn print(terminal: &Terminal, findings: &[Located]) -> bool {
    for located in findings {
        terminal.message(&located.show(&terminal.err));
    }
    findings.iter().any(Located::is_error)
}

/// `1 error, 2 warnings`, without what there is none of; empty when there is nothing.
pub(crate) fn count(findings: &[Located]) -> String {
    let errors = findings.iter().filter(|f| f.is_error()).count();
    let parts = [("error", errors), ("warning", findings.len() - errors)];
    let words: Vec<_> = parts
        .into_iter()
        .filter(|(_, n)| *n > 0)
        .map(|(word, n)| plural(n, word))
        .collect();
    words.join(", ")
}

/// `1 file`, `2 files`.
pub(crate) fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use machineconfig::Code;

    use super::*;

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

    #[test]
    fn counts_leave_out_what_there_is_none_of() {
        let error = located(Severity::Error, "", "", "", Place::default());
        let warning = located(Severity::Warning, "", "", "", Place::default());
        assert_eq!(count(&[]), "");
        assert_eq!(count(std::slice::from_ref(&error)), "1 error");
        assert_eq!(count(&[warning.clone(), error, warning]), "1 error, 2 warnings");
    }
}
