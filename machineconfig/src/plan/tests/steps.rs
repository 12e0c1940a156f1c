//! What becomes a step, with which aspects and actions.

use super::*;

#[test]
fn a_config_does_not_differ_from_itself() {
    let spec = json!({
        "osImageURL": "img", "kernelArguments": ["a"], "extensions": ["usbguard"], "fips": true, "kernelType": "realtime",
        "config": {
            "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["k"], "passwordHash": "h"}]},
            "storage": {"files": [{"path": "/etc/a"}], "luks": [{"name": "r", "device": "/dev/a"}]},
            "systemd": {"units": [{"name": "a.service", "enabled": true, "dropins": [{"name": "x.conf"}]}]},
        },
    });
    let same = config("same", spec);
    let plan = plan(&same, &same, &Policy::default(), &Facts::default());
    assert!(
        plan.is_empty()
            && plan.sections.is_empty()
            && plan.ignored.is_empty()
            && plan.same_on_disk.is_empty()
    );
    assert_eq!(plan.actions, [Action::None]);
    assert_eq!(
        (plan.verdict(), plan.disruption, plan.drain.required),
        (Verdict::NoChange, Disruption::None, false)
    );
}

/// Keys given twice do not validate, yet to stay as it is a node has nothing to refuse.
#[test]
fn a_broken_config_does_not_differ_from_itself_either() {
    let same = config(
        "same",
        json!({"config": {"passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["b", "b"]}]}}}),
    );
    assert!(plan(&same, &same, &Policy::default(), &Facts::default()).is_empty());
}

#[test]
fn files_are_added_changed_and_removed() {
    let plan = plan_of(&files(
        json!([
            {"path": "/etc/containers/policy.json", "contents": {"source": "data:,a"}},
            {"path": "/etc/crio/policies/gone", "contents": {"source": "data:,a"}, "mode": 0o600},
        ]),
        json!([
            {"path": "/etc/nmstate/openshift/x.yml", "user": {"name": "core"}},
            {"path": "/etc/containers/policy.json", "contents": {"source": "data:,b"}, "mode": 0o600, "group": {"id": 7}},
        ]),
    ));
    assert_eq!(
        short(&plan),
        [
            "~ /etc/containers/policy.json: Reload crio.service",
            "- /etc/crio/policies/gone: Reload crio.service",
            "+ /etc/nmstate/openshift/x.yml: None",
        ]
    );
    let aspects: Vec<_> = plan.steps.iter().map(phrase::aspects).collect();
    assert_eq!(
        aspects,
        [
            "content 1 byte sha256:ca978112ca1b → 1 byte sha256:3e23e8160039; mode 0644 → 0600; owner root:root → root:7",
            "content 1 byte sha256:ca978112ca1b → none; mode 0600 → none",
            "content 0 bytes sha256:e3b0c44298fc; mode 0644; owner core:root",
        ]
    );
    assert_eq!(names(&plan.actions), ["Reload crio.service"]);
    assert_eq!(
        (plan.verdict(), plan.disruption),
        (Verdict::Change, Disruption::Reload)
    );
    assert_eq!(plan.changed_files().count(), 3);
}

#[test]
fn the_same_bytes_encoded_otherwise_are_no_step() {
    let gzip = ignition::contents::base64(&ignition::contents::gzip(b"a\n"));
    let same = [
        (
            json!({"source": "data:,a%0A"}),
            json!({"source": "data:;base64,YQo="}),
        ),
        (
            json!({"source": "data:,a%0A"}),
            json!({"source": gzip, "compression": "gzip"}),
        ),
        (
            json!({"source": "data:,a%0A"}),
            json!({"source": "data:text/plain,a%0A", "compression": ""}),
        ),
    ];
    for (old, new) in same {
        let file = |contents: &Value| json!([{"path": "/etc/a", "contents": contents}]);
        let plan = plan_of(&files(file(&old), file(&new)));
        assert_eq!(short(&plan), Vec::<String>::new(), "{old} -> {new}");
        assert_eq!(
            (plan.same_on_disk.as_slice(), plan.sections.as_slice()),
            (&["/etc/a".to_owned()][..], &[Section::Files][..])
        );
        assert_eq!((plan.actions.len(), plan.verdict()), (0, Verdict::NoChange));
    }
    let spelled_out = json!([{"path": "/etc/a", "mode": 420, "user": {"id": 0}, "group": {"name": "root"}}]);
    assert_eq!(
        plan_of(&files(json!([{"path": "/etc/a"}]), spelled_out)).same_on_disk,
        ["/etc/a"]
    );
}

#[test]
fn another_mode_or_owner_alone_is_a_step() {
    let others = [
        (json!({"mode": 0o600}), "mode 0644 → 0600"),
        (json!({"user": {"id": 7}}), "owner root:root → 7:root"),
        (json!({"group": {"name": "core"}}), "owner root:root → root:core"),
    ];
    for (mut other, aspects) in others {
        other["path"] = json!("/etc/a");
        let plan = plan_of(&files(json!([{"path": "/etc/a"}]), json!([other])));
        assert_eq!(differences(&plan), [format!("~ /etc/a: {aspects}")]);
    }
}

/// `overwrite` changes nothing on a running node, yet the reference acts on it.
#[test]
fn another_overwrite_is_a_step_of_its_declaration() {
    let plan = plan_of(&files(
        json!([{"path": "/etc/containers/policy.json"}]),
        json!([{"path": "/etc/containers/policy.json", "overwrite": true}]),
    ));
    assert_eq!(
        short(&plan),
        ["~ /etc/containers/policy.json: Reload crio.service"]
    );
    assert_eq!(
        plan.steps[0].aspects,
        [Aspect::Declaration {
            fields: vec!["overwrite".to_owned()]
        }]
    );
}

#[test]
fn another_order_of_files_and_units_asks_for_nothing() {
    let sections = |files: [&str; 2], units: [&str; 2]| {
        let entry = |key: &str, name: &str| json!({ key: name });
        json!({"storage": {"files": files.map(|path| entry("path", path))},
            "systemd": {"units": units.map(|name| entry("name", name))}})
    };
    let (old, new) = (
        sections(["/a", "/b"], ["a.service", "b.service"]),
        sections(["/b", "/a"], ["b.service", "a.service"]),
    );
    let plan = plan_of(&ignition(old, new));
    assert_eq!(
        (plan.sections.len(), plan.steps.len(), plan.actions.len()),
        (2, 0, 0)
    );
    assert_eq!((plan.verdict(), plan.drain.required), (Verdict::NoChange, false));
}

/// Two entries of a unit besides its name, and the steps between them.
const UNITS: &[(&str, &str, &[&str])] = &[
    (
        r#"{"enabled":true}"#,
        r#"{"enabled":false}"#,
        &["~ unit a.service: enabled yes → no"],
    ),
    (
        "{}",
        r#"{"enabled":true}"#,
        &["~ unit a.service: enabled by preset → yes"],
    ),
    ("{}", r#"{"mask":true}"#, &["~ unit a.service: masked"]),
    (
        r#"{"mask":true}"#,
        r#"{"mask":false}"#,
        &["~ unit a.service: no longer masked"],
    ),
    (
        r#"{"mask":false}"#,
        "{}",
        &["~ unit a.service: same on disk, mask declared otherwise"],
    ),
    (
        r#"{"contents":""}"#,
        "{}",
        &["~ unit a.service: same on disk, contents declared otherwise"],
    ),
    (
        r#"{"dropins":[{"name":"x.conf"}]}"#,
        "{}",
        &["~ unit a.service: same on disk, dropins declared otherwise"],
    ),
    (
        r#"{"contents":"[Unit]\n"}"#,
        r#"{"contents":"[Unit]\n#\n"}"#,
        &["~ unit a.service: content 7 bytes sha256:ae6c63cff33b → 9 bytes sha256:0c4b6b8ee412"],
    ),
    (
        r#"{"dropins":[{"name":"x.conf","contents":"x"}]}"#,
        r#"{"dropins":[{"name":"y.conf","contents":"y"}]}"#,
        &[
            "- drop-in a.service.d/x.conf: content 1 byte sha256:2d711642b726 → none",
            "+ drop-in a.service.d/y.conf: content 1 byte sha256:a1fce4363854",
        ],
    ),
];

#[test]
fn units_and_dropins_have_steps_of_their_own() {
    let unit = |text: &str| {
        let mut unit: Value = serde_json::from_str(text).unwrap();
        unit["name"] = json!("a.service");
        json!({"systemd": {"units": [unit]}})
    };
    for (old, new, expected) in UNITS {
        let plan = plan_of(&ignition(unit(old), unit(new)));
        assert_eq!(&differences(&plan), expected);
        assert_eq!(plan.actions, [Action::Reboot]);
        assert_eq!(
            plan.changed_units().into_iter().collect::<Vec<_>>(),
            ["a.service"]
        );
    }
    let bare = plan_of(&ignition(json!({}), unit("{}")));
    assert_eq!(short(&bare), ["+ unit a.service: Reboot"]);
    let gone = unit(r#"{"enabled":true,"dropins":[{"name":"x.conf","contents":"x"}]}"#);
    let gone = plan_of(&ignition(gone, json!({})));
    assert_eq!(
        short(&gone),
        ["- unit a.service: Reboot", "- drop-in a.service.d/x.conf: Reboot"]
    );
}

/// A public key, and the one user of both sides.
const ANNA: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqtZ1PzExampleExampleExample anna@example";

/// Two entries of the user core besides its name, and the step between them.
const USERS: &[(&str, &str, &str)] = &[
    (
        "{}",
        r#"{"sshAuthorizedKeys":["ANNA"]}"#,
        "+ SSH keys of core: added ssh-ed25519 …ampleExample anna@example",
    ),
    (
        r#"{"sshAuthorizedKeys":["ANNA"]}"#,
        "{}",
        "- SSH keys of core: removed ssh-ed25519 …ampleExample anna@example",
    ),
    (
        r#"{"sshAuthorizedKeys":["a","b"]}"#,
        r#"{"sshAuthorizedKeys":["b","a"]}"#,
        "~ SSH keys of core: another order",
    ),
    (
        r#"{"passwordHash":"a"}"#,
        r#"{"passwordHash":"b"}"#,
        "~ password hash of core: set → set",
    ),
    (
        r#"{"passwordHash":"a"}"#,
        "{}",
        "- password hash of core: set → none",
    ),
    (
        r#"{"sshAuthorizedKeys":[]}"#,
        "{}",
        "~ users and groups: same on disk, users declared otherwise",
    ),
    (
        "{}",
        r#"{"shell":"/bin/sh","uid":7}"#,
        "~ users and groups: same on disk, core.shell, core.uid declared otherwise",
    ),
];

#[test]
fn accounts_have_steps_for_keys_for_the_hash_and_for_the_rest() {
    let core = |text: &str| {
        let mut user: Value = serde_json::from_str(&text.replace("ANNA", ANNA)).unwrap();
        user["name"] = json!("core");
        json!({"passwd": {"users": [user]}})
    };
    let others = [
        (json!({}), json!({"passwd": {"users": []}}), "users"),
        (core("{}"), json!({"passwd": {"users": []}}), "core"),
        (
            json!({}),
            json!({"passwd": {"groups": [{"name": "g"}]}}),
            "groups",
        ),
    ];
    let others = others.map(|(old, new, field)| {
        (
            old,
            new,
            format!("~ users and groups: same on disk, {field} declared otherwise"),
        )
    });
    let users = USERS
        .iter()
        .map(|(old, new, expected)| (core(old), core(new), (*expected).to_owned()));
    for (old, new, expected) in users.chain(others) {
        let plan = plan_of(&ignition(old, new));
        assert_eq!(differences(&plan), [expected]);
        assert_eq!(plan.actions, [Action::None]);
        assert!(
            plan.steps
                .iter()
                .all(|step| step.decided_by == Decision::SshKeyPolicy)
        );
    }
}

#[test]
fn what_is_no_public_key_is_shown_as_a_hash() {
    for (key, shown) in [
        ("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ", "ssh-rsa …ADAQABAAABgQ"),
        (
            "from=\"10.0.0.1\" ecdsa-sha2-nistp256 AAAAE2VjZHNh x y",
            "ecdsa-sha2-nistp256 …AAAAE2VjZHNh x y",
        ),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "entry sha256:03d104c6"),
        ("ssh-rsa", "entry sha256:c3024ba2"),
        ("", "entry sha256:e3b0c442"),
    ] {
        assert_eq!(accounts::short_key(key), shown);
    }
}

/// Two specs, the step between them, and the reference's summary.
const SYSTEM: &[(&str, &str, &str, &str)] = &[
    (
        r#"{"osImageURL":"a"}"#,
        r#"{"osImageURL":"b"}"#,
        "~ OS image: a → b",
        "Upgrading OS",
    ),
    (
        "{}",
        r#"{"kernelType":"realtime"}"#,
        "~ kernel type: default → realtime",
        "Changing kernel type",
    ),
    (
        r#"{"fips":false}"#,
        r#"{"fips":true}"#,
        "~ FIPS mode: false → true",
        "",
    ),
    (
        "{}",
        r#"{"extensions":["usbguard"]}"#,
        "~ extensions: added usbguard",
        "Installing extensions",
    ),
    (
        r#"{"kernelArguments":["a","b","a"]}"#,
        r#"{"kernelArguments":["c","a"]}"#,
        "~ kernel arguments: added c; removed b, a",
        "Changing kernel arguments",
    ),
    (
        r#"{"kernelArguments":["a","b"]}"#,
        r#"{"kernelArguments":["b","a"]}"#,
        "~ kernel arguments: another order",
        "Changing kernel arguments",
    ),
];

#[test]
fn the_operating_system_always_reboots() {
    let spec = |name: &str, text: &str| config(name, serde_json::from_str(text).unwrap());
    for (old, new, expected, summary) in SYSTEM {
        let plan = plan_of(&(spec("old", old), spec("new", new)));
        assert_eq!(differences(&plan), [*expected]);
        assert_eq!(
            (plan.actions.as_slice(), plan.os_changes().as_str()),
            (&[Action::Reboot][..], *summary)
        );
        assert!(plan.drain.required && plan.disruption == Disruption::Reboot);
    }
    for (old, new) in [
        (r#"{"kernelArguments":null}"#, r#"{"kernelArguments":[]}"#),
        (r#"{"kernelType":""}"#, r#"{"kernelType":"default"}"#),
    ] {
        assert!(plan_of(&(spec("old", old), spec("new", new))).is_empty());
    }
}

#[test]
fn what_a_running_node_ignores_is_named() {
    let plan = plan_of(&ignition(
        json!({"storage": {"luks": [{"name": "a", "device": "/dev/a"}], "links": [{"path": "/l", "target": "/t"}]}}),
        json!({"storage": {"luks": [{"name": "a", "device": "/dev/b"}, {"name": "b", "device": "/dev/c"}]}}),
    ));
    let ignored: Vec<_> = plan
        .ignored
        .iter()
        .map(|ignored| (ignored.section.as_str(), ignored.names.clone()))
        .collect();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        ignored,
        [
            ("storage.links", names(&["/l"])),
            ("storage.luks", names(&["a", "b"]))
        ]
    );
    assert!(plan.is_empty() && plan.actions == [Action::None]);
    let images = |image: &str| config(image, json!({"baseOSExtensionsContainerImage": image}));
    let plan = plan_of(&(images("a"), images("b")));
    assert_eq!(plan.ignored[0].section, "baseOSExtensionsContainerImage");
    assert_eq!(
        (
            plan.current_images.extensions.as_str(),
            plan.desired_images.extensions.as_str()
        ),
        ("a", "b")
    );
}

#[test]
fn a_refused_change_is_still_planned() {
    let file = json!([{"path": "/var/lib/kubelet/config.json"}]);
    let plan = plan_of(&ignition(
        json!({}),
        json!({"storage": {"files": file, "directories": [{"path": "/d"}]}}),
    ));
    assert_eq!(plan.refusals.len(), 1, "{:?}", plan.refusals);
    assert_eq!(short(&plan), ["+ /var/lib/kubelet/config.json: None"]);
    assert_eq!(plan.verdict(), Verdict::Refused);
}

#[test]
fn contents_that_no_node_can_write_are_refused_unless_they_go() {
    let remote = json!([{"path": "/etc/a", "contents": {"source": "http://example.com/a"}}]);
    let plan = plan_of(&files(json!([]), remote.clone()));
    assert_eq!(plan.refusals.len(), 1, "{:?}", plan.refusals);
    assert_eq!(plan.refusals[0].code, Code::CONTENTS_UNREADABLE);
    assert_eq!(
        plan.refusals[0].field,
        "spec.config.storage.files[/etc/a].contents"
    );
    assert!(plan_of(&files(remote, json!([]))).refusals.is_empty());
}
