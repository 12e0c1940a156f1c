//! Many MachineConfigs to one rendered config per pool: [`render`], and [`check`] for one MachineConfig by itself.
//!
//! Order, merge, defaults and refusals are the reference's (MCO render 2.3 to 2.8) but for these deliberate differences:
//!
//! - All that is wrong is said, not the first thing only.
//! - A set whose merged Ignition config is invalid is refused, on a pool's first render too. The reference writes such a
//!   config once and can then never leave it; most often it is a file without contents, for which it fills in `overwrite: true`.
//! - What the reference accepts and no node can apply is a warning of [`render`] and an error of [`check`] and
//!   [`render_strictly`]: contents that do not decode, or not to their hash, or that would have to be fetched.

use std::collections::BTreeMap;

use crds::{MachineConfig, MachineConfigSpec, annotations};
use ignition::Config;

use crate::{Code, Finding, Provenance, Severity};

mod blame;
mod compression;
mod contents;
mod defaults;
mod fields;
mod hashes;
mod input;
mod json;
mod outcome;
mod spelling;
mod strict;
mod tree;
mod version2;

pub use defaults::Defaults;

use fields::Fields;
use input::Input;
use outcome::{Merged, Merging};

/// The largest rendered MachineConfig, as JSON, in bytes: what etcd takes by default (MCO render 2.8).
pub const MAX_SIZE: usize = 1_572_864;

/// The size from which on a rendered MachineConfig is warned about, in bytes: 80 % of [`MAX_SIZE`].
pub const LARGE_SIZE: usize = MAX_SIZE / 5 * 4;

/// A rendered config and everything that is known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// `rendered-<pool>-<md5>`.
    pub name: String,
    /// The spec; `config` is taken out into `ignition`.
    pub spec: MachineConfigSpec,
    /// The Ignition config at 3.5.0, without anything empty.
    pub ignition: Config,
    /// The exact bytes of the spec as the reference's API client writes them.
    pub spec_json: String,
    /// Names of the inputs in merge order.
    pub sources: Vec<String>,
    /// Annotations of the rendered object.
    pub annotations: BTreeMap<String, String>,
    /// Bytes of the rendered object as JSON with its owner, without the annotation of the provenance.
    pub size: usize,
    /// Which MachineConfig every part came from.
    pub provenance: Provenance,
    /// What is doubtful, yet not refused.
    pub warnings: Vec<Finding>,
}

impl Rendered {
    /// The rendered MachineConfig object, without owner. Where its parts came from is among its annotations unless that would make
    /// it larger than [`LARGE_SIZE`]: what only explains must not be what makes a config too large.
    #[must_use]
    pub fn machine_config(&self) -> MachineConfig {
        let spec = MachineConfigSpec {
            config: Some(self.ignition.fields().to_json()),
            ..self.spec.clone()
        };
        let mut config = MachineConfig::new(&self.name, spec);
        let mut annotations = self.annotations.clone();
        let origins = self.provenance.to_annotation();
        let fits = |origins: &String| {
            self.size + json::annotation_size(annotations::PROVENANCE, origins) <= LARGE_SIZE
        };
        annotations.extend(
            origins
                .filter(fits)
                .map(|origins| (annotations::PROVENANCE.to_owned(), origins)),
        );
        config.metadata.annotations = Some(annotations).filter(|annotations| !annotations.is_empty());
        config
    }
}

/// Renders the MachineConfigs a pool selects, in any order. When they are refused, all findings are returned, not the
/// first: those about single MachineConfigs by name, then those about their combination.
pub fn render(pool: &str, configs: &[MachineConfig], defaults: &Defaults) -> Result<Rendered, Vec<Finding>> {
    assemble(pool, configs, defaults, Judge::Reference)
}

/// As [`render`], and refuses what [`check`] refuses: for people and pipelines, who can still mend it.
pub fn render_strictly(
    pool: &str,
    configs: &[MachineConfig],
    defaults: &Defaults,
) -> Result<Rendered, Vec<Finding>> {
    assemble(pool, configs, defaults, Judge::Node)
}

/// What is wrong with one MachineConfig by itself, errors and warnings: the checks `render` makes before merging, and those
/// the reference leaves to the nodes. Whether its labels suit a pool is for those to judge who know the pools.
#[must_use]
pub fn check(config: &MachineConfig) -> Vec<Finding> {
    let mut findings = Vec::new();
    let input = Input::read(config, &mut findings);
    Judge::Node.add(strict::findings(&input), &mut findings);
    if let Some(parsed) = &input.parsed {
        findings.extend(tree::findings(&parsed.config, |_| input.object()));
    }
    findings.extend(strict::advice(&input));
    findings.extend(version2::advice(&input));
    if input.is_rendered() {
        // A rendered config is for one pool by its owner, not by a label.
        findings.retain(|finding| finding.code != Code::NO_ROLE);
    }
    findings
}

/// Whose judgement counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judge {
    /// The reference's: what it accepts and no node can apply is only warned of.
    Reference,
    /// That of the nodes, which have to apply the config.
    Node,
}

impl Judge {
    /// Adds what no node can apply to the findings, unless it was told before.
    fn add(self, further: Vec<Finding>, findings: &mut Vec<Finding>) {
        let told = findings.len();
        for finding in further {
            if !strict::is_told(&findings[..told], &finding) {
                findings.push(self.judged(finding));
            }
        }
    }

    /// The finding as severe as it is for this judge.
    fn judged(self, mut finding: Finding) -> Finding {
        if self == Judge::Reference {
            finding.severity = Severity::Warning;
        }
        finding
    }
}

fn assemble(
    pool: &str,
    configs: &[MachineConfig],
    defaults: &Defaults,
    judge: Judge,
) -> Result<Rendered, Vec<Finding>> {
    let mut by_name: Vec<&MachineConfig> = configs.iter().collect();
    by_name.sort_by_key(|config| input::name(config));
    let mut findings = input::duplicates(&by_name);
    if by_name.is_empty() {
        findings.push(Finding::error(
            Code::POOL_SELECTS_NOTHING,
            format!("MachineConfigPool/{pool}"),
            "spec.machineConfigSelector",
            "the pool selects no MachineConfig",
        ));
    }
    // Stable: each half stays sorted by name.
    by_name.sort_by_key(|config| !input::is_worker(config));
    let mut told = Vec::new();
    let mut merging = Merging::default();
    // One after the other from its text to what is merged, while the processor still has it at hand.
    for config in &by_name {
        let mut said = Vec::new();
        let mut input = Input::read(config, &mut said);
        said.extend(input.generated_by_other(&defaults.controller_hash));
        judge.add(strict::findings(&input), &mut said);
        told.extend(said.into_iter().map(|finding| (input.name, finding)));
        merging.add(&mut input);
    }
    told.sort_by_key(|(name, _)| *name);
    findings.extend(told.into_iter().map(|(_, finding)| finding));
    let merged = merging.finish();
    findings.extend(outcome::findings(pool, &merged, defaults));
    let unusable = outcome::unusable(pool, &merged).into_iter();
    findings.extend(unusable.map(|finding| judge.judged(finding)));
    finish(pool, merged, &by_name, defaults, findings)
}

/// All findings, when one of them is an error.
fn refuse(findings: &[Finding]) -> Result<(), Vec<Finding>> {
    if findings.iter().any(Finding::is_error) {
        Err(findings.to_vec())
    } else {
        Ok(())
    }
}

/// Names and measures what was merged of `configs`, which are in merge order.
fn finish(
    pool: &str,
    merged: Merged,
    configs: &[&MachineConfig],
    defaults: &Defaults,
    mut findings: Vec<Finding>,
) -> Result<Rendered, Vec<Finding>> {
    let Merged {
        ignition,
        fields,
        mut provenance,
        inherited,
        ..
    } = merged;
    let Fields {
        os_image_url,
        extensions_image_url,
        kernel_arguments,
        extensions,
        fips,
        kernel_type,
    } = fields.or_defaults(defaults);
    let spec = MachineConfigSpec {
        os_image_url,
        base_os_extensions_container_image: extensions_image_url,
        config: None,
        kernel_arguments: Some(kernel_arguments),
        extensions: Some(extensions),
        fips,
        kernel_type,
    };
    let name = json::name(pool, &spec, &ignition).map_err(|refused| {
        findings.push(blame::unhashable(pool, &spec, &ignition, &refused, configs));
        findings.clone()
    })?;
    let spec_json = json::spec(&spec, &ignition);
    let annotations = defaults.annotations(&spec.os_image_url);
    let size = json::object_size(&name, pool, &annotations, &spec_json);
    findings.extend(outcome::size_finding(pool, size, &ignition, &provenance));
    refuse(&findings)?;
    debug_assert!(
        findings
            .iter()
            .all(|finding| finding.severity == Severity::Warning),
        "errors were refused"
    );
    outcome::inherit(&mut provenance, &inherited);
    let sources = configs
        .iter()
        .map(|config| input::name(config).to_owned())
        .collect();
    Ok(Rendered {
        name,
        spec,
        ignition,
        spec_json,
        sources,
        annotations,
        size,
        provenance,
        warnings: findings,
    })
}

#[cfg(test)]
mod tests;
