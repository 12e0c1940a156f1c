//! `render --explain`: which MachineConfig won each part of a rendered config, over which, and why.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use machineconfig::Rendered;
use machineconfig::plan::short_key;
use machineconfig::provenance::{Origin, Part};
use machineconfig::style::Styles;
use serde::Serialize;

use crate::escape;
use crate::objects::Objects;
use crate::pool;
use crate::report::plural;
use crate::terminal::paint;

/// Which parts are explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Which {
    /// Those that several MachineConfigs set.
    Contested,
    /// Every part.
    All,
}

/// Who won what in one pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Explanation {
    /// The pool.
    pool: String,
    /// Name of the rendered config.
    name: String,
    /// The MachineConfigs in merge order: a later one wins.
    sources: Vec<String>,
    /// The parts, sorted.
    parts: Vec<Explained>,
    /// The role of each source.
    #[serde(skip)]
    roles: BTreeMap<String, String>,
}

/// Who won one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Explained {
    #[serde(flatten)]
    part: Part,
    #[serde(flatten)]
    origin: Origin,
}

// === impl Explanation ===

impl Explanation {
    pub(crate) fn new(pool: &str, rendered: &Rendered, objects: &Objects, which: Which) -> Self {
        let origins = rendered.provenance.origins.iter();
        let wanted = origins.filter(|(_, origin)| which == Which::All || !origin.beaten.is_empty());
        let named = |config: &crds::MachineConfig| {
            Some((config.metadata.name.clone()?, pool::role(config)?.to_owned()))
        };
        Self {
            pool: pool.to_owned(),
            name: rendered.name.clone(),
            sources: rendered.sources.clone(),
            parts: wanted
                .map(|(part, origin)| Explained {
                    part: part.clone(),
                    origin: origin.clone(),
                })
                .collect(),
            roles: objects.configs.iter().filter_map(named).collect(),
        }
    }

    /// The explanation for people.
    pub(crate) fn text(&self, styles: &Styles) -> String {
        let contested = self
            .parts
            .iter()
            .filter(|part| !part.origin.beaten.is_empty())
            .count();
        let mut text = format!(
            "{}: pool {}, {}, {}\n",
            paint(styles.strong, &escape::line(&self.name)),
            escape::line(&self.pool),
            plural(self.sources.len(), "MachineConfig"),
            plural(contested, "contested part"),
        );
        for Explained { part, origin } in &self.parts {
            let _ = write!(
                text,
                "\n{}\n  {}",
                paint(styles.strong, &escape::line(&describe(part))),
                paint(styles.added, &escape::line(&origin.winner)),
            );
            if !origin.beaten.is_empty() {
                let beaten = escape::line(&origin.beaten.join(", ")).into_owned();
                let why = paint(styles.faint, &format!("({})", self.why(origin)));
                let _ = write!(text, " wins over {} {why}", paint(styles.removed, &beaten));
            }
            text.push('\n');
        }
        text
    }

    /// Why the winner comes last in merge order (MCO render 2.5).
    fn why(&self, origin: &Origin) -> String {
        let role = |name: &String| self.roles.get(name).map(String::as_str);
        let is_worker = |name: &String| role(name) == Some("worker");
        match role(&origin.winner) {
            Some(own) if own != "worker" && origin.beaten.iter().all(is_worker) => {
                format!("the role {} comes after worker", escape::line(own))
            }
            Some(own) if own != "worker" && origin.beaten.iter().any(is_worker) => {
                format!(
                    "the role {} comes after worker, then the later name",
                    escape::line(own)
                )
            }
            _ => "the later name".to_owned(),
        }
    }
}

/// A part as people call it.
pub(crate) fn describe(part: &Part) -> String {
    match part {
        Part::Path(path) => path.clone(),
        Part::Unit(name) => format!("unit {name}"),
        Part::Dropin(unit, name) => format!("drop-in {unit}.d/{name}"),
        Part::SshKey(user, key) => format!("SSH key of {user}: {}", short_key(key)),
        Part::User(name) => format!("user {name}"),
        Part::KernelArgument(argument) => format!("kernel argument {argument}"),
        Part::Extension(name) => format!("extension {name}"),
        Part::Field(field) => field.clone(),
    }
}
