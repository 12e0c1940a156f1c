use serde_json::{Value, json};

use super::*;
use crate::provenance::{Origin, Recorder};

fn rendered(name: &str, config: Value, fips: bool) -> RenderedConfig {
    let mut config = config;
    config["ignition"] = json!({ "version": "3.5.0" });
    let spec = json!({ "config": config, "fips": fips });
    let object = crds::MachineConfig::new(name, serde_json::from_value(spec).unwrap());
    RenderedConfig::from_machine_config(&object).unwrap()
}

fn refusals(old: Value, new: Value) -> Vec<Finding> {
    let pair = (rendered("old", old, false), rendered("new", new, false));
    check(&pair.0, &pair.1, &BTreeSet::new(), Origins::default())
        .err()
        .unwrap_or_default()
}

fn codes(findings: &[Finding]) -> Vec<Code> {
    findings.iter().map(|finding| finding.code).collect()
}

fn provenance(parts: &[(&str, Part)]) -> Provenance {
    let mut recorder = Recorder::default();
    for (name, part) in parts {
        recorder.next(name);
        recorder.touch(part.clone());
    }
    recorder.finish()
}

#[test]
fn every_refusal_is_told_at_once_with_its_field() {
    let old =
        json!({ "storage": { "links": [{ "path": "/l", "target": "t" }, { "path": "/m", "target": "t" }] } });
    let new = json!({
        "kernelArguments": { "shouldExist": ["a"] },
        "passwd": { "groups": [{ "name": "g" }], "users": [{ "name": "bob" }, { "name": "core", "shell": "/bin/sh" }] },
        "storage": {
            "directories": [{ "path": "/d" }],
            "disks": [{ "device": "/dev/a" }],
            "files": [{ "path": "/a", "append": [{ "source": "data:,x" }] }, { "path": FORCE_FILE }],
            "filesystems": [{ "device": "/dev/a", "format": "xfs" }],
            "links": [{ "path": "/m", "target": "t" }],
            "raid": [{ "name": "md", "level": "raid1", "devices": ["/dev/a"] }],
        },
    });
    let told: Vec<_> = refusals(old, new)
        .iter()
        .map(|finding| format!("{} {}", finding.field, finding.message))
        .collect();
    assert_eq!(
        told,
        [
            "spec.config.passwd.users the user \"bob\" is not core",
            "spec.config.passwd.users the user core has neither an SSH key nor a password hash",
            "spec.config.kernelArguments.shouldExist argument a is added",
            "spec.config.passwd.groups group g is added",
            "spec.config.storage.disks disk /dev/a is added",
            "spec.config.storage.filesystems file system on /dev/a is added",
            "spec.config.storage.raid RAID array md is added",
            "spec.config.storage.directories directory /d is added",
            "spec.config.storage.links link /l is removed",
            "spec.config.storage.files /a has append",
            "spec.config.storage.files /run/machine-config-daemon-force cannot come from a config",
        ]
    );
}

#[test]
fn what_may_change_is_accepted() {
    let luks =
        json!({ "storage": { "luks": [{ "name": "r", "device": "/dev/a" }], "files": [{ "path": "/f" }] } });
    let cases = [
        (json!({}), luks),
        (
            json!({ "storage": { "links": [{ "path": "/l", "target": "t" }] } }),
            json!({}),
        ),
        (json!({ "passwd": { "users": [] } }), json!({})),
        (
            json!({ "passwd": { "users": [{ "name": "bob" }] } }),
            json!({ "passwd": { "users": [{ "name": "bob" }] } }),
        ),
        (
            json!({}),
            json!({ "passwd": { "users": [{ "name": "core", "passwordHash": "" }] } }),
        ),
    ];
    for (old, new) in cases {
        assert_eq!(refusals(old.clone(), new.clone()), [], "{old} to {new}");
    }
}

#[test]
fn an_empty_list_is_no_absent_one() {
    let told = refusals(json!({ "passwd": { "groups": [] } }), json!({}));
    assert_eq!(codes(&told), [Code::CHANGED_GROUPS]);
    let told = refusals(
        json!({ "storage": { "directories": [{ "path": "/a" }, { "path": "/b" }] } }),
        json!({ "storage": { "directories": [{ "path": "/b" }, { "path": "/a" }] } }),
    );
    assert_eq!(told[0].message, "the list changes its order");
}

#[test]
fn only_the_last_user_entry_counts() {
    let core = |fields: Value| {
        let mut user = fields;
        user["name"] = json!("core");
        user
    };
    let told = refusals(
        json!({}),
        json!({ "passwd": { "users": [core(json!({})), core(json!({ "sshAuthorizedKeys": ["k"] }))] } }),
    );
    assert!(!codes(&told).contains(&Code::CHANGED_USER_EMPTY), "{told:?}");
    let told = refusals(
        json!({ "passwd": { "users": [core(json!({ "sshAuthorizedKeys": ["k"], "homeDir": "/x" }))] } }),
        json!({ "passwd": { "users": [core(json!({ "sshAuthorizedKeys": ["l"], "homeDir": "/x" }))] } }),
    );
    assert_eq!(codes(&told), [Code::CHANGED_USER_FIELD]);
}

#[test]
fn an_override_lets_its_own_section_change_only() {
    let old = rendered("old", json!({}), false);
    let storage = json!({ "storage": { "disks": [{ "device": "/dev/a" }], "raid": [{ "name": "m" }] } });
    let new = rendered("new", storage, false);
    let told = check(
        &old,
        &new,
        &BTreeSet::from([StorageOverride::Disks]),
        Origins::default(),
    )
    .unwrap_err();
    let codes = codes(&told);
    assert!(
        codes.contains(&Code::CHANGED_RAID) && !codes.contains(&Code::CHANGED_DISKS),
        "{told:?}"
    );
}

#[test]
fn the_machine_config_that_brought_the_change_is_named_or_the_one_that_took_it_away() {
    let directory = |path: &str| Part::Path(path.to_owned());
    let old = provenance(&[("50-old", directory("/gone")), ("10-both", directory("/kept"))]);
    let new = provenance(&[
        ("10-both", directory("/kept")),
        ("70-new", directory("/added")),
        ("90-fips", Part::Field("fips".to_owned())),
    ]);
    let before = rendered(
        "old",
        json!({ "storage": { "directories": [{ "path": "/gone" }, { "path": "/kept" }] } }),
        false,
    );
    let after = rendered(
        "new",
        json!({ "storage": { "directories": [{ "path": "/kept", "mode": 448 }, { "path": "/added" }] } }),
        true,
    );
    let origins = Origins {
        old: Some(&old),
        new: Some(&new),
    };
    let told = check(&before, &after, &BTreeSet::new(), origins).unwrap_err();
    let objects: Vec<_> = told.iter().map(|finding| finding.object.as_str()).collect();
    assert_eq!(
        objects,
        [
            "MachineConfig/50-old",
            "MachineConfig/10-both",
            "MachineConfig/70-new",
            "MachineConfig/90-fips"
        ]
    );
}

#[test]
fn of_several_that_touch_a_part_the_one_that_is_new_there_is_named() {
    let part = Part::Field("storage.disks[/dev/a]".to_owned());
    let old = provenance(&[("10-a", part.clone()), ("90-z", part.clone())]);
    let new = provenance(&[
        ("10-a", part.clone()),
        ("50-m", part.clone()),
        ("90-z", part.clone()),
    ]);
    assert_eq!(
        new.origins[&part],
        Origin {
            winner: "90-z".to_owned(),
            beaten: vec!["10-a".to_owned(), "50-m".to_owned()]
        }
    );
    let before = rendered(
        "old",
        json!({ "storage": { "disks": [{ "device": "/dev/a" }] } }),
        false,
    );
    let after = rendered(
        "new",
        json!({ "storage": { "disks": [{ "device": "/dev/a", "wipeTable": true }] } }),
        false,
    );
    let blamed = |old, new| {
        let told = check(&before, &after, &BTreeSet::new(), Origins { old, new }).unwrap_err();
        told[0].object.clone()
    };
    assert_eq!(blamed(Some(&old), Some(&new)), "MachineConfig/50-m");
    assert_eq!(blamed(Some(&new), Some(&old)), "MachineConfig/50-m");
    assert_eq!(blamed(None, Some(&new)), "MachineConfig/90-z");
    assert_eq!(blamed(None, None), "MachineConfig/new");
}
