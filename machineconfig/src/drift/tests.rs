//! Demands and observations written as values.
#![expect(
    clippy::needless_pass_by_value,
    reason = "literals read better without a reference"
)]

use crds::MachineConfig;
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::expect::SSH_KEYS;
use super::*;
use crate::Provenance;
use crate::provenance::{Origin, Part};
use crate::style::Styles;

mod as_found;
mod reports;

const ROOT: Owner = Owner { uid: 0, gid: 0 };

fn expectation(version: &str, mut config: Value) -> Expectation {
    config["ignition"] = json!({ "version": version });
    Expectation::from_ignition("rendered-x", &config).unwrap()
}

fn spec3(config: Value) -> Expectation {
    expectation("3.2.0", config)
}

fn one_file(file: Value) -> Expectation {
    spec3(json!({"storage": {"files": [file]}}))
}

fn one_unit(unit: Value) -> Expectation {
    spec3(json!({"systemd": {"units": [unit]}}))
}

fn file(contents: &str) -> Seen {
    seen(contents, 0o644, ROOT)
}

fn seen(contents: &str, mode: u32, owner: Owner) -> Seen {
    Seen::File {
        mode,
        owner: Some(owner),
        contents: SeenContents::Bytes(contents.as_bytes().to_vec()),
    }
}

fn link(target: &str, resolved: Option<&str>) -> Seen {
    Seen::Symlink {
        target: target.to_owned(),
        resolved: resolved.map(str::to_owned),
    }
}

/// A node with these paths and a few users; whatever else is expected is missing.
fn node(expected: &Expectation, paths: &[(&str, Seen)]) -> Observed {
    let mut observed = Observed {
        paths: expected
            .paths()
            .map(|path| (path.to_owned(), Seen::Missing))
            .collect(),
        users: [("root", 0), ("core", 1000)]
            .map(|(name, number)| (name.to_owned(), number))
            .into(),
        groups: [("root", 0), ("core", 1001)]
            .map(|(name, number)| (name.to_owned(), number))
            .into(),
        ..Observed::default()
    };
    observed.paths.extend(
        paths
            .iter()
            .map(|(path, seen)| ((*path).to_owned(), seen.clone())),
    );
    observed
}

/// Every drift in short: path, kind, expected, found.
fn drift(expected: &Expectation, paths: &[(&str, Seen)]) -> Vec<String> {
    short(&compare(expected, &node(expected, paths)))
}

fn short(drift: &[Drift]) -> Vec<String> {
    drift
        .iter()
        .map(|drift| {
            format!(
                "{} {}: {}, {}",
                drift.path, drift.kind, drift.expected, drift.found
            )
        })
        .collect()
}

const NONE: [&str; 0] = [];

#[test]
fn a_file_must_be_a_regular_one_of_the_contents_the_mode_and_the_owner() {
    let expected = one_file(json!({"path": "/etc/a", "contents": {"source": "data:,x"}, "mode": 0o640}));
    let special = Seen::Other {
        what: "socket".to_owned(),
    };
    let out = Seen::LeadsOut {
        link: "/etc".to_owned(),
        target: "../../x".to_owned(),
    };
    let table: [(Seen, &[&str]); 10] = [
        (seen("x", 0o640, ROOT), &[]),
        (seen("x", 0o4640, ROOT), &["/etc/a mode: 0640, 04640"]),
        (
            seen("y", 0o600, Owner { uid: 1000, gid: 7 }),
            &[
                "/etc/a mode: 0640, 0600",
                "/etc/a owner: root:root, core:7",
                "/etc/a content: 1 byte sha256:2d711642b726, 1 byte sha256:a1fce4363854",
            ],
        ),
        (Seen::Missing, &["/etc/a missing: a regular file, nothing"]),
        (
            link("b", Some("/etc/b")),
            &["/etc/a type: a regular file, a symbolic link to b"],
        ),
        (Seen::Directory, &["/etc/a type: a regular file, a directory"]),
        (special, &["/etc/a type: a regular file, a socket"]),
        (
            out,
            &["/etc/a leads out: a regular file, /etc leads out of the root, to ../../x"],
        ),
        (
            Seen::Unreadable {
                reason: "permission denied".to_owned(),
            },
            &["/etc/a unreadable: a regular file, permission denied"],
        ),
        (
            Seen::File {
                mode: 0o640,
                owner: None,
                contents: SeenContents::Oversize { size: 1 << 40 },
            },
            &["/etc/a content: 1 byte sha256:2d711642b726, 1099511627776 bytes"],
        ),
    ];
    for (seen, expected_drift) in table {
        assert_eq!(drift(&expected, &[("/etc/a", seen)]), expected_drift);
    }
}

#[test]
fn contents_are_those_decoded_and_empty_without_any() {
    let gzip = ignition::contents::base64(&ignition::contents::gzip(b"zipped"));
    let zipped = one_file(json!({"path": "/z", "contents": {"source": gzip, "compression": "gzip"}}));
    assert_eq!(drift(&zipped, &[("/z", file("zipped"))]), NONE);
    let empty = one_file(json!({"path": "/e"}));
    assert_eq!(drift(&empty, &[("/e", file(""))]), NONE);
    assert_eq!(drift(&empty, &[("/e", file("x"))]).len(), 1);
    let digest = |text: &str| Seen::File {
        mode: 0o644,
        owner: None,
        contents: SeenContents::Digest {
            size: text.len() as u64,
            sha256: Sha256::digest(text).into(),
        },
    };
    assert_eq!(drift(&zipped, &[("/z", digest("zipped"))]), NONE);
    let found = compare(&zipped, &node(&zipped, &[("/z", digest("zapped"))]));
    assert_eq!((found.len(), found[0].diff.as_ref()), (1, Some(&Diff::TooLarge)));
}

#[test]
fn owners_are_numbers_or_names_that_the_node_knows() {
    let owned = |user: Value, group: Value| one_file(json!({"path": "/a", "user": user, "group": group}));
    let by = |uid, gid| [("/a", seen("", 0o644, Owner { uid, gid }))];
    let table: [(Value, Value, u32, u32, &[&str]); 8] = [
        (json!({"name": "core"}), json!({"name": "core"}), 1000, 1001, &[]),
        (json!({"id": 1000}), json!({"id": 1001}), 1000, 1001, &[]),
        (json!({"id": 7, "name": "core"}), json!({}), 7, 0, &[]),
        (json!({"name": ""}), json!({"name": "root"}), 0, 0, &[]),
        (
            json!({"name": "core"}),
            json!({}),
            0,
            0,
            &["/a owner: core:root, root:root"],
        ),
        (
            json!({}),
            json!({"id": 5}),
            0,
            0,
            &["/a owner: root:5, root:root"],
        ),
        (
            json!({"name": "nobody"}),
            json!({}),
            65534,
            0,
            &["/a owner: nobody:root, 65534:root"],
        ),
        (
            json!({"id": -1}),
            json!({}),
            0,
            0,
            &["/a owner: -1:root, root:root"],
        ),
    ];
    for (user, group, uid, gid, expected) in table {
        let owned = owned(user, group);
        let found = compare(&owned, &node(&owned, &by(uid, gid)));
        assert_eq!(short(&found), expected);
        assert!(found.iter().all(|drift| drift.beyond_reference));
    }
    let named = owned(json!({"name": "core"}), json!({}));
    let tableless = Observed {
        paths: node(&named, &by(5, 0)).paths,
        ..Observed::default()
    };
    assert_eq!(
        short(&compare(&named, &tableless)),
        NONE,
        "without a table a name says nothing"
    );
}

#[test]
fn what_no_node_can_hold_is_said_whatever_is_there() {
    let table = [
        (
            json!({"path": "/a", "append": [{"source": "data:,x"}]}),
            "files are only written whole",
        ),
        (
            json!({"path": "/a", "contents": {"source": "http://x/"}}),
            "source is not a data: URL (scheme \"http\")",
        ),
        (
            json!({"path": "/a", "mode": 0o4755}),
            "only permission bits up to 0777 are ever set",
        ),
        (
            json!({"path": "/a", "mode": -1}),
            "only permission bits up to 0777 are ever set",
        ),
    ];
    for (entry, found) in table {
        let expected = one_file(entry);
        let found_drift = compare(&expected, &node(&expected, &[("/a", seen("", 0o4755, ROOT))]));
        assert_eq!(found_drift.len(), 1, "{found_drift:?}");
        assert_eq!(
            (found_drift[0].kind, found_drift[0].found.as_str()),
            (DriftKind::Unsatisfiable, found)
        );
    }
}

#[test]
fn files_that_others_write_are_not_looked_at_but_in_2x_configs() {
    let paths = [
        "/etc/kubernetes/kubelet-ca.crt",
        "/etc/kubernetes/static-pod-resources/configmaps/cloud-config/ca-bundle.pem",
        "/etc/mco/internal-registry-pull-secret.json",
    ];
    let files = |root: Value| {
        let files = paths.map(|path| json!({"path": path, "filesystem": root, "mode": 420}));
        json!({"storage": {"files": files}})
    };
    assert_eq!(spec3(files(Value::Null)).paths().count(), 0);
    assert_eq!(
        expectation("2.2.0", files(json!("root")))
            .paths()
            .collect::<Vec<_>>(),
        paths
    );
}

#[test]
fn units_and_dropins_are_0644_and_empty_dropins_need_not_exist() {
    let dropins = json!([{"name": "x.conf", "contents": "x"}, {"name": "empty.conf"}]);
    let expected = one_unit(json!({"name": "a.service", "contents": "[Unit]\n", "dropins": dropins}));
    let unit = "/etc/systemd/system/a.service";
    let (x, empty) = (format!("{unit}.d/x.conf"), format!("{unit}.d/empty.conf"));
    assert_eq!(
        drift(&expected, &[(unit, file("[Unit]\n")), (&x, file("x"))]),
        NONE
    );
    assert_eq!(
        drift(
            &expected,
            &[(unit, file("[Unit]\n")), (&x, file("x")), (&empty, file(""))]
        ),
        NONE
    );
    let found = compare(
        &expected,
        &node(
            &expected,
            &[(unit, seen("[Unit]\n", 0o600, ROOT)), (&empty, file("y"))],
        ),
    );
    assert_eq!(
        short(&found),
        [
            format!("{unit} mode: 0644, 0600"),
            format!("{empty} content: 0 bytes sha256:e3b0c44298fc, 1 byte sha256:a1fce4363854"),
            format!("{x} missing: a regular file, nothing"),
        ]
    );
    assert!(
        found
            .iter()
            .all(|drift| drift.unit.as_deref() == Some("a.service") && !drift.beyond_reference)
    );
    let nothing = one_unit(json!({"name": "a.service", "enabled": true}));
    assert_eq!(nothing.paths().count(), 0);
    let spec2 = json!({"systemd": {"units": [{"name": "a.service", "dropins": [{"name": "empty.conf"}]}]}});
    let spec2 = expectation("2.2.0", spec2);
    assert_eq!(
        drift(&spec2, &[]),
        [format!("{empty} missing: a regular file, nothing")]
    );
}

#[test]
fn a_masked_unit_is_a_link_to_dev_null() {
    let unit = "/etc/systemd/system/a.service";
    let table: [(Seen, &[&str]); 6] = [
        (link("/dev/null", Some("/dev/null")), &[]),
        (link("b.service", Some("/dev/null")), &[]),
        (
            link("b.service", None),
            &["mask: a link to /dev/null, a symbolic link to b.service"],
        ),
        (file(""), &["mask: a link to /dev/null, a regular file"]),
        (Seen::Missing, &["mask: a link to /dev/null, nothing"]),
        (
            Seen::LeadsOut {
                link: unit.to_owned(),
                target: "/x".to_owned(),
            },
            &["leads out: a link to /dev/null, /etc/systemd/system/a.service leads out of the root, to /x"],
        ),
    ];
    for (contents, beyond_reference) in [(json!("[Unit]\n"), false), (Value::Null, true)] {
        let mut entry = json!({"name": "a.service", "mask": true, "enabled": true});
        if !beyond_reference {
            entry["contents"] = contents;
        }
        let expected = one_unit(entry);
        assert!(expected.units().is_empty(), "a masked unit cannot be enabled");
        for (seen, expected_drift) in &table {
            let found = compare(&expected, &node(&expected, &[(unit, seen.clone())]));
            let expected_drift: Vec<_> = expected_drift
                .iter()
                .map(|drift| format!("{unit} {drift}"))
                .collect();
            assert_eq!(short(&found), expected_drift);
            assert!(
                found
                    .iter()
                    .all(|drift| drift.beyond_reference == beyond_reference)
            );
        }
    }
}

#[test]
fn enablement_contradicts_only_where_systemd_is_sure() {
    let wrong = |enabled: bool, contents: bool| -> Vec<&str> {
        match (enabled, contents) {
            (true, true) => vec!["disabled", "masked", "masked-runtime", "not-found"],
            (true, false) => vec!["disabled", "masked", "masked-runtime"],
            (false, _) => vec!["enabled", "enabled-runtime"],
        }
    };
    let answers = [
        "enabled",
        "enabled-runtime",
        "linked",
        "alias",
        "masked",
        "masked-runtime",
        "static",
        "indirect",
        "disabled",
        "generated",
        "not-found",
        "",
    ];
    for (enabled, contents) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut entry = json!({"name": "a.service", "enabled": enabled});
        if contents {
            entry["contents"] = json!("[Unit]\n");
        }
        let expected = one_unit(entry);
        assert_eq!(expected.units(), ["a.service"]);
        for answer in answers {
            let mut observed = node(&expected, &[("/etc/systemd/system/a.service", file("[Unit]\n"))]);
            observed
                .enablement
                .insert("a.service".to_owned(), answer.to_owned());
            let found = compare(&expected, &observed);
            assert_eq!(
                !found.is_empty(),
                wrong(enabled, contents).contains(&answer),
                "{enabled} {contents} {answer}"
            );
            assert!(
                found
                    .iter()
                    .all(|drift| drift.beyond_reference == (enabled || !contents) && drift.found == answer)
            );
        }
    }
    let spec2 =
        json!({"systemd": {"units": [{"name": "a.service", "contents": "[Unit]\n", "enabled": true}]}});
    assert!(expectation("2.2.0", spec2).units().is_empty());
}

#[test]
fn ssh_keys_are_a_set_of_lines_in_a_file_of_core() {
    let users =
        |keys: Value| spec3(json!({"passwd": {"users": [{"name": "core", "sshAuthorizedKeys": keys}]}}));
    let core = Owner { uid: 1000, gid: 1001 };
    let (anna, bob) = (
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 anna",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE6 bob",
    );
    let both = users(json!([anna, bob]));
    let keys = |text: &str| seen(text, 0o600, core);
    let table: [(Seen, &[&str]); 6] = [
        (keys(&format!("{anna}\n{bob}\n")), &[]),
        (keys(&format!("# keys\n\n{bob}\n  {anna}")), &[]),
        (
            keys(anna),
            &["SSH keys: 2 keys, missing: ssh-ed25519 …aC1lZDI1NTE6 bob"],
        ),
        (
            keys(&format!("{bob}\nsecret-of-mine")),
            &[
                "SSH keys: 2 keys, missing: ssh-ed25519 …aC1lZDI1NTE5 anna; not in the config: entry sha256:f2503ac1",
            ],
        ),
        (
            seen(&format!("{anna}\n{bob}\n"), 0o644, ROOT),
            &["mode: 0600, 0644", "owner: core:core, root:root"],
        ),
        (Seen::Missing, &["missing: a regular file, nothing"]),
    ];
    for (seen, expected) in table {
        let expected: Vec<_> = expected
            .iter()
            .map(|drift| format!("{SSH_KEYS} {drift}"))
            .collect();
        let found = compare(&both, &node(&both, &[(SSH_KEYS, seen)]));
        assert_eq!(short(&found), expected);
        assert!(
            found
                .iter()
                .all(|drift| drift.beyond_reference && drift.diff.is_none())
        );
    }
    assert_eq!(drift(&users(json!([])), &[]), NONE);
    assert_eq!(drift(&users(json!([])), &[(SSH_KEYS, keys(anna))]).len(), 1);
    assert_eq!(spec3(json!({"passwd": {}})).paths().count(), 0);
    let mut no_core = node(&both, &[]);
    no_core.users.remove("core");
    assert_eq!(
        short(&compare(&both, &no_core)),
        NONE,
        "without the user nothing is written"
    );
    no_core.paths.insert(
        SSH_KEYS.to_owned(),
        keys(&format!("{anna}\n{bob}\nssh-rsa AAAA mallory")),
    );
    let found = compare(&both, &no_core);
    assert!(
        found.iter().any(|drift| drift.kind == DriftKind::SshKeys),
        "a key that was added counts although the node hides its users: {found:?}"
    );
}

#[test]
fn directories_and_links_are_there_and_of_their_type() {
    let expected = spec3(json!({"storage": {
        "directories": [{"path": "/d", "mode": 448}],
        "links": [{"path": "/l", "target": "/d/x"}, {"path": "/h", "target": "/d/x", "hard": true}],
    }}));
    let whole = [
        ("/d", Seen::Directory),
        ("/l", link("/d/x", None)),
        ("/h", file("")),
    ];
    assert_eq!(drift(&expected, &whole), NONE);
    let out = Seen::LeadsOut {
        link: "/d".to_owned(),
        target: "../..".to_owned(),
    };
    let table: [(&str, Seen, &str); 7] = [
        ("/d", Seen::Missing, "/d missing: a directory, nothing"),
        ("/d", file(""), "/d type: a directory, a regular file"),
        (
            "/d",
            link("../..", None),
            "/d type: a directory, a symbolic link to ../..",
        ),
        (
            "/d",
            out,
            "/d leads out: a directory, /d leads out of the root, to ../..",
        ),
        (
            "/l",
            link("/e", None),
            "/l link: a symbolic link to /d/x, a symbolic link to /e",
        ),
        (
            "/l",
            Seen::Directory,
            "/l type: a symbolic link to /d/x, a directory",
        ),
        ("/h", Seen::Missing, "/h missing: a regular file, nothing"),
    ];
    for (path, seen, wanted) in table {
        let mut paths = whole.to_vec();
        paths.retain(|(other, _)| *other != path);
        paths.push((path, seen));
        let found = compare(&expected, &node(&expected, &paths));
        assert_eq!(short(&found), [wanted]);
        assert!(found[0].beyond_reference);
    }
}

#[test]
fn a_config_that_cannot_be_read_is_an_error_not_a_drift() {
    let object = |spec: Value| -> MachineConfig {
        serde_json::from_value(json!({"metadata": {"name": "rendered-x"}, "spec": spec})).unwrap()
    };
    for spec in [json!({}), json!({"config": null})] {
        let error = expected(&object(spec)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "MachineConfig rendered-x has no Ignition config to verify against"
        );
    }
    let error = expected(&object(json!({"config": {"ignition": {"version": "9.9.9"}}}))).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the Ignition config of rendered-x cannot be read: "),
        "{error}"
    );
    assert!(expected(&object(json!({"config": {"ignition": {"version": "3.4.0"}}}))).is_ok());
}

#[test]
fn what_was_not_observed_is_not_compared() {
    let expected = spec3(json!({
        "storage": {"files": [{"path": "/a"}, {"path": "/b"}]},
        "systemd": {"units": [{"name": "a.service", "contents": "x", "enabled": true}]},
    }));
    assert_eq!(compare(&expected, &Observed::default()), []);
}

proptest! {
    /// A node that holds what is demanded has no drift; with one thing changed there is one, and it names the path.
    #[test]
    fn one_change_is_one_drift(
        contents in prop::collection::vec("[ab]{0,3}", 1..5),
        mode in prop::sample::select(vec![0o644, 0o600, 0o755]),
        changed in any::<prop::sample::Index>(),
        what in 0..4_u8,
    ) {
        let paths: Vec<_> = (0..contents.len()).map(|i| format!("/etc/{i}")).collect();
        let entry = |(path, text): (&String, &String)| {
            json!({"path": path, "mode": mode, "contents": {"source": format!("data:,{text}")}})
        };
        let files: Vec<_> = paths.iter().zip(&contents).map(entry).collect();
        let expected = spec3(json!({"storage": {"files": files}}));
        let mut observed = node(&expected, &[]);
        observed.paths = paths.iter().zip(&contents).map(|(path, text)| (path.clone(), seen(text, mode, ROOT))).collect();
        prop_assert_eq!(compare(&expected, &observed), []);
        let i = changed.index(paths.len());
        let other = match what {
            0 => seen(&format!("{}c", contents[i]), mode, ROOT),
            1 => seen(&contents[i], mode ^ 0o1, ROOT),
            2 => seen(&contents[i], mode, Owner { uid: 9, gid: 0 }),
            _ => Seen::Missing,
        };
        observed.paths.insert(paths[i].clone(), other);
        let found = compare(&expected, &observed);
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!(&found[0].path, &paths[i]);
    }
}
