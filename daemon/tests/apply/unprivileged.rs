//! A tree of a user who is not root, changed by that user: as a try-out, or in a build of an image.

use std::io;
use std::os::unix::fs::lchown;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use daemon::converge::Ending;
use daemon::host::{Op, Rename, Tap};
use daemon::journal::{Outcome, Purpose};
use daemon::node::Node;
use daemon::observe::{OnDisk, observe};
use daemon::recover::{Recovered, recover};
use machineconfig::RenderedConfig;
use machineconfig::drift::{Expectation, compare};
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
use serde_json::json;

use crate::node::{Root, apply_to, config};
use crate::{file, files};

/// Nobody's number on a machine that runs tests, and none of those that the node knows.
const USER: u32 = 54_321;

/// Runs `work` as a user who may do nothing special: this one, or [`USER`] if this is root. The kernel keeps rights by thread, so
/// the other tests keep theirs.
fn unprivileged<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let step_down = || {
        if geteuid().is_root() {
            set_thread_groups(&[]).unwrap();
            set_thread_gid(Gid::from_raw(USER)).unwrap();
            set_thread_uid(Uid::from_raw(USER)).unwrap();
        }
        assert!(!geteuid().is_root());
        work()
    };
    thread::scope(|scope| scope.spawn(step_down).join().unwrap())
}

fn give(root: &Root) {
    if geteuid().is_root() {
        lchown(root.directory.path(), Some(USER), Some(USER)).unwrap();
        for path in root.tree().keys() {
            lchown(root.path(path.to_str().unwrap()), Some(USER), Some(USER)).unwrap();
        }
    }
}

#[test]
fn a_root_of_somebody_else_is_told_as_that() {
    let root = Root::new();
    // Of the one who runs this test, or of root when the user steps down.
    let of_root = geteuid().is_root();
    if !of_root {
        std::fs::set_permissions(
            root.path("/run"),
            std::os::unix::fs::PermissionsExt::from_mode(0o555),
        )
        .unwrap();
    }
    std::fs::set_permissions(
        root.directory.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    unprivileged(|| {
        let refused = root.node().lock("test").unwrap_err();
        assert_eq!(refused.code, machineconfig::Code::NOT_ROOT, "{refused}");
    });
}

#[test]
fn a_user_applies_mends_and_goes_back_in_a_tree_of_his() {
    let root = Root::new();
    give(&root);
    let of = |path: &str, text: &str, owner: &str| json!({"path": path, "mode": 384, "user": {"name": owner}, "contents": {"source": format!("data:,{text}")}});
    let wanted = |name: &str, text: &str| {
        let units =
            json!([{"name": "vendor.service", "enabled": true}, {"name": "other.service", "mask": true}]);
        let core = json!({"name": "core", "sshAuthorizedKeys": [format!("ssh-ed25519 {text}")], "passwordHash": "$6$salt$hash"});
        config(
            name,
            json!({
                "ignition": {"version": "3.4.0"},
                "storage": {"files": [of("/etc/new/of-root", text, "root"), of("/etc/of-core", text, "core")]},
                "systemd": {"units": units},
                "passwd": {"users": [core]},
            }),
        )
    };
    let (first, second) = (wanted("rendered-1", "one"), wanted("rendered-2", "two"));
    unprivileged(|| {
        assert_eq!(root.apply(&first).unwrap().ending, Ending::Applied);
        root.write("/etc/of-core", "somebody else's");
        let mended = root.apply(&first).unwrap();
        assert_eq!(
            (mended.ending, mended.changed),
            (Ending::Applied, 1),
            "{mended:?}"
        );
        let changed = root.apply(&second).unwrap();
        assert_eq!(changed.ending, Ending::Applied, "{changed:?}");
        assert_eq!(root.read("/etc/of-core"), "two");
        let back = root.converge(&first, Purpose::Rollback).unwrap();
        assert_eq!(back.ending, Ending::Applied, "{back:?}");
        assert_eq!(root.apply(&first).unwrap().ending, Ending::Unchanged);
    });

    let expected = RenderedConfig::from_machine_config(&first).unwrap();
    let expectation = Expectation::of(&expected);
    let node = root.node();
    let enablement = OnDisk::read(&node.root).unwrap();
    let observed = observe(&node.root, &expectation, &enablement).unwrap();
    assert_eq!(compare(&expectation, &observed), []);
    let tree = root.tree();
    let owner = tree[Path::new("/etc/passwd")].owner;
    let others: Vec<_> = tree.iter().filter(|(_, entry)| entry.owner != owner).collect();
    assert!(others.is_empty(), "{others:?}");
}

/// Lets nothing through any more once the first path was exchanged.
#[derive(Debug, Default)]
struct CutOff(AtomicBool);

impl Tap for CutOff {
    fn before(&self, _: &Op<'_>) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(io::Error::other("cut off"));
        }
        Ok(())
    }

    fn after(&self, op: &Op<'_>) -> io::Result<()> {
        let exchanged = matches!(
            op,
            Op::Rename {
                how: Rename::Exchange,
                ..
            }
        );
        self.0.fetch_or(exchanged, Ordering::Relaxed);
        Ok(())
    }
}

#[test]
fn a_change_of_a_user_that_was_cut_off_is_finished() {
    let root = Root::new();
    give(&root);
    let wanted = |text: &str| {
        files(
            &format!("rendered-{text}"),
            &[file("/etc/a", text), file("/etc/b", text)],
        )
    };
    unprivileged(|| {
        root.apply(&wanted("one")).unwrap();
        let node = Node::open_tapped(root.directory.path(), Arc::new(CutOff::default())).unwrap();
        let report = apply_to(&node, &wanted("two"), Purpose::Apply).unwrap();
        assert_eq!(report.ending, Ending::Stuck, "{report:?}");
        drop(node);
        assert_ne!(
            root.read("/etc/a"),
            root.read("/etc/b"),
            "it was cut off too late"
        );
        let node = root.node();
        let recovered = recover(&node.root, &node.acts(), &node.machine_id).unwrap();
        assert!(
            matches!(
                &recovered,
                Recovered::Ended {
                    outcome: Outcome::Applied { .. },
                    ..
                }
            ),
            "{recovered:?}"
        );
        assert_eq!([root.read("/etc/a"), root.read("/etc/b")], ["two", "two"]);
    });
}
