//! The root handle against hostile trees: nothing outside the root is ever seen, nothing blocks, everything is bounded.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use daemon::host::root::{EntryKind, Exit};
use daemon::host::{Found, Root};
use proptest::prelude::*;

/// A node's root beside a directory that must not be reached.
struct Tree {
    directory: tempfile::TempDir,
}

impl Tree {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("root/etc")).unwrap();
        fs::create_dir_all(directory.path().join("outside/etc")).unwrap();
        fs::write(directory.path().join("outside/secret"), "secret").unwrap();
        fs::write(directory.path().join("outside/etc/secret"), "secret").unwrap();
        Self { directory }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.directory.path().join("root").join(path)
    }

    fn root(&self) -> Root {
        Root::open(&self.at("")).unwrap()
    }

    fn look(&self, path: &str) -> Found {
        self.root().look(Path::new(path)).unwrap()
    }

    fn text(&self, path: &str) -> String {
        match self.look(path) {
            Found::File(file) => String::from_utf8(file.read(1024).unwrap().unwrap()).unwrap(),
            other => panic!("{path}: {other:?}"),
        }
    }
}

#[test]
fn files_are_seen_with_their_facts() {
    let tree = Tree::new();
    fs::write(tree.at("etc/a"), "hello\n").unwrap();
    fs::set_permissions(tree.at("etc/a"), fs::Permissions::from_mode(0o4750)).unwrap();
    match tree.look("/etc/a") {
        Found::File(file) => assert_eq!((file.mode, file.size), (0o4750, 6)),
        other => panic!("{other:?}"),
    }
    assert_eq!(tree.text("/etc/a"), "hello\n");
    assert!(matches!(tree.look("/etc"), Found::Directory));
    assert!(matches!(tree.look("/"), Found::Directory));
    assert!(matches!(tree.look("/etc/b"), Found::Missing));
    assert!(matches!(tree.look("/nowhere/b"), Found::Missing));
    assert!(
        matches!(tree.look("/etc/a/b"), Found::Missing),
        "a parent is a file"
    );
}

#[test]
fn parents_may_be_links_inside_the_root_absolute_ones_too() {
    let tree = Tree::new();
    fs::create_dir_all(tree.at("srv/deep")).unwrap();
    fs::write(tree.at("srv/deep/a"), "inside").unwrap();
    symlink("/srv", tree.at("etc/absolute")).unwrap();
    symlink("../srv", tree.at("etc/relative")).unwrap();
    symlink("absolute/deep", tree.at("etc/chain")).unwrap();
    for path in ["/etc/absolute/deep/a", "/etc/relative/deep/a", "/etc/chain/a"] {
        assert_eq!(tree.text(path), "inside", "{path}");
    }
}

#[test]
fn a_link_that_leads_out_is_named_and_not_followed() {
    let tree = Tree::new();
    symlink("../../outside", tree.at("etc/out")).unwrap();
    symlink("out", tree.at("etc/chain")).unwrap();
    for path in ["/etc/out/secret", "/etc/chain/secret", "/etc/out/etc/secret"] {
        match tree.look(path) {
            Found::LeadsOut(Exit { link, target }) => {
                assert_eq!(
                    (link, target),
                    ("/etc/out".into(), "../../outside".into()),
                    "{path}"
                );
            }
            other => panic!("{path}: {other:?}"),
        }
        assert_eq!(tree.root().read(Path::new(path), 100).unwrap(), None);
    }
    assert_eq!(tree.root().list(Path::new("/etc/out")).unwrap(), []);
}

#[test]
fn an_absolute_link_to_a_place_outside_means_that_place_inside() {
    let tree = Tree::new();
    let outside = tree.directory.path().join("outside");
    symlink(&outside, tree.at("etc/out")).unwrap();
    assert!(matches!(tree.look("/etc/out/secret"), Found::Missing));
    assert_eq!(tree.root().read(Path::new("/etc/out/secret"), 100).unwrap(), None);
}

#[test]
fn a_link_at_the_path_itself_is_told_and_not_followed() {
    let tree = Tree::new();
    symlink("/dev/null", tree.at("etc/second")).unwrap();
    let table = [
        ("/dev/null", Some("/dev/null")),
        ("second", Some("/dev/null")),
        ("/etc/../etc/second", Some("/dev/null")),
        ("nothing", Some("/etc/nothing")),
        ("../../outside/secret", None),
        ("link", None),
    ];
    for (text, expected) in table {
        symlink(text, tree.at("etc/link")).unwrap();
        match tree.look("/etc/link") {
            Found::Symlink { target, resolved } => {
                assert_eq!(target, Path::new(text));
                assert_eq!(resolved.as_deref(), expected.map(Path::new), "{text}");
            }
            other => panic!("{other:?}"),
        }
        fs::remove_file(tree.at("etc/link")).unwrap();
    }
}

#[test]
fn parents_that_go_in_circles_are_an_error() {
    let tree = Tree::new();
    symlink("b", tree.at("etc/a")).unwrap();
    symlink("a", tree.at("etc/b")).unwrap();
    let error = tree.root().look(Path::new("/etc/a/file")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::LOOP.raw_os_error()));
}

#[test]
fn nothing_but_regular_files_is_opened() {
    let tree = Tree::new();
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        tree.at("etc/pipe"),
        rustix::fs::Mode::from_raw_mode(0o644),
    )
    .unwrap();
    let _listener = UnixListener::bind(tree.at("etc/socket")).unwrap();
    assert!(matches!(tree.look("/etc/pipe"), Found::Other("named pipe")));
    assert!(matches!(tree.look("/etc/socket"), Found::Other("socket")));
    assert_eq!(tree.root().read(Path::new("/etc/pipe"), 100).unwrap(), None);
    let host = Root::open(Path::new("/")).unwrap();
    assert!(matches!(
        host.look(Path::new("/dev/null")).unwrap(),
        Found::Other("character device")
    ));
}

#[test]
fn reading_is_bounded_whatever_the_size_is_said_to_be() {
    let tree = Tree::new();
    fs::write(tree.at("etc/four"), "1234").unwrap();
    assert_eq!(
        tree.root().read(Path::new("/etc/four"), 4).unwrap().as_deref(),
        Some(&b"1234"[..])
    );
    assert_eq!(tree.root().read(Path::new("/etc/four"), 3).unwrap(), None);
    let huge = fs::File::create(tree.at("etc/huge")).unwrap();
    huge.set_len(100 << 30).unwrap();
    assert_eq!(tree.root().read(Path::new("/etc/huge"), 1 << 20).unwrap(), None);
    // Says that it is empty, and is not.
    let host = Root::open(Path::new("/")).unwrap();
    assert_eq!(host.read(Path::new("/proc/self/status"), 10).unwrap(), None);
    assert!(
        host.read(Path::new("/proc/self/status"), 1 << 20)
            .unwrap()
            .is_some_and(|text| text.len() > 10)
    );
}

#[test]
fn links_of_the_kernel_itself_do_not_lead_out_either() {
    // /proc/self/root is a link to the root of the process: taken by its text, it is the root of the node.
    let host = Root::open(Path::new("/proc/self")).unwrap();
    assert!(!matches!(
        host.look(Path::new("/root/etc/passwd")).unwrap(),
        Found::File(_)
    ));
    assert_eq!(host.read(Path::new("/cwd/Cargo.toml"), 1 << 20).unwrap(), None);
}

#[test]
fn names_need_not_be_text() {
    let tree = Tree::new();
    let name = std::ffi::OsStr::from_bytes(b"etc/\xff\xfe");
    fs::write(tree.directory.path().join("root").join(name), "x").unwrap();
    symlink(std::ffi::OsStr::from_bytes(b"\xff\xfe"), tree.at("etc/link")).unwrap();
    assert_eq!(
        tree.root().read(Path::new("/etc/link"), 10).unwrap().as_deref(),
        Some(&b"x"[..])
    );
    let entries = tree.root().list(Path::new("/etc")).unwrap();
    assert_eq!(entries.len(), 2);
    assert!(matches!(entries[0].kind, EntryKind::Link(_)));
    assert_eq!(entries[1].name.as_bytes(), b"\xff\xfe");
}

#[test]
fn what_may_not_be_read_is_an_error_and_no_absence() {
    let tree = Tree::new();
    fs::write(tree.at("etc/a"), "x").unwrap();
    let long = format!("/etc/{}/a", "x".repeat(300));
    let error = tree.root().look(Path::new(&long)).unwrap_err();
    assert_eq!(
        error.raw_os_error(),
        Some(rustix::io::Errno::NAMETOOLONG.raw_os_error())
    );
    fs::set_permissions(tree.at("etc/a"), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(tree.at("etc/a")).is_ok() {
        // Root may read everything; the other half of this test is for everyone else.
        return;
    }
    assert!(tree.root().look(Path::new("/etc/a")).is_err());
}

#[test]
fn the_root_must_be_a_directory() {
    let tree = Tree::new();
    fs::write(tree.at("file"), "x").unwrap();
    assert!(Root::open(&tree.at("file")).is_err());
    assert!(Root::open(&tree.at("nothing")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    /// Whatever links a tree has, what is read was written inside it.
    #[test]
    fn nothing_outside_is_ever_read(
        links in prop::collection::vec(("(etc/)?[abc](/[abc])?", "(/|\\.\\./|\\.\\./\\.\\./|)((etc|outside|[abc]|\\.\\.)/){0,3}(secret|[abc]|\\.\\.)"), 1..6),
        path in "(/(etc|[abc])){0,3}/([abc]|secret)",
    ) {
        let tree = Tree::new();
        for (link, target) in &links {
            let at = tree.at(link);
            let parent = at.parent().unwrap();
            // Through no link made before: this test must not write outside either.
            let _ = fs::create_dir(parent);
            if fs::symlink_metadata(parent).is_ok_and(|facts| facts.is_dir()) {
                let _ = symlink(target, at);
            }
        }
        for path in [path, "/etc/secret".to_owned(), "/a/secret".to_owned()] {
            prop_assert_eq!(tree.root().read(Path::new(&path), 100).unwrap(), None);
            if let Ok(found) = tree.root().look(Path::new(&path)) {
                prop_assert!(!matches!(found, Found::File(_)));
            }
        }
    }
}
