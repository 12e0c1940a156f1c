//! What is wrong with a MachineConfigPool by itself.

use crds::MachineConfigPool;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Selector;
use crate::{Code, Finding};

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
    const FIELD: &str = "spec.maxUnavailable";
    let number = match value {
        IntOrString::Int(number) => Some(i64::from(*number)),
        IntOrString::String(text) => percentage(text),
    };
    match number {
        None | Some(i64::MIN..0) => {
            let shown = match value {
                IntOrString::Int(number) => number.to_string(),
                IntOrString::String(text) => format!("{text:?}"),
            };
            let message = format!("{shown} is neither a number of nodes nor a percentage");
            Some(Finding::error(Code::MAX_UNAVAILABLE, object, FIELD, message))
        }
        Some(0) => {
            let message = "0 counts as 1";
            let remedy = "Write 1, or set spec.paused to stop the rollout.";
            Some(Finding::warning(Code::MAX_UNAVAILABLE, object, FIELD, message).remedy(remedy))
        }
        Some(_) => None,
    }
}

/// The number in `N%`, digits only.
fn percentage(text: &str) -> Option<i64> {
    let digits = text.strip_suffix('%')?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
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
