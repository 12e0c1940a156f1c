//! Every kind through its type and back: nothing is lost, and little is required.

use crds::manifest::{Object, parse, to_yaml};
use serde::Serialize;
use serde_json::{Value, json};

use crate::objects::{FULL, full, schema, value};

fn object(text: &str) -> Object {
    let (mut manifests, errors) = parse("x.yaml", text);
    assert_eq!(errors, [], "{text}");
    assert_eq!(manifests.len(), 1, "{text}");
    let manifest = manifests.remove(0);
    assert_eq!(manifest.unknown_fields, [] as [&str; 0]);
    manifest.object
}

/// What the type writes of an object.
fn written(object: &Object) -> Value {
    fn json(object: &impl Serialize) -> Value {
        serde_json::to_value(object).unwrap()
    }
    match object {
        Object::MachineConfig(object) => json(object),
        Object::MachineConfigPool(object) => json(object),
        Object::ControllerConfig(object) => json(object),
        Object::KubeletConfig(object) => json(object),
        Object::ContainerRuntimeConfig(object) => json(object),
        Object::MachineConfigNode(object) => json(object),
        Object::PinnedImageSet(object) => json(object),
        Object::MachineConfiguration(object) => json(object),
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_field_of_a_full_object_is_lost() {
    for (kind, text) in FULL {
        let object = object(text);
        assert_eq!(written(&object), value(text), "{kind}");
        let again = self::object(&to_yaml(&written(&object)));
        assert_eq!(again, object, "{kind}");
    }
}

/// Paths of the schema's fields that the value does not have, in any item of a list.
fn left_out(schema: &Value, values: &[&Value], path: &str, out: &mut Vec<String>) {
    for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{field}");
        let below = values
            .iter()
            .filter_map(|value| value.get(field))
            .collect::<Vec<_>>();
        if below.is_empty() {
            out.push(path);
        } else if let Some(items) = schema.get("items") {
            let below = below
                .iter()
                .flat_map(|list| list.as_array().into_iter().flatten())
                .collect::<Vec<_>>();
            assert!(!below.is_empty(), "{path} is empty");
            left_out(items, &below, &path, out);
        } else {
            left_out(schema, &below, &path, out);
        }
    }
}

#[test]
fn full_objects_have_every_field_that_the_schema_has() {
    for (kind, _) in FULL {
        let mut out = Vec::new();
        left_out(schema(kind), &[&full(kind)], "", &mut out);
        assert_eq!(out, [] as [&str; 0], "{kind}");
    }
}

/// Of every kind an object with as little as is allowed, and what the type writes of its spec and
/// status.
#[test]
fn little_is_required() {
    let table = [
        (
            "MachineConfig",
            json!({}),
            json!({ "osImageURL": "", "baseOSExtensionsContainerImage": "", "kernelArguments": null, "extensions": null, "fips": false, "kernelType": "" }),
        ),
        (
            "MachineConfigPool",
            json!({}),
            json!({ "paused": false, "configuration": {} }),
        ),
        ("KubeletConfig", json!({}), json!({})),
        (
            "ContainerRuntimeConfig",
            json!({ "containerRuntimeConfig": {} }),
            json!({ "containerRuntimeConfig": {} }),
        ),
        (
            "MachineConfigNode",
            json!({ "node": { "name": "a" }, "pool": { "name": "p" }, "configVersion": { "desired": "not-yet-set" } }),
            json!({ "node": { "name": "a" }, "pool": { "name": "p" }, "configVersion": { "desired": "not-yet-set" } }),
        ),
        (
            "PinnedImageSet",
            json!({ "pinnedImages": [] }),
            json!({ "pinnedImages": [] }),
        ),
        ("MachineConfiguration", json!({}), json!({})),
    ];
    for (kind, spec, expected) in table {
        let api_version = full(kind)["apiVersion"].clone();
        let text =
            json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "a" }, "spec": spec });
        let written = written(&object(&text.to_string()));
        assert_eq!(written["spec"], expected, "{kind}");
        assert_eq!(written.get("status"), None, "{kind}");
    }
}

#[test]
fn a_controller_config_always_says_what_the_reference_requires() {
    let text = "apiVersion: machineconfiguration.openshift.io/v1\nkind: ControllerConfig\nmetadata: {name: c}\nspec: {}\n";
    let written = written(&object(text));
    let required = [
        "additionalTrustBundle",
        "baseOSContainerImage",
        "cloudProviderCAData",
        "cloudProviderConfig",
        "clusterDNSIP",
        "dns",
        "images",
        "infra",
        "ipFamilies",
        "network",
        "proxy",
        "releaseImage",
    ];
    for field in required {
        assert!(written["spec"].get(field).is_some(), "{field}");
    }
    // There an empty text is no valid value, and null is none either.
    for field in ["kubeAPIServerServingCAData", "rootCAData"] {
        assert_eq!(written["spec"].get(field), None);
    }
}

/// What a Go program writes of an object that says nothing: nulls and zeroes everywhere.
#[test]
fn what_go_writes_is_read() {
    let pool = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool",
        "metadata": { "name": "p", "creationTimestamp": null },
        "spec": { "paused": false, "configuration": {}, "pinnedImageSets": null, "machineConfigSelector": null, "osImageStream": null },
        "status": {
            "configuration": {}, "machineCount": 0, "updatedMachineCount": 0, "readyMachineCount": 0,
            "unavailableMachineCount": 0, "degradedMachineCount": 0, "certExpirys": null,
            "conditions": [{ "type": "Updated", "status": "True", "lastTransitionTime": null, "reason": "", "message": "" }],
        },
    });
    let Object::MachineConfigPool(pool) = object(&pool.to_string()) else {
        panic!()
    };
    assert_eq!(pool.spec, crds::MachineConfigPoolSpec::default());
    assert_eq!(pool.status.unwrap().conditions[0].last_transition_time, None);

    let config = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "ControllerConfig", "metadata": { "name": "c" },
        "spec": { "infra": null, "dns": null, "proxy": null, "network": null, "rootCAData": null, "images": null,
                  "imageRegistryBundleData": null, "additionalTrustBundle": null },
        "status": { "conditions": null, "controllerCertificates": null },
    });
    let Object::ControllerConfig(config) = object(&config.to_string()) else {
        panic!()
    };
    assert_eq!(config.spec, crds::ControllerConfigSpec::default());
}

#[test]
fn amounts_may_be_numbers() {
    let text = "apiVersion: machineconfiguration.openshift.io/v1\nkind: ContainerRuntimeConfig\nmetadata: {name: c}\n\
                spec: {containerRuntimeConfig: {logSizeMax: 10000000000, overlaySize: -1}}\n";
    let Object::ContainerRuntimeConfig(config) = object(text) else {
        panic!()
    };
    assert_eq!(
        config.spec.container_runtime_config.log_size_max.unwrap().0,
        "10000000000"
    );
    assert_eq!(config.spec.container_runtime_config.overlay_size.unwrap().0, "-1");
}

#[test]
fn max_unavailable_is_a_number_or_a_text() {
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
    for (written, value) in [
        ("3", IntOrString::Int(3)),
        ("10%", IntOrString::String("10%".into())),
        ("\"3\"", IntOrString::String("3".into())),
    ] {
        let text = format!(
            "apiVersion: machineconfiguration.openshift.io/v1\nkind: MachineConfigPool\nmetadata: {{name: p}}\nspec: {{maxUnavailable: {written}}}\n"
        );
        let Object::MachineConfigPool(pool) = object(&text) else {
            panic!()
        };
        assert_eq!(pool.spec.max_unavailable, Some(value));
    }
}
