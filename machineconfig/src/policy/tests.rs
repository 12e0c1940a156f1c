use crds::machine_configuration::NodeDisruptionPolicyConfig;
use proptest::prelude::*;
use serde_json::json;

use super::{Policy, check, clean};
use crate::finding::Severity;

fn user(value: serde_json::Value) -> NodeDisruptionPolicyConfig {
    serde_json::from_value(value).unwrap()
}

fn with_paths(paths: &[&str]) -> Policy {
    let files: Vec<_> = paths
        .iter()
        .map(|path| json!({"path": path, "actions": [{"type": "None"}]}))
        .collect();
    Policy::merge_unchecked(&user(json!({ "files": files })))
}

#[test]
fn the_defaults_are_the_references_in_its_order() {
    let paths: Vec<_> = Policy::default()
        .files
        .into_iter()
        .map(|entry| entry.path)
        .collect();
    assert_eq!(
        paths,
        [
            "/var/lib/kubelet/config.json",
            "/etc/machine-config-daemon/no-reboot/containers-gpg.pub",
            "/etc/containers/policy.json",
            "/etc/containers/registries.conf",
            "/etc/containers/registries.d",
            "/etc/crio/policies",
            "/etc/nmstate/openshift",
            "/etc/pki/ca-trust/source/anchors/openshift-config-user-ca-bundle.crt",
            "/etc/kubernetes/credential-providers",
            "/etc/systemd/system/kubelet.service.d/40-kubelet-crio-image-credential-provider.conf",
            "/etc/iri-registry",
            "/usr/local/bin/load-registry-image.sh",
            "/etc/pki/ca-trust/source/anchors/iri-root-ca.crt",
        ]
    );
}

#[test]
fn the_longest_entry_at_or_above_a_path_wins() {
    let policy = with_paths(&["/opt", "/opt/a", "/opt/a/b", "/opt/a/b/c.conf"]);
    let cases = [
        ("/opt", Some("/opt")),
        ("/opt/z", Some("/opt")),
        ("/opt/a/z", Some("/opt/a")),
        ("/opt/a/b", Some("/opt/a/b")),
        ("/opt/a/b/c.conf", Some("/opt/a/b/c.conf")),
        ("/opt/a/b/c.conf/x", Some("/opt/a/b/c.conf")),
        ("/opt/a/b/c.conf.d/x", Some("/opt/a/b")),
        ("/optional", None),
        ("/op", None),
        ("/", None),
    ];
    for (path, entry) in cases {
        assert_eq!(
            policy.for_path(path).map(|entry| entry.path.as_str()),
            entry,
            "{path}"
        );
    }
}

#[test]
fn unclean_entries_cover_what_is_below_them_by_their_written_length() {
    let policy = with_paths(&["/etc/containers/registries.d/", "/opt//x", "/opt/./y", "/", ""]);
    let cases = [
        (
            "/etc/containers/registries.d/a",
            Some("/etc/containers/registries.d/"),
        ),
        (
            "/etc/containers/registries.d",
            Some("/etc/containers/registries.d"),
        ),
        ("/opt/x/a", Some("/opt//x")),
        ("/opt/x", None),
        ("/opt/y", None),
        ("/opt/./y", Some("/opt/./y")),
        ("/", Some("/")),
        ("/other", None),
        ("", None),
    ];
    for (path, entry) in cases {
        assert_eq!(
            policy.for_path(path).map(|entry| entry.path.as_str()),
            entry,
            "{path}"
        );
    }
}

#[test]
fn entries_replace_defaults_in_place_and_follow_them_otherwise() {
    let merged = Policy::merge_unchecked(&user(json!({
        "files": [
            {"path": "/opt/x", "actions": [{"type": "None"}]},
            {"path": "/opt/x", "actions": [{"type": "Reboot"}]},
            {"path": "/etc/crio/policies", "actions": [{"type": "Drain"}]},
            {"path": "/etc/crio/policies", "actions": [{"type": "None"}]},
        ],
        "units": [
            {"name": "a.timer", "actions": []},
            {"name": "iri-registry.service", "actions": [{"type": "Restart",
                "restart": {"serviceName": "r.service"}, "reload": {"serviceName": "no.service"}}]},
        ],
        "sshkey": {"actions": []},
    })));
    let text = serde_json::to_value(merged.cluster_policies()).unwrap();
    assert_eq!(
        text["files"][5],
        json!({"path": "/etc/crio/policies", "actions": [{"type": "None"}]})
    );
    assert_eq!(text["files"].as_array().unwrap().len(), 13 + 2);
    assert_eq!(
        merged.for_path("/opt/x/y").unwrap().actions[0],
        super::plain(super::ActionType::None)
    );
    assert_eq!(
        text["units"],
        json!([
            {"name": "iri-registry.service",
             "actions": [{"type": "Restart", "restart": {"serviceName": "r.service"}}]},
            {"name": "a.timer", "actions": []},
        ])
    );
    assert_eq!(text["sshkey"], json!({"actions": [{"type": "None"}]}));
    assert_eq!(Policy::from_cluster_policies(&merged.cluster_policies()), merged);
}

/// A policy with one fault each, its code and its field.
const FAULTS: &[(&str, u16, &str)] = &[
    (
        r#"{"files":[{"path":"/","actions":[{"type":"None"}]}]}"#,
        3001,
        "files[0].path",
    ),
    (
        r#"{"files":[{"path":"/..","actions":[{"type":"None"}]}]}"#,
        3001,
        "files[0].path",
    ),
    (
        r#"{"files":[{"path":"etc/x","actions":[{"type":"None"}]}]}"#,
        3001,
        "files[0].path",
    ),
    (
        r#"{"files":[{"path":"","actions":[{"type":"None"}]}]}"#,
        3001,
        "files[0].path",
    ),
    (
        r#"{"files":[{"path":"/etc/x/","actions":[{"type":"None"}]}]}"#,
        3002,
        "files[0].path",
    ),
    (
        r#"{"units":[{"name":"a.timer","actions":[{"type":"Drain"},{"type":"Reboot"}]}]}"#,
        3003,
        "units[0].actions",
    ),
    (
        r#"{"sshkey":{"actions":[{"type":"None"},{"type":"Drain"}]}}"#,
        3003,
        "sshkey.actions",
    ),
    (
        r#"{"sshkey":{"actions":[{"type":"Reload"}]}}"#,
        3004,
        "sshkey.actions[0].reload",
    ),
    (
        r#"{"sshkey":{"actions":[{"type":"Drain","restart":{"serviceName":"a.socket"}}]}}"#,
        3004,
        "sshkey.actions[0].restart",
    ),
    (
        r#"{"units":[{"name":"crio","actions":[{"type":"None"}]}]}"#,
        3005,
        "units[0].name",
    ),
    (
        r#"{"files":[{"path":"/a","actions":[{"type":"Special"}]}]}"#,
        3007,
        "files[0].actions[0].type",
    ),
    (
        r#"{"files":[{"path":"/a","actions":[{"type":"Drain"}]},{"path":"/a","actions":[{"type":"None"}]}]}"#,
        3008,
        "files[1].path",
    ),
    (
        r#"{"files":[{"path":"/a","actions":[]}]}"#,
        3009,
        "files[0].actions",
    ),
];

/// Asserts that the one finding about `policy` is `code` at `field`, and that it is refused unless it is a warning.
fn assert_fault(policy: &NodeDisruptionPolicyConfig, code: u16, field: &str) {
    let findings = check(policy);
    assert_eq!(findings.len(), 1, "{policy:?}: {findings:?}");
    assert_eq!(findings[0].code.0, code, "{findings:?}");
    assert_eq!(
        findings[0].field,
        format!("spec.nodeDisruptionPolicy.{field}"),
        "{findings:?}"
    );
    let refused = findings[0].severity == Severity::Error;
    assert_eq!(refused, ![3002, 3009].contains(&code), "{findings:?}");
    assert_eq!(Policy::merge(policy).is_err(), refused, "{findings:?}");
}

#[test]
fn every_fault_of_a_policy_is_reported_with_its_field() {
    for (policy, code, field) in FAULTS {
        assert_fault(&serde_json::from_str(policy).unwrap(), *code, field);
    }
}

#[test]
fn names_of_units_are_checked_in_actions_too() {
    let long = format!("{}.service", "a".repeat(248));
    for service in ["crio", ".service", "a b.service", "crio.conf", "", &long] {
        let policy =
            user(json!({"sshkey": {"actions": [{"type": "Restart", "restart": {"serviceName": service}}]}}));
        assert_fault(&policy, 3005, "sshkey.actions[0].restart.serviceName");
    }
}

#[test]
fn entries_and_actions_are_counted() {
    let entries = |count| {
        let unit = |i| json!({"name": format!("{i}.service"), "actions": [{"type": "None"}]});
        user(json!({"units": (0..count).map(unit).collect::<Vec<_>>()}))
    };
    assert_eq!(check(&entries(50)), []);
    assert_fault(&entries(51), 3006, "units");
    let actions =
        |count| user(json!({"files": [{"path": "/a", "actions": vec![json!({"type": "Drain"}); count]}]}));
    assert_eq!(check(&actions(10)), []);
    assert_fault(&actions(11), 3006, "files[0].actions");
}

#[test]
fn a_sound_policy_has_no_findings() {
    let sound = user(json!({
        "files": [{"path": "/etc/app", "actions": [{"type": "Drain"}, {"type": "DaemonReload"},
            {"type": "Reload", "reload": {"serviceName": "app@1.service"}}]}],
        "units": [{"name": "a-b:c\\x2d.timer", "actions": [{"type": "Reboot"}]}],
        "sshkey": {"actions": []},
    }));
    assert_eq!(check(&sound), []);
    assert_eq!(check(&NodeDisruptionPolicyConfig::default()), []);
    assert_eq!(
        Policy::merge(&NodeDisruptionPolicyConfig::default()).unwrap(),
        Policy::default()
    );
}

proptest! {
    #[test]
    fn cleaning_is_idempotent_and_keeps_clean_paths(path in "(/|[ab.]){0,12}") {
        let once = clean(&path).into_owned();
        prop_assert_eq!(clean(&once).into_owned(), once.clone());
        prop_assert!(!once.contains("//") && (once.len() == 1 || !once.ends_with('/')));
        prop_assert_eq!(once.starts_with('/'), path.starts_with('/'));
    }

    #[test]
    fn a_match_is_the_path_or_above_it_and_none_longer_matches(
        entries in prop::collection::vec("(/[ab]{1,2}){1,3}", 0..6),
        path in "(/[ab]{1,2}){1,4}",
    ) {
        let policy = with_paths(&entries.iter().map(String::as_str).collect::<Vec<_>>());
        let covers = |entry: &str| path == entry || path.starts_with(&format!("{entry}/"));
        let longest = entries.iter().filter(|entry| covers(entry)).max_by_key(|entry| entry.len());
        prop_assert_eq!(policy.for_path(&path).map(|entry| &entry.path), longest);
    }
}
