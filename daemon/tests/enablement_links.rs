//! The links that enable and disable units, held against those that the machine's own `systemctl --root=…` makes and removes.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use daemon::host::Root;
use daemon::host::enablement::{ChangeError, LinkChange, Links, Units, Warning};
use daemon::host::preset::Presets;
use proptest::prelude::*;

const CONFIG: &str = "etc/systemd/system";
const DIRECTORIES: [&str; 3] = [CONFIG, "run/systemd/system", "usr/lib/systemd/system"];
const UNITS: [&str; 7] = [
    "a.service",
    "b.service",
    "pre-fix.socket",
    "t@.service",
    "t@x.service",
    "t@y.service",
    "u@.service",
];
/// Lines of `[Install]` sections; `UpheldBy=`, which is newer than some systemctl, has a test of its own.
const LINES: [&str; 22] = [
    "WantedBy=multi-user.target",
    "WantedBy=multi-user.target a.service",
    "WantedBy=",
    "WantedBy=w@%i.target",
    "WantedBy=multi@.target",
    "WantedBy=%N.target %j.target %p.target",
    "RequiredBy=multi-user.target \\\n  other.target",
    "RequiredBy=%n.target",
    "RequiredBy=nonsense",
    "Alias=b.service",
    "Alias=a.service c.service",
    "Alias=%p-alias.service",
    "Alias=%p-%i.service",
    "Alias=multi-user.target.wants/a.service",
    "Alias=w@.target.requires/t@x.service",
    "Alias=u@.service",
    "Alias=t@y.service v@x.service v@.service",
    "Alias=c.socket",
    "Also=b.service",
    "Also=t@x.service missing.service",
    "DefaultInstance=x",
    "DefaultInstance=%p",
];
const PRESETS: [&str; 5] = [
    "",
    "disable *\n",
    "enable a.service\ndisable b.service\n",
    "enable t@.service x y\ndisable t@*.service\n",
    "disable [ab].service\nenable *\n",
];

/// One thing in a root: path, and contents or target.
#[derive(Debug, Clone)]
enum Node {
    File(String, String),
    Link(String, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Enable,
    Disable,
    Preset,
}

fn unit() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&UNITS[..])
}

fn contents() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&LINES[..]), 0..4)
        .prop_map(|lines| format!("[Unit]\n[Install]\n{}\n", lines.join("\n")))
}

fn node() -> impl Strategy<Value = Node> {
    let directory = || prop::sample::select(&DIRECTORIES[..]);
    let target = prop_oneof![
        1 => Just("/dev/null".to_owned()),
        3 => (directory(), unit()).prop_map(|(directory, unit)| format!("/{directory}/{unit}")),
        1 => unit().prop_map(|unit| format!("/opt/{unit}")),
        1 => unit().prop_map(|unit| format!("../../../usr/lib/systemd/system/{unit}")),
        1 => unit().prop_map(str::to_owned),
    ];
    let file = (directory(), unit(), contents())
        .prop_map(|(directory, unit, text)| Node::File(format!("{directory}/{unit}"), text));
    let elsewhere = (unit(), contents()).prop_map(|(unit, text)| Node::File(format!("opt/{unit}"), text));
    let drop_in = (directory(), unit(), contents())
        .prop_map(|(directory, unit, text)| Node::File(format!("{directory}/{unit}.d/x.conf"), text));
    let link = (directory(), unit(), target.clone())
        .prop_map(|(directory, unit, target)| Node::Link(format!("{directory}/{unit}"), target));
    let below = prop::sample::select(
        &[
            "multi-user.target.wants",
            "other.target.requires",
            "w@x.target.wants",
            "odd",
        ][..],
    );
    let dependent = (directory(), below, unit(), target).prop_map(|(directory, below, unit, target)| {
        Node::Link(format!("{directory}/{below}/{unit}"), target)
    });
    prop_oneof![6 => file, 1 => elsewhere, 2 => drop_in, 2 => link, 3 => dependent]
}

fn verb() -> impl Strategy<Value = Verb> {
    prop_oneof![4 => Just(Verb::Enable), 3 => Just(Verb::Disable), 2 => Just(Verb::Preset)]
}

fn build(root: &Path, nodes: &[Node]) {
    for directory in DIRECTORIES {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    // What masks is followed by systemctl too; to it an empty file is as good.
    fs::create_dir(root.join("dev")).unwrap();
    fs::write(root.join("dev/null"), "").unwrap();
    for node in nodes {
        let (Node::File(path, _) | Node::Link(path, _)) = node;
        let at = root.join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        if fs::symlink_metadata(&at).is_ok() {
            continue;
        }
        match node {
            Node::File(_, text) => fs::write(at, text).unwrap(),
            Node::Link(_, target) => symlink(target, at).unwrap(),
        }
    }
}

fn systemctl(root: &Path, arguments: &[&str]) -> Output {
    Command::new("systemctl")
        .arg(format!("--root={}", root.display()))
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .expect("systemctl, which the package systemd brings, is there to be compared with")
}

/// What systemctl complains about as a failure; it says so of units in `Also=` too, and of those means it as a warning.
fn failures(output: &Output) -> Vec<String> {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let failures = said
        .lines()
        .filter(|line| line.starts_with("Failed to ") && !line.contains("auxiliary"));
    let mut failures: Vec<String> = failures.map(str::to_owned).collect();
    if !output.status.success() && failures.is_empty() {
        failures.push(format!("{} {said}", output.status));
    }
    failures
}

/// Every link below a directory, and what it says.
fn links(directory: &Path) -> BTreeMap<PathBuf, PathBuf> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap();
        if kind.is_symlink() {
            found.insert(path.clone(), fs::read_link(&path).unwrap());
        } else if kind.is_dir() {
            found.extend(links(&path));
        }
    }
    found
}

fn links_of(root: &Path) -> BTreeMap<PathBuf, PathBuf> {
    let below = |path: PathBuf| path.strip_prefix(root).unwrap().to_owned();
    links(&root.join(CONFIG))
        .into_iter()
        .map(|(path, target)| (below(path), target))
        .collect()
}

fn make(root: &Path, changes: &[LinkChange]) {
    for LinkChange { path, want } in changes {
        let at = root.join(path.strip_prefix("/").unwrap());
        assert!(path.starts_with("/etc/systemd/system"), "{}", path.display());
        if fs::symlink_metadata(&at).is_ok() {
            fs::remove_file(&at).unwrap();
        }
        if let Some(target) = want {
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            symlink(target, at).unwrap();
        }
    }
}

fn is_same_name_link(node: &Node) -> bool {
    match node {
        Node::File(..) => false,
        Node::Link(path, target) => {
            Path::new(path).file_name() == Path::new(target).file_name() && target.contains("systemd/system/")
        }
    }
}

/// With `--root` systemctl leaves links to links that it has removed; without, and in the words of systemctl(1), it removes them.
fn remove_what_leads_to_removed(root: &Path, changes: &[LinkChange]) {
    let removed: Vec<&Path> = changes
        .iter()
        .filter(|change| change.want.is_none())
        .map(|change| change.path.as_path())
        .collect();
    for (path, target) in links_of(root) {
        let path = Path::new("/").join(path);
        let directory = path.parent().unwrap();
        // `..` of links in directories of links leads to /etc/systemd/system, where they all are.
        let leads_to = target.strip_prefix("..").map_or_else(
            |_| directory.join(&target),
            |rest| directory.parent().unwrap().join(rest),
        );
        if removed.contains(&path.as_path()) && removed.contains(&leads_to.as_path()) {
            fs::remove_file(root.join(path.strip_prefix("/").unwrap())).unwrap();
        }
    }
}

fn change(units: &Units<'_>, presets: &Presets, verb: Verb, unit: &str) -> Result<Links, ChangeError> {
    match verb {
        Verb::Enable => units.enable(unit),
        Verb::Disable => units.disable(unit),
        Verb::Preset => units.preset(presets, unit),
    }
}

fn word(verb: Verb) -> &'static str {
    match verb {
        Verb::Enable => "enable",
        Verb::Disable => "disable",
        Verb::Preset => "preset",
    }
}

/// Whether the links are to be compared as well, after what was said: not where systemctl fails in ways that we do not.
fn compare_words(nodes: &[Node], verb: Verb, links: &Links, output: &Output) -> Result<bool, TestCaseError> {
    let failures = failures(output);
    if failures.is_empty() {
        return Ok(true);
    }
    // Of a link that leads round in circles systemctl complains, and goes on; it enables nothing.
    let circles = failures
        .iter()
        .all(|said| said.contains("refusing to operate on linked unit file"));
    if verb == Verb::Disable && !output.status.success() && !circles {
        // Where the unit cannot be read systemctl leaves its links, and we remove those of its name.
        let by_name = |warning: &Warning| matches!(warning, Warning::ByNameOnly { .. });
        prop_assert!(links.warnings.iter().any(by_name), "{failures:?} and {links:?}");
        return Ok(false);
    }
    if circles && nodes.iter().any(is_same_name_link) {
        // Of a link to the unit of the same name further down the search path systemd runs the unit, and systemctl says the same
        // as of circles, and gives up.
        return Ok(false);
    }
    let replaces = |said: &String| {
        let mut changes = links.changes.iter();
        said.contains("already exists and is a symlink to")
            && changes.any(|change| said.contains(&format!("{}\"", change.path.display())))
    };
    if failures.iter().all(replaces) {
        // An alias that leads nowhere is replaced by newer systemctl only.
        return Ok(false);
    }
    let may_fail = verb == Verb::Disable || (verb == Verb::Preset && circles);
    prop_assert!(may_fail, "{verb:?}: {failures:?} and {links:?}");
    Ok(true)
}

/// Does the same with systemctl in one root and with our links in another, and compares after each step.
fn compare(nodes: &[Node], preset: &str, steps: &[(Verb, &str)]) -> Result<(), TestCaseError> {
    let [theirs, ours] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    for root in [&theirs, &ours] {
        build(root.path(), nodes);
        let directory = root.path().join("etc/systemd/system-preset");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("50-test.preset"), preset).unwrap();
    }
    let root = Root::open(ours.path()).unwrap();
    let presets = Presets::read(&root).unwrap();
    // Read once, before anything is changed, and told of every change.
    let mut units = Units::read(&root).unwrap();
    for (verb, unit) in steps {
        let output = systemctl(theirs.path(), &[word(*verb), unit]);
        match change(&units, &presets, *verb, unit) {
            Err(error) => {
                prop_assert!(
                    !failures(&output).is_empty(),
                    "{verb:?} {unit}: {error}, which systemctl does not say"
                );
                return Ok(());
            }
            Ok(links) => {
                if !compare_words(nodes, *verb, &links, &output)? {
                    return Ok(());
                }
                remove_what_leads_to_removed(theirs.path(), &links.changes);
                make(ours.path(), &links.changes);
                units.with_links(&links.changes).unwrap();
                let (theirs, ours) = (links_of(theirs.path()), links_of(ours.path()));
                prop_assert_eq!(ours, theirs, "{:?} {}: {:?} {:?}", verb, unit, links, output);
            }
        }
    }
    let again = Units::read(&root).unwrap();
    for unit in UNITS {
        let told = units.state(unit).unwrap();
        prop_assert_eq!(told, again.state(unit).unwrap(), "{}", unit);
        let output = systemctl(theirs.path(), &["is-enabled", unit]);
        let answer = String::from_utf8(output.stdout).unwrap();
        let answer = answer.trim();
        // Without a word it has failed to read the unit, for one of many reasons.
        if !answer.is_empty() {
            prop_assert_eq!(told.as_str(), answer, "{}", unit);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn links_are_those_of_systemctl(
        nodes in prop::collection::vec(node(), 1..9),
        preset in prop::sample::select(&PRESETS[..]),
        steps in prop::collection::vec((verb(), unit()), 1..4),
    ) {
        compare(&nodes, preset, &steps)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Planned files and removals count as if they were made.
    #[test]
    fn what_is_planned_is_as_good_as_there(
        nodes in prop::collection::vec(node(), 1..9),
        planned in prop::collection::vec((unit(), any::<bool>(), prop::option::of(contents())), 1..4),
        unit in unit(),
        verb in verb(),
    ) {
        let [before, after] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        for root in [&before, &after] {
            build(root.path(), &nodes);
        }
        let roots = [&before, &after].map(|root| Root::open(root.path()).unwrap());
        let mut planning = Units::read(&roots[0]).unwrap();
        for (unit, is_drop_in, contents) in &planned {
            let path = if *is_drop_in {
                planning.with_drop_in(unit, "x.conf", contents.as_deref()).unwrap();
                format!("{CONFIG}/{unit}.d/x.conf")
            } else {
                planning.with_unit(unit, contents.as_deref()).unwrap();
                format!("{CONFIG}/{unit}")
            };
            let path = after.path().join(path);
            if fs::symlink_metadata(&path).is_ok() {
                fs::remove_file(&path).unwrap();
            }
            if let Some(text) = contents {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
        }
        let made = Units::read(&roots[1]).unwrap();
        for unit in UNITS {
            prop_assert_eq!(planning.state(unit).unwrap(), made.state(unit).unwrap(), "{}", unit);
        }
        let presets = Presets::default();
        let [planned, made] = [&planning, &made].map(|units| {
            change(units, &presets, verb, unit).map_err(|error| error.to_string())
        });
        prop_assert_eq!(planned, made);
    }
}

const INSTALL: &str = "[Install]\nWantedBy=multi-user.target\n";
const VENDOR: &str = "usr/lib/systemd/system";

fn file(path: String, text: &str) -> Node {
    Node::File(path, text.to_owned())
}

/// A root, and what a verb says there of `a.service`.
fn said(nodes: &[Node], verb: Verb, unit: &str) -> (tempfile::TempDir, Result<Links, ChangeError>) {
    let directory = tempfile::tempdir().unwrap();
    build(directory.path(), nodes);
    let root = Root::open(directory.path()).unwrap();
    let links = change(
        &Units::read(&root).unwrap(),
        &Presets::read(&root).unwrap(),
        verb,
        unit,
    );
    (directory, links)
}

fn made(path: &str, target: &str) -> LinkChange {
    LinkChange {
        path: Path::new("/etc/systemd/system").join(path),
        want: Some(target.into()),
    }
}

#[test]
fn every_section_makes_its_links() {
    let text = "[Install]\nUpheldBy=%j.target\nRequiredBy=b.target\nWantedBy=a.target\nAlias=c.service\n";
    let vendor = "/usr/lib/systemd/system/x-a.service";
    let (_directory, links) = said(
        &[file(format!("{VENDOR}/x-a.service"), text)],
        Verb::Enable,
        "x-a.service",
    );
    let links = links.unwrap();
    assert_eq!(
        links.changes,
        [
            made("c.service", vendor),
            made("a.target.wants/x-a.service", vendor),
            made("b.target.requires/x-a.service", vendor),
            made("a.target.upholds/x-a.service", vendor),
        ]
    );
    assert_eq!(links.warnings, []);
}

#[test]
fn what_cannot_be_enabled_is_told_by_its_cause() {
    let own = format!("{CONFIG}/a.service");
    let cases: [(Vec<Node>, &str, &str); 8] = [
        (vec![], "a.service", "there is no unit a.service"),
        (vec![], "a.conf", "\"a.conf\" is not the name of a unit"),
        (vec![], "a@b.mount", "\"a@b.mount\" is not the name of a unit"),
        (
            vec![Node::Link(own.clone(), "/dev/null".to_owned())],
            "a.service",
            "a.service is masked",
        ),
        (
            vec![file("run/systemd/generator/a.service".to_owned(), INSTALL)],
            "a.service",
            "a.service was made by a generator or at run time",
        ),
        (
            vec![
                file(format!("{VENDOR}/b.service"), INSTALL),
                Node::Link(own.clone(), "/usr/lib/systemd/system/b.service".to_owned()),
            ],
            "a.service",
            "a.service is a link to another unit",
        ),
        (
            vec![file(own.clone(), "[Install]\nWantedBy=%H.target\n")],
            "a.service",
            "the [Install] section of a.service says \"%H.target\", which cannot be followed",
        ),
        (
            vec![
                file(own, "[Install]\nAlias=b.service\n"),
                file(format!("{CONFIG}/b.service"), INSTALL),
            ],
            "a.service",
            "/etc/systemd/system/b.service is taken by something else",
        ),
    ];
    for (nodes, unit, expected) in cases {
        let (_directory, links) = said(&nodes, Verb::Enable, unit);
        assert_eq!(links.unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_unit_without_an_install_section_is_a_warning() {
    let node = file(format!("{CONFIG}/a.service"), "[Service]\n");
    let (_directory, links) = said(&[node], Verb::Enable, "a.service");
    let unit = "a.service".to_owned();
    let warnings = vec![Warning::NothingToInstall { unit }];
    assert_eq!(
        links.unwrap(),
        Links {
            changes: vec![],
            warnings
        }
    );
}

#[test]
fn a_replaced_unit_is_disabled_as_it_was_and_enabled_as_it_will_be() {
    let directory = tempfile::tempdir().unwrap();
    build(
        directory.path(),
        &[
            file(format!("{CONFIG}/a.service"), INSTALL),
            Node::Link(
                format!("{CONFIG}/multi-user.target.wants/a.service"),
                "/etc/systemd/system/a.service".to_owned(),
            ),
        ],
    );
    let root = Root::open(directory.path()).unwrap();
    let mut units = Units::read(&root).unwrap();
    let old = units.disable("a.service").unwrap().changes;
    units.with_links(&old).unwrap();
    units
        .with_unit("a.service", Some("[Install]\nWantedBy=other.target\n"))
        .unwrap();
    assert_eq!(units.state("a.service").unwrap().as_str(), "disabled");
    let new = units.enable("a.service").unwrap().changes;
    units.with_links(&new).unwrap();
    assert_eq!(units.state("a.service").unwrap().as_str(), "enabled");
    assert_eq!(
        [old, new].concat(),
        [
            LinkChange {
                path: "/etc/systemd/system/multi-user.target.wants/a.service".into(),
                want: None
            },
            made("other.target.wants/a.service", "/etc/systemd/system/a.service"),
        ]
    );
    assert_eq!(units.enable("a.service").unwrap().changes, []);
}

#[test]
fn links_to_links_that_are_removed_go_too() {
    let nodes = [
        file(format!("{VENDOR}/a.service"), INSTALL),
        Node::Link(
            format!("{CONFIG}/z.target.wants/c.service"),
            "../x.service".to_owned(),
        ),
        // Removed by its name. Nothing that leads to the link to it has a name that is removed, then.
        Node::Link(
            format!("{CONFIG}/a.service"),
            "/usr/lib/systemd/system/other.service".to_owned(),
        ),
        Node::Link(format!("{CONFIG}/x.service"), "a.service".to_owned()),
    ];
    let (_directory, links) = said(&nodes, Verb::Disable, "a.service");
    let mut paths: Vec<_> = links
        .unwrap()
        .changes
        .into_iter()
        .map(|change| change.path)
        .collect();
    paths.sort();
    let expected = ["a.service", "x.service", "z.target.wants/c.service"];
    assert_eq!(
        paths,
        expected.map(|path| Path::new("/etc/systemd/system").join(path))
    );
}
