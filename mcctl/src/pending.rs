//! What is still to be done to the nodes of a cluster: which of them go from which config to which, what that takes, and in which order.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crds::MachineConfigPool;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use machineconfig::plan::{Action, Disruption, Facts, Plan, Verdict};
use machineconfig::pool::NodeView;
use machineconfig::reconcile::Origins;
use machineconfig::redact::Limits;
use machineconfig::standing::Cluster;
use machineconfig::style::Styles;
use machineconfig::{Finding, RenderedConfig};
use serde::Serialize;

use crate::cluster::{MachineConfigs, Rules};
use crate::escape;
use crate::report::plural;
use crate::terminal::paint;

/// Nodes that are named in the order of their turns; the others are counted.
const NAMED: usize = 10;

/// What is still to be done to the nodes of one pool.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pending {
    /// The pool.
    pub(crate) pool: String,
    /// The rendered config that its nodes are to have.
    pub(crate) to: String,
    /// Nothing moves before it is unpaused.
    pub(crate) paused: bool,
    /// Nodes in the pool.
    pub(crate) nodes: usize,
    /// Its nodes that have another config, by that.
    pub(crate) groups: Vec<Group>,
    /// Nodes that wait for their turn, in that order.
    pub(crate) order: Vec<String>,
    /// Nodes that take no work, so they wait until they do.
    pub(crate) away: Vec<String>,
    /// How many may be unavailable at once.
    pub(crate) limit: usize,
    /// Nodes that are drained.
    pub(crate) drains: usize,
    /// Nodes that are rebooted.
    pub(crate) reboots: usize,
}

/// Nodes that go from one config to another.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Group {
    /// The nodes, by name.
    pub(crate) nodes: Vec<String>,
    /// Those of them that are on their way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) under_way: Vec<String>,
    /// What each of them does.
    pub(crate) plan: Plan,
}

/// Where the nodes of a pool are to go.
pub(crate) enum Target<'a> {
    /// To the config that the pool has.
    Own,
    /// To this one, which the pool would have.
    Other(&'a RenderedConfig),
}

/// The plan from one config to another, by the rules in force.
pub(crate) fn plan(old: &RenderedConfig, new: &RenderedConfig, rules: &Rules, diffs: bool) -> Plan {
    let facts = Facts {
        origins: Origins {
            old: Some(&old.provenance),
            new: Some(&new.provenance),
        },
        overrides: Some(&rules.overrides),
        diffs: diffs.then(Limits::default),
        ..Facts::default()
    };
    machineconfig::plan(old, new, &rules.policy, &facts)
}

/// What is to be done to the nodes of a pool, of which only `only` counts if it is given.
pub(crate) async fn pending(
    configs: &mut MachineConfigs<'_>,
    cluster: &Cluster,
    pool: &MachineConfigPool,
    only: Option<&str>,
    target: Target<'_>,
    (rules, diffs): (&Rules, bool),
) -> Result<Pending, Finding> {
    let mut wanted = pool.clone();
    if let Target::Other(config) = &target {
        wanted.spec.configuration.name.clone_from(&config.name);
    }
    let to = wanted.spec.configuration.name.clone();
    let members = cluster.members(pool);
    let views: Vec<_> = members.iter().map(|node: &&Node| NodeView::of(node)).collect();
    let chosen = |view: &&NodeView<'_>| {
        let asked = only.is_none_or(|only| only == view.name);
        asked && !view.current.is_empty() && !to.is_empty() && view.current != to
    };
    let mut by_config: BTreeMap<&str, Vec<&NodeView<'_>>> = BTreeMap::new();
    for view in views.iter().filter(chosen) {
        by_config.entry(view.current).or_default().push(view);
    }
    let mut groups = Vec::new();
    for (current, nodes) in by_config {
        let old = configs.rendered(current).await?;
        let plan = match &target {
            Target::Own => plan(&old, &configs.rendered(&to).await?, rules, diffs),
            Target::Other(new) => plan(&old, new, rules, diffs),
        };
        groups.push(group(&nodes, &to, plan));
    }
    // The pool may be paused, and then is asked what would be if it were not.
    wanted.spec.paused = false;
    let (decision, mut order) = cluster.decide(&wanted, Timestamp::now());
    let named = |name: &String| groups.iter().any(|group: &Group| group.nodes.contains(name));
    order.retain(named);
    let away = views.iter().filter(|view| !view.is_ready() && view.needs(&to));
    let away = away.map(|view| view.name.to_owned());
    let away = away.filter(|name| named(name) && !order.contains(name)).collect();
    let count = |holds: &dyn Fn(&Plan) -> bool| {
        let counted = groups.iter().filter(|group| holds(&group.plan));
        counted.map(|group| group.nodes.len()).sum()
    };
    Ok(Pending {
        pool: pool.metadata.name.clone().unwrap_or_default(),
        to,
        paused: pool.spec.paused,
        nodes: views.len(),
        drains: count(&|plan| plan.drain.required),
        reboots: count(&|plan| plan.actions.contains(&Action::Reboot)),
        groups,
        order,
        away,
        limit: decision.tally.limit,
    })
}

fn group(nodes: &[&NodeView<'_>], to: &str, plan: Plan) -> Group {
    let mut names: Vec<_> = nodes.iter().map(|view| view.name.to_owned()).collect();
    names.sort();
    let told = nodes.iter().filter(|view| !view.needs(to));
    Group {
        nodes: names,
        under_way: told.map(|view| view.name.to_owned()).collect(),
        plan,
    }
}

// === impl Pending ===

impl Pending {
    /// Nodes that are to be changed.
    pub(crate) fn count(&self) -> usize {
        self.groups.iter().map(|group| group.nodes.len()).sum()
    }

    /// The gravest of its plans.
    pub(crate) fn verdict(&self) -> Verdict {
        let verdicts = self.groups.iter().map(|group| group.plan.verdict());
        verdicts.max().unwrap_or(Verdict::NoChange)
    }

    /// In a sentence without a full stop: how many nodes go where, and what that takes.
    pub(crate) fn words(&self) -> String {
        if self.to.is_empty() {
            return "no config is rendered for it yet".to_owned();
        }
        if self.count() == 0 {
            return format!("no node is to be changed; all have {}", self.to);
        }
        let worst = self.groups.iter().map(|group| group.plan.disruption).max();
        let takes = match (self.verdict(), worst) {
            (Verdict::Refused, _) => "which running nodes refuse".to_owned(),
            (_, Some(Disruption::Drain | Disruption::Reboot)) => {
                format!("{} drained, {} rebooted", self.drains, self.reboots)
            }
            _ => "none drained, none rebooted".to_owned(),
        };
        format!(
            "{} of {} go to {}: {takes}",
            self.count(),
            plural(self.nodes, "node"),
            self.to
        )
    }

    /// The order in which they go.
    fn turns(&self) -> Option<String> {
        let named: Vec<_> = self.order.iter().take(NAMED).map(String::as_str).collect();
        let more = self.order.len().saturating_sub(NAMED);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let limit = plural(self.limit, "node");
        (!named.is_empty()).then(|| format!("{}{more}; {limit} at a time", named.join(", ")))
    }

    /// As text, with all that changes.
    pub(crate) fn text(&self, styles: &Styles) -> String {
        let mut out = String::new();
        let name = paint(styles.strong, &escape::line(&format!("pool/{}", self.pool)));
        let _ = writeln!(out, "{name}: {}", escape::line(&self.words()));
        if self.paused && self.count() > 0 {
            let _ = writeln!(
                out,
                "  {}",
                paint(styles.caution, "paused: nothing moves before it is unpaused")
            );
        }
        let mut line = |label: &str, text: &str| {
            let _ = writeln!(out, "  {label:10}{}", escape::line(text));
        };
        if let Some(turns) = self.turns() {
            line("order", &turns);
        }
        let under_way = self.groups.iter().flat_map(|group| &group.under_way);
        let under_way: Vec<_> = under_way.map(String::as_str).collect();
        if !under_way.is_empty() {
            line("under way", &under_way.join(", "));
        }
        if !self.away.is_empty() {
            line(
                "not ready",
                &format!("{}: once they take work", self.away.join(", ")),
            );
        }
        for group in &self.groups {
            let nodes = paint(styles.strong, &escape::line(&group.nodes.join(", ")));
            let _ = writeln!(out, "\n{nodes}");
            out.push_str(&machineconfig::plan::text(&group.plan, styles));
        }
        out
    }
}
