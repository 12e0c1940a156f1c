//! The pools that every cluster has (MCO controller 1.2).

use std::collections::BTreeMap;

use crds::machine_config_pool::MachineConfigPoolSpec;
use crds::{MachineConfigPool, annotations};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Names of the pools that are there when nobody defines them, in the order of their rendering.
pub const BUILT_IN: [&str; 2] = ["master", "worker"];

/// The pool as the system brings it: it selects MachineConfigs by the role and nodes by the role label of that name.
#[must_use]
pub fn built_in(name: &str) -> MachineConfigPool {
    let selector = |key: String, value: &str| {
        Some(LabelSelector {
            match_labels: Some(BTreeMap::from([(key, value.to_owned())])),
            match_expressions: None,
        })
    };
    let spec = MachineConfigPoolSpec {
        machine_config_selector: selector(annotations::ROLE.to_owned(), name),
        node_selector: selector(format!("{}{name}", annotations::NODE_ROLE_PREFIX), ""),
        ..MachineConfigPoolSpec::default()
    };
    let mut labels = BTreeMap::from([
        (annotations::BUILT_IN_POOL.to_owned(), String::new()),
        (format!("{}{name}", annotations::POOL_LABEL_PREFIX), String::new()),
    ]);
    if name != "worker" {
        labels.insert(annotations::REQUIRED_FOR_UPGRADE.to_owned(), String::new());
    }
    let mut pool = MachineConfigPool::new(name, spec);
    pool.metadata.labels = Some(labels);
    pool
}

/// Whether a pool is one as the system brings it, with nothing of a user's in it.
#[must_use]
pub fn is_built_in(pool: &MachineConfigPool) -> bool {
    let standard = built_in(pool.metadata.name.as_deref().unwrap_or_default());
    let labelled = pool
        .metadata
        .labels
        .as_ref()
        .is_some_and(|labels| labels.contains_key(annotations::BUILT_IN_POOL));
    labelled && pool.spec == standard.spec
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

    use super::*;

    #[test]
    fn built_in_pools_select_by_their_role() {
        insta::assert_snapshot!(crds::manifest::to_yaml(&built_in("master")), @r#"
        apiVersion: machineconfiguration.openshift.io/v1
        kind: MachineConfigPool
        metadata:
          labels:
            machineconfiguration.openshift.io/mco-built-in: ""
            operator.machineconfiguration.openshift.io/required-for-upgrade: ""
            pools.operator.machineconfiguration.openshift.io/master: ""
          name: master
        spec:
          configuration: {}
          machineConfigSelector:
            matchLabels:
              machineconfiguration.openshift.io/role: master
          nodeSelector:
            matchLabels:
              node-role.kubernetes.io/master: ""
          paused: false
        "#);
    }

    #[test]
    fn a_pool_that_a_user_has_touched_is_his() {
        assert!(is_built_in(&built_in("worker")));
        let mut pool = built_in("worker");
        pool.spec.max_unavailable = Some(IntOrString::Int(3));
        assert!(!is_built_in(&pool));
        let mut pool = built_in("worker");
        pool.metadata.labels = None;
        assert!(!is_built_in(&pool));
    }
}
