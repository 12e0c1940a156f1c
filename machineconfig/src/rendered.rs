//! A rendered config with its Ignition part parsed: what plan, reconcile and drift work on.

use crds::{MachineConfig, MachineConfigSpec};
use ignition::{Config, Invalid};

/// A rendered config, parsed once.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderedConfig {
    /// Name of the object.
    pub name: String,
    /// The spec; `config` is taken out into `ignition`.
    pub spec: MachineConfigSpec,
    /// The Ignition config at 3.5.0; empty when the object has none.
    pub ignition: Config,
}

impl RenderedConfig {
    /// Parses the Ignition part without validating it: a config that is in use must be readable even when broken.
    pub fn from_machine_config(config: &MachineConfig) -> Result<Self, Invalid> {
        let mut spec = config.spec.clone();
        let ignition = match spec.config.take() {
            Some(value) if !value.is_null() => Config::from_value_unvalidated(&value)?.config,
            _ => Config::empty(),
        };
        Ok(Self {
            name: config.metadata.name.clone().unwrap_or_default(),
            spec,
            ignition,
        })
    }
}
