//! `convert`: an Ignition config in another version of the spec.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use ignition::{Kind, Problem, Severity, Version};
use serde_json::Value;

use crate::cli::Exit;
use crate::form;
use crate::report::Findings;
use crate::source::{self, Source};
use crate::terminal::Terminal;

/// Write an Ignition config in another version of the spec
///
/// Reads an Ignition config, or the one in a MachineConfig, of any version, and prints it as JSON in the
/// version asked for. Refused, with every reason, is what that version has no word for: nothing is dropped.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The version to write
    #[arg(long, value_name = "VERSION", value_parser = targets())]
    to: Version,
    /// An Ignition config or a MachineConfig, `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Whether configs can be written in a version: to 3.0.0 nothing translates down (MCO render 2.6).
pub(crate) const fn is_target(version: Version) -> bool {
    match version {
        Version::V3_0 => false,
        Version::V2_2 | Version::V3_1 | Version::V3_2 | Version::V3_3 | Version::V3_4 | Version::V3_5 => true,
    }
}

fn targets() -> impl clap::builder::TypedValueParser<Value = Version> {
    let names = Version::ALL.into_iter().filter(|v| is_target(*v));
    PossibleValuesParser::new(names.map(Version::as_str)).map(|name| {
        Version::ALL
            .into_iter()
            .find(|v| v.as_str() == name)
            .expect("clap lets only the names of versions through")
    })
}

// === impl Args ===

impl Args {
    pub(crate) fn run(self, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self { to, file } = self;
        let mut findings = Findings::default();
        let sources = source::read(&file, &mut findings);
        let converted = match sources.as_slice() {
            [one] => convert(one, to, &mut findings),
            several => {
                let why = source::not_one(&file, several.len(), &findings);
                findings.extend(why);
                None
            }
        };
        let failed = findings.print(terminal);
        match converted {
            Some(json) if !failed => {
                terminal.print(&form::safe_json(&json))?;
                Ok(Exit::Done)
            }
            _ => Ok(Exit::Failed),
        }
    }
}

fn convert(source: &Source, to: Version, findings: &mut Findings) -> Option<String> {
    let parsed = source.parse(findings)?;
    let mut lost = lost(parsed.config.value(), to);
    lost.extend(parsed.config.impossible_names());
    if parsed.declared.starts_with("2.") {
        // Translation has put the lists into an order of its own; the message has the name.
        lost.iter_mut().for_each(name_list);
    }
    if !lost.is_empty() {
        findings.extend(source.findings(&lost));
        return None;
    }
    match parsed.config.encode(to) {
        Ok(json) => Some(json),
        Err(invalid) => {
            findings.extend(source.findings(&invalid.problems));
            None
        }
    }
}

/// Takes the place in a list, and what is below it, off the path of a problem.
fn name_list(problem: &mut Problem) {
    if let Some(end) = problem.path.find('[') {
        problem.path.truncate(end);
    }
}

/// Files that 2.2.0 has no word for. The server leaves them out, as the reference does; whoever converts a file wants to know.
fn lost(config: &Value, to: Version) -> Vec<Problem> {
    let files = config.pointer("/storage/files").and_then(Value::as_array);
    let nothing = |file: &Value| {
        let appends = file["append"].as_array().is_some_and(|list| !list.is_empty());
        file["contents"]["source"].is_null() && !appends
    };
    let problem = |(i, file): (usize, &Value)| Problem {
        path: format!("$.storage.files[{i}].contents"),
        kind: Kind::Untranslatable,
        severity: Severity::Error,
        message: format!(
            "{} has no contents, and {to} cannot say that a file keeps its own",
            file["path"]
        ),
    };
    match to {
        Version::V2_2 => {
            let files = files.into_iter().flatten().enumerate();
            files.filter(|(_, file)| nothing(file)).map(problem).collect()
        }
        Version::V3_0 | Version::V3_1 | Version::V3_2 | Version::V3_3 | Version::V3_4 | Version::V3_5 => {
            Vec::new()
        }
    }
}
