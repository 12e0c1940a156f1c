//! What was compared in one case: differences with a diff, and the rules that excused one.

use std::collections::BTreeSet;
use std::fmt::Debug;

use anyhow::{Result, anyhow};
use serde_json::Value;
use similar::TextDiff;

use super::deviations::{Deviations, Rule};
use super::mentions;

/// Collects the outcome of one case.
#[derive(Debug)]
pub(crate) struct Checks<'a> {
    family: &'a str,
    deviations: &'a Deviations,
    differences: Vec<String>,
    applied: BTreeSet<&'static str>,
}

impl<'a> Checks<'a> {
    pub(crate) fn new(family: &'a str, deviations: &'a Deviations) -> Self {
        Self {
            family,
            deviations,
            differences: Vec::new(),
            applied: BTreeSet::new(),
        }
    }

    /// The rules that were needed, or every difference.
    pub(crate) fn verdict(self) -> Result<Vec<String>> {
        if self.differences.is_empty() {
            return Ok(self.applied.into_iter().map(str::to_owned).collect());
        }
        Err(anyhow!(self.differences.join("\n")))
    }

    /// Whether the deviations file lists `rule` for this family. To be asked only when the rule's condition holds.
    pub(crate) fn deviates(&mut self, rule: Rule) -> bool {
        let listed = self.deviations.allows(self.family, rule);
        if listed {
            self.applied.insert(rule.name());
        }
        listed
    }

    /// A difference in words.
    pub(crate) fn differs(&mut self, what: impl Into<String>) {
        self.differences.push(what.into());
    }

    /// Values that must be equal.
    pub(crate) fn equal<T: PartialEq + Debug + ?Sized>(&mut self, what: &str, expected: &T, ours: &T) {
        if expected != ours {
            self.differs(diff(what, &format!("{expected:#?}\n"), &format!("{ours:#?}\n")));
        }
    }

    /// Bytes that must be equal; JSON is shown pretty, as long as that shows the difference.
    pub(crate) fn bytes(&mut self, what: &str, expected: &str, ours: &str) {
        if expected == ours {
            return;
        }
        let (pretty_expected, pretty_ours) = (pretty(expected), pretty(ours));
        if pretty_expected == pretty_ours {
            self.differs(diff(what, &cut(expected, ours), &cut(ours, expected)));
        } else {
            self.differs(diff(what, &pretty_expected, &pretty_ours));
        }
    }

    /// Something the reference refuses with `expected`: ours is to refuse it as well, by a `message` that names what the reference
    /// names.
    pub(crate) fn refused(&mut self, what: &str, expected: &str, message: Option<&str>) {
        let Some(message) = message else {
            return self.differs(format!("{what}: accepted, the reference refuses it: {expected}"));
        };
        for missing in mentions::missing(expected, message) {
            self.differs(format!(
                "{what}: our message does not name {missing}\n  reference: {expected}\n  ours:      {message}"
            ));
        }
    }
}

fn pretty(text: &str) -> String {
    let value: Result<Value, _> = serde_json::from_str(text);
    value
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| text.to_owned())
}

/// The part of `text` around the first byte in which it differs from `other`.
fn cut(text: &str, other: &str) -> String {
    let same = text
        .chars()
        .zip(other.chars())
        .take_while(|(a, b)| a == b)
        .count();
    let around: String = text.chars().skip(same.saturating_sub(60)).take(180).collect();
    format!("… at character {same}: {around} …")
}

fn diff(what: &str, expected: &str, ours: &str) -> String {
    let diff = TextDiff::from_lines(expected, ours);
    format!(
        "{what} differs:\n{}",
        diff.unified_diff().context_radius(3).header("reference", "ours")
    )
}

#[cfg(test)]
mod tests {
    use super::{Checks, Deviations};

    #[test]
    fn equal_bytes_pass_and_others_show_where_they_differ() {
        let deviations = Deviations::default();
        let mut checks = Checks::new("render", &deviations);
        checks.bytes("spec", "{\"a\":1}", "{\"a\":1}");
        assert_eq!(checks.verdict().unwrap(), Vec::<String>::new());

        let mut checks = Checks::new("render", &deviations);
        checks.bytes("spec", "{\"a\":1}", "{\"a\":2}");
        let text = checks.verdict().unwrap_err().to_string();
        assert!(
            text.contains("-  \"a\": 1") && text.contains("+  \"a\": 2"),
            "{text}"
        );

        let mut checks = Checks::new("render", &deviations);
        checks.bytes("spec", "{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}");
        assert!(
            checks
                .verdict()
                .unwrap_err()
                .to_string()
                .contains("at character 2")
        );
    }

    #[test]
    fn acceptance_of_what_the_reference_refuses_is_a_difference() {
        let deviations = Deviations::default();
        let mut checks = Checks::new("render-errors", &deviations);
        checks.refused("render", "kernelType=rt is invalid", None);
        assert!(checks.verdict().is_err());
    }
}
