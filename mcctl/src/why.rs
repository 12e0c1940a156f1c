//! `why`: what keeps a node or a pool from where it should be, which object to look at, and what to do.

use std::fmt::Write as _;

use anstyle::Style;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use machineconfig::standing::Cluster;
use machineconfig::style::Styles;
use machineconfig::why::{Cause, Evidence, Fix, Weight, of_node, of_pool, weight};
use serde::Serialize;

use crate::age::age;
use crate::cli::Exit;
use crate::cluster::{self, Access, Connection, Subject, evidence, not_there};
use crate::escape;
use crate::form::{self, Output};
use crate::terminal::{Terminal, paint};

/// Tell why a node or a pool is not where it should be, which object to look at, and what to do
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 nothing is wrong, 2 it passes by itself, 3 somebody has to see to it, 1 error.",
    after_long_help = "Exit codes: 0 nothing is wrong, 2 it passes by itself, 3 somebody has to see to it, 1 error.\n\n\
        Examples:\n  mcctl why node/worker-3\n  mcctl why pool/worker -o json"
)]
pub(crate) struct Args {
    /// The node or the pool, as node/NAME or pool/NAME
    #[arg(value_name = "node/NAME|pool/NAME")]
    subject: Subject,
    /// How to print it
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// The JSON form.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    object: String,
    weight: Weight,
    causes: Vec<Told>,
}

/// One cause in the JSON form.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    object: String,
    weight: Weight,
    cause: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    look: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    fix: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    commands: Vec<String>,
}

// === impl Args ===

impl Args {
    pub(crate) fn run(self, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self {
            subject,
            output,
            connection,
        } = self;
        cluster::run(&connection, terminal, async |access: &Access| {
            let found = cluster::cluster(access).await?;
            let (object, causes) = causes(access, &found, &subject).await?;
            let now = Timestamp::now();
            terminal.print(&match output {
                Output::Text => text(&object, &causes, now, &terminal.out),
                Output::Json => form::json(&answer(object, &causes)),
            })?;
            Ok(exit(&causes))
        })
    }
}

async fn causes(access: &Access, found: &Cluster, subject: &Subject) -> anyhow::Result<(String, Vec<Cause>)> {
    let now = Timestamp::now();
    match subject {
        Subject::Node(name) => {
            let Some(node) = found.node(name) else {
                let names = found.nodes.iter().map(|node| node.metadata.name.clone());
                return Err(not_there("Node", name, names).into());
            };
            let evidence = evidence(access, found, &[node]).await?;
            Ok((format!("node/{name}"), of_node(found, name, &evidence, now)))
        }
        Subject::Pool(name) => {
            let Some(pool) = found.pool(name) else {
                let names = found.pools.iter().map(|pool| pool.metadata.name.clone());
                return Err(not_there("MachineConfigPool", name, names).into());
            };
            let nodes: Vec<&Node> = found.members(pool);
            let evidence: Evidence = evidence(access, found, &nodes).await?;
            Ok((format!("pool/{name}"), of_pool(found, name, &evidence, now)))
        }
    }
}

fn exit(causes: &[Cause]) -> Exit {
    match weight(causes) {
        Weight::Fine => Exit::Done,
        Weight::Passing => Exit::PASSES,
        Weight::Stuck => Exit::STUCK,
    }
}

fn answer(object: String, causes: &[Cause]) -> Answer {
    let told = causes.iter().map(|cause| {
        let Fix { look, text, commands } = cause.fix();
        Told {
            object: cause.object.clone(),
            weight: cause.weight(),
            cause: cause.to_string(),
            since: cause.since,
            look,
            fix: text,
            commands,
        }
    });
    Answer {
        object,
        weight: weight(causes),
        causes: told.collect(),
    }
}

fn text(object: &str, causes: &[Cause], now: Timestamp, styles: &Styles) -> String {
    let mut out = String::new();
    for cause in causes {
        let (name, style) = match cause.weight() {
            Weight::Fine => (paint(styles.added, object), Style::new()),
            Weight::Passing => (shown(cause, styles.caution), Style::new()),
            Weight::Stuck => (shown(cause, styles.alarm), styles.strong),
        };
        let since = cause
            .since
            .filter(|_| cause.weight() > Weight::Fine)
            .map_or_else(String::new, |since| format!(" (for {})", age(since, now)));
        let text = escape::line(&cause.to_string()).into_owned();
        let _ = writeln!(out, "{name}: {}{since}", paint(style, &text));
        let Fix { look, text, commands } = cause.fix();
        if cause.weight() == Weight::Fine {
            continue;
        }
        let _ = writeln!(out, "  look at  {}", escape::line(&look));
        if !text.is_empty() {
            let _ = writeln!(out, "  fix      {}", escape::line(&text));
        }
        for command in commands {
            let _ = writeln!(out, "           $ {}", escape::line(&command));
        }
    }
    out
}

/// The object of a cause as commands take it.
fn shown(cause: &Cause, style: Style) -> String {
    let name = match cause.object.split_once('/') {
        Some(("Node", name)) => format!("node/{name}"),
        Some((_, name)) => format!("pool/{name}"),
        None => cause.object.clone(),
    };
    paint(style, &escape::line(&name))
}
