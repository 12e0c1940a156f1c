//! The config that the disk holds, and the plan that leads from it back to the one it should hold.

use std::collections::BTreeSet;

use super::*;
use crate::plan::{Aspect, Facts, Step, Target, plan};
use crate::{Plan, Policy, RenderedConfig};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 anna";
const OTHER_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE6 bob";
const ALICE_KEYS: &str = "/var/home/alice/.ssh/authorized_keys.d/ignition";

fn rendered(mut config: Value) -> RenderedConfig {
    config["ignition"] = json!({ "version": "3.5.0" });
    RenderedConfig {
        name: "rendered-x".to_owned(),
        spec: crds::MachineConfigSpec::default(),
        ignition: ignition::Config::from_value(&config).unwrap().config,
        provenance: crate::Provenance::default(),
    }
}

fn expectation_of(config: &RenderedConfig) -> Expectation {
    Expectation::from_ignition("rendered-x", config.ignition.value()).unwrap()
}

fn with_alice(mut observed: Observed) -> Observed {
    observed.users.insert("alice".to_owned(), 1002);
    let home = Home {
        path: "/var/home/alice".to_owned(),
        gid: 100,
    };
    observed.homes.insert("alice".to_owned(), home);
    observed
}

fn found(config: &RenderedConfig, observed: &Observed) -> RenderedConfig {
    super::as_found(config, &expectation_of(config), observed).unwrap_or_else(|| config.clone())
}

fn repair(config: &RenderedConfig, observed: &Observed) -> Plan {
    let found = found(config, observed);
    plan(&found, config, &Policy::default(), &Facts::default())
}

fn steps_of(config: Value, paths: &[(&str, Seen)], enablement: &[(&str, &str)]) -> Vec<Step> {
    let config = rendered(config);
    let mut observed = node(&expectation_of(&config), paths);
    let answers = enablement.iter();
    observed.enablement = answers
        .map(|(unit, answer)| ((*unit).to_owned(), (*answer).to_owned()))
        .collect();
    repair(&config, &observed).steps
}

fn aspects(config: Value, paths: &[(&str, Seen)], enablement: &[(&str, &str)]) -> Vec<String> {
    let steps = steps_of(config, paths, enablement);
    let aspects = steps.into_iter().map(|step| {
        let aspects: Vec<_> = step
            .aspects
            .iter()
            .map(|aspect| match aspect {
                Aspect::Content { before, after } => {
                    format!("content {:?} {:?}", before.is_some(), after.is_some())
                }
                Aspect::Mode { before, after } => format!("mode {before:?} {after:?}"),
                Aspect::Owner { before, after } => format!("owner {before:?} {after:?}"),
                Aspect::Enabled { before, after } => format!("enabled {before:?} {after:?}"),
                Aspect::Masked { before, after } => format!("masked {before} {after}"),
                Aspect::Items { added, removed, .. } => format!("+{} -{}", added.len(), removed.len()),
                Aspect::Value { .. } | Aspect::Declaration { .. } => format!("{aspect:?}"),
            })
            .collect();
        format!("{} {:?}: {}", step.target, step.change, aspects.join(", "))
    });
    aspects.collect()
}

#[test]
fn a_file_is_what_was_found_of_it() {
    let file =
        json!({"storage": {"files": [{"path": "/etc/a", "mode": 0o600, "contents": {"source": "data:,x"}}]}});
    let of_core = Owner { uid: 1000, gid: 1001 };
    let large = Seen::File {
        mode: 0o600,
        owner: Some(ROOT),
        contents: SeenContents::Oversize { size: 1 << 40 },
    };
    let table: [(Seen, &[&str]); 6] = [
        (seen("x", 0o600, ROOT), &[]),
        (
            seen("y", 0o644, of_core),
            &[
                "/etc/a Changed: content true true, mode Some(\"0644\") Some(\"0600\"), owner Some(\"1000:1001\") Some(\"root:root\")",
            ],
        ),
        (large, &["/etc/a Changed: content true true"]),
        (
            Seen::Missing,
            &["/etc/a Added: content false true, mode None Some(\"0600\")"],
        ),
        (
            link("/etc/b", None),
            &["/etc/a Added: content false true, mode None Some(\"0600\")"],
        ),
        (
            Seen::Unreadable {
                reason: "input/output error".to_owned(),
            },
            &[],
        ),
    ];
    for (seen, expected) in table {
        assert_eq!(
            aspects(file.clone(), &[("/etc/a", seen.clone())], &[]),
            expected,
            "{seen:?}"
        );
    }
}

/// A config, what is seen of it, what systemd says of its unit, and the steps of the repair.
type Row = (
    Value,
    Vec<(&'static str, Seen)>,
    &'static str,
    &'static [&'static str],
);

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn a_unit_is_what_was_found_of_it() {
    const PATH: &str = "/etc/systemd/system/a.service";
    let unit = |mut unit: Value| {
        unit["name"] = json!("a.service");
        json!({"systemd": {"units": [unit]}})
    };
    let plain = || unit(json!({"contents": "[Unit]\n", "enabled": true}));
    let null = || link("/dev/null", Some("/dev/null"));
    let at = |seen: Seen| vec![(PATH, seen)];
    let table: [Row; 7] = [
        (plain(), at(file("[Unit]\n")), "enabled", &[]),
        (
            plain(),
            at(file("[Unit]\n")),
            "disabled",
            &["unit a.service Changed: enabled Some(false) Some(true)"],
        ),
        (
            plain(),
            at(seen("[Unit]\n", 0o600, ROOT)),
            "enabled",
            &["unit a.service Changed: content true true"],
        ),
        (
            plain(),
            at(Seen::Missing),
            "not-found",
            &["unit a.service Changed: content false true, enabled Some(false) Some(true)"],
        ),
        (
            plain(),
            at(null()),
            "masked",
            &[
                "unit a.service Changed: content false true, enabled Some(false) Some(true), masked true false",
            ],
        ),
        (
            unit(json!({"mask": true})),
            at(Seen::Missing),
            "static",
            &["unit a.service Changed: masked false true"],
        ),
        (
            unit(json!({"enabled": true})),
            vec![],
            "masked-runtime",
            &["unit a.service Changed: enabled Some(false) Some(true), masked true false"],
        ),
    ];
    for (config, paths, answer, expected) in table {
        assert_eq!(
            aspects(config, &paths, &[("a.service", answer)]),
            expected,
            "{paths:?} {answer}"
        );
    }
}

#[test]
fn keys_of_each_user_are_in_a_file_of_his() {
    let users = json!({"passwd": {"users": [
        {"name": "core", "sshAuthorizedKeys": [KEY]},
        {"name": "alice", "sshAuthorizedKeys": [OTHER_KEY]},
        {"name": "ghost", "sshAuthorizedKeys": [KEY]},
    ]}});
    let config = rendered(users);
    let expectation = expectation_of(&config);
    let alice = Owner { uid: 1002, gid: 100 };
    let core = Owner { uid: 1000, gid: 1001 };
    let right = [
        (SSH_KEYS, seen(&format!("{KEY}\n"), 0o600, core)),
        (ALICE_KEYS, seen(&format!("{OTHER_KEY}\n"), 0o600, alice)),
    ];
    let observed = with_alice(node(&expectation, &right));
    assert_eq!(expectation.paths_at_homes(&observed.homes), [ALICE_KEYS]);
    assert_eq!(short(&compare(&expectation, &observed)), NONE);
    assert_eq!(found(&config, &observed), config);

    let wrong = seen(&format!("{OTHER_KEY}\n{KEY}\n"), 0o600, core);
    let observed = with_alice(node(&expectation, &[right[0].clone(), (ALICE_KEYS, wrong)]));
    let expected = [
        format!("{ALICE_KEYS} owner: alice:100, core:core"),
        format!("{ALICE_KEYS} SSH keys: 1 key, not in the config: ssh-ed25519 …aC1lZDI1NTE5 anna"),
    ];
    assert_eq!(short(&compare(&expectation, &observed)), expected);
    let known = expectation.with_homes(&observed.homes);
    assert_eq!(
        short(&compare(&known, &observed)),
        expected,
        "once, however the home became known"
    );
    assert!(known.paths().any(|path| path == ALICE_KEYS));
    let steps = repair(&config, &observed).steps;
    let targets: Vec<_> = steps.iter().map(|step| step.target.to_string()).collect();
    assert_eq!(targets, ["SSH keys of alice"]);
}

#[test]
fn a_user_without_a_home_of_his_own_has_no_file_of_keys() {
    let users = json!({"passwd": {"users": [{"name": "alice", "sshAuthorizedKeys": [KEY]}]}});
    let expectation = expectation_of(&rendered(users));
    for path in ["", "/", "none"] {
        let home = Home {
            path: path.to_owned(),
            gid: 1,
        };
        let homes = [("alice".to_owned(), home)].into();
        assert_eq!(expectation.paths_at_homes(&homes), NONE, "{path:?}");
    }
}

// A config and what is seen of it, made together so that "as it should be" is one of the choices.

#[derive(Debug, Clone)]
struct Case {
    config: RenderedConfig,
    observed: Observed,
}

fn any_contents() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => "[a-c\n]{0,3}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ]
}

fn any_seen() -> impl Strategy<Value = Seen> {
    let held = any_contents().prop_map(SeenContents::Bytes);
    let hash = any::<[u8; 32]>().prop_map(|sha256| SeenContents::Digest {
        size: 1 << 21,
        sha256,
    });
    let contents = prop_oneof![
        4 => held,
        1 => hash,
        1 => Just(SeenContents::Oversize { size: 1 << 40 }),
    ];
    let mode = prop::sample::select(&[0o644, 0o600, 0o4755][..]);
    let owner = prop::sample::select(&[(0, 0), (1000, 1001), (7, 0)][..]);
    let regular = (mode, prop::option::of(owner), contents).prop_map(|(mode, owner, contents)| Seen::File {
        mode,
        owner: owner.map(|(uid, gid)| Owner { uid, gid }),
        contents,
    });
    prop_oneof![
        6 => regular,
        2 => Just(Seen::Missing),
        1 => Just(Seen::Directory),
        1 => Just(link("/dev/null", Some("/dev/null"))),
        1 => Just(link("x", None)),
        1 => Just(Seen::LeadsOut { link: "/etc".to_owned(), target: "..".to_owned() }),
        1 => Just(Seen::Unreadable { reason: "no".to_owned() }),
    ]
}

fn text_of(contents: &str) -> Seen {
    file(contents)
}

/// Parts of a config, each with what agrees with it: entry, path and sight of it, and the answer about its enablement.
type Part1 = (Value, Vec<(String, Seen)>, Option<(String, &'static str)>);

fn a_file(index: usize) -> impl Strategy<Value = Part1> {
    let mode = prop::sample::select(&[None, Some(0o600), Some(0o644)][..]);
    let owner = prop::sample::select(&[None, Some(("core", 1000)), Some(("root", 0))][..]);
    (any_contents(), mode, owner).prop_map(move |(contents, mode, owner)| {
        let path = format!("/etc/file{index}");
        let mut entry = json!({"path": path, "contents": {"source": ignition::contents::base64(&contents)}});
        if let Some(mode) = mode {
            entry["mode"] = json!(mode);
        }
        let mut uid = 0;
        if let Some((name, number)) = owner {
            entry["user"] = json!({"name": name});
            uid = number;
        }
        let seen = Seen::File {
            mode: mode.unwrap_or(0o644),
            owner: Some(Owner { uid, gid: 0 }),
            contents: SeenContents::Bytes(contents),
        };
        (entry, vec![(path, seen)], None)
    })
}

fn a_unit(index: usize) -> impl Strategy<Value = Part1> {
    let contents = prop::option::of("[a-c\n]{0,3}");
    let dropin = prop::option::of("[a-c\n]{0,3}");
    (contents, dropin, any::<Option<bool>>(), any::<Option<bool>>()).prop_map(
        move |(contents, dropin, enabled, mask)| {
            let name = format!("unit{index}.service");
            let path = format!("/etc/systemd/system/{name}");
            let mut entry = json!({ "name": name });
            let mut paths = Vec::new();
            if let Some(text) = &contents {
                entry["contents"] = json!(text);
            }
            match (mask, contents.as_deref().filter(|text| !text.is_empty())) {
                (Some(true), _) => paths.push((path.clone(), link("/dev/null", Some("/dev/null")))),
                (_, Some(text)) => paths.push((path.clone(), text_of(text))),
                (_, None) => {}
            }
            if let Some(text) = dropin {
                paths.push((format!("{path}.d/x.conf"), text_of(&text)));
                entry["dropins"] = json!([{"name": "x.conf", "contents": text}]);
            }
            if let Some(mask) = mask {
                entry["mask"] = json!(mask);
            }
            if let Some(enabled) = enabled {
                entry["enabled"] = json!(enabled);
            }
            let answer = enabled.map(|enabled| (name, if enabled { "enabled" } else { "disabled" }));
            (entry, paths, answer)
        },
    )
}

fn a_user(name: &'static str, path: &'static str, owner: Owner) -> impl Strategy<Value = Part1> {
    prop::sample::subsequence(vec![KEY, OTHER_KEY], 0..=2).prop_map(move |keys| {
        let text: String = keys.iter().flat_map(|key| [key, "\n"]).collect();
        let entry = json!({"name": name, "sshAuthorizedKeys": keys});
        (entry, vec![(path.to_owned(), seen(&text, 0o600, owner))], None)
    })
}

/// Something else than what should be, if `wrong` at times, otherwise never.
fn instead<S: Strategy + 'static>(wrong: bool, other: S) -> BoxedStrategy<Option<S::Value>>
where
    S::Value: Clone,
{
    if wrong {
        prop_oneof![3 => Just(None), 2 => other.prop_map(Some)].boxed()
    } else {
        Just(None).boxed()
    }
}

/// `wrong`: whether some of the things seen are arbitrary.
fn case(wrong: bool) -> impl Strategy<Value = Case> {
    let parts = (
        [a_file(0), a_file(1)],
        [a_unit(0), a_unit(1)],
        (
            a_user("core", SSH_KEYS, Owner { uid: 1000, gid: 1001 }),
            a_user("alice", ALICE_KEYS, Owner { uid: 1002, gid: 100 }),
        ),
    );
    let answers = &[
        "enabled",
        "disabled",
        "masked",
        "masked-runtime",
        "not-found",
        "static",
        "enabled-runtime",
    ][..];
    let otherwise = prop::collection::vec(instead(wrong, any_seen()), 8);
    let answers = prop::collection::vec(instead(wrong, prop::sample::select(answers)), 2);
    (parts, otherwise, answers).prop_map(|((files, units, (core, alice)), otherwise, other_answers)| {
        let list = |parts: &[Part1]| parts.iter().map(|part| part.0.clone()).collect::<Vec<_>>();
        let users = [core, alice];
        let config = rendered(json!({
            "storage": {"files": list(&files)},
            "systemd": {"units": list(&units)},
            "passwd": {"users": list(&users)},
        }));
        let mut observed = with_alice(node(&expectation_of(&config), &[]));
        observed.paths.clear();
        let mut otherwise = otherwise.into_iter();
        let mut other_answers = other_answers.into_iter();
        for (_, paths, answer) in files.into_iter().chain(units).chain(users) {
            for (path, right) in paths {
                let seen = otherwise.next().flatten().unwrap_or(right);
                observed.paths.insert(path, seen);
            }
            if let Some((unit, right)) = answer {
                let answer = other_answers.next().flatten().unwrap_or(right);
                observed.enablement.insert(unit, answer.to_owned());
            }
        }
        Case { config, observed }
    })
}

fn target(drift: &Drift) -> Target {
    let user = |name: &str| Target::SshKeys {
        user: name.to_owned(),
    };
    match (&drift.unit, drift.path.rsplit_once(".d/")) {
        (None, _) if drift.path == SSH_KEYS => user("core"),
        (None, _) if drift.path == ALICE_KEYS => user("alice"),
        (None, _) => Target::File {
            path: drift.path.clone(),
        },
        (Some(unit), None) => Target::Unit { name: unit.clone() },
        (Some(unit), Some((_, name))) => Target::Dropin {
            unit: unit.clone(),
            name: name.to_owned(),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_node_that_is_as_it_should_be_is_the_config(case in case(false)) {
        prop_assert_eq!(short(&compare(&expectation_of(&case.config), &case.observed)), NONE);
        prop_assert_eq!(found(&case.config, &case.observed), case.config);
    }

    #[test]
    fn a_repair_has_a_step_for_everything_that_drifted_and_no_other(case in case(true)) {
        let drifts = compare(&expectation_of(&case.config), &case.observed);
        let drifted: BTreeSet<Target> =
            drifts.iter().filter(|drift| drift.kind.can_be_mended()).map(target).collect();
        let plan = repair(&case.config, &case.observed);
        let planned: BTreeSet<Target> = plan.steps.iter().map(|step| step.target.clone()).collect();
        prop_assert_eq!(&planned, &drifted, "{:?}", short(&drifts));
        // Other users than core are refused by the rules for changes, also where only a file of theirs has drifted.
        let of_alice = |target: &Target| matches!(target, Target::SshKeys { user } if user == "alice");
        let of_core = |target: &Target| matches!(target, Target::SshKeys { user } if user == "core");
        if !planned.iter().any(|target| of_alice(target) || of_core(target)) {
            prop_assert_eq!(plan.refusals, vec![]);
        }
        prop_assert_eq!(plan.same_on_disk, Vec::<String>::new());
    }
}
