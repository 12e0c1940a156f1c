//! Laws, for generated pairs of configs on generated disks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crds::MachineConfig;
use daemon::converge::{Ending, Report};
use daemon::journal::Purpose;
use daemon::observe::OnDisk;
use machineconfig::plan::Target;
use machineconfig::{RenderedConfig, drift::Expectation};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::node::{Root, Tree, config, difference};

/// Paths that configs and disks meet at.
const PATHS: [&str; 7] = [
    "/etc/a",
    "/etc/b",
    "/etc/dir/c",
    "/etc/dir/sub/d",
    "/opt/e",
    "/etc/link/f",
    "/etc/g.conf",
];
const UNITS: [&str; 3] = ["own.service", "vendor.service", "also.timer"];

fn contents() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "one", "two%0Alines%0A", "three"]).prop_map(str::to_owned)
}

fn files() -> impl Strategy<Value = Value> {
    let file = (
        contents(),
        prop::sample::select(vec![0o644, 0o600, 0o755]),
        prop::sample::select(vec!["root", "core"]),
    );
    prop::collection::btree_map(prop::sample::select(PATHS.to_vec()), file, 0..5).prop_map(|files| {
        let file = |(path, (contents, mode, user)): (&str, (String, u32, &str))| {
            json!({"path": path, "mode": mode, "overwrite": true, "user": {"name": user}, "contents": {"source": format!("data:,{contents}")}})
        };
        files.into_iter().map(file).collect()
    })
}

fn unit() -> impl Strategy<Value = Value> {
    let text = prop::sample::select(vec![
        None,
        Some("[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"),
        Some("[Service]\nExecStart=/bin/false\n[Install]\nWantedBy=basic.target\n"),
        Some("[Service]\nExecStart=/bin/true\n"),
    ]);
    let dropin = prop::option::of(prop::sample::select(vec!["[Unit]\nDescription=x\n", ""]));
    (
        text,
        prop::option::of(any::<bool>()),
        prop::option::weighted(0.2, any::<bool>()),
        dropin,
    )
        .prop_map(|(text, enabled, mask, dropin)| {
            let mut unit = json!({});
            if let Some(text) = text {
                unit["contents"] = json!(text);
            }
            // A unit that is masked cannot be enabled too, and nothing can be enabled that says nothing of it.
            if let Some(enabled) =
                enabled.filter(|enabled| !enabled || (mask != Some(true) && text.is_some()))
            {
                unit["enabled"] = json!(enabled);
            }
            if let Some(mask) = mask {
                unit["mask"] = json!(mask);
            }
            if let Some(dropin) = dropin {
                unit["dropins"] = json!([{"name": "10-x.conf", "contents": dropin}]);
            }
            unit
        })
}

fn units() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(prop::sample::select(UNITS.to_vec()), unit(), 0..3).prop_map(|units| {
        let named = |(name, mut unit): (&str, Value)| {
            unit["name"] = json!(name);
            unit
        };
        units.into_iter().map(named).collect()
    })
}

fn users() -> impl Strategy<Value = Value> {
    let key = prop::sample::subsequence(vec!["ssh-ed25519 AAAA1 a", "ssh-rsa AAAA2 b"], 0..=2);
    let hash = prop::option::of(prop::sample::select(vec!["$6$one", "$6$two"]));
    prop::option::of((key, hash)).prop_map(|user| match user {
        Some((keys, hash)) if !keys.is_empty() || hash.is_some() => {
            let mut core = json!({"name": "core"});
            if !keys.is_empty() {
                core["sshAuthorizedKeys"] = json!(keys);
            }
            if let Some(hash) = hash {
                core["passwordHash"] = json!(hash);
            }
            json!([core])
        }
        _ => json!([]),
    })
}

fn any_config(name: &'static str) -> impl Strategy<Value = MachineConfig> {
    (files(), units(), users()).prop_map(move |(files, units, users)| {
        let ignition = json!({
            "ignition": {"version": "3.4.0"},
            "storage": {"files": files}, "systemd": {"units": units}, "passwd": {"users": users}
        });
        config(name, ignition)
    })
}

/// What lies at some of the paths before anybody comes.
fn disk() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let path = prop::sample::select(vec![
        "/etc/a",
        "/etc/b",
        "/etc/dir/c",
        "/etc/g.conf",
        "/etc/systemd/system/own.service",
    ]);
    prop::collection::vec(
        (path, prop::sample::select(vec!["one", "the disk's own", ""])),
        0..4,
    )
}

fn start(disk: &[(&str, &str)]) -> Root {
    let root = Root::new();
    root.link("/etc/link", "../srv");
    for (path, text) in disk {
        root.write(path, text);
    }
    root.apply(&config(
        "rendered-first",
        json!({"ignition": {"version": "3.4.0"}}),
    ))
    .unwrap();
    root
}

fn applied(root: &Root, config: &MachineConfig) -> Report {
    let report = root.apply(config).unwrap();
    assert!(
        matches!(report.ending, Ending::Applied | Ending::Unchanged),
        "{report:?}"
    );
    report
}

/// Every mismatch that `verify` finds.
fn drift(root: &Root, config: &MachineConfig) -> Vec<machineconfig::drift::Drift> {
    let node = root.node();
    let expectation = Expectation::of(&RenderedConfig::from_machine_config(config).unwrap());
    daemon::verify::verify(&node.root, &expectation, &OnDisk::read(&node.root).unwrap()).unwrap()
}

/// Where a step may write.
fn places(target: &Target) -> Vec<String> {
    let orig = |path: &str| {
        vec![
            path.to_owned(),
            format!("/etc/machine-config-daemon/orig{path}.mcdorig"),
            format!("/etc/machine-config-daemon/noorig{path}.mcdnoorig"),
        ]
    };
    match target {
        Target::File { path } => orig(path),
        Target::Dropin { unit, name } => orig(&format!("/etc/systemd/system/{unit}.d/{name}")),
        Target::Unit { name } => orig(&format!("/etc/systemd/system/{name}")),
        Target::SshKeys { .. } => vec!["/home/core/.ssh/authorized_keys.d/ignition".to_owned()],
        Target::PasswordHash { .. } => vec!["/etc/shadow".to_owned()],
        Target::OsImage
        | Target::KernelType
        | Target::Extensions
        | Target::KernelArguments
        | Target::Fips
        | Target::Accounts => Vec::new(),
    }
}

/// Paths that differ and that no step of the plan speaks of.
fn unplanned(before: &Tree, after: &Tree, report: &Report) -> Vec<String> {
    let planned: BTreeSet<PathBuf> = report
        .plan
        .steps
        .iter()
        .flat_map(|step| places(&step.target))
        // A path may lead through a link.
        .flat_map(|path| {
            [
                PathBuf::from(path.replacen("/etc/link/", "/srv/", 1)),
                PathBuf::from(path),
            ]
        })
        .collect();
    let units: BTreeSet<String> = report
        .plan
        .changed_units()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let is_planned = |path: &Path| {
        let directory_above = planned
            .iter()
            .any(|planned| planned.starts_with(path) && planned != path);
        // Links that enable a unit, and those of its aliases.
        let link = path.starts_with("/etc/systemd/system") && !units.is_empty();
        planned.contains(path) || directory_above || link
    };
    difference(before, after)
        .into_iter()
        .filter(|line| !is_planned(Path::new(line.split(": ").next().unwrap())))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_was_planned_was_done_and_nothing_else(disk in disk(), one in any_config("rendered-one"), two in any_config("rendered-two")) {
        let root = start(&disk);
        for config in [&one, &two] {
            let before = root.tree();
            let report = applied(&root, config);
            prop_assert_eq!(drift(&root, config), vec![], "after {:?}", report);
            prop_assert_eq!(unplanned(&before, &root.tree(), &report), Vec::<String>::new(), "{:#?}", report.plan.steps);
            let again = root.apply(config).unwrap();
            prop_assert_eq!((again.ending, again.changed), (Ending::Unchanged, 0), "{:?}", again);
        }
    }

    #[test]
    fn a_rollback_is_as_if_the_config_had_come_directly(one in any_config("rendered-one"), two in any_config("rendered-two")) {
        // What lay there unowned before a config took it over is not brought back (MCO daemon 3.8).
        let root = start(&[]);
        applied(&root, &one);
        let before = root.tree();
        applied(&root, &two);
        let report = root.converge(&one, Purpose::Rollback).unwrap();
        prop_assert!(matches!(report.ending, Ending::Applied | Ending::Unchanged));
        prop_assert_eq!(drift(&root, &one), vec![]);
        // Passwords and keys that were let go leave a locked user and an empty file, and directories stay.
        let left: Vec<_> = difference(&before, &root.tree())
            .into_iter()
            .filter(|line| !line.contains("Directory") && !line.starts_with("/etc/shadow") && !line.starts_with("/home/core/.ssh"))
            .collect();
        prop_assert_eq!(left, Vec::<String>::new());
    }
}
