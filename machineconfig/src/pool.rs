//! What a pool is made of and how it stands: selectors and the MachineConfigs they select (MCO controller 0.6, 2.2), which pool decides
//! about a node, what a node says about itself, and the pool's status (MCO controller 3.2, 3.3, 3.9).
//!
//! Entry points: [`machine_configs_for`], [`membership()`] and [`status()`]. A selector that is absent or `{}` selects nothing.

mod account;
mod built_in;
mod check;
pub mod conditions;
mod control_plane;
mod membership;
mod node;
mod status;

use std::collections::BTreeMap;
use std::fmt;

use crds::{MachineConfig, annotations};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use crate::{Code, Finding};

pub(crate) use account::named;
pub use account::{Account, summary};
pub use built_in::{BUILT_IN, built_in, is_built_in};
pub use check::{check, limit};
pub use control_plane::upkeep;
pub use membership::{Membership, Pools, labels_of, membership, started_for};
pub(crate) use node::second;
pub use node::{NodeView, Progress, State, Unready};
pub use status::{Counting, completed, status};

/// A label key's name and a label value are at most this many characters (Kubernetes labels).
const MAX_LABEL: usize = 63;
/// A label key's prefix is at most this many characters (Kubernetes labels).
const MAX_PREFIX: usize = 253;

/// A label selector whose every part is known to be valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
}

/// One part of a selector that Kubernetes would refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectorProblem {
    /// Where, from the selector on: `matchExpressions[0].operator`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

// === impl Selector ===

impl Selector {
    /// Reads a selector, with every problem it has. Absent is the same as `{}`: it selects nothing.
    pub fn new(selector: Option<&LabelSelector>) -> Result<Self, Vec<SelectorProblem>> {
        let mut requirements = Vec::new();
        let mut problems = Vec::new();
        let labels = selector.and_then(|s| s.match_labels.as_ref());
        for (key, value) in labels.into_iter().flatten() {
            let path = format!("matchLabels[{key}]");
            check_key(key, &path, &mut problems);
            check_value(value, &path, &mut problems);
            requirements.push(Requirement {
                key: key.clone(),
                operator: Operator::In(vec![value.clone()]),
            });
        }
        let expressions = selector.and_then(|s| s.match_expressions.as_ref());
        for (index, expression) in expressions.into_iter().flatten().enumerate() {
            let path = format!("matchExpressions[{index}]");
            check_key(&expression.key, &format!("{path}.key"), &mut problems);
            if let Some(operator) = operator(expression, &path, &mut problems) {
                requirements.push(Requirement {
                    key: expression.key.clone(),
                    operator,
                });
            }
        }
        if problems.is_empty() {
            Ok(Self { requirements })
        } else {
            Err(problems)
        }
    }

    /// Whether nothing is asked for (absent, `{}`): such a selector selects nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether an object with these labels is selected.
    #[must_use]
    pub fn selects(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        let matches = |requirement: &Requirement| {
            let value = labels.and_then(|labels| labels.get(&requirement.key));
            match &requirement.operator {
                Operator::In(values) => value.is_some_and(|value| values.contains(value)),
                Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
            }
        };
        !self.is_empty() && self.requirements.iter().all(matches)
    }
}

fn operator(
    expression: &LabelSelectorRequirement,
    path: &str,
    problems: &mut Vec<SelectorProblem>,
) -> Option<Operator> {
    let values = expression.values.clone().unwrap_or_default();
    let wants_values = matches!(expression.operator.as_str(), "In" | "NotIn");
    let operator = match expression.operator.as_str() {
        "In" => Operator::In(values.clone()),
        "NotIn" => Operator::NotIn(values.clone()),
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => {
            problems.push(SelectorProblem {
                path: format!("{path}.operator"),
                message: format!("{other:?} is not an operator"),
                remedy: "Use In, NotIn, Exists or DoesNotExist.".into(),
            });
            return None;
        }
    };
    if wants_values == values.is_empty() {
        let rule = if wants_values {
            "needs at least one value"
        } else {
            "takes no values"
        };
        problems.push(SelectorProblem {
            path: format!("{path}.values"),
            message: format!("operator {} {rule}", expression.operator),
            remedy: if wants_values {
                "List the values"
            } else {
                "Remove the values"
            }
            .into(),
        });
    }
    for (index, value) in values.iter().enumerate() {
        check_value(value, &format!("{path}.values[{index}]"), problems);
    }
    Some(operator)
}

/// `[prefix/]name`: the prefix a DNS subdomain, the name like a value but not empty.
fn check_key(key: &str, path: &str, problems: &mut Vec<SelectorProblem>) {
    let (prefix, name) = key
        .split_once('/')
        .map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if is_label_name(name) && prefix.is_none_or(is_subdomain) {
        return;
    }
    problems.push(SelectorProblem {
        path: path.to_owned(),
        message: format!("{key:?} is not a label key"),
        remedy: "Use name or dns.prefix/name, the name of at most 63 letters, digits, '-', '_' and '.'"
            .into(),
    });
}

fn check_value(value: &str, path: &str, problems: &mut Vec<SelectorProblem>) {
    if value.is_empty() || is_label_name(value) {
        return;
    }
    problems.push(SelectorProblem {
        path: path.to_owned(),
        message: format!("{value:?} is not a label value"),
        remedy: "Use at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends"
            .into(),
    });
}

fn is_label_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    bytes.len() <= MAX_LABEL
        && ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

pub(crate) fn is_subdomain(text: &str) -> bool {
    let lower = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= MAX_PREFIX
        && text.split('.').all(|label| {
            let bytes = label.as_bytes();
            [bytes.first(), bytes.last()]
                .iter()
                .all(|end| end.is_some_and(lower))
                && bytes.iter().all(|b| lower(b) || *b == b'-')
        })
}

// === impl SelectorProblem ===

impl SelectorProblem {
    /// The finding about a selector that is the field `field` of `object`, such as `spec.machineConfigSelector`.
    #[must_use]
    pub fn finding(self, object: &str, field: &str) -> Finding {
        Finding::error(
            Code::POOL_SELECTOR,
            object,
            format!("{field}.{}", self.path),
            self.message,
        )
        .remedy(self.remedy)
    }
}

impl fmt::Display for SelectorProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

// === selection ===

/// The MachineConfigs that the pool named `pool` with this `spec.machineConfigSelector` is rendered from, in the order
/// given. Refused: a selector that is unusable, is absent or `{}`, or selects nothing (MCO render 2.2).
pub fn machine_configs_for<'a>(
    pool: &str,
    selector: Option<&LabelSelector>,
    configs: &'a [MachineConfig],
) -> Result<Vec<&'a MachineConfig>, Vec<Finding>> {
    const FIELD: &str = "spec.machineConfigSelector";
    let object = format!("MachineConfigPool/{pool}");
    let usable = Selector::new(selector).map_err(|problems| {
        problems
            .into_iter()
            .map(|p| p.finding(&object, FIELD))
            .collect::<Vec<_>>()
    })?;
    let refuse = |message: &str| Finding::error(Code::POOL_SELECTS_NOTHING, object.clone(), FIELD, message);
    if usable.is_empty() {
        let message = if selector.is_some() {
            "an empty selector selects nothing"
        } else {
            "there is no selector"
        };
        let remedy = format!(
            "Select by label, such as matchLabels: {{{}: {pool}}}.",
            annotations::ROLE
        );
        return Err(vec![refuse(message).remedy(remedy)]);
    }
    let selected: Vec<_> = configs
        .iter()
        .filter(|config| usable.selects(config.metadata.labels.as_ref()))
        .collect();
    if selected.is_empty() {
        return Err(vec![refuse("selects no MachineConfig")]);
    }
    Ok(selected)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn selector(value: Value) -> LabelSelector {
        serde_json::from_value(value).unwrap()
    }

    fn config(name: &str, labels: Value) -> MachineConfig {
        let mut config = MachineConfig::new(name, crds::MachineConfigSpec::default());
        config.metadata.labels = serde_json::from_value(labels).unwrap();
        config
    }

    #[test]
    fn selectors_select_as_kubernetes_does_except_that_the_empty_one_selects_nothing() {
        let expression = |e: Value| json!({"matchExpressions": [e]});
        let labels = json!({"role": "worker", "tier": ""});
        let table = [
            (json!({}), false),
            (json!({"matchLabels": {}}), false),
            (json!({"matchLabels": {}, "matchExpressions": []}), false),
            (json!({"matchLabels": {"role": "worker"}}), true),
            (json!({"matchLabels": {"role": "work"}}), false),
            (json!({"matchLabels": {"tier": ""}}), true),
            (json!({"matchLabels": {"other": ""}}), false),
            (json!({"matchLabels": {"role": "worker", "other": "x"}}), false),
            (
                expression(json!({"key": "role", "operator": "In", "values": ["edge", "worker"]})),
                true,
            ),
            (
                expression(json!({"key": "role", "operator": "In", "values": ["edge"]})),
                false,
            ),
            (
                expression(json!({"key": "other", "operator": "In", "values": ["edge"]})),
                false,
            ),
            (
                expression(json!({"key": "role", "operator": "NotIn", "values": ["edge"]})),
                true,
            ),
            (
                expression(json!({"key": "role", "operator": "NotIn", "values": ["worker"]})),
                false,
            ),
            (
                expression(json!({"key": "other", "operator": "NotIn", "values": ["edge"]})),
                true,
            ),
            (expression(json!({"key": "tier", "operator": "Exists"})), true),
            (expression(json!({"key": "other", "operator": "Exists"})), false),
            (
                expression(json!({"key": "other", "operator": "DoesNotExist", "values": []})),
                true,
            ),
            (
                expression(json!({"key": "tier", "operator": "DoesNotExist"})),
                false,
            ),
            (
                json!({"matchLabels": {"role": "worker"}, "matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}),
                false,
            ),
        ];
        let labels: BTreeMap<String, String> = serde_json::from_value(labels).unwrap();
        for (value, expected) in table {
            let usable = Selector::new(Some(&selector(value.clone()))).unwrap();
            assert_eq!(usable.selects(Some(&labels)), expected, "{value}");
        }
        assert!(!Selector::new(None).unwrap().selects(Some(&labels)));
    }

    #[test]
    fn an_object_without_labels_is_selected_only_by_what_asks_for_absence() {
        let absent = selector(json!({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}));
        let present = selector(json!({"matchExpressions": [{"key": "a", "operator": "Exists"}]}));
        assert!(Selector::new(Some(&absent)).unwrap().selects(None));
        assert!(!Selector::new(Some(&present)).unwrap().selects(None));
    }

    #[test]
    fn every_problem_of_a_selector_is_reported_with_its_place() {
        let bad = selector(json!({
            "matchLabels": {"-a": "ok", "b": "no spaces please", "x/y/z": ""},
            "matchExpressions": [
                {"key": "a", "operator": "in", "values": ["x"]},
                {"key": "a", "operator": "In"},
                {"key": "a", "operator": "Exists", "values": ["x"]},
                {"key": "Upper.example/a", "operator": "NotIn", "values": ["ok", "-"]},
                {"key": "", "operator": "Exists"},
            ],
        }));
        let paths: Vec<_> = Selector::new(Some(&bad))
            .unwrap_err()
            .into_iter()
            .map(|p| p.path)
            .collect();
        assert_eq!(
            paths,
            [
                "matchLabels[-a]",
                "matchLabels[b]",
                "matchLabels[x/y/z]",
                "matchExpressions[0].operator",
                "matchExpressions[1].values",
                "matchExpressions[2].values",
                "matchExpressions[3].key",
                "matchExpressions[3].values[1]",
                "matchExpressions[4].key",
            ]
        );
    }

    #[test]
    fn label_names_have_bounds() {
        assert!(is_label_name(&"a".repeat(63)));
        assert!(!is_label_name(&"a".repeat(64)));
        assert!(is_subdomain(&format!("{}.b", "a".repeat(251))));
        assert!(!is_subdomain(&"a".repeat(254)));
        assert!(!is_subdomain("a..b"));
        assert!(!is_subdomain(""));
    }

    #[test]
    fn a_pool_gets_what_it_selects_in_the_order_given() {
        let configs = [
            config("b", json!({"role": "worker"})),
            config("a", json!({"role": "edge"})),
            config("c", json!({"role": "master"})),
            config("d", json!(null)),
        ];
        let edge = selector(
            json!({"matchExpressions": [{"key": "role", "operator": "In", "values": ["worker", "edge"]}]}),
        );
        let names: Vec<_> = machine_configs_for("edge", Some(&edge), &configs)
            .unwrap()
            .into_iter()
            .map(|config| config.metadata.name.as_deref().unwrap())
            .collect();
        assert_eq!(names, ["b", "a"]);
    }

    #[test]
    fn a_pool_that_selects_nothing_is_refused_and_named() {
        let configs = [config("a", json!({"role": "worker"}))];
        let table = [
            (None, Code::POOL_SELECTS_NOTHING, "spec.machineConfigSelector"),
            (
                Some(json!({})),
                Code::POOL_SELECTS_NOTHING,
                "spec.machineConfigSelector",
            ),
            (
                Some(json!({"matchLabels": {"role": "x"}})),
                Code::POOL_SELECTS_NOTHING,
                "spec.machineConfigSelector",
            ),
            (
                Some(json!({"matchLabels": {"role": "?"}})),
                Code::POOL_SELECTOR,
                "spec.machineConfigSelector.matchLabels[role]",
            ),
        ];
        for (value, code, field) in table {
            let given = value.map(selector);
            let findings = machine_configs_for("edge", given.as_ref(), &configs).unwrap_err();
            assert_eq!(findings.len(), 1);
            assert_eq!((findings[0].code, findings[0].field.as_str()), (code, field));
            assert_eq!(findings[0].object, "MachineConfigPool/edge");
            assert!(!findings[0].remedy.is_empty());
        }
    }

    proptest! {
        #[test]
        fn not_in_is_the_opposite_of_in(
            labels in prop::collection::btree_map("[ab]", "[xy]", 0..3),
            key in "[ab]",
            values in prop::collection::vec("[xyz]", 1..3),
        ) {
            let one = |operator: &str| {
                Selector::new(Some(&selector(json!({
                    "matchExpressions": [{"key": key, "operator": operator, "values": values}]
                }))))
                .unwrap()
                .selects(Some(&labels))
            };
            prop_assert_ne!(one("In"), one("NotIn"));
        }
    }
}
