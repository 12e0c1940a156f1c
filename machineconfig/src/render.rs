//! Many MachineConfigs to one rendered config per pool: `render`.

use std::collections::BTreeMap;

use crds::{MachineConfig, MachineConfigSpec};
use ignition::Config;

use crate::{Finding, Provenance};

/// What a pool's rendered config is made of besides its MachineConfigs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    /// OS image when no MachineConfig of a user sets one.
    pub os_image_url: String,
    /// Extensions image when no MachineConfig of a user sets one.
    pub extensions_image_url: String,
    /// Hash of the controller that renders; generated MachineConfigs of another hash are refused. Empty: not checked.
    pub controller_hash: String,
    /// The release the rendered config is annotated with. Empty: no annotation.
    pub release_version: String,
    /// The pool's `spec.osImageStream.name`, if any; excludes an OS image override.
    pub os_image_stream: String,
}

/// A rendered config and everything that is known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// `rendered-<pool>-<md5>`.
    pub name: String,
    /// The spec, with `config` at 3.5.0.
    pub spec: MachineConfigSpec,
    /// The Ignition part.
    pub ignition: Config,
    /// The exact bytes of the spec as the reference's API client writes them.
    pub spec_json: String,
    /// Names of the inputs in merge order.
    pub sources: Vec<String>,
    /// Annotations of the rendered object.
    pub annotations: BTreeMap<String, String>,
    /// Which MachineConfig every part came from.
    pub provenance: Provenance,
    /// What is doubtful, yet not refused.
    pub warnings: Vec<Finding>,
}

impl Rendered {
    /// The rendered MachineConfig object, without owner.
    #[must_use]
    pub fn machine_config(&self) -> MachineConfig {
        todo!()
    }
}

/// Renders the MachineConfigs a pool selects, in any order. All findings are returned, not the first.
pub fn render(pool: &str, configs: &[MachineConfig], defaults: &Defaults) -> Result<Rendered, Vec<Finding>> {
    let _ = (pool, configs, defaults);
    todo!()
}

/// What is wrong with one MachineConfig by itself, errors and warnings: the checks `render` makes before merging, for `lint`.
#[must_use]
pub fn check(config: &MachineConfig) -> Vec<Finding> {
    let _ = config;
    todo!()
}
