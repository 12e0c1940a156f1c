//! What holds for every plan.

use proptest::prelude::*;

use super::*;
use crate::redact::Limits;
use crate::style::Styles;

/// What must never come out, in any form.
const CANARY: &str = "CANARY-d41d8cd9";

fn pick<T: Clone + std::fmt::Debug + 'static>(values: &[T]) -> impl Strategy<Value = T> + use<T> {
    prop::sample::select(values.to_vec())
}

fn file() -> impl Strategy<Value = Value> {
    let paths = [
        "/etc/a",
        "/etc/b|`x`",
        "/etc/containers/policy.json",
        registries::PATH,
        "/etc/crio/policies/x",
        "/var/lib/kubelet/config.json",
    ];
    let contents = [
        "data:,",
        "data:,a%0Ab%0A",
        "data:;base64,YQpiCg==",
        "data:,%5B%5B",
        "http://x/",
    ];
    (
        pick(&paths),
        pick(&contents),
        pick(&[None, Some(420), Some(384)]),
        any::<bool>(),
    )
        .prop_map(|(path, source, mode, overwrite)| {
            let mut file = json!({"path": path, "contents": {"source": source}});
            if let Some(mode) = mode {
                file["mode"] = json!(mode);
            }
            if overwrite {
                file["overwrite"] = json!(true);
            }
            file
        })
}

fn unit() -> impl Strategy<Value = Value> {
    let names = ["a.service", "b.timer", "iri-registry.service"];
    (
        pick(&names),
        pick(&[None, Some("[Unit]\n"), Some("")]),
        pick(&[None, Some(true), Some(false)]),
        any::<bool>(),
    )
        .prop_map(|(name, contents, enabled, dropin)| {
            let mut unit = json!({ "name": name });
            if let Some(contents) = contents {
                unit["contents"] = json!(contents);
            }
            if let Some(enabled) = enabled {
                unit["enabled"] = json!(enabled);
            }
            if dropin {
                unit["dropins"] = json!([{"name": "x.conf", "contents": "[Unit]\n"}]);
            }
            unit
        })
}

/// Entries of which none has the key of another.
fn unique(list: Vec<Value>, key: &str) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    list.into_iter()
        .filter(|entry| seen.insert(entry[key].to_string()))
        .collect()
}

prop_compose! {
    fn spec()(
        files in prop::collection::vec(file(), 0..4),
        units in prop::collection::vec(unit(), 0..3),
        keys in prop::collection::vec(pick(&["ssh-rsa AAAA a", "b"]), 0..3),
        hash in prop::option::of(pick(&["h1", "h2"])),
        os in pick(&["", "img"]),
        kargs in prop::collection::vec(pick(&["a", "b"]), 0..3),
    ) -> Value {
        let mut user = json!({"name": "core", "sshAuthorizedKeys": keys});
        if let Some(hash) = hash {
            user["passwordHash"] = json!(hash);
        }
        json!({"osImageURL": os, "kernelArguments": kargs, "config": {
            "storage": {"files": unique(files, "path")},
            "systemd": {"units": unique(units, "name")},
            "passwd": {"users": [user]},
        }})
    }
}

fn with_diffs() -> Facts<'static> {
    Facts {
        diffs: Some(Limits::default()),
        ..Facts::default()
    }
}

fn actions_of_a_policy() -> impl Strategy<Value = Vec<Action>> {
    let service = |name: &str| name.to_owned();
    let actions = [
        Action::Drain,
        Action::DaemonReload,
        Action::Special,
        Action::Reload {
            service: service("a"),
        },
        Action::Restart {
            service: service("a"),
        },
        Action::Restart {
            service: service("b"),
        },
    ];
    prop::sample::subsequence(actions.to_vec(), 0..=6)
}

proptest! {
    #[test]
    fn nothing_differs_from_itself(spec in spec()) {
        let same = config("same", spec);
        let plan = plan(&same, &same, &Policy::default(), &with_diffs());
        prop_assert!(plan.is_empty() && plan.sections.is_empty() && plan.ignored.is_empty() && plan.same_on_disk.is_empty());
        prop_assert_eq!(plan.actions, [Action::None]);
    }

    #[test]
    fn a_plan_is_what_its_steps_say(old in spec(), new in spec()) {
        let plan = plan(&config("old", old), &config("new", new), &Policy::default(), &with_diffs());
        prop_assert!(plan.steps.windows(2).all(|pair| pair[0].target < pair[1].target), "sorted, each target once");
        prop_assert!(plan.steps.iter().all(|step| !step.aspects.is_empty()));
        let worst = plan.steps.iter().map(|step| step.disruption).max().unwrap_or_default();
        prop_assert_eq!(plan.disruption, worst);
        prop_assert_eq!(plan.drain.required, worst >= Disruption::Drain);
        prop_assert_eq!(plan.actions.contains(&Action::Reboot), worst == Disruption::Reboot);
        prop_assert!(!plan.actions.contains(&Action::Reboot) || plan.actions.len() == 1);
        let once: BTreeSet<_> = plan.actions.iter().collect();
        prop_assert_eq!(once.len(), plan.actions.len());
    }

    #[test]
    fn the_way_back_touches_the_same_targets(old in spec(), new in spec()) {
        let (old, new) = (config("old", old), config("new", new));
        let targets = |from, to| {
            let plan = plan(from, to, &Policy::default(), &Facts::default());
            plan.steps.into_iter().map(|step| step.target).collect::<Vec<_>>()
        };
        prop_assert_eq!(targets(&old, &new), targets(&new, &old));
    }

    #[test]
    fn the_order_of_files_and_units_does_not_matter(old in spec(), mut new in spec()) {
        let forward = plan(&config("old", old.clone()), &config("new", new.clone()), &Policy::default(), &with_diffs());
        for list in ["/config/storage/files", "/config/systemd/units"] {
            new.pointer_mut(list).unwrap().as_array_mut().unwrap().reverse();
        }
        let reversed = plan(&config("old", old), &config("new", new), &Policy::default(), &with_diffs());
        prop_assert_eq!(forward.steps, reversed.steps);
        prop_assert_eq!(forward.drain, reversed.drain);
        prop_assert_eq!(forward.disruption, reversed.disruption);
    }

    #[test]
    fn the_json_form_is_read_back_as_it_was(old in spec(), new in spec()) {
        let plan = plan(&config("old", old), &config("new", new), &Policy::default(), &with_diffs());
        let text = serde_json::to_string(&plan).unwrap();
        prop_assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }

    #[test]
    fn combined_actions_keep_every_order_that_is_not_contradicted(lists in prop::collection::vec(actions_of_a_policy(), 0..4)) {
        let slices: Vec<&[Action]> = lists.iter().map(Vec::as_slice).collect();
        let combined = action::combine(&slices);
        let all: BTreeSet<_> = lists.iter().flatten().collect();
        prop_assert_eq!(combined.iter().collect::<BTreeSet<_>>(), all.clone());
        prop_assert_eq!(combined.len(), all.len());
        // The lists are parts of one order, so none contradicts another.
        for list in &lists {
            let places: Vec<_> = list.iter().map(|action| combined.iter().position(|other| other == action)).collect();
            prop_assert!(places.is_sorted(), "{:?} in {:?}", list, combined);
        }
    }

    /// Whatever is secret, by path, by mode or by kind, is in no form of the plan.
    #[test]
    fn no_secret_comes_out(path in pick(&["/etc/secret", "/etc/open"]), mode in pick(&[0o600, 0o400]), before in any::<bool>()) {
        let source = ignition::contents::percent(CANARY.as_bytes());
        let spec = json!({"config": {
            "storage": {"files": [
                {"path": path, "mode": mode, "contents": {"source": source}},
                {"path": "/var/lib/kubelet/config.json", "contents": {"source": source}},
                {"path": "/etc/broken", "contents": {"source": format!("foo:{CANARY}")}},
                {"path": registries::PATH, "contents": {"source": format!("data:,{CANARY}%20%3D%20%5B")}},
            ]},
            "passwd": {"users": [{"name": "core", "passwordHash": CANARY, "sshAuthorizedKeys": [format!("BEGIN PRIVATE KEY {CANARY}")]}]},
        }});
        let (mut old, mut new) = (config("old", json!({})), config("new", spec));
        if before {
            std::mem::swap(&mut old, &mut new);
        }
        let plan = plan(&old, &new, &Policy::default(), &Facts { diffs: None, ..with_diffs() });
        let with_diffs = super::plan(&old, &new, &Policy::default(), &with_diffs());
        // The one file that is no secret may be shown, and only as a diff.
        let steps = with_diffs.steps.iter().filter(|step| step.target.to_string() != registries::PATH).cloned().collect();
        for plan in [plan, Plan { steps, ..with_diffs }] {
            for form in [serde_json::to_string(&plan).unwrap(), text(&plan, &Styles::plain()), markdown(&plan), format!("{plan:?}")] {
                prop_assert!(!form.contains(CANARY), "{}", form);
            }
        }
    }
}
