//! Where we differ from the reference on purpose: the rules the runner knows, and the file that puts them in force with their reasons.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// A rule by which an answer of ours may differ. Its condition, in terms of a case's data, is checked where the family is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {}

impl Rule {
    const ALL: [Rule; 0] = [];

    /// The name in the file.
    pub(crate) fn name(self) -> &'static str {
        match self {}
    }
}

/// The rules in force, by family.
#[derive(Debug, Default)]
pub struct Deviations {
    in_force: BTreeSet<(String, Rule)>,
}

#[derive(Deserialize)]
struct File {
    deviation: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    rule: String,
    families: Vec<String>,
    when: String,
    why: String,
    instead: String,
}

impl Deviations {
    /// Reads the file. A rule that is not known, twice there or without its reasons is refused.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is malformed", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let file: File = toml::from_str(text)?;
        let mut in_force = BTreeSet::new();
        for entry in file.deviation {
            let Some(rule) = Rule::ALL.into_iter().find(|rule| rule.name() == entry.rule) else {
                bail!("rule {:?} is not known", entry.rule);
            };
            if [&entry.when, &entry.why, &entry.instead]
                .iter()
                .any(|text| text.trim().is_empty())
            {
                bail!("rule {:?} must say when, why and what instead", entry.rule);
            }
            for family in entry.families {
                if !in_force.insert((family.clone(), rule)) {
                    bail!("rule {:?} is there twice for family {family}", entry.rule);
                }
            }
        }
        Ok(Self { in_force })
    }

    /// Whether `rule` is in force for `family`.
    pub(crate) fn allows(&self, family: &str, rule: Rule) -> bool {
        self.in_force.contains(&(family.to_owned(), rule))
    }
}
