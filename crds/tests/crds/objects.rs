//! Objects to test with: of every kind one that has every field.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

/// The YAML text of an object of every kind in which every field is set. Rules about fields that
/// exclude each other are broken on purpose.
pub(crate) const FULL: [(&str, &str); 8] = [
    (
        "ContainerRuntimeConfig",
        include_str!("full/container_runtime_config.yaml"),
    ),
    ("ControllerConfig", include_str!("full/controller_config.yaml")),
    ("KubeletConfig", include_str!("full/kubelet_config.yaml")),
    ("MachineConfig", include_str!("full/machine_config.yaml")),
    ("MachineConfigNode", include_str!("full/machine_config_node.yaml")),
    ("MachineConfigPool", include_str!("full/machine_config_pool.yaml")),
    (
        "MachineConfiguration",
        include_str!("full/machine_configuration.yaml"),
    ),
    ("PinnedImageSet", include_str!("full/pinned_image_set.yaml")),
];

/// The object as a value, read without any of our code.
pub(crate) fn value(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// The full object of a kind as a value.
pub(crate) fn full(kind: &str) -> Value {
    value(FULL.iter().find(|(name, _)| *name == kind).unwrap().1)
}

/// The schema of a kind.
pub(crate) fn schema(kind: &str) -> &'static Value {
    static SCHEMAS: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
        let schema = |definition: CustomResourceDefinition| {
            let schema = definition.spec.versions[0].schema.as_ref().unwrap();
            let value = serde_json::to_value(schema.open_api_v3_schema.as_ref().unwrap()).unwrap();
            (definition.spec.names.kind, value)
        };
        crds::definitions().into_iter().map(schema).collect()
    });
    &SCHEMAS[kind]
}
