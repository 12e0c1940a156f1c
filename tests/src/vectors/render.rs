//! Families `render` and `render-errors`: many MachineConfigs to one rendered config, its name and its exact bytes.

use std::collections::BTreeMap;

use anyhow::Result;
use crds::{MachineConfig, annotations};
use machineconfig::{Defaults, Finding, Rendered, render};
use serde::Deserialize;

use super::cases::Case;
use super::checks::Checks;
use super::deviations::Rule;
use super::sourceless;

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
    Refused {
        error: String,
    },
    Rendered {
        name: String,
        sources: Vec<String>,
        annotations: BTreeMap<String, String>,
        #[serde(rename = "specJSON")]
        spec_json: String,
        #[serde(rename = "configRaw")]
        config_raw: String,
    },
}

impl Base {
    /// Renders as the controller does.
    pub(super) fn render(&self, configs: &[MachineConfig]) -> Result<Rendered, String> {
        render(&self.pool, configs, &self.defaults()).map_err(|findings| text(&findings))
    }

    fn defaults(&self) -> Defaults {
        let config = &self.controller_config;
        let release = match &config.annotations {
            // The ControllerConfig of the families carries this release unless it says otherwise.
            None => "4.22.0",
            Some(given) => given
                .get(annotations::RELEASE_IMAGE_VERSION)
                .map_or("", String::as_str),
        };
        Defaults {
            os_image_url: config.os_image.clone(),
            extensions_image_url: config.extensions_image.clone(),
            controller_hash: self
                .controller_version
                .as_ref()
                .map(|version| version.hash.clone())
                .unwrap_or_default(),
            release_version: release.to_owned(),
            os_image_stream: self.pool_os_image_stream_name.clone().unwrap_or_default(),
        }
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
        Expect::Refused { error } => {
            let refused = ours.as_ref().err().map(String::as_str);
            checks.refused("render", &error, refused);
            names_an_object(&input, refused, checks);
        }
        // A file that no node can apply: the reference renders it, once.
        Expect::Rendered { .. } if !sourceless.is_empty() && checks.deviates(Rule::FileWithoutContents) => {
            sourceless::refused(
                "render",
                &sourceless,
                ours.as_ref().err().map(String::as_str),
                checks,
            );
        }
        Expect::Rendered {
            name,
            sources,
            annotations,
            spec_json,
            config_raw,
        } => match ours {
            Err(message) => checks.differs(format!("refused, the reference renders {name}: {message}")),
            Ok(rendered) => {
                checks.bytes("the spec", &spec_json, &rendered.spec_json);
                checks.equal("the sources", &sources, &rendered.sources);
                checks.equal("the annotations", &annotations, &rendered.annotations);
                checks.equal("the name", &name, &rendered.name);
                if !rendered.spec_json.contains(&format!("\"config\":{config_raw}")) {
                    checks.differs("the config is not in the spec as the reference writes it");
                }
            }
        },
    }
    Ok(())
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
