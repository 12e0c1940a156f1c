//! Units and their drop-ins.

use serde_json::{Value, json};

use crate::{check, check_in, said};

fn unit(unit: Value) -> Value {
    let units = Value::Array(vec![unit]);
    json!({"systemd": {"units": units}})
}

const UNIT: &str = "$.systemd.units[0]";

#[test]
fn names_end_in_a_known_suffix_and_stay_in_their_directory() {
    let suffixes = "service socket device mount automount swap target path timer snapshot slice scope";
    for suffix in suffixes.split(' ') {
        assert_eq!(
            said("3.5.0", &unit(json!({"name": format!("a.{suffix}")}))),
            [""; 0],
            "{suffix}"
        );
    }
    for name in [
        "a",
        "a.conf",
        "a.Service",
        "",
        "a.service.",
        "../a.service",
        "a/b.service",
    ] {
        assert_eq!(
            said("3.5.0", &unit(json!({"name": name}))),
            [format!("{UNIT}.name: Unit")],
            "{name}"
        );
    }
    for name in ["b", "b.service", "../b.conf", ""] {
        let unit = unit(json!({"name": "a.service", "dropins": [{"name": "b.conf"}, {"name": name}]}));
        assert_eq!(
            said("3.5.0", &unit),
            [format!("{UNIT}.dropins[1].name: Unit")],
            "{name}"
        );
    }
}

#[test]
fn contents_parse() {
    let lines = r#"
        {"name": "a.service", "contents": "[Unit]\nA=1\n"}                                  =>
        {"name": "a.service", "contents": "[Unit"}                                          => .contents: Unit
        {"name": "a.service", "dropins": [{"name": "b.conf", "contents": "[Unit]\nA=1"}]}   =>
        {"name": "a.service", "dropins": [{"name": "b.conf", "contents": "[Unit]\nA"}]}     => .dropins[0].contents: Unit
    "#;
    check_in("3.5.0", UNIT, lines, unit);
}

#[test]
fn what_is_enabled_can_be_installed() {
    let lines = r#"
        {"name": "a.service", "enabled": true, "contents": "[Unit]\nA=1\n"}       => ~.contents: Unit
        {"name": "a.service", "enabled": true, "contents": "[Install]\n"}         => ~.contents: Unit
        {"name": "a.service", "enabled": true, "contents": "[Install]\nA=1"}      =>
        {"name": "a.service", "enabled": true, "contents": ""}                    =>
        {"name": "a.service", "enabled": true}                                    =>
        {"name": "a.service", "enabled": false, "contents": "[Unit]\nA=1\n"}      =>
    "#;
    check_in("3.5.0", UNIT, lines, unit);
    check(
        r#"
        {"systemd": {"units": [{"name": "a@.service", "contents": "[Unit]\nA=1"}, {"name": "a@b.service", "enabled": true}]}} => ~.systemd.units[1].contents: Unit
        {"systemd": {"units": [{"name": "a@.service", "contents": "[Unit]\nA=1"}, {"name": "b@b.service", "enabled": true}]}} =>
        {"systemd": {"units": [{"name": "a@.service", "contents": "[Unit]\nA=1"}, {"name": "a@b.service"}]}} =>
        {"systemd": {"units": [{"name": "a@.service", "contents": "[Install]\nA=1"}, {"name": "a@b.service", "enabled": true}]}} =>
        {"systemd": {"units": [{"name": "a@.service", "contents": ""}, {"name": "a@b.service", "enabled": true}]}} =>
        {"systemd": {"units": [{"name": "a@.service", "contents": "[Unit]\nA=1"}, {"name": "@b.service", "enabled": true}]}} =>
        "#,
    );
}

#[test]
fn the_syntax_is_that_of_the_references_reader() {
    let long = |n: usize| "x".repeat(n);
    let fine = [
        String::new(),
        "nothing but text".to_owned(),
        "[Unit]\r\nA=1\r\n".to_owned(),
        "# c\n; d\n[Unit]\n# c \\ \ncontinued\nA=1\\\n2\n\n[Service]\nB=\n".to_owned(),
        "[Unit]  \nA=\\".to_owned(),
        "[Unit]\n\u{a0}A = b ".to_owned(),
        "[]\n=\n".to_owned(),
        format!("[Unit]\nA={}\n", long(2000)),
        // Longer than a line may be, but not seen whole in the reader's buffer of 4 KiB.
        format!("[Unit]\n{}B={}\n", "A=1\n".repeat(750), long(2100)),
    ];
    for contents in fine {
        let unit = unit(json!({"name": "a.service", "contents": contents}));
        assert_eq!(said("3.5.0", &unit), [""; 0], "{contents:.60}");
    }
    let broken = [
        "[Unit".to_owned(),
        "[Unit] x\n".to_owned(),
        "[Unit]\nA\n".to_owned(),
        "[Unit]\nA".to_owned(),
        "[Unit]\nA\r=1\n".to_owned(),
        format!("[Unit]\nA={}\nB=1\n", long(2100)),
        format!("# {}\n", long(3000)),
    ];
    for contents in broken {
        let unit = unit(json!({"name": "a.service", "contents": contents}));
        assert_eq!(
            said("3.5.0", &unit),
            [format!("{UNIT}.contents: Unit")],
            "{contents:.60}"
        );
    }
}

#[test]
fn nothing_stands_where_a_unit_is_written() {
    let beside = |path: &str, contents: &str| {
        let dropins = json!([{"name": "b.conf", "contents": contents}]);
        let mut config = unit(json!({"name": "a.service", "contents": contents, "dropins": dropins}));
        config["storage"] = json!({"files": [{"path": path}]});
        said("3.5.0", &config)
    };
    let clash = ["$.storage.files[0].path: Duplicate"];
    assert_eq!(beside("/etc/systemd/system/a.service", "[Unit]\nA=1"), clash);
    assert_eq!(
        beside("/etc/systemd/system/a.service.d/b.conf", "[Unit]\nA=1"),
        clash
    );
    assert_eq!(beside("/etc/systemd/system/a.service.d", "[Unit]\nA=1"), [""; 0]);
    assert_eq!(beside("/etc/systemd/system/a.service", ""), [""; 0]);
}
