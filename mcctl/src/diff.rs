//! `diff`: what a node has against what it is to have, and what it says has changed on its disk.

use std::fmt::Write as _;

use machineconfig::Finding;
use machineconfig::plan::Plan;
use machineconfig::pool::{NodeView, Pools, membership};
use machineconfig::standing::{Cluster, Phase, phase};
use serde::Serialize;

use crate::cli::Exit;
use crate::cluster::{self, Access, Connection, MachineConfigs, node_name, not_there, rules};
use crate::escape;
use crate::form::{self, Output};
use crate::pending::plan;
use crate::terminal::{Terminal, paint};

/// Show what differs between the config that a node has and the one that it is to have, and what it says has drifted
///
/// Secrets are shown by size and hash only. What is compared are configs; what is on the node's disk, the node itself says.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 no difference and no drift, 2 a difference or drift, 1 error.",
    after_long_help = "Exit codes: 0 no difference and no drift, 2 a difference or drift, 1 error.\n\n\
        Examples:\n  mcctl diff node/worker-3"
)]
pub(crate) struct Args {
    /// The node, as node/NAME
    #[arg(value_name = "node/NAME", value_parser = node_name)]
    node: String,
    /// How to print it
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// What differs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Difference {
    node: String,
    /// The config that it has.
    current: String,
    /// The one that it is to have; that of its pool when it was told none other.
    desired: String,
    /// It was told so; else its turn is yet to come.
    told: bool,
    /// What differs between the two; none when they are one.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Plan>,
    /// What the node says of its disk, or of a change that failed; empty when it says nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    reported: String,
    /// That is about what its disk should be already.
    drifted: bool,
}

// === impl Args ===

impl Args {
    pub(crate) fn run(self, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self {
            node,
            output,
            connection,
        } = self;
        cluster::run(&connection, terminal, async |access: &Access| {
            let found = cluster::cluster(access).await?;
            let difference = difference(access, &found, &node).await?;
            terminal.print(&match output {
                Output::Text => difference.text(terminal),
                Output::Json => form::json(&difference),
            })?;
            let differs = difference.plan.is_some() || !difference.reported.is_empty();
            Ok(if differs { Exit::Changes } else { Exit::Done })
        })
    }
}

async fn difference(access: &Access, found: &Cluster, name: &str) -> Result<Difference, Finding> {
    let Some(node) = found.node(name) else {
        let names = found.nodes.iter().map(|node| node.metadata.name.clone());
        return Err(not_there("Node", name, names));
    };
    let view = NodeView::of(node);
    let pools = Pools::new(&found.pools);
    // A node that nobody can tell the pool of still has a config.
    let pool = membership(node, &pools).ok().flatten().map(|found| found.pool);
    let wanted = pool.map_or("", |pool| pool.spec.configuration.name.as_str());
    let told = view.desired != view.current || wanted.is_empty() || wanted == view.desired;
    let desired = if told { view.desired } else { wanted };
    let phase = pool.map(|pool| phase(pool, node, found.conditions(name)).0);
    let reported = match &phase {
        Some(Phase::Failing { reason, .. } | Phase::Drifted { reason }) => reason.clone(),
        _ => String::new(),
    };
    let mut plan_ = None;
    if !view.current.is_empty() && !desired.is_empty() && view.current != desired {
        let mut configs = MachineConfigs::of(access);
        let old = configs.rendered(view.current).await?;
        let new = configs.rendered(desired).await?;
        plan_ = Some(plan(&old, &new, &rules(access).await?, true));
    }
    Ok(Difference {
        node: name.to_owned(),
        current: view.current.to_owned(),
        desired: desired.to_owned(),
        told,
        plan: plan_,
        reported,
        drifted: matches!(phase, Some(Phase::Drifted { .. })),
    })
}

// === impl Difference ===

impl Difference {
    fn text(&self, terminal: &Terminal) -> String {
        let styles = &terminal.out;
        let name = paint(styles.strong, &escape::line(&format!("node/{}", self.node)));
        let words = match (&self.plan, self.told) {
            _ if self.current.is_empty() => "says no config yet".to_owned(),
            (None, _) => format!("has {}, the config that it is to have", self.current),
            (Some(_), true) => "is to have another config".to_owned(),
            (Some(_), false) => "has another config than its pool wants; its turn is yet to come".to_owned(),
        };
        let mut out = format!("{name} {}\n", escape::line(&words));
        if let Some(plan) = &self.plan {
            out.push_str(&machineconfig::plan::text(plan, styles));
        }
        if !self.reported.is_empty() {
            let title = if self.drifted {
                "Its disk is not as the config says"
            } else {
                "The change failed"
            };
            let _ = writeln!(out, "\n{}", paint(styles.strong, title));
            for part in self.reported.split("; ").flat_map(str::lines) {
                let _ = writeln!(out, "  {}", paint(styles.alarm, &escape::line(part)));
            }
        }
        out
    }
}
