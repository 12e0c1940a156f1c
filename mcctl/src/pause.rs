//! `pause` and `unpause`: whether a pool is rolled out, and what that does.

use std::fmt::Write as _;

use crds::{MachineConfigPool, annotations};
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use machineconfig::standing::{Cluster, pool_standing};
use serde_json::{Value, json};

use crate::cli::Exit;
use crate::cluster::{self, Access, Connection, MachineConfigs, not_there, pool_name, rules};
use crate::escape;
use crate::form::{self, Output};
use crate::pending::{Pending, Target, pending};
use crate::report::plural;
use crate::terminal::{Terminal, paint};

/// Whose fields these are.
const MANAGER: &str = "mcctl";

/// Stop the rollout of a pool to further nodes; rendering goes on, and certificates still reach its nodes
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  mcctl pause pool/worker --reason \"freeze until Monday\"")]
pub(crate) struct Pause {
    /// The pool, as pool/NAME
    #[arg(value_name = "pool/NAME", value_parser = pool_name)]
    pool: String,
    /// Why; status and why tell it to whoever wonders
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Let the rollout of a pool go on, and tell what that does
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  mcctl unpause pool/worker --dry-run\n  mcctl unpause pool/worker")]
pub(crate) struct Unpause {
    /// The pool, as pool/NAME
    #[arg(value_name = "pool/NAME", value_parser = pool_name)]
    pool: String,
    #[command(flatten)]
    common: Common,
}

/// What both take.
#[derive(Debug, clap::Args)]
struct Common {
    /// Tell what would happen, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// How to print it
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// What was done.
struct Outcome<'a> {
    pool: &'a str,
    /// What it is now, or would be.
    paused: bool,
    /// It was so before.
    already: bool,
    dry_run: bool,
    /// Its nodes that are on their way, and go on in any case.
    under_way: Vec<String>,
    pending: Pending,
}

// === impl Pause, Unpause ===

impl Pause {
    pub(crate) fn run(self, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self { pool, reason, common } = self;
        let because = reason.filter(|reason| !reason.is_empty());
        common.run(&pool, true, because.as_deref(), terminal)
    }
}

impl Unpause {
    pub(crate) fn run(self, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self { pool, common } = self;
        common.run(&pool, false, None, terminal)
    }
}

impl Common {
    fn run(
        self,
        name: &str,
        paused: bool,
        because: Option<&str>,
        terminal: &Terminal,
    ) -> anyhow::Result<Exit> {
        let Self {
            dry_run,
            output,
            connection,
        } = self;
        cluster::run(&connection, terminal, async |access: &Access| {
            let found = cluster::cluster(access).await?;
            let Some(pool) = found.pool(name) else {
                let names = found.pools.iter().map(|pool| pool.metadata.name.clone());
                return Err(not_there("MachineConfigPool", name, names).into());
            };
            let rules = rules(access).await?;
            let mut configs = MachineConfigs::of(access);
            let pending = pending(&mut configs, &found, pool, None, Target::Own, (&rules, false)).await?;
            let already = pool.spec.paused == paused;
            if !dry_run && let Some(patch) = patch(pool, paused, because) {
                write(access, name, &patch).await?;
            }
            let outcome = Outcome {
                pool: name,
                paused,
                already,
                dry_run,
                under_way: under_way(&found, pool),
                pending,
            };
            terminal.print(&match output {
                Output::Text => outcome.text(terminal),
                Output::Json => form::json(&outcome.json()),
            })?;
            Ok(Exit::Done)
        })
    }
}

/// The JSON merge patch; none when all is so already. Whoever lets a pool go on takes the reason away with it.
fn patch(pool: &MachineConfigPool, paused: bool, because: Option<&str>) -> Option<Value> {
    let annotations = pool.metadata.annotations.as_ref();
    let said = annotations
        .and_then(|all| all.get(annotations::PAUSED_BECAUSE))
        .map(String::as_str);
    let wanted = if paused { because.or(said) } else { None };
    let because = (wanted != said).then(|| json!({"annotations": {annotations::PAUSED_BECAUSE: wanted}}));
    let mut patch = json!({});
    if let Some(metadata) = because {
        patch["metadata"] = metadata;
    }
    if pool.spec.paused != paused {
        patch["spec"] = json!({"paused": paused});
    }
    (patch != json!({})).then_some(patch)
}

async fn write(access: &Access, name: &str, patch: &Value) -> anyhow::Result<()> {
    let parameters = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let api = access.all::<MachineConfigPool>();
    let patch = Patch::Merge(patch);
    let written = access.in_time(api.patch(name, &parameters, &patch)).await;
    written.map_err(|error| access.refusal(&error, "MachineConfigPool", name))?;
    Ok(())
}

fn under_way(cluster: &Cluster, pool: &MachineConfigPool) -> Vec<String> {
    let standing = pool_standing(cluster, pool, Timestamp::now());
    let busy = standing.members.into_iter().filter(|member| {
        member.current != member.desired && !member.desired.is_empty() && !member.current.is_empty()
    });
    busy.map(|member| member.node).collect()
}

// === impl Outcome ===

impl Outcome<'_> {
    fn text(&self, terminal: &Terminal) -> String {
        let name = paint(terminal.out.strong, &escape::line(&format!("pool/{}", self.pool)));
        let (word, other) = if self.paused {
            ("paused", "unpaused")
        } else {
            ("unpaused", "paused")
        };
        let done = match (self.already, self.dry_run) {
            (true, _) => format!("is {word} already"),
            (false, true) => format!("would be {word} (it is {other})"),
            (false, false) => format!("is {word}"),
        };
        let mut out = format!("{name} {done}\n");
        let busy = self.under_way.len();
        if self.paused {
            let _ = writeln!(out, "  {}", escape::line(&self.waits()));
            if busy > 0 {
                let names = self.under_way.join(", ");
                let go = if busy == 1 { "goes" } else { "go" };
                let _ = writeln!(out, "  {} {go} on, being under way", escape::line(&names));
            }
            return out;
        }
        out.push_str(&self.moves(terminal));
        out
    }

    fn waits(&self) -> String {
        let Pending { to, .. } = &self.pending;
        match self.pending.count() - self.told() {
            0 if to.is_empty() => "no config is rendered for it yet".to_owned(),
            0 => format!(
                "no node waits; what is rendered from now on waits until mcctl unpause pool/{}",
                self.pool
            ),
            count => format!(
                "{} with {to} until mcctl unpause pool/{}",
                if count == 1 {
                    "1 node waits".to_owned()
                } else {
                    format!("{count} nodes wait")
                },
                self.pool
            ),
        }
    }

    /// Nodes that have been told the config already.
    fn told(&self) -> usize {
        self.pending
            .groups
            .iter()
            .map(|group| group.under_way.len())
            .sum()
    }

    /// What goes on now: the plans without what changes in detail, which `plan --live` tells.
    fn moves(&self, terminal: &Terminal) -> String {
        let mut out = format!("  {}\n", escape::line(&self.pending.words()));
        if self.pending.count() == 0 {
            return out;
        }
        if let Some(first) = self.pending.order.first() {
            let rest = self.pending.order.len() - 1;
            let then = if rest == 0 {
                String::new()
            } else {
                format!(", then {}", plural(rest, "other"))
            };
            let at_once = plural(self.pending.limit, "node");
            let _ = writeln!(out, "  {} first{then}, {at_once} at a time", escape::line(first));
        }
        let hint = format!("mcctl plan --live pool/{} tells what changes", self.pool);
        let _ = writeln!(out, "  {}", paint(terminal.out.faint, &escape::line(&hint)));
        out
    }

    fn json(&self) -> Value {
        let groups = self.pending.groups.iter().map(|group| {
            json!({
                "nodes": group.nodes, "from": group.plan.from, "to": group.plan.to,
                "disruption": group.plan.disruption, "drains": group.plan.drain.required,
            })
        });
        json!({
            "pool": self.pool, "paused": self.paused, "changed": !self.already && !self.dry_run, "dryRun": self.dry_run,
            "to": self.pending.to, "underWay": self.under_way, "order": self.pending.order, "limit": self.pending.limit,
            "drains": self.pending.drains, "reboots": self.pending.reboots, "groups": groups.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(paused: bool, because: Option<&str>) -> MachineConfigPool {
        let annotations = because.map(|text| json!({annotations::PAUSED_BECAUSE: text}));
        serde_json::from_value(json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool",
            "metadata": {"name": "p", "annotations": annotations.unwrap_or(json!({}))}, "spec": {"paused": paused},
        }))
        .unwrap()
    }

    #[test]
    fn only_what_changes_is_written() {
        let reason = |text: Value| json!({"annotations": {annotations::PAUSED_BECAUSE: text}});
        let table = [
            (
                pool(false, None),
                true,
                None,
                Some(json!({"spec": {"paused": true}})),
            ),
            (
                pool(false, None),
                true,
                Some("x"),
                Some(json!({"spec": {"paused": true}, "metadata": reason(json!("x"))})),
            ),
            (pool(true, Some("x")), true, None, None),
            (pool(true, Some("x")), true, Some("x"), None),
            (
                pool(true, Some("x")),
                true,
                Some("y"),
                Some(json!({"metadata": reason(json!("y"))})),
            ),
            (
                pool(true, Some("x")),
                false,
                None,
                Some(json!({"spec": {"paused": false}, "metadata": reason(Value::Null)})),
            ),
            (pool(false, None), false, None, None),
        ];
        for (pool, paused, because, expected) in table {
            assert_eq!(patch(&pool, paused, because), expected);
        }
    }
}
