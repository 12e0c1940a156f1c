//! The status of a pool, from its nodes (MCO controller 3.9).

use std::collections::BTreeMap;

use crds::condition::{Condition, ConditionStatus};
use crds::machine_config_pool::MachineConfigPoolStatus;
use crds::{MachineConfigNode, MachineConfigPool};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;

use super::account::{Account, bounded, named, summary};
use super::conditions::{Kind, Verdict, holding, set};
use super::node::{NodeView, Progress, Unready, second};
use crate::rollout::Reservations;

/// Whose word decides which nodes are updated and which are degraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Counting {
    /// The annotations of the nodes.
    #[default]
    Annotations,
    /// The conditions of the MachineConfigNodes, as with the reference's feature gate `ImageModeStatusReporting`.
    MachineConfigNodes,
}

/// One node, and what its MachineConfigNode says.
struct Member<'a> {
    view: NodeView<'a>,
    reported: Option<&'a MachineConfigNode>,
    updated: bool,
    degraded: bool,
}

/// The status of a pool with these nodes, all of them its own. MachineConfigNodes of other nodes are left aside. What others write into the
/// status stays: `RenderDegraded` and the like, certificates, synchronizers.
#[must_use]
pub fn status(
    pool: &MachineConfigPool,
    nodes: &[&Node],
    reports: &[&MachineConfigNode],
    counting: Counting,
    now: Timestamp,
) -> MachineConfigPoolStatus {
    let target = pool.spec.configuration.name.as_str();
    let members = members(target, nodes, reports, counting);
    let count = |holds: &dyn Fn(&Member<'_>) -> bool| {
        let found = members.iter().filter(|member| holds(member)).count();
        i32::try_from(found).unwrap_or(i32::MAX)
    };
    let mut status = pool.status.clone().unwrap_or_default();
    status.observed_generation = pool.metadata.generation;
    status.machine_count = count(&|_| true);
    status.updated_machine_count = count(&|member| member.updated);
    status.ready_machine_count = count(&|member| member.view.is_updated(target) && member.view.is_ready());
    status.unavailable_machine_count = count(&|member| member.view.is_unavailable());
    status.degraded_machine_count = count(&|member| member.degraded);
    let all = status.machine_count;
    let done = !target.is_empty()
        && status.updated_machine_count == all
        && status.ready_machine_count == all
        && status.unavailable_machine_count == 0;
    if done {
        let (ours, theirs) = (&mut status.configuration, &pool.spec.configuration);
        if ours.name != theirs.name || ours.source != theirs.source {
            *ours = theirs.clone();
        }
    }
    let verdicts = [
        updated(target, done),
        updating(pool, &members, done),
        node_degraded(&members),
        available(&members),
    ];
    for verdict in verdicts {
        set(&mut status.conditions, verdict, now);
    }
    let overall = degraded(&status);
    set(&mut status.conditions, overall, now);
    status
}

fn members<'a>(
    target: &str,
    nodes: &[&'a Node],
    reports: &[&'a MachineConfigNode],
    counting: Counting,
) -> Vec<Member<'a>> {
    let named = |report: &&'a MachineConfigNode| Some((report.metadata.name.as_deref()?, *report));
    let reports: BTreeMap<&str, &MachineConfigNode> = reports.iter().filter_map(named).collect();
    let member = |node: &&'a Node| {
        let view = NodeView::of(node);
        let reported = reports.get(view.name).copied();
        let (updated, degraded) = match counting {
            Counting::Annotations => (view.is_updated(target), view.state.is_degraded()),
            Counting::MachineConfigNodes => {
                let degraded = reported.is_some_and(|report| reports_failure(report).is_some());
                let updated = reported.is_some_and(|report| reports_updated(report, target));
                (updated && !degraded && view.desired_image.is_none(), degraded)
            }
        };
        Member {
            view,
            reported,
            updated,
            degraded,
        }
    };
    nodes.iter().map(member).collect()
}

/// The condition `NodeDegraded` of a MachineConfigNode, if it holds. Conditions are told apart by type, not by their order.
fn reports_failure(report: &MachineConfigNode) -> Option<&Condition> {
    true_condition(report, "NodeDegraded")
}

fn reports_updated(report: &MachineConfigNode, target: &str) -> bool {
    let desired = report
        .status
        .as_ref()
        .and_then(|status| status.config_version.as_ref());
    true_condition(report, "Updated").is_some() && desired.is_some_and(|version| version.desired == target)
}

fn true_condition<'a>(report: &'a MachineConfigNode, type_: &str) -> Option<&'a Condition> {
    let conditions = &report.status.as_ref()?.conditions;
    conditions
        .iter()
        .find(|condition| condition.type_ == type_ && condition.status == ConditionStatus::True)
}

fn updated(target: &str, done: bool) -> Verdict {
    if done {
        Verdict::holds(Kind::Updated, format!("Every node has MachineConfig {target}"))
    } else {
        Verdict::fails(Kind::Updated, "")
    }
}

fn updating(pool: &MachineConfigPool, members: &[Member<'_>], done: bool) -> Verdict {
    let target = pool.spec.configuration.name.as_str();
    if done {
        return Verdict::fails(Kind::Updating, "");
    }
    if target.is_empty() {
        return Verdict::fails(Kind::Updating, "No config has been rendered for the pool yet");
    }
    let have = members.iter().filter(|member| member.updated).count();
    let progress = format!("{have} of {} nodes have MachineConfig {target}", members.len());
    if pool.spec.paused {
        let message =
            format!("The pool is paused and not updated; {progress}. Set spec.paused to false to go on.");
        return Verdict::fails(Kind::Updating, message);
    }
    let reservations = Reservations::of(pool).unwrap_or_default();
    let accounts: Vec<_> = members
        .iter()
        .map(|member| Account::of(&member.view, target, reservations.since(member.view.name)))
        .filter(|account| match account.progress {
            Progress::Failing | Progress::Drifted | Progress::Updating | Progress::New => true,
            Progress::Outdated | Progress::Updated => !account.unready.is_empty(),
        })
        .collect();
    let mut message = progress;
    if have < members.len() {
        message.push_str(", the others are led to it");
    }
    if !accounts.is_empty() {
        message = format!("{message}. {}", summary(&accounts));
    }
    Verdict::holds(Kind::Updating, message)
}

/// Names every degraded node once, with all that is said of it.
fn node_degraded(members: &[Member<'_>]) -> Verdict {
    let degraded: Vec<_> = members.iter().filter(|member| member.degraded).collect();
    if degraded.is_empty() {
        return Verdict::fails(Kind::NodeDegraded, "");
    }
    let texts: Vec<_> = degraded.iter().map(|member| report(member)).collect();
    let remedy = "Mend what is reported, or take the MachineConfig back: a node whose update failed is led to the next config by itself.";
    Verdict::holds(Kind::NodeDegraded, format!("{}. {remedy}", named(&texts))).because(format!(
        "{} nodes are reporting degraded status on sync",
        degraded.len()
    ))
}

fn report(member: &Member<'_>) -> String {
    let failure = member.reported.and_then(reports_failure);
    let mut texts: Vec<&str> = Vec::new();
    let said = [
        failure.map_or("", |failure| failure.message.as_str()),
        if member.view.state.is_degraded() {
            member.view.reason
        } else {
            ""
        },
    ];
    for text in said {
        if !text.is_empty() && !texts.contains(&text) {
            texts.push(text);
        }
    }
    let quoted: Vec<_> = texts
        .into_iter()
        .map(|text| format!("{:?}", bounded(text)))
        .collect();
    let since = failure.map_or_else(String::new, |failure| {
        format!(" since {}", second(failure.last_transition_time.0))
    });
    let what = match quoted.as_slice() {
        [] => "gives no reason".to_owned(),
        texts => format!("reports {}", texts.join(" and ")),
    };
    format!("node {} is degraded{since} and {what}", member.view.name)
}

/// Whether the nodes take work, apart from which config they have.
fn available(members: &[Member<'_>]) -> Verdict {
    let away: Vec<_> = members.iter().filter(|member| !member.view.is_ready()).collect();
    if away.is_empty() {
        return Verdict::holds(Kind::Available, "").because("AllNodesAvailable");
    }
    let why = |member: &&Member<'_>| {
        let why: Vec<_> = member.view.unready.iter().map(ToString::to_string).collect();
        format!("{} is {}", member.view.name, why.join(" and "))
    };
    let texts: Vec<_> = away.iter().map(why).collect();
    let hindrances = away.iter().flat_map(|member| &member.view.unready);
    let remedy = hindrances.map(Unready::remedy).find(|remedy| !remedy.is_empty());
    let message = format!(
        "{} of {} nodes take no work: {}. {}",
        away.len(),
        members.len(),
        named(&texts),
        remedy.unwrap_or_default()
    );
    Verdict::fails(Kind::Available, message.trim_end()).because("NodesUnavailable")
}

fn degraded(status: &MachineConfigPoolStatus) -> Verdict {
    let causes = [Kind::NodeDegraded, Kind::RenderDegraded, Kind::ImageBuildDegraded];
    let holding: Vec<_> = causes
        .into_iter()
        .filter_map(|kind| holding(&status.conditions, kind))
        .map(|condition| condition.message.as_str())
        .collect();
    if holding.is_empty() {
        Verdict::fails(Kind::Degraded, "")
    } else {
        Verdict::holds(Kind::Degraded, holding.join(" "))
    }
}

/// The config whose rollout this status completes, against the one before.
#[must_use]
pub fn completed<'a>(
    before: Option<&MachineConfigPoolStatus>,
    after: &'a MachineConfigPoolStatus,
) -> Option<&'a str> {
    let old = before.map_or("", |status| status.configuration.name.as_str());
    let new = after.configuration.name.as_str();
    (!new.is_empty() && new != old).then_some(new)
}

#[cfg(test)]
mod tests;
