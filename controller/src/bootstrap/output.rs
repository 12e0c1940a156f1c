//! What is written: the layout that the server's file mode reads (MCO controller 8.3).

use std::collections::BTreeMap;
use std::path::PathBuf;

use crds::machine_config_pool::{MachineConfigPoolStatus, PoolConfiguration};
use crds::manifest::to_yaml;
use crds::{ControllerConfig, MachineConfigPool};
use k8s_openapi::api::core::v1::ObjectReference;
use machineconfig::Rendered;
use serde_json::Value;

use super::publish::Files;

/// Name of the file in `controller-config`.
pub(super) const CONTROLLER_CONFIG: &str = "machine-config-controller.yaml";
/// Name of the file in `api-server`.
pub(super) const API_SERVER: &str = "api-server.yaml";

/// A pool and its rendered config.
#[derive(Debug)]
pub(super) struct Pool {
    /// As it was given.
    pub(super) pool: MachineConfigPool,
    /// What came of it.
    pub(super) rendered: Rendered,
}

/// The files of an output. The same input gives the same bytes.
pub(super) fn files(
    pools: &[Pool],
    controller_config: &ControllerConfig,
    api_server: Option<&Value>,
) -> Files {
    let mut files = BTreeMap::new();
    let mut add = |directory: &str, file: &str, text: String| {
        files.insert(PathBuf::from(directory).join(file), text);
    };
    for Pool { pool, rendered } in pools {
        let name = pool.metadata.name.as_deref().unwrap_or_default();
        add(
            "machine-pools",
            &format!("{name}.yaml"),
            to_yaml(&configured(pool, rendered)),
        );
        add(
            "machine-configs",
            &format!("{}.yaml", rendered.name),
            to_yaml(&rendered.machine_config()),
        );
    }
    add("controller-config", CONTROLLER_CONFIG, to_yaml(controller_config));
    if let Some(api_server) = api_server {
        add("api-server", API_SERVER, to_yaml(api_server));
    }
    files
}

/// The pool with its rendered config in spec, where the nodes are to get, and in status, where new ones begin.
fn configured(pool: &MachineConfigPool, rendered: &Rendered) -> MachineConfigPool {
    let source = |name: &String| ObjectReference {
        api_version: Some("machineconfiguration.openshift.io/v1".to_owned()),
        kind: Some("MachineConfig".to_owned()),
        name: Some(name.clone()),
        ..ObjectReference::default()
    };
    let configuration = PoolConfiguration {
        name: rendered.name.clone(),
        source: rendered.sources.iter().map(source).collect(),
        ..PoolConfiguration::default()
    };
    let mut pool = pool.clone();
    pool.spec.configuration = configuration.clone();
    pool.status
        .get_or_insert_with(MachineConfigPoolStatus::default)
        .configuration = configuration;
    pool
}
