//! Merging, rule by rule (`Ignition spec 3.5`, merging).

use ignition::{Config, Merger};
use serde_json::{Value, json};

/// A config of these sections, which need not be valid.
fn config(sections: &str) -> Config {
    let mut value: Value =
        serde_json::from_str(sections).unwrap_or_else(|error| panic!("{error}: {sections}"));
    if !value["ignition"].is_object() {
        value["ignition"] = json!({});
    }
    value["ignition"]["version"] = json!("3.5.0");
    Config::from_value_unvalidated(&value)
        .unwrap_or_else(|invalid| panic!("{invalid}: {value}"))
        .config
}

/// Merges the config on the second line over that on the first, and compares with that on the third.
fn check(lines: &str) {
    let lines: Vec<&str> = lines
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let [parent, child, expected] = lines[..] else {
        panic!("three lines are needed: {lines:?}")
    };
    let merged = config(parent).merge(&config(child));
    assert_eq!(
        merged,
        config(expected),
        "{parent} <- {child}:\n{}",
        merged.value()
    );
}

#[test]
fn a_value_that_is_set_wins_and_one_that_is_not_is_inherited() {
    check(
        r#"
        {"storage": {"files": [{"path": "/a", "mode": 420, "user": {"name": "u"}, "contents": {"source": "data:,1", "compression": "gzip"}}]}}
        {"storage": {"files": [{"path": "/a", "overwrite": false, "user": {"id": 1}, "contents": {"source": "data:,2"}}]}}
        {"storage": {"files": [{"path": "/a", "mode": 420, "overwrite": false, "user": {"id": 1, "name": "u"}, "contents": {"source": "data:,2", "compression": "gzip"}}]}}
        "#,
    );
    check(
        r#"
        {"ignition": {"timeouts": {"httpTotal": 1}}}
        {"ignition": {"timeouts": {"httpTotal": 0, "httpResponseHeaders": 2}}}
        {"ignition": {"timeouts": {"httpTotal": 0, "httpResponseHeaders": 2}}}
        "#,
    );
}

#[test]
fn entries_of_one_key_meet_in_the_parents_place_and_new_ones_follow() {
    check(
        r#"
        {"systemd": {"units": [{"name": "a.service", "enabled": true}, {"name": "b.service", "contents": "x"}]}}
        {"systemd": {"units": [{"name": "c.service"}, {"name": "b.service", "mask": true}, {"name": "d.service"}]}}
        {"systemd": {"units": [{"name": "a.service", "enabled": true}, {"name": "b.service", "contents": "x", "mask": true}, {"name": "c.service"}, {"name": "d.service"}]}}
        "#,
    );
    check(
        r#"
        {"systemd": {"units": [{"name": "a.service", "dropins": [{"name": "1.conf", "contents": "1"}, {"name": "2.conf"}]}]}}
        {"systemd": {"units": [{"name": "a.service", "dropins": [{"name": "0.conf"}, {"name": "1.conf", "contents": "one"}]}]}}
        {"systemd": {"units": [{"name": "a.service", "dropins": [{"name": "1.conf", "contents": "one"}, {"name": "2.conf"}, {"name": "0.conf"}]}]}}
        "#,
    );
}

#[test]
fn each_list_has_its_own_key() {
    check(
        r#"
        {"storage": {"filesystems": [{"device": "/dev/a", "path": "/x"}]}}
        {"storage": {"filesystems": [{"device": "/dev/a", "path": "/y"}, {"device": "/dev/b", "path": "/y"}]}}
        {"storage": {"filesystems": [{"device": "/dev/a", "path": "/y"}, {"device": "/dev/b", "path": "/y"}]}}
        "#,
    );
    check(
        r#"
        {"storage": {"disks": [{"device": "/dev/a", "partitions": [{"number": 1, "label": "a"}, {"label": "b"}]}]}}
        {"storage": {"disks": [{"device": "/dev/a", "partitions": [{"label": "b", "sizeMiB": 1}, {"number": 1, "label": "c"}, {"number": 2}]}]}}
        {"storage": {"disks": [{"device": "/dev/a", "partitions": [{"number": 1, "label": "c"}, {"label": "b", "sizeMiB": 1}, {"number": 2}]}]}}
        "#,
    );
    check(
        r#"
        {"ignition": {"config": {"merge": [{"source": "https://a/"}, {}]}}}
        {"ignition": {"config": {"merge": [{"compression": "gzip"}, {"source": "https://b/"}]}}}
        {"ignition": {"config": {"merge": [{"source": "https://a/"}, {"compression": "gzip"}, {"source": "https://b/"}]}}}
        "#,
    );
    check(
        r#"
        {"storage": {"luks": [{"name": "l", "clevis": {"tpm2": true, "tang": [{"url": "http://a", "thumbprint": "1"}]}}]}}
        {"storage": {"luks": [{"name": "l", "clevis": {"tang": [{"url": "http://b"}, {"url": "http://a", "thumbprint": "2"}]}}]}}
        {"storage": {"luks": [{"name": "l", "clevis": {"tpm2": true, "tang": [{"url": "http://a", "thumbprint": "2"}, {"url": "http://b"}]}}]}}
        "#,
    );
}

#[test]
fn strings_are_united() {
    check(
        r#"
        {"passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["a", "b"], "groups": ["x"]}]}}
        {"passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["c", "a"]}]}}
        {"passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["a", "b", "c"], "groups": ["x"]}]}}
        "#,
    );
    check(
        r#"
        {"storage": {"luks": [{"name": "l", "openOptions": ["a"], "options": ["a"]}]}}
        {"storage": {"luks": [{"name": "l", "openOptions": ["b", "a"], "options": ["a"]}]}}
        {"storage": {"luks": [{"name": "l", "openOptions": ["a", "b"], "options": ["a", "a"]}]}}
        "#,
    );
}

#[test]
fn what_is_appended_is_never_matched() {
    check(
        r#"
        {"storage": {"files": [{"path": "/a", "append": [{"source": "data:,1"}]}]}}
        {"storage": {"files": [{"path": "/a", "append": [{"source": "data:,2"}, {"source": "data:,1"}]}]}}
        {"storage": {"files": [{"path": "/a", "append": [{"source": "data:,1"}, {"source": "data:,2"}, {"source": "data:,1"}]}]}}
        "#,
    );
    check(
        r#"
        {"storage": {"filesystems": [{"device": "/dev/a", "options": ["a"], "mountOptions": ["a"]}], "raid": [{"name": "m", "options": ["a"], "devices": ["a"]}]}}
        {"storage": {"filesystems": [{"device": "/dev/a", "options": ["a"], "mountOptions": ["a"]}], "raid": [{"name": "m", "options": ["a"], "devices": ["a"]}]}}
        {"storage": {"filesystems": [{"device": "/dev/a", "options": ["a", "a"], "mountOptions": ["a", "a"]}], "raid": [{"name": "m", "options": ["a", "a"], "devices": ["a"]}]}}
        "#,
    );
}

#[test]
fn a_key_of_a_sibling_list_displaces() {
    check(
        r#"
        {"storage": {"files": [{"path": "/a"}, {"path": "/b"}], "directories": [{"path": "/c", "mode": 1}], "links": [{"path": "/d"}]}}
        {"storage": {"files": [{"path": "/c"}], "directories": [{"path": "/d"}], "links": [{"path": "/a", "target": "t"}]}}
        {"storage": {"files": [{"path": "/b"}, {"path": "/c"}], "directories": [{"path": "/d"}], "links": [{"path": "/a", "target": "t"}]}}
        "#,
    );
    check(
        r#"
        {"kernelArguments": {"shouldExist": ["a", "b"], "shouldNotExist": ["c"]}}
        {"kernelArguments": {"shouldExist": ["c"], "shouldNotExist": ["a"]}}
        {"kernelArguments": {"shouldExist": ["b", "c"], "shouldNotExist": ["a"]}}
        "#,
    );
}

#[test]
fn a_header_without_a_value_deletes() {
    check(
        r#"
        {"storage": {"files": [{"path": "/a", "contents": {"httpHeaders": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}}]}}
        {"storage": {"files": [{"path": "/a", "contents": {"httpHeaders": [{"name": "A"}, {"name": "C"}, {"name": "B", "value": "3"}]}}]}}
        {"storage": {"files": [{"path": "/a", "contents": {"httpHeaders": [{"name": "B", "value": "3"}, {"name": "C"}]}}]}}
        "#,
    );
}

#[test]
fn an_empty_list_stays_until_it_meets_another() {
    for lines in [
        r#"
        {"passwd": {"groups": []}}
        {}
        {"passwd": {"groups": []}}
        "#,
        r#"
        {}
        {"passwd": {"groups": []}}
        {"passwd": {"groups": []}}
        "#,
        r#"
        {"passwd": {"groups": []}}
        {"passwd": {"groups": []}}
        {}
        "#,
        r#"
        {"passwd": {"groups": []}}
        {"passwd": {"users": [{"name": "a"}]}}
        {"passwd": {"users": [{"name": "a"}]}}
        "#,
        // A list that loses its last entry is empty, not absent.
        r#"
        {"storage": {"files": [{"path": "/a"}]}}
        {"storage": {"links": [{"path": "/a"}]}}
        {"storage": {"files": [], "links": [{"path": "/a"}]}}
        "#,
    ] {
        check(lines);
    }
}

#[test]
fn an_entry_may_move_between_lists_again_and_again() {
    let file = config(r#"{"storage": {"files": [{"path": "/a", "mode": 1}]}}"#);
    let link = config(r#"{"storage": {"links": [{"path": "/a", "target": "t"}]}}"#);
    let mut merger = Merger::new(file.clone());
    for _ in 0..3 {
        merger.add(link.clone());
        merger.add(file.clone());
    }
    merger.add(link);
    merger.add(config(r#"{"storage": {"files": [{"path": "/b"}]}}"#));
    let expected = r#"{"storage": {"files": [{"path": "/b"}], "links": [{"path": "/a", "target": "t"}]}}"#;
    assert_eq!(merger.finish(), config(expected));
}

#[test]
fn of_keys_that_are_there_twice_the_childs_last_meets_every_one_of_the_parents() {
    check(
        r#"
        {"storage": {"files": [{"path": "/a", "mode": 1}, {"path": "/a", "mode": 2}]}}
        {"storage": {"files": [{"path": "/a", "mode": 3}, {"path": "/a", "overwrite": true}]}}
        {"storage": {"files": [{"path": "/a", "mode": 1, "overwrite": true}, {"path": "/a", "mode": 2, "overwrite": true}]}}
        "#,
    );
    check(
        r#"
        {"kernelArguments": {"shouldExist": ["a", "a"], "shouldNotExist": ["a"]}}
        {"kernelArguments": {"shouldNotExist": ["a"]}}
        {"kernelArguments": {"shouldExist": [], "shouldNotExist": ["a"]}}
        "#,
    );
}

#[test]
fn machine_configs_override_compression_too() {
    let packed = r#"{"storage": {"files": [{"path": "/a", "contents": {"source": "data:,1", "compression": "gzip"}}]}}"#;
    let plain = r#"{"storage": {"files": [{"path": "/a", "contents": {"source": "data:,2"}}]}}"#;
    let explicit =
        r#"{"storage": {"files": [{"path": "/a", "contents": {"source": "data:,2", "compression": ""}}]}}"#;
    let mode = r#"{"storage": {"files": [{"path": "/a", "mode": 1}]}}"#;
    let both = r#"{"storage": {"files": [{"path": "/a", "mode": 1, "contents": {"source": "data:,1"}}]}}"#;
    for (parent, child, expected) in [
        (packed, plain, plain),
        (plain, packed, packed),
        (packed, explicit, plain),
        (explicit, mode, &both.replace("data:,1", "data:,2")),
        // What says nothing of contents says nothing of compression either, and so undoes it.
        (packed, mode, both),
    ] {
        let mut merger = Merger::new(config(parent));
        merger.add_overriding(config(child));
        assert_eq!(merger.finish(), config(expected), "{parent} <- {child}");
    }
    // One alone is not merged, so that what it says stays.
    assert_eq!(Merger::new(config(explicit)).finish(), config(explicit));
}

#[test]
fn files_are_overwritten_unless_they_say() {
    let merged = config(
        r#"{"storage": {"files": [{"path": "/a"}, {"path": "/b", "overwrite": false}], "links": [{"path": "/c"}]}}"#,
    );
    let expected = r#"{"storage": {"files": [{"path": "/a", "overwrite": true}, {"path": "/b", "overwrite": false}], "links": [{"path": "/c"}]}}"#;
    assert_eq!(Merger::new(merged).finish_rendered(), config(expected));
}
