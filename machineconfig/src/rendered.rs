//! A rendered config with its Ignition part parsed: what plan, reconcile and drift work on.

use crds::{MachineConfig, MachineConfigSpec, annotations};
use ignition::{Config, Invalid, Kind, Problem, Severity};

use crate::Provenance;

/// A rendered config, parsed once.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderedConfig {
    /// Name of the object.
    pub name: String,
    /// The spec; `config` is taken out into `ignition`.
    pub spec: MachineConfigSpec,
    /// The Ignition config at 3.5.0.
    pub ignition: Config,
    /// Which MachineConfig its parts came from, as far as the object says.
    pub provenance: Provenance,
}

impl RenderedConfig {
    /// Parses the Ignition part without validating it: a config that is in use must be readable even when broken. A rendered
    /// config always has an Ignition part; an object without one is refused, as by the reference.
    pub fn from_machine_config(config: &MachineConfig) -> Result<Self, Invalid> {
        let ignition = match &config.spec.config {
            Some(value) if !value.is_null() => Config::from_value_unvalidated(value)?.config,
            _ => return Err(no_config()),
        };
        Ok(Self {
            name: config.metadata.name.clone().unwrap_or_default(),
            spec: without_config(&config.spec),
            ignition,
            provenance: provenance(config),
        })
    }
}

/// What an object says of where its parts came from.
pub(crate) fn provenance(config: &MachineConfig) -> Provenance {
    let annotations = config.metadata.annotations.as_ref();
    annotations
        .and_then(|all| all.get(annotations::PROVENANCE))
        .map(|text| Provenance::from_annotation(text))
        .unwrap_or_default()
}

/// A copy of all but the Ignition config, which may be tens of megabytes.
fn without_config(spec: &MachineConfigSpec) -> MachineConfigSpec {
    let MachineConfigSpec {
        config: _,
        os_image_url,
        base_os_extensions_container_image,
        kernel_arguments,
        extensions,
        fips,
        kernel_type,
    } = spec;
    MachineConfigSpec {
        config: None,
        os_image_url: os_image_url.clone(),
        base_os_extensions_container_image: base_os_extensions_container_image.clone(),
        kernel_arguments: kernel_arguments.clone(),
        extensions: extensions.clone(),
        fips: *fips,
        kernel_type: kernel_type.clone(),
    }
}

fn no_config() -> Invalid {
    let problem = Problem {
        path: "$".to_owned(),
        kind: Kind::Missing,
        severity: Severity::Error,
        message: "there is no Ignition config, so this is no rendered MachineConfig".to_owned(),
    };
    Invalid {
        problems: vec![problem],
    }
}
