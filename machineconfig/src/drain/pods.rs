//! The pods of a node that is drained: which of them go, and what holds up those that do not (MCO controller 4.4).

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use crate::pool::{Selector, named, second};
use crate::{Code, Finding};

/// Annotation of a pod that the kubelet made from a file of its own: it can only be ended there.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What becomes of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is to be evicted.
    Evict,
    /// It is on its way already.
    Terminating,
    /// It stays: its DaemonSet would put it back, or it is the kubelet's own.
    Stays,
}

/// A pod that is still there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hindrance {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// Who keeps it, such as `ReplicaSet/web-5d4`; empty when nobody does.
    pub owner: String,
    /// Why it is still there.
    pub cause: Cause,
}

/// Why a pod is still there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Budgets do not allow its eviction.
    Budget {
        /// Their names; empty when they could not be found out.
        names: Vec<String>,
        /// What the API server says.
        said: String,
    },
    /// Its eviction is refused for another reason.
    Refused(String),
    /// It has been told to go.
    Terminating(Option<Timestamp>),
}

/// What becomes of a pod of a node that is drained. Finished pods go too, and pods that nobody keeps.
#[must_use]
pub fn fate(pod: &Pod) -> Fate {
    let annotations = pod.metadata.annotations.as_ref();
    let is_mirror = annotations.is_some_and(|all| all.contains_key(MIRROR));
    if is_mirror || owner(pod).starts_with("DaemonSet/") {
        Fate::Stays
    } else if pod.metadata.deletion_timestamp.is_some() {
        Fate::Terminating
    } else {
        Fate::Evict
    }
}

/// Who keeps a pod, such as `ReplicaSet/web-5d4`; empty when nobody does.
#[must_use]
pub fn owner(pod: &Pod) -> String {
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    let controller = owners.iter().find(|owner| owner.controller == Some(true));
    controller.map_or_else(String::new, |owner| format!("{}/{}", owner.kind, owner.name))
}

/// The names of the budgets that a pod is under. The budgets may be of any namespace.
#[must_use]
pub fn budgets_of(pod: &Pod, budgets: &[PodDisruptionBudget]) -> Vec<String> {
    let covers = |budget: &&PodDisruptionBudget| {
        let Some(selector) = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref()) else {
            return false;
        };
        // Of a budget, unlike a pool, the empty selector covers every pod of the namespace.
        budget.metadata.namespace == pod.metadata.namespace
            && Selector::new(Some(selector))
                .is_ok_and(|selector| selector.is_empty() || selector.selects(pod.metadata.labels.as_ref()))
    };
    let names = budgets.iter().filter(covers);
    names.filter_map(|budget| budget.metadata.name.clone()).collect()
}

/// What keeps a pod of a node that is drained, as far as that can be told without asking it to go: that it goes already, or budgets that
/// allow no eviction now. None for a pod that stays or can be evicted. The budgets may be of any namespace.
#[must_use]
pub fn held_by(pod: &Pod, budgets: &[PodDisruptionBudget]) -> Option<Cause> {
    match fate(pod) {
        Fate::Stays => return None,
        Fate::Terminating => {
            let since = pod.metadata.deletion_timestamp.as_ref().map(|time| time.0);
            return Some(Cause::Terminating(since));
        }
        Fate::Evict => {}
    }
    let covering = budgets_of(pod, budgets);
    let full = budgets.iter().filter_map(|budget| {
        let name = budget.metadata.name.clone()?;
        let status = budget.status.as_ref()?;
        let covers = budget.metadata.namespace == pod.metadata.namespace && covering.contains(&name);
        let said = format!(
            "it needs {} healthy pods and has {}",
            status.desired_healthy, status.current_healthy
        );
        (covers && status.disruptions_allowed <= 0).then_some((name, said))
    });
    let (names, said): (Vec<_>, Vec<_>) = full.unzip();
    (!names.is_empty()).then(|| Cause::Budget {
        names,
        said: said.join("; "),
    })
}

impl Hindrance {
    /// Of a pod.
    #[must_use]
    pub fn of(pod: &Pod, cause: Cause) -> Self {
        Self {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            pod: pod.metadata.name.clone().unwrap_or_default(),
            owner: owner(pod),
            cause,
        }
    }

    /// Whether it will not pass by itself.
    #[must_use]
    pub fn blocks(&self) -> bool {
        match self.cause {
            Cause::Budget { .. } | Cause::Refused(_) => true,
            Cause::Terminating(_) => false,
        }
    }
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod {}/{}", self.namespace, self.pod)?;
        if !self.owner.is_empty() {
            write!(f, " of {}", self.owner)?;
        }
        match &self.cause {
            Cause::Budget { names, said } if names.is_empty() => {
                write!(f, " is kept by a PodDisruptionBudget: {said}")
            }
            Cause::Budget { names, said } => {
                write!(f, " is kept by PodDisruptionBudget {}: {said}", names.join(", "))
            }
            Cause::Refused(said) => write!(f, " cannot be evicted: {said}"),
            Cause::Terminating(Some(since)) => write!(f, " is to end since {}", second(*since)),
            Cause::Terminating(None) => f.write_str(" is to end"),
        }
    }
}

/// What holds a drain up, with what to do about it; those that will not pass by themselves come first. Empty when nothing does.
#[must_use]
pub fn message(node: &str, hindrances: &[Hindrance]) -> String {
    let mut sorted: Vec<_> = hindrances.iter().collect();
    sorted.sort_by_key(|hindrance| (!hindrance.blocks(), *hindrance));
    let text = named(&sorted);
    if sorted.first().is_some_and(|first| first.blocks()) {
        Finding::error(Code::DRAIN_BLOCKED, format!("Node/{node}"), "", text).to_string()
    } else {
        text
    }
}

/// The pods that hold a drain up, out of a [`message`]: without its code and what to do, which are the same each time.
#[must_use]
pub fn bare<'a>(node: &str, message: &'a str) -> &'a str {
    let around = Finding::error(Code::DRAIN_BLOCKED, format!("Node/{node}"), "", "\0").to_string();
    let (before, after) = around.split_once('\0').unwrap_or_default();
    let text = message.strip_prefix(before).unwrap_or(message);
    text.strip_suffix(after).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "the callers make it in place")]
    fn pod(name: &str, metadata: Value) -> Pod {
        let mut all = json!({"name": name, "namespace": "shop"});
        for (key, value) in metadata.as_object().unwrap() {
            all[key] = value.clone();
        }
        serde_json::from_value(json!({"metadata": all})).unwrap()
    }

    fn kept_by(kind: &str, controller: bool) -> Value {
        json!({"ownerReferences": [{"apiVersion": "v1", "kind": kind, "name": "web-1", "uid": "u", "controller": controller}]})
    }

    #[test]
    fn daemons_and_the_kubelets_own_pods_stay_and_all_others_go() {
        let table = [
            (json!({}), Fate::Evict),
            (kept_by("ReplicaSet", true), Fate::Evict),
            (kept_by("DaemonSet", true), Fate::Stays),
            (kept_by("DaemonSet", false), Fate::Evict),
            (json!({"annotations": {MIRROR: "x"}}), Fate::Stays),
            (
                json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}),
                Fate::Terminating,
            ),
        ];
        for (metadata, expected) in table {
            assert_eq!(fate(&pod("p", metadata.clone())), expected, "{metadata}");
        }
    }

    #[test]
    fn budgets_cover_pods_of_their_namespace_by_label_and_the_empty_selector_all() {
        let budget = |name: &str, namespace: &str, selector: Value| -> PodDisruptionBudget {
            serde_json::from_value(
                json!({"metadata": {"name": name, "namespace": namespace}, "spec": {"selector": selector}}),
            )
            .unwrap()
        };
        let budgets = [
            budget("web", "shop", json!({"matchLabels": {"app": "web"}})),
            budget("other", "shop", json!({"matchLabels": {"app": "other"}})),
            budget("elsewhere", "bank", json!({"matchLabels": {"app": "web"}})),
            budget("all", "shop", json!({})),
            budget("none", "shop", Value::Null),
        ];
        let web = pod("web-1-a", json!({"labels": {"app": "web"}}));
        assert_eq!(budgets_of(&web, &budgets), ["web", "all"]);
    }

    #[test]
    fn a_pod_is_held_by_a_budget_that_allows_no_eviction_and_by_no_other() {
        let budget = |name: &str, allowed: i32| -> PodDisruptionBudget {
            serde_json::from_value(json!({
                "metadata": {"name": name, "namespace": "shop"}, "spec": {"selector": {}},
                "status": {"disruptionsAllowed": allowed, "currentHealthy": 2, "desiredHealthy": 2, "expectedPods": 2},
            }))
            .unwrap()
        };
        let budgets = [budget("free", 1), budget("full", 0)];
        let held = |metadata: Value| held_by(&pod("p", metadata), &budgets);
        let expected = Cause::Budget {
            names: vec!["full".into()],
            said: "it needs 2 healthy pods and has 2".into(),
        };
        assert_eq!(held(json!({})), Some(expected));
        assert_eq!(held_by(&pod("p", json!({})), &budgets[..1]), None);
        assert_eq!(held(kept_by("DaemonSet", true)), None);
        let gone = held(json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}));
        assert!(matches!(gone, Some(Cause::Terminating(Some(_)))), "{gone:?}");
    }

    #[test]
    fn the_pods_of_a_message_can_be_told_without_its_code() {
        let blocked = Hindrance::of(&pod("a", json!({})), Cause::Refused("no".into()));
        let text = message("n1", &[blocked]);
        assert_eq!(bare("n1", &text), "pod shop/a cannot be evicted: no");
        assert_eq!(bare("n1", "pod shop/a is to end"), "pod shop/a is to end");
    }

    #[test]
    fn a_message_names_pod_owner_and_budget_and_says_what_to_do() {
        let blocked = Hindrance::of(
            &pod("web-1-a", kept_by("ReplicaSet", true)),
            Cause::Budget {
                names: vec!["web".into()],
                said: "needs 1 healthy pods and has 1 currently".into(),
            },
        );
        let going = Hindrance::of(&pod("a", json!({})), Cause::Terminating(None));
        let text = message("n1", &[going.clone(), blocked]);
        assert!(text.starts_with("MC8008 Node/n1: pod shop/web-1-a of ReplicaSet/web-1 is kept by PodDisruptionBudget web: needs 1"), "{text}");
        assert!(
            text.contains("pod shop/a is to end") && text.contains("relax the PodDisruptionBudget"),
            "{text}"
        );
        assert_eq!(message("n1", &[going]), "pod shop/a is to end");
        assert_eq!(message("n1", &[]), "");
    }
}
