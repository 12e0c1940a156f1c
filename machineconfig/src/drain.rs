//! Taking work off a node and giving it back: what the node asks for, whose cordon it has, and how long a drain has gone on (MCO
//! controller 4).
//!
//! [`step`] decides what comes next on one node. All that must outlive the process is in one annotation of the node, the [`Mark`]: so
//! another leader goes on where this one stopped, and a cordon by somebody else is left alone.
//! [`pods`] judges the pods, [`report`] says how far it is.

pub mod pods;
pub mod report;

use crds::{MachineConfigPool, annotations};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{Code, Finding};

/// What a request for a drain begins with; the name of a rendered config follows.
const DRAIN: &str = "drain-";
/// What a request to give the node back begins with.
const UNCORDON: &str = "uncordon-";

/// How long a drain goes on before people are told that it takes long, and pods are asked to go less often (MCO controller 4.1).
pub const SLOW_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// How long a drain may take before it is reported as overdue, unless the pool says otherwise (MCO controller 4.1). It goes on all the same.
pub const TIMEOUT: SignedDuration = SignedDuration::from_hours(1);
/// How soon a pod that was refused is asked to go again: as soon as the reference, so that a budget that becomes free is noticed.
const RETRY: SignedDuration = SignedDuration::from_secs(5);
/// How soon once the drain is slow: nobody is in a hurry any more, and every question costs the API server a look at the budget.
const SLOW_RETRY: SignedDuration = SignedDuration::from_mins(1);

/// What a node asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// To take the work off it, for this config.
    Drain(&'a str),
    /// To let it take work again, after this config.
    Uncordon(&'a str),
}

/// What the controller keeps on the node while it is drained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The text of the request.
    pub request: String,
    /// When the drain began.
    pub since: Timestamp,
    /// Whether the cordon is ours: the node took work before.
    pub cordoned: bool,
}

/// What comes next on a node.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// It asks for nothing, or has got it.
    Nothing,
    /// It is to be cordoned and marked, by this JSON merge patch.
    Cordon(Value),
    /// Its pods are to go.
    Evict {
        /// When the drain began.
        since: Timestamp,
    },
    /// It is to be given back and told so, by this JSON merge patch.
    Release {
        /// The patch.
        patch: Value,
        /// Whether it takes work then: a cordon that is not ours stays.
        takes_work: bool,
    },
}

/// How a drain stands by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pace {
    /// Nothing to tell.
    Normal,
    /// Longer than [`SLOW_AFTER`].
    Slow,
    /// Longer than the pool allows.
    Overdue,
}

// === what a node asks for ===

/// What a node asks for and has not got yet. Refused: a request with an unknown verb.
pub fn request(node: &Node) -> Result<Option<Request<'_>>, Finding> {
    let desired = said(node, annotations::DESIRED_DRAIN);
    if desired.is_empty() || desired == said(node, annotations::LAST_APPLIED_DRAIN) {
        return Ok(None);
    }
    if let Some(config) = desired.strip_prefix(DRAIN) {
        return Ok(Some(Request::Drain(config)));
    }
    if let Some(config) = desired.strip_prefix(UNCORDON) {
        return Ok(Some(Request::Uncordon(config)));
    }
    Err(Finding::error(
        Code::DRAIN_REQUEST,
        format!("Node/{}", node.metadata.name.as_deref().unwrap_or_default()),
        format!("metadata.annotations[{}]", annotations::DESIRED_DRAIN),
        format!("{desired:?} begins with neither {DRAIN} nor {UNCORDON}"),
    ))
}

/// What comes next on a node. Nothing is lost when the patch that it says is not carried out: it is said again.
pub fn step(node: &Node, now: Timestamp) -> Result<Step, Finding> {
    let mark = mark(node);
    Ok(match request(node)? {
        None => Step::Nothing,
        Some(Request::Uncordon(_)) => {
            let ours = is_ours(node, mark.as_ref()) && is_cordoned(node);
            Step::Release {
                patch: release(node, ours),
                takes_work: ours || !is_cordoned(node),
            }
        }
        Some(Request::Drain(_)) => {
            let text = said(node, annotations::DESIRED_DRAIN);
            match mark {
                Some(mark) if mark.request == text && is_cordoned(node) => Step::Evict { since: mark.since },
                mark => Step::Cordon(cordon(node, mark.as_ref(), text, now)),
            }
        }
    })
}

/// The JSON merge patch that tells a node that its pods are gone. It is refused when the node has changed since, so a node that somebody
/// gave back meanwhile is not told so.
#[must_use]
pub fn drained(node: &Node) -> Value {
    let mut annotations = Map::new();
    annotations.insert(
        annotations::LAST_APPLIED_DRAIN.to_owned(),
        json!(said(node, annotations::DESIRED_DRAIN)),
    );
    patch(node, &annotations, None)
}

fn cordon(node: &Node, before: Option<&Mark>, request: &str, now: Timestamp) -> Value {
    let mark = Mark {
        request: request.to_owned(),
        since: now,
        // A cordon that was ours for an earlier request stays ours.
        cordoned: !is_cordoned(node) || is_ours(node, before),
    };
    let mut annotations = Map::new();
    annotations.insert(annotations::DRAIN.to_owned(), json!(text(&mark)));
    patch(node, &annotations, Some(json!({"unschedulable": true})))
}

fn release(node: &Node, ours: bool) -> Value {
    let mut annotations = Map::new();
    annotations.insert(
        annotations::LAST_APPLIED_DRAIN.to_owned(),
        json!(said(node, annotations::DESIRED_DRAIN)),
    );
    if !said(node, annotations::DRAIN).is_empty() {
        annotations.insert(annotations::DRAIN.to_owned(), Value::Null);
    }
    patch(node, &annotations, ours.then(|| json!({"unschedulable": null})))
}

fn patch(node: &Node, annotations: &Map<String, Value>, spec: Option<Value>) -> Value {
    let mut patch =
        json!({"metadata": {"resourceVersion": node.metadata.resource_version, "annotations": annotations}});
    if let Some(spec) = spec {
        patch["spec"] = spec;
    }
    patch
}

fn text(mark: &Mark) -> String {
    serde_json::to_string(mark).expect("texts and times are always JSON")
}

fn said<'a>(node: &'a Node, key: &str) -> &'a str {
    let annotations = node.metadata.annotations.as_ref();
    annotations
        .and_then(|all| all.get(key))
        .map_or("", String::as_str)
}

/// The mark on a node, if there is one that can be read. One that cannot is as good as none: the drain then begins anew.
#[must_use]
pub fn mark(node: &Node) -> Option<Mark> {
    serde_json::from_str(said(node, annotations::DRAIN)).ok()
}

fn is_cordoned(node: &Node) -> bool {
    node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true)
}

/// Whether the cordon of a node is ours to undo. A node without a mark that has had its drain had it by the reference, which always
/// gives nodes back.
fn is_ours(node: &Node, mark: Option<&Mark>) -> bool {
    match mark {
        Some(mark) => mark.cordoned,
        None => said(node, annotations::LAST_APPLIED_DRAIN).starts_with(DRAIN),
    }
}

// === how long it may take ===

/// How long a drain in this pool may take before it is overdue. Refused: an annotation that is no duration above zero.
pub fn timeout(pool: &MachineConfigPool) -> Result<SignedDuration, Finding> {
    let annotations = pool.metadata.annotations.as_ref();
    let Some(text) = annotations.and_then(|all| all.get(annotations::DRAIN_TIMEOUT)) else {
        return Ok(TIMEOUT);
    };
    let parsed: Option<SignedDuration> = text.parse().ok();
    parsed
        .filter(|duration| *duration > SignedDuration::ZERO)
        .ok_or_else(|| {
            Finding::error(
                Code::DRAIN_TIMEOUT,
                format!(
                    "MachineConfigPool/{}",
                    pool.metadata.name.as_deref().unwrap_or_default()
                ),
                format!("metadata.annotations[{}]", annotations::DRAIN_TIMEOUT),
                format!("{text:?} is no duration above zero"),
            )
        })
}

/// How a drain that began at `since` stands.
#[must_use]
pub fn pace(since: Timestamp, now: Timestamp, timeout: SignedDuration) -> Pace {
    let age = now.duration_since(since);
    if age >= timeout {
        Pace::Overdue
    } else if age >= SLOW_AFTER {
        Pace::Slow
    } else {
        Pace::Normal
    }
}

/// When a drain that is held up is looked at again.
#[must_use]
pub fn retry(since: Timestamp, now: Timestamp) -> SignedDuration {
    if now.duration_since(since) >= SLOW_AFTER {
        SLOW_RETRY
    } else {
        RETRY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_000_000).unwrap()
    }

    fn node(desired: &str, applied: &str, mark: Option<&Mark>, cordoned: bool) -> Node {
        let mut annotations = Map::new();
        for (key, value) in [
            (annotations::DESIRED_DRAIN, desired.to_owned()),
            (annotations::LAST_APPLIED_DRAIN, applied.to_owned()),
            (annotations::DRAIN, mark.map(text).unwrap_or_default()),
        ] {
            if !value.is_empty() {
                annotations.insert(key.to_owned(), json!(value));
            }
        }
        serde_json::from_value(json!({
            "metadata": {"name": "n", "resourceVersion": "7", "annotations": annotations},
            "spec": if cordoned { json!({"unschedulable": true}) } else { json!({}) },
        }))
        .unwrap()
    }

    fn of(request: &str, cordoned: bool) -> Mark {
        Mark {
            request: request.to_owned(),
            since: now() - SignedDuration::from_mins(3),
            cordoned,
        }
    }

    /// The mark that a cordoning patch sets.
    fn marked(step: &Step) -> Mark {
        let Step::Cordon(patch) = step else {
            panic!("{step:?}")
        };
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        assert_eq!(patch["spec"], json!({"unschedulable": true}));
        serde_json::from_str(
            patch["metadata"]["annotations"][annotations::DRAIN]
                .as_str()
                .unwrap(),
        )
        .unwrap()
    }

    #[test]
    fn what_is_applied_or_not_asked_for_is_nothing_to_do() {
        for (desired, applied) in [
            ("", ""),
            ("drain-a", "drain-a"),
            ("uncordon-a", "uncordon-a"),
            ("", "drain-a"),
        ] {
            assert_eq!(
                step(&node(desired, applied, None, true), now()),
                Ok(Step::Nothing),
                "{desired} {applied}"
            );
        }
        let refused = step(&node("reboot-a", "", None, false), now()).unwrap_err();
        assert_eq!(refused.code, Code::DRAIN_REQUEST);
        assert!(refused.to_string().contains("Node/n"), "{refused}");
    }

    #[test]
    fn a_cordon_is_ours_only_when_the_node_took_work_before() {
        let fresh = marked(&step(&node("drain-a", "", None, false), now()).unwrap());
        assert_eq!(
            fresh,
            Mark {
                request: "drain-a".into(),
                since: now(),
                cordoned: true
            }
        );
        assert!(!marked(&step(&node("drain-a", "", None, true), now()).unwrap()).cordoned);
        // The next config is asked for before the node was given back.
        let earlier = of("drain-a", true);
        let next = marked(&step(&node("drain-b", "drain-a", Some(&earlier), true), now()).unwrap());
        assert!(next.cordoned && next.request == "drain-b" && next.since == now());
        let others = of("drain-a", false);
        assert!(!marked(&step(&node("drain-b", "drain-a", Some(&others), true), now()).unwrap()).cordoned);
    }

    #[test]
    fn a_drain_goes_on_from_when_it_began_and_begins_anew_when_the_node_was_given_back() {
        let begun = of("drain-a", true);
        assert_eq!(
            step(&node("drain-a", "", Some(&begun), true), now()),
            Ok(Step::Evict { since: begun.since })
        );
        let again = marked(&step(&node("drain-a", "", Some(&begun), false), now()).unwrap());
        assert!(again.cordoned && again.since == now());
    }

    #[test]
    fn only_our_own_cordon_is_undone() {
        let released = |mark: Option<&Mark>, applied: &str, cordoned: bool| {
            let node = node("uncordon-a", applied, mark, cordoned);
            let Ok(Step::Release { patch, takes_work }) = step(&node, now()) else {
                panic!()
            };
            let annotations = &patch["metadata"]["annotations"];
            assert_eq!(annotations[annotations::LAST_APPLIED_DRAIN], "uncordon-a");
            assert_eq!(
                annotations.as_object().unwrap().contains_key(annotations::DRAIN),
                mark.is_some()
            );
            let uncordons = patch.get("spec") == Some(&json!({"unschedulable": null}));
            assert_eq!(takes_work, uncordons || !cordoned);
            uncordons
        };
        assert!(released(Some(&of("drain-a", true)), "drain-a", true));
        assert!(!released(Some(&of("drain-a", false)), "drain-a", true));
        assert!(!released(Some(&of("drain-a", true)), "drain-a", false));
        // As the reference left it.
        assert!(released(None, "drain-a", true));
        assert!(!released(None, "uncordon-b", true));
        assert!(!released(None, "", true));
    }

    #[test]
    fn the_answer_is_the_request_and_holds_for_this_version_of_the_node_alone() {
        let patch = drained(&node("drain-a", "", None, true));
        assert_eq!(
            patch,
            json!({"metadata": {"resourceVersion": "7", "annotations": {annotations::LAST_APPLIED_DRAIN: "drain-a"}}})
        );
    }

    #[test]
    fn the_pool_says_how_long_a_drain_may_take() {
        let pool = |text: Option<&str>| {
            let mut pool = MachineConfigPool::new("p", crds::MachineConfigPoolSpec::default());
            pool.metadata.annotations =
                text.map(|text| [(annotations::DRAIN_TIMEOUT.to_owned(), text.to_owned())].into());
            timeout(&pool)
        };
        assert_eq!(pool(None), Ok(TIMEOUT));
        assert_eq!(pool(Some("30m")), Ok(SignedDuration::from_mins(30)));
        assert_eq!(pool(Some("1h30m")), Ok(SignedDuration::from_mins(90)));
        for wrong in ["", "soon", "0s", "-5m"] {
            assert_eq!(
                pool(Some(wrong)).unwrap_err().code,
                Code::DRAIN_TIMEOUT,
                "{wrong}"
            );
        }
        let at = |minutes| {
            (
                pace(
                    now(),
                    now() + SignedDuration::from_mins(minutes),
                    SignedDuration::from_mins(30),
                ),
                retry(now(), now() + SignedDuration::from_mins(minutes)),
            )
        };
        assert_eq!(at(9), (Pace::Normal, RETRY));
        assert_eq!(at(10), (Pace::Slow, SLOW_RETRY));
        assert_eq!(at(30), (Pace::Overdue, SLOW_RETRY));
    }
}
