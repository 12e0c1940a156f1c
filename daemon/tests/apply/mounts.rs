//! Real file systems that refuse: full, read-only, mounted over. They take mounts, so they take root.

use std::process::Command;

use daemon::converge::Ending;
use daemon::journal::Purpose;
use machineconfig::Code;

use crate::node::Root;
use crate::refusals::refused;
use crate::{begin, file, files};

/// A mount beneath a root, until it is dropped.
struct Mount(std::path::PathBuf);

impl Mount {
    fn new(root: &Root, path: &str, arguments: &[&str]) -> Self {
        let target = root.path(path);
        let status = Command::new("mount")
            .args(arguments)
            .arg(&target)
            .status()
            .unwrap();
        assert!(status.success(), "this test needs root and may mount");
        Self(target)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_file_system_without_room_is_told_before_anything_is_written() {
    let root = Root::new();
    begin(&root);
    std::fs::create_dir_all(root.path("/etc/small")).unwrap();
    let _mount = Mount::new(&root, "/etc/small", &["-t", "tmpfs", "-o", "size=2m", "small"]);
    let wanted = files(
        "rendered-a",
        &[file("/etc/small/a", &"x".repeat(3 << 20)), file("/etc/b", "x")],
    );
    assert_eq!(refused(&root, &wanted), [Code::NO_ROOM]);
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_read_only_file_system_is_told_before_anything_is_written() {
    let root = Root::new();
    begin(&root);
    std::fs::create_dir_all(root.path("/etc/fixed")).unwrap();
    let _mount = Mount::new(&root, "/etc/fixed", &["-t", "tmpfs", "-o", "ro", "fixed"]);
    assert_eq!(
        refused(
            &root,
            &files("rendered-a", &[file("/etc/fixed/a", "x"), file("/etc/b", "x")])
        ),
        [Code::READ_ONLY]
    );
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_file_that_is_a_mount_point_is_left_alone() {
    let root = Root::new();
    begin(&root);
    root.write("/etc/a", "below");
    root.write("/etc/source", "above");
    let source = root.path("/etc/source");
    let _mount = Mount::new(&root, "/etc/a", &["--bind", source.to_str().unwrap()]);
    assert_eq!(
        refused(&root, &files("rendered-a", &[file("/etc/a", "x")])),
        [Code::TARGET_MOUNT_POINT]
    );
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_change_over_two_file_systems_is_one_change() {
    let root = Root::new();
    begin(&root);
    std::fs::create_dir_all(root.path("/opt")).unwrap();
    let _mount = Mount::new(&root, "/opt", &["-t", "tmpfs", "-o", "size=4m", "opt"]);
    let wanted = files("rendered-a", &[file("/opt/a", "one"), file("/etc/b", "two")]);
    root.apply(&wanted).unwrap();
    assert_eq!(
        (root.read("/opt/a"), root.read("/etc/b")),
        ("one".to_owned(), "two".to_owned())
    );
    assert_eq!(root.apply(&wanted).unwrap().changed, 0);
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn state_on_another_mount_of_the_same_file_system_keeps_configs() {
    let root = Root::new();
    let source = root.path("/elsewhere");
    std::fs::create_dir_all(&source).unwrap();
    std::fs::create_dir_all(root.path("/var")).unwrap();
    let _mount = Mount::new(&root, "/var", &["--bind", source.to_str().unwrap()]);
    begin(&root);
    for text in ["one", "two", "three"] {
        let report = root
            .apply(&files(&format!("rendered-{text}"), &[file("/etc/a", text)]))
            .unwrap();
        assert_eq!(report.ending, Ending::Applied, "{report:?}");
    }
    let kept = daemon::store::kept(&root.node().root, "rendered-two").unwrap();
    root.converge(&kept, Purpose::Rollback).unwrap();
    assert_eq!(root.read("/etc/a"), "two");
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_read_only_mount_of_the_same_file_system_is_told_before_anything_is_written() {
    let root = Root::new();
    begin(&root);
    std::fs::create_dir_all(root.path("/usr/lib")).unwrap();
    let usr = root.path("/usr");
    let _mount = Mount::new(&root, "/usr", &["--bind", usr.to_str().unwrap()]);
    let status = Command::new("mount")
        .args(["-o", "remount,ro,bind"])
        .arg(&usr)
        .status()
        .unwrap();
    assert!(status.success(), "this test may mount");
    let wanted = files("rendered-a", &[file("/usr/lib/a", "x"), file("/etc/b", "x")]);
    assert_eq!(refused(&root, &wanted), [Code::READ_ONLY]);
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_directory_that_is_marked_is_told_before_anything_is_written() {
    for mark in ["a", "i"] {
        let root = Root::new();
        begin(&root);
        let marked = root.path("/etc/marked");
        std::fs::create_dir_all(&marked).unwrap();
        let change = |sign: &str| {
            let mut chattr = Command::new("chattr");
            chattr.arg(format!("{sign}{mark}")).arg(&marked);
            assert!(
                chattr.status().unwrap().success(),
                "this test needs a file system with attributes"
            );
        };
        change("+");
        let wanted = files("rendered-a", &[file("/etc/marked/a", "x"), file("/etc/b", "x")]);
        let told = refused(&root, &wanted);
        change("-");
        assert_eq!(told, [Code::TARGET_IMMUTABLE], "{mark}");
    }
}
