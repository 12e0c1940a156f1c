//! Real file systems that refuse: full, read-only, mounted over. They take mounts, so they take root.

use std::process::Command;

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
