//! The commands that change a node, from outside: exit codes, what they say, what they refuse.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::node::Root;

/// Runs the daemon on a root.
pub(crate) fn daemon(root: &Root, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_machine-config-daemon"))
        .args(arguments)
        .arg("--root")
        .arg(root.directory.path())
        .output()
        .unwrap()
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub(crate) fn all(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// A config in a file of the root's own.
pub(crate) fn config(root: &Root, name: &str, ignition: &Value) -> String {
    let object = json!({"apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig", "metadata": {"name": name}, "spec": {"config": ignition}});
    root.write(&format!("/tmp/{name}.json"), object.to_string());
    root.path(&format!("/tmp/{name}.json"))
        .to_str()
        .unwrap()
        .to_owned()
}

pub(crate) fn one_file(path: &str, text: &str) -> Value {
    json!({"ignition": {"version": "3.4.0"}, "storage": {"files": [crate::file(path, text)]}})
}

#[test]
fn a_dry_run_tells_and_touches_nothing() {
    let root = Root::new();
    let empty = config(
        &root,
        "rendered-empty",
        &json!({"ignition": {"version": "3.4.0"}}),
    );
    let wanted = config(&root, "rendered-a", &one_file("/etc/a", "one"));
    assert_eq!(code(&daemon(&root, &["apply", "--config", &empty])), 0);
    let before = root.tree();
    for command in [&["apply", "--dry-run"][..], &["plan"]] {
        let arguments = [command, &["--config", &wanted, "--show-diff"]].concat();
        let output = daemon(&root, &arguments);
        assert_eq!(code(&output), 2, "a reboot would be due: {}", all(&output));
        assert!(all(&output).contains("+one"), "{}", all(&output));
    }
    assert_eq!(root.tree(), before);
    let output = daemon(&root, &["apply", "--config", &wanted, "-o", "json"]);
    assert_eq!(code(&output), 2);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["schemaVersion"], 1);
    assert_eq!(report["ending"], "applied");
    assert_eq!(report["left"], json!([{"type": "Reboot"}]));
    assert_eq!(report["plan"]["steps"][0]["target"]["path"], "/etc/a");
}

#[test]
fn what_is_wrong_with_a_config_is_told_before_anything_is_touched() {
    let root = Root::new();
    let before = root.tree();
    let mut wrong_hash = one_file("/etc/a", "one");
    wrong_hash["storage"]["files"][0]["contents"]["verification"] =
        json!({"hash": format!("sha256-{}", "0".repeat(64))});
    let cases = [
        (json!({"ignition": {"version": "9.9.9"}}), "MC1104"),
        (one_file("relative", "x"), "MC1106"),
        (wrong_hash, "MC1113"),
        (
            json!({"ignition": {"version": "3.4.0"}, "storage": {"files": [{"path": "/etc/a", "contents": {"source": "https://example.com/"}}]}}),
            "MC1138",
        ),
    ];
    for (ignition, expected) in cases {
        let path = config(&root, "rendered-wrong", &ignition);
        let output = daemon(&root, &["apply", "--config", &path]);
        assert_eq!(code(&output), 4, "{ignition}: {}", all(&output));
        assert!(all(&output).contains(expected), "{ignition}: {}", all(&output));
    }
    root.write("/tmp/garbage.json", "{");
    let garbage = root.path("/tmp/garbage.json");
    let output = daemon(&root, &["apply", "--config", garbage.to_str().unwrap()]);
    assert_eq!(code(&output), 4, "{}", all(&output));
    fs::remove_dir_all(root.path("/tmp")).unwrap();
    assert_eq!(root.tree(), before);
}

#[test]
fn an_early_refusal_is_one_object_too() {
    let root = Root::new();
    let good = config(&root, "rendered-a", &one_file("/etc/a", "one"));
    let bad = config(&root, "rendered-b", &one_file("relative", "x"));
    let trial = ["--confirm-within", "1m", "--check", "true"];
    let cases: [(Vec<&str>, &str); 4] = [
        (vec!["apply", "--config", &bad], "MC1106"),
        (vec!["plan", "--config", &bad], "MC1106"),
        (vec!["rollback"], "MC7024"),
        ([&["apply", "--config", &good][..], &trial].concat(), "MC7024"),
    ];
    for (mut arguments, expected) in cases {
        arguments.extend(["-o", "json"]);
        let output = daemon(&root, &arguments);
        assert_eq!(code(&output), 4, "{arguments:?}: {}", all(&output));
        let refusal: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(refusal["schemaVersion"], 1, "{refusal}");
        assert_eq!(refusal["ending"], "refused", "{refusal}");
        assert_eq!(refusal["errors"][0]["code"], expected, "{refusal}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(expected), "{arguments:?}: {told}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_machine-config-daemon"))
        .args(["plan", "-o", "json", "--config", &good, "--root", "/nowhere"])
        .output()
        .unwrap();
    let refusal: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((code(&output), &refusal["ending"]), (4, &json!("refused")));
}

/// A root whose change to `rendered-b` was cut off after it was committed.
fn cut_off() -> (Root, String) {
    let root = Root::new();
    let a = config(&root, "rendered-a", &one_file("/etc/a", "one"));
    let b = config(&root, "rendered-b", &one_file("/etc/a", "two"));
    daemon(&root, &["apply", "--config", &a]);
    daemon(&root, &["apply", "--config", &b]);
    // The journal as it was before the transaction was closed.
    let history = root.path("/var/lib/machine-config/history");
    let last = fs::read_dir(&history)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .max()
        .unwrap();
    let text = fs::read_to_string(&last).unwrap();
    let open: Vec<_> = text.lines().take(2).collect();
    root.write("/var/lib/machine-config/journal", open.join("\n") + "\n");
    (root, a)
}

#[test]
fn what_was_taken_up_first_is_part_of_the_report() {
    let (root, a) = cut_off();
    let output = daemon(&root, &["apply", "--config", &a, "-o", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        report["recovered"]
            .as_str()
            .is_some_and(|text| text.contains("rendered-b")),
        "{report}"
    );
    for command in [&["apply", "--config", a.as_str()][..], &["rollback"]] {
        let (root, _) = cut_off();
        fs::copy(&a, root.path("/tmp/rendered-a.json")).unwrap();
        let told = all(&daemon(&root, command));
        assert!(
            told.contains("before that: finished the change to rendered-b"),
            "{told}"
        );
        let told = all(&daemon(&root, command));
        assert!(!told.contains("before that"), "{told}");
    }
}

#[test]
fn a_node_that_is_stuck_has_not_refused() {
    let (root, a) = cut_off();
    // As if it had been cut off while it staged, and something that cannot be removed lay where it did.
    let journal = root.read("/var/lib/machine-config/journal");
    let first = journal.lines().next().unwrap();
    root.write("/var/lib/machine-config/journal", format!("{first}\n"));
    let begin: Value = serde_json::from_str(&first[first.find('{').unwrap()..]).unwrap();
    let aside = begin["changes"][0]["aside"].as_str().unwrap();
    root.write(&format!("{aside}/in/the/way"), "x");
    for arguments in [
        &["apply", "--config", a.as_str(), "-o", "json"][..],
        &["rollback", "-o", "json"],
    ] {
        let output = daemon(&root, arguments);
        assert_eq!(code(&output), 1, "{}", all(&output));
        let refusal: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(refusal["ending"], "stuck", "{refusal}");
        assert_eq!(refusal["errors"][0]["code"], "MC7021", "{refusal}");
    }
}

#[test]
fn without_a_config_the_disk_is_held_against_that_of_the_node() {
    let root = Root::new();
    let output = daemon(&root, &["verify"]);
    assert!(
        code(&output) == 1
            && all(&output).contains("MC7008")
            && all(&output).contains("help: Apply a config first, or name one with --config."),
        "{}",
        all(&output)
    );
    let a = config(&root, "rendered-a", &one_file("/etc/a", "one"));
    daemon(&root, &["apply", "--config", &a]);
    let output = daemon(&root, &["verify"]);
    assert_eq!(code(&output), 0, "{}", all(&output));
    root.write("/etc/a", "drifted");
    let output = daemon(&root, &["verify"]);
    assert!(
        code(&output) == 2 && all(&output).contains("/etc/a") && all(&output).contains("rendered-a"),
        "{}",
        all(&output)
    );
}

#[test]
fn every_command_says_that_it_takes_up_first_what_was_cut_off() {
    for command in ["status", "plan", "verify", "watch"] {
        let output = Command::new(env!("CARGO_BIN_EXE_machine-config-daemon"))
            .args([command, "--help"])
            .output()
            .unwrap();
        let help = all(&output);
        assert!(help.contains("taken up first"), "{help}");
    }
}

#[test]
fn commands_on_a_node_without_a_config_say_so() {
    let root = Root::new();
    let output = daemon(&root, &["status"]);
    assert_eq!(code(&output), 0, "{}", all(&output));
    assert!(all(&output).contains("none of ours"), "{}", all(&output));
    let output = daemon(&root, &["rollback"]);
    assert_eq!(code(&output), 4);
    assert!(all(&output).contains("MC7024"), "{}", all(&output));
    assert_eq!(code(&daemon(&root, &["recover"])), 0);
    let output = daemon(&root, &["apply", "--config", "http://127.0.0.1:1/config/worker"]);
    assert_eq!(code(&output), 4);
    assert!(all(&output).contains("cannot be fetched"), "{}", all(&output));
}

#[test]
fn status_and_rollback_name_what_there_is() {
    let root = Root::new();
    for (name, text) in [("rendered-a", "one"), ("rendered-b", "two")] {
        let path = config(&root, name, &one_file("/etc/a", text));
        daemon(&root, &["apply", "--config", &path]);
    }
    let output = daemon(&root, &["status", "-o", "json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["current"], "rendered-b");
    assert_eq!(status["kept"], json!(["rendered-b", "rendered-a"]));
    assert_eq!(status["transactions"][0]["outcome"]["outcome"], "applied");
    let output = daemon(&root, &["rollback", "--to", "rendered-nobody"]);
    assert!(
        code(&output) == 4 && all(&output).contains("rendered-nobody"),
        "{}",
        all(&output)
    );
    let output = daemon(&root, &["rollback"]);
    assert_eq!(code(&output), 2, "a reboot is due: {}", all(&output));
    assert_eq!(root.read("/etc/a"), "one");
    let told = all(&daemon(&root, &["status"]));
    assert!(
        told.contains("rollback: rendered-b -> rendered-a: applied"),
        "{told}"
    );
}

#[test]
fn a_trial_needs_a_node_that_runs_and_a_config_to_go_back_to() {
    let root = Root::new();
    let path = config(&root, "rendered-a", &one_file("/etc/a", "one"));
    let trial = [
        "apply",
        "--config",
        path.as_str(),
        "--confirm-within",
        "1m",
        "--check",
        "true",
    ];
    let before = root.tree();
    let output = daemon(&root, &trial);
    assert!(
        code(&output) == 4 && all(&output).contains("MC7024"),
        "{}",
        all(&output)
    );
    assert_eq!(root.tree(), before);
    let output = daemon(&root, &[&trial[..], &["--dry-run"]].concat());
    assert_eq!(code(&output), 1, "a dry run is no trial: {}", all(&output));
    for wrong in ["1x", "0s", "2d", "soon"] {
        let output = daemon(
            &root,
            &[
                "apply",
                "--config",
                path.as_str(),
                "--confirm-within",
                wrong,
                "--check",
                "true",
            ],
        );
        assert_eq!(code(&output), 1, "{wrong}");
    }
}

#[test]
fn no_secret_is_in_what_is_told_or_kept_for_others_to_read() {
    use std::os::unix::fs::PermissionsExt;
    let root = Root::new();
    let secret = "hunter2-the-secret";
    let ignition = json!({
        "ignition": {"version": "3.4.0"},
        "storage": {"files": [{"path": "/etc/secret", "mode": 384, "contents": {"source": format!("data:,{secret}")}}]},
        "passwd": {"users": [{"name": "core", "passwordHash": "$6$salt$secret-hash"}]}
    });
    let empty = config(
        &root,
        "rendered-empty",
        &json!({"ignition": {"version": "3.4.0"}}),
    );
    daemon(&root, &["apply", "--config", &empty]);
    let path = config(&root, "rendered-secret", &ignition);
    for form in ["text", "json"] {
        for command in ["plan", "apply", "rollback", "status"] {
            let mut arguments = vec![command, "-o", form];
            if command != "rollback" && command != "status" {
                arguments.extend(["--config", path.as_str(), "--show-diff"]);
            }
            let told = all(&daemon(&root, &arguments));
            assert!(
                !told.contains(secret) && !told.contains("secret-hash"),
                "{command} -o {form}: {told}"
            );
        }
    }
    fs::remove_dir_all(root.path("/tmp")).unwrap();
    let mut pending = vec![root.path("/var/lib"), root.path("/etc"), root.path("/run")];
    while let Some(path) = pending.pop() {
        let stat = fs::symlink_metadata(&path).unwrap();
        if stat.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if stat.is_file() && stat.permissions().mode() & 0o077 != 0 {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            let shadow = path.ends_with("etc/shadow");
            assert!(
                shadow || !(text.contains(secret) || text.contains("secret-hash")),
                "{} may be read by others",
                path.display()
            );
        }
    }
}

#[test]
fn a_first_boot_is_completed_once_its_operating_system_is_there() {
    let root = Root::new();
    let encapsulated = "/etc/ignition-machine-config-encapsulated.json";
    let object = json!({"apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig", "metadata": {"name": "rendered-a"}, "spec": {"config": {"ignition": {"version": "3.4.0"}}}});
    root.write(encapsulated, object.to_string());
    let output = Command::new(env!("CARGO_BIN_EXE_machine-config-daemon"))
        .args(["firstboot-complete-machineconfig", "-v=2", "--root-mount"])
        .arg(root.directory.path())
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{}", all(&output));
    assert!(!root.path(encapsulated).exists());
    assert!(root.path(&format!("{encapsulated}.bak")).exists());
}

#[test]
fn a_first_boot_without_a_config_ends_and_says_so() {
    let root = Root::new();
    let output = Command::new("timeout")
        .arg("20")
        .arg(env!("CARGO_BIN_EXE_machine-config-daemon"))
        .args(["firstboot-complete-machineconfig", "--root-mount"])
        .arg(root.directory.path())
        .output()
        .unwrap();
    let told = all(&output);
    assert_eq!(code(&output), 1, "{told}");
    assert!(
        told.contains("MC1001") && told.contains("ignition-machine-config-encapsulated.json"),
        "{told}"
    );
    assert!(!told.contains("trying again"), "{told}");
}

#[test]
fn a_plan_on_a_damaged_journal_is_refused_as_the_change_would_be() {
    let root = Root::new();
    let path = config(&root, "rendered-a", &one_file("/etc/a", "one"));
    let plan = ["plan", "--config", path.as_str()];
    assert_eq!(code(&daemon(&root, &plan)), 2, "a reboot would be due");
    root.write("/var/lib/machine-config/journal", "what is this\n");
    for arguments in [
        &plan[..],
        &["apply", "--dry-run", "--config", &path],
        &["apply", "--config", &path],
    ] {
        let output = daemon(&root, arguments);
        let told = all(&output);
        assert_eq!(code(&output), 4, "{arguments:?}: {told}");
        assert!(told.contains("MC7005"), "{arguments:?}: {told}");
    }
    assert!(!root.path("/etc/a").exists());
}

#[test]
fn a_config_comes_once_with_the_flags_of_the_reference() {
    let root = Root::new();
    let path = config(&root, "rendered-a", &one_file("/etc/a", "one"));
    root.write("/etc/ignition-machine-config-encapsulated.json", "{}");
    let output = Command::new(env!("CARGO_BIN_EXE_machine-config-daemon"))
        .args([
            "start",
            "--once-from",
            &path,
            "--skip-reboot",
            "--node-name",
            "n",
            "--kubeconfig",
            "/k",
            "--logtostderr=true",
        ])
        .args([
            "--metrics-url",
            "127.0.0.1:8797",
            "--kubelet-healthz-enabled=false",
            "--root-mount",
        ])
        .arg(root.directory.path())
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{}", all(&output));
    assert_eq!(root.read("/etc/a"), "one");
    assert!(
        !root
            .path("/etc/ignition-machine-config-encapsulated.json")
            .exists()
    );
}

#[test]
fn every_command_takes_up_first_what_was_cut_off() {
    for command in [
        &["plan", "--config", "A"][..],
        &["apply", "--dry-run", "--config", "A"],
        &["status"],
        &["verify"],
        &["recover"],
    ] {
        let (root, a) = cut_off();
        fs::write(root.path("/etc/a"), "one").unwrap();
        let command: Vec<_> = command
            .iter()
            .map(|word| if *word == "A" { a.as_str() } else { word })
            .collect();
        let told = all(&daemon(&root, &command));
        assert!(
            told.contains("finished the change to rendered-b"),
            "{command:?}: {told}"
        );
        assert!(
            !root.path("/var/lib/machine-config/journal").exists(),
            "{command:?}"
        );
    }
}

#[test]
fn who_comes_while_somebody_changes_the_node_only_looks() {
    let (root, a) = cut_off();
    let node = root.node();
    let lock = node.lock("test").unwrap();
    let told = all(&daemon(&root, &["plan", "--config", &a]));
    assert!(
        told.contains("MC7028") && told.contains("is not taken up"),
        "{told}"
    );
    let told = all(&daemon(&root, &["status"]));
    assert!(
        told.contains("is not taken up") && told.contains("test"),
        "{told}"
    );
    drop(lock);
    assert!(root.path("/var/lib/machine-config/journal").exists());
}
