//! What is wrong with a MachineConfigPool by itself.

use crds::MachineConfigPool;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Selector;
use super::node::ARBITER;
use crate::{Code, Finding};

/// The field that says how many nodes may be unavailable.
const MAX_UNAVAILABLE: &str = "spec.maxUnavailable";

/// What is wrong with a pool by itself, errors and warnings: selectors that Kubernetes does not accept, and a
/// maxUnavailable that is no number of nodes (the reference then silently never updates a node, or takes 0 for 1).
#[must_use]
pub fn check(pool: &MachineConfigPool) -> Vec<Finding> {
    let object = format!(
        "MachineConfigPool/{}",
        pool.metadata.name.as_deref().unwrap_or_default()
    );
    let spec = &pool.spec;
    let selectors = [
        (
            "spec.machineConfigSelector",
            spec.machine_config_selector.as_ref(),
        ),
        ("spec.nodeSelector", spec.node_selector.as_ref()),
    ];
    let mut findings: Vec<_> = name(pool).into_iter().collect();
    for (field, selector) in selectors {
        let problems = Selector::new(selector).err().into_iter().flatten();
        findings.extend(problems.map(|problem| problem.finding(&object, field)));
    }
    findings.extend(
        spec.max_unavailable
            .as_ref()
            .and_then(|value| max_unavailable(&object, value)),
    );
    findings
}

/// Rendered configs, labels and files are named after the pool.
fn name(pool: &MachineConfigPool) -> Option<Finding> {
    let name = pool.metadata.name.as_deref().unwrap_or_default();
    if super::is_subdomain(name) {
        return None;
    }
    let message = format!("{name:?} is no name that Kubernetes accepts");
    Some(Finding::error(
        Code::POOL_NAME,
        format!("MachineConfigPool/{name}"),
        "metadata.name",
        message,
    ))
}

fn max_unavailable(object: &str, value: &IntOrString) -> Option<Finding> {
    match Amount::of(value) {
        None => Some(malformed(object, value)),
        Some(Amount::Nodes(0) | Amount::Percent(0)) => {
            let message = "0 counts as 1";
            let remedy = "Write 1, or set spec.paused to stop the rollout.";
            Some(Finding::warning(Code::MAX_UNAVAILABLE, object, MAX_UNAVAILABLE, message).remedy(remedy))
        }
        Some(Amount::Nodes(_) | Amount::Percent(_)) => None,
    }
}

fn malformed(object: &str, value: &IntOrString) -> Finding {
    let shown = match value {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => format!("{text:?}"),
    };
    let message = format!("{shown} is neither a number of nodes nor a percentage");
    Finding::error(Code::MAX_UNAVAILABLE, object, MAX_UNAVAILABLE, message)
}

/// How many of `machines` nodes of a pool may be unavailable at once: 1 when nothing is said, and never less; a percentage is
/// rounded down. One at a time in the arbiter pool, whatever it says (MCO controller 3.6). Refused: what is neither a number nor a
/// percentage, and negative numbers.
pub fn limit(pool: &MachineConfigPool, machines: usize) -> Result<usize, Finding> {
    let name = pool.metadata.name.as_deref().unwrap_or_default();
    let Some(value) = pool.spec.max_unavailable.as_ref().filter(|_| name != ARBITER) else {
        return Ok(1);
    };
    let nodes = match Amount::of(value) {
        None => return Err(malformed(&format!("MachineConfigPool/{name}"), value)),
        Some(Amount::Nodes(nodes)) => nodes,
        Some(Amount::Percent(percent)) => machines.saturating_mul(percent) / 100,
    };
    Ok(nodes.max(1))
}

/// What maxUnavailable says.
enum Amount {
    Nodes(usize),
    Percent(usize),
}

impl Amount {
    /// Of a value that is one.
    fn of(value: &IntOrString) -> Option<Self> {
        match value {
            IntOrString::Int(number) => usize::try_from(*number).ok().map(Amount::Nodes),
            IntOrString::String(text) => {
                let digits = text.strip_suffix('%')?;
                let digits = digits.bytes().all(|b| b.is_ascii_digit()).then_some(digits)?;
                digits.parse().ok().map(Amount::Percent)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(spec: Value) -> Vec<(Code, bool, String)> {
        let mut pool = MachineConfigPool::new("edge", serde_json::from_value(spec).unwrap());
        pool.metadata.name = Some("edge".into());
        let findings = check(&pool).into_iter();
        findings
            .inspect(|finding| assert_eq!(finding.object, "MachineConfigPool/edge"))
            .map(|finding| (finding.code, finding.is_error(), finding.field))
            .collect()
    }

    #[test]
    fn max_unavailable_is_a_number_of_nodes_or_a_percentage() {
        let refused = [
            json!(-1),
            json!("-1%"),
            json!("10"),
            json!("ten%"),
            json!("%"),
            json!(""),
            json!("1.5%"),
            json!("+1%"),
        ];
        for value in refused {
            let expected = (Code::MAX_UNAVAILABLE, true, "spec.maxUnavailable".to_owned());
            assert_eq!(found(json!({ "maxUnavailable": value })), [expected], "{value}");
        }
        for value in [json!(0), json!("0%")] {
            let expected = (Code::MAX_UNAVAILABLE, false, "spec.maxUnavailable".to_owned());
            assert_eq!(found(json!({ "maxUnavailable": value })), [expected], "{value}");
        }
        for value in [json!(1), json!(250), json!("1%"), json!("100%"), Value::Null] {
            assert_eq!(found(json!({ "maxUnavailable": value })), [], "{value}");
        }
    }

    #[test]
    fn the_limit_is_a_number_or_rounded_down_and_at_least_one() {
        let table = [
            (Value::Null, 5, 1),
            (json!(0), 5, 1),
            (json!(3), 5, 3),
            (json!(9), 5, 9),
            (json!("50%"), 4, 2),
            (json!("60%"), 4, 2),
            (json!("10%"), 3, 1),
            (json!("30%"), 7, 2),
            (json!("0%"), 7, 1),
            (json!("100%"), 7, 7),
            (json!("18446744073709551615%"), 7, usize::MAX / 100),
        ];
        let pool = |name: &str, value: &Value| {
            MachineConfigPool::new(
                name,
                serde_json::from_value(json!({ "maxUnavailable": value })).unwrap(),
            )
        };
        for (value, machines, expected) in table {
            assert_eq!(limit(&pool("edge", &value), machines), Ok(expected), "{value}");
            assert_eq!(limit(&pool("arbiter", &value), machines), Ok(1), "{value}");
        }
        for value in [
            json!("60"),
            json!("40 %"),
            json!("50 percent"),
            json!(-1),
            json!("-5%"),
            json!("%"),
        ] {
            let finding = limit(&pool("edge", &value), 4).unwrap_err();
            assert_eq!(finding.code, Code::MAX_UNAVAILABLE);
            assert_eq!(finding.object, "MachineConfigPool/edge");
        }
    }

    #[test]
    fn a_pool_has_a_name_that_files_and_objects_can_have() {
        for (name, accepted) in [
            ("edge", true),
            ("edge-1.b", true),
            ("../edge", false),
            ("Edge", false),
            ("", false),
        ] {
            let mut pool =
                MachineConfigPool::new("", crds::machine_config_pool::MachineConfigPoolSpec::default());
            pool.metadata.name = Some(name.into());
            let codes: Vec<_> = check(&pool).into_iter().map(|finding| finding.code).collect();
            assert_eq!(codes.is_empty(), accepted, "{name}");
            assert!(accepted || codes == [Code::POOL_NAME]);
        }
    }

    #[test]
    fn both_selectors_are_checked() {
        let bad = json!({"matchExpressions": [{"key": "a", "operator": "Has"}]});
        let fields: Vec<_> = found(json!({"machineConfigSelector": bad, "nodeSelector": bad}))
            .into_iter()
            .map(|(code, error, field)| {
                assert_eq!((code, error), (Code::POOL_SELECTOR, true));
                field
            })
            .collect();
        assert_eq!(
            fields,
            [
                "spec.machineConfigSelector.matchExpressions[0].operator",
                "spec.nodeSelector.matchExpressions[0].operator"
            ]
        );
    }
}
