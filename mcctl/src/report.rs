//! Findings and notes on their way to the terminal.

use std::collections::HashSet;

use machineconfig::Finding;
use machineconfig::finding::point_at_fields;
pub(crate) use machineconfig::finding::{Located, Place};
use machineconfig::style::Styles;
use serde::Serialize;

use crate::escape;
use crate::input::Text;
use crate::terminal::{Terminal, paint};

/// Something worth knowing that is no fault: which of several MachineConfigs wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Note {
    /// The object it is about.
    pub(crate) object: String,
    /// What is worth knowing.
    pub(crate) message: String,
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

/// What a command has found so far, and the texts it was found in.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    list: Vec<Located>,
    texts: Vec<Text>,
}

// === impl Findings ===

impl Findings {
    /// Adds what was found.
    pub(crate) fn extend(&mut self, found: impl IntoIterator<Item = Located>) {
        self.list.extend(found);
    }

    /// Adds texts, in which the fields of findings are looked up.
    pub(crate) fn add_texts(&mut self, texts: Vec<Text>) {
        self.texts.extend(texts);
    }

    /// Whether one of them is an error.
    pub(crate) fn any_error(&self) -> bool {
        self.list.iter().any(Located::is_error)
    }

    /// The findings, each once, at the line and column of their field.
    pub(crate) fn settle(mut self) -> Vec<Located> {
        let texts = self
            .texts
            .iter()
            .map(|Text { name, text }| (name.as_str(), text.as_str()));
        point_at_fields(&mut self.list, texts);
        distinct(self.list)
    }

    /// Prints the findings as messages, and says whether one of them is an error.
    pub(crate) fn print(self, terminal: &Terminal) -> bool {
        let failed = self.any_error();
        print(terminal, &self.settle());
        failed
    }
}

/// Findings each once, in their order: what is wrong with an object is met again wherever it is used. A warning
/// about what an error is about too is left out.
fn distinct(findings: Vec<Located>) -> Vec<Located> {
    let mut seen = HashSet::new();
    let mut kept = findings;
    kept.retain(|located| seen.insert((located.place.clone(), located.finding.clone())));
    let subject = |located: &Located| {
        let Finding {
            code, object, field, ..
        } = &located.finding;
        (*code, object.clone(), field.clone())
    };
    let refused: HashSet<_> = kept
        .iter()
        .filter(|located| located.is_error())
        .map(subject)
        .collect();
    kept.retain(|located| located.is_error() || !refused.contains(&subject(located)));
    kept
}

/// Prints findings as messages.
pub(crate) fn print(terminal: &Terminal, findings: &[Located]) {
    for located in findings {
        terminal.message(&located.show(&terminal.err));
    }
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

    #[test]
    fn findings_are_told_once_and_errors_before_warnings() {
        let at = |line, finding| Located {
            place: Place {
                line,
                ..Place::file("a.yaml")
            },
            finding,
        };
        let error = at(1, Finding::error(Code::NO_ROLE, "MachineConfig/x", "f", "one"));
        let weaker = at(1, Finding::warning(Code::NO_ROLE, "MachineConfig/x", "f", "two"));
        let elsewhere = at(2, Finding::error(Code::NO_ROLE, "MachineConfig/x", "f", "one"));
        let other = at(1, Finding::warning(Code::NO_ROLE, "MachineConfig/x", "g", "two"));
        let all = [&weaker, &error, &other, &error, &elsewhere, &weaker].map(Clone::clone);
        assert_eq!(distinct(all.to_vec()), [error, other, elsewhere]);
    }

    #[test]
    fn counts_leave_out_what_there_is_none_of() {
        let located = |finding| Located {
            place: Place::default(),
            finding,
        };
        let error = located(Finding::error(Code::NO_NAME, "", "", ""));
        let warning = located(Finding::warning(Code::NO_NAME, "", "", ""));
        assert_eq!(count(&[]), "");
        assert_eq!(count(std::slice::from_ref(&error)), "1 error");
        assert_eq!(count(&[warning.clone(), error, warning]), "1 error, 2 warnings");
    }
}
