//! What a rendered config is made of besides MachineConfigs, and who may say so.

use std::collections::BTreeMap;

use crds::{ControllerConfig, annotations};

use crate::{Code, Finding};

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

impl Defaults {
    /// What a ControllerConfig says, which must have been written by a controller or operator of `own_version` (MCO render
    /// 2.3); an empty `own_version` is not checked. The controller's hash and the pool's stream are left to the caller.
    pub fn from_controller_config(config: &ControllerConfig, own_version: &str) -> Result<Self, Finding> {
        let annotation = |key: &str| config.metadata.annotations.as_ref()?.get(key).map(String::as_str);
        let written_by = annotation(annotations::GENERATED_BY_VERSION);
        if !own_version.is_empty() && written_by != Some(own_version) {
            return Err(written_by_other(config, written_by, own_version));
        }
        Ok(Self {
            os_image_url: config.spec.base_os_container_image.clone(),
            extensions_image_url: config.spec.base_os_extensions_container_image.clone(),
            release_version: annotation(annotations::RELEASE_IMAGE_VERSION)
                .unwrap_or_default()
                .to_owned(),
            ..Self::default()
        })
    }

    /// The annotations of a rendered config that boots `os_image_url` (MCO render 2.8).
    pub(super) fn annotations(&self, os_image_url: &str) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let mut set = |key: &str, value: &str| {
            if !value.is_empty() {
                all.insert(key.to_owned(), value.to_owned());
            }
        };
        set(
            annotations::GENERATED_BY_CONTROLLER_VERSION,
            &self.controller_hash,
        );
        set(annotations::RELEASE_IMAGE_VERSION, &self.release_version);
        if os_image_url != self.os_image_url {
            set(annotations::OS_IMAGE_URL_OVERRIDDEN, "true");
        }
        all
    }
}

fn written_by_other(config: &ControllerConfig, written_by: Option<&str>, own_version: &str) -> Finding {
    let key = annotations::GENERATED_BY_VERSION;
    let message = match written_by {
        Some(other) => format!("was written by version {other:?}, and this is version {own_version:?}"),
        None => {
            format!("does not say in the annotation {key} who wrote it, and this is version {own_version:?}")
        }
    };
    Finding::error(
        Code::CONTROLLER_CONFIG_VERSION,
        format!(
            "ControllerConfig/{}",
            config.metadata.name.as_deref().unwrap_or_default()
        ),
        format!("metadata.annotations[{key}]"),
        message,
    )
}
