//! The status of MachineConfiguration `cluster`: the NodeDisruptionPolicy that nodes go by, defaults and the user's entries merged.

use anyhow::{Context as _, Result};
use crds::MachineConfiguration;
use crds::condition::{Condition, ConditionStatus};
use crds::machine_configuration::{MachineConfigurationStatus, NodeDisruptionPolicyStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machineconfig::Policy;
use serde_json::json;

use crate::api::apply_status;
use crate::context::Context;
use crate::defaults::SETTINGS;
use crate::queue::Next;

/// Whose fields these are.
const MANAGER: &str = "machine-config-controller-policy";
/// The key that it is looked after by.
pub(crate) const KEY: &str = "policy";
/// Our own condition: whether the policy in the spec can be used.
const VALID: &str = "machine-config.io/NodeDisruptionPolicyValid";

/// Writes the status when it is not what it should be.
pub(crate) async fn reconcile(context: &Context) -> Result<Next> {
    let Some(settings) = context.caches.settings.get(SETTINGS) else {
        return Ok(Next::Done);
    };
    let wanted = status(&settings, Timestamp::now());
    let current = settings.status.clone().unwrap_or_default();
    let is_said = current.observed_generation == wanted.observed_generation
        && current.node_disruption_policy_status == wanted.node_disruption_policy_status
        && wanted
            .conditions
            .iter()
            .all(|condition| current.conditions.contains(condition));
    if is_said {
        return Ok(Next::Done);
    }
    let fields = json!({
        "apiVersion": "operator.openshift.io/v1", "kind": "MachineConfiguration",
        "metadata": {"name": SETTINGS, "uid": settings.metadata.uid},
        "status": wanted,
    });
    apply_status(&context.api::<MachineConfiguration>(), MANAGER, SETTINGS, &fields)
        .await
        .context("could not write the status of MachineConfiguration/cluster")?;
    context.health.metrics.wrote("MachineConfiguration");
    Ok(Next::Done)
}

/// The status that a MachineConfiguration is to have, as far as it is ours. A policy that is refused leaves the one before in force.
fn status(settings: &MachineConfiguration, now: Timestamp) -> MachineConfigurationStatus {
    let user = settings.spec.node_disruption_policy.clone().unwrap_or_default();
    let before = settings.status.as_ref();
    let in_force = before.and_then(|status| status.node_disruption_policy_status.clone());
    let (policy, problem) = match Policy::merge(&user) {
        Ok(policy) => (policy.cluster_policies(), String::new()),
        Err(findings) => {
            let texts: Vec<_> = findings.iter().map(ToString::to_string).collect();
            let policy = in_force.map(|status| status.cluster_policies);
            (
                policy.unwrap_or_else(|| Policy::default().cluster_policies()),
                texts.join("; "),
            )
        }
    };
    MachineConfigurationStatus {
        observed_generation: settings.metadata.generation,
        conditions: vec![valid(settings, problem, now)],
        node_disruption_policy_status: Some(NodeDisruptionPolicyStatus {
            cluster_policies: policy,
        }),
        ..MachineConfigurationStatus::default()
    }
}

fn valid(settings: &MachineConfiguration, problem: String, now: Timestamp) -> Condition {
    let (status, reason) = if problem.is_empty() {
        (ConditionStatus::True, "AsExpected")
    } else {
        (ConditionStatus::False, "Refused")
    };
    let conditions = settings.status.iter().flat_map(|status| &status.conditions);
    let since = conditions
        .filter(|condition| condition.type_ == VALID && condition.status == status)
        .map(|condition| condition.last_transition_time.clone())
        .next();
    Condition {
        type_: VALID.to_owned(),
        status,
        observed_generation: settings.metadata.generation,
        last_transition_time: since
            .unwrap_or_else(|| Time(Timestamp::from_second(now.as_second()).unwrap_or(now))),
        reason: reason.to_owned(),
        message: problem,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "the callers make it in place")]
    fn settings(policy: Value, status: Option<MachineConfigurationStatus>) -> MachineConfiguration {
        let mut settings: MachineConfiguration = serde_json::from_value(json!({
            "apiVersion": "operator.openshift.io/v1", "kind": "MachineConfiguration",
            "metadata": {"name": "cluster", "generation": 3}, "spec": {"nodeDisruptionPolicy": policy},
        }))
        .unwrap();
        settings.status = status;
        settings
    }

    fn actions(status: &MachineConfigurationStatus, path: &str) -> usize {
        let policy = &status
            .node_disruption_policy_status
            .as_ref()
            .unwrap()
            .cluster_policies;
        policy.files.iter().filter(|file| file.path == path).count()
    }

    #[test]
    fn entries_are_merged_over_the_defaults_and_a_refused_policy_changes_nothing() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let entry = |path: &str| json!({"files": [{"path": path, "actions": [{"type": "None"}]}]});
        let good = status(&settings(entry("/etc/a"), None), at(1));
        assert_eq!(
            (
                actions(&good, "/etc/a"),
                actions(&good, "/etc/containers/policy.json")
            ),
            (1, 1)
        );
        assert_eq!(good.observed_generation, Some(3));
        let bad = status(&settings(entry("etc/b"), Some(good.clone())), at(2));
        assert_eq!(
            bad.node_disruption_policy_status,
            good.node_disruption_policy_status
        );
        let condition = &bad.conditions[0];
        assert_eq!(
            (condition.status, condition.last_transition_time.0),
            (ConditionStatus::False, at(2))
        );
        assert!(condition.message.contains("etc/b"), "{}", condition.message);
        let fresh = status(&settings(entry("etc/b"), None), at(2));
        assert_eq!(actions(&fresh, "/etc/containers/policy.json"), 1);
        let again = status(&settings(entry("/etc/a"), Some(good.clone())), at(9));
        assert_eq!(again.conditions, good.conditions);
    }
}
