//! The config of a node comes, changes, breaks; writers come, stay, and are killed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use daemon::host::{Lock, Root};
use serde_json::Value;

use crate::node::{CURRENT, Node, Watch, config};

/// Set for the process that only takes the lock and holds it.
const HOLD: &str = "MACHINE_CONFIG_TEST_HOLD";

#[test]
fn a_config_that_comes_later_is_followed() {
    let node = Node::empty();
    let mut watch = Watch::start(node.path(), &[]);
    let failed = watch.expect("that there is none", |event| event["event"] == "failed");
    assert!(
        failed["message"].as_str().unwrap().contains("no config"),
        "{failed:#}"
    );
    node.apply(&config("rendered-worker-1", "1"));
    let started = watch.expect("the start", |event| event["event"] == "started");
    assert_eq!(started["config"], "rendered-worker-1");
    assert_eq!(started["drifted"], 0);
    assert_eq!(watch.told(), [] as [Value; 0]);
}

#[test]
fn another_config_is_followed_and_a_broken_one_is_told() {
    let node = Node::new();
    let mut watch = node.watch();
    // Nobody has the lock: as the reference would do it.
    node.write(CURRENT, &config("rendered-worker-2", "2").to_string());
    let drift = watch.one("/srv/data", "content");
    assert!(
        drift["diff"]["unified"]
            .as_str()
            .unwrap()
            .contains("-2 of /srv/data\n+1")
    );
    let reloaded = watch.expect("another config", |event| event["event"] == "reloaded");
    assert_eq!(reloaded["config"], "rendered-worker-2");
    node.write(CURRENT, "{");
    let failed = watch.expect("what is wrong", |event| event["event"] == "failed");
    assert!(
        failed["message"].as_str().unwrap().contains("MC1005"),
        "{failed:#}"
    );
    node.write("srv/data", "2 of /srv/data\n");
    watch.resolved("/srv/data");
}

#[test]
fn what_a_new_config_says_nothing_of_is_resolved() {
    let node = Node::new();
    let mut watch = node.watch();
    node.write("srv/data", "x\n");
    watch.one("/srv/data", "content");
    let mut next = config("rendered-worker-2", "1");
    let files = next["spec"]["config"]["storage"]["files"].as_array_mut().unwrap();
    files.retain(|file| file["path"] != "/srv/data");
    node.apply(&next);
    watch.resolved("/srv/data");
    watch.told();
    node.write("srv/data", "y\n");
    watch.settled(&node);
    assert_eq!(
        watch
            .told()
            .iter()
            .filter(|event| event["event"] != "reloaded")
            .count(),
        0
    );
}

#[test]
fn a_config_outside_the_node_is_followed_too() {
    let node = Node::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("config.json");
    fs::write(&file, config("mine", "1").to_string()).unwrap();
    let mut watch = node.watch_with(&["--config", file.to_str().unwrap()]);
    assert_eq!(watch.told(), [] as [Value; 0]);
    fs::write(&file, config("mine", "2").to_string()).unwrap();
    watch.expect("the other config", |event| event["event"] == "reloaded");
    assert_eq!(watch.told().len(), 5, "every file differs");
}

#[test]
fn a_config_that_is_not_there_is_an_error_at_once() {
    let node = Node::new();
    let output = Command::new(env!("CARGO_BIN_EXE_machine-config-daemon"))
        .args(["watch", "--config", "/nowhere/config", "--root"])
        .arg(node.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("MC1001") && text.contains("/nowhere/config"),
        "{text}"
    );
}

#[test]
fn while_a_writer_is_at_work_nothing_is_told() {
    let node = Node::new();
    let mut watch = node.watch();
    let root = Root::open(node.path()).unwrap();
    let lock = Lock::acquire(&root, "apply").unwrap();
    fs::remove_file(node.at("srv/data")).unwrap();
    fs::rename(node.at("etc/app"), node.at("etc/moved")).unwrap();
    // The one thing that shows that it had the time: notices of a second, taken in and kept.
    for round in 0..500 {
        fs::write(node.at("etc/secret"), round.to_string()).unwrap();
        std::thread::yield_now();
    }
    fs::rename(node.at("etc/moved"), node.at("etc/app")).unwrap();
    node.settle(&config("rendered-worker-2", "2"));
    fs::write(node.at("etc/app/deep/er/three.conf"), "left wrong\n").unwrap();
    drop(lock);
    let drift = watch.one("/etc/app/deep/er/three.conf", "content");
    assert!(drift["diff"]["unified"].as_str().unwrap().contains("+left wrong"));
    watch.settled(&node);
    let mut told = watch.told();
    told.retain(|event| event["event"] != "reloaded");
    assert_eq!(told, [] as [Value; 0]);
}

/// Not a test of its own: the process that the next one starts and kills.
#[test]
fn holder_process() {
    let Some(path) = std::env::var_os(HOLD) else {
        return;
    };
    let root = Root::open(path.as_ref()).unwrap();
    let _lock = Lock::acquire(&root, "apply").unwrap();
    println!("\nheld");
    loop {
        std::thread::park();
    }
}

#[test]
fn a_killed_writer_is_told_with_what_it_left() {
    let node = Node::new();
    let mut watch = node.watch();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "following::holder_process", "--nocapture"])
        .env(HOLD, node.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let held = lines.by_ref().map_while(Result::ok).any(|line| line == "held");
    node.write("srv/data", "half\n");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(held, "the process ended without the lock");
    let event = watch.expect("what happened", |event| event["event"] == "interrupted");
    assert_eq!(event["holder"]["who"], "apply");
    assert_eq!(event["holder"]["pid"], child.id());
    watch.one("/srv/data", "content");
    // The next writer mends it.
    node.apply(&config("rendered-worker-1", "1"));
    watch.resolved("/srv/data");
}
