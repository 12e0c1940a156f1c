//! What becomes of a trial without anybody to keep watch: other changes end it, and refusals do not.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use daemon::cli::Exit;
use daemon::confirm::{TRIAL, VERDICT, trial, wait};
use daemon::journal::Purpose;
use serde_json::json;

use crate::cli::{all, code, config, daemon, one_file};
use crate::node::Root;

/// How long anything may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// A root with two configs, of which the second is on it, and on trial.
fn on_trial() -> Root {
    let root = Root::new();
    for (name, text) in [("rendered-a", "one"), ("rendered-b", "two")] {
        let path = config(&root, name, &one_file("/etc/a", text));
        let output = daemon(&root, &["apply", "--config", &path]);
        assert_eq!(code(&output), 2, "{}", all(&output));
    }
    arm(&root, "rendered-b");
    root
}

fn arm(root: &Root, config: &str) {
    let record = json!({
        "config": config, "before": "rendered-a", "within": 60, "checks": ["true"], "bootId": "", "boots": 0,
        "policy": {"files": [], "units": [], "sshkey": []},
    });
    root.write(TRIAL, record.to_string());
    assert_eq!(trial(&root.node().root).unwrap().unwrap().config, config);
}

fn is_on_trial(root: &Root) -> bool {
    root.path(TRIAL).exists()
}

#[test]
fn a_trial_goes_on_until_another_config_is_on_the_node() {
    let root = on_trial();
    let refused = config(&root, "rendered-c", &one_file("/etc", "no directory"));
    let output = daemon(&root, &["apply", "--config", &refused]);
    assert_eq!(code(&output), 4, "{}", all(&output));
    assert!(is_on_trial(&root), "a refusal has ended it");
    root.write("/etc/a", "drifted");
    let same = config(&root, "rendered-b", &one_file("/etc/a", "two"));
    let output = daemon(&root, &["apply", "--config", &same]);
    assert_eq!(root.read("/etc/a"), "two", "{}", all(&output));
    assert!(is_on_trial(&root), "mending what drifted has ended it");
    let other = config(&root, "rendered-c", &one_file("/etc/a", "three"));
    let output = daemon(&root, &["apply", "--dry-run", "--config", &other]);
    assert_eq!(code(&output), 2, "{}", all(&output));
    assert!(is_on_trial(&root), "a dry run has ended it");
    daemon(&root, &["apply", "--config", &other]);
    assert_eq!(root.read("/etc/a"), "three");
    assert!(!is_on_trial(&root), "another config is on the node");
}

#[test]
fn every_way_to_another_config_ends_a_trial() {
    let root = on_trial();
    let output = daemon(&root, &["rollback"]);
    assert_eq!(root.read("/etc/a"), "one", "{}", all(&output));
    assert!(!is_on_trial(&root), "the rollback has not ended it");

    let root = on_trial();
    let path = config(&root, "rendered-c", &one_file("/etc/a", "three"));
    let output = Command::new(env!("CARGO_BIN_EXE_machine-config-daemon"))
        .args(["start", "--skip-reboot", "--once-from", &path, "--root-mount"])
        .arg(root.directory.path())
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{}", all(&output));
    assert!(!is_on_trial(&root), "once-from has not ended it");

    // Who goes back writes the verdict first, and ends the trial then.
    let root = on_trial();
    let node = root.node();
    let before = daemon::store::kept(&node.root, "rendered-a").unwrap();
    root.converge(&before, Purpose::NotConfirmed).unwrap();
    assert_eq!(root.read("/etc/a"), "one");
    assert!(is_on_trial(&root));
}

#[test]
fn whoever_waits_is_told_when_the_trial_is_ended_by_another_change() {
    let root = on_trial();
    let verdict = |config: &str, confirmed: bool| {
        let verdict = json!({"config": config, "confirmed": confirmed, "at": "1970-01-01T00:00:00Z"});
        root.write(VERDICT, verdict.to_string());
    };
    verdict("rendered-b", true);
    assert_eq!(wait(&root.node(), "rendered-b"), Exit::Done);
    verdict("rendered-b", false);
    assert_eq!(wait(&root.node(), "rendered-b"), Exit::Failed);
    // The verdict on another config says nothing; that its trial goes on, neither.
    verdict("rendered-a", true);
    arm(&root, "rendered-c");
    assert_eq!(wait(&root.node(), "rendered-b"), Exit::Failed);
    std::fs::remove_file(root.path(TRIAL)).unwrap();
    std::fs::remove_file(root.path(VERDICT)).unwrap();
    assert_eq!(wait(&root.node(), "rendered-b"), Exit::Failed);
}

#[test]
fn a_trial_whose_change_never_came_ends_unless_somebody_is_at_work() {
    let root = on_trial();
    arm(&root, "rendered-c");
    let node = root.node();
    let lock = node.lock("test").unwrap();
    let mut watch = Command::new(env!("CARGO_BIN_EXE_machine-config-daemon"))
        .args(["confirm", "--root"])
        .arg(root.directory.path())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    // Long enough for several looks.
    let held = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < held {
        assert!(is_on_trial(&root), "it was ended under the lock");
        thread::sleep(Duration::from_millis(20));
    }
    drop(lock);
    let deadline = Instant::now() + DEADLINE;
    let ended = loop {
        match watch.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => break None,
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    if ended.is_none() {
        watch.kill().unwrap();
        watch.wait().unwrap();
    }
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
    assert!(!is_on_trial(&root));
    assert!(!root.path(VERDICT).exists(), "nothing was on trial");
    assert_eq!(root.read("/etc/a"), "two");
}

#[test]
fn a_config_that_is_on_the_node_has_nothing_to_go_back_to() {
    let root = on_trial();
    let path = config(&root, "rendered-b", &one_file("/etc/a", "two"));
    let before = root.tree();
    let trial = [
        "apply",
        "--config",
        &path,
        "--confirm-within",
        "1m",
        "--check",
        "true",
    ];
    let output = daemon(&root, &trial);
    assert_eq!(code(&output), 4, "{}", all(&output));
    assert!(
        all(&output).contains("MC7024") && all(&output).contains("is on the node already"),
        "{}",
        all(&output)
    );
    assert!(is_on_trial(&root), "the trial that was under way goes on");
    assert_eq!(root.tree(), before);
}

#[test]
fn configs_of_one_name_are_told_apart_on_trial_too() {
    let root = on_trial();
    let current = daemon::store::current(&root.node().root).unwrap().unwrap();
    let record = root.read(TRIAL);
    let mut record: serde_json::Value = serde_json::from_str(&record).unwrap();
    record["digest"] = json!(daemon::store::digest(&current));
    root.write(TRIAL, record.to_string());
    root.write("/etc/a", "drifted");
    let same = config(&root, "rendered-b", &one_file("/etc/a", "two"));
    daemon(&root, &["apply", "--config", &same]);
    assert!(is_on_trial(&root), "mending what drifted has ended it");
    let namesake = config(&root, "rendered-b", &one_file("/etc/a", "another"));
    daemon(&root, &["apply", "--config", &namesake]);
    assert_eq!(root.read("/etc/a"), "another");
    assert!(!is_on_trial(&root), "another config is on the node");
}

#[test]
fn records_that_say_nothing_are_told_and_not_forgotten() {
    for (path, command) in [
        (TRIAL, &["recover", "--booting"][..]),
        ("/var/lib/machine-config/reboot", &["apply", "--config", "SAME"]),
        ("/var/lib/machine-config/configs/.order", &["rollback"]),
    ] {
        let root = on_trial();
        root.write(path, "{");
        let output = daemon(&root, &["status"]);
        assert!(
            code(&output) == 1
                && all(&output).contains("MC7030")
                && all(&output).contains(path.rsplit('/').next().unwrap()),
            "{path}: {}",
            all(&output)
        );
        let same = config(&root, "rendered-b", &one_file("/etc/a", "two"));
        let command: Vec<_> = command
            .iter()
            .map(|word| if *word == "SAME" { same.as_str() } else { word })
            .collect();
        let output = daemon(&root, &command);
        assert!(matches!(code(&output), 1 | 4), "{path}: {}", all(&output));
        assert_eq!(root.read(path), "{", "it was forgotten");
    }
}

#[test]
fn an_order_of_kept_configs_that_is_lost_is_made_anew_by_the_next_change() {
    let root = on_trial();
    root.write("/var/lib/machine-config/configs/.order", "{");
    let other = config(&root, "rendered-c", &one_file("/etc/a", "three"));
    daemon(&root, &["apply", "--config", &other]);
    assert_eq!(
        daemon::store::names(&root.node().root).unwrap(),
        ["rendered-c", "rendered-b", "rendered-a"]
    );
}

#[test]
fn a_reboot_of_a_root_that_does_not_run_is_refused_beforehand() {
    let root = on_trial();
    let other = config(&root, "rendered-c", &one_file("/etc/a", "three"));
    let output = daemon(&root, &["apply", "--reboot", "--config", &other]);
    assert_eq!(code(&output), 4, "{}", all(&output));
    assert_eq!(root.read("/etc/a"), "two");
}
