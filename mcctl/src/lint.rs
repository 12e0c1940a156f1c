//! `lint`: every problem of every file in one run.

use std::collections::{BTreeMap, BTreeSet};

use crds::annotations;
use machineconfig::provenance::{Origin, Part};
use machineconfig::{Code, Finding, Rendered};
use serde::Serialize;

use crate::cli::Exit;
use crate::explain;
use crate::form;
use crate::input::Files;
use crate::objects::{self, Objects};
use crate::pool::{self, Images};
use crate::report::{self, Findings, Located, Note};
use crate::terminal::Terminal;

/// Report every problem of every file, of the objects together and of the pools rendered from them
///
/// Findings go to standard error, or with -o json to standard output. Ends with 1 when one of them is an error.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    files: Files,
    /// How to print the findings
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,
}

/// The form of the findings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    #[default]
    Text,
    Json,
}

/// What was found, as JSON.
#[derive(Debug, Serialize)]
struct Report<'a> {
    findings: &'a [Located],
    notes: &'a BTreeSet<Note>,
    errors: usize,
    warnings: usize,
}

// === impl Args ===

impl Args {
    pub(crate) fn run(self, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self { files, output } = self;
        let mut findings = Findings::default();
        let objects = objects::read(&files.paths, files.recursive, &mut findings);
        let notes = lint(&objects, &mut findings);
        let mut findings = findings.settle();
        findings.sort_by_key(|located| (located.place.file.clone(), located.place.line));
        let errors = findings.iter().filter(|found| found.is_error()).count();
        match output {
            Output::Json => terminal.print(&form::json(&Report {
                findings: &findings,
                notes: &notes,
                errors,
                warnings: findings.len() - errors,
            }))?,
            Output::Text => {
                report::print(terminal, &findings);
                for note in &notes {
                    terminal.message(&note.show(&terminal.err));
                }
                let verdict = Some(report::count(&findings)).filter(|count| !count.is_empty());
                let verdict = verdict.as_deref().unwrap_or("no problems");
                terminal.message(&format!("{}: {verdict}\n", objects::size(&objects)));
            }
        }
        Ok(if errors > 0 { Exit::Failed } else { Exit::Done })
    }
}

/// Finds all that is wrong with an input, and returns who wins what is contested within one role.
fn lint(objects: &Objects, findings: &mut Findings) -> BTreeSet<Note> {
    let mut found: Vec<_> = roles(objects);
    found.extend(custom_roles(objects));
    found.extend(objects.pools.iter().flat_map(machineconfig::pool::check));
    found.extend(policies(objects));
    let without_configs = || {
        let mut others = Objects::default();
        others.pools.clone_from(&objects.pools);
        others.controller_config.clone_from(&objects.controller_config);
        others
    };
    let (mut all, mut sound) = (without_configs(), without_configs());
    for config in objects.configs.iter().filter(|config| !pool::is_rendered(config)) {
        let said = pool::faults(objects, config);
        if !said.iter().any(Finding::is_error) {
            sound.configs.push(config.clone());
        }
        all.configs.push(config.clone());
        found.extend(said);
    }
    let mut notes = BTreeSet::new();
    for name in pool::names(objects) {
        let (rendered, said) = pool::render_strictly(&all, &name, &Images::default());
        let rendered = rendered.or_else(|| pool::render(&sound, &name, &Images::default()).0);
        // What cannot be used must not be told as another fault, nor hide what is wrong with the rest.
        let follows = !objects.is_complete() || pool::select(objects, &name).is_ok();
        found.extend(
            said.into_iter()
                .filter(|said| !follows || !MAY_FOLLOW.contains(&said.code)),
        );
        notes.extend(rendered.iter().flat_map(|rendered| contested(rendered, objects)));
    }
    findings.extend(found.into_iter().map(|finding| objects.locate(finding)));
    notes
}

/// What may be no fault at all when not everything could be used.
const MAY_FOLLOW: [Code; 2] = [Code::POOL_SELECTS_NOTHING, Code::POOL_NOT_FOUND];

/// Role labels that name no pool, when the input has pools.
fn roles(objects: &Objects) -> Vec<Finding> {
    let field = format!("metadata.labels[{}]", annotations::ROLE);
    let known = pool::names(objects).into_iter().collect::<Vec<_>>().join(", ");
    let unselected = objects
        .configs
        .iter()
        .filter(|config| !pool::is_selected(objects, config));
    let unknown = unselected.filter_map(|config| {
        let role = pool::role(config).filter(|role| !pool::exists(objects, role))?;
        let object = format!("MachineConfig/{}", config.metadata.name.as_deref()?);
        let message = format!("there is no pool {role}, and no pool selects it; the input has {known}");
        Some(Finding::error(Code::POOL_UNKNOWN, object, &field, message))
    });
    unknown.collect()
}

/// Role labels of custom pools, when the input has no pools: each once, at the first MachineConfig that has it. Such a pool
/// may be in the cluster, or the role is misspelt.
fn custom_roles(objects: &Objects) -> Vec<Finding> {
    if !objects.pools.is_empty() {
        return Vec::new();
    }
    let field = format!("metadata.labels[{}]", annotations::ROLE);
    let mut seen = BTreeSet::new();
    let custom = objects.configs.iter().filter_map(|config| {
        let role = pool::role(config).filter(|role| !role.is_empty() && !pool::is_built_in(role))?;
        let object = format!("MachineConfig/{}", config.metadata.name.as_deref()?);
        seen.insert(role).then_some((object, role))
    });
    let warning = |(object, role)| {
        let message = format!(
            "the input has no pool {role}, which may be a custom pool of the cluster; the pools of every cluster are {}",
            pool::built_in()
        );
        Finding::warning(Code::POOL_UNKNOWN, object, &field, message)
    };
    custom.map(warning).collect()
}

/// What is wrong with the NodeDisruptionPolicies of the input.
fn policies(objects: &Objects) -> Vec<Finding> {
    objects
        .policies
        .iter()
        .flat_map(crate::policy::findings)
        .collect()
}

/// What MachineConfigs of one role contest: the ones that lose have no effect there, which is rarely meant.
fn contested(rendered: &Rendered, objects: &Objects) -> Vec<Note> {
    let roles: BTreeMap<_, _> = objects
        .configs
        .iter()
        .filter_map(|config| Some((config.metadata.name.as_deref()?, pool::role(config)?)))
        .collect();
    let role = |name: &str| roles.get(name).copied();
    let mut notes = Vec::new();
    for (part, Origin { winner, beaten }) in &rendered.provenance.origins {
        let whole = matches!(part, Part::Path(_) | Part::Dropin(..) | Part::Field(_));
        for loser in beaten.iter().filter(|loser| whole && role(loser) == role(winner)) {
            notes.push(Note {
                object: format!("MachineConfig/{loser}"),
                message: format!("{} is overridden by {winner}", explain::describe(part)),
            });
        }
    }
    notes
}
