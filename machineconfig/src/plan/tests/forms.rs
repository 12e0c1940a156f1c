//! The text, JSON and Markdown forms.

use super::*;
use crate::redact::Limits;
use crate::style::Styles;

/// The two sides of a change with something of everything, as docs/plan.md shows it.
fn example() -> (RenderedConfig, RenderedConfig) {
    let source = |text: &str| json!({"source": ignition::contents::percent(text.as_bytes())});
    let old = json!({
        "osImageURL": "registry.example/os@sha256:1111", "kernelArguments": ["nosmt"],
        "config": {
            "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 anna@example"]}]},
            "storage": {"files": [
                {"path": "/etc/chrony.conf", "mode": 420, "contents": source("pool 0.pool.example\ndriftfile /var/lib/chrony/drift\n")},
                {"path": "/etc/app/token", "mode": 384, "contents": source("abc")},
                {"path": "/etc/motd", "contents": source("hello\n")},
            ]},
            "systemd": {"units": [{"name": "chronyd.service", "enabled": false}]},
        },
    });
    let new = json!({
        "osImageURL": "registry.example/os@sha256:1111", "kernelArguments": ["nosmt"],
        "config": {
            "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE6 bob@example"]}]},
            "storage": {
                "files": [
                    {"path": "/etc/chrony.conf", "mode": 420, "contents": source("pool 1.pool.example\ndriftfile /var/lib/chrony/drift\n")},
                    {"path": "/etc/app/token", "mode": 384, "contents": source("def")},
                    {"path": "/etc/motd", "contents": {"source": "data:;base64,aGVsbG8K"}},
                ],
                "luks": [{"name": "root", "device": "/dev/sda"}],
            },
            "systemd": {"units": [{"name": "chronyd.service", "enabled": true,
                "dropins": [{"name": "10-slice.conf", "contents": "[Service]\nSlice=time.slice\n"}]}]},
        },
    });
    (
        config("rendered-worker-0a", old),
        config("rendered-worker-0b", new),
    )
}

fn example_policy() -> Policy {
    let restart = |service: &str| json!([{"type": "DaemonReload"}, {"type": "Restart", "restart": {"serviceName": service}}]);
    let policy = json!({
        "files": [
            {"path": "/etc/chrony.conf", "actions": [{"type": "Restart", "restart": {"serviceName": "chronyd.service"}}]},
            {"path": "/etc/app", "actions": [{"type": "Drain"}, {"type": "Restart", "restart": {"serviceName": "app.service"}}]},
        ],
        "units": [{"name": "chronyd.service", "actions": restart("chronyd.service")}],
    });
    Policy::merge(&serde_json::from_value(policy).unwrap()).unwrap()
}

fn example_plan() -> Plan {
    let path = |path: &str| Part::Path(path.to_owned());
    let key = |key: &str| Part::SshKey("core".to_owned(), key.to_owned());
    let old = provenance(&[
        (path("/etc/chrony.conf"), "00-worker"),
        (path("/etc/app/token"), "50-app"),
        (
            key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 anna@example"),
            "99-worker-ssh",
        ),
    ]);
    let unit = "chronyd.service".to_owned();
    let new = provenance(&[
        (path("/etc/chrony.conf"), "99-worker-time"),
        (path("/etc/app/token"), "50-app"),
        (Part::Unit(unit.clone()), "99-worker-time"),
        (Part::Dropin(unit, "10-slice.conf".to_owned()), "99-worker-time"),
        (
            key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE6 bob@example"),
            "99-worker-ssh",
        ),
    ]);
    let (from, to) = example();
    let facts = Facts {
        origins: Origins {
            old: Some(&old),
            new: Some(&new),
        },
        diffs: Some(Limits::default()),
        ..Facts::default()
    };
    plan(&from, &to, &example_policy(), &facts)
}

#[test]
fn a_plan_as_text() {
    insta::assert_snapshot!(text(&example_plan(), &Styles::plain()));
}

#[test]
fn a_plan_as_markdown() {
    insta::assert_snapshot!(markdown(&example_plan()));
}

#[test]
fn a_plan_as_json() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&example_plan()).unwrap());
}

/// The change that docs/plan.md shows: a file, a kernel argument and a section that does nothing.
fn documented() -> Plan {
    let side = |name: &str, pool: &str, karg: &str, device: &str| {
        let contents = ignition::contents::percent(format!("pool {pool}\n").as_bytes());
        let chrony = json!({"path": "/etc/chrony.conf", "mode": 420, "contents": {"source": contents}});
        let storage = json!({"files": [chrony], "luks": [{"name": "root", "device": device}]});
        config(
            name,
            json!({"osImageURL": "quay.io/os@sha256:1111", "kernelArguments": [karg], "config": {"storage": storage}}),
        )
    };
    let (from, to) = (
        side("rendered-worker-0a", "a.example", "audit=0", "/dev/a"),
        side("rendered-worker-0b", "b.example", "audit=1", "/dev/b"),
    );
    let chrony = Part::Path("/etc/chrony.conf".to_owned());
    let old = provenance(&[
        (chrony.clone(), "00-worker"),
        (Part::KernelArgument("audit=0".to_owned()), "00-worker"),
    ]);
    let new = provenance(&[
        (chrony, "99-worker-time"),
        (Part::KernelArgument("audit=1".to_owned()), "99-worker-audit"),
    ]);
    let facts = Facts {
        origins: Origins {
            old: Some(&old),
            new: Some(&new),
        },
        diffs: Some(Limits::default()),
        ..Facts::default()
    };
    plan(&from, &to, &example_policy(), &facts)
}

#[test]
fn the_documented_json_is_what_is_written() {
    let documentation = include_str!("../../../../docs/plan.md");
    let written = serde_json::to_string_pretty(&documented()).unwrap();
    let (_, rest) = documentation
        .split_once("```json\n")
        .expect("the page has an example");
    let (example, _) = rest.split_once("\n```").expect("the example ends");
    assert_eq!(example, written);
}

/// Every key of every form of a plan is explained: `keys` collects them from plans with something of everything.
#[test]
fn every_key_of_the_json_is_documented() {
    fn keys(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.keys().cloned());
                map.values().for_each(|value| keys(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }
    let refused = files(
        json!([{"path": "/etc/a"}]),
        json!([{"path": "/etc/a", "append": [{"source": "data:,"}]}]),
    );
    let mut found = BTreeSet::from([
        "omittedLines".to_owned(),
        "reordered".to_owned(),
        "warnings".to_owned(),
    ]);
    for plan in [documented(), example_plan(), plan_of(&refused)] {
        keys(&serde_json::to_value(plan).unwrap(), &mut found);
    }
    let documentation = include_str!("../../../../docs/plan.md");
    let missing: Vec<_> = found
        .iter()
        .filter(|key| !documentation.contains(&format!("`{key}`")))
        .collect();
    assert!(missing.is_empty() && found.len() > 40, "{missing:?} of {found:?}");
}

#[test]
fn a_refusal_is_the_first_thing_said() {
    let pair = ignition(
        json!({}),
        json!({"storage": {"directories": [{"path": "/d"}], "files": [{"path": "/etc/a"}]}}),
    );
    let plan = plan_of(&pair);
    let lines = text(&plan, &Styles::plain());
    assert!(lines.lines().nth(1).unwrap().starts_with("Refused"), "{lines}");
    assert!(lines.contains(&plan.refusals[0].to_string()), "{lines}");
    assert!(markdown(&plan).starts_with("### Refused"));
}

#[test]
fn no_change_is_said_in_two_lines() {
    let same = config("same", json!({}));
    let plan = plan(&same, &same, &Policy::default(), &Facts::default());
    assert_eq!(text(&plan, &Styles::plain()), "same → same\nNo change\n");
    assert_eq!(
        markdown(&plan),
        "### No change\n\n<code>same</code> → <code>same</code>\n"
    );
}

#[test]
fn colours_only_where_they_are_asked_for() {
    let plan = example_plan();
    assert!(!text(&plan, &Styles::plain()).contains('\u{1b}'));
    let coloured = text(&plan, &Styles::coloured());
    assert!(
        coloured.contains("\u{1b}[32m+pool 1.pool.example\u{1b}[0m"),
        "{coloured:?}"
    );
    let reset = coloured
        .split('\u{1b}')
        .filter(|part| part.starts_with("[0m"))
        .count();
    let set = coloured.split('\u{1b}').skip(1).count() - reset;
    assert!(
        set >= reset && reset > 10,
        "every colour ends: {set} set, {reset} reset"
    );
}

/// Names that try to end a cell, a code span, a fence or a tag, to call a person, or to move the cursor.
const HOSTILE: &[&str] = &[
    "/etc/a|b",
    "/etc/`a`",
    "/etc/``` \n```",
    "/etc/</details><img src=x onerror=y>",
    "/etc/@everyone #1",
    "/etc/\u{1b}[2J\r\n| x |",
    "/etc/[x](http://y)",
    "/etc/*_~&amp;\\",
];

#[test]
fn no_name_breaks_out_of_the_markdown() {
    for name in HOSTILE {
        let contents = ignition::contents::percent(format!("```\n</details>\n{name}\n").as_bytes());
        let pair = files(
            json!([]),
            json!([{"path": name, "contents": {"source": contents}, "user": {"name": name}}]),
        );
        let facts = Facts {
            diffs: Some(Limits::default()),
            ..Facts::default()
        };
        let form = markdown(&plan(&pair.0, &pair.1, &Policy::default(), &facts));
        let (head, diff) = form.split_once("\n<details>").expect("there is a diff");
        for row in head.lines().filter(|line| line.starts_with('|')) {
            assert_eq!(row.matches('|').count(), 8, "{row}");
        }
        for tag in head.split('<').skip(1) {
            assert!(
                ["code>", "/code>", "span>", "/span>"]
                    .iter()
                    .any(|ours| tag.starts_with(ours)),
                "{tag}"
            );
        }
        assert!(!head.contains(['`', '[', '\u{1b}', '\r', '@']), "{head}");
        // The fence is longer than any run of backticks inside, so the block ends where it should.
        let fence = diff
            .lines()
            .find(|line| line.starts_with("```"))
            .unwrap()
            .trim_end_matches("diff");
        let inside = diff
            .split_once("diff\n")
            .unwrap()
            .1
            .split_once(&format!("\n{fence}\n"))
            .unwrap();
        assert!(
            !inside.0.contains(fence) && inside.1.trim() == "</details>",
            "{diff}"
        );
    }
}

#[test]
fn no_name_disturbs_a_terminal() {
    for name in HOSTILE {
        let pair = files(json!([]), json!([{"path": name, "user": {"name": name}}]));
        let mut plan = plan_of(&pair);
        plan.refusals.clear();
        let form = text(&plan, &Styles::plain());
        assert!(!form.contains(['\u{1b}', '\r']), "{form:?}");
        assert_eq!(form.lines().count(), 9, "{form}");
    }
}

#[test]
fn a_large_plan_still_fits_a_comment() {
    let file = |i: usize| json!({"path": format!("/etc/|||{i}"), "contents": {"source": format!("data:,{}", "a%0A".repeat(150))}});
    let pair = files(json!([]), json!((0..2000).map(file).collect::<Vec<_>>()));
    let facts = Facts {
        diffs: Some(Limits::default()),
        ..Facts::default()
    };
    let form = markdown(&plan(&pair.0, &pair.1, &Policy::default(), &facts));
    assert!(form.len() <= 65_536, "{} bytes", form.len());
    assert!(
        form.contains(" changes are not in the table**") && form.contains(" diffs are not shown."),
        "{}",
        &form[form.len() - 300..]
    );
}

/// A reviewer reads the comment alone: one long value must not take another change out of sight.
#[test]
fn no_long_value_hides_another_change() {
    let karg = "x".repeat(31_000);
    let new = json!({
        "kernelArguments": [karg],
        "config": {"storage": {"files": [{"path": "/etc/sudoers", "contents": {"source": "data:,core"}}]}},
    });
    let pair = (config("old", json!({})), config("new", new));
    let form = markdown(&plan(&pair.0, &pair.1, &Policy::default(), &Facts::default()));
    assert!(form.contains("/etc/sudoers"), "{form}");
    assert!(form.contains("more characters"), "{form}");
    assert!(!form.contains("not in the table"), "{form}");
}

/// Where even short rows are too many, the changes without one are named before the table.
#[test]
fn a_change_without_a_row_is_named_first() {
    let file = |i: usize| json!({"path": format!("/etc/{i:04}"), "contents": {"source": "data:,a"}});
    let pair = files(json!([]), json!((0..400).map(file).collect::<Vec<_>>()));
    let form = markdown(&plan(&pair.0, &pair.1, &Policy::default(), &Facts::default()));
    for i in 0..400 {
        assert!(
            form.contains(&format!("/etc/{i:04}</code>")),
            "{i} is missing\n{form}"
        );
    }
    assert!(form.find("not in the table") < form.find("| What |"), "{form}");
}
