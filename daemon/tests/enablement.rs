//! The answers about enablement, held against those of the machine's own `systemctl --root=… is-enabled`.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use daemon::host::Root;
use daemon::host::enablement::Units;
use proptest::prelude::*;

/// One thing in a root: contents or target, and path.
#[derive(Debug, Clone)]
enum Node {
    File(&'static str, String),
    Link(&'static str, String),
}

const DIRECTORIES: [&str; 3] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/lib/systemd/system",
];
const UNITS: [&str; 5] = [
    "a.service",
    "b.service",
    "t@.service",
    "t@x.service",
    "t@y.service",
];
const INSTALLS: [&str; 9] = [
    "",
    "[Unit]\n",
    "[Install]\n",
    "[Install]\nWantedBy=multi-user.target\n",
    "[Install]\nRequiredBy=multi-user.target\nWantedBy=\n",
    "[Install]\nAlias=b.service\n",
    "[Install]\nAlso=b.service\n",
    "[Install]\nDefaultInstance=x\nWantedBy=multi-user.target\n",
    "[Install]\nAlias=t@y.service %p-alias.service\n",
];

fn node() -> impl Strategy<Value = Node> {
    let directory = prop::sample::select(&DIRECTORIES[..]);
    let unit = prop::sample::select(&UNITS[..]);
    let install = prop::sample::select(&INSTALLS[..]);
    let target = prop_oneof![
        Just("/dev/null".to_owned()),
        (
            prop::sample::select(&DIRECTORIES[..]),
            prop::sample::select(&UNITS[..])
        )
            .prop_map(|(directory, unit)| format!("/{directory}/{unit}")),
        prop::sample::select(&UNITS[..]).prop_map(|unit| format!("../../../opt/{unit}")),
        prop::sample::select(&UNITS[..]).prop_map(|unit| format!("../../../usr/lib/systemd/system/{unit}")),
        prop::sample::select(&UNITS[..]).prop_map(str::to_owned),
    ];
    let file = (directory.clone(), unit.clone(), install.clone())
        .prop_map(|(directory, unit, install)| Node::File(install, format!("{directory}/{unit}")));
    let elsewhere = (unit.clone(), install.clone())
        .prop_map(|(unit, install)| Node::File(install, format!("opt/{unit}")));
    let drop_in = (directory.clone(), unit.clone(), install)
        .prop_map(|(directory, unit, install)| Node::File(install, format!("{directory}/{unit}.d/x.conf")));
    let link = (directory.clone(), unit.clone(), target.clone())
        .prop_map(|(directory, unit, target)| (format!("{directory}/{unit}"), target));
    let wants = (
        directory,
        unit,
        target,
        prop::sample::select(&["wants", "requires"][..]),
    )
        .prop_map(|(directory, unit, target, kind)| {
            (format!("{directory}/multi-user.target.{kind}/{unit}"), target)
        });
    let links = prop_oneof![link, wants].prop_map(|(path, target)| Node::Link(leak(target), path));
    prop_oneof![3 => file, 1 => elsewhere, 1 => drop_in, 4 => links]
}

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn build(root: &Path, nodes: &[Node]) {
    for directory in DIRECTORIES {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    for node in nodes {
        let (Node::File(_, path) | Node::Link(_, path)) = node;
        let at = root.join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        if fs::symlink_metadata(&at).is_ok() {
            continue;
        }
        match node {
            Node::File(text, _) => fs::write(at, text).unwrap(),
            Node::Link(target, _) => symlink(target, at).unwrap(),
        }
    }
}

/// What systemctl says; `None` where it says nothing, or where there is no systemctl.
fn systemctl(root: &Path, unit: &str) -> Option<String> {
    let output = Command::new("systemctl")
        .arg(format!("--root={}", root.display()))
        .args(["is-enabled", unit])
        .env("LC_ALL", "C")
        .output()
        .ok()?;
    let word = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("Too many levels") {
        // A link to the unit of the same name further down the search path: systemd runs it, systemctl gives up on it.
        return None;
    }
    // Before systemd 253 a unit that cannot be found, whatever the reason, is an error without a word.
    Some(if word.is_empty() && !output.status.success() {
        "not-found".to_owned()
    } else {
        word
    })
}

fn ours(root: &Path, unit: &str) -> String {
    let root = Root::open(root).unwrap();
    Units::read(&root).unwrap().state(unit).unwrap().to_string()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]
    // Passes without a look where there is no systemctl; the tables below need none.
    #[test]
    fn units_are_as_enabled_as_systemctl_says(nodes in prop::collection::vec(node(), 1..7)) {
        let directory = tempfile::tempdir().unwrap();
        build(directory.path(), &nodes);
        for unit in UNITS {
            let Some(theirs) = systemctl(directory.path(), unit) else { continue };
            prop_assert_eq!(ours(directory.path(), unit), theirs, "{}", unit);
        }
    }
}

const INSTALL: &str = "[Install]\nWantedBy=multi-user.target\n";

fn file(text: &'static str, path: &str) -> Node {
    Node::File(text, path.to_owned())
}

fn link(target: &'static str, path: &str) -> Node {
    Node::Link(target, path.to_owned())
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn every_answer_has_its_cause() {
    let table = [
        (vec![], "not-found"),
        (vec![file(INSTALL, "etc/systemd/system/a.service")], "disabled"),
        (vec![file("[Unit]\n", "etc/systemd/system/a.service")], "static"),
        (
            vec![file(
                "[Install]\nAlso=b.service\n",
                "etc/systemd/system/a.service",
            )],
            "indirect",
        ),
        (
            vec![
                file(INSTALL, "usr/lib/systemd/system/a.service"),
                link(
                    "/usr/lib/systemd/system/a.service",
                    "etc/systemd/system/multi-user.target.wants/a.service",
                ),
            ],
            "enabled",
        ),
        (
            vec![
                file(INSTALL, "usr/lib/systemd/system/a.service"),
                link(
                    "../a.service",
                    "run/systemd/system/multi-user.target.requires/a.service",
                ),
            ],
            "enabled-runtime",
        ),
        (vec![link("/dev/null", "etc/systemd/system/a.service")], "masked"),
        (
            vec![link("/dev/null", "run/systemd/system/a.service")],
            "masked-runtime",
        ),
        (
            vec![
                file(INSTALL, "usr/lib/systemd/system/b.service"),
                link(
                    "/usr/lib/systemd/system/b.service",
                    "etc/systemd/system/a.service",
                ),
            ],
            "alias",
        ),
        (
            vec![
                file(INSTALL, "opt/a.service"),
                link("/opt/a.service", "etc/systemd/system/a.service"),
            ],
            "linked",
        ),
        (
            vec![
                file(INSTALL, "opt/a.service"),
                link("/opt/a.service", "run/systemd/system/a.service"),
            ],
            "linked-runtime",
        ),
        (
            vec![
                file("[Unit]\n", "etc/systemd/system/a.service"),
                file(INSTALL, "etc/systemd/system/a.service.d/x.conf"),
            ],
            "disabled",
        ),
        (
            vec![file(INSTALL, "run/systemd/generator/a.service")],
            "generated",
        ),
        (
            vec![file(INSTALL, "run/systemd/transient/a.service")],
            "transient",
        ),
        (
            vec![
                file("[Unit]\n", "usr/lib/systemd/system/a.service"),
                link("a.service", "usr/lib/systemd/system/c.service"),
            ],
            "static",
        ),
        // Links of the tree itself that lead out are not followed.
        (
            vec![link(
                "../../../../../../../../../../usr/lib/systemd/system/dbus.service",
                "etc/systemd/system/a.service",
            )],
            "not-found",
        ),
        (
            vec![link("a.service", "etc/systemd/system/a.service")],
            "not-found",
        ),
    ];
    for (nodes, expected) in table {
        let directory = tempfile::tempdir().unwrap();
        build(directory.path(), &nodes);
        assert_eq!(ours(directory.path(), "a.service"), expected, "{nodes:?}");
    }
}

#[test]
fn templates_are_enabled_by_their_instances() {
    let directory = tempfile::tempdir().unwrap();
    let template = "[Install]\nDefaultInstance=x\nWantedBy=multi-user.target\n";
    build(
        directory.path(),
        &[
            Node::File(template, "usr/lib/systemd/system/t@.service".into()),
            Node::Link(
                "/usr/lib/systemd/system/t@.service",
                "etc/systemd/system/multi-user.target.wants/t@x.service".into(),
            ),
        ],
    );
    let answers = ["t@.service", "t@x.service", "t@y.service"].map(|unit| ours(directory.path(), unit));
    assert_eq!(answers, ["enabled", "enabled", "disabled"]);
}

#[test]
fn what_is_no_name_of_a_unit_is_bad() {
    let directory = tempfile::tempdir().unwrap();
    for name in [
        "",
        "a",
        "a.conf",
        "../a.service",
        "@.service",
        "a b.service",
        ".service",
    ] {
        assert_eq!(ours(directory.path(), name), "bad", "{name:?}");
    }
}
