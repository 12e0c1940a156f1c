//! Which pool decides about a node (MCO controller 3.2).

use crds::{MachineConfigPool, annotations};
use k8s_openapi::api::core::v1::Node;

use super::Selector;
use crate::{Code, Finding};

/// Name of the pool that wins over all others.
const MASTER: &str = "master";
/// Name of the pool that gives way to all others.
const WORKER: &str = "worker";
/// Label of a node: its operating system. Windows nodes are never managed.
const OS: &str = "kubernetes.io/os";

/// The pools of a cluster, with their node selectors read once.
#[derive(Debug, Clone)]
pub struct Pools<'a> {
    pools: Vec<(&'a MachineConfigPool, Result<Selector, String>)>,
}

/// The pools that select a node, by what they have to say about it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Membership<'a> {
    /// The pool whose config the node is to have.
    pub pool: &'a MachineConfigPool,
    /// The pool that would decide if that one did not: worker, for a node of a custom pool.
    pub behind: Option<&'a MachineConfigPool>,
    /// A custom pool that selects the node in vain, since it is a master.
    pub ignored: Option<&'a MachineConfigPool>,
}

impl<'a> Pools<'a> {
    /// Of all pools of the cluster, in any order.
    #[must_use]
    pub fn new(pools: &'a [MachineConfigPool]) -> Self {
        let read = |pool: &'a MachineConfigPool| {
            let selector = Selector::new(pool.spec.node_selector.as_ref());
            let text = |problems: Vec<super::SelectorProblem>| {
                problems.first().map(ToString::to_string).unwrap_or_default()
            };
            (pool, selector.map_err(text))
        };
        Self {
            pools: pools.iter().map(read).collect(),
        }
    }

    /// The nodes of the pool of that name, in the order given. Nodes that nobody can tell the pool of are in none.
    #[must_use]
    pub fn members<'n>(&self, pool: &str, nodes: &'n [Node]) -> Vec<&'n Node> {
        let is_member = |node: &&Node| {
            membership(node, self)
                .ok()
                .flatten()
                .is_some_and(|membership| name(membership.pool) == pool)
        };
        nodes.iter().filter(is_member).collect()
    }
}

/// Which pool decides about a node: a custom pool wins over worker, master wins over custom pools; none for a node that no
/// pool selects, and for Windows. Refused: a node of two custom pools, and one that a pool whose selector cannot be read
/// may have a claim to.
pub fn membership<'a>(node: &Node, pools: &Pools<'a>) -> Result<Option<Membership<'a>>, Finding> {
    let labels = node.metadata.labels.as_ref();
    if labels.is_some_and(|labels| labels.get(OS).is_some_and(|os| os == "windows")) {
        return Ok(None);
    }
    let (mut master, mut worker, mut custom, mut unread) = (None, None, Vec::new(), Vec::new());
    for (pool, selector) in &pools.pools {
        match selector {
            Err(problem) => unread.push((name(pool), problem)),
            Ok(selector) if !selector.selects(labels) => {}
            Ok(_) => match name(pool) {
                MASTER => master = Some(*pool),
                WORKER => worker = Some(*pool),
                _ => custom.push(*pool),
            },
        }
    }
    if custom.len() > 1 {
        return Err(in_several(node, &custom));
    }
    let custom = custom.first().copied();
    let claims = |pool: &str| match pool {
        MASTER => true,
        WORKER => master.is_none() && custom.is_none(),
        _ => master.is_none(),
    };
    if let Some((pool, problem)) = unread.into_iter().find(|(pool, _)| claims(pool)) {
        return Err(unreadable(node, pool, problem));
    }
    Ok(match (master, custom) {
        (Some(pool), ignored) => Some(Membership {
            pool,
            behind: worker.filter(|_| ignored.is_some()),
            ignored,
        }),
        (None, Some(pool)) => Some(Membership {
            pool,
            behind: worker,
            ignored: None,
        }),
        (None, None) => worker.map(|pool| Membership {
            pool,
            behind: None,
            ignored: None,
        }),
    })
}

fn name(pool: &MachineConfigPool) -> &str {
    pool.metadata.name.as_deref().unwrap_or_default()
}

fn object(node: &Node) -> String {
    format!("Node/{}", node.metadata.name.as_deref().unwrap_or_default())
}

fn in_several(node: &Node, pools: &[&MachineConfigPool]) -> Finding {
    let mut names: Vec<_> = pools.iter().map(|pool| name(pool)).collect();
    names.sort_unstable();
    let message = format!(
        "selected by the custom pools {}, so none of them updates it",
        names.join(", ")
    );
    Finding::error(Code::NODE_IN_POOLS, object(node), "metadata.labels", message)
}

fn unreadable(node: &Node, pool: &str, problem: &str) -> Finding {
    let message = format!(
        "whether it is in the pool {pool} cannot be told, so no pool updates it: spec.nodeSelector.{problem} of that pool"
    );
    let remedy = format!("Correct the nodeSelector of MachineConfigPool/{pool}.");
    Finding::error(Code::NODE_POOL_UNKNOWN, object(node), "metadata.labels", message).remedy(remedy)
}

/// Labels that put a node into a pool, as far as its selector says them: `matchLabels`, an `In` of one value, and `Exists`;
/// `matchLabels` win. For nodes that were started with a custom pool's config and do not carry its labels yet (MCO controller 3.7).
#[must_use]
pub fn labels_of(pool: &MachineConfigPool) -> std::collections::BTreeMap<String, String> {
    let Some(selector) = pool.spec.node_selector.as_ref() else {
        return std::collections::BTreeMap::new();
    };
    let expressions = selector.match_expressions.iter().flatten();
    let mut labels: std::collections::BTreeMap<_, _> = expressions
        .filter_map(|expression| {
            let values = expression.values.as_deref().unwrap_or_default();
            let value = match (expression.operator.as_str(), values) {
                ("In", [value]) => value.clone(),
                ("Exists", _) => String::new(),
                _ => return None,
            };
            Some((expression.key.clone(), value))
        })
        .collect();
    labels.extend(selector.match_labels.clone().into_iter().flatten());
    labels
}

/// The custom pool whose config a node was first started with, when it does not carry that pool's labels yet; `owner` tells
/// the pool that a rendered config belongs to (its first owner). The built-in pools need no labels of ours.
#[must_use]
pub fn started_for<'a>(
    node: &Node,
    owner: impl Fn(&str) -> Option<&'a MachineConfigPool>,
) -> Option<&'a MachineConfigPool> {
    let annotations = node.metadata.annotations.as_ref()?;
    if annotations.contains_key(annotations::CUSTOM_POOL_LABELS_APPLIED) {
        return None;
    }
    let first = annotations.get(annotations::FIRST_PIVOT_CONFIG)?;
    owner(first).filter(|pool| !matches!(name(pool), MASTER | WORKER))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "the callers make it in place")]
    fn pool(name: &str, selector: Value) -> MachineConfigPool {
        serde_json::from_value(json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool",
            "metadata": {"name": name}, "spec": {"nodeSelector": selector},
        }))
        .unwrap()
    }

    fn role(name: &str) -> MachineConfigPool {
        pool(
            name,
            json!({"matchLabels": {format!("node-role.kubernetes.io/{name}"): ""}}),
        )
    }

    fn node(name: &str, roles: &[&str]) -> Node {
        let labels: serde_json::Map<_, _> = roles
            .iter()
            .map(|role| (format!("node-role.kubernetes.io/{role}"), json!("")))
            .collect();
        serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap()
    }

    fn who(node: &Node, pools: &[MachineConfigPool]) -> Result<Option<[String; 3]>, (Code, String)> {
        let text =
            |pool: Option<&MachineConfigPool>| pool.map(|pool| name(pool).to_owned()).unwrap_or_default();
        match membership(node, &Pools::new(pools)) {
            Ok(found) => Ok(found.map(|m| [Some(m.pool), m.behind, m.ignored].map(text))),
            Err(finding) => Err((finding.code, finding.to_string())),
        }
    }

    #[test]
    fn custom_wins_over_worker_and_master_over_custom() {
        let pools = ["worker", "infra", "master", "gpu"].map(role);
        let table: [(&[&str], _); 8] = [
            (&[], None),
            (&["other"], None),
            (&["worker"], Some(["worker", "", ""])),
            (&["infra"], Some(["infra", "", ""])),
            (&["worker", "infra"], Some(["infra", "worker", ""])),
            (&["worker", "master"], Some(["master", "", ""])),
            (&["infra", "master"], Some(["master", "", "infra"])),
            (
                &["infra", "master", "worker"],
                Some(["master", "worker", "infra"]),
            ),
        ];
        for (roles, expected) in table {
            let expected = expected.map(|names| names.map(str::to_owned));
            assert_eq!(who(&node("n", roles), &pools), Ok(expected), "{roles:?}");
        }
    }

    #[test]
    fn two_custom_pools_are_refused_and_named_with_the_node() {
        let pools = ["worker", "infra", "master", "gpu"].map(role);
        for roles in [&["infra", "gpu"][..], &["infra", "gpu", "master"]] {
            let (code, text) = who(&node("two", roles), &pools).unwrap_err();
            assert_eq!(code, Code::NODE_IN_POOLS);
            assert!(text.contains("Node/two") && text.contains("gpu, infra"), "{text}");
        }
        let nodes = [node("a", &["infra"]), node("two", &["infra", "gpu"])];
        let members = Pools::new(&pools).members("infra", &nodes).into_iter();
        assert_eq!(
            members
                .map(|n| n.metadata.name.as_deref().unwrap())
                .collect::<Vec<_>>(),
            ["a"]
        );
    }

    #[test]
    fn windows_and_empty_selectors_are_nobodys() {
        let mut windows = node("w", &["worker"]);
        windows
            .metadata
            .labels
            .as_mut()
            .unwrap()
            .insert(OS.into(), "windows".into());
        assert_eq!(who(&windows, &[role("worker")]), Ok(None));
        assert_eq!(who(&node("n", &["worker"]), &[pool("all", json!({}))]), Ok(None));
        assert_eq!(
            who(&node("n", &["worker"]), &[pool("all", Value::Null)]),
            Ok(None)
        );
    }

    #[test]
    fn a_node_is_not_given_away_while_a_pool_that_may_claim_it_cannot_be_read() {
        let bad = |name: &str| {
            pool(
                name,
                json!({"matchExpressions": [{"key": "a", "operator": "Has"}]}),
            )
        };
        // The unreadable pool, roles of the node, whether somebody decides about it all the same.
        let table: [(&str, &[&str], bool); 8] = [
            ("edge", &["worker"], false),
            ("edge", &["infra"], false),
            ("edge", &[], false),
            ("edge", &["master"], true),
            ("worker", &["infra"], true),
            ("worker", &[], false),
            ("master", &["infra"], false),
            ("master", &["worker"], false),
        ];
        for (unreadable, roles, decided) in table {
            let mut pools = ["worker", "infra", "master"].map(role).to_vec();
            pools.retain(|pool| name(pool) != unreadable);
            pools.push(bad(unreadable));
            let found = who(&node("n", roles), &pools);
            assert_eq!(found.is_ok(), decided, "{unreadable} {roles:?}");
            if let Err((code, text)) = found {
                assert_eq!(code, Code::NODE_POOL_UNKNOWN);
                assert!(
                    text.contains("Node/n") && text.contains(&format!("MachineConfigPool/{unreadable}")),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn a_selector_says_which_labels_it_asks_for() {
        let pool = pool(
            "infra",
            json!({
                "matchLabels": {"a": "1", "b": "2"},
                "matchExpressions": [
                    {"key": "a", "operator": "In", "values": ["other"]},
                    {"key": "c", "operator": "In", "values": ["3"]},
                    {"key": "d", "operator": "In", "values": ["3", "4"]},
                    {"key": "e", "operator": "Exists"},
                    {"key": "f", "operator": "NotIn", "values": ["5"]},
                    {"key": "g", "operator": "DoesNotExist"},
                ],
            }),
        );
        let labels: Vec<_> = labels_of(&pool).into_iter().collect();
        let expected =
            [("a", "1"), ("b", "2"), ("c", "3"), ("e", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(labels, expected);
    }

    #[test]
    fn a_node_is_given_its_first_pools_labels_once() {
        let pools = ["infra", "worker"].map(role);
        let owner = |config: &str| pools.iter().find(|pool| config.contains(name(pool)));
        let started = |annotations: Value| {
            let node: Node =
                serde_json::from_value(json!({"metadata": {"annotations": annotations}})).unwrap();
            started_for(&node, owner).map(name)
        };
        let first = |config: &str| json!({annotations::FIRST_PIVOT_CONFIG: config});
        assert_eq!(started(first("rendered-infra-1")), Some("infra"));
        assert_eq!(started(first("rendered-worker-1")), None);
        assert_eq!(started(first("rendered-gone-1")), None);
        assert_eq!(started(json!({})), None);
        let marked = json!({annotations::FIRST_PIVOT_CONFIG: "rendered-infra-1", annotations::CUSTOM_POOL_LABELS_APPLIED: ""});
        assert_eq!(started(marked), None);
    }
}
