//! What hostile or unlucky nodes and configs have in store: nothing of it may wedge the engine, lose data or end in a panic.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};

use daemon::converge::Ending;
use machineconfig::Code;
use serde_json::{Value, json};

use crate::node::{Root, config};
use crate::refusals::refused as refusals;
use crate::{begin, file, files};

/// The codes of a refusal, each once: a path and what is on record about it may be refused for the same reason.
fn refused(root: &Root, wanted: &crds::MachineConfig) -> Vec<Code> {
    let mut codes = refusals(root, wanted);
    codes.dedup();
    codes
}

fn applied(root: &Root, wanted: &crds::MachineConfig) {
    let report = root.apply(wanted).unwrap();
    assert!(
        matches!(report.ending, Ending::Applied | Ending::Unchanged),
        "{report:?}"
    );
}

#[test]
fn the_longest_names_are_applied_and_longer_ones_refused() {
    let root = Root::new();
    begin(&root);
    for length in [244, 250, 255] {
        let path = format!("/etc/{}", "x".repeat(length));
        applied(&root, &files("rendered-long", &[file(&path, "x")]));
        assert_eq!(root.read(&path), "x");
        applied(&root, &files("rendered-first", &[]));
        assert!(!root.path(&path).exists());
    }
    assert_eq!(
        refused(
            &root,
            &files("rendered-a", &[file(&format!("/etc/{}", "x".repeat(256)), "x")])
        ),
        [Code::TARGET_TYPE]
    );
    let deep = "/d".repeat(2100);
    assert_eq!(
        refused(&root, &files("rendered-a", &[file(&format!("/etc{deep}"), "x")])),
        [Code::TARGET_TYPE]
    );
    let name = format!("rendered-{}", "n".repeat(244));
    applied(&root, &files(&name, &[file("/etc/a", "x")]));
    assert!(daemon::store::kept(&root.node().root, &name).is_ok());
}

#[test]
fn a_link_above_a_directory_that_is_pruned_does_not_hold_anything_up() {
    let root = Root::new();
    fs::create_dir_all(root.path("/data/sys")).unwrap();
    fs::create_dir_all(root.path("/etc/systemd")).unwrap();
    root.link("/etc/systemd/system", "/data/sys");
    begin(&root);
    let unit = |units: Value| {
        config(
            "rendered-units",
            json!({"ignition": {"version": "3.4.0"}, "systemd": {"units": units}}),
        )
    };
    applied(
        &root,
        &unit(json!([{"name": "a.service", "dropins": [{"name": "10-x.conf", "contents": "[Unit]\n"}]}])),
    );
    assert!(root.path("/data/sys/a.service.d/10-x.conf").exists());
    applied(&root, &unit(json!([])));
    assert!(!root.path("/data/sys/a.service.d").exists());
    assert!(!root.path("/var/lib/machine-config/journal").exists());
}

#[test]
fn state_that_is_linked_elsewhere_is_kept_there() {
    let root = Root::new();
    fs::create_dir_all(root.path("/data/lib")).unwrap();
    fs::create_dir_all(root.path("/var")).unwrap();
    root.link("/var/lib", "/data/lib");
    begin(&root);
    applied(&root, &files("rendered-a", &[file("/etc/a", "one")]));
    assert!(root.path("/data/lib/machine-config/history").exists());
    assert_eq!(
        root.apply(&files("rendered-a", &[file("/etc/a", "one")]))
            .unwrap()
            .ending,
        Ending::Unchanged
    );
}

#[test]
fn links_that_are_no_text_are_replaced_like_others() {
    let root = Root::new();
    begin(&root);
    symlink(OsStr::from_bytes(b"x\xff"), root.path("/etc/foo")).unwrap();
    fs::create_dir(root.path("/srv").join(OsStr::from_bytes(b"d\xff"))).unwrap();
    symlink(OsStr::from_bytes(b"/srv/d\xff"), root.path("/etc/through")).unwrap();
    applied(
        &root,
        &files(
            "rendered-a",
            &[file("/etc/foo", "one"), file("/etc/through/a", "two")],
        ),
    );
    assert_eq!(root.read("/etc/foo"), "one");
    let behind = root.path("/srv").join(OsStr::from_bytes(b"d\xff/a"));
    assert_eq!(fs::read_to_string(behind).unwrap(), "two");
    applied(&root, &files("rendered-first", &[]));
}

#[test]
fn a_path_that_is_written_otherwise_is_the_same_path() {
    let root = Root::new();
    fs::create_dir_all(root.path("/etc/real")).unwrap();
    root.link("/etc/alias", "real");
    begin(&root);
    applied(&root, &files("rendered-a", &[file("/etc/alias/x", "one")]));
    applied(&root, &files("rendered-b", &[file("/etc/real/x", "two")]));
    assert_eq!(root.read("/etc/real/x"), "two");
    applied(&root, &files("rendered-c", &[file("/etc/alias/x", "two")]));
    assert_eq!(root.read("/etc/real/x"), "two");
    assert_eq!(
        refused(
            &root,
            &files(
                "rendered-d",
                &[file("/etc/alias/x", "1"), file("/etc/real/x", "2")]
            )
        ),
        [Code::TARGET_TYPE]
    );
}

#[test]
fn places_of_our_own_are_no_files_of_a_config() {
    let root = Root::new();
    begin(&root);
    root.link("/etc/state", "/var/lib/machine-config");
    for path in [
        "/var/lib/machine-config/journal",
        "/run/machine-config/lock",
        "/etc/machine-config-daemon/currentconfig",
        "/etc/systemd/system/machine-config-recover.service",
        "/etc/state/configs/x.json",
    ] {
        assert_eq!(
            refused(&root, &files("rendered-a", &[file(path, "x")])),
            [Code::TARGET_TYPE],
            "{path}"
        );
    }
}

#[test]
fn a_home_is_its_user_s_and_what_is_above_it_is_not() {
    let root = Root::new();
    fs::remove_dir_all(root.path("/home")).unwrap();
    begin(&root);
    let wanted = config(
        "rendered-a",
        json!({"ignition": {"version": "3.4.0"}, "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 AAAA"]}]}}),
    );
    applied(&root, &wanted);
    let of = |path: &str| {
        root.path(path)
            .metadata()
            .map(|stat| (stat.uid(), stat.mode() & 0o777))
            .unwrap()
    };
    assert_eq!((of("/home"), of("/home/core")), ((0, 0o755), (0, 0o755)));
    assert_eq!(
        (of("/home/core/.ssh"), of("/home/core/.ssh/authorized_keys.d")),
        ((1000, 0o700), (1000, 0o700))
    );
}

#[test]
fn a_huge_file_in_the_way_is_refused_and_not_read() {
    let root = Root::new();
    begin(&root);
    root.write("/etc/a", "");
    fs::OpenOptions::new()
        .write(true)
        .open(root.path("/etc/a"))
        .unwrap()
        .set_len(1 << 42)
        .unwrap();
    let before = std::time::Instant::now();
    let report = root.apply(&files("rendered-a", &[file("/etc/a", "x")])).unwrap();
    assert_eq!(report.ending, Ending::Refused);
    assert_eq!(report.errors[0].code, Code::TARGET_TYPE);
    assert!(before.elapsed().as_secs() < 20, "it was read");
}

#[test]
fn a_zero_byte_in_a_path_is_refused() {
    let root = Root::new();
    let before = root.tree();
    let findings = root
        .apply(&files("rendered-a", &[file("/etc/fo\0o", "x")]))
        .unwrap_err();
    assert!(
        findings.iter().all(|finding| finding.code == Code::TARGET_TYPE),
        "{findings:?}"
    );
    assert_eq!(root.tree(), before);
}

#[test]
fn a_first_config_sets_passwords_and_tells_what_it_does_not_make() {
    let root = Root::new();
    let wanted = config(
        "rendered-a",
        json!({
            "ignition": {"version": "3.4.0"},
            "storage": {"directories": [{"path": "/srv/made-at-first-boot"}], "links": [{"path": "/srv/link", "target": "/x"}]},
            "passwd": {"users": [{"name": "core", "passwordHash": "$6$salt$hash"}]}
        }),
    );
    let report = root.apply(&wanted).unwrap();
    assert_eq!(report.ending, Ending::Applied, "{report:?}");
    assert!(root.read("/etc/shadow").contains("core:$6$salt$hash:"));
    let told = report
        .warnings
        .iter()
        .find(|finding| finding.code == Code::NOT_PROVISIONED)
        .unwrap();
    assert!(
        told.message.contains("/srv/made-at-first-boot") && told.message.contains("/srv/link"),
        "{}",
        told.message
    );
    assert_eq!(root.apply(&wanted).unwrap().changed, 0);
}

#[test]
fn a_user_who_meddles_with_a_change_that_was_cut_off_holds_nobody_up() {
    let root = Root::new();
    let keys = |key: &str| {
        let name = format!("rendered-{key}");
        config(
            &name,
            json!({"ignition": {"version": "3.4.0"}, "storage": {"files": [file("/etc/a", key)]}, "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": [format!("ssh-ed25519 {key}")]}]}}),
        )
    };
    applied(&root, &keys("one"));
    applied(&root, &keys("two"));
    // As it was right after the mark, with both names of the user's file written to by the user.
    let history = fs::read_dir(root.path("/var/lib/machine-config/history")).unwrap();
    let last = history.map(|entry| entry.unwrap().path()).max().unwrap();
    let text = fs::read_to_string(&last).unwrap();
    let begin: Value = serde_json::from_str(text.lines().next().unwrap().split_once(' ').unwrap().1).unwrap();
    let open: Vec<_> = text.lines().take(2).collect();
    root.write("/var/lib/machine-config/journal", open.join("\n") + "\n");
    for change in begin["changes"].as_array().unwrap() {
        if change["path"].as_str().unwrap().contains("/.ssh/") {
            root.write(change["path"].as_str().unwrap(), "meddled");
            root.write(change["aside"].as_str().unwrap(), "meddled");
        }
    }
    applied(&root, &keys("three"));
    assert_eq!(root.read("/etc/a"), "three");
    assert_eq!(
        root.read("/home/core/.ssh/authorized_keys.d/ignition"),
        "ssh-ed25519 three\n"
    );
    assert!(!root.path("/var/lib/machine-config/journal").exists());
}
