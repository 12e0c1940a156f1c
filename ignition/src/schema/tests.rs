//! The 3.x table against the generated types, and what else must hold of a table.

use ignition_config::{v3_0, v3_1, v3_2, v3_3, v3_4, v3_5, v3_6};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Key, Kind, Neutral, Object, Presence, v2, v3};
use crate::version::Spec;
use crate::{parse, tree};

/// An object with every field that `spec` knows, one entry in each list.
fn full(object: &Object, spec: Spec) -> Value {
    let fields = object.fields.iter().filter(|field| field.since <= spec);
    let values = fields.map(|field| {
        let value = match field.kind {
            Kind::Text if field.name == "version" => json!(spec.as_str()),
            Kind::Text => json!("x"),
            Kind::Int => json!(1),
            Kind::Bool => json!(true),
            Kind::Object(object) => full(object, spec),
            Kind::Texts(_) => json!(["x"]),
            Kind::Objects(object, _) => json!([full(object, spec)]),
        };
        (field.name.to_owned(), value)
    });
    Value::Object(values.collect())
}

/// Holds the table at `spec` against the types of a version of `ignition-config`.
fn check<T: DeserializeOwned + Serialize + std::fmt::Debug>(spec: Spec) {
    let value = full(&v3::CONFIG, spec);
    let typed: T = serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{spec}: {error}"));
    assert!(
        !format!("{typed:?}").contains("None"),
        "{spec}: the types have a field that the table has not: {typed:?}"
    );
    let back = serde_json::to_value(&typed).expect("types serialise");
    assert_eq!(
        back, value,
        "{spec}: the table has a field that the types have not"
    );
}

#[test]
fn the_table_holds_the_fields_of_every_version_of_the_types() {
    check::<v3_0::Config>(Spec::V3_0);
    check::<v3_1::Config>(Spec::V3_1);
    check::<v3_2::Config>(Spec::V3_2);
    check::<v3_3::Config>(Spec::V3_3);
    check::<v3_4::Config>(Spec::V3_4);
    check::<v3_5::Config>(Spec::V3_5);
    check::<v3_6::Config>(Spec::V3_6);
}

#[test]
fn a_config_of_every_field_is_read_whole_and_without_a_word() {
    for (table, spec) in [
        (&v3::CONFIG, Spec::V3_5),
        (&v3::CONFIG, Spec::V3_0),
        (&v2::CONFIG, Spec::V2_2),
    ] {
        let value = full(table, spec);
        let (read, problems) = parse::read(table, spec, &value);
        assert_eq!((read.to_json(), problems), (value, vec![]));
    }
}

#[test]
fn an_older_version_warns_of_every_newer_field() {
    let value = full(&v3::CONFIG, Spec::V3_5);
    let (read, problems) = parse::read(&v3::CONFIG, Spec::V3_0, &value);
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "$.ignition.config.merge[0].compression",
            "$.ignition.config.merge[0].httpHeaders",
            "$.ignition.config.replace.compression",
            "$.ignition.config.replace.httpHeaders",
            "$.ignition.proxy",
            "$.ignition.security.tls.certificateAuthorities[0].compression",
            "$.ignition.security.tls.certificateAuthorities[0].httpHeaders",
            "$.kernelArguments",
            "$.passwd.groups[0].shouldExist",
            "$.passwd.users[0].shouldExist",
            "$.storage.disks[0].partitions[0].resize",
            "$.storage.files[0].append[0].httpHeaders",
            "$.storage.files[0].contents.httpHeaders",
            "$.storage.filesystems[0].mountOptions",
            "$.storage.luks",
        ]
    );
    let mut expected = full(&v3::CONFIG, Spec::V3_0);
    expected["ignition"]["version"] = json!("3.5.0");
    assert_eq!(read.to_json(), expected);
}

/// Calls `look` on every object of a table, each once.
fn each_object(object: &'static Object, seen: &mut Vec<&'static Object>) {
    if seen.iter().any(|known| std::ptr::eq(*known, object)) {
        return;
    }
    seen.push(object);
    for field in object.fields {
        match field.kind {
            Kind::Object(inner) | Kind::Objects(inner, _) => each_object(inner, seen),
            Kind::Text | Kind::Int | Kind::Bool | Kind::Texts(_) => {}
        }
    }
}

#[test]
fn the_tables_are_sound() {
    let mut objects = Vec::new();
    each_object(&v3::CONFIG, &mut objects);
    each_object(&v2::CONFIG, &mut objects);
    for object in objects {
        for (i, field) in object.fields.iter().enumerate() {
            let what = format!("{} of {}", field.name, object.name);
            assert!(
                object.fields[..i].iter().all(|other| other.name != field.name),
                "{what} is there twice"
            );
            if field.neutral != Neutral::Absent {
                assert!(
                    field.since > Spec::V2_0,
                    "{what} has a neutral value, but every version knows it"
                );
            }
            if let Kind::Objects(inner, _) = field.kind
                && field.space().is_some()
            {
                assert_ne!(
                    inner.key,
                    Key::None,
                    "{what} is a keyed list of objects without a key"
                );
            }
            if let Key::Field(key) = object.key
                && field.name == key
            {
                assert!(matches!(field.kind, Kind::Text), "{what} is a key, but no string");
            }
        }
        if let Key::Field(key) = object.key {
            assert!(
                object.fields.iter().any(|field| field.name == key),
                "a {} has no {key}",
                object.name
            );
        }
    }
}

#[test]
fn keys_tell_entries_apart() {
    fn key(object: &'static Object, value: &Value) -> String {
        let (map, problems) = parse::read(object, Spec::V3_5, value);
        assert_eq!(problems, vec![]);
        object.key_of(&map).into_owned()
    }
    let disks = v3::CONFIG.field("storage").expect("a field");
    let Kind::Object(storage) = disks.kind else {
        panic!("storage is an object")
    };
    let Kind::Objects(disk, _) = storage.field("disks").expect("a field").kind else {
        panic!("disks are a list")
    };
    let Kind::Objects(partition, _) = disk.field("partitions").expect("a field").kind else {
        panic!("partitions are a list")
    };
    assert_eq!(key(disk, &json!({"device": "/dev/a"})), "/dev/a");
    assert_eq!(key(partition, &json!({"number": 3, "label": "x"})), "number:3");
    assert_eq!(key(partition, &json!({"number": 0, "label": "x"})), "label:x");
    assert_eq!(key(partition, &json!({"label": ""})), "label:");
    assert_eq!(key(partition, &json!({})), "");
}

#[test]
fn keys_fold_as_gos_decoder_folds_them() {
    let name = |key: &str| v3::CONFIG.field(key).map(|field| field.name);
    assert_eq!(name("storage"), Some("storage"));
    assert_eq!(name("STORAGE"), Some("storage"));
    assert_eq!(name("\u{17f}torage"), Some("storage"));
    assert_eq!(name("\u{212a}ernelarguments"), Some("kernelArguments"));
    assert_eq!(name("ſyſtemd"), Some("systemd"));
    assert_eq!(name("storages"), None);
    assert_eq!(name("storag"), None);
    assert_eq!(name(""), None);
}

#[test]
fn what_says_nothing_is_neutral() {
    let arguments = v3::CONFIG.field("kernelArguments").expect("a field");
    let Kind::Object(object) = arguments.kind else {
        panic!("kernelArguments is an object")
    };
    let is_neutral = |value: Value| {
        let (map, problems) = parse::read(object, Spec::V3_5, &value);
        assert_eq!(problems, vec![]);
        arguments.is_neutral(&tree::Value::Object(map))
    };
    assert!(is_neutral(json!({})));
    assert!(is_neutral(json!({"shouldExist": []})));
    assert!(!is_neutral(json!({"shouldExist": ["a"]})));
    assert_eq!(arguments.presence, Presence::NonZero);
}
