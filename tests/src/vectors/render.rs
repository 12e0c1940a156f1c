//! Families `render` and `render-errors`: many MachineConfigs to one rendered config, its name and its exact bytes.

use std::collections::BTreeMap;

use anyhow::Result;
use crds::{ControllerConfig as ControllerConfigObject, ControllerConfigSpec, MachineConfig, annotations};
use machineconfig::{Defaults, Finding, Rendered, render};
use serde::Deserialize;
use serde_json::Value;

use super::cases::Case;
use super::checks::Checks;
use super::deviations::Rule;
use super::sourceless::{self, Sourceless};

/// What the families `render` and `blame` have in common.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Base {
    pub(super) pool: String,
    controller_version: Option<ControllerVersion>,
    controller_config: ControllerConfig,
    #[serde(rename = "poolOSImageStreamName")]
    pool_os_image_stream_name: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct ControllerVersion {
    raw: String,
    hash: String,
}

#[derive(Debug, Clone, Deserialize)]
struct ControllerConfig {
    #[serde(rename = "baseOSContainerImage")]
    os_image: String,
    #[serde(rename = "baseOSExtensionsContainerImage")]
    extensions_image: String,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    #[serde(flatten)]
    base: Base,
    machine_configs: Vec<MachineConfig>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expect {
    Refused { error: String },
    Rendered(Expected),
}

#[derive(Deserialize)]
struct Expected {
    name: String,
    sources: Vec<String>,
    annotations: BTreeMap<String, String>,
    #[serde(rename = "specJSON")]
    spec_json: String,
    #[serde(rename = "configRaw")]
    config_raw: String,
}

impl Base {
    /// Renders as the controller does.
    pub(super) fn render(&self, configs: &[MachineConfig]) -> Result<Rendered, String> {
        let defaults = self.defaults().map_err(|finding| finding.to_string())?;
        render(&self.pool, configs, &defaults).map_err(|findings| text(&findings))
    }

    fn defaults(&self) -> Result<Defaults, Finding> {
        let (raw, hash) = match &self.controller_version {
            Some(version) => (version.raw.as_str(), version.hash.clone()),
            None => ("", String::new()),
        };
        let defaults = Defaults::from_controller_config(&self.controller_config(raw), raw)?;
        Ok(Defaults {
            controller_hash: hash,
            os_image_stream: self.pool_os_image_stream_name.clone().unwrap_or_default(),
            ..defaults
        })
    }

    /// The ControllerConfig, which carries version `raw` and this release unless it says otherwise.
    fn controller_config(&self, raw: &str) -> ControllerConfigObject {
        let config = &self.controller_config;
        let spec = ControllerConfigSpec {
            base_os_container_image: config.os_image.clone(),
            base_os_extensions_container_image: config.extensions_image.clone(),
            ..ControllerConfigSpec::default()
        };
        let mut object = ControllerConfigObject::new("machine-config-controller", spec);
        object.metadata.annotations = Some(config.annotations.clone().unwrap_or_else(|| {
            BTreeMap::from([
                (annotations::GENERATED_BY_VERSION.to_owned(), raw.to_owned()),
                (annotations::RELEASE_IMAGE_VERSION.to_owned(), "4.22.0".to_owned()),
            ])
        }));
        object
    }
}

/// Findings as a person reads them.
pub(super) fn text(findings: &[Finding]) -> String {
    findings
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Compares one case.
pub(super) fn compare(case: &Case, checks: &mut Checks<'_>) -> Result<()> {
    let input: Input = case.input()?;
    let ours = input.base.render(&input.machine_configs);
    let sourceless = sourceless::in_configs(&input.machine_configs);
    match case.expect()? {
        Expect::Refused { .. }
            if ours.is_ok()
                && declared_3_5(&input.machine_configs).is_some()
                && checks.deviates(Rule::Ignition36) =>
        {
            let older = declared_3_5(&input.machine_configs).unwrap_or_default();
            let name = |rendered: Result<Rendered, String>| rendered.map(|rendered| rendered.name);
            checks.equal(
                "the name, which is that at 3.5.0",
                &name(input.base.render(&older)),
                &name(ours),
            );
        }
        Expect::Refused { error } => {
            let refused = ours.as_ref().err().map(String::as_str);
            checks.refused("render", &error, refused);
            names_an_object(&input, refused, checks);
        }
        // A file that no node can apply: the reference renders it, once.
        Expect::Rendered(expected)
            if !sourceless.is_empty() && checks.deviates(Rule::FileWithoutContents) =>
        {
            sourceless::refused(
                "render",
                &sourceless,
                ours.as_ref().err().map(String::as_str),
                checks,
            );
            rest_is_equal(&input, &sourceless, &expected, checks);
        }
        Expect::Rendered(expected)
            if is_invalid(&expected.spec_json) && checks.deviates(Rule::MergedInvalid) =>
        {
            match ours {
                Ok(_) => checks.differs("accepted, although Ignition refuses the merged config"),
                Err(message) => names_an_object(&input, Some(&message), checks),
            }
        }
        Expect::Rendered(expected) => match ours {
            Err(message) => checks.differs(format!(
                "refused, the reference renders {}: {message}",
                expected.name
            )),
            Ok(rendered) => {
                checks.bytes("the spec", &expected.spec_json, &rendered.spec_json);
                around_spec(&expected, &rendered, checks);
                checks.equal("the name", &expected.name, &rendered.name);
                if !rendered
                    .spec_json
                    .contains(&format!("\"config\":{}", expected.config_raw))
                {
                    checks.differs("the config is not in the spec as the reference writes it");
                }
            }
        },
    }
    Ok(())
}

fn around_spec(expected: &Expected, rendered: &Rendered, checks: &mut Checks<'_>) {
    checks.equal("the sources", &expected.sources, &rendered.sources);
    checks.equal("the annotations", &expected.annotations, &rendered.annotations);
}

/// Without the files that nobody can apply, ours renders what the reference renders without them. Only the name cannot be
/// compared, since it is over all of it.
fn rest_is_equal(input: &Input, files: &[Sourceless], expected: &Expected, checks: &mut Checks<'_>) {
    let mut configs = input.machine_configs.clone();
    for config in configs
        .iter_mut()
        .filter_map(|config| config.spec.config.as_mut())
    {
        sourceless::remove(config, files);
    }
    let rendered = match input.base.render(&configs) {
        Ok(rendered) => rendered,
        Err(message) => return checks.differs(format!("refused without {files:?} too: {message}")),
    };
    around_spec(expected, &rendered, checks);
    let mut theirs: Value = serde_json::from_str(&expected.spec_json).unwrap_or_default();
    sourceless::remove(&mut theirs["config"], files);
    let ours: Value = serde_json::from_str(&rendered.spec_json).unwrap_or_default();
    checks.equal("the rest of the spec", &theirs, &ours);
}

/// The set with 3.5.0 where it declares 3.6.0, if it does anywhere.
fn declared_3_5(configs: &[MachineConfig]) -> Option<Vec<MachineConfig>> {
    let mut configs = configs.to_vec();
    let mut found = false;
    for config in &mut configs {
        let ignition = config.spec.config.as_mut();
        let version = ignition.and_then(|ignition| ignition.pointer_mut("/ignition/version"));
        if let Some(version) = version.filter(|version| *version == "3.6.0") {
            *version = "3.5.0".into();
            found = true;
        }
    }
    found.then_some(configs)
}

/// Whether a rendered spec holds a config that spec 3.5 does not allow.
fn is_invalid(spec_json: &str) -> bool {
    let spec: Result<Value, _> = serde_json::from_str(spec_json);
    spec.is_ok_and(|spec| ignition::Config::from_value(&spec["config"]).is_err())
}

/// The reference often does not say which MachineConfig it refuses; ours does, and else it is about the pool or the controller.
fn names_an_object(input: &Input, message: Option<&str>, checks: &mut Checks<'_>) {
    let Some(message) = message else { return };
    let names = input
        .machine_configs
        .iter()
        .filter_map(|config| config.metadata.name.as_deref());
    let mut objects = names.map(|name| format!("MachineConfig/{name}"));
    let others = ["MachineConfigPool", "ControllerConfig"];
    if !objects.any(|object| message.contains(&object))
        && !others.iter().any(|object| message.contains(object))
    {
        checks.differs(format!("our message names no object: {message}"));
    }
}
