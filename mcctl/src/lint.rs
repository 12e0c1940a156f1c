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
use crate::report::{self, Located, Note};
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
    notes: &'a [Note],
    errors: usize,
    warnings: usize,
}

// === impl Args ===

impl Args {
    pub(crate) fn run(self, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self { files, output } = self;
        let objects = objects::read(&files.paths, files.recursive);
        let (findings, notes) = lint(&objects);
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

/// All findings of an input, each once, and who wins what is contested within one role.
fn lint(objects: &Objects) -> (Vec<Located>, Vec<Note>) {
    let mut found = Found {
        list: Vec::new(),
        seen: BTreeSet::new(),
        complete: objects.is_complete(),
    };
    objects
        .findings
        .iter()
        .for_each(|finding| found.add(finding.clone()));
    let configs = objects.configs.iter().flat_map(machineconfig::render::check);
    let pools = objects.pools.iter().flat_map(machineconfig::pool::check);
    let alone = configs
        .chain(roles(objects))
        .chain(pools)
        .chain(policies(objects));
    let alone = alone.map(|finding| objects.locate(finding));
    alone.for_each(|located| found.add(located));
    let mut notes = BTreeSet::new();
    for name in pool::names(objects) {
        let mut said = Vec::new();
        let rendered = pool::render(objects, &name, &Images::default(), &mut said);
        for located in said {
            found.add(located);
        }
        notes.extend(rendered.iter().flat_map(|rendered| contested(rendered, objects)));
    }
    found
        .list
        .sort_by_key(|located| (located.place.file.clone(), located.place.line));
    (found.list, notes.into_iter().collect())
}

/// Findings in the order they were met, each once: what one MachineConfig has wrong is said again when a pool is
/// rendered from it.
struct Found {
    list: Vec<Located>,
    seen: BTreeSet<(Code, String, String, String)>,
    /// Whether everything was read.
    complete: bool,
}

/// What may be no fault at all when not everything could be read.
const MAY_FOLLOW: [Code; 3] = [
    Code::POOL_SELECTS_NOTHING,
    Code::POOL_UNKNOWN,
    Code::POOL_NOT_FOUND,
];

impl Found {
    fn add(&mut self, located: Located) {
        let Finding {
            code,
            object,
            field,
            message,
            ..
        } = &located.finding;
        if !self.complete && MAY_FOLLOW.contains(code) {
            return;
        }
        // Without an object it is the file that is meant, and two files may have the same wrong with them.
        let object = if object.is_empty() {
            &located.place.file
        } else {
            object
        };
        let key = (*code, object.clone(), field.clone(), message.clone());
        if self.seen.insert(key) {
            self.list.push(located);
        }
    }
}

/// Role labels that are missing, or that name no pool when the input has pools. Rendered configs have none.
fn roles(objects: &Objects) -> Vec<Finding> {
    let field = format!("metadata.labels[{}]", annotations::ROLE);
    let pools = pool::names(objects);
    let mut findings = Vec::new();
    for config in objects.configs.iter().filter(|config| !pool::is_rendered(config)) {
        let object = format!(
            "MachineConfig/{}",
            config.metadata.name.as_deref().unwrap_or_default()
        );
        match pool::role(config) {
            None if objects.pools.is_empty() || !pool::is_selected(objects, config) => {
                let message = "no role, so no pool takes it";
                findings.push(Finding::error(Code::NO_ROLE, object, &field, message));
            }
            Some(role) if !pools.contains(role) && !pool::is_selected(objects, config) => {
                let known = pools.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                let message = format!("no pool is named {role}, and none selects it; the input has {known}");
                findings.push(Finding::warning(Code::POOL_UNKNOWN, object, &field, message));
            }
            _ => {}
        }
    }
    findings
}

/// What is wrong with the NodeDisruptionPolicies of the input.
fn policies(objects: &Objects) -> Vec<Finding> {
    let users = objects
        .policies
        .iter()
        .filter_map(|object| object.spec.node_disruption_policy.as_ref());
    users.flat_map(machineconfig::policy::check).collect()
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
