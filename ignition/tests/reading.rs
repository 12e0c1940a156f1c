//! Reading a config: versions, types, spelling, and what is written of it.

use ignition::{Config, Invalid, Kind, Severity};
use serde_json::{Value, json};

/// The errors of a config as `path: kind`.
fn errors(result: Result<ignition::Parsed, Invalid>) -> Vec<String> {
    let problems = result.expect_err("the config is refused").problems;
    let errors = problems
        .into_iter()
        .filter(|problem| problem.severity == Severity::Error);
    errors
        .map(|problem| format!("{}: {:?}", problem.path, problem.kind))
        .collect()
}

/// A config of version 3.5.0 with these sections.
fn config(sections: Value) -> Value {
    let Value::Object(mut map) = sections else {
        panic!("sections are an object")
    };
    map.entry("ignition").or_insert_with(|| json!({}))["version"] = json!("3.5.0");
    Value::Object(map)
}

fn written(sections: Value) -> String {
    Config::from_value(&config(sections))
        .expect("the config is valid")
        .config
        .to_json()
}

#[test]
fn a_version_that_is_not_read_is_named_with_those_that_are() {
    for (version, state) in [
        (json!("3.7.0"), "\"3.7.0\", which is not known"),
        (json!("2.3.0"), "\"2.3.0\", which is not known"),
        (json!("1.0.0"), "\"1.0.0\", which is not known"),
        (json!("3.5.1"), "\"3.5.1\", which is not known"),
        (
            json!("3.5.0-experimental"),
            "\"3.5.0-experimental\", which is not known",
        ),
        (json!("3.5"), "\"3.5\", which is not a version of three parts"),
        (
            json!(" 3.5.0"),
            "\" 3.5.0\", which is not a version of three parts",
        ),
        (json!(""), "empty"),
        (json!(null), "missing"),
    ] {
        let invalid = Config::from_value(&json!({"ignition": {"version": version}})).expect_err("refused");
        let [problem] = &invalid.problems[..] else {
            panic!("one problem")
        };
        assert_eq!(
            (problem.path.as_str(), problem.kind),
            ("$.ignition.version", Kind::Version),
            "{version}"
        );
        let expected = format!("the Ignition version is {state}: write one of 2.0.0, ");
        assert!(problem.message.starts_with(&expected), "{}", problem.message);
        assert!(problem.message.ends_with("3.5.0, 3.6.0"), "{}", problem.message);
    }
    for missing in [
        json!(null),
        json!({}),
        json!({"ignition": {}}),
        json!({"ignition": null}),
        json!({"ignition": 3}),
    ] {
        assert_eq!(
            errors(Config::from_value(&missing)),
            ["$.ignition.version: Version"],
            "{missing}"
        );
    }
    assert_eq!(
        errors(Config::from_value(&json!({"ignition": {"version": 3}}))),
        ["$.ignition.version: Type"]
    );
    assert_eq!(errors(Config::from_value(&json!("x"))), ["$: Type"]);
}

#[test]
fn text_that_is_no_config_is_refused_with_line_and_column() {
    for empty in ["", " \n\t"] {
        assert_eq!(errors(Config::parse(empty.as_bytes())), ["$: Syntax"]);
    }
    let invalid = Config::parse(b"{\n  \"ignition\": }").expect_err("refused");
    assert_eq!(
        invalid.to_string(),
        "$: not JSON: expected value at line 2 column 15"
    );
    assert_eq!(errors(Config::parse(b"\xff{}")), ["$: Syntax"]);
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    assert_eq!(errors(Config::parse(deep.as_bytes())), ["$: Syntax"]);
}

#[test]
fn every_value_of_the_wrong_type_is_reported() {
    let parsed = Config::from_value(&config(json!({
        "kernelArguments": {"shouldExist": "quiet", "shouldNotExist": [1, "a"]},
        "passwd": [],
        "storage": {"files": [{"path": 7, "mode": "0644"}, "x", {"path": "/a", "mode": 1.5, "overwrite": "yes"}]},
        "systemd": {"units": {}},
    })));
    let problems = parsed.expect_err("refused").problems;
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "$.kernelArguments.shouldExist: a list of strings is needed, not a string",
            "$.kernelArguments.shouldNotExist[0]: a string is needed, not a number",
            "$.passwd: an object is needed, not a list",
            "$.storage.files[0].mode: a whole number is needed, not a string: \
             write it without quotes, and a mode in decimal (0644 is 420)",
            "$.storage.files[0].path: a string is needed, not a number",
            "$.storage.files[1]: an object is needed, not a string",
            "$.storage.files[2].mode: 1.5 is not a whole number",
            "$.storage.files[2].overwrite: a boolean is needed, not a string: write true or false without quotes",
            "$.systemd.units: a list of objects is needed, not an object",
        ]
    );
}

#[test]
fn whole_numbers_have_64_bits() {
    let id = |id: &str| {
        let user = format!(
            r#"{{"ignition":{{"version":"3.5.0"}},"passwd":{{"users":[{{"name":"a","uid":{id}}}]}}}}"#
        );
        Config::parse(user.as_bytes())
    };
    for fine in ["0", "4294967295", "9223372036854775807", "-9223372036854775808"] {
        let text = id(fine).expect("in range").config.to_json();
        assert!(text.contains(&format!("\"uid\":{fine}")), "{text}");
    }
    for wrong in [
        "9223372036854775808",
        "18446744073709551616",
        "1e3",
        "1.0",
        "-9223372036854775809",
    ] {
        assert_eq!(errors(id(wrong)), ["$.passwd.users[0].uid: Type"], "{wrong}");
    }
}

#[test]
fn keys_are_read_in_any_letter_case_and_the_exact_one_wins() {
    let sections =
        json!({"STORAGE": {"Files": [{"PATH": "/b", "path": "/a", "Contents": {"source": "data:,x"}}]}});
    let parsed = Config::from_value(&config(sections)).expect("valid");
    let files = r#""storage":{"files":[{"path":"/a","contents":{"source":"data:,x"}}]}}"#;
    assert!(
        parsed.config.to_json().ends_with(files),
        "{}",
        parsed.config.to_json()
    );
    let warnings: Vec<String> = parsed.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["$.storage.files[0].PATH: ignored in favour of \"path\""]
    );
    let version = Config::from_value(&json!({"Ignition": {"VERSION": "3.2.0"}})).expect("valid");
    assert_eq!(
        (version.declared.as_str(), version.config),
        ("3.2.0", Config::empty())
    );
}

#[test]
fn unknown_and_newer_keys_are_dropped_with_a_warning() {
    let old = json!({
        "ignition": {"version": "3.2.0", "future": {"deep": [1]}},
        "kernelArguments": {"shouldExist": ["a"]},
        "storage": {"luks": [{"name": "l", "device": "/dev/a", "discard": true}]},
    });
    let parsed = Config::from_value(&old).expect("valid");
    let warnings: Vec<String> = parsed.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "$.ignition.future: no version knows this key of the ignition section: ignored",
            "$.kernelArguments: known only from version 3.3.0 on, ignored: the config declares 3.2.0",
            "$.storage.luks[0].discard: known only from version 3.4.0 on, ignored: the config declares 3.2.0",
        ]
    );
    assert_eq!(
        parsed.config.to_json(),
        r#"{"ignition":{"version":"3.5.0"},"storage":{"luks":[{"device":"/dev/a","name":"l"}]}}"#
    );
}

#[test]
fn null_is_absence_and_in_a_list_an_empty_entry() {
    let sections = json!({
        "passwd": null,
        "storage": {"files": [{"path": "/a", "mode": null, "contents": null, "append": null}]},
        "kernelArguments": {"shouldExist": [null, "a"]},
    });
    let text = r#"{"ignition":{"version":"3.5.0"},"kernelArguments":{"shouldExist":["","a"]},"storage":{"files":[{"path":"/a"}]}}"#;
    assert_eq!(written(sections), text);
    let hole = Config::from_value(&config(json!({"storage": {"files": [null]}})));
    assert_eq!(errors(hole), ["$.storage.files[0].path: Path"]);
}

#[test]
fn of_a_key_that_is_there_twice_the_last_counts() {
    let text = br#"{"ignition":{"version":"3.5.0"},"kernelArguments":{"shouldExist":["a"]},"kernelArguments":{"shouldExist":["b"]}}"#;
    let config = Config::parse(text).expect("valid").config;
    assert_eq!(
        config.typed().kernel_arguments.and_then(|k| k.should_exist),
        Some(vec!["b".to_owned()])
    );
}

#[test]
fn what_says_nothing_is_left_out_and_what_must_be_there_is_written() {
    assert_eq!(written(json!({})), r#"{"ignition":{"version":"3.5.0"}}"#);
    let sections = json!({
        "passwd": {"users": [], "groups": []},
        "storage": {"files": [{"path": "/a", "append": [{}], "contents": {"verification": {}}, "user": {}}], "links": []},
        "systemd": {"units": [{"name": "a.service", "contents": "", "enabled": false, "dropins": []}]},
        "ignition": {"timeouts": {"httpTotal": 0}, "proxy": {}, "config": {"replace": {}}},
    });
    assert_eq!(
        written(sections),
        r#"{"ignition":{"timeouts":{"httpTotal":0},"version":"3.5.0"},"storage":{"files":[{"path":"/a","append":[{}]}]},"systemd":{"units":[{"contents":"","enabled":false,"name":"a.service"}]}}"#
    );
    // A user needs no name to be read; it is written as an empty one.
    assert!(written(json!({"passwd": {"users": [{}]}})).ends_with(r#""passwd":{"users":[{"name":""}]}}"#));
}

#[test]
fn an_empty_list_is_not_an_absent_one() {
    let parsed = |groups: Value| {
        Config::from_value(&config(json!({"passwd": groups})))
            .expect("valid")
            .config
    };
    let (empty, absent) = (parsed(json!({"groups": []})), parsed(json!({})));
    assert_ne!(empty, absent);
    assert_eq!(empty.to_json(), absent.to_json());
    let mut dropped = empty.clone();
    dropped.drop_empty();
    assert_eq!(dropped, absent);
}

#[test]
fn strings_are_escaped_as_the_reference_escapes_them() {
    let argument = "<a> & \"b\" \\ \u{8}\u{c}\n\r\t\u{1f}\u{7f}\u{2028}\u{2029}\u{2027}é€😀";
    let text = written(json!({"kernelArguments": {"shouldExist": [argument]}}));
    let escaped = "\\u003ca\\u003e \\u0026 \\\"b\\\" \\\\ \\u0008\\u000c\\n\\r\\t\\u001f\u{7f}\\u2028\\u2029\u{2027}é€😀";
    assert_eq!(
        text,
        format!(r#"{{"ignition":{{"version":"3.5.0"}},"kernelArguments":{{"shouldExist":["{escaped}"]}}}}"#)
    );
    let back: Value = serde_json::from_str(&text).expect("what is written is JSON");
    assert_eq!(back["kernelArguments"]["shouldExist"][0], argument);
}

#[test]
fn a_broken_config_can_be_read_without_validation() {
    let broken = config(json!({"storage": {"files": [{"path": "a", "overwrite": true}, {"path": "a"}]}}));
    assert_eq!(
        Config::from_value(&broken).expect_err("refused").problems.len(),
        4
    );
    let config = Config::from_value_unvalidated(&broken)
        .expect("its types are right")
        .config;
    let problems: Vec<String> = config
        .validate()
        .iter()
        .map(|p| format!("{}: {:?}", p.path, p.kind))
        .collect();
    assert_eq!(
        problems,
        [
            "$.storage.files[1]: Duplicate",
            "$.storage.files[0].path: Path",
            "$.storage.files[0].overwrite: Conflict",
            "$.storage.files[1].path: Path",
        ]
    );
}

#[test]
fn version_3_6_is_read_when_3_5_can_say_it() {
    let at = |sections: Value| {
        let mut value = config(sections);
        value["ignition"]["version"] = json!("3.6.0");
        Config::from_value(&value)
    };
    let file = |mode: i64| json!({"storage": {"files": [{"path": "/a", "mode": mode, "contents": {"source": "data:,x"}}]}});
    let parsed = at(file(0o644)).expect("valid");
    assert_eq!(parsed.declared, "3.6.0");
    assert!(
        parsed
            .config
            .to_json()
            .starts_with(r#"{"ignition":{"version":"3.5.0"}"#)
    );
    assert_eq!(
        errors(at(file(0o4755))),
        ["$.storage.files[0].mode: Untranslatable"]
    );
    assert_eq!(
        errors(at(
            json!({"storage": {"directories": [{"path": "/t", "mode": 0o1777}]}})
        )),
        ["$.storage.directories[0].mode: Untranslatable"]
    );
    let luks = json!({"storage": {"luks": [{"name": "l", "device": "/dev/a", "clevis": {"custom": {"pin": "zz", "config": "c"}}}]}});
    assert_eq!(
        errors(at(luks.clone())),
        ["$.storage.luks[0].clevis.custom.pin: Untranslatable"]
    );
    assert_eq!(
        errors(Config::from_value(&config(luks))),
        ["$.storage.luks[0].clevis.custom.pin: Value"]
    );
}
