//! Between spec versions: down with every reason, 2.x up as the reference does it.

use ignition::{Config, Invalid, Kind, Severity, Version};
use serde_json::{Value, json};

fn config(sections: &Value) -> Config {
    let mut value = sections.clone();
    if !value["ignition"].is_object() {
        value["ignition"] = json!({});
    }
    value["ignition"]["version"] = json!("3.5.0");
    Config::from_value(&value)
        .unwrap_or_else(|invalid| panic!("{invalid}: {value}"))
        .config
}

/// The errors of a translation as `path: kind`.
fn reasons(result: Result<String, Invalid>) -> Vec<String> {
    let problems = result.expect_err("the version cannot say it").problems;
    let errors = problems
        .into_iter()
        .filter(|problem| problem.severity == Severity::Error);
    errors
        .map(|problem| format!("{}: {:?}", problem.path, problem.kind))
        .collect()
}

/// Per line the first version that can say something, the field that says it, and a config that has it.
const FIRST: &str = r#"
    3.5.0 storage.luks[0].cex          {"storage": {"luks": [{"name": "l", "device": "/dev/a", "cex": {"enabled": true}}]}}
    3.4.0 storage.luks[0].discard      {"storage": {"luks": [{"name": "l", "device": "/dev/a", "discard": true}]}}
    3.4.0 storage.luks[0].openOptions  {"storage": {"luks": [{"name": "l", "device": "/dev/a", "openOptions": ["a"]}]}}
    3.4.0 storage.luks[0].clevis.tang[0].advertisement {"storage": {"luks": [{"name": "l", "device": "/dev/a", "clevis": {"tang": [{"url": "http://t", "thumbprint": "p", "advertisement": "{}"}]}}]}}
    3.4.0 storage.directories[0].mode  {"storage": {"directories": [{"path": "/t", "mode": 1023}]}}
    3.4.0 storage.files[0].mode        {"storage": {"files": [{"path": "/t", "mode": 2541, "contents": {"source": "data:,"}}]}}
    3.3.0 kernelArguments              {"kernelArguments": {"shouldNotExist": ["a"]}}
    3.2.0 storage.luks                 {"storage": {"luks": [{"name": "l", "device": "/dev/a"}]}}
    3.2.0 passwd.users[0].shouldExist  {"passwd": {"users": [{"name": "a", "shouldExist": false}]}}
    3.2.0 passwd.groups[0].shouldExist {"passwd": {"groups": [{"name": "a", "shouldExist": false}]}}
    3.2.0 storage.disks[0].partitions[0].resize {"storage": {"disks": [{"device": "/dev/a", "partitions": [{"number": 1, "resize": true}]}]}}
    3.1.0 ignition.proxy               {"ignition": {"proxy": {"noProxy": ["a"]}}}
    3.1.0 ignition.config.merge[0].compression {"ignition": {"config": {"merge": [{"source": "https://a/", "compression": ""}]}}}
    3.1.0 ignition.config.replace.httpHeaders {"ignition": {"config": {"replace": {"source": "https://a/", "httpHeaders": [{"name": "A"}]}}}}
    3.1.0 storage.files[0].append[0].httpHeaders {"storage": {"files": [{"path": "/a", "append": [{"source": "https://a/", "httpHeaders": [{"name": "A"}]}]}]}}
    3.1.0 storage.filesystems[0].mountOptions {"storage": {"filesystems": [{"device": "/dev/a", "format": "xfs", "mountOptions": ["ro"]}]}}
    3.1.0 storage.disks[0].partitions[0].startMiB {"storage": {"disks": [{"device": "/dev/a", "partitions": [{"number": 1, "startMiB": 1}]}]}}
    3.1.0 storage.disks[0].partitions[0].sizeMiB {"storage": {"disks": [{"device": "/dev/a", "partitions": [{"number": 1, "sizeMiB": 0}]}]}}
    3.1.0 storage.disks[0].partitions[0].shouldExist {"storage": {"disks": [{"device": "/dev/a", "partitions": [{"number": 1, "shouldExist": false}]}]}}
    3.1.0 storage.disks[0].partitions[0].wipePartitionEntry {"storage": {"disks": [{"device": "/dev/a", "partitions": [{"number": 1, "wipePartitionEntry": true}]}]}}
"#;

#[test]
fn what_a_version_cannot_say_is_refused_with_its_field() {
    for line in FIRST.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut parts = line.splitn(3, ' ');
        let [first, path, sections] = [(); 3].map(|()| parts.next().expect("three parts").trim());
        let config = config(&serde_json::from_str(sections).expect("JSON"));
        for version in Version::ALL
            .into_iter()
            .filter(|version| *version != Version::V3_0)
        {
            let result = config.encode(version);
            if version.as_str() >= first {
                assert!(result.is_ok(), "{version} can say {sections}: {result:?}");
                continue;
            }
            let problems = result.expect_err("too old").problems;
            // A list that is not known as a whole hides what is in it.
            assert!(
                problems.iter().any(|p| format!("$.{path}").starts_with(&p.path)),
                "{version}: {problems:?}"
            );
            for problem in problems {
                assert_eq!(
                    (problem.kind, problem.severity),
                    (Kind::Untranslatable, Severity::Error)
                );
                assert!(
                    problem
                        .message
                        .starts_with(&format!("version {version} cannot say ")),
                    "{problem}"
                );
            }
        }
    }
}

#[test]
fn every_reason_is_given() {
    let config = config(&json!({
        "kernelArguments": {"shouldExist": ["a"]},
        "storage": {"files": [{"path": "/a", "mode": 0o4755}], "luks": [{"name": "l", "device": "/dev/a", "discard": true, "cex": {"enabled": true}}]},
    }));
    assert_eq!(
        reasons(config.encode(Version::V3_2)),
        [
            "$.kernelArguments: Untranslatable",
            "$.storage.files[0].mode: Untranslatable",
            "$.storage.luks[0].cex: Untranslatable",
            "$.storage.luks[0].discard: Untranslatable",
        ]
    );
    assert_eq!(
        reasons(config.encode(Version::V3_0)),
        ["$.ignition.version: Untranslatable"]
    );
}

#[test]
fn what_a_version_means_anyway_is_left_out() {
    let config = config(&json!({
        "kernelArguments": {"shouldExist": []},
        "passwd": {"users": [{"name": "a", "shouldExist": true}], "groups": [{"name": "g", "shouldExist": true}]},
        "storage": {"disks": [{"device": "/dev/a", "partitions": [{"number": 1, "resize": false, "shouldExist": true, "wipePartitionEntry": false}]}]},
    }));
    let body = r#"{"ignition":{"version":"3.1.0"},"passwd":{"groups":[{"name":"g"}],"users":[{"name":"a"}]},"storage":{"disks":[{"device":"/dev/a","partitions":[{"number":1,"shouldExist":true,"wipePartitionEntry":false}]}]}}"#;
    assert_eq!(config.encode(Version::V3_1).as_deref(), Ok(body));
    let body = r#"{"ignition":{"version":"2.2.0"},"passwd":{"groups":[{"name":"g"}],"users":[{"name":"a"}]},"storage":{"disks":[{"device":"/dev/a","partitions":[{"number":1}]}]}}"#;
    assert_eq!(config.encode(Version::V2_2).as_deref(), Ok(body));
    let luks = json!({"storage": {"luks": [{"name": "l", "device": "/dev/a", "discard": false, "openOptions": [], "cex": {"enabled": false}}]}});
    let body = r#"{"ignition":{"version":"3.3.0"},"storage":{"luks":[{"device":"/dev/a","name":"l"}]}}"#;
    assert_eq!(self::config(&luks).encode(Version::V3_3).as_deref(), Ok(body));
}

#[test]
fn the_result_is_valid_at_its_version() {
    let source = |source: &str| {
        config(&json!({"storage": {"files": [{"path": "/a", "contents": {"source": source}}]}}))
    };
    let gs = source("gs://b/k");
    assert!(gs.encode(Version::V3_2).is_ok());
    for version in [Version::V3_1, Version::V2_2] {
        assert_eq!(
            reasons(gs.encode(version)),
            ["$.storage.files[0].contents.source: Url"]
        );
    }
    let arn = source("arn:aws:s3:::b/k");
    assert!(arn.encode(Version::V3_4).is_ok());
    assert_eq!(
        reasons(arn.encode(Version::V3_3)),
        ["$.storage.files[0].contents.source: Url"]
    );
    let none = config(&json!({"storage": {"filesystems": [{"device": "/dev/a", "format": "none"}]}}));
    assert!(none.encode(Version::V3_3).is_ok());
    assert_eq!(
        reasons(none.encode(Version::V3_2)),
        ["$.storage.filesystems[0].format: Value"]
    );
    let hash = format!("sha256-{}", "0".repeat(64));
    let hashed = config(
        &json!({"storage": {"files": [{"path": "/a", "contents": {"source": "data:,x", "verification": {"hash": hash}}}]}}),
    );
    assert!(hashed.encode(Version::V3_1).is_ok());
    let hash = "$.storage.files[0].contents.verification.hash: Hash";
    assert_eq!(reasons(hashed.encode(Version::V2_2)), [hash]);
}

#[test]
fn a_broken_config_is_written_at_no_version() {
    let broken =
        json!({"ignition": {"version": "3.5.0"}, "storage": {"files": [{"path": "/a"}, {"path": "/a"}]}});
    let config = Config::from_value_unvalidated(&broken)
        .expect("its types are right")
        .config;
    for version in Version::ALL
        .into_iter()
        .filter(|version| *version != Version::V3_0)
    {
        assert_eq!(
            reasons(config.encode(version)),
            ["$.storage.files[1]: Duplicate"],
            "{version}"
        );
    }
}

#[test]
fn nodes_of_2_2_stand_on_the_file_system_above_them_by_path_components() {
    let config = config(&json!({"storage": {
        "filesystems": [
            {"device": "/dev/a", "format": "xfs", "path": "/var"},
            {"device": "/dev/b", "format": "xfs", "path": "/var/lib"},
            {"device": "/dev/c", "format": "xfs"},
        ],
        "files": [{"path": "/var/lib/x", "contents": {"source": "data:,"}}, {"path": "/varx", "contents": {"source": "data:,"}}],
        "directories": [{"path": "/var/libx"}, {"path": "/var"}],
        "links": [{"path": "/etc/l", "target": "t", "hard": false}],
    }}));
    let body: Value =
        serde_json::from_str(&config.encode(Version::V2_2).expect("2.2 can say it")).expect("JSON");
    let nodes = |list: &str| -> Vec<(String, String)> {
        let nodes = body["storage"][list].as_array().expect("a list").iter();
        nodes
            .map(|node| {
                (
                    node["filesystem"].as_str().expect("text").to_owned(),
                    node["path"].as_str().expect("text").to_owned(),
                )
            })
            .collect()
    };
    let pair = |filesystem: &str, path: &str| (filesystem.to_owned(), path.to_owned());
    assert_eq!(nodes("files"), [pair("/var/lib", "/x"), pair("root", "/varx")]);
    assert_eq!(
        nodes("directories"),
        [pair("/var", "/libx"), pair("root", "/var")]
    );
    assert_eq!(nodes("links"), [pair("root", "/etc/l")]);
    let names: Vec<&str> = body["storage"]["filesystems"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|f| f["name"].as_str())
        .collect();
    assert_eq!(names, ["/var", "/var/lib", "1"]);
}

/// Reads a 2.x config and gives it as 3.5.0.
fn up(version: &str, sections: &Value) -> Result<String, Vec<String>> {
    let mut value = sections.clone();
    if !value["ignition"].is_object() {
        value["ignition"] = json!({});
    }
    value["ignition"]["version"] = json!(version);
    match Config::from_value(&value) {
        Ok(parsed) => {
            assert_eq!(parsed.declared, version);
            Ok(parsed
                .config
                .to_json()
                .replace(r#"{"ignition":{"version":"3.5.0"},"#, "{"))
        }
        Err(invalid) => {
            let errors = invalid
                .problems
                .into_iter()
                .filter(|problem| problem.severity == Severity::Error);
            Err(errors
                .map(|problem| format!("{}: {:?}", problem.path, problem.kind))
                .collect())
        }
    }
}

fn old_file(fields: &Value) -> Value {
    let mut file =
        json!({"filesystem": "root", "path": "/a", "mode": 420, "contents": {"source": "data:,x"}});
    file.as_object_mut()
        .expect("an object")
        .extend(fields.as_object().expect("an object").clone());
    json!({"storage": {"files": [file]}})
}

#[test]
fn files_of_2_x_are_overwritten_appended_to_or_empty() {
    for (fields, file) in [
        (
            json!({}),
            r#"{"overwrite":true,"path":"/a","contents":{"source":"data:,x"},"mode":420}"#,
        ),
        (
            json!({"overwrite": false}),
            r#"{"overwrite":false,"path":"/a","contents":{"source":"data:,x"},"mode":420}"#,
        ),
        (
            json!({"append": true}),
            r#"{"overwrite":false,"path":"/a","append":[{"source":"data:,x"}],"mode":420}"#,
        ),
        (
            json!({"contents": null}),
            r#"{"overwrite":true,"path":"/a","contents":{"source":""},"mode":420}"#,
        ),
        (
            json!({"path": "//b/./c/../d/", "user": {}, "group": {"name": "g"}}),
            r#"{"group":{"name":"g"},"overwrite":true,"path":"/b/d","contents":{"source":"data:,x"},"mode":420}"#,
        ),
        (
            json!({"filesystem": "other"}),
            r#"{"overwrite":true,"path":"/a","contents":{"source":"data:,x"},"mode":420}"#,
        ),
        (
            json!({"contents": {"source": "data:,x", "compression": "gzip", "verification": {}}}),
            r#"{"overwrite":true,"path":"/a","contents":{"compression":"gzip","source":"data:,x"},"mode":420}"#,
        ),
    ] {
        assert_eq!(
            up("2.2.0", &old_file(&fields)),
            Ok(format!(r#"{{"storage":{{"files":[{file}]}}}}"#)),
            "{fields}"
        );
    }
    let text =
        r#"{"storage":{"files":[{"overwrite":true,"path":"/a","contents":{"source":"data:,x"},"mode":0}]}}"#;
    assert_eq!(
        up("2.1.0", &old_file(&json!({"mode": null}))),
        Ok(text.to_owned())
    );
    let text = r#"{"storage":{"files":[{"group":{"id":0},"overwrite":true,"path":"/a","user":{"id":3},"contents":{"source":"data:,x"},"mode":420}]}}"#;
    assert_eq!(
        up("2.0.0", &old_file(&json!({"user": {"id": 3}}))),
        Ok(text.to_owned())
    );
}

#[test]
fn of_what_is_there_twice_in_2_x_the_last_stays() {
    let twice = json!({
        "storage": {"files": [
            {"filesystem": "root", "path": "/a", "mode": 1, "contents": {"source": "data:,1"}},
            {"filesystem": "root", "path": "/b", "mode": 1},
            {"filesystem": "root", "path": "/a", "mode": 2, "contents": {"source": "data:,2"}},
        ]},
        "systemd": {"units": [
            {"name": "a.service", "enable": true, "contents": "[Unit]\n", "dropins": [{"name": "1.conf", "contents": "[A]\n"}, {"name": "2.conf"}]},
            {"name": "b.service"},
            {"name": "a.service", "mask": true, "dropins": [{"name": "2.conf", "contents": "[B]\n"}]},
        ]},
        "passwd": {"users": [
            {"name": "core", "passwordHash": "x", "sshAuthorizedKeys": ["a", "b"]},
            {"name": "core", "sshAuthorizedKeys": ["c", "a", "c"]},
        ]},
    });
    assert_eq!(
        up("2.2.0", &twice),
        Ok(concat!(
            r#"{"passwd":{"users":[{"name":"core","sshAuthorizedKeys":["c","a","b"]}]},"#,
            r#""storage":{"files":[{"overwrite":true,"path":"/a","contents":{"source":"data:,2"},"mode":2},"#,
            r#"{"overwrite":true,"path":"/b","contents":{"source":""},"mode":1}]},"#,
            r#""systemd":{"units":[{"dropins":[{"contents":"[B]\n","name":"2.conf"},{"contents":"[A]\n","name":"1.conf"}],"mask":true,"name":"a.service"},{"name":"b.service"}]}}"#
        )
        .to_owned())
    );
}

#[test]
fn an_explicit_enabled_false_wins_over_enable() {
    for (fields, expected) in [
        (json!({"enable": true}), r#""enabled":true,"#),
        (json!({"enable": true, "enabled": false}), r#""enabled":false,"#),
        (json!({"enable": false, "enabled": true}), r#""enabled":true,"#),
        (json!({"enable": false}), ""),
    ] {
        let mut unit = json!({"name": "a.service", "mask": false, "contents": ""});
        unit.as_object_mut()
            .expect("an object")
            .extend(fields.as_object().expect("an object").clone());
        let text = format!(r#"{{"systemd":{{"units":[{{{expected}"name":"a.service"}}]}}}}"#);
        assert_eq!(
            up("2.2.0", &json!({"systemd": {"units": [unit]}})),
            Ok(text),
            "{fields}"
        );
    }
}

#[test]
fn the_rest_of_2_x_is_carried_over() {
    let all = json!({
        "ignition": {
            "config": {"append": [{"source": "https://a/"}], "replace": {"source": "https://b/"}},
            "security": {"tls": {"certificateAuthorities": [{"source": "https://c/"}]}},
            "timeouts": {"httpTotal": 0},
        },
        "passwd": {"groups": [{"name": "g", "gid": 0, "system": true}]},
        "storage": {
            "directories": [{"filesystem": "root", "path": "/d", "mode": 493, "overwrite": true}],
            "links": [{"filesystem": "root", "path": "/l", "target": "/t", "hard": true}],
            "disks": [{"device": "/dev/a", "wipeTable": true}],
            "raid": [{"name": "m", "level": "raid1", "devices": ["/dev/b"], "spares": 1, "options": ["o"]}],
            "filesystems": [{"name": "root", "path": "/sysroot"}],
        },
    });
    assert_eq!(
        up("2.2.0", &all),
        Ok(concat!(
            r#"{"ignition":{"config":{"merge":[{"source":"https://a/"}],"replace":{"source":"https://b/"}},"#,
            r#""security":{"tls":{"certificateAuthorities":[{"source":"https://c/"}]}},"timeouts":{"httpTotal":0},"version":"3.5.0"},"#,
            r#""passwd":{"groups":[{"gid":0,"name":"g","system":true}]},"#,
            r#""storage":{"directories":[{"overwrite":true,"path":"/d","mode":493}],"disks":[{"device":"/dev/a","wipeTable":true}],"#,
            r#""links":[{"path":"/l","hard":true,"target":"/t"}],"#,
            r#""raid":[{"devices":["/dev/b"],"level":"raid1","name":"m","options":["o"],"spares":1}]}}"#
        )
        .to_owned())
    );
}

/// Per line a 2.2.0 config and where it is refused.
const REFUSED: &str = r#"
    {"networkd": {"units": [{"name": "a.network"}]}} => $.networkd: Deprecated
    {"passwd": {"users": [{"name": "core"}, {"name": "bob"}]}} => $.passwd.users[1].name: User
    {"passwd": {"users": [{"name": "core", "create": {}, "uid": 1}]}} => $.passwd.users[0].uid: Conflict
    {"storage": {"filesystems": [{"name": "x", "path": "/x"}]}} => $.storage.filesystems[0].name: Deprecated
    {"storage": {"filesystems": [{"name": "root"}]}} => $.storage.filesystems[0]: Missing
    {"storage": {"filesystems": [{"name": "root", "path": "/", "mount": {"device": "/dev/a", "format": "xfs"}}]}} => $.storage.filesystems[0]: Conflict
    {"storage": {"filesystems": [{"name": "root", "mount": {"device": "a", "format": "none"}}]}} => $.storage.filesystems[0].mount.format: Value; $.storage.filesystems[0].mount.device: Path
    {"storage": {"disks": [{"device": "/dev/a", "partitions": [{"number": 1}]}]}} => $.storage.disks[0].partitions: Deprecated
    {"storage": {"disks": [{}]}} => $.storage.disks[0].device: Missing
    {"storage": {"raid": [{"name": "m", "level": "x", "devices": ["a"]}]}} => $.storage.raid[0].level: Value; $.storage.raid[0].devices[0]: Path
    {"storage": {"files": [{"filesystem": "root", "path": "a", "mode": 420}]}} => $.storage.files[0].path: Path
    {"storage": {"files": [{"path": "/a", "mode": 420}]}} => $.storage.files[0].filesystem: Missing
    {"storage": {"files": [{"filesystem": "root", "path": "/a", "mode": 4096}]}} => $.storage.files[0].mode: Mode
    {"storage": {"files": [{"filesystem": "root", "path": "/a", "append": true, "overwrite": true}]}} => $.storage.files[0].append: Conflict
    {"storage": {"files": [{"filesystem": "root", "path": "/a", "contents": {"source": "gs://a/b"}}]}} => $.storage.files[0].contents.source: Url
    {"storage": {"files": [{"filesystem": "root", "path": "/a", "contents": {"compression": "xz"}}]}} => $.storage.files[0].contents.compression: Compression
    {"storage": {"links": [{"filesystem": "root", "path": "/l"}]}} => $.storage.links[0].target: Missing
    {"systemd": {"units": [{"name": "a.conf"}, {"name": "b.service", "contents": "[x"}]}} => $.systemd.units[0].name: Unit; $.systemd.units[1].contents: Unit
    {"systemd": {"units": [{"name": "a.service", "dropins": [{"name": "b.conf"}, {"name": "b.conf"}]}]}} => $.systemd.units[0].dropins[1]: Duplicate
    {"ignition": {"config": {"replace": {"source": "x"}}}} => $.ignition.config.replace.source: Url
"#;

#[test]
fn what_2_x_says_and_3_x_cannot_is_refused_where_it_stands() {
    for line in REFUSED.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (sections, expected) = line.split_once("=>").expect("an arrow");
        let expected: Vec<&str> = expected.split(';').map(str::trim).collect();
        let refused = up("2.2.0", &serde_json::from_str(sections).expect("JSON")).expect_err("refused");
        assert_eq!(refused, expected, "{sections}");
    }
    // Files come out in reverse order, yet an error names the place where the file was written.
    let file = |path: &str| json!({"filesystem": "root", "path": path, "mode": 1});
    let clash = json!({"storage": {
        "files": [file("/l/x"), file("/b"), file("/c")],
        "links": [{"filesystem": "root", "path": "/l", "target": "t"}],
    }});
    assert_eq!(
        up("2.2.0", &clash).expect_err("refused"),
        ["$.storage.files[0]: Path"]
    );
}

#[test]
fn each_2_x_knows_its_own_fields() {
    let links = json!({"storage": {"links": [{"filesystem": "root", "path": "/l", "target": "t"}]}});
    assert_eq!(
        up("2.0.0", &links),
        Ok(r#"{"ignition":{"version":"3.5.0"}}"#.to_owned())
    );
    assert!(up("2.1.0", &links).expect("2.1 knows links").contains("links"));
    let file = old_file(&json!({"overwrite": false}));
    assert!(
        up("2.1.0", &file)
            .expect("ignored")
            .contains(r#""overwrite":true"#)
    );
    let s3 = old_file(&json!({"contents": {"source": "s3://b/k"}}));
    assert!(up("2.1.0", &s3).is_ok());
    assert_eq!(
        up("2.0.0", &s3).expect_err("refused"),
        ["$.storage.files[0].contents.source: Url"]
    );
}
