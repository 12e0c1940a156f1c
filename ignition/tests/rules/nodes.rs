//! Files, directories and links.

use ignition::{Config, Kind, Severity};
use serde_json::json;

use crate::{check, check_in, file, said, stored};

#[test]
fn paths_are_absolute_and_clean() {
    for path in ["/", "/a", "/a b/ü", "/..a/b.."] {
        assert_eq!(said("3.5.0", &file(json!({"path": path}))), [""; 0], "{path}");
    }
    for path in [
        "", "a", "./a", "//a", "/a/", "/a//b", "/./a", "/a/.", "/../a", "/a/..",
    ] {
        for (list, other) in [
            ("files", json!({})),
            ("directories", json!({})),
            ("links", json!({"target": "t"})),
        ] {
            let node = stored(list, &other, json!({"path": path}));
            assert_eq!(
                said("3.5.0", &node),
                [format!("$.storage.{list}[0].path: Path")],
                "{path}"
            );
        }
    }
}

#[test]
fn modes_have_four_octal_digits_and_special_bits_do_nothing_yet() {
    let lines = r#"
        {"mode": 0}     =>
        {"mode": 511}   =>
        {"mode": 512}   => ~.mode: Mode
        {"mode": 4095}  => ~.mode: Mode
        {"mode": 4096}  => .mode: Mode
        {"mode": -1}    => .mode: Mode
    "#;
    check_in("3.5.0", "$.storage.files[0]", lines, file);
    let directory = |fields| stored("directories", &json!({"path": "/d"}), fields);
    check_in("3.4.0", "$.storage.directories[0]", lines, directory);
    check_in("3.6.0", "$.storage.files[0]", r#"{"mode": 511} =>"#, file);
}

#[test]
fn modes_beyond_0777_are_found_in_files_alone() {
    let config = Config::from_value(&json!({
        "ignition": {"version": "3.5.0"},
        "storage": {
            "directories": [{"path": "/d", "mode": 0o1777}],
            "files": [{"path": "/a", "mode": 0o777}, {"path": "/b", "mode": 0o4755}, {"path": "/c"}],
        },
    }));
    let problems = config.expect("valid").config.special_modes();
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let expected = "$.storage.files[1].mode: mode 2541 (0o4755) of \"/b\": at most 0o777 can be set, \
                    written in decimal (0644 is 420)";
    assert_eq!(lines, [expected]);
    assert_eq!(
        (problems[0].kind, problems[0].severity),
        (Kind::Mode, Severity::Error)
    );
}

#[test]
fn names_that_no_node_can_have_are_found_apart_from_validation() {
    let config = Config::from_value(&json!({
        "ignition": {"version": "3.5.0"},
        "storage": {
            "directories": [{"path": "/ok"}, {"path": "/d\0"}],
            "files": [{"path": "/"}, {"path": "/a\0b"}, {"path": "/c"}],
            "links": [{"path": "/l", "target": "t\0"}],
        },
        "systemd": {"units": [
            {"name": "a.service", "dropins": [{"name": "b\0.conf"}, {"name": "c.conf"}]},
            {"name": "a\0b.service"},
        ]},
    }));
    let problems = config.expect("valid").config.impossible_names();
    let places: Vec<_> = problems
        .iter()
        .map(|problem| (problem.path.as_str(), problem.kind))
        .collect();
    let expected = [
        ("$.storage.directories[1].path", Kind::Path),
        ("$.storage.files[0].path", Kind::Path),
        ("$.storage.files[1].path", Kind::Path),
        ("$.storage.links[0].target", Kind::Path),
        ("$.systemd.units[0].dropins[0].name", Kind::Unit),
        ("$.systemd.units[1].name", Kind::Unit),
    ];
    assert_eq!(places, expected);
    assert!(problems.iter().all(|problem| problem.severity == Severity::Error));
}

#[test]
fn files_are_overwritten_only_with_contents() {
    let lines = r#"
        {"overwrite": true}                                                            =>
        {"overwrite": true, "contents": {"source": ""}}                                =>
        {"overwrite": true, "contents": {}}                                            => .overwrite: Conflict
        {"overwrite": true, "contents": null, "append": [{"source": "data:,"}]}        => .overwrite: Conflict
        {"overwrite": true, "contents": {"source": null, "compression": "gzip"}}       => .overwrite: Conflict
        {"overwrite": false, "contents": null}                                         =>
    "#;
    check_in("3.5.0", "$.storage.files[0]", lines, file);
}

#[test]
fn an_owner_has_a_number_or_a_name() {
    let lines = r#"
        {"user": {"id": 0}, "group": {"name": "g"}}            =>
        {"user": {"id": 0, "name": "root"}}                    => .user: Conflict
        {"group": {"id": 0, "name": ""}}                       =>
        {"group": {"id": 0, "name": "g"}, "user": {"id": 1, "name": "u"}} => .group: Conflict; .user: Conflict
    "#;
    check_in("3.5.0", "$.storage.files[0]", lines, file);
}

#[test]
fn a_key_is_used_once_in_its_space() {
    check(
        r#"
        {"storage": {"files": [{"path": "/a"}, {"path": "/b"}, {"path": "/a"}]}} => .storage.files[2]: Duplicate
        {"storage": {"files": [{"path": "/a"}], "directories": [{"path": "/a"}]}} => .storage.files[0]: Duplicate
        {"storage": {"files": [{"path": "/a"}], "links": [{"path": "/a", "target": "b"}]}} => .storage.links[0]: Duplicate
        {"kernelArguments": {"shouldExist": ["a"], "shouldNotExist": ["b", "a"]}} => .kernelArguments.shouldNotExist[1]: Duplicate
        {"passwd": {"users": [{"name": "a"}, {"name": "a"}], "groups": [{"name": "a"}]}} => .passwd.users[1]: Duplicate
        {"passwd": {"users": [{"name": "a", "sshAuthorizedKeys": ["k", "k"]}]}} => .passwd.users[0].sshAuthorizedKeys[1]: Duplicate
        {"passwd": {"users": [{"name": "a", "groups": ["g", "g"]}]}} => .passwd.users[0].groups[1]: Duplicate
        {"systemd": {"units": [{"name": "a.service"}, {"name": "a.service"}]}} => .systemd.units[1]: Duplicate
        {"ignition": {"config": {"merge": [{"source": "https://a/"}, {"source": "https://a/"}]}}} => .ignition.config.merge[1]: Duplicate
        {"storage": {"disks": [{"device": "/dev/a"}, {"device": "/dev/a"}]}} => .storage.disks[1]: Duplicate
        "#,
    );
}

#[test]
fn what_is_appended_may_repeat() {
    let append = r#"{"append": [{"source": "data:,x"}, {"source": "data:,x"}]} =>"#;
    check_in("3.5.0", "$.storage.files[0]", append, file);
    check(
        r#"
        {"storage": {"filesystems": [{"device": "/dev/a", "format": "xfs", "options": ["a", "a"], "mountOptions": ["b", "b"]}]}} =>
        {"storage": {"raid": [{"name": "m", "level": "1", "devices": ["/dev/a"], "options": ["a", "a"]}]}} =>
        {"storage": {"luks": [{"name": "l", "device": "/dev/a", "options": ["a", "a"]}]}} =>
        {"storage": {"luks": [{"name": "l", "device": "/dev/a", "openOptions": ["a", "a"]}]}} => .storage.luks[0].openOptions[1]: Duplicate
        "#,
    );
}

#[test]
fn a_key_that_is_no_name_is_not_shown() {
    let twice = json!({
        "ignition": {"version": "3.5.0", "config": {"merge": [{"source": "data:,top-secret"}, {"source": "data:,top-secret"}]}},
        "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["top-secret", "top-secret"]}]},
        "storage": {"files": [{"path": "/shown"}, {"path": "/shown"}]},
    });
    let text = Config::from_value(&twice).expect_err("refused").to_string();
    assert_eq!(text.matches("is defined twice").count(), 3);
    assert!(text.contains("/shown") && !text.contains("top-secret"), "{text}");
}

#[test]
fn nothing_lies_below_a_link() {
    check(
        r#"
        {"storage": {"links": [{"path": "/l", "target": "t"}], "files": [{"path": "/la"}, {"path": "/l/a"}]}} => .storage.files[1]: Path
        {"storage": {"links": [{"path": "/l", "target": "t"}], "directories": [{"path": "/l/a/b"}]}} => .storage.directories[0]: Path
        {"storage": {"links": [{"path": "/l", "target": "t"}, {"path": "/l/m", "target": "t"}]}} => .storage.links[1]: Path
        {"storage": {"links": [{"path": "/", "target": "t"}], "files": [{"path": "/a"}]}} =>
        "#,
    );
}

#[test]
fn a_link_has_a_target_and_a_hard_one_leads_to_a_file() {
    let with_directory = |fields| {
        let mut config = stored("links", &json!({"path": "/l"}), fields);
        config["storage"]["directories"] = json!([{"path": "/d"}]);
        config
    };
    let lines = r#"
        {}                                                                           => .target: Missing
        {"target": ""}                                                               => .target: Missing
        {"target": "/d"}                                                             =>
        {"target": "/d", "hard": true}                                               => : Conflict
        {"target": "/x/../d/", "hard": true}                                         => : Conflict
        {"target": "../d", "hard": true}                                             => : Conflict
        {"target": "d", "hard": true}                                                =>
        {"target": "/f", "hard": true, "user": {"id": 1}, "group": {"name": "g"}}    => ~.user: Conflict; ~.group: Conflict
        {"target": "/f", "user": {"id": 1}}                                          =>
    "#;
    // The rule on directories belongs to the storage section, and is said before those on the links.
    check_in("3.5.0", "$.storage.links[0]", lines, with_directory);
}
