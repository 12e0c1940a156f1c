//! What the schemas let in and what they keep out.

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

fn let_in(kind: &str, pointer: &str, value: &Value) {
    let found = violations(schema(kind), &with(kind, pointer, value.clone()));
    assert_eq!(found, [] as [&str; 0], "{kind} {pointer} {value}");
}

fn keep_out(kind: &str, pointer: &str, value: &Value) {
    let found = violations(schema(kind), &with(kind, pointer, value.clone()));
    assert!(!found.is_empty(), "{kind} {pointer} {value}");
}

/// A table with a row for each of some places in a kind's full object: the place, a list of values
/// that are let in, a list of values that are kept out. A `@` stands for a digest.
fn check(kind: &str, table: &str) {
    let digest = format!("@sha256:{}", "0123456789abcdef".repeat(4));
    let values = |text: &str| -> Vec<Value> { serde_saphyr::from_str(&text.replace('@', &digest)).unwrap() };
    for row in table.lines().filter(|row| !row.trim().is_empty()) {
        let [pointer, good, bad] = row.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        for value in values(good) {
            let_in(kind, pointer, &value);
        }
        for value in values(bad) {
            keep_out(kind, pointer, &value);
        }
    }
}

/// Lists may have so many items and not one more.
fn check_most(kind: &str, pointer: &str, most: usize, item: impl Fn(usize) -> Value) {
    let list = |length| (0..length).map(&item).collect::<Value>();
    let_in(kind, pointer, &list(most));
    keep_out(kind, pointer, &list(most + 1));
}

/// Texts may have so many characters and not one more. The text is lengthened in front.
fn check_longest(kind: &str, pointer: &str, most: usize, end: &str) {
    let text = |length: usize| Value::from(format!("{}{end}", "a".repeat(length - end.len())));
    let_in(kind, pointer, &text(most));
    keep_out(kind, pointer, &text(most + 1));
}

#[test]
fn full_objects_are_let_in() {
    for (kind, _) in FULL {
        let_in(kind, "", &Value::Null);
    }
}

#[test]
fn machine_configs() {
    check(
        "MachineConfig",
        r"
        /spec/config | [{anything: [null]}, {}] | [text, []]
        /spec/kernelArguments | [null, [], [a b]] | [quiet, [1]]
        /spec/extensions | [null, []] | [[1], {}]
        /spec/kernelType | [anything, ''] | [1]
        /spec | [{}] | [{kernelArgs: []}, []]
        ",
    );
}

#[test]
fn pools() {
    check(
        "MachineConfigPool",
        r"
        /spec/maxUnavailable | [0, -1, 3, 10%] | [0.5, [], true]
        /spec/pinnedImageSets | [[{name: a.B-c}]] | [[{name: a}, {name: a}], [{name: ''}], [{name: a_b}], [{}]]
        /spec/osImageStream/name | [rhel-10] | ['', RHEL, a..b]
        /status/conditions/0/lastTransitionTime | [null] | [5]
        /status/poolSynchronizersStatus/0/poolSynchronizerType | [PinnedImageSets] | [Other]
        /status/poolSynchronizersStatus/0/machineCount | [0] | [-1]
        ",
    );
    check_most(
        "MachineConfigPool",
        "/spec/pinnedImageSets",
        100,
        |i| json!({ "name": format!("a{i}") }),
    );
    check_longest("MachineConfigPool", "/spec/pinnedImageSets/0/name", 63, "");
    check_longest("MachineConfigPool", "/spec/osImageStream/name", 253, "");
}

#[test]
fn images() {
    const IMAGES: &str = "/spec/pinnedImages";
    let image = |i: usize| json!({ "name": format!("quay.io/a/b{i}@sha256:{}", "0".repeat(64)) });
    check(
        "PinnedImageSet",
        r"
        /spec/pinnedImages | [] | [[], [{name: quay.io/a@}, {name: quay.io/a@}]]
        /spec/pinnedImages/0/name | [quay.io/a@, localhost/a_b.c-d@, a.b.c/ABC@, 'registry.example.com:5000/a/b/c/d@'] | ['', 'quay.io/a', 'quay.io/a:latest', 'quay.io/a:1@', 'https://quay.io/a@', quay.io@, /a@, a/b@@]
        ",
    );
    for digest in [
        "sha256:123",
        &format!("sha512:{}", "0".repeat(64)),
        &format!("sha256:{}", "A".repeat(64)),
    ] {
        keep_out(
            "PinnedImageSet",
            "/spec/pinnedImages/0/name",
            &json!(format!("quay.io/a@{digest}")),
        );
    }
    check_most("PinnedImageSet", IMAGES, 500, image);
    let end = format!("/b@sha256:{}", "0".repeat(64));
    check_longest("PinnedImageSet", "/spec/pinnedImages/0/name", 447, &end);
}

#[test]
fn kubelets() {
    check(
        "KubeletConfig",
        r"
        /spec/logLevel | [0, 10] | [-1, 11, '5']
        /spec/kubeletConfig | [{}, {a: [null]}] | [x, []]
        /spec/tlsSecurityProfile/type | [Old, Intermediate, Modern, Custom] | ['', old]
        /spec/tlsSecurityProfile/old | [null, {}] | [{a: 1}]
        /spec/tlsSecurityProfile/custom/minTLSVersion | [VersionTLS10, VersionTLS13] | ['1.3']
        /spec/tlsSecurityProfile/custom/groups | [[a, b, c, d, e]] | [[], [a, a], [a, b, c, d, e, f]]
        /spec/systemGomaxprocsBehavior | [Autosize, Disabled] | [Sometimes]
        ",
    );
}

#[test]
fn container_runtimes() {
    let kind = "ContainerRuntimeConfig";
    check(
        kind,
        r"
        /spec/containerRuntimeConfig | [{}] | [null, {unknown: 1}]
        /spec/containerRuntimeConfig/overlaySize | [-1, 10G, 1.5Gi, '1e3', '.5'] | ['', ten, 10 G, 1.5]
        /spec/containerRuntimeConfig/logSizeMax | [8192, 16Ki] | [x]
        /spec/containerRuntimeConfig/defaultRuntime | ['', crun, runc] | [kata]
        /spec/containerRuntimeConfig/logLevel | [anything] | [3]
        /spec/containerRuntimeConfig/containerGomaxprocsBehavior | [Autosize] | ['']
        /spec/containerRuntimeConfig/additionalLayerStores/0/path | [/a, /a.b_c-d/] | ['', a, /, /a b, /ä]
        ",
    );
    for (stores, most) in [
        ("additionalLayerStores", 5),
        ("additionalImageStores", 10),
        ("additionalArtifactStores", 10),
    ] {
        let pointer = format!("/spec/containerRuntimeConfig/{stores}");
        check_most(kind, &pointer, most, |i| json!({ "path": format!("/a/{i}") }));
        keep_out(kind, &pointer, &json!([]));
        keep_out(
            kind,
            &format!("{pointer}/0/path"),
            &json!(format!("/{}", "a".repeat(256))),
        );
    }
}

#[test]
fn nodes() {
    let kind = "MachineConfigNode";
    check(
        kind,
        r"
        /spec/node/name | [a.b-c] | [A, a_b, '', a..b]
        /spec/pool/name | [not-yet-set] | [a.]
        /spec/configVersion/desired | [rendered-worker-0] | ['']
        /spec/configImage/desiredImage | [quay.io/a@] | ['', 'quay.io/a:1']
        /status/configVersion/current | ['', a] | [A]
        /status/configImage | [{currentImage: quay.io/a@}] | [{}]
        /status/observedGeneration | [1] | [0]
        /status/conditions/0/reason | [A_b:c] | ['', with space, _a]
        /status/conditions/0/status | ['True', Unknown] | ['true', '']
        /status/conditions/0/lastTransitionTime | [] | [null]
        /status/pinnedImageSets/0/currentGeneration | [1] | [0]
        /status/irreconcilableChanges/0/fieldPath | ['spec.config.a[0]'] | ['', spec.a b, spec.a-b]
        /status/internalReleaseImage/releases | [[{name: a}]] | [[]]
        ",
    );
    check_most(
        kind,
        "/status/conditions",
        20,
        |i| json!({ "type": format!("A{i}"), "status": "True", "reason": "R", "message": "", "lastTransitionTime": "t" }),
    );
    check_most(
        kind,
        "/status/internalReleaseImage/releases",
        5,
        |i| json!({ "name": format!("{i}") }),
    );
    check_most(
        kind,
        "/status/irreconcilableChanges",
        32,
        |i| json!({ "fieldPath": format!("spec.{i}"), "diff": "d" }),
    );
    check_longest(kind, "/spec/node/name", 253, "");
    check_longest(kind, "/status/irreconcilableChanges/0/fieldPath", 70, "");
    check_longest(kind, "/status/irreconcilableChanges/0/diff", 4096, "");
    check_longest(
        kind,
        "/status/pinnedImageSets/0/lastFailedGenerationError",
        32768,
        "",
    );
}

#[test]
fn policies() {
    let kind = "MachineConfiguration";
    let status = "/status/nodeDisruptionPolicyStatus/clusterPolicies";
    check(
        kind,
        r"
        /spec/nodeDisruptionPolicy/files | [[]] | [[{path: /a}], [{actions: []}]]
        /spec/nodeDisruptionPolicy/files/0/actions | [[]] | [[{type: Special}], [{}], [{type: Other}]]
        /spec/nodeDisruptionPolicy/units | [[]] | [[{name: a.service}]]
        /spec/nodeDisruptionPolicy/units/0/actions | [[]] | [[{type: Special}]]
        /spec/nodeDisruptionPolicy/sshkey | [{actions: []}] | [{}, {actions: [{type: Special}]}]
        /status/nodeDisruptionPolicyStatus/clusterPolicies/sshkey/actions | [[{type: Special}]] | [[{type: Other}]]
        /status/nodeDisruptionPolicyStatus/clusterPolicies/units/0/actions | [[{type: Special}]] | []
        /spec/nodeDisruptionPolicy/units/0/name | [a.service, 'a-b_c:d.e.timer', 'a\x2db.mount'] | [a, .service, a.conf, a b.service]
        /spec/nodeDisruptionPolicy/files/0/actions/0/restart/serviceName | [a.socket] | [a, '']
        ",
    );
    let_in(
        kind,
        "/spec/nodeDisruptionPolicy/units/0/name",
        &json!("getty@tty1.service"),
    );
    check_longest(kind, "/spec/nodeDisruptionPolicy/units/0/name", 255, ".service");
    for (policies, most) in [("/spec/nodeDisruptionPolicy", 50), (status, 100)] {
        let file = |i: usize| json!({ "path": format!("/a/{i}"), "actions": [] });
        let unit = |i: usize| json!({ "name": format!("a{i}.service"), "actions": [] });
        check_most(kind, &format!("{policies}/files"), most, file);
        check_most(kind, &format!("{policies}/units"), most, unit);
        check_most(
            kind,
            &format!("{policies}/files/0/actions"),
            10,
            |_| json!({ "type": "Drain" }),
        );
        keep_out(kind, &format!("{policies}/files"), &json!([file(0), file(0)]));
    }
}

#[test]
fn settings_of_the_system() {
    check(
        "MachineConfiguration",
        r"
        /spec/managementState | [Managed, Unmanaged, Force, Removed] | ['', managed]
        /spec/logLevel | ['', Normal, TraceAll] | [debug]
        /spec/observedConfig | [null, {}] | [[]]
        /spec/irreconcilableValidationOverrides/storage | [[Raid]] | [[], [Raid, Raid], [Luks]]
        /spec/managedBootImages/machineManagers | [[]] | [[{resource: machinesets}]]
        /spec/managedBootImages/machineManagers/0/resource | [machinesets] | [machines, controlplanemachinesets]
        /spec/managedBootImages/machineManagers/0/apiGroup | [] | [cluster.x-k8s.io]
        /spec/managedBootImages/machineManagers/0/selection/mode | [All, Partial, None] | [Some]
        /spec/bootImageSkewEnforcement/mode | [Manual, None] | [Automatic]
        /spec/bootImageSkewEnforcement/manual/ocpVersion | [4.20.1] | ['4.20', 4.20.1-rc, 4.20.1234567]
        /spec/bootImageSkewEnforcement/manual/rhcosVersion | [9.6.20250101-0, 418.94.202501010000-0] | [9.6.2025-0, 9.6.20250101]
        /status/bootImageSkewEnforcementStatus/mode | [Automatic, None] | ['']
        /status/bootImageSkewEnforcementStatus/automatic | [{ocpVersion: 4.20.1}] | [{}]
        ",
    );
}
