//! Applying configs to roots that do not run: what is written, what is restored, what is refused.

#![expect(
    clippy::unwrap_used,
    reason = "in a test an unwrap is an assertion, in its helpers too"
)]

mod cli;
mod hostile;
mod mounts;
mod node;
mod pairs;
mod refusals;
mod trial;
mod unprivileged;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use daemon::confirm::Confirmation;
use daemon::converge::Ending;
use daemon::host::{Op, Tap};
use daemon::journal::Purpose;
use daemon::node::Node;
use machineconfig::plan::Action;
use serde_json::json;

use node::{Kind, Root, apply_to, config, difference};

fn file(path: &str, text: &str) -> serde_json::Value {
    json!({"path": path, "mode": 420, "overwrite": true, "contents": {"source": format!("data:,{text}")}})
}

fn files(name: &str, files: &[serde_json::Value]) -> crds::MachineConfig {
    config(
        name,
        json!({"ignition": {"version": "3.4.0"}, "storage": {"files": files}}),
    )
}

/// A config that is on the node, so that the next one is a change.
fn begin(root: &Root) {
    let report = root.apply(&files("rendered-first", &[])).unwrap();
    assert_eq!(report.ending, Ending::Applied, "{report:?}");
}

#[test]
fn what_is_added_goes_again_and_leaves_nothing() {
    let root = Root::new();
    begin(&root);
    let before = root.tree();
    root.apply(&files(
        "rendered-a",
        &[file("/etc/deep/er/a", "one"), file("/etc/b", "two")],
    ))
    .unwrap();
    assert_eq!(root.read("/etc/deep/er/a"), "one");
    root.apply(&files("rendered-b", &[file("/etc/b", "two")]))
        .unwrap();
    assert!(!root.path("/etc/deep/er/a").exists());
    root.apply(&files("rendered-first", &[])).unwrap();
    let left: Vec<_> = difference(&before, &root.tree())
        .into_iter()
        .filter(|line| !line.contains("Directory"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn only_what_the_plan_changes_is_written() {
    use std::os::unix::fs::MetadataExt;
    let root = Root::new();
    begin(&root);
    root.apply(&files(
        "rendered-a",
        &[file("/etc/a", "one"), file("/etc/b", "two")],
    ))
    .unwrap();
    let inode = |path: &str| root.path(path).metadata().unwrap().ino();
    let (a, b) = (inode("/etc/a"), inode("/etc/b"));
    root.apply(&files(
        "rendered-b",
        &[file("/etc/a", "one"), file("/etc/b", "three")],
    ))
    .unwrap();
    assert_eq!(inode("/etc/a"), a, "an unchanged file was written");
    assert_ne!(inode("/etc/b"), b);
}

#[test]
fn drift_is_mended_by_applying_the_same_again_and_nothing_else_is_touched() {
    let root = Root::new();
    begin(&root);
    let wanted = files("rendered-a", &[file("/etc/a", "one"), file("/etc/b", "two")]);
    root.apply(&wanted).unwrap();
    root.write("/etc/a", "somebody else's");
    let report = root.apply(&wanted).unwrap();
    assert_eq!(
        (report.ending, report.changed),
        (Ending::Applied, 1),
        "{report:?}"
    );
    assert_eq!(report.plan.changed_files().collect::<Vec<_>>(), ["/etc/a"]);
    assert_eq!(root.read("/etc/a"), "one");
    assert_eq!(root.apply(&wanted).unwrap().changed, 0);
}

#[test]
fn a_reboot_stays_due_until_another_boot_and_is_not_forgotten_by_the_next_config() {
    let root = Root::new();
    begin(&root);
    let report = root
        .apply(&files("rendered-a", &[file("/etc/a", "one")]))
        .unwrap();
    assert_eq!(report.left, [Action::Reboot]);
    assert_eq!(
        report.reboot_due.as_ref().map(|due| due.config.as_str()),
        Some("rendered-a")
    );
    let same = root
        .apply(&files("rendered-a", &[file("/etc/a", "one")]))
        .unwrap();
    assert_eq!(same.ending, Ending::Unchanged);
    assert!(same.reboot_due.is_some(), "the reboot was forgotten");
}

#[test]
fn a_rollback_brings_back_the_config_before_and_the_last_three_are_kept() {
    let root = Root::new();
    begin(&root);
    for name in ["a", "b", "c"] {
        root.apply(&files(&format!("rendered-{name}"), &[file("/etc/a", name)]))
            .unwrap();
    }
    let node = root.node();
    assert_eq!(
        daemon::store::names(&node.root).unwrap(),
        ["rendered-c", "rendered-b", "rendered-a"]
    );
    assert!(daemon::store::kept(&node.root, "rendered-first").is_err());
    let kept = daemon::store::kept(&node.root, "rendered-b").unwrap();
    root.converge(&kept, Purpose::Rollback).unwrap();
    assert_eq!(root.read("/etc/a"), "b");
    assert_eq!(daemon::store::names(&node.root).unwrap()[0], "rendered-b");
    for entry in std::fs::read_dir(root.path("/var/lib/machine-config/configs")).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "others may read a kept config");
    }
}

#[test]
fn configs_of_one_name_are_told_apart_by_their_hash() {
    let root = Root::new();
    begin(&root);
    for text in ["one", "two"] {
        root.apply(&files("mine", &[file("/etc/a", text)])).unwrap();
    }
    let names = daemon::store::names(&root.node().root).unwrap();
    assert!(names[0] == "mine" && names[1].starts_with("mine@"), "{names:?}");
    let kept = daemon::store::kept(&root.node().root, &names[1]).unwrap();
    root.converge(&kept, Purpose::Rollback).unwrap();
    assert_eq!(root.read("/etc/a"), "one");
    let back = daemon::store::names(&root.node().root).unwrap();
    assert!(
        back[0] == "mine" && back[1].starts_with("mine@") && back[1] != names[1],
        "{back:?}"
    );
    for text in ["three", "four"] {
        root.apply(&files("mine", &[file("/etc/a", text)])).unwrap();
    }
    // Of three of one name all are there, whichever of them one goes back to.
    let three = daemon::store::names(&root.node().root).unwrap();
    let before = daemon::store::kept(&root.node().root, &three[1]).unwrap();
    root.converge(&before, Purpose::Rollback).unwrap();
    let after = daemon::store::names(&root.node().root).unwrap();
    assert!(
        after.len() == 3 && !after.contains(&three[1]) && after[2] == three[2],
        "{three:?} {after:?}"
    );
    root.converge(&kept, Purpose::Apply).unwrap();
    let back = daemon::store::names(&root.node().root).unwrap();
    // The same once more keeps nothing more.
    root.apply(&kept).unwrap();
    assert_eq!(daemon::store::names(&root.node().root).unwrap(), back);
}

#[test]
fn attributes_and_links_on_the_way_are_kept() {
    let root = Root::new();
    std::fs::create_dir_all(root.path("/var/home/core")).unwrap();
    std::fs::remove_dir(root.path("/home/core")).unwrap();
    std::fs::remove_dir(root.path("/home")).unwrap();
    root.link("/home", "var/home");
    begin(&root);
    let keys = |key: &str| {
        config(
            &format!("rendered-{key}"),
            json!({"ignition": {"version": "3.4.0"}, "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": [format!("ssh-ed25519 AAAA{key}")]}]}}),
        )
    };
    let report = root.apply(&keys("one")).unwrap();
    assert_eq!(report.ending, Ending::Applied, "{report:?}");
    let path = "/var/home/core/.ssh/authorized_keys.d/ignition";
    assert_eq!(root.read(path), "ssh-ed25519 AAAAone\n");
    let tree = root.tree();
    let of = |path: &str| &tree[Path::new(path)];
    assert_eq!((of(path).mode, of(path).owner), (0o600, (1000, 1000)));
    for directory in ["/var/home/core/.ssh", "/var/home/core/.ssh/authorized_keys.d"] {
        assert_eq!(
            (of(directory).mode, of(directory).owner),
            (0o700, (1000, 1000)),
            "{directory}"
        );
    }
    rustix::fs::setxattr(
        root.path(path),
        "user.note",
        b"kept",
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    root.apply(&keys("two")).unwrap();
    let mut value = [0_u8; 16];
    let length = rustix::fs::getxattr(root.path(path), "user.note", &mut value).unwrap();
    assert_eq!(&value[..length], b"kept");
}

#[test]
fn a_directory_that_gives_its_group_away_changes_no_owner() {
    let root = Root::new();
    begin(&root);
    let shared = root.path("/etc/shared");
    std::fs::create_dir(&shared).unwrap();
    std::os::unix::fs::chown(&shared, Some(0), Some(1000)).unwrap();
    std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o2775)).unwrap();
    let wanted = files(
        "rendered-a",
        &[file("/etc/shared/a", "one"), file("/etc/shared/new/b", "two")],
    );
    root.apply(&wanted).unwrap();
    let tree = root.tree();
    for path in ["/etc/shared/a", "/etc/shared/new", "/etc/shared/new/b"] {
        assert_eq!(tree[Path::new(path)].owner, (0, 0), "{path}");
    }
    assert_eq!(root.apply(&wanted).unwrap().ending, Ending::Unchanged);
}

/// Counts what makes anything durable.
#[derive(Debug, Default)]
struct Flushes(AtomicUsize);

impl Tap for Flushes {
    fn before(&self, op: &Op<'_>) -> io::Result<()> {
        self.0.fetch_add(usize::from(op.is_sync()), Ordering::Relaxed);
        Ok(())
    }

    fn after(&self, _: &Op<'_>) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_change_takes_six_flushes_however_many_files_it_has() {
    let root = Root::new();
    begin(&root);
    for (name, count) in [("rendered-one", 1), ("rendered-many", 300)] {
        let flushes = Arc::new(Flushes::default());
        let node = Node::open_tapped(root.directory.path(), flushes.clone()).unwrap();
        let paths: Vec<_> = (0..count)
            .map(|number| file(&format!("/etc/many/{number}"), name))
            .collect();
        // As the command does, before it changes anything.
        let wanted = files(name, &paths);
        let armed = Confirmation::default().arm(&node, &wanted, &machineconfig::Policy::default());
        assert!(armed.unwrap().is_none());
        let report = apply_to(&node, &wanted, Purpose::Apply).unwrap();
        assert!(report.changed >= count, "{report:?}");
        assert_eq!(flushes.0.load(Ordering::Relaxed), 6, "{name}");
    }
}

#[test]
fn units_are_enabled_masked_and_let_go() {
    let root = Root::new();
    begin(&root);
    let text = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
    let units = |name: &str, units: serde_json::Value| {
        config(
            name,
            json!({"ignition": {"version": "3.4.0"}, "systemd": {"units": units}}),
        )
    };
    root.apply(&units(
        "rendered-a",
        json!([
            {"name": "own.service", "enabled": true, "contents": text},
            {"name": "vendor.service", "mask": true},
            {"name": "drop.service", "dropins": [{"name": "10-a.conf", "contents": "[Unit]\n"}]}
        ]),
    ))
    .unwrap();
    let tree = root.tree();
    let link = |path: &str| match tree.get(Path::new(path)).map(|entry| &entry.kind) {
        Some(Kind::Link(target)) => target.to_string_lossy().into_owned(),
        other => panic!("{path} is {other:?}"),
    };
    assert_eq!(
        link("/etc/systemd/system/multi-user.target.wants/own.service"),
        "/etc/systemd/system/own.service"
    );
    assert_eq!(link("/etc/systemd/system/vendor.service"), "/dev/null");
    assert_eq!(
        root.read("/etc/systemd/system/drop.service.d/10-a.conf"),
        "[Unit]\n"
    );
    // Pulled in by something else now: the link of before must go.
    root.apply(&units("rendered-b", json!([{"name": "own.service", "enabled": true, "contents": text.replace("multi-user", "basic")}, {"name": "vendor.service", "mask": false, "enabled": true}]))).unwrap();
    let tree = root.tree();
    assert!(!tree.contains_key(Path::new(
        "/etc/systemd/system/multi-user.target.wants/own.service"
    )));
    assert!(tree.contains_key(Path::new("/etc/systemd/system/basic.target.wants/own.service")));
    assert!(tree.contains_key(Path::new(
        "/etc/systemd/system/multi-user.target.wants/vendor.service"
    )));
    assert!(!tree.contains_key(Path::new("/etc/systemd/system/vendor.service")));
    assert!(
        !tree.contains_key(Path::new("/etc/systemd/system/drop.service.d")),
        "an empty directory of drop-ins stays"
    );
    root.apply(&files("rendered-first", &[])).unwrap();
    let left: Vec<_> = root
        .tree()
        .into_keys()
        .filter(|path| path.parent() == Some(Path::new("/etc/systemd/system")))
        .collect();
    assert_eq!(left, Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_user_that_the_config_lets_go_is_locked_and_not_left_open() {
    let root = Root::new();
    begin(&root);
    let user = |name: &str, hash: &str| {
        config(
            name,
            json!({"ignition": {"version": "3.4.0"}, "passwd": {"users": [{"name": "core", "passwordHash": hash}]}}),
        )
    };
    root.apply(&user("rendered-a", "$6$salt$hash")).unwrap();
    assert!(root.read("/etc/shadow").contains("core:$6$salt$hash:"));
    root.apply(&files("rendered-first", &[])).unwrap();
    let shadow = root.read("/etc/shadow");
    assert!(shadow.contains("core:!$6$salt$hash:"), "{shadow}");
    assert!(!shadow.contains("core::"), "everybody could log in");
}

#[test]
fn keys_of_every_user_on_the_node_are_written_and_mended() {
    let root = Root::new();
    std::fs::create_dir_all(root.path("/home/dev")).unwrap();
    let passwd = root.read("/etc/passwd");
    root.write(
        "/etc/passwd",
        format!("{passwd}dev:x:1001:1001::/home/dev:/bin/sh\n"),
    );
    begin(&root);
    let users = |name: &str, users: serde_json::Value| {
        config(
            name,
            json!({"ignition": {"version": "3.4.0"}, "passwd": {"users": users}}),
        )
    };
    let core = json!({"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 AAAAcore"]});
    let dev = |key: &str| json!({"name": "dev", "sshAuthorizedKeys": [key]});
    let path = "/home/dev/.ssh/authorized_keys.d/ignition";
    for key in ["ssh-ed25519 AAAAone", "ssh-ed25519 AAAAtwo"] {
        let report = root
            .apply(&users("rendered-keys", json!([core, dev(key)])))
            .unwrap();
        assert_eq!(report.ending, Ending::Applied, "{report:?}");
        assert_eq!(root.read(path), format!("{key}\n"));
    }
    // Somebody adds a key of his own to both.
    let wanted = users("rendered-keys", json!([core, dev("ssh-ed25519 AAAAtwo")]));
    for path in [path, "/home/core/.ssh/authorized_keys.d/ignition"] {
        root.write(path, root.read(path) + "ssh-ed25519 AAAAevil\n");
    }
    let report = root.apply(&wanted).unwrap();
    assert_eq!(report.ending, Ending::Applied, "{report:?}");
    assert_eq!(root.read(path), "ssh-ed25519 AAAAtwo\n");
    // More than keys is made at first boot only, and a user who is not there is nobody's.
    for user in [
        json!({"name": "dev", "sshAuthorizedKeys": ["ssh-ed25519 AAAAtwo"], "shell": "/bin/zsh"}),
        json!({"name": "stranger", "sshAuthorizedKeys": ["ssh-ed25519 AAAAtwo"]}),
    ] {
        let report = root.apply(&users("rendered-more", json!([core, user]))).unwrap();
        assert_eq!(report.ending, Ending::Refused, "{report:?}");
    }
}
