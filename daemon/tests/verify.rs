//! `machine-config-daemon verify` as its users meet it: exit codes, reports, hostile trees and unreadable configs.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

/// A node's root, and a config for it.
struct Node {
    directory: tempfile::TempDir,
}

impl Node {
    /// A node whose disk is as `config()` has it.
    fn new() -> Self {
        let node = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        node.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0o444);
        node.write(
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\ncore:x:1000:1000::/home/core:/bin/sh\n",
            0o644,
        );
        node.write("etc/group", "root:x:0:\ncore:x:1000:\n", 0o644);
        node.write("etc/chrony.conf", "server time.example\nmakestep 1 3\n", 0o644);
        node.write("etc/secret", "token\n", 0o600);
        node.write(
            "etc/systemd/system/a.service",
            "[Service]\nExecStart=/bin/true\n",
            0o644,
        );
        node
    }

    fn at(&self, path: &str) -> PathBuf {
        self.directory.path().join("root").join(path)
    }

    fn write(&self, path: &str, text: &str, mode: u32) {
        let at = self.at(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&at);
        fs::write(&at, text).unwrap();
        fs::set_permissions(at, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn config_file(&self, config: &str) -> PathBuf {
        let path = self.directory.path().join("config");
        fs::write(&path, config).unwrap();
        path
    }

    fn verify(&self, config: &str, form: &str) -> Output {
        command(&["verify", "-o", form])
            .arg("--root")
            .arg(self.at(""))
            .arg("--config")
            .arg(self.config_file(config))
            .output()
            .unwrap()
    }

    /// Path and kind of every mismatch.
    fn drift(&self, config: &Value) -> Vec<(String, String)> {
        let output = self.verify(&config.to_string(), "json");
        let report: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
        let drift = report["drift"].as_array().unwrap();
        assert_eq!(output.status.code(), Some(if drift.is_empty() { 0 } else { 2 }));
        assert_eq!(report["clean"], drift.is_empty());
        let word = |drift: &Value, key: &str| drift[key].as_str().unwrap().to_owned();
        drift
            .iter()
            .map(|drift| (word(drift, "path"), word(drift, "kind")))
            .collect()
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_machine-config-daemon"));
    command
        .args(args)
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE");
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn ignition() -> Value {
    json!({
        "ignition": {"version": "3.4.0"},
        "storage": {"files": [
            {"path": "/etc/chrony.conf", "mode": 420, "overwrite": true,
             "contents": {"source": "data:,server%20time.example%0Amakestep%201%203%0A"}},
            {"path": "/etc/secret", "mode": 384, "overwrite": true, "contents": {"source": "data:;base64,dG9rZW4K"}},
        ]},
        "systemd": {"units": [{"name": "a.service", "contents": "[Service]\nExecStart=/bin/true\n"}]},
    })
}

fn config() -> Value {
    json!({
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineConfig",
        "metadata": {"name": "rendered-worker-1"},
        "spec": {"config": ignition()},
    })
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(path, kind)| ((*path).to_owned(), (*kind).to_owned()))
        .collect()
}

#[test]
fn a_node_at_its_config_has_no_drift() {
    let node = Node::new();
    let output = node.verify(&config().to_string(), "text");
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    assert_eq!(stdout(&output), "rendered-worker-1: no drift\n");
}

#[test]
fn every_mismatch_is_told_with_its_diff_and_no_secret() {
    let node = Node::new();
    node.write("etc/chrony.conf", "server evil.example\nmakestep 1 3\n", 0o666);
    node.write("etc/secret", "swapped\n", 0o600);
    fs::remove_file(node.at("etc/systemd/system/a.service")).unwrap();
    let output = node.verify(&config().to_string(), "text");
    assert_eq!(output.status.code(), Some(2));
    let text = stdout(&output);
    assert!(text.starts_with("rendered-worker-1: 4 mismatches\n"), "{text}");
    for part in [
        "-server time.example",
        "+server evil.example",
        "0666",
        "/etc/secret",
        "/etc/systemd/system/a.service",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!text.contains("token") && !text.contains("swapped"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours into a pipe");
    let json = stdout(&node.verify(&config().to_string(), "json"));
    assert!(!json.contains("token") && !json.contains("swapped"), "{json}");
}

#[test]
fn the_json_report_is_the_documented_one() {
    let node = Node::new();
    fs::remove_file(node.at("etc/chrony.conf")).unwrap();
    let report: Value = serde_json::from_slice(&node.verify(&config().to_string(), "json").stdout).unwrap();
    assert_eq!(report["schemaVersion"], 1);
    assert_eq!(report["config"], "rendered-worker-1");
    assert_eq!(report["clean"], false);
    let drift = &report["drift"][0];
    assert_eq!(
        (&drift["path"], &drift["kind"], &drift["code"]),
        (&json!("/etc/chrony.conf"), &json!("missing"), &json!("MC4001"))
    );
    for field in ["expected", "found", "remedy"] {
        assert!(
            drift[field].as_str().is_some_and(|text| !text.is_empty()),
            "{field}"
        );
    }
}

#[test]
fn configs_come_in_every_form_that_nodes_and_servers_have() {
    let node = Node::new();
    let yaml = "apiVersion: machineconfiguration.openshift.io/v1\nkind: MachineConfig\nmetadata: {name: rendered-yaml}\nspec:\n  config:\n    \
        ignition: {version: 3.2.0}\n    storage:\n      files:\n      - path: /etc/secret\n        mode: 0600\n        contents: {source: \"data:;base64,dG9rZW4K\"}\n";
    let mut plain = config();
    plain
        .as_object_mut()
        .unwrap()
        .retain(|key, _| key != "kind" && key != "apiVersion");
    let body_2 = json!({
        "ignition": {"version": "2.2.0"},
        "storage": {"files": [{"filesystem": "root", "path": "/etc/secret", "mode": 384, "contents": {"source": "data:;base64,dG9rZW4K"}}]},
    });
    for config in [
        config().to_string(),
        ignition().to_string(),
        yaml.to_owned(),
        plain.to_string(),
        body_2.to_string(),
    ] {
        let output = node.verify(&config, "text");
        assert_eq!(
            (output.status.code(), stderr(&output)),
            (Some(0), String::new()),
            "{config}"
        );
    }
    node.write("etc/secret", "x", 0o600);
    for config in [
        config().to_string(),
        ignition().to_string(),
        yaml.to_owned(),
        plain.to_string(),
        body_2.to_string(),
    ] {
        assert_eq!(node.verify(&config, "text").status.code(), Some(2), "{config}");
    }
}

#[test]
fn the_config_may_come_from_standard_input() {
    let node = Node::new();
    let mut child = command(&["verify", "--config", "-", "--root"])
        .arg(node.at(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(config().to_string().as_bytes())
        .unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
}

#[test]
fn hostile_trees_are_told_and_neither_followed_nor_waited_for() {
    let node = Node::new();
    fs::create_dir(node.directory.path().join("outside")).unwrap();
    fs::write(
        node.directory.path().join("outside/chrony.conf"),
        "server time.example\nmakestep 1 3\n",
    )
    .unwrap();
    let chrony = |path: &str| {
        let source = "data:,server%20time.example%0Amakestep%201%203%0A";
        json!({"ignition": {"version": "3.4.0"}, "storage": {"files": [{"path": path, "mode": 420, "contents": {"source": source}}]}})
    };
    symlink("../../outside", node.at("etc/out")).unwrap();
    assert_eq!(
        node.drift(&chrony("/etc/out/chrony.conf")),
        pairs(&[("/etc/out/chrony.conf", "leadsOut")])
    );
    symlink("../../outside/chrony.conf", node.at("etc/link")).unwrap();
    assert_eq!(node.drift(&chrony("/etc/link")), pairs(&[("/etc/link", "type")]));
    symlink("loop", node.at("etc/loop")).unwrap();
    assert_eq!(
        node.drift(&chrony("/etc/loop/chrony.conf")),
        pairs(&[("/etc/loop/chrony.conf", "unreadable")])
    );
    assert_eq!(
        node.drift(&chrony("/etc/secret/below")),
        pairs(&[("/etc/secret/below", "missing")])
    );
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        node.at("etc/pipe"),
        rustix::fs::Mode::from_raw_mode(0o644),
    )
    .unwrap();
    assert_eq!(node.drift(&chrony("/etc/pipe")), pairs(&[("/etc/pipe", "type")]));
    let huge = fs::File::create(node.at("etc/huge")).unwrap();
    huge.set_len(10 << 30).unwrap();
    assert_eq!(
        node.drift(&chrony("/etc/huge")),
        pairs(&[("/etc/huge", "content")])
    );
    symlink("/srv", node.at("etc/inside")).unwrap();
    node.write("srv/chrony.conf", "server time.example\nmakestep 1 3\n", 0o644);
    assert_eq!(node.drift(&chrony("/etc/inside/chrony.conf")), []);
}

#[test]
fn large_files_are_compared_by_hash() {
    let node = Node::new();
    let text = "0123456789abcdef\n".repeat(100_000);
    let config = json!({"ignition": {"version": "3.4.0"}, "storage": {"files": [
        {"path": "/etc/large", "mode": 420, "contents": {"source": format!("data:,{}", text.replace('\n', "%0A"))}}]}});
    node.write("etc/large", &text, 0o644);
    assert_eq!(node.drift(&config), []);
    node.write("etc/large", &(text[..text.len() - 1].to_owned() + "x"), 0o644);
    assert_eq!(node.drift(&config), pairs(&[("/etc/large", "content")]));
}

#[test]
fn enablement_is_told_from_links_and_before_the_first_boot_from_presets() {
    let node = Node::new();
    let unit = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
    let config = |enabled: bool| json!({"ignition": {"version": "3.4.0"}, "systemd": {"units": [{"name": "b.service", "contents": unit, "enabled": enabled}]}});
    node.write("etc/systemd/system/b.service", unit, 0o644);
    let wrong = pairs(&[("/etc/systemd/system/b.service", "enablement")]);
    assert_eq!(node.drift(&config(false)), []);
    assert_eq!(node.drift(&config(true)), wrong);
    node.write(
        "etc/systemd/system-preset/20-ignition.preset",
        "enable b.service\n",
        0o644,
    );
    assert_eq!(
        node.drift(&config(true)),
        wrong,
        "a node that has booted is not preset again"
    );
    fs::remove_file(node.at("etc/machine-id")).unwrap();
    assert_eq!(node.drift(&config(true)), []);
    fs::create_dir(node.at("etc/systemd/system/multi-user.target.wants")).unwrap();
    symlink(
        "/etc/systemd/system/b.service",
        node.at("etc/systemd/system/multi-user.target.wants/b.service"),
    )
    .unwrap();
    assert_eq!(node.drift(&config(true)), []);
    assert_eq!(node.drift(&config(false)), wrong);
}

#[test]
fn ssh_keys_are_compared_on_nodes_that_have_the_user() {
    let node = Node::new();
    let config = json!({"ignition": {"version": "3.4.0"},
        "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 AAAA a", "ssh-ed25519 BBBB b"]}]}});
    let keys = "home/core/.ssh/authorized_keys.d/ignition";
    // Whom the file belongs to depends on who runs the test.
    let wrong = |node: &Node| {
        node.drift(&config)
            .into_iter()
            .filter(|(_, kind)| kind != "owner")
            .count()
    };
    assert_eq!(wrong(&node), 1, "missing");
    node.write(keys, "ssh-ed25519 BBBB b\nssh-ed25519 AAAA a\n", 0o600);
    assert_eq!(wrong(&node), 0, "in any order");
    node.write(keys, "ssh-ed25519 AAAA a\nssh-ed25519 CCCC c\n", 0o600);
    assert!(
        node.drift(&config)
            .contains(&(format!("/{keys}"), "sshKeys".to_owned()))
    );
    node.write("etc/passwd", "root:x:0:0::/root:/bin/sh\n", 0o644);
    fs::remove_file(node.at(keys)).unwrap();
    assert_eq!(
        node.drift(&config),
        [],
        "a node without the user cannot have his keys"
    );
}

#[test]
fn what_cannot_be_verified_is_one_clear_message_each() {
    let node = Node::new();
    let bare = json!({"apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig", "metadata": {"name": "m"}, "spec": {}});
    let config = |ignition: Value| {
        let mut config = config();
        config["spec"]["config"] = ignition;
        config.to_string()
    };
    let pool = "apiVersion: machineconfiguration.openshift.io/v1\nkind: MachineConfigPool\nmetadata: {name: worker}\n";
    let table: [(String, &[&str]); 8] = [
        (
            bare.to_string(),
            &["MC4012", "MachineConfig/m", "spec.config", "help:"],
        ),
        (
            config(json!({"ignition": {"version": "9.9.9"}})),
            &[
                "MC1104",
                "MachineConfig/rendered-worker-1",
                "spec.config.ignition.version",
                "help:",
            ],
        ),
        (
            r#"{"ignition": {"version": 3}}"#.to_owned(),
            &["error[MC1", "ignition.version"],
        ),
        ("a: [".to_owned(), &["MC1005", ":1:"]),
        (String::new(), &["MC6002"]),
        (pool.to_owned(), &["MC6002", "no MachineConfig"]),
        (
            format!("{}\n---\n{}", config(ignition()), config(ignition())),
            &["MC6002", "2 MachineConfigs"],
        ),
        ("just text".to_owned(), &["MC1005"]),
    ];
    for (config, parts) in table {
        let output = node.verify(&config, "text");
        let said = stderr(&output);
        assert_eq!(
            (output.status.code(), stdout(&output)),
            (Some(1), String::new()),
            "{config}"
        );
        for part in parts {
            assert!(said.contains(part), "{part} in {said}");
        }
        assert!(said.contains("config"), "the file is named: {said}");
    }
}

#[test]
fn a_root_or_config_that_cannot_be_read_is_an_error_and_both_are_told() {
    let output = command(&["verify", "--root", "/nowhere/root", "--config", "/nowhere/config"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("error[MC1001] /nowhere/config:"), "{said}");
    assert!(said.contains("error[MC4013] /nowhere/root:"), "{said}");
}

#[test]
fn a_wrong_command_line_is_an_error_and_no_drift() {
    for args in [
        &[][..],
        &["verify"],
        &["verify", "--config", "x", "-o", "xml"],
        &["nothing"],
    ] {
        assert_eq!(command(args).output().unwrap().status.code(), Some(1), "{args:?}");
    }
    assert_eq!(command(&["--help"]).output().unwrap().status.code(), Some(0));
}

#[test]
fn the_version_is_told() {
    let output = command(&["version"]).output().unwrap();
    assert_eq!(
        stdout(&output),
        format!("machine-config-daemon {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn nothing_is_written_to_the_node() {
    let node = Node::new();
    let facts = |path: &str| {
        let facts = fs::metadata(node.at(path)).unwrap();
        (facts.modified().unwrap(), facts.permissions().mode())
    };
    let before = ["", "etc", "etc/chrony.conf"].map(facts);
    node.verify(&config().to_string(), "text");
    assert_eq!(["", "etc", "etc/chrony.conf"].map(facts), before);
}
