//! The report forms.

use super::*;
use crate::drift::report::{self, Report};

fn example() -> Vec<Drift> {
    let expected = spec3(json!({
        "storage": {"files": [
            {"path": "/etc/chrony.conf", "contents": {"source": "data:,pool%20a.example%0Amakestep%0A"}},
            {"path": "/etc/app/token", "mode": 0o600, "contents": {"source": "data:,CANARY"}},
        ]},
        "systemd": {"units": [{"name": "chronyd.service", "enabled": true}]},
    }));
    let part = |path: &str| Part::Path(path.to_owned());
    let origin = Origin {
        winner: "99-worker-time".to_owned(),
        beaten: vec!["00-worker".to_owned()],
    };
    let provenance = Provenance {
        origins: [(part("/etc/chrony.conf"), origin)].into(),
    };
    let expected = expected.with_provenance(&provenance);
    let chrony = seen("pool b.example\nmakestep\n", 0o664, ROOT);
    let token = seen("CANARY2", 0o644, ROOT);
    let mut observed = node(
        &expected,
        &[("/etc/chrony.conf", chrony), ("/etc/app/token", token)],
    );
    observed
        .enablement
        .insert("chronyd.service".to_owned(), "disabled".to_owned());
    compare(&expected, &observed)
}

#[test]
fn a_report_as_text() {
    let text = report::text("rendered-worker-0a", &example(), &Styles::plain());
    assert!(!text.contains("CANARY"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn a_report_as_json() {
    let json = report::json("rendered-worker-0a", example());
    assert!(!json.contains("CANARY"), "{json}");
    let read: Report = serde_json::from_str(&json).unwrap();
    assert_eq!(read, report::report("rendered-worker-0a", example()));
    insta::assert_snapshot!(json);
}

#[test]
fn no_drift_is_one_line() {
    assert_eq!(
        report::text("rendered-x", &[], &Styles::plain()),
        "rendered-x: no drift\n"
    );
    let clean: Report = serde_json::from_str(&report::json("rendered-x", Vec::new())).unwrap();
    assert!(clean.clean && clean.drift.is_empty());
}

#[test]
fn nothing_that_was_found_disturbs_a_terminal() {
    let expected = one_file(json!({"path": "/a\u{1b}[2J", "contents": {"source": "data:,x"}}));
    for found in [
        link("\u{1b}[2J", None),
        file("\u{1b}[2J"),
        Seen::Unreadable {
            reason: "\u{1b}\r".to_owned(),
        },
    ] {
        let found = compare(&expected, &node(&expected, &[("/a\u{1b}[2J", found)]));
        let text = report::text("\u{1b}[2J", &found, &Styles::plain());
        assert!(found.len() == 1 && !text.contains(['\u{1b}', '\r']), "{text:?}");
    }
}

#[test]
fn colours_only_where_they_are_asked_for() {
    let coloured = report::text("x", &example(), &Styles::coloured());
    assert!(
        coloured.contains("\u{1b}[31m-pool a.example\u{1b}[0m"),
        "{coloured:?}"
    );
}

#[test]
fn the_documented_json_is_what_is_written() {
    let documentation = include_str!("../../../../docs/drift.md");
    let (_, rest) = documentation
        .split_once("```json\n")
        .expect("the page has an example");
    let (documented, _) = rest.split_once("\n```").expect("the example ends");
    let of_chrony = |drift: &Drift| drift.path == "/etc/chrony.conf" && drift.kind == DriftKind::Content;
    let written = report::json(
        "rendered-worker-0a",
        example().into_iter().filter(of_chrony).collect(),
    );
    assert_eq!(documented, written.trim_end());
    let kinds = [
        DriftKind::Missing,
        DriftKind::Type,
        DriftKind::Mode,
        DriftKind::Owner,
        DriftKind::Content,
        DriftKind::Mask,
        DriftKind::Enablement,
        DriftKind::SshKeys,
        DriftKind::LeadsOut,
        DriftKind::Unreadable,
        DriftKind::Unsatisfiable,
    ];
    for kind in kinds {
        let name = serde_json::to_value(kind).unwrap();
        let row = format!("| `{}` | {} |", name.as_str().unwrap(), kind.code());
        assert!(documentation.contains(&row), "{row} is missing");
    }
}
