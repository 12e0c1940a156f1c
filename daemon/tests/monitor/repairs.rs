//! What follows drift: by policy, and by who can repair. The monitor as a library, with a repair of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use daemon::host::Root;
use daemon::monitor::{Config, Event, Monitor, Options, Reaction};
use machineconfig::drift::policy::{DriftPolicy, Entry, Reaction as Wish};

use crate::node::{Node, config};

fn policy(entries: &[(&str, Wish)]) -> DriftPolicy {
    let entry = |(path, policy): &(&str, Wish)| Entry {
        path: (*path).to_owned(),
        policy: *policy,
    };
    DriftPolicy {
        default: Wish::Report,
        paths: entries.iter().map(entry).collect(),
    }
}

/// Turns until an event is meant.
fn until(monitor: &mut Monitor<'_>, what: &str, is_meant: impl Fn(&Event) -> bool) -> Vec<Event> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut told: Vec<Event> = Vec::new();
    while !told.iter().any(&is_meant) {
        assert!(Instant::now() < deadline, "no {what} in time, but {told:#?}");
        monitor
            .turn(Duration::from_millis(100), &mut |event| {
                told.push(event);
                Ok(())
            })
            .unwrap();
    }
    told
}

#[test]
fn drift_is_repaired_three_times_and_then_told_only() {
    let node = Node::new();
    let asked: Mutex<Vec<BTreeSet<PathBuf>>> = Mutex::default();
    let repair = |paths: &BTreeSet<PathBuf>| -> anyhow::Result<()> {
        asked.lock().unwrap().push(paths.clone());
        node.apply(&config("rendered-worker-1", "1"));
        Ok(())
    };
    let options = Options {
        config: Config::OfNode,
        policy: policy(&[("/srv", Wish::Repair), ("/etc/app/deep", Wish::Ignore)]),
        program: env!("CARGO_BIN_EXE_machine-config-daemon").into(),
    };
    let mut monitor = Monitor::new(Root::open(node.path()).unwrap(), options, Some(&repair));
    until(&mut monitor, "start", |event| matches!(event, Event::Started(_)));
    for round in 1..=3 {
        fs::write(node.at("srv/data"), "evil\n").unwrap();
        fs::write(node.at("etc/app/deep/er/three.conf"), "ignored\n").unwrap();
        let told = until(&mut monitor, "resolved", |event| {
            matches!(event, Event::Resolved { .. })
        });
        assert_eq!(asked.lock().unwrap().len(), round);
        assert!(
            told.iter()
                .all(|event| event.path() != Some("/etc/app/deep/er/three.conf")),
            "{told:#?}"
        );
        assert!(
            told.iter()
                .any(|event| matches!(event, Event::Repaired { paths, .. } if paths == &["/srv/data"])),
            "{told:#?}"
        );
        assert_eq!(
            fs::read_to_string(node.at("srv/data")).unwrap(),
            "1 of /srv/data\n"
        );
    }
    assert!(
        asked
            .lock()
            .unwrap()
            .iter()
            .all(|paths| paths == &[PathBuf::from("/srv/data")].into())
    );
    fs::write(node.at("srv/data"), "evil\n").unwrap();
    let flapping = |event: &Event| matches!(event, Event::Drift(found) if matches!(found.reaction, Reaction::Flapping { repairs: 3, .. }));
    until(&mut monitor, "that it is left alone", flapping);
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[test]
fn a_repair_that_fails_is_told() {
    let node = Node::new();
    let repair = |_: &BTreeSet<PathBuf>| -> anyhow::Result<()> { anyhow::bail!("no room") };
    let options = Options {
        config: Config::OfNode,
        policy: policy(&[("/srv", Wish::Repair)]),
        program: env!("CARGO_BIN_EXE_machine-config-daemon").into(),
    };
    let mut monitor = Monitor::new(Root::open(node.path()).unwrap(), options, Some(&repair));
    until(&mut monitor, "start", |event| matches!(event, Event::Started(_)));
    fs::write(node.at("srv/data"), "evil\n").unwrap();
    let failed = |event: &Event| matches!(event, Event::RepairFailed { error, .. } if error == "no room");
    until(&mut monitor, "that it failed", failed);
}

#[test]
fn the_policy_of_the_command_line_counts() {
    let node = Node::new();
    let file = node.at("policy.yaml");
    fs::write(
        &file,
        "default: Ignore\npaths:\n- path: /etc/app\n  policy: Repair\n- path: /srv\n  policy: Report\n",
    )
    .unwrap();
    let mut watch = node.watch_with(&["--drift-policy", file.to_str().unwrap()]);
    fs::write(node.at("etc/secret"), "ignored\n").unwrap();
    fs::write(node.at("etc/app/one.conf"), "x\n").unwrap();
    let event = watch.expect("drift", |event| event["path"] == "/etc/app/one.conf");
    assert_eq!(event["reaction"]["is"], "repair");
    watch.expect("repair", |event| event["event"] == "repaired");
    watch.expect("resolved", |event| event["event"] == "resolved");
    assert_ne!(fs::read_to_string(node.at("etc/app/one.conf")).unwrap(), "x\n");
    assert_eq!(
        fs::read_to_string(node.at("etc/secret")).unwrap(),
        "ignored\n",
        "what is not to be repaired was"
    );
    fs::write(node.at("srv/data"), "x\n").unwrap();
    let event = watch.expect("drift", |event| event["path"] == "/srv/data");
    assert_eq!(event["reaction"]["is"], "reported");
    assert!(watch.told().iter().all(|event| event["path"] != "/etc/secret"));
}

#[test]
fn a_policy_that_misleads_is_refused() {
    let node = Node::new();
    let file = node.at("policy.yaml");
    for (text, code) in [
        ("paths:\n- path: etc\n  policy: Report\n", "MC3001"),
        ("paths:\n- path: /etc\n  policy: Mend\n", "MC4016"),
        ("path: []\n", "MC4016"),
        ("{", "MC1005"),
    ] {
        fs::write(&file, text).unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_machine-config-daemon"))
            .args(["watch", "--drift-policy", file.to_str().unwrap(), "--root"])
            .arg(node.path())
            .output()
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}: {told}");
        assert!(told.contains(code), "{text}: {told}");
    }
}
