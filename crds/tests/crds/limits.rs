//! What the schemas let in and what they keep out: the kinds that users write.

use serde_json::{Value, json};

use crate::checker::violations;
use crate::objects::{FULL, full, schema};

/// The full object with another value at a place.
fn with(kind: &str, pointer: &str, value: Value) -> Value {
    let mut object = full(kind);
    // What an API server knows of itself is in no schema.
    for field in ["apiVersion", "kind", "metadata"] {
        object.as_object_mut().unwrap().remove(field);
    }
    if !pointer.is_empty() {
        *object.pointer_mut(pointer).unwrap() = value;
    }
    object
}

#[test]
fn full_objects_are_let_in() {
    for (kind, _) in FULL {
        assert_eq!(
            violations(schema(kind), &with(kind, "", Value::Null)),
            [] as [&str; 0],
            "{kind}"
        );
    }
}

const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

pub(crate) fn image(name: &str) -> Value {
    format!("{name}@sha256:{DIGEST}").into()
}

/// A kind, a place in its full object, values that are let in and values that are not.
pub(crate) type Row = (&'static str, &'static str, Vec<Value>, Vec<Value>);

pub(crate) fn check(rows: Vec<Row>) {
    for (kind, pointer, good, bad) in rows {
        let schema = schema(kind);
        for value in good {
            let found = violations(schema, &with(kind, pointer, value.clone()));
            assert_eq!(found, [] as [&str; 0], "{kind} {pointer} {value}");
        }
        for value in bad {
            let found = violations(schema, &with(kind, pointer, value.clone()));
            assert!(!found.is_empty(), "{kind} {pointer} {value}");
        }
    }
}

pub(crate) fn list(length: usize, item: impl Fn(usize) -> Value) -> Value {
    (0..length).map(item).collect()
}

#[test]
fn machine_configs_and_pools() {
    check(vec![
        (
            "MachineConfig",
            "/spec/config",
            vec![json!({ "anything": [null] })],
            vec![json!("text"), json!([])],
        ),
        (
            "MachineConfig",
            "/spec/kernelArguments",
            vec![Value::Null, json!([])],
            vec![json!("quiet")],
        ),
        (
            "MachineConfig",
            "/spec/extensions",
            vec![Value::Null],
            vec![json!([1])],
        ),
        (
            "MachineConfig",
            "/spec/kernelType",
            vec![json!("anything")],
            vec![json!(1)],
        ),
        (
            "MachineConfigPool",
            "/spec/maxUnavailable",
            vec![json!(0), json!("10%"), json!(-1)],
            vec![json!(0.5), json!([])],
        ),
        (
            "MachineConfigPool",
            "/spec/pinnedImageSets",
            vec![list(100, |i| json!({ "name": format!("a{i}.b") }))],
            vec![
                list(101, |i| json!({ "name": format!("a{i}") })),
                json!([{ "name": "a" }, { "name": "a" }]),
                json!([{ "name": "" }]),
                json!([{ "name": "a_b" }]),
                json!([{ "name": "a".repeat(64) }]),
            ],
        ),
        (
            "MachineConfigPool",
            "/spec/osImageStream/name",
            vec![json!("rhel-10")],
            vec![json!(""), json!("RHEL"), json!("a..b")],
        ),
        (
            "MachineConfigPool",
            "/status/conditions/0/lastTransitionTime",
            vec![Value::Null],
            vec![json!(5)],
        ),
        (
            "MachineConfigPool",
            "/status/poolSynchronizersStatus/0/poolSynchronizerType",
            vec![],
            vec![json!("Other")],
        ),
        (
            "MachineConfigPool",
            "/status/poolSynchronizersStatus/0/machineCount",
            vec![json!(0)],
            vec![json!(-1)],
        ),
    ]);
}

#[test]
fn images() {
    check(vec![(
        "PinnedImageSet",
        "/spec/pinnedImages",
        vec![
            list(500, |i| json!({ "name": image(&format!("quay.io/a/b{i}")) })),
            json!([
                { "name": image("registry.example.com:5000/a/b/c/d") },
                { "name": image("localhost/a_b.c-d") },
                { "name": image("a.b.c/ABC") },
            ]),
        ],
        vec![
            json!([]),
            list(501, |i| json!({ "name": image(&format!("quay.io/a/b{i}")) })),
            json!([{ "name": image("quay.io/a") }, { "name": image("quay.io/a") }]),
            json!([{ "name": "quay.io/a:latest" }]),
            json!([{ "name": "quay.io/a@sha256:123" }]),
            json!([{ "name": format!("quay.io/a@sha512:{DIGEST}") }]),
            json!([{ "name": image("quay.io/a:tag") }]),
            json!([{ "name": image("quay.io") }]),
            json!([{ "name": image("https://quay.io/a") }]),
            json!([{ "name": image("quay.io/a@b") }]),
            json!([{ "name": image(&format!("quay.io/{}", "a".repeat(400))) }]),
        ],
    )]);
}

#[test]
fn kubelets_and_runtimes() {
    const RUNTIME: &str = "/spec/containerRuntimeConfig";
    let store = |path: &str| json!([{ "path": path }]);
    let stores = |length| list(length, |i| json!({ "path": format!("/a/{i}") }));
    check(vec![
        (
            "KubeletConfig",
            "/spec/logLevel",
            vec![json!(0), json!(10)],
            vec![json!(-1), json!(11)],
        ),
        (
            "KubeletConfig",
            "/spec/kubeletConfig",
            vec![json!({})],
            vec![json!("x")],
        ),
        (
            "KubeletConfig",
            "/spec/tlsSecurityProfile/type",
            vec![json!("Old"), json!("Modern")],
            vec![json!(""), json!("old")],
        ),
        (
            "KubeletConfig",
            "/spec/tlsSecurityProfile/old",
            vec![Value::Null, json!({})],
            vec![json!({ "a": 1 })],
        ),
        (
            "KubeletConfig",
            "/spec/tlsSecurityProfile/custom/minTLSVersion",
            vec![json!("VersionTLS13")],
            vec![json!("1.3")],
        ),
        (
            "KubeletConfig",
            "/spec/tlsSecurityProfile/custom/groups",
            vec![json!(["a", "b", "c", "d", "e"])],
            vec![
                json!([]),
                json!(["a", "a"]),
                json!(["a", "b", "c", "d", "e", "f"]),
            ],
        ),
        (
            "KubeletConfig",
            "/spec/systemGomaxprocsBehavior",
            vec![json!("Disabled")],
            vec![json!("Sometimes")],
        ),
        (
            "ContainerRuntimeConfig",
            "/spec/containerRuntimeConfig/overlaySize",
            vec![json!(-1), json!("10G"), json!("1.5Gi"), json!("1e3"), json!("")]
                .into_iter()
                .filter(|value| value != "")
                .collect(),
            vec![json!(""), json!("ten"), json!("10 G"), json!(1.5)],
        ),
        (
            "ContainerRuntimeConfig",
            "/spec/containerRuntimeConfig/defaultRuntime",
            vec![json!(""), json!("runc")],
            vec![json!("kata")],
        ),
        (
            "ContainerRuntimeConfig",
            "/spec/containerRuntimeConfig/logLevel",
            vec![json!("anything")],
            vec![json!(3)],
        ),
        (
            "ContainerRuntimeConfig",
            "/spec/containerRuntimeConfig/additionalLayerStores",
            vec![stores(5)],
            vec![stores(0), stores(6)],
        ),
        (
            "ContainerRuntimeConfig",
            "/spec/containerRuntimeConfig/additionalImageStores",
            vec![stores(10), store("/a"), store("/a.b_c-d/")],
            vec![
                stores(0),
                stores(11),
                store("a"),
                store("/"),
                store("/a b"),
                store(&format!("/{}", "a".repeat(256))),
            ],
        ),
        (
            "ContainerRuntimeConfig",
            "/spec/containerRuntimeConfig/additionalArtifactStores",
            vec![stores(10)],
            vec![stores(11)],
        ),
        (
            "ContainerRuntimeConfig",
            RUNTIME,
            vec![json!({})],
            vec![Value::Null, json!({ "unknown": 1 })],
        ),
    ]);
}
