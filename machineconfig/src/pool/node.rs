//! What a node says about itself: the handshake's annotations, its conditions, and what follows from them (MCO controller 3.3).

use std::fmt;

use crds::annotations;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition};

/// Labels of the nodes that make up the control plane, by either name of the role.
const CONTROL_PLANE_LABELS: [&str; 2] = [
    "node-role.kubernetes.io/master",
    "node-role.kubernetes.io/control-plane",
];
/// Label of a node of the control plane that keeps etcd's majority and runs little else.
const ARBITER_LABEL: &str = "node-role.kubernetes.io/arbiter";
/// Name of the pool of those nodes.
pub(crate) const ARBITER: &str = "arbiter";
/// What a request for a drain begins with; the name of a rendered config follows (MCO controller 4.2).
const DRAIN: &str = "drain-";

/// What a node says about itself, read once.
#[derive(Debug, Clone)]
pub struct NodeView<'a> {
    /// Its name.
    pub name: &'a str,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// The failure domain that it stands in. An empty one is one, too.
    pub zone: Option<&'a str>,
    /// The rendered config that it has; empty when it says none.
    pub current: &'a str,
    /// The rendered config that it is to have; empty when nobody said.
    pub desired: &'a str,
    /// The OS image, built on the cluster, that it has.
    pub current_image: Option<&'a str>,
    /// The OS image, built on the cluster, that it is to have.
    pub desired_image: Option<&'a str>,
    /// What its daemon is doing.
    pub state: State,
    /// Why the daemon is in that state; empty when it does not say.
    pub reason: &'a str,
    /// The reservation by which `desired` was written last.
    pub reserved_by: Option<&'a str>,
    /// Whether it has no config, is to have none yet, and its daemon waits for the first one.
    pub awaits: bool,
    /// Why it takes no work, in the order of its conditions; empty when it is ready.
    pub unready: Vec<Unready>,
    /// Whether it is one of the control plane.
    pub control_plane: bool,
    /// Whether it is of the control plane and only keeps etcd's majority.
    pub arbiter: bool,
}

/// What the daemon of a node is doing, by its own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It has said nothing yet.
    Unset,
    /// Nothing: the node has the config that it is to have.
    Done,
    /// It is making a change.
    Working,
    /// A change failed, or the node is not as its config says.
    Degraded,
    /// A change that no running node can make.
    Unreconcilable,
    /// It has asked for a reboot.
    Rebooting,
    /// A word that is not known.
    Unknown,
}

/// Why a node takes no work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unready {
    /// Its condition Ready is not True.
    NotReady(Option<Timestamp>),
    /// Its condition `DiskPressure` is not False.
    DiskPressure(Option<Timestamp>),
    /// Its condition `NetworkUnavailable` is not False.
    NetworkUnavailable(Option<Timestamp>),
    /// It is cordoned because its update asked for a drain.
    CordonedForUpdate,
    /// It is cordoned, and no update asked for it.
    CordonedByOthers,
}

/// Where a node stands with its config, whether or not it takes work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Progress {
    /// It has the config of the pool.
    Updated,
    /// It has another config and nothing is under way.
    Outdated,
    /// It says no config yet: it is being set up.
    New,
    /// A change is under way.
    Updating,
    /// The change to the desired config failed.
    Failing,
    /// It has the desired config, and is not as that says.
    Drifted,
}

// === impl NodeView ===

impl<'a> NodeView<'a> {
    /// Of a node.
    #[must_use]
    pub fn of(node: &'a Node) -> Self {
        let annotation = |key: &str| {
            let annotations = node.metadata.annotations.as_ref();
            annotations.and_then(|all| all.get(key)).map(String::as_str)
        };
        let said = |key: &str| annotation(key).unwrap_or_default();
        let labels = node.metadata.labels.as_ref();
        let labelled = |label: &str| labels.is_some_and(|labels| labels.contains_key(label));
        let full = CONTROL_PLANE_LABELS.into_iter().any(labelled);
        Self {
            name: node.metadata.name.as_deref().unwrap_or_default(),
            created: node.metadata.creation_timestamp.as_ref().map(|time| time.0),
            zone: labels
                .and_then(|labels| labels.get(annotations::ZONE))
                .map(String::as_str),
            current: said(annotations::CURRENT_CONFIG),
            desired: said(annotations::DESIRED_CONFIG),
            current_image: annotation(annotations::CURRENT_IMAGE),
            desired_image: annotation(annotations::DESIRED_IMAGE),
            state: State::of(said(annotations::STATE)),
            reason: said(annotations::REASON),
            reserved_by: annotation(annotations::RESERVED_BY),
            awaits: annotation(annotations::AWAITS_CONFIG).is_some()
                && [annotations::CURRENT_CONFIG, annotations::DESIRED_CONFIG]
                    .map(said)
                    .iter()
                    .all(|config| config.is_empty()),
            unready: unready(
                node,
                [annotations::DESIRED_DRAIN, annotations::LAST_APPLIED_DRAIN].map(said),
            ),
            control_plane: full || labelled(ARBITER_LABEL),
            arbiter: !full && labelled(ARBITER_LABEL),
        }
    }

    /// Whether it takes work: Ready, no `DiskPressure`, its network there, not cordoned. A condition that is absent is no
    /// hindrance.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.unready.is_empty()
    }

    /// Whether it has the config and the image that it is to have, and its daemon says so.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let image = match (self.current_image, self.desired_image) {
            (None, None) => true,
            (Some(current), Some(desired)) => !current.is_empty() && current == desired,
            (None, Some(_)) | (Some(_), None) => false,
        };
        !self.current.is_empty() && self.current == self.desired && image && self.state == State::Done
    }

    /// Whether the change to its desired config failed. One that has its desired config and has drifted from it is not meant.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.current != self.desired && self.state.is_degraded()
    }

    /// Whether it counts against maxUnavailable: not ready, or neither done nor failing. One that fails and is ready still works by its old config,
    /// and one that waits for its first config works without any.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        !self.is_ready() || !(self.is_done() || self.is_failing() || self.awaits)
    }

    /// Whether it is still to be told of `target`. A desired image is one too many where none is built on the cluster.
    #[must_use]
    pub fn needs(&self, target: &str) -> bool {
        self.desired != target || self.desired_image.is_some()
    }

    /// Whether it has `target` and says so.
    #[must_use]
    pub fn is_updated(&self, target: &str) -> bool {
        self.is_done() && !self.needs(target)
    }

    /// Where it stands on the way to `target`.
    #[must_use]
    pub fn progress(&self, target: &str) -> Progress {
        match self.state {
            _ if self.current.is_empty() || self.desired.is_empty() => Progress::New,
            State::Degraded | State::Unreconcilable if self.current == self.desired => Progress::Drifted,
            State::Degraded | State::Unreconcilable => Progress::Failing,
            State::Done if self.is_updated(target) => Progress::Updated,
            State::Done if self.is_done() => Progress::Outdated,
            State::Done | State::Unset | State::Working | State::Rebooting | State::Unknown => {
                Progress::Updating
            }
        }
    }
}

fn unready(node: &Node, drains: [&str; 2]) -> Vec<Unready> {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let mut unready: Vec<_> = conditions.iter().filter_map(hindrance).collect();
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true);
    if cordoned {
        unready.push(if drains.into_iter().any(|drain| drain.starts_with(DRAIN)) {
            Unready::CordonedForUpdate
        } else {
            Unready::CordonedByOthers
        });
    }
    unready
}

/// What a condition has against work on the node. One that is Unknown is as bad as the wrong one.
fn hindrance(condition: &NodeCondition) -> Option<Unready> {
    let since = condition.last_transition_time.as_ref().map(|time| time.0);
    match (condition.type_.as_str(), condition.status.as_str()) {
        ("Ready", "True") | ("DiskPressure" | "NetworkUnavailable", "False") => None,
        ("Ready", _) => Some(Unready::NotReady(since)),
        ("DiskPressure", _) => Some(Unready::DiskPressure(since)),
        ("NetworkUnavailable", _) => Some(Unready::NetworkUnavailable(since)),
        _ => None,
    }
}

// === impl State ===

impl State {
    /// Of the annotation's text; an empty one is none.
    #[must_use]
    pub fn of(text: &str) -> Self {
        match text {
            "" => State::Unset,
            "Done" => State::Done,
            "Working" => State::Working,
            "Degraded" => State::Degraded,
            "Unreconcilable" => State::Unreconcilable,
            "Rebooting" => State::Rebooting,
            _ => State::Unknown,
        }
    }

    /// The annotation's text; empty for a state that has none.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Unset | State::Unknown => "",
            State::Done => "Done",
            State::Working => "Working",
            State::Degraded => "Degraded",
            State::Unreconcilable => "Unreconcilable",
            State::Rebooting => "Rebooting",
        }
    }

    /// Whether something went wrong on the node.
    #[must_use]
    pub fn is_degraded(self) -> bool {
        match self {
            State::Degraded | State::Unreconcilable => true,
            State::Unset | State::Done | State::Working | State::Rebooting | State::Unknown => false,
        }
    }
}

// === impl Unready ===

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, since) = match self {
            Unready::NotReady(since) => ("not Ready", since),
            Unready::DiskPressure(since) => ("short of disk space", since),
            Unready::NetworkUnavailable(since) => ("without network", since),
            Unready::CordonedForUpdate => ("cordoned for its update", &None),
            Unready::CordonedByOthers => ("cordoned, not by an update", &None),
        };
        f.write_str(what)?;
        since.map_or(Ok(()), |since| write!(f, " since {}", second(since)))
    }
}

/// A time in messages, to the second: they are compared with the ones before, and read by people.
pub(crate) fn second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(value: Value) -> Node {
        serde_json::from_value(value).unwrap()
    }

    fn handshake(current: &str, desired: &str, state: &str) -> Node {
        node(json!({"metadata": {"name": "n", "annotations": {
            annotations::CURRENT_CONFIG: current, annotations::DESIRED_CONFIG: desired, annotations::STATE: state,
        }}}))
    }

    #[test]
    fn configs_and_state_say_where_a_node_stands() {
        // current, desired, state; done, failing, unavailable; progress to c
        let table = [
            ("c", "c", "Done", true, false, false, Progress::Updated),
            ("b", "b", "Done", true, false, false, Progress::Outdated),
            ("b", "c", "Done", false, false, true, Progress::Updating),
            ("b", "c", "Working", false, false, true, Progress::Updating),
            ("b", "c", "Rebooting", false, false, true, Progress::Updating),
            ("c", "c", "Rebooting", false, false, true, Progress::Updating),
            ("b", "c", "Degraded", false, true, false, Progress::Failing),
            ("b", "c", "Unreconcilable", false, true, false, Progress::Failing),
            ("c", "c", "Degraded", false, false, true, Progress::Drifted),
            ("b", "c", "Whatever", false, false, true, Progress::Updating),
            ("c", "c", "", false, false, true, Progress::Updating),
            ("", "", "", false, false, true, Progress::New),
            ("", "", "Done", false, false, true, Progress::New),
            ("", "c", "Degraded", false, true, false, Progress::New),
        ];
        for (current, desired, state, done, failing, unavailable, progress) in table {
            let node = handshake(current, desired, state);
            let view = NodeView::of(&node);
            assert_eq!(
                (
                    view.is_done(),
                    view.is_failing(),
                    view.is_unavailable(),
                    view.progress("c")
                ),
                (done, failing, unavailable, progress),
                "{current} {desired} {state}"
            );
        }
    }

    #[test]
    fn a_node_without_any_config_works_until_it_is_told_of_its_first() {
        for (current, desired, says, awaits) in [
            ("", "", true, true),
            ("", "", false, false),
            ("", "c", true, false),
            ("c", "", true, false),
        ] {
            let mut node = handshake(current, desired, "");
            if says {
                let annotations = node.metadata.annotations.get_or_insert_default();
                annotations.insert(annotations::AWAITS_CONFIG.to_owned(), String::new());
            }
            let view = NodeView::of(&node);
            assert_eq!(
                (view.awaits, view.is_unavailable(), view.progress("c")),
                (awaits, !awaits, Progress::New)
            );
        }
    }

    #[test]
    fn a_node_needs_the_target_until_it_is_told_and_has_no_image_of_its_own() {
        let mut node = handshake("c", "c", "Done");
        assert!(!NodeView::of(&node).needs("c") && NodeView::of(&node).is_updated("c"));
        assert!(NodeView::of(&node).needs("d"));
        let image = |node: &mut Node, key: &str, value: &str| {
            let annotations = node.metadata.annotations.as_mut().unwrap();
            annotations.insert(key.to_owned(), value.to_owned());
        };
        image(&mut node, annotations::CURRENT_IMAGE, "i");
        assert!(!NodeView::of(&node).is_done() && !NodeView::of(&node).needs("c"));
        image(&mut node, annotations::DESIRED_IMAGE, "i");
        assert!(NodeView::of(&node).is_done() && NodeView::of(&node).needs("c"));
        image(&mut node, annotations::CURRENT_IMAGE, "");
        image(&mut node, annotations::DESIRED_IMAGE, "");
        assert!(!NodeView::of(&node).is_done());
    }

    #[test]
    fn a_node_is_ready_unless_a_condition_or_a_cordon_says_otherwise() {
        let said = |conditions: Value, spec: Value, drains: [&str; 2]| {
            let node = node(json!({
                "metadata": {"annotations": {
                    annotations::DESIRED_DRAIN: drains[0], annotations::LAST_APPLIED_DRAIN: drains[1],
                }},
                "spec": spec,
                "status": {"conditions": conditions},
            }));
            let view = NodeView::of(&node);
            assert_eq!(view.is_ready(), view.unready.is_empty());
            view.unready.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let one = |type_: &str, status: &str| json!([{"type": type_, "status": status, "lastTransitionTime": "2026-01-02T03:04:05Z"}]);
        let free = ["", ""];
        assert_eq!(said(json!([]), json!({}), free), [""; 0]);
        for (type_, good, bad, text) in [
            ("Ready", "True", "False", "not Ready since 2026-01-02T03:04:05Z"),
            (
                "DiskPressure",
                "False",
                "True",
                "short of disk space since 2026-01-02T03:04:05Z",
            ),
            (
                "NetworkUnavailable",
                "False",
                "True",
                "without network since 2026-01-02T03:04:05Z",
            ),
        ] {
            assert_eq!(said(one(type_, good), json!({}), free), [""; 0]);
            assert_eq!(said(one(type_, bad), json!({}), free), [text]);
            assert_eq!(said(one(type_, "Unknown"), json!({}), free), [text]);
        }
        assert_eq!(said(one("MemoryPressure", "True"), json!({}), free), [""; 0]);
        let cordoned = json!({"unschedulable": true});
        for (drains, ours) in [
            (["", ""], false),
            (["drain-c", ""], true),
            (["drain-c", "drain-c"], true),
            (["uncordon-c", "drain-c"], true),
            (["uncordon-c", "uncordon-c"], false),
        ] {
            let text = if ours {
                "cordoned for its update"
            } else {
                "cordoned, not by an update"
            };
            assert_eq!(said(json!([]), cordoned.clone(), drains), [text], "{drains:?}");
        }
    }

    #[test]
    fn states_keep_their_texts() {
        for state in [
            State::Done,
            State::Working,
            State::Degraded,
            State::Unreconcilable,
            State::Rebooting,
            State::Unset,
        ] {
            assert_eq!(State::of(state.as_str()), state);
        }
        assert_eq!(State::of("done"), State::Unknown);
    }

    #[test]
    fn the_control_plane_is_known_by_its_roles() {
        let roles = |roles: &[&str]| {
            let labels: serde_json::Map<_, _> = roles
                .iter()
                .map(|role| (format!("node-role.kubernetes.io/{role}"), json!("")))
                .collect();
            let node = node(json!({"metadata": {"labels": labels}}));
            let view = NodeView::of(&node);
            (view.control_plane, view.arbiter)
        };
        assert_eq!(roles(&["worker"]), (false, false));
        assert_eq!(roles(&["master", "worker"]), (true, false));
        assert_eq!(roles(&["control-plane"]), (true, false));
        assert_eq!(roles(&["arbiter"]), (true, true));
        assert_eq!(roles(&["arbiter", "master"]), (true, false));
    }
}
