//! `machine-config-controller bootstrap` as its users meet it: what comes out, what is refused and how it is told.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crds::manifest::{self, Object};
use serde_json::{Value, json};

/// A manifest directory and a destination.
struct Run {
    directory: tempfile::TempDir,
}

impl Run {
    fn new(manifests: &[(&str, String)]) -> Self {
        let run = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(run.at("in")).unwrap();
        for (name, text) in manifests {
            fs::write(run.at("in").join(name), text).unwrap();
        }
        run
    }

    fn at(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn with(&self, args: &[&str]) -> Output {
        command()
            .arg("bootstrap")
            .arg("--manifest-dir")
            .arg(self.at("in"))
            .arg("--dest-dir")
            .arg(self.at("out"))
            .args(args)
            .output()
            .unwrap()
    }

    /// Runs it, and expects it to work without a word.
    fn bootstrap(&self) {
        let output = self.with(&[]);
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    }

    /// Runs it, expects it to refuse and to leave the destination alone, and returns what it said.
    fn refused(&self, args: &[&str]) -> String {
        let before = files(&self.at("out"));
        let output = self.with(args);
        let said = stderr(&output);
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(1), 0),
            "{said}"
        );
        assert_eq!(files(&self.at("out")), before, "{said}");
        said
    }

    fn written(&self) -> Vec<String> {
        files(&self.at("out")).into_keys().collect()
    }

    /// The one object in a file of the destination, as JSON.
    fn object(&self, path: &str) -> Value {
        manifest::value(path, &fs::read_to_string(self.at("out").join(path)).unwrap()).unwrap()
    }
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_machine-config-controller"));
    command.env_remove("CLICOLOR_FORCE");
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Contents by path below a directory.
fn files(directory: &Path) -> BTreeMap<String, String> {
    fn add(at: &Path, base: &Path, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(at).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                add(&path, base, found);
            } else {
                let name = path.strip_prefix(base).unwrap().display().to_string();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    add(directory, directory, &mut found);
    found
}

fn object(kind: &str, name: &str, rest: &Value) -> String {
    let mut object = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": kind,
        "metadata": {"name": name},
    });
    for (key, value) in rest.as_object().unwrap() {
        if key == "metadata" {
            object["metadata"]
                .as_object_mut()
                .unwrap()
                .extend(value.as_object().unwrap().clone());
        } else {
            object[key] = value.clone();
        }
    }
    object.to_string()
}

/// A MachineConfig with one file.
fn config(name: &str, role: &str) -> String {
    let file = json!({"path": format!("/etc/{name}"), "mode": 420, "contents": {"source": "data:,x"}});
    with_ignition(
        name,
        role,
        &json!({"ignition": {"version": "3.4.0"}, "storage": {"files": [file]}}),
    )
}

fn with_ignition(name: &str, role: &str, config: &Value) -> String {
    let labels = json!({"machineconfiguration.openshift.io/role": role});
    object(
        "MachineConfig",
        name,
        &json!({"metadata": {"labels": labels}, "spec": {"config": config}}),
    )
}

fn pool(name: &str, roles: &[&str]) -> String {
    let selector = json!({"matchExpressions": [
        {"key": "machineconfiguration.openshift.io/role", "operator": "In", "values": roles}]});
    let nodes = json!({"matchLabels": {format!("node-role.kubernetes.io/{name}"): ""}});
    object(
        "MachineConfigPool",
        name,
        &json!({"spec": {"machineConfigSelector": selector, "nodeSelector": nodes}}),
    )
}

/// The name of the rendered config in a pool file.
fn rendered(pool: &Value) -> String {
    let name = pool["spec"]["configuration"]["name"].as_str().unwrap();
    assert_eq!(pool["spec"]["configuration"], pool["status"]["configuration"]);
    name.to_owned()
}

fn sources(pool: &Value) -> Vec<&str> {
    let sources = pool["spec"]["configuration"]["source"].as_array().unwrap();
    sources
        .iter()
        .map(|source| source["name"].as_str().unwrap())
        .collect()
}

#[test]
fn without_pools_there_are_master_and_worker() {
    let run = Run::new(&[
        ("m.yaml", config("00-master", "master")),
        ("w.yaml", config("00-worker", "worker")),
    ]);
    let output = run.with(&[]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    let [master, worker] = ["master", "worker"].map(|name| run.object(&format!("machine-pools/{name}.yaml")));
    let mut expected = vec![
        "controller-config/machine-config-controller.yaml".to_owned(),
        format!("machine-configs/{}.yaml", rendered(&master)),
        format!("machine-configs/{}.yaml", rendered(&worker)),
        "machine-pools/master.yaml".to_owned(),
        "machine-pools/worker.yaml".to_owned(),
    ];
    expected.sort();
    assert_eq!(run.written(), expected);
    assert_eq!(sources(&worker), ["00-worker"]);
    let summary = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        summary,
        format!(
            "master: {} from 1 MachineConfig\nworker: {} from 1 MachineConfig\n",
            rendered(&master),
            rendered(&worker)
        )
    );
}

#[test]
fn every_written_object_can_be_read_again_and_the_name_is_that_of_its_contents() {
    let run = Run::new(&[
        ("w.yaml", config("00-worker", "worker")),
        ("p.yaml", pool("worker", &["worker"])),
    ]);
    run.bootstrap();
    for (path, text) in files(&run.at("out")) {
        let (manifests, errors) = manifest::parse(&path, &text);
        assert_eq!((manifests.len(), errors.as_slice()), (1, &[][..]), "{path}");
        assert_eq!(manifests[0].unknown_fields, [""; 0], "{path}");
        if let Object::MachineConfig(config) = &manifests[0].object {
            let again = machineconfig::render(
                "worker",
                &[relabelled(config)],
                &machineconfig::Defaults::default(),
            );
            assert_eq!(
                Some(again.unwrap().name),
                config.metadata.name,
                "a rendered config renders to itself"
            );
        }
    }
}

/// A rendered config as an input: with a role, and as a user's.
fn relabelled(config: &crds::MachineConfig) -> crds::MachineConfig {
    let mut config = config.clone();
    config.metadata.annotations = None;
    config.metadata.labels = Some(
        [(
            "machineconfiguration.openshift.io/role".to_owned(),
            "worker".to_owned(),
        )]
        .into(),
    );
    config.metadata.name = Some("00-again".to_owned());
    config
}

#[test]
fn files_and_directories_have_the_modes_of_the_reference() {
    let run = Run::new(&[
        ("w.yaml", config("00-worker", "worker")),
        ("p.yaml", pool("worker", &["worker"])),
    ]);
    run.bootstrap();
    for (path, mode) in [
        ("", 0o764),
        ("machine-pools", 0o764),
        ("machine-pools/worker.yaml", 0o664),
    ] {
        assert_eq!(
            fs::metadata(run.at("out").join(path)).unwrap().mode() & 0o7777,
            mode,
            "{path}"
        );
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let manifests = [
        ("a.yaml", config("00-worker", "worker")),
        ("b.yaml", config("10-worker", "worker")),
        ("c.yaml", config("00-edge", "edge")),
        ("p.yaml", pool("edge", &["worker", "edge"])),
        ("q.yaml", pool("alpha", &["worker"])),
    ];
    let first = Run::new(&manifests);
    first.bootstrap();
    let mut renamed = manifests.clone();
    renamed.reverse();
    let names = ["1.json", "2", "3.yml", "4.yaml", "5"];
    let renamed: Vec<_> = names
        .into_iter()
        .zip(renamed)
        .map(|(name, (_, text))| (name, text))
        .collect();
    let second = Run::new(&renamed);
    second.bootstrap();
    assert_eq!(files(&first.at("out")), files(&second.at("out")));
    assert_eq!(first.with(&[]).stdout, second.with(&[]).stdout);
    first.bootstrap();
    assert_eq!(
        files(&first.at("out")),
        files(&second.at("out")),
        "over an earlier output"
    );
}

#[test]
fn a_custom_pool_has_its_own_sources_only_worker_first() {
    let run = Run::new(&[
        ("a", config("50-worker", "worker")),
        ("b", config("10-edge", "edge")),
        ("c", config("00-master", "master")),
        ("p", pool("edge", &["worker", "edge"])),
    ]);
    run.bootstrap();
    assert_eq!(
        sources(&run.object("machine-pools/edge.yaml")),
        ["50-worker", "10-edge"]
    );
    assert_eq!(
        sources(&run.object("machine-pools/worker.yaml")),
        ["50-worker"],
        "built in beside a custom pool"
    );
    assert_eq!(sources(&run.object("machine-pools/master.yaml")), ["00-master"]);
}

#[test]
fn a_user_s_pool_beats_the_built_in_one() {
    let worker = object(
        "MachineConfigPool",
        "worker",
        &json!({"spec": {"maxUnavailable": 3, "paused": true, "machineConfigSelector":
            {"matchLabels": {"machineconfiguration.openshift.io/role": "worker"}}}}),
    );
    let standard = manifest::to_yaml(&machineconfig::pool::built_in("worker"));
    for manifests in [
        vec![("w", config("00-worker", "worker")), ("p", worker.clone())],
        vec![
            ("w", config("00-worker", "worker")),
            ("p", worker.clone()),
            ("a", standard.clone()),
        ],
        vec![
            ("w", config("00-worker", "worker")),
            ("p", worker),
            ("z", standard),
        ],
    ] {
        let run = Run::new(&manifests);
        run.bootstrap();
        assert_eq!(
            run.object("machine-pools/worker.yaml")["spec"]["maxUnavailable"],
            3
        );
    }
}

#[test]
fn a_built_in_pool_that_nobody_needs_is_left_out_with_a_word() {
    let run = Run::new(&[("w", config("00-worker", "worker"))]);
    let output = run.with(&[]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.starts_with("warning[MC1201]") && said.contains(": MachineConfigPool/master"),
        "{said}"
    );
    assert!(!run.at("out/machine-pools/master.yaml").exists());
}

#[test]
fn an_error_stands_first_and_at_its_field() {
    let run = Run::new(&[
        ("w", config("00-worker", "worker")),
        ("x.yaml", config("50-x", "mastre")),
    ]);
    let said = run.refused(&[]);
    let first = said.lines().next().unwrap();
    let place = format!("error[MC1213] {}:", run.at("in/x.yaml").display());
    let numbers = first.strip_prefix(&place).and_then(|rest| rest.split_once(": "));
    let (numbers, rest) = numbers.unwrap_or_else(|| panic!("{said}"));
    assert!(
        numbers.contains(':') && rest.starts_with("MachineConfig/50-x metadata.labels["),
        "{said}"
    );
    assert!(!said.contains("MC1201"), "{said}");
}

#[test]
fn the_controller_config_gives_images_and_release() {
    let annotations = json!({"machineconfiguration.openshift.io/release-image-version": "4.22.0"});
    let controller = object(
        "ControllerConfig",
        "machine-config-controller",
        &json!({"metadata": {"annotations": annotations},
            "spec": {"baseOSContainerImage": "quay.example/os@sha256:1", "clusterDNSIP": "10.0.0.10"}}),
    );
    let manifests = [
        ("w", config("00-worker", "worker")),
        ("p", pool("worker", &["worker"])),
        ("c", controller),
    ];
    let run = Run::new(&manifests);
    assert_eq!(run.with(&["--payload-version", "9.9.9"]).status.code(), Some(0));
    let name = rendered(&run.object("machine-pools/worker.yaml"));
    let config = run.object(&format!("machine-configs/{name}.yaml"));
    assert_eq!(config["spec"]["osImageURL"], "quay.example/os@sha256:1");
    assert_eq!(
        config["metadata"]["annotations"]["machineconfiguration.openshift.io/release-image-version"],
        "4.22.0"
    );
    let written = run.object("controller-config/machine-config-controller.yaml");
    assert_eq!(written["spec"]["clusterDNSIP"], "10.0.0.10");
}

#[test]
fn the_payload_version_is_the_release_where_no_controller_config_says_one() {
    let run = Run::new(&[
        ("w", config("00-worker", "worker")),
        ("p", pool("worker", &["worker"])),
    ]);
    assert_eq!(run.with(&["--payload-version", "9.9.9"]).status.code(), Some(0));
    let name = rendered(&run.object("machine-pools/worker.yaml"));
    for path in [
        format!("machine-configs/{name}.yaml"),
        "controller-config/machine-config-controller.yaml".into(),
    ] {
        let annotations = run.object(&path)["metadata"]["annotations"].clone();
        assert_eq!(
            annotations["machineconfiguration.openshift.io/release-image-version"], "9.9.9",
            "{path}"
        );
    }
}

#[test]
fn the_api_server_of_the_cluster_is_passed_on() {
    let api = json!({"apiVersion": "config.openshift.io/v1", "kind": "APIServer", "metadata": {"name": "cluster"},
        "spec": {"tlsSecurityProfile": {"type": "Modern"}, "future": [1]}});
    let run = Run::new(&[
        ("w", config("00-worker", "worker")),
        ("p", pool("worker", &["worker"])),
        ("a", api.to_string()),
    ]);
    run.bootstrap();
    assert_eq!(run.object("api-server/api-server.yaml"), api);
    fs::remove_file(run.at("in/a")).unwrap();
    run.bootstrap();
    assert!(
        !run.at("out/api-server").exists(),
        "it is gone when the input has it no more"
    );
}

#[test]
fn what_others_keep_in_the_destination_stays() {
    let run = Run::new(&[
        ("w", config("00-worker", "worker")),
        ("p", pool("worker", &["worker"])),
    ]);
    fs::create_dir_all(run.at("out/tls")).unwrap();
    fs::write(run.at("out/kubeconfig"), "kubeconfig").unwrap();
    fs::write(run.at("out/tls/key"), "key").unwrap();
    run.bootstrap();
    fs::write(run.at("in/w"), config("01-worker", "worker")).unwrap();
    run.bootstrap();
    let written = files(&run.at("out"));
    assert_eq!(
        (written["kubeconfig"].as_str(), written["tls/key"].as_str()),
        ("kubeconfig", "key")
    );
    assert_eq!(
        written
            .keys()
            .filter(|path| path.starts_with("machine-configs/"))
            .count(),
        1,
        "{written:?}"
    );
}

#[test]
fn other_kinds_are_named_in_a_warning_and_left_out() {
    let others = [
        object("KubeletConfig", "k", &json!({})),
        object(
            "ContainerRuntimeConfig",
            "c",
            &json!({"spec": {"containerRuntimeConfig": {}}}),
        ),
        r#"{"apiVersion": "config.openshift.io/v1", "kind": "FeatureGate", "metadata": {"name": "cluster"}}"#
            .into(),
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}}"#.into(),
    ];
    let run = Run::new(&[
        ("w", config("00-worker", "worker")),
        ("p", pool("worker", &["worker"])),
        ("o.yaml", others.join("\n---\n")),
        ("README.md", "not a manifest: [".into()),
        (".hidden", "not a manifest: [".into()),
    ]);
    fs::create_dir(run.at("in/below")).unwrap();
    fs::write(run.at("in/below/x.yaml"), "not read: [").unwrap();
    let output = run.with(&[]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let expected = [
        "warning[MC1004]",
        "README.md",
        "warning[MC1008]",
        "KubeletConfig/k",
        "ContainerRuntimeConfig/c",
        "FeatureGate/cluster",
        "warning[MC1006]",
        "o.yaml:7",
        "ConfigMap/m",
    ];
    for part in expected {
        assert!(said.contains(part), "{part} in\n{said}");
    }
    assert_eq!(said.matches("warning[").count(), 5, "{said}");
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn each_bad_input_is_one_clear_message_and_nothing_is_written() {
    let worker = || ("w.yaml", config("00-worker", "worker"));
    let file = |file: Value| {
        let config = json!({"ignition": {"version": "3.4.0"}, "storage": {"files": [file]}});
        ("x.yaml", with_ignition("50-x", "worker", &config))
    };
    let spec = |spec: Value| {
        let labels = json!({"machineconfiguration.openshift.io/role": "worker"});
        (
            "x.yaml",
            object(
                "MachineConfig",
                "50-x",
                &json!({"metadata": {"labels": labels}, "spec": spec}),
            ),
        )
    };
    let ignition = |config: Value| ("x.yaml", with_ignition("50-x", "worker", &config));
    let contents = |source: &str| json!({"path": "/etc/x", "mode": 420, "contents": {"source": source}});
    let table: Vec<(&str, (&str, String), &[&str])> = vec![
        (
            "malformed YAML",
            ("x.yaml", "kind: [".into()),
            &["MC1005", "x.yaml:1:"],
        ),
        (
            "two of one name",
            ("x.yaml", config("00-worker", "worker")),
            &["MC1202", "x.yaml:1", "MachineConfig/00-worker", "w.yaml:1"],
        ),
        (
            "no role",
            ("x.yaml", object("MachineConfig", "50-x", &json!({"spec": {}}))),
            &["MC1132", "MachineConfig/50-x", "metadata.labels"],
        ),
        (
            "unknown version",
            ignition(json!({"ignition": {"version": "9.0.0"}})),
            &["MC1104", "50-x", "spec.config.ignition.version"],
        ),
        (
            "missing version",
            ignition(json!({"ignition": {}})),
            &["MC1104", "50-x"],
        ),
        (
            "relative path",
            file(json!({"path": "etc/x", "contents": {"source": "data:,"}})),
            &["MC1106", "50-x", "spec.config.storage.files[0].path"],
        ),
        (
            "wide mode",
            file(json!({"path": "/etc/x", "mode": 2541, "contents": {"source": "data:,"}})),
            &["MC1108", "50-x", "spec.config.storage.files[0].mode"],
        ),
        (
            "not data",
            file(contents("https://x.example/")),
            &["50-x", "spec.config.storage.files[0].contents.source"],
        ),
        (
            "bad data",
            file(contents("data:;base64,***")),
            &["50-x", "spec.config.storage.files[0].contents.source"],
        ),
        (
            "corrupt gzip",
            file(json!({"path": "/etc/x", "contents": {"source": "data:,plain", "compression": "gzip"}})),
            &["MC1111", "50-x", "spec.config.storage.files[0].contents"],
        ),
        (
            "wrong hash",
            file(json!({"path": "/etc/x", "contents": {"source": "data:,x",
                "verification": {"hash": format!("sha512-{}", "0".repeat(128))}}})),
            &["MC1113", "50-x", "spec.config.storage.files[0].contents"],
        ),
        (
            "inflates too far",
            file(json!({"path": "/etc/x", "contents": {"compression": "gzip",
                "source": ignition::contents::base64(&ignition::contents::gzip(&vec![0; (64 << 20) + 1]))}})),
            &["MC1112", "50-x", "spec.config.storage.files[0].contents"],
        ),
        (
            "the same path twice",
            ignition(
                json!({"ignition": {"version": "3.4.0"}, "storage": {"files": [contents("data:,a"), contents("data:,b")]}}),
            ),
            &["MC1107", "50-x", "spec.config.storage.files[1]"],
        ),
        (
            "file and directory",
            ignition(
                json!({"ignition": {"version": "3.4.0"}, "storage": {"files": [contents("data:,a")], "directories": [{"path": "/etc/x"}]}}),
            ),
            &["MC1107", "50-x", "spec.config.storage."],
        ),
        (
            "unit name",
            ignition(
                json!({"ignition": {"version": "3.4.0"}, "systemd": {"units": [{"name": "x.unit", "contents": "[Unit]\n"}]}}),
            ),
            &["MC1114", "50-x", "spec.config.systemd.units[0].name"],
        ),
        (
            "drop-in name",
            ignition(
                json!({"ignition": {"version": "3.4.0"}, "systemd": {"units": [{"name": "x.service", "dropins": [{"name": "x", "contents": "[Unit]\n"}]}]}}),
            ),
            &["MC1114", "50-x", "spec.config.systemd.units[0].dropins[0].name"],
        ),
        (
            "a user that is not core",
            ignition(json!({"ignition": {"version": "2.2.0"}, "passwd": {"users": [{"name": "admin"}]}})),
            &["MC1116", "50-x", "spec.config.passwd.users[0].name"],
        ),
        (
            "extension",
            spec(json!({"extensions": ["nope"], "config": {"ignition": {"version": "3.4.0"}}})),
            &["MC1131", "50-x", "spec.extensions", "nope"],
        ),
        (
            "kernel type",
            spec(json!({"kernelType": "fast"})),
            &["MC1130", "50-x", "spec.kernelType", "fast"],
        ),
        (
            "kernel-devel",
            spec(json!({"kernelType": "realtime", "extensions": ["kernel-devel"]})),
            &["MC1205"],
        ),
        (
            "unknown pool",
            ("x.yaml", config("50-x", "wroker")),
            &["MC1213", "50-x", "wroker"],
        ),
        (
            "empty pool",
            ("x.yaml", pool("infra", &["infra"])),
            &["MC1201", "MachineConfigPool/infra", "spec.machineConfigSelector"],
        ),
        (
            "pool without selector",
            ("x.yaml", object("MachineConfigPool", "infra", &json!({}))),
            &["MC1201", "MachineConfigPool/infra"],
        ),
        (
            "bad selector",
            (
                "x.yaml",
                object(
                    "MachineConfigPool",
                    "infra",
                    &json!({"spec": {"machineConfigSelector": {"matchExpressions": [{"key": "a", "operator": "Has"}]}}}),
                ),
            ),
            &[
                "MC1212",
                "MachineConfigPool/infra",
                "matchExpressions[0].operator",
            ],
        ),
        (
            "bad maxUnavailable",
            (
                "x.yaml",
                object(
                    "MachineConfigPool",
                    "worker",
                    &json!({"spec": {"maxUnavailable": -1, "machineConfigSelector": {"matchLabels": {"machineconfiguration.openshift.io/role": "worker"}}}}),
                ),
            ),
            &["MC1214", "MachineConfigPool/worker", "spec.maxUnavailable"],
        ),
        (
            "a name that is a path",
            (
                "x.yaml",
                pool("worker", &["worker"]).replace("\"name\":\"worker\"", "\"name\":\"../../evil\""),
            ),
            &["MC1216", "metadata.name"],
        ),
        (
            "generated by another",
            (
                "x.yaml",
                object(
                    "MachineConfig",
                    "50-x",
                    &json!({"metadata": {"labels": {"machineconfiguration.openshift.io/role": "worker"}, "annotations": {"machineconfiguration.openshift.io/generated-by-controller-version": "other"}}, "spec": {}}),
                ),
            ),
            &["MC1203", "50-x"],
        ),
        (
            "two controller configs",
            (
                "x.yaml",
                object("ControllerConfig", "a", &json!({}))
                    + "\n---\n"
                    + &object("ControllerConfig", "b", &json!({})),
            ),
            &["MC1202", "ControllerConfig/b", "ControllerConfig/a"],
        ),
        (
            "too large",
            file(
                json!({"path": "/etc/x", "contents": {"source": format!("data:,{}", "x".repeat(1_600_000))}}),
            ),
            &["MC1207"],
        ),
    ];
    for (what, bad, parts) in table {
        let run = Run::new(&[worker(), bad, ("m.yaml", config("00-master", "master"))]);
        let said = run.refused(&[]);
        for part in parts {
            assert!(said.contains(part), "{what}: {part} in\n{said}");
        }
        assert_eq!(said.matches("error[").count(), 1, "{what}:\n{said}");
        assert!(
            said.contains(run.at("in").to_str().unwrap()) && said.contains("  help: "),
            "{what}:\n{said}"
        );
        assert!(
            said.ends_with(&format!("nothing was written to {}\n", run.at("out").display())),
            "{what}:\n{said}"
        );
        assert!(!run.at("out").exists(), "{what}");
    }
}

#[test]
fn all_problems_are_told_in_one_run() {
    let run = Run::new(&[
        ("a.yaml", "kind: [".into()),
        ("b.yaml", config("50-b", "worker").replace("3.4.0", "9.9.9")),
        (
            "c.yaml",
            config("50-c", "worker").replace("/etc/50-c", "relative"),
        ),
        (
            "d.yaml",
            config("50-d", "nowhere").replace("/etc/50-d", "relative"),
        ),
        ("p.yaml", pool("edge", &["worker"])),
    ]);
    let said = run.refused(&["--pull-secret", "/nowhere-at-all"]);
    for part in [
        "MC1001] /nowhere-at-all",
        "a.yaml:1:",
        "MachineConfig/50-b",
        "MachineConfig/50-c",
        "MachineConfig/50-d",
    ] {
        assert_eq!(said.matches(part).count(), 1, "{part} in\n{said}");
    }
    assert!(
        !said.contains("MC1213"),
        "the pool may be in the file that cannot be read:\n{said}"
    );
}

#[test]
fn a_refusal_leaves_an_earlier_output_alone() {
    let run = Run::new(&[
        ("w.yaml", config("00-worker", "worker")),
        ("p", pool("worker", &["worker"])),
    ]);
    run.bootstrap();
    fs::write(run.at("in/bad.yaml"), config("50-x", "wroker")).unwrap();
    run.refused(&[]);
    assert_eq!(run.written().len(), 3);
}

#[test]
fn a_run_that_dies_while_it_writes_leaves_the_destination_alone() {
    let run = Run::new(&[
        ("w.yaml", config("00-worker", "worker")),
        ("p", pool("worker", &["worker"])),
    ]);
    run.bootstrap();
    let before = files(&run.at("out"));
    let big = json!({"path": "/etc/big", "contents": {"source": format!("data:,{}", "x".repeat(200_000))}});
    let config = json!({"ignition": {"version": "3.4.0"}, "storage": {"files": [big]}});
    fs::write(run.at("in/big.yaml"), with_ignition("90-big", "worker", &config)).unwrap();
    // The kernel kills a process that writes more to a file than it may: at the big rendered config, in the middle.
    let script = "ulimit -c 0; ulimit -f 100; exec \"$0\" bootstrap --manifest-dir \"$1\" --dest-dir \"$2\"";
    let status = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_machine-config-controller")])
        .args([run.at("in"), run.at("out")])
        .status()
        .unwrap();
    assert!(!status.success(), "it was to die");
    assert_eq!(files(&run.at("out")), before);
    run.bootstrap();
    assert_ne!(files(&run.at("out")), before);
    let left: Vec<_> = fs::read_dir(run.directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "the next run tidies up: {left:?}");
}

#[test]
fn a_destination_that_is_a_mount_point_is_written_in_place() {
    let run = Run::new(&[
        ("w.yaml", config("00-worker", "worker")),
        ("p", pool("worker", &["worker"])),
    ]);
    fs::create_dir(run.at("out")).unwrap();
    fs::write(run.at("out/kubeconfig"), "kubeconfig").unwrap();
    let in_namespace = |script: &str| {
        Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-ec", script])
            .args([env!("CARGO_BIN_EXE_machine-config-controller")])
            .args([run.at("in"), run.at("out")])
            .output()
    };
    if !in_namespace("mount --bind \"$2\" \"$2\"").is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: nothing can be mounted here");
        return;
    }
    for name in ["00-worker", "01-worker"] {
        fs::write(run.at("in/w.yaml"), config(name, "worker")).unwrap();
        let script = "mount --bind \"$2\" \"$2\"; \"$0\" bootstrap --manifest-dir \"$1\" --dest-dir \"$2\"";
        let output = in_namespace(script).unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let rendered = rendered(&run.object("machine-pools/worker.yaml"));
        let expected = [
            "controller-config/machine-config-controller.yaml".to_owned(),
            "kubeconfig".to_owned(),
            format!("machine-configs/{rendered}.yaml"),
            "machine-pools/worker.yaml".to_owned(),
        ];
        assert_eq!(run.written(), expected);
        assert_eq!(
            fs::read_dir(run.directory.path()).unwrap().count(),
            2,
            "nothing is left behind"
        );
    }
}

#[test]
fn the_pull_secret_must_be_one_and_is_never_shown() {
    let manifests = [
        ("w.yaml", config("00-worker", "worker")),
        ("p", pool("worker", &["worker"])),
    ];
    let run = Run::new(&manifests);
    let secret = |kind: &str, data: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull-secret"}, "type": kind,
            "stringData": {".dockerconfigjson": data}})
        .to_string()
    };
    let path = run.at("in/pull-secret");
    let flag = ["--pull-secret", path.to_str().unwrap()];
    fs::write(
        &path,
        secret(
            "kubernetes.io/dockerconfigjson",
            r#"{"auths": {"x": {"auth": "aHVudGVyMg=="}}}"#,
        ),
    )
    .unwrap();
    let output = run.with(&flag);
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(0), String::new()),
        "beside the manifests, as installers put it"
    );
    for (bad, part) in [
        (secret("Opaque", "{}"), "Secret/pull-secret type"),
        (
            secret("kubernetes.io/dockerconfigjson", "hunter2"),
            "data[.dockerconfigjson]",
        ),
        ("hunter2: [".to_owned(), "pull-secret:1"),
        ("hunter2".to_owned(), "kind"),
    ] {
        fs::write(&path, bad).unwrap();
        let said = run.refused(&flag);
        assert!(
            said.contains(part) && !said.contains("hunter2"),
            "{part} in\n{said}"
        );
    }
    fs::remove_file(&path).unwrap();
    assert!(run.refused(&flag).contains("MC1001"));
}

#[test]
fn directories_that_cannot_be_read_are_refused() {
    let run = Run::new(&[
        ("w.yaml", config("00-worker", "worker")),
        ("p", pool("worker", &["worker"])),
    ]);
    assert!(
        run.refused(&["--templates", "/nowhere-at-all"])
            .contains("MC1001] /nowhere-at-all")
    );
    let output = run.with(&["--templates", run.at("in").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stderr(&output).starts_with("warning[MC1008]"),
        "{}",
        stderr(&output)
    );
    symlink("nowhere.yaml", run.at("in/dangling.yaml")).unwrap();
    assert!(run.refused(&[]).contains("dangling.yaml"));
    fs::remove_dir_all(run.at("in")).unwrap();
    assert!(run.refused(&[]).contains("error[MC1001]"));
    fs::create_dir(run.at("in")).unwrap();
    assert!(run.refused(&[]).contains("error[MC1004]"));
}

#[test]
fn a_destination_that_cannot_be_written_is_an_error() {
    let run = Run::new(&[
        ("w.yaml", config("00-worker", "worker")),
        ("p", pool("worker", &["worker"])),
    ]);
    fs::write(run.at("out"), "a file").unwrap();
    let output = run.with(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is no directory"), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(run.at("out")).unwrap(), "a file");
}

#[test]
fn flags_of_all_commands_may_stand_before_the_command() {
    let run = Run::new(&[
        ("w.yaml", config("00-worker", "worker")),
        ("p", pool("worker", &["worker"])),
    ]);
    let status = command()
        .args(["--payload-version=1.2.3", "bootstrap", "--manifest-dir"])
        .arg(run.at("in"))
        .arg("--dest-dir")
        .arg(run.at("out"))
        .output()
        .unwrap()
        .status;
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_wrong_command_line_is_an_error() {
    for args in [
        &[][..],
        &["bootstrap"],
        &["bootstrap", "--manifest-dir", "x"],
        &["nothing"],
    ] {
        assert_eq!(
            command().args(args).output().unwrap().status.code(),
            Some(1),
            "{args:?}"
        );
    }
    assert_eq!(command().arg("--help").output().unwrap().status.code(), Some(0));
    let version = command().arg("version").output().unwrap();
    assert_eq!(
        String::from_utf8(version.stdout).unwrap(),
        format!("machine-config-controller {}\n", env!("CARGO_PKG_VERSION"))
    );
}
