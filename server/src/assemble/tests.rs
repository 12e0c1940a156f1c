use ignition::contents::{MAX_INFLATED, decode};
use serde_json::{Value, json};

use super::*;

/// Assembles a MachineConfig with this spec.config, and further fields of its spec and metadata.
#[expect(clippy::needless_pass_by_value, reason = "calls read better")]
fn assembly(
    config: Value,
    spec: &Value,
    metadata: &Value,
    cas: [&[u8]; 2],
) -> Result<Assembly, AssembleError> {
    let mut object = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineConfig",
        "metadata": {"name": "rendered-worker-1"},
        "spec": {"config": config},
    });
    for (key, fields) in [("spec", spec), ("metadata", metadata)] {
        let fields = fields.as_object().unwrap().clone();
        object[key].as_object_mut().unwrap().extend(fields);
    }
    Assembly::new(&Inputs {
        rendered: "rendered-worker-1",
        machine_config: &serde_json::from_value(object).unwrap(),
        kubelet_ca: cas[0],
        cloud_ca: cas[1],
        kubeconfig: b"token: t\n",
        registry_cas: &[
            ("r:5000".to_owned(), b"R".to_vec()),
            ("s".to_owned(), b"S".to_vec()),
        ],
    })
}

fn plain(config: Value) -> Assembly {
    assembly(config, &json!({}), &json!({}), [b"K", b"C"]).unwrap()
}

fn v35(files: &Value) -> Value {
    json!({"ignition": {"version": "3.5.0"}, "storage": {"files": files}})
}

/// The files of a body: path, mode, contents.
fn files(body: &str) -> Vec<(String, u64, String)> {
    let body: Value = serde_json::from_str(body).unwrap();
    let file = |file: &Value| {
        let contents = decode(file["contents"]["source"].as_str(), None, MAX_INFLATED).unwrap();
        let path = file["path"].as_str().unwrap().to_owned();
        (
            path,
            file["mode"].as_u64().unwrap(),
            String::from_utf8(contents).unwrap(),
        )
    };
    body["storage"]["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(file)
        .collect()
}

fn contents(body: &str, path: &str) -> String {
    files(body).into_iter().find(|file| file.0 == path).unwrap().2
}

#[test]
fn everything_is_appended_in_order_with_its_mode() {
    let own = json!([{"path": "/etc/own", "mode": 0o600, "contents": {"source": "data:,x"}}]);
    let expected = [
        ("/etc/own", 0o600),
        (KUBELET_CA, 0o644),
        (CLOUD_CA, 0o644),
        (NODE_ANNOTATIONS, 0o644),
        (KUBECONFIG, 0o600),
        (CONTENT, 0o600),
        ("/etc/docker/certs.d/r:5000/ca.crt", 0o644),
        ("/etc/docker/certs.d/s/ca.crt", 0o644),
        (ENCAPSULATED, 0o644),
    ];
    let assembly = plain(v35(&own));
    for version in [Version::V3_5, Version::V3_1, Version::V2_2] {
        let files = files(&assembly.body(version).unwrap());
        let found: Vec<(&str, u64)> = files
            .iter()
            .map(|(path, mode, _)| (path.as_str(), *mode))
            .collect();
        assert_eq!(found, expected, "{version}");
        assert_eq!(files[4].2, "token: t\n");
    }
}

#[test]
fn a_ca_that_is_there_gets_new_contents_only_and_no_data_changes_nothing() {
    let there = json!([{
        "path": KUBELET_CA, "mode": 0o400, "user": {"name": "kubelet"},
        "contents": {"source": "data:,old", "verification": {}},
    }]);
    let body = plain(v35(&there)).body(Version::V3_5).unwrap();
    assert_eq!(files(&body)[0], (KUBELET_CA.to_owned(), 0o400, "K".to_owned()));
    assert!(body.contains("\"user\":{\"name\":\"kubelet\"}"));
    // The copy for reading is the one that was rendered.
    assert!(contents(&body, CONTENT).contains("data:,old"));
    let body = assembly(v35(&there), &json!({}), &json!({}), [b"", b""])
        .unwrap()
        .body(Version::V3_5)
        .unwrap();
    assert_eq!(contents(&body, KUBELET_CA), "old");
    assert!(!body.contains(CLOUD_CA));
}

#[test]
fn kernel_arguments_move_below_3_3_and_only_there() {
    let config = json!({"ignition": {"version": "3.3.0"}, "kernelArguments": {"shouldExist": ["a=1", "b"]}});
    let assembly = assembly(
        config,
        &json!({"kernelArguments": ["nosmt"]}),
        &json!({}),
        [b"", b""],
    )
    .unwrap();
    // Often and in any order: nothing that is asked for changes what is there.
    for _ in 0..3 {
        for (version, moved) in [
            (Version::V2_2, true),
            (Version::V3_2, true),
            (Version::V3_3, false),
        ] {
            let body = assembly.body(version).unwrap();
            let in_ignition = body.contains("\"kernelArguments\":{\"shouldExist\":[\"a=1\",\"b\"]}");
            assert_eq!(in_ignition, !moved, "{version}");
            let expected = if moved {
                "[\"nosmt\",\"a=1\",\"b\"]"
            } else {
                "[\"nosmt\"]"
            };
            let encapsulated = contents(&body, ENCAPSULATED);
            assert!(
                encapsulated.contains(&format!("\"kernelArguments\":{expected}")),
                "{encapsulated}"
            );
            assert!(
                encapsulated.contains("\"config\":{\"ignition\":{\"version\":\"3.5.0\"}}"),
                "{encapsulated}"
            );
            assert!(contents(&body, CONTENT).contains("shouldExist"), "{version}");
        }
    }
}

#[test]
fn what_cannot_be_said_is_refused_for_that_version_alone() {
    let arguments = json!({"ignition": {"version": "3.5.0"}, "kernelArguments": {"shouldNotExist": ["a"]}});
    let assembly = plain(arguments);
    assert_eq!(assembly.body(Version::V3_2), Err(AssembleError::ShouldNotExist));
    assert!(assembly.body(Version::V3_3).is_ok());
    let luks = json!({"name": "l", "device": "/dev/x", "cex": {"enabled": true}});
    let assembly = plain(json!({"ignition": {"version": "3.5.0"}, "storage": {"luks": [luks]}}));
    assert!(assembly.body(Version::V3_5).is_ok());
    let refused = assembly.body(Version::V3_4).unwrap_err();
    assert!(
        matches!(
            refused,
            AssembleError::Untranslatable {
                version: Version::V3_4,
                ..
            }
        ),
        "{refused}"
    );
    assert!(refused.to_string().contains("cex"), "{refused}");
    assert!(plain(v35(&json!([]))).body(Version::V3_0).is_err());
}

#[test]
fn what_is_wrong_with_the_config_itself_is_named() {
    let refused = |config: Value| assembly(config, &json!({}), &json!({}), [b"", b""]);
    assert_eq!(refused(Value::Null).unwrap_err(), AssembleError::NoConfig);
    let broken = refused(v35(&json!([{"path": "relative"}])))
        .unwrap_err()
        .to_string();
    assert!(
        broken.contains("spec.config") && broken.contains("files[0].path"),
        "{broken}"
    );
    let own = json!([{"path": KUBECONFIG, "contents": {"source": "data:,mine"}}]);
    let clash = refused(v35(&own)).unwrap().body(Version::V3_5).unwrap_err();
    assert!(matches!(clash, AssembleError::Combined(_)), "{clash}");
    assert!(clash.to_string().contains(KUBECONFIG), "{clash}");
}

#[test]
fn the_node_is_told_its_config_and_the_image_it_was_built_into() {
    let annotations = |metadata: Value| {
        let assembly = assembly(v35(&json!([])), &json!({}), &metadata, [b"", b""]).unwrap();
        contents(&assembly.body(Version::V3_5).unwrap(), NODE_ANNOTATIONS)
    };
    let plain = "{\"machineconfiguration.openshift.io/currentConfig\":\"rendered-worker-1\",\
        \"machineconfiguration.openshift.io/desiredConfig\":\"rendered-worker-1\",\
        \"machineconfiguration.openshift.io/firstPivotConfig\":\"rendered-worker-1\",\
        \"machineconfiguration.openshift.io/state\":\"Done\"}";
    assert_eq!(annotations(json!({})), plain);
    assert_eq!(annotations(json!({"annotations": {PRE_BUILT_IMAGE: ""}})), plain);
    let built: Value =
        serde_json::from_str(&annotations(json!({"annotations": {PRE_BUILT_IMAGE: "i@x"}}))).unwrap();
    assert_eq!(built["machineconfiguration.openshift.io/currentImage"], "i@x");
    assert_eq!(built["machineconfiguration.openshift.io/desiredImage"], "i@x");
}

#[test]
fn the_object_is_written_in_the_reference_s_order() {
    let metadata = json!({
        "labels": {"b": "1", "a": "<"}, "generation": 2, "uid": "u", "creationTimestamp": "2024-01-02T03:04:05Z",
        "resourceVersion": "7", "finalizers": [],
        "ownerReferences": [{
            "uid": "", "name": "worker", "kind": "MachineConfigPool", "blockOwnerDeletion": true, "controller": true,
            "apiVersion": "machineconfiguration.openshift.io/v1",
        }],
        "managedFields": [{"fieldsType": "FieldsV1", "manager": "m", "operation": "Update", "time": "2024-01-02T03:04:05Z"}],
    });
    let assembly = assembly(v35(&json!([])), &json!({"fips": true}), &metadata, [b"", b""]).unwrap();
    let encapsulated = contents(&assembly.body(Version::V3_5).unwrap(), ENCAPSULATED);
    let expected = "{\"kind\":\"MachineConfig\",\"apiVersion\":\"machineconfiguration.openshift.io/v1\",\
        \"metadata\":{\"name\":\"rendered-worker-1\",\"uid\":\"u\",\"resourceVersion\":\"7\",\"generation\":2,\
        \"creationTimestamp\":\"2024-01-02T03:04:05Z\",\"labels\":{\"a\":\"\\u003c\",\"b\":\"1\"},\
        \"ownerReferences\":[{\"apiVersion\":\"machineconfiguration.openshift.io/v1\",\"kind\":\"MachineConfigPool\",\
        \"name\":\"worker\",\"uid\":\"\",\"controller\":true,\"blockOwnerDeletion\":true}],\
        \"managedFields\":[{\"manager\":\"m\",\"operation\":\"Update\",\"time\":\"2024-01-02T03:04:05Z\",\
        \"fieldsType\":\"FieldsV1\"}]},\
        \"spec\":{\"osImageURL\":\"\",\"baseOSExtensionsContainerImage\":\"\",\
        \"config\":{\"ignition\":{\"version\":\"3.5.0\"}},\"kernelArguments\":null,\"extensions\":null,\"fips\":true,\
        \"kernelType\":\"\"}}";
    assert_eq!(encapsulated, expected);
}
