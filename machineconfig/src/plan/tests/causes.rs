//! Who caused a step, who decided about it, and what the plan does in the end.

use super::*;

#[test]
fn a_step_names_the_machine_configs_behind_it() {
    let pair = files(
        json!([{"path": "/etc/gone"}, {"path": "/etc/kept", "mode": 0o600}, {"path": "/etc/taken", "mode": 0o600}]),
        json!([{"path": "/etc/kept"}, {"path": "/etc/new"}, {"path": "/etc/taken"}]),
    );
    let path = |path: &str| Part::Path(path.to_owned());
    let old = provenance(&[
        (path("/etc/gone"), "10-a"),
        (path("/etc/kept"), "10-a"),
        (path("/etc/taken"), "10-a"),
    ]);
    let new = provenance(&[
        (path("/etc/kept"), "10-a"),
        (path("/etc/new"), "20-b"),
        (path("/etc/taken"), "20-b"),
    ]);
    let facts = Facts {
        origins: Origins {
            old: Some(&old),
            new: Some(&new),
        },
        ..Facts::default()
    };
    let plan = plan(&pair.0, &pair.1, &Policy::default(), &facts);
    let causes: Vec<_> = plan
        .steps
        .iter()
        .map(|step| (step.target.to_string(), phrase::cause(step)))
        .collect();
    let expected = [
        ("/etc/gone", "10-a"),
        ("/etc/kept", "10-a"),
        ("/etc/new", "20-b"),
        ("/etc/taken", "20-b (was 10-a)"),
    ];
    assert_eq!(
        causes,
        expected.map(|(target, cause)| (target.to_owned(), cause.to_owned()))
    );
}

#[test]
fn an_entry_of_a_list_names_its_own_machine_config() {
    let kargs = |name: &str, args: &[&str]| config(name, json!({ "kernelArguments": args }));
    let (old, new) = (kargs("old", &["a", "b"]), kargs("new", &["b", "c"]));
    let arg = |arg: &str| Part::KernelArgument(arg.to_owned());
    let (was, is) = (
        provenance(&[(arg("a"), "10-a")]),
        provenance(&[(arg("c"), "20-b")]),
    );
    let facts = Facts {
        origins: Origins {
            old: Some(&was),
            new: Some(&is),
        },
        ..Facts::default()
    };
    let plan = plan(&old, &new, &Policy::default(), &facts);
    assert_eq!(
        phrase::aspects(&plan.steps[0]),
        "added c (20-b); removed a (10-a)"
    );
    assert_eq!(plan.steps[0].machine_config, None);
}

#[test]
fn the_deciding_policy_is_named() {
    let policy = json!({
        "files": [{"path": "/etc/app", "actions": [{"type": "Restart", "restart": {"serviceName": "app.service"}}]}],
        "units": [{"name": "a.service", "actions": [{"type": "DaemonReload"}]}],
        "sshkey": {"actions": [{"type": "Drain"}]},
    });
    let unit = |name: &str| json!({"name": name, "contents": "[Unit]\n"});
    let new = json!({
        "storage": {"files": [{"path": "/etc/app/x"}, {"path": "/etc/other"}]},
        "systemd": {"units": [unit("a.service"), unit("b.service")]},
        "passwd": {"users": [{"name": "core", "passwordHash": "h"}]},
    });
    let plan = plan_by(policy, &ignition(json!({}), new));
    let decided: Vec<_> = plan
        .steps
        .iter()
        .map(|step| phrase::decision(&step.decided_by))
        .collect();
    assert_eq!(
        decided,
        [
            "policy for /etc/app",
            "covered by no policy",
            "policy for unit a.service",
            "covered by no policy",
            "policy for SSH keys"
        ]
    );
    let disruptions: Vec<_> = plan.steps.iter().map(|step| step.disruption).collect();
    assert_eq!(
        disruptions,
        [
            Disruption::Restart,
            Disruption::Reboot,
            Disruption::Reload,
            Disruption::Reboot,
            Disruption::Drain
        ]
    );
    assert_eq!(plan.actions, [Action::Reboot]);
    assert_eq!(
        plan.drain.reason,
        "the node reboots for /etc/other; unit b.service"
    );
}

#[test]
fn actions_are_done_once_and_every_entrys_order_is_kept() {
    let restart = |name: &str| Action::Restart {
        service: format!("{name}.service"),
    };
    let reload = |name: &str| Action::Reload {
        service: format!("{name}.service"),
    };
    let (drain, units, none) = (Action::Drain, Action::DaemonReload, Action::None);
    let table: [(Vec<Vec<Action>>, Vec<Action>); 9] = [
        (vec![], vec![]),
        (vec![vec![]], vec![]),
        (vec![vec![none.clone()], vec![none.clone()]], vec![none.clone()]),
        (vec![vec![none.clone()], vec![reload("a")]], vec![reload("a")]),
        (vec![vec![reload("a")], vec![reload("a")]], vec![reload("a")]),
        (
            vec![vec![reload("a")], vec![Action::Reboot], vec![none]],
            vec![Action::Reboot],
        ),
        (
            vec![
                vec![restart("a")],
                vec![units.clone(), restart("a")],
                vec![drain.clone()],
            ],
            vec![drain, units, restart("a")],
        ),
        (
            vec![vec![restart("crio")], vec![restart("trust"), restart("crio")]],
            vec![restart("trust"), restart("crio")],
        ),
        (
            vec![vec![restart("a"), restart("b")], vec![restart("b"), restart("a")]],
            vec![restart("a"), restart("b")],
        ),
    ];
    for (lists, expected) in table {
        let lists: Vec<&[Action]> = lists.iter().map(Vec::as_slice).collect();
        assert_eq!(action::combine(&lists), expected, "{lists:?}");
    }
}

#[test]
fn a_drain_is_asked_for_by_policy_by_a_reboot_or_by_registries_conf() {
    let registries = |text: &str| json!([{"path": registries::PATH, "contents": {"source": ignition::contents::percent(text.as_bytes())}}]);
    let quay = registries("[[registry]]\nlocation = 'quay.io/x'\n");
    let digest = registries("[[registry]]\nlocation = 'quay.io/x'\nmirror-by-digest-only = true\n");
    let table = [
        (
            json!([]),
            quay.clone(),
            Disruption::Drain,
            "registries.conf: registry quay.io/x is new and has no mirrors",
        ),
        (
            json!([]),
            digest.clone(),
            Disruption::Reload,
            "registries.conf changes only in ways that a reload picks up safely",
        ),
        (
            digest,
            json!([]),
            Disruption::Drain,
            "registries.conf: registry quay.io/x is gone",
        ),
        (
            json!([]),
            json!([{"path": "/etc/a"}]),
            Disruption::Reboot,
            "the node reboots for /etc/a",
        ),
        (
            json!([]),
            json!([{"path": "/etc/crio/policies/a"}]),
            Disruption::Reload,
            "nothing that changes needs one",
        ),
    ];
    for (old, new, disruption, reason) in table {
        let plan = plan_of(&files(old, new));
        assert_eq!(
            (plan.disruption, plan.drain.reason.as_str()),
            (disruption, reason)
        );
        assert_eq!(plan.drain.required, disruption >= Disruption::Drain);
        assert_eq!(plan.steps[0].disruption, disruption);
    }
    let by_policy = json!({"files": [{"path": "/etc/a", "actions": [{"type": "Drain"}]}]});
    let many: Vec<_> = (0..5).map(|i| json!({"path": format!("/etc/a/{i}")})).collect();
    let plan = plan_by(by_policy, &files(json!([]), json!(many)));
    assert_eq!(
        plan.drain.reason,
        "the policy asks for it, for /etc/a/0; /etc/a/1; /etc/a/2 and 2 more"
    );
    let own = json!({"files": [{"path": registries::PATH, "actions": [{"type": "None"}]}]});
    assert!(!plan_by(own, &files(json!([]), quay)).drain.required);
}

#[test]
fn a_harmless_change_of_registries_conf_does_not_drain_because_something_else_does() {
    let conf = "[[registry]]\nlocation = 'quay.io/x'\nmirror-by-digest-only = true\n";
    let source = ignition::contents::percent(conf.as_bytes());
    let new = json!([
        {"path": "/etc/a"},
        {"path": registries::PATH, "contents": {"source": source}}
    ]);
    let disruptions = |plan: &Plan| plan.steps.iter().map(|step| step.disruption).collect::<Vec<_>>();
    let rebooting = plan_of(&files(json!([]), new.clone()));
    assert_eq!(disruptions(&rebooting), [Disruption::Reboot, Disruption::Reload]);
    let policy = json!({"files": [{"path": "/etc/a", "actions": [{"type": "Drain"}]}]});
    let draining = plan_by(policy, &files(json!([]), new));
    assert_eq!(disruptions(&draining), [Disruption::Drain, Disruption::Reload]);
}

#[test]
fn an_unreadable_registries_conf_refuses_the_change_but_never_the_repair() {
    let file = |source: &str| json!([{"path": registries::PATH, "contents": {"source": source}}]);
    for broken in ["data:,%5B%5B%5B", "http://example.com/"] {
        let plan = plan_of(&files(file("data:,"), file(broken)));
        assert!(
            plan.refusals
                .iter()
                .any(|refusal| refusal.code == Code::REGISTRIES_UNREADABLE),
            "{:?}",
            plan.refusals
        );
        assert_eq!(plan.verdict(), Verdict::Refused);
        let repair = plan_of(&files(file(broken), file("data:,")));
        assert!(
            repair.refusals.is_empty() && repair.drain.required,
            "{:?}",
            repair.refusals
        );
        assert_eq!(repair.warnings.len(), 1);
        assert_eq!(repair.warnings[0].object, "MachineConfig/old");
    }
}
