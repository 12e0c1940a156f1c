//! What the schemas let in and what they keep out: the kinds that the system writes, or behaves by.

use serde_json::{Value, json};

use crate::limits::{check, image, list};

#[test]
fn nodes() {
    let subdomain = || {
        (
            vec![json!("a.b-c"), json!("not-yet-set")],
            vec![json!("A"), json!("a_b"), json!("a".repeat(254))],
        )
    };
    let row = |pointer, (good, bad)| ("MachineConfigNode", pointer, good, bad);
    let condition = |i: usize| json!({ "type": format!("A{i}"), "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z" });
    check(vec![
        row("/spec/node/name", subdomain()),
        row("/spec/pool/name", subdomain()),
        row("/spec/configVersion/desired", subdomain()),
        row("/status/configVersion/desired", subdomain()),
        row(
            "/spec/configImage/desiredImage",
            (vec![image("quay.io/a")], vec![json!(""), json!("quay.io/a:1")]),
        ),
        row(
            "/status/configImage",
            (
                vec![json!({ "currentImage": image("quay.io/a") })],
                vec![json!({})],
            ),
        ),
        row("/status/observedGeneration", (vec![json!(1)], vec![json!(0)])),
        row(
            "/status/conditions",
            (
                vec![list(20, condition)],
                vec![list(21, condition), list(2, |_| condition(0))],
            ),
        ),
        row(
            "/status/conditions/0/reason",
            (
                vec![json!("A_b:c")],
                vec![json!(""), json!("with space"), json!("_a")],
            ),
        ),
        row(
            "/status/conditions/0/status",
            (vec![json!("Unknown")], vec![json!("true")]),
        ),
        row(
            "/status/conditions/0/lastTransitionTime",
            (vec![], vec![Value::Null]),
        ),
        row(
            "/status/pinnedImageSets/0/currentGeneration",
            (vec![json!(1)], vec![json!(0)]),
        ),
        row(
            "/status/pinnedImageSets/0/lastFailedGenerationError",
            (vec![json!("")], vec![json!("a".repeat(32769))]),
        ),
        row(
            "/status/irreconcilableChanges/0/fieldPath",
            (
                vec![json!("spec.config.storage.disks[0]")],
                vec![json!(""), json!("spec.a b"), json!("spec.".repeat(15))],
            ),
        ),
        row(
            "/status/irreconcilableChanges/0/diff",
            (vec![json!("a")], vec![json!(""), json!("a".repeat(4097))]),
        ),
        row(
            "/status/internalReleaseImage/releases",
            (
                vec![],
                vec![json!([]), list(6, |i| json!({ "name": format!("{i}") }))],
            ),
        ),
    ]);
}

#[test]
fn policies() {
    let file = |i: usize| json!({ "path": format!("/a/{i}"), "actions": [] });
    let unit = |i: usize| json!({ "name": format!("a{i}.service"), "actions": [] });
    let special = || json!([{ "type": "Special" }]);
    let row = |pointer, good, bad| ("MachineConfiguration", pointer, good, bad);
    check(vec![
        row(
            "/spec/nodeDisruptionPolicy/files",
            vec![list(50, file)],
            vec![list(51, file), json!([{ "path": "/a" }]), list(2, |_| file(0))],
        ),
        row(
            "/spec/nodeDisruptionPolicy/units",
            vec![list(50, unit)],
            vec![list(51, unit), json!([{ "name": "a.service" }])],
        ),
        row(
            "/spec/nodeDisruptionPolicy/files/0/actions",
            vec![list(10, |_| json!({ "type": "Drain" }))],
            vec![special(), list(11, |_| json!({ "type": "Drain" }))],
        ),
        row(
            "/spec/nodeDisruptionPolicy/units/0/actions",
            vec![],
            vec![special()],
        ),
        row(
            "/spec/nodeDisruptionPolicy/sshkey/actions",
            vec![],
            vec![special()],
        ),
        row(
            "/status/nodeDisruptionPolicyStatus/clusterPolicies/files",
            vec![list(100, file)],
            vec![list(101, file)],
        ),
        row(
            "/status/nodeDisruptionPolicyStatus/clusterPolicies/files/0/actions",
            vec![special()],
            vec![json!([{ "type": "Other" }])],
        ),
        row(
            "/status/nodeDisruptionPolicyStatus/clusterPolicies/sshkey/actions",
            vec![special()],
            vec![],
        ),
        row(
            "/spec/nodeDisruptionPolicy/units/0/name",
            vec![
                json!("a.service"),
                json!("a-b_c:d.e.timer"),
                json!("getty@tty1.service"),
                json!(r"a\x2db.mount"),
            ],
            vec![
                json!("a"),
                json!(".service"),
                json!("a.conf"),
                json!("a b.service"),
                json!(format!("{}.service", "a".repeat(255))),
            ],
        ),
        row(
            "/spec/nodeDisruptionPolicy/files/0/actions/0/restart/serviceName",
            vec![json!("a.socket")],
            vec![json!("a"), json!("")],
        ),
        row(
            "/spec/managementState",
            vec![json!("Removed")],
            vec![json!(""), json!("managed")],
        ),
        row(
            "/spec/logLevel",
            vec![json!(""), json!("TraceAll")],
            vec![json!("debug")],
        ),
        row(
            "/spec/observedConfig",
            vec![Value::Null, json!({})],
            vec![json!([])],
        ),
        row(
            "/spec/irreconcilableValidationOverrides/storage",
            vec![json!(["Raid"])],
            vec![json!([]), json!(["Raid", "Raid"]), json!(["Luks"])],
        ),
    ]);
}

#[test]
fn boot_images() {
    let manager = |resource: &str| json!({ "resource": resource, "apiGroup": "machine.openshift.io", "selection": { "mode": "None" } });
    let row = |pointer, good, bad| ("MachineConfiguration", pointer, good, bad);
    check(vec![
        row(
            "/spec/managedBootImages/machineManagers",
            vec![
                json!([]),
                json!([manager("machinesets"), manager("controlplanemachinesets")]),
            ],
            vec![
                json!([manager("machinesets"), manager("machinesets")]),
                json!([manager("machines")]),
            ],
        ),
        row(
            "/spec/managedBootImages/machineManagers/0/apiGroup",
            vec![],
            vec![json!("cluster.x-k8s.io")],
        ),
        row(
            "/spec/managedBootImages/machineManagers/0/selection/mode",
            vec![json!("All")],
            vec![json!("Some")],
        ),
        row(
            "/spec/bootImageSkewEnforcement/mode",
            vec![json!("None")],
            vec![json!("Automatic")],
        ),
        row(
            "/status/bootImageSkewEnforcementStatus/mode",
            vec![json!("None")],
            vec![json!("")],
        ),
        row(
            "/status/bootImageSkewEnforcementStatus/automatic",
            vec![json!({ "ocpVersion": "4.20.1" })],
            vec![json!({})],
        ),
        row(
            "/spec/bootImageSkewEnforcement/manual/ocpVersion",
            vec![json!("4.20.1")],
            vec![json!("4.20"), json!("4.20.1-rc"), json!("4.20.1234567")],
        ),
        row(
            "/spec/bootImageSkewEnforcement/manual/rhcosVersion",
            vec![json!("9.6.20250101-0"), json!("418.94.202501010000-0")],
            vec![json!("9.6.2025-0"), json!("9.6.20250101")],
        ),
    ]);
}
