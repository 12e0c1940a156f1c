//! What a cluster holds: pools, nodes, MachineConfigNodes, rendered configs, and the policy in force.

use std::collections::{BTreeMap, BTreeSet};

use crds::{
    MachineConfig, MachineConfigNode, MachineConfigPool, MachineConfiguration, machine_configuration,
};
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use machineconfig::reconcile::StorageOverride;
use machineconfig::standing::Cluster;
use machineconfig::{Code, Finding, Policy, RenderedConfig};

use super::{Access, leadership};

/// The one MachineConfiguration (MCO controller 1.8).
const SETTINGS: &str = "cluster";

/// Reads pools, nodes and MachineConfigNodes. A cluster that knows no MachineConfigNodes has none.
pub(crate) async fn cluster(access: &Access) -> Result<Cluster, Finding> {
    let all = ListParams::default;
    let (pools, nodes, reports, leader) = futures_util::try_join!(
        access.list::<MachineConfigPool>(all()),
        access.list::<Node>(all()),
        access.list_if_allowed::<MachineConfigNode>(all()),
        leadership(access),
    )?;
    Ok(Cluster {
        pools,
        nodes,
        reports: reports.unwrap_or_default(),
        leader: leader.node,
    })
}

/// The rendered configs of a cluster, each read once.
pub(crate) struct MachineConfigs<'a> {
    access: &'a Access,
    known: BTreeMap<String, Option<MachineConfig>>,
}

impl<'a> MachineConfigs<'a> {
    /// Of a cluster.
    pub(crate) fn of(access: &'a Access) -> Self {
        Self {
            access,
            known: BTreeMap::new(),
        }
    }

    /// The rendered config of that name, parsed. Refused: one that is not there, and one that is none.
    pub(crate) async fn rendered(&mut self, name: &str) -> Result<RenderedConfig, Finding> {
        if !self.known.contains_key(name) {
            let found = self.access.get::<MachineConfig>(name).await?;
            self.known.insert(name.to_owned(), found);
        }
        let object = format!("MachineConfig/{name}");
        let Some(config) = self.known.get(name).and_then(Option::as_ref) else {
            let message = "is not in the cluster any more, so nobody can tell what it says";
            return Err(Finding::error(Code::NO_SUCH_OBJECT, object, "", message)
                .remedy("See mcctl why for what that means for the nodes that have it or are to have it."));
        };
        RenderedConfig::from_machine_config(config).map_err(|invalid| {
            let problem = invalid.problems.first();
            problem.map_or_else(
                || Finding::error(Code::MALFORMED, object.clone(), "spec.config", "cannot be read"),
                |problem| Finding::from_problem(object.clone(), "spec.config", problem),
            )
        })
    }
}

/// By what a node decides about a change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    /// The policy in force.
    pub(crate) policy: Policy,
    /// Storage sections that may differ.
    pub(crate) overrides: BTreeSet<StorageOverride>,
}

/// The rules in force, by the MachineConfiguration's status, which is what the controller says; without one, by its spec.
pub(crate) async fn rules(access: &Access) -> Result<Rules, Finding> {
    let settings = match access.get::<MachineConfiguration>(SETTINGS).await {
        Ok(settings) => settings,
        Err(finding) if finding.code == Code::NOT_INSTALLED => None,
        Err(finding) => return Err(finding),
    };
    settings.map_or_else(|| Ok(Rules::default()), |settings| Rules::of(&settings))
}

impl Rules {
    /// Of a MachineConfiguration.
    pub(crate) fn of(settings: &MachineConfiguration) -> Result<Self, Finding> {
        let spec = &settings.spec;
        let status = settings.status.as_ref();
        let in_force = status.and_then(|status| status.node_disruption_policy_status.as_ref());
        let policy = match (in_force, &spec.node_disruption_policy) {
            (Some(merged), _) => Policy::from_cluster_policies(&merged.cluster_policies),
            (None, Some(user)) => Policy::merge(user).map_err(first)?,
            (None, None) => Policy::default(),
        };
        let overrides = spec.irreconcilable_validation_overrides.as_ref();
        let overrides = overrides.map(|all| all.storage.iter().map(|part| storage(*part)).collect());
        Ok(Self {
            policy,
            overrides: overrides.unwrap_or_default(),
        })
    }
}

fn first(findings: Vec<Finding>) -> Finding {
    let none = || {
        Finding::error(
            Code::MALFORMED,
            "MachineConfiguration/cluster",
            "",
            "has no usable policy",
        )
    };
    findings.into_iter().find(Finding::is_error).unwrap_or_else(none)
}

/// A storage section by the name that the rules have for it.
pub(crate) fn storage(part: machine_configuration::StorageOverride) -> StorageOverride {
    use machine_configuration::StorageOverride as Declared;
    match part {
        Declared::Disks => StorageOverride::Disks,
        Declared::FileSystems => StorageOverride::FileSystems,
        Declared::Raid => StorageOverride::Raid,
    }
}
