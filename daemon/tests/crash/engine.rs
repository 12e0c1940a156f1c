//! The apply engine, cut off at every one of its calls: killed, out of power, or refused by the kernel. Whatever happens, the node has
//! its old config or its new one in the end, to the byte.
//!
//! The calls are not listed anywhere: they are counted where they are made, so a new one is covered by itself.

mod faults;
mod kill;
mod power;

use std::path::Path;

use crds::MachineConfig;
use daemon::converge::Report;
use daemon::journal::Purpose;
use daemon::node::Node;
use machineconfig::Finding;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::model::Tree;
use crate::node::{Root, apply_to, config, directory};

/// What is ours, and not the config's.
const OURS: [&str; 2] = ["/var/lib/machine-config", "/run"];
/// Files that are worth two threads.
const MANY: usize = 400;
/// The record of the current config.
const CURRENT: &str = "/etc/machine-config-daemon/currentconfig";

/// A node with a config, the config it is to get, and how it looks with either.
struct Case {
    /// Everything on the disk before, our records included.
    before: Tree,
    old: Tree,
    new: Tree,
    to: MachineConfig,
    /// Keeps the directory.
    _root: Root,
}

fn file(path: &str, text: &str, mode: u32) -> Value {
    json!({"path": path, "mode": mode, "overwrite": true, "contents": {"source": format!("data:,{text}")}})
}

fn from() -> MachineConfig {
    let unit = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
    config(
        "rendered-from",
        json!({
            "ignition": {"version": "3.4.0"},
            "storage": {"files": [file("/etc/same", "same", 0o644), file("/etc/changed", "old", 0o644), file("/etc/deep/gone", "old", 0o600), file("/etc/mode", "m", 0o644)]},
            "systemd": {"units": [
                {"name": "moved.service", "enabled": true, "contents": unit},
                {"name": "gone.service", "enabled": true, "contents": unit, "dropins": [{"name": "10-a.conf", "contents": "[Unit]\n"}]}
            ]},
            "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 AAAAold"], "passwordHash": "$6$old"}]}
        }),
    )
}

fn to() -> MachineConfig {
    let unit = "[Service]\nExecStart=/bin/false\n[Install]\nWantedBy=basic.target\n";
    config(
        "rendered-to",
        json!({
            "ignition": {"version": "3.4.0"},
            "storage": {"files": [file("/etc/same", "same", 0o644), file("/etc/changed", "new", 0o644), file("/etc/fresh/deep/added", "new", 0o600), file("/etc/mode", "m", 0o755)]},
            "systemd": {"units": [
                {"name": "moved.service", "enabled": true, "contents": unit, "dropins": [{"name": "20-b.conf", "contents": "[Service]\n"}]},
                {"name": "vendor.service", "mask": true}
            ]},
            "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 AAAAnew"]}]}
        }),
    )
}

/// A config of so many files that they are not changed one after the other.
fn many(name: &str, text: &str) -> MachineConfig {
    let files: Vec<_> = (0..MANY)
        .map(|number| file(&format!("/etc/many/{}/{number}", number % 5), text, 0o644))
        .collect();
    config(
        name,
        json!({"ignition": {"version": "3.4.0"}, "storage": {"files": files}}),
    )
}

impl Case {
    fn new() -> Self {
        Self::between(&from(), to())
    }

    fn between(from: &MachineConfig, to: MachineConfig) -> Self {
        quiet();
        let root = Root::new();
        root.apply(from).unwrap();
        let before = Tree::read_from(root.directory.path()).unwrap();
        let old = managed(&before);
        let twin = tempfile_of(&before);
        apply_to(&Node::open(twin.path()).unwrap(), &to, Purpose::Apply).unwrap();
        let new = managed(&Tree::read_from(twin.path()).unwrap());
        assert_ne!(old.difference(&new), "");
        Self {
            before,
            old,
            new,
            to,
            _root: root,
        }
    }

    /// The node as it is before, in a directory of its own.
    fn copy(&self) -> TempDir {
        tempfile_of(&self.before)
    }

    /// Which of the two a directory is, if it is one of them.
    fn side(&self, directory: &Path) -> Result<Side, String> {
        let left = managed(&Tree::read_from(directory).unwrap());
        match (
            self.old.difference(&left).is_empty(),
            self.new.difference(&left).is_empty(),
        ) {
            (true, _) => Ok(Side::Old),
            (false, true) => Ok(Side::New),
            (false, false) => Err(format!(
                "a mix\nagainst old:\n{}\nagainst new:\n{}",
                self.old.difference(&left),
                self.new.difference(&left)
            )),
        }
    }
}

/// Thousands of applies are cut off or refused here, and each says so; what went wrong in a test the harness tells on standard output.
/// The warnings are in a file beside the other things of the tests.
fn quiet() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("crash-warnings.log");
    // Of one process, and each child has its own.
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    rustix::stdio::dup2_stderr(log).unwrap();
}

/// What a node is after all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Old,
    New,
}

fn tempfile_of(tree: &Tree) -> TempDir {
    let copy = directory();
    tree.write_to(copy.path()).unwrap();
    copy
}

/// The part of a tree that configs are about, with the name of the current one.
fn managed(tree: &Tree) -> Tree {
    let mut part = Tree::new();
    for (path, node) in tree.iter() {
        if !OURS.iter().any(|ours| path.starts_with(ours)) {
            part.insert(path.to_owned(), node.clone());
        }
    }
    part
}

/// Applies the case's config to a node.
fn apply(node: &Node, case: &Case) -> Result<Report, Vec<Finding>> {
    apply_to(node, &case.to, Purpose::Apply)
}

/// What `machine-config-daemon recover` does.
fn recover(directory: &Path) -> Result<(), Finding> {
    recover_node(&Node::open(directory)?)
}

fn recover_node(node: &Node) -> Result<(), Finding> {
    let _lock = node.lock("recover")?;
    daemon::recover::recover(&node.root, &node.acts(), &node.machine_id).map(|_| ())
}

/// Nothing of ours is left where it does not belong, and the record says what the disk is.
fn tidy(directory: &Path, side: Side) {
    let tree = Tree::read_from(directory).unwrap();
    for (path, _) in tree.iter() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        assert!(!name.contains(".mc-"), "{} is left", path.display());
    }
    let current = String::from_utf8_lossy(tree.contents(CURRENT).unwrap()).into_owned();
    let expected = match side {
        Side::Old => "rendered-from",
        Side::New => "rendered-to",
    };
    assert!(
        current.contains(expected),
        "the record says {current:.80} and the disk is {side:?}"
    );
    assert!(
        tree.get("/var/lib/machine-config/journal").is_none(),
        "the journal is left"
    );
}

#[test]
fn the_two_sides_differ_and_a_mix_is_seen() {
    let case = Case::new();
    let copy = case.copy();
    assert_eq!(case.side(copy.path()), Ok(Side::Old));
    apply(&Node::open(copy.path()).unwrap(), &case).unwrap();
    assert_eq!(case.side(copy.path()), Ok(Side::New));
    std::fs::write(copy.path().join("etc/changed"), "old").unwrap();
    assert!(case.side(copy.path()).is_err());
}
