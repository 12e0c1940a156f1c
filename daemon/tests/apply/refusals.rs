//! What keeps a change from being made is told, with a code, before anything is touched.

use std::fs;
use std::os::unix::fs::{chown, symlink};

use daemon::converge::Ending;
use machineconfig::Code;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::node::{Root, config, difference};
use crate::{begin, file, files};

/// The codes that applying `wanted` gives, with the proof that nothing was touched.
pub(crate) fn refused(root: &Root, wanted: &crds::MachineConfig) -> Vec<Code> {
    let before = root.tree();
    let codes = match root.apply(wanted) {
        Ok(report) => {
            assert_eq!(report.ending, Ending::Refused, "{report:?}");
            report.errors.iter().map(|finding| finding.code).collect()
        }
        Err(findings) => findings.iter().map(|finding| finding.code).collect(),
    };
    assert_eq!(
        difference(&before, &root.tree()),
        Vec::<String>::new(),
        "something was touched"
    );
    codes
}

#[test]
fn targets_that_no_file_can_take_the_place_of() {
    let root = Root::new();
    begin(&root);
    fs::create_dir_all(root.path("/etc/taken")).unwrap();
    root.write("/etc/plain", "a file");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.path("/etc/pipe"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    symlink("../../../..", root.path("/etc/out")).unwrap();
    root.link("/etc/dangling", "nowhere");
    root.link("/home/core/link", "/etc");
    std::os::unix::fs::lchown(root.path("/home/core/link"), Some(1000), Some(1000)).unwrap();
    let cases = [
        ("/etc/taken", Code::TARGET_TYPE),
        ("/etc/pipe", Code::TARGET_TYPE),
        ("/etc/plain/below", Code::PARENT_TYPE),
        ("/etc/dangling/below", Code::PARENT_TYPE),
        ("/etc/out/below", Code::TARGET_LEADS_OUT),
        ("/home/core/link/below", Code::TARGET_LEADS_OUT),
    ];
    for (path, code) in cases {
        assert_eq!(
            refused(
                &root,
                &files("rendered-a", &[file(path, "x"), file("/etc/fine", "x")])
            ),
            [code],
            "{path}"
        );
    }
    let all: Vec<_> = cases.iter().map(|(path, _)| file(path, "x")).collect();
    assert_eq!(
        refused(&root, &files("rendered-a", &all)).len(),
        cases.len(),
        "not every reason was told"
    );
}

#[test]
fn owners_whom_the_node_does_not_know() {
    let root = Root::new();
    begin(&root);
    let wanted = config(
        "rendered-a",
        json!({"ignition": {"version": "3.4.0"}, "storage": {"files": [{"path": "/etc/a", "user": {"name": "nobody-knows"}, "contents": {"source": "data:,"}}]}}),
    );
    assert_eq!(refused(&root, &wanted), [Code::UNKNOWN_OWNER]);
}

#[test]
fn changes_of_the_operating_system() {
    let root = Root::new();
    begin(&root);
    let mut wanted = files("rendered-a", &[file("/etc/a", "x")]);
    wanted.spec.kernel_arguments = Some(vec!["quiet".to_owned()]);
    assert_eq!(refused(&root, &wanted), [Code::OS_CHANGE]);
}

#[test]
fn records_that_are_damaged_or_of_another_node_or_time() {
    let root = Root::new();
    begin(&root);
    let wanted = files("rendered-a", &[file("/etc/a", "x")]);
    let journal = "/var/lib/machine-config/journal";
    let line = |text: &str| {
        let digest = Sha256::digest(text.as_bytes());
        let sum = digest[..8]
            .iter()
            .fold(String::new(), |sum, byte| format!("{sum}{byte:02x}"));
        format!("{sum} {text}\n")
    };
    let history = fs::read_dir(root.path("/var/lib/machine-config/history"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let whole = fs::read_to_string(history).unwrap();
    let first = whole.lines().next().unwrap();
    let foreign = line(&first.split_once(' ').unwrap().1.replace(
        "0123456789abcdef0123456789abcdef",
        "fedcba9876543210fedcba9876543210",
    ));
    let cases = [
        (String::new(), Code::JOURNAL_DAMAGED),
        ("garbage".to_owned(), Code::JOURNAL_DAMAGED),
        (first[..first.len() / 2].to_owned(), Code::JOURNAL_DAMAGED),
        (
            format!("{first}\n").replace("rendered-first", "rendered-other"),
            Code::JOURNAL_DAMAGED,
        ),
        (line(r#"{"version":99,"whatever":true}"#), Code::JOURNAL_NEWER),
        (foreign, Code::JOURNAL_FOREIGN),
    ];
    for (text, code) in cases {
        root.write(journal, &text);
        assert_eq!(refused(&root, &wanted), [code], "{text:.60}");
        assert_eq!(root.read(journal), text, "the evidence was changed");
    }
    fs::remove_file(root.path(journal)).unwrap();
    for text in ["", "{", "[]", "{\"spec\":{}}"] {
        root.write("/etc/machine-config-daemon/currentconfig", text);
        assert_eq!(refused(&root, &wanted), [Code::CURRENT_UNREADABLE], "{text:?}");
    }
}

#[test]
fn a_directory_that_is_no_root_of_a_node() {
    let empty = tempfile::tempdir().unwrap();
    let code = |path: &std::path::Path| daemon::node::Node::open(path).unwrap_err().code;
    assert_eq!(code(empty.path()), Code::NO_NODE);
    assert_eq!(code(&empty.path().join("absent")), Code::NODE_UNREADABLE);
}

#[test]
fn a_file_that_is_marked_immutable() {
    let root = Root::new();
    begin(&root);
    root.write("/etc/a", "old");
    let path = root.path("/etc/a");
    let mark = |flag: &str| {
        std::process::Command::new("chattr")
            .arg(flag)
            .arg(&path)
            .status()
            .unwrap()
            .success()
    };
    assert!(
        mark("+i"),
        "this test needs a file system with attributes, and root"
    );
    let codes = refused(
        &root,
        &files("rendered-a", &[file("/etc/a", "new"), file("/etc/b", "new")]),
    );
    assert!(mark("-i"));
    assert_eq!(codes, [Code::TARGET_IMMUTABLE]);
}

#[test]
fn two_writers_at_a_time() {
    let root = Root::new();
    let node = root.node();
    let _lock = node.lock("apply rendered-a").unwrap();
    let finding = node.lock("another").unwrap_err();
    assert_eq!(finding.code, Code::LOCKED);
    assert!(
        finding.message.contains("apply rendered-a")
            && finding.message.contains(&std::process::id().to_string()),
        "{}",
        finding.message
    );
}

#[test]
fn a_home_that_its_user_has_turned_into_a_link_is_not_followed() {
    let root = Root::new();
    begin(&root);
    root.link("/home/core/.ssh", "/etc");
    std::os::unix::fs::lchown(root.path("/home/core/.ssh"), Some(1000), Some(1000)).unwrap();
    chown(root.path("/home/core"), Some(1000), Some(1000)).unwrap();
    let wanted = config(
        "rendered-a",
        json!({"ignition": {"version": "3.4.0"}, "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 AAAA"]}]}}),
    );
    assert_eq!(refused(&root, &wanted), [Code::TARGET_LEADS_OUT]);
}
