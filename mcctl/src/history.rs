//! `history`: what a node went through, out of everything that the cluster remembers.

use std::fmt::Write as _;

use crds::MachineConfig;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::api::ListParams;
use machineconfig::Finding;
use machineconfig::history::{Config, Entry, Source, of_node, takes};
use machineconfig::pool::{NodeView, Pools, membership};
use machineconfig::standing::Cluster;
use serde::Serialize;

use crate::age::second;
use crate::cli::Exit;
use crate::cluster::{self, Access, Connection, node_name, not_there};
use crate::escape;
use crate::form::{self, Output};
use crate::pool::is_rendered_for;
use crate::terminal::{Terminal, paint};

/// Show which configs a node had and what happened on the way, as far as the cluster remembers
///
/// A cluster keeps the steps of the last update (MachineConfigNode), events for about an hour, and the rendered configs of the pool. The
/// last ten changes with all their steps are kept on the node itself; how to read them is said at the end.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  mcctl history node/worker-3")]
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

/// What a node went through.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct History {
    node: String,
    current: String,
    desired: String,
    state: &'static str,
    /// What the last update took, or takes.
    #[serde(skip_serializing_if = "String::is_empty")]
    last_update: String,
    entries: Vec<Entry>,
    /// The command that reads the journals on the node.
    journals: String,
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
            let history = history(access, &found, &node).await?;
            terminal.print(&match output {
                Output::Text => history.text(terminal),
                Output::Json => form::json(&history),
            })?;
            Ok(Exit::Done)
        })
    }
}

async fn history(access: &Access, found: &Cluster, name: &str) -> Result<History, Finding> {
    let Some(node) = found.node(name) else {
        let names = found.nodes.iter().map(|node| node.metadata.name.clone());
        return Err(not_there("Node", name, names));
    };
    let view = NodeView::of(node);
    let pools = Pools::new(&found.pools);
    let pool = membership(node, &pools).ok().flatten().map(|found| found.pool);
    let pool = pool.and_then(|pool| pool.metadata.name.as_deref());
    let mut events = events(access, "Node", name).await?;
    let mut configs = Vec::new();
    if let Some(pool) = pool {
        events.extend(self::events(access, "MachineConfigPool", pool).await?);
        configs = rendered(access, pool).await?;
    }
    Ok(History {
        node: name.to_owned(),
        current: view.current.to_owned(),
        desired: view.desired.to_owned(),
        state: view.state.as_str(),
        last_update: takes(found.report(name)).to_owned(),
        entries: of_node(node, found.report(name), &configs, &events),
        journals: journals(access, node).await?,
    })
}

/// The events about an object. Who may not read events has none.
async fn events(access: &Access, kind: &str, name: &str) -> Result<Vec<Event>, Finding> {
    let about = format!("involvedObject.kind={kind},involvedObject.name={name}");
    let found = access
        .list_if_allowed::<Event>(ListParams::default().fields(&about))
        .await?;
    Ok(found.unwrap_or_default())
}

/// The rendered configs of a pool that are still there.
async fn rendered(access: &Access, pool: &str) -> Result<Vec<Config>, Finding> {
    let all = access.list_metadata_if_allowed::<MachineConfig>().await?;
    let configs = all.into_iter().filter_map(|object| {
        let name = object.metadata.name.filter(|name| is_rendered_for(name, pool))?;
        let created = object.metadata.creation_timestamp.map(|time| time.0);
        Some(Config { name, created })
    });
    Ok(configs.collect())
}

/// How the journals of a node are read: by its daemon, where that is a pod.
async fn journals(access: &Access, node: &Node) -> Result<String, Finding> {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let here = ListParams::default()
        .fields(&format!("spec.nodeName={name}"))
        .labels("app.kubernetes.io/name=machine-config-daemon");
    let pods = access.list_if_allowed::<Pod>(here).await?.unwrap_or_default();
    let daemon = pods.first().and_then(|pod| {
        let metadata = &pod.metadata;
        Some((metadata.namespace.as_deref()?, metadata.name.as_deref()?))
    });
    Ok(daemon.map_or_else(
        || format!("on {name}: machine-config-daemon status"),
        |(namespace, pod)| {
            format!("kubectl -n {namespace} exec {pod} -- /machine-config-daemon status --root /rootfs")
        },
    ))
}

// === impl History ===

impl History {
    fn text(&self, terminal: &Terminal) -> String {
        let styles = &terminal.out;
        let name = paint(styles.strong, &escape::line(&format!("node/{}", self.node)));
        let state = if self.state.is_empty() {
            "no state"
        } else {
            self.state
        };
        let has = match (self.current.as_str(), self.desired.as_str()) {
            ("", _) => "says no config yet".to_owned(),
            (current, desired) if current == desired => format!("has {current} ({state})"),
            (current, "") => format!("has {current} ({state})"),
            (current, desired) => format!("has {current}, is to have {desired} ({state})"),
        };
        let mut out = format!("{name} {}\n", escape::line(&has));
        let width = self.entries.iter().map(|entry| entry.what.chars().count()).max();
        let width = width.unwrap_or_default();
        for entry in &self.entries {
            let source = match entry.source {
                Source::Node => "node",
                Source::Rendered => "pool",
                Source::Report => "step",
                Source::Event => "event",
            };
            let what = escape::line(&entry.what);
            let line = format!(
                "{source:5}  {what:width$}  {}",
                escape::line(entry.text.lines().next().unwrap_or_default())
            );
            let at = paint(styles.faint, &second(entry.at));
            let _ = writeln!(out, "  {at}  {}", line.trim_end());
        }
        if !self.last_update.is_empty() {
            let _ = writeln!(out, "  last: {}", escape::line(&self.last_update));
        }
        let more = format!("the last ten changes are kept on the node: {}", self.journals);
        let _ = writeln!(out, "  {}", paint(styles.faint, &escape::line(&more)));
        out
    }
}
