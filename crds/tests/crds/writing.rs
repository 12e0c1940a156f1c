//! Objects written as YAML: readable, and read back as the same.

use crds::manifest::{Object, parse, to_yaml};
use crds::{MachineConfig, MachineConfigSpec};
use proptest::prelude::*;
use serde_json::{Value, json};

fn machine_config(config: Value) -> MachineConfig {
    MachineConfig::new(
        "a",
        MachineConfigSpec {
            config: Some(config),
            ..MachineConfigSpec::default()
        },
    )
}

fn read_back(yaml: &str) -> MachineConfig {
    let (mut manifests, errors) = parse("x.yaml", yaml);
    assert_eq!(errors, [], "{yaml}");
    assert_eq!(manifests.len(), 1, "{yaml}");
    match manifests.remove(0).object {
        Object::MachineConfig(object) => *object,
        other => panic!("{other:?}"),
    }
}

/// Strings that a reader of YAML 1.1 or 1.2 could take for something else.
const TRICKY: [&str; 74] = [
    "",
    " ",
    "0644",
    "0o644",
    "0x1f",
    "0b11",
    "1e3",
    "1_000",
    "1:20",
    "12e03",
    "-1",
    "+1",
    ".5",
    "5.",
    "1.0",
    ".inf",
    "-.INF",
    ".nan",
    "yes",
    "No",
    "on",
    "OFF",
    "y",
    "N",
    "true",
    "False",
    "null",
    "Null",
    "~",
    "=",
    "<<",
    "2001-01-01",
    "2001-12-14t21:59:43.10-05:00",
    "- a",
    "-",
    "---",
    "...",
    "? a",
    "?",
    ": a",
    "a: b",
    "a:",
    ":",
    "a #b",
    "#",
    "&a",
    "*a",
    "!a",
    "|",
    ">",
    "%a",
    "@a",
    "`a",
    "'",
    "\"",
    "{",
    "}",
    "[a]",
    ",",
    "a\nb",
    "a\nb\n",
    "a\n\n",
    "\na",
    " a",
    "a ",
    "\ta",
    "a\t",
    "a\r\nb",
    "\u{feff}a",
    "\u{85}",
    "\u{2028}",
    "\u{0}\u{1}\u{7f}\u{9f}",
    "😀",
    "a\\b",
];

#[test]
fn strings_that_look_like_something_else_stay_strings() {
    for text in TRICKY {
        let object = machine_config(json!({ "value": text, "list": [text], text: 1 }));
        let yaml = to_yaml(&object);
        assert_eq!(read_back(&yaml), object, "{text:?}\n{yaml}");
    }
}

#[test]
fn it_is_readable() {
    let object = machine_config(json!({
        "ignition": { "version": "3.4.0" },
        "storage": { "files": [{
            "path": "/etc/chrony.conf",
            "mode": 420,
            "contents": { "source": format!("data:,{}", "pool%20ntp.example.com ".repeat(10).trim_end()) },
        }] },
        "systemd": { "units": [{ "name": "a.service", "contents": "[Unit]\nDescription=A: b\n\n[Service]\nType=oneshot\n" }] },
    }));
    insta::assert_snapshot!(to_yaml(&object));
}

#[test]
fn whole_numbers_have_no_decimal_point() {
    assert_eq!(
        to_yaml(&json!({ "a": 1.0, "b": 0.5, "c": [-2.0] })),
        "a: 1\nb: 0.5\nc:\n- -2\n"
    );
}

/// Any JSON value, with numbers that are read back as the same kind of number.
fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        r"(?s).{0,30}",
        r"[ \n\t:#\-a'\x22]{0,12}",
        prop::sample::select(TRICKY.to_vec()).prop_map(str::to_owned),
        "[a-z ]{70,200}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9_f64)
            .prop_filter("whole numbers become integers", |number| number.fract() != 0.0)
            .prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(text.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(value in value()) {
        let object = machine_config(json!({ "value": value }));
        let yaml = to_yaml(&object);
        prop_assert_eq!(read_back(&yaml), object, "{}", yaml);
    }
}
