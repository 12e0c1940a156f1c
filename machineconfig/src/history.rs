//! What a node went through, oldest first, out of everything in a cluster that remembers: [`of_node`] is the entry point.
//!
//! Nothing in a cluster keeps the history of a node for ever. Conditions keep the last update step by step, events about an hour, and the
//! rendered configs of its pool, which outlive those, when there was something new. The journals on the node itself know more.

use crds::MachineConfigNode;
use crds::annotations;
use crds::condition::{Condition, ConditionStatus};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Node};
use serde::Serialize;

use crate::pool::NodeView;

/// Reason of a condition that nothing has happened to.
const NOT_YET: &str = "NotYetOccurred";
/// The condition that says what an update takes.
const PREPARED: &str = "UpdatePrepared";
/// What the components of this system, and of the reference, call themselves in events.
const TELLERS: [&str; 3] = [
    "machineconfigdaemon",
    "machineconfigcontroller-nodecontroller",
    "machineconfigcontroller-rendercontroller",
];

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Who remembers it.
    pub source: Source,
    /// What it was, in one word.
    pub what: String,
    /// The same in words; may be empty.
    pub text: String,
}

/// Who remembers something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// The node's own object.
    Node,
    /// A rendered config of its pool.
    Rendered,
    /// Its MachineConfigNode: the steps of the last update.
    Report,
    /// An event.
    Event,
}

/// A rendered config of the node's pool, as far as it is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Option<Timestamp>,
}

/// What a node went through, oldest first. `configs` are the rendered ones of its pool; `events` are those about the node and its pool, of which
/// those of others are left out.
#[must_use]
pub fn of_node(
    node: &Node,
    report: Option<&MachineConfigNode>,
    configs: &[Config],
    events: &[Event],
) -> Vec<Entry> {
    let view = NodeView::of(node);
    let made = view.created.map(|at| Entry {
        at,
        source: Source::Node,
        what: "Created".to_owned(),
        text: first(node),
    });
    let rendered = configs.iter().filter_map(|config| {
        let mark = match (config.name == view.current, config.name == view.desired) {
            (true, _) => ", which the node has",
            (false, true) => ", which the node is to have",
            (false, false) => "",
        };
        Some(Entry {
            at: config.created?,
            source: Source::Rendered,
            what: "Rendered".to_owned(),
            text: format!("{}{mark}", config.name),
        })
    });
    let conditions = report.and_then(|report| report.status.as_ref());
    let steps = conditions
        .iter()
        .flat_map(|status| &status.conditions)
        .filter_map(step);
    let told = events.iter().filter_map(|event| told(event, view.name));
    let mut all: Vec<_> = made
        .into_iter()
        .chain(rendered)
        .chain(steps)
        .chain(told)
        .collect();
    all.sort();
    all.dedup();
    all
}

/// What the last update of a node took, or takes, by the word of its daemon; empty when it has said nothing yet.
#[must_use]
pub fn takes(report: Option<&MachineConfigNode>) -> &str {
    let status = report.and_then(|report| report.status.as_ref());
    let mut conditions = status.iter().flat_map(|status| &status.conditions);
    let prepared = conditions.find(|condition| condition.type_ == PREPARED && condition.reason != NOT_YET);
    prepared.map_or("", |prepared| prepared.message.as_str())
}

fn first(node: &Node) -> String {
    let annotations = node.metadata.annotations.as_ref();
    let first = annotations.and_then(|all| all.get(annotations::FIRST_PIVOT_CONFIG));
    first.map_or_else(String::new, |config| format!("first started with {config}"))
}

/// A condition that says that something happened. That nothing did is no history, and that a drain was ended is said by the uncordon.
fn step(condition: &Condition) -> Option<Entry> {
    // It stays True from one update to the next, and so does its time: see `takes`.
    if condition.type_ == PREPARED {
        return None;
    }
    let happened = match condition.status {
        ConditionStatus::True => true,
        ConditionStatus::Unknown => condition.reason != NOT_YET,
        ConditionStatus::False => condition.type_ == "Updated",
    };
    let what = match condition.status {
        ConditionStatus::True => condition.type_.clone(),
        ConditionStatus::False => format!("not {}", condition.type_),
        ConditionStatus::Unknown => format!("not yet {}", condition.type_),
    };
    happened.then(|| Entry {
        at: condition.last_transition_time.0,
        source: Source::Report,
        what,
        text: condition.message.clone(),
    })
}

/// An event of this system about the node; one about its pool counts when it names the node, or no node at all.
fn told(event: &Event, node: &str) -> Option<Entry> {
    let component = event.reporting_component.as_deref().unwrap_or_default();
    let source = event
        .source
        .as_ref()
        .and_then(|source| source.component.as_deref());
    let is_ours = TELLERS.contains(&component) || source.is_some_and(|source| TELLERS.contains(&source));
    let message = event.message.clone().unwrap_or_default();
    let about_node = event.involved_object.kind.as_deref() == Some("Node");
    let named = message.split([' ', ',']).any(|word| word == node);
    let of_all = !message.contains("Node ");
    if !is_ours || !(about_node || named || of_all) {
        return None;
    }
    // What is told again is counted, and keeps the words of the first time: so that time is what they are of.
    let at = (event.event_time.as_ref().map(|time| time.0))
        .or(event.first_timestamp.as_ref().map(|time| time.0))
        .or(event.metadata.creation_timestamp.as_ref().map(|time| time.0))?;
    let count = event
        .series
        .as_ref()
        .and_then(|series| series.count)
        .or(event.count);
    let text = match count {
        Some(count) if count > 1 => format!("{message} (told {count} times)"),
        Some(_) | None => message,
    };
    Some(Entry {
        at,
        source: Source::Event,
        what: event.reason.clone().unwrap_or_default(),
        text,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::standing::tests::{node, report};

    fn event(kind: &str, teller: &str, time: &str, reason: &str, message: &str) -> Event {
        serde_json::from_value(json!({
            "metadata": {"name": "e", "namespace": "default"},
            "involvedObject": {"kind": kind, "name": "x"}, "reportingComponent": teller,
            "eventTime": format!("2026-01-01T{time}:00.000000Z"), "reason": reason, "message": message,
        }))
        .unwrap()
    }

    #[test]
    fn everything_that_remembers_is_in_one_line_of_time() {
        let first: Value = json!({"metadata": {"annotations": {annotations::FIRST_PIVOT_CONFIG: "a"}}});
        let node = node("n", ["b", "b", "Done"], first);
        let report = report(
            "n",
            &[
                ("Updated", "True", "Node n Updated"),
                ("Resumed", "False", ""),
                ("UpdatePrepared", "True", "drain"),
            ],
        );
        let config = |name: &str, time: &str| Config {
            name: name.into(),
            created: Some(format!("2026-01-01T{time}:00Z").parse().unwrap()),
        };
        let configs = [config("b", "10:00"), config("a", "00:01")];
        let controller = TELLERS[1];
        let events = [
            event("Node", TELLERS[0], "11:30", "Drift", "content mismatch"),
            event("Node", "kubelet", "11:31", "NodeReady", "not ours"),
            event(
                "MachineConfigPool",
                controller,
                "10:30",
                "SetDesiredConfig",
                "Node n is to have MachineConfig b",
            ),
            event(
                "MachineConfigPool",
                controller,
                "10:31",
                "SetDesiredConfig",
                "Node m is to have MachineConfig b",
            ),
            event(
                "MachineConfigPool",
                controller,
                "10:40",
                "Completed",
                "Every node has MachineConfig b",
            ),
        ];
        assert_eq!(takes(Some(&report)), "drain");
        let told: Vec<_> = of_node(&node, Some(&report), &configs, &events)
            .into_iter()
            .map(|entry| format!("{} {} {}", &entry.at.to_string()[11..16], entry.what, entry.text))
            .collect();
        assert_eq!(
            told,
            [
                "00:00 Created first started with a",
                "00:01 Rendered a",
                "10:00 Rendered b, which the node has",
                "10:30 SetDesiredConfig Node n is to have MachineConfig b",
                "10:40 Completed Every node has MachineConfig b",
                "11:00 Updated Node n Updated",
                "11:30 Drift content mismatch",
            ]
        );
    }
}
