//! What is wrong with the policy of a MachineConfiguration, said of that object.

use crds::MachineConfiguration;
use machineconfig::Finding;

/// Every finding about its NodeDisruptionPolicy; the rules themselves know of none but `cluster`.
pub(crate) fn findings(object: &MachineConfiguration) -> Vec<Finding> {
    let Some(policy) = &object.spec.node_disruption_policy else {
        return Vec::new();
    };
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let of_this = |finding| Finding {
        object: format!("MachineConfiguration/{name}"),
        ..finding
    };
    machineconfig::policy::check(policy)
        .into_iter()
        .map(of_this)
        .collect()
}
