//! The `CustomResourceDefinitions` of all kinds, and their manifests.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceValidation, JSON, JSONSchemaProps,
};
use kube::CustomResourceExt;
use schemars::JsonSchema;

use crate::columns::columns;
use crate::schema::structural;
use crate::{
    ContainerRuntimeConfig, ControllerConfig, KubeletConfig, MachineConfig, MachineConfigNode,
    MachineConfigPool, MachineConfiguration, PinnedImageSet, manifest,
};

/// First lines of a generated manifest.
const HEADER: &str = "# Generated from crds/src by `cargo xtask generate`. Do not edit.\n";

/// Label on every definition, for selecting them.
const PART_OF: (&str, &str) = ("app.kubernetes.io/part-of", "machine-config");

/// The definitions of all kinds, in the order of their names.
///
/// They differ from what `CustomResourceExt::crd` gives for a kind: schemas are structural and say
/// nothing that the reference's do not say, unless they are wider.
#[must_use]
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let mut machine_config = definition::<MachineConfig>();
    make_spec_optional(&mut machine_config);
    let mut definitions = vec![
        definition::<ContainerRuntimeConfig>(),
        definition::<ControllerConfig>(),
        definition::<KubeletConfig>(),
        machine_config,
        definition::<MachineConfigNode>(),
        definition::<MachineConfigPool>(),
        definition::<MachineConfiguration>(),
        definition::<PinnedImageSet>(),
    ];
    definitions.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    definitions
}

/// The definitions as YAML, by file name: what belongs into `crds/manifests`.
#[must_use]
pub fn manifests() -> BTreeMap<String, String> {
    definitions()
        .into_iter()
        .map(|definition| {
            let name = format!("{}_{}.yaml", definition.spec.group, definition.spec.names.plural);
            (name, format!("{HEADER}{}", manifest::to_yaml(&definition)))
        })
        .collect()
}

fn definition<K: CustomResourceExt + JsonSchema>() -> CustomResourceDefinition {
    let mut definition = K::crd();
    let (key, value) = PART_OF;
    definition
        .metadata
        .labels
        .get_or_insert_default()
        .insert(key.to_owned(), value.to_owned());
    let names = &mut definition.spec.names;
    names.list_kind = Some(format!("{}List", names.kind));
    let columns = columns(&names.kind);
    for version in &mut definition.spec.versions {
        version.additional_printer_columns.clone_from(&columns);
        version.schema = Some(CustomResourceValidation {
            open_api_v3_schema: Some(structural::<K>()),
        });
    }
    definition
}

/// Lets an object without a spec in, as the reference does, and gives it an empty one, so that no
/// reader meets an object without.
fn make_spec_optional(definition: &mut CustomResourceDefinition) {
    for version in &mut definition.spec.versions {
        let schema = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut());
        let Some(schema) = schema else { continue };
        schema.required = None;
        if let Some(spec) = spec_of(schema) {
            spec.default = Some(JSON(serde_json::json!({})));
        }
    }
}

fn spec_of(schema: &mut JSONSchemaProps) -> Option<&mut JSONSchemaProps> {
    schema.properties.as_mut()?.get_mut("spec")
}
