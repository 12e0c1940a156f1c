//! `render` over the examples: forms, inputs, images, and who won.

use std::fs;

use super::{Ran, machine_config, one_file, run, run_with_input};

fn name(line: &str) -> String {
    let ran = run(line);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{line}");
    ran.out
}

#[test]
fn every_form_is_of_the_same_config() {
    for pool in ["worker", "edge"] {
        let line = format!("render --pool {pool} -f examples/base");
        let name = name(&format!("{line} -o name"));
        assert!(
            name.starts_with(&format!("rendered-{pool}-"))
                && name.len() == "rendered--".len() + pool.len() + 33
        );
        let object: serde_json::Value = serde_json::from_str(&run(&format!("{line} -o json")).out).unwrap();
        assert_eq!(object["metadata"]["name"], name.trim_end());
        let yaml = run(&line).out;
        let (manifests, errors) = crds::manifest::parse("-", &yaml);
        assert_eq!(errors, []);
        let [manifest] = manifests.as_slice() else {
            panic!("{yaml}")
        };
        let crds::manifest::Object::MachineConfig(read) = &manifest.object else {
            panic!("{yaml}")
        };
        assert_eq!(serde_json::to_value(read).unwrap(), object);
        let config: serde_json::Value =
            serde_json::from_str(&run(&format!("{line} -o ignition")).out).unwrap();
        assert_eq!(config, object["spec"]["config"]);
        assert_eq!(config["ignition"]["version"], "3.5.0");
    }
}

#[test]
fn a_rendered_config_can_be_served_to_every_client() {
    let ignition = run("render --pool edge -f examples/base -o ignition").out;
    for version in ["2.2.0", "3.1.0", "3.2.0", "3.3.0", "3.4.0", "3.5.0"] {
        let ran = run_with_input(&format!("convert --to {version} -"), ignition.as_bytes());
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{version}");
    }
}

#[test]
fn input_is_the_same_from_files_directories_and_standard_input() {
    let whole = name("render --pool worker -f examples/base -o name");
    let mut files: Vec<_> = fs::read_dir("../examples/base")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let texts: Vec<_> = files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let stream = run_with_input(
        "render --pool worker -o name -f -",
        texts.join("---\n").as_bytes(),
    );
    assert_eq!(
        (stream.code, stream.out.as_str()),
        (0, whole.as_str()),
        "{}",
        stream.err
    );
    let items: Vec<_> = texts
        .iter()
        .flat_map(|text| crds::manifest::parse("", text).0)
        .map(|manifest| match manifest.object {
            crds::manifest::Object::MachineConfig(object) => serde_json::to_value(object).unwrap(),
            crds::manifest::Object::MachineConfigPool(object) => serde_json::to_value(object).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string();
    let list = run_with_input("render --pool worker -o name -f -", list.as_bytes());
    assert_eq!(
        (list.code, list.out.as_str()),
        (0, whole.as_str()),
        "{}",
        list.err
    );
    let names: Vec<_> = files
        .iter()
        .map(|file| file.to_str().unwrap().trim_start_matches("../"))
        .collect();
    assert_eq!(
        name(&format!("render --pool worker -o name -f {}", names.join(" "))),
        whole
    );
    let twice = "render --pool worker -o name -f examples/base -f examples/base/50-worker-chrony.yaml examples/../examples/base";
    assert_eq!(name(twice), whole);
}

#[test]
fn directories_below_are_read_when_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("a/b");
    fs::create_dir_all(&below).unwrap();
    fs::write(
        below.join("x.yaml"),
        machine_config("50-x", "worker", "  fips: true"),
    )
    .unwrap();
    fs::write(directory.path().join(".hidden.yaml"), "not: {an: object").unwrap();
    fs::write(directory.path().join("README.md"), "not: {an: object").unwrap();
    let path = directory.path().to_str().unwrap();
    let flat = run(&format!("render --pool worker -o name -f {path}"));
    assert_eq!((flat.code, flat.out.as_str()), (1, ""));
    assert!(
        flat.err.contains("MC1004") && flat.err.contains("-R"),
        "{}",
        flat.err
    );
    assert!(name(&format!("render --pool worker -o name -R -f {path}")).starts_with("rendered-worker-"));
    let links = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(&below, links.path().join("c")).unwrap();
    let ran = run(&format!("lint -R -f {}", links.path().display()));
    assert!(
        ran.err.contains("MC1004") && ran.err.contains("links to directories are not followed"),
        "{}",
        ran.err
    );
}

#[test]
fn without_a_pool_object_the_role_label_decides_and_custom_pools_take_workers_too() {
    let worker = machine_config("50-worker", "worker", &one_file("/etc/a", "0644", "data:,worker"));
    let edge = machine_config("10-edge", "edge", &one_file("/etc/a", "0644", "data:,edge"));
    let input = format!("{worker}---\n{edge}");
    let explained = run_with_input("render --pool edge --explain -o json -f -", input.as_bytes());
    let explained: serde_json::Value = serde_json::from_str(&explained.out).unwrap();
    assert_eq!(explained["sources"], serde_json::json!(["50-worker", "10-edge"]));
    let part =
        serde_json::json!({"kind": "path", "name": "/etc/a", "winner": "10-edge", "beaten": ["50-worker"]});
    assert_eq!(explained["parts"], serde_json::json!([part]));
    let own = run_with_input(
        "render --pool worker --explain=all -o json -f -",
        input.as_bytes(),
    );
    let own: serde_json::Value = serde_json::from_str(&own.out).unwrap();
    assert_eq!(own["sources"], serde_json::json!(["50-worker"]));
}

#[test]
fn images_come_from_the_controller_config_and_flags_win() {
    let input = format!(
        "{}---\napiVersion: machineconfiguration.openshift.io/v1\nkind: ControllerConfig\nmetadata:\n  \
         name: machine-config-controller\nspec:\n  baseOSContainerImage: registry.example.com/os@sha256:{}\n  \
         baseOSExtensionsContainerImage: registry.example.com/ext@sha256:{}\n",
        machine_config("50-x", "worker", "  fips: false"),
        "1".repeat(64),
        "2".repeat(64),
    );
    let spec = |flags: &str| {
        let ran = run_with_input(
            &format!("render --pool worker -o json {flags} -f -"),
            input.as_bytes(),
        );
        assert_eq!(ran.code, 0, "{}", ran.err);
        serde_json::from_str::<serde_json::Value>(&ran.out).unwrap()["spec"].clone()
    };
    let given = spec("");
    assert_eq!(
        given["osImageURL"],
        format!("registry.example.com/os@sha256:{}", "1".repeat(64))
    );
    assert_eq!(
        given["baseOSExtensionsContainerImage"],
        format!("registry.example.com/ext@sha256:{}", "2".repeat(64))
    );
    let flags =
        spec("--os-image registry.example.com/mine@sha256:abc --extensions-image registry.example.com/more");
    assert_eq!(flags["osImageURL"], "registry.example.com/mine@sha256:abc");
    assert_eq!(
        flags["baseOSExtensionsContainerImage"],
        "registry.example.com/more"
    );
}

#[test]
fn explain_tells_who_won_and_why() {
    let text = |ran: &Ran| {
        let (head, rest) = ran.out.split_once(':').unwrap();
        assert!(head.starts_with("rendered-edge-"));
        format!("rendered-edge-HASH:{rest}")
    };
    let ran = run("render --pool edge -f examples/base --explain");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    insta::assert_snapshot!("explain_edge", text(&ran));
    let all = run("render --pool edge -f examples/base --explain=all");
    insta::assert_snapshot!("explain_edge_all", text(&all));
}
