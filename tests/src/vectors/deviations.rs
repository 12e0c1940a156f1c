//! Where we differ from the reference on purpose: the rules the runner knows, and the file that puts them in force with their reasons.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// A rule by which an answer of ours may differ. Its condition, in terms of a case's data, is checked where the family is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// A change of actions that the reference lists repeatedly.
    ActionsOnce,
    /// A pool of arbiters where the control plane is not said to have any.
    ArbiterWithoutTopology,
    /// The reference blames a MachineConfig that does not change.
    BlameByProvenance,
    /// The current config can be read but is invalid.
    BrokenConfigIsLeft,
    /// A MachineConfigNode whose conditions contradict each other.
    ConditionsByType,
    /// A body with the MachineConfig itself, which the server appends for reading.
    ContentMode,
    /// The converter is given a 2.x config.
    ConvertFrom2x,
    /// Degraded nodes that the reference does not count, and says nothing of.
    DegradedByName,
    /// A file has neither contents nor an overwrite of its own.
    FileWithoutContents,
    /// A 3.6.0 config that holds nothing 3.5.0 cannot say.
    Ignition36,
    /// A body with the kubeconfig that the server appends.
    KubeconfigMode,
    /// A LUKS volume with `cex`, at a version below 3.5.
    LuksCex,
    /// A set of valid configs whose merged config is not valid.
    MergedInvalid,
    /// A path that begins, as text, with the mount path of a file system, at 2.2.
    MountPathComponents,
    /// A registries.conf of the current config that cannot be read.
    RegistriesCurrent,
    /// A registries.conf that is compressed.
    RegistriesGzip,
    /// A file that is declared otherwise, and whose bytes and mode stay the same.
    SameOnDisk,
    /// A node that was told the config and is not done with it.
    TaintUntilDone,
    /// A policy entry that cannot do what it says.
    UnusablePolicy,
    /// A file of the new config whose contents cannot be decoded.
    UnwritableFile,
    /// Something the reference does not look at.
    VerifyBeyond,
}

impl Rule {
    const ALL: [Rule; 21] = [
        Rule::ActionsOnce,
        Rule::ArbiterWithoutTopology,
        Rule::BlameByProvenance,
        Rule::BrokenConfigIsLeft,
        Rule::ConditionsByType,
        Rule::ContentMode,
        Rule::ConvertFrom2x,
        Rule::DegradedByName,
        Rule::FileWithoutContents,
        Rule::Ignition36,
        Rule::KubeconfigMode,
        Rule::LuksCex,
        Rule::MergedInvalid,
        Rule::MountPathComponents,
        Rule::RegistriesCurrent,
        Rule::RegistriesGzip,
        Rule::SameOnDisk,
        Rule::TaintUntilDone,
        Rule::UnusablePolicy,
        Rule::UnwritableFile,
        Rule::VerifyBeyond,
    ];

    /// The name in the file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Rule::ActionsOnce => "actions-once",
            Rule::ArbiterWithoutTopology => "arbiter-without-topology",
            Rule::BlameByProvenance => "blame-by-provenance",
            Rule::BrokenConfigIsLeft => "broken-config-is-left",
            Rule::ConditionsByType => "conditions-by-type",
            Rule::ContentMode => "content-mode",
            Rule::ConvertFrom2x => "convert-from-2x",
            Rule::DegradedByName => "degraded-by-name",
            Rule::FileWithoutContents => "file-without-contents",
            Rule::Ignition36 => "ignition-3.6",
            Rule::KubeconfigMode => "kubeconfig-mode",
            Rule::LuksCex => "luks-cex",
            Rule::MergedInvalid => "merged-invalid",
            Rule::MountPathComponents => "mount-path-components",
            Rule::RegistriesCurrent => "registries-current",
            Rule::RegistriesGzip => "registries-gzip",
            Rule::SameOnDisk => "same-on-disk",
            Rule::TaintUntilDone => "taint-until-done",
            Rule::UnusablePolicy => "unusable-policy",
            Rule::UnwritableFile => "unwritable-file",
            Rule::VerifyBeyond => "verify-beyond",
        }
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
