//! Configs for property tests, by `proptest`: valid ones, and ones of any shape the key table allows.
//!
//! Only built with the feature `strategy`, which tests of other packages may ask for too.

mod shape;
mod storage;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use crate::schema::{v2, v3};
use crate::{Config, contents};
use shape::by_table;
use storage::storage;

/// Valid configs of version 3.5.0, as [`Config`]s.
///
/// No field is set to what it means by default, so that no translation leaves one out.
///
/// # Panics
/// When the strategy makes a config that is not valid, which is a mistake in it.
pub fn config() -> impl Strategy<Value = Config> {
    document().prop_map(|document| {
        let parsed = Config::from_value(&document).unwrap_or_else(|invalid| panic!("{invalid}: {document}"));
        parsed.config
    })
}

/// Valid configs of version 3.5.0, as JSON.
pub fn document() -> impl Strategy<Value = Value> {
    let sections = (
        option::of(ignition()),
        option::of(kernel_arguments()),
        option::of(passwd()),
        storage(),
        option::of(systemd()),
    );
    sections.prop_map(|(ignition, kernel_arguments, passwd, storage, systemd)| {
        let mut ignition = ignition.unwrap_or_else(|| json!({}));
        ignition["version"] = json!("3.5.0");
        let optional = [
            ("kernelArguments", kernel_arguments),
            ("passwd", passwd),
            ("storage", Some(storage)),
            ("systemd", systemd),
        ];
        object([("ignition", Some(ignition))].into_iter().chain(optional))
    })
}

/// Configs of any version and shape: keys the tables know, values of the right type and of others.
pub fn anything() -> impl Strategy<Value = Value> {
    let version = select(vec![
        "2.0.0", "2.1.0", "2.2.0", "3.0.0", "3.1.0", "3.2.0", "3.3.0", "3.4.0", "3.5.0", "3.6.0", "3.7.0",
        "x", "",
    ]);
    (version, any::<bool>())
        .prop_flat_map(|(version, is_new)| {
            let table = if is_new && !version.starts_with('2') {
                &v3::CONFIG
            } else {
                &v2::CONFIG
            };
            (Just(version), by_table(table))
        })
        .prop_map(|(version, mut config)| {
            if !config["ignition"].is_object() {
                config["ignition"] = json!({});
            }
            config["ignition"]["version"] = json!(version);
            config
        })
}

/// An object of the fields that are there.
fn object<'n>(fields: impl IntoIterator<Item = (&'n str, Option<Value>)>) -> Value {
    Value::Object(
        fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect(),
    )
}

/// Some of these strings, in order, none twice.
fn some(texts: &[&'static str]) -> impl Strategy<Value = Value> + use<> {
    let most = texts.len();
    subsequence(texts.to_vec(), 1..=most).prop_map(|texts| json!(texts))
}

/// One of these values.
fn one<T: Clone + std::fmt::Debug + Into<Value> + 'static>(values: Vec<T>) -> impl Strategy<Value = Value> {
    select(values).prop_map(Into::into)
}

/// Text with everything that JSON or YAML could trip over.
fn text() -> impl Strategy<Value = Value> {
    prop_oneof!["[a-z ]{1,12}", "[\\x00-\\x1f<>&\"\\\\\u{2028}\u{7f}é]{1,6}"].prop_map(Value::from)
}

/// Contents of a file, in each encoding.
fn resource() -> impl Strategy<Value = Value> {
    let bytes = vec(any::<u8>(), 0..40);
    (bytes, 0..4_u8).prop_map(|(bytes, encoding)| match encoding {
        0 => json!({"source": contents::percent(&bytes)}),
        1 => json!({"source": contents::base64(&bytes)}),
        2 => json!({"source": contents::base64(&contents::gzip(&bytes)), "compression": "gzip"}),
        _ => json!({"source": "https://h/x", "httpHeaders": [{"name": "A", "value": "1"}]}),
    })
}

fn ignition() -> impl Strategy<Value = Value> {
    let sources = vec!["https://a/", "https://b/", "data:,x", "s3://b/k"];
    let references = subsequence(sources, 1..=2).prop_map(|sources| {
        sources
            .into_iter()
            .map(|source| json!({"source": source}))
            .collect::<Value>()
    });
    let proxy = (
        option::of(one(vec!["http://p", "https://p"])),
        option::of(some(&["a", "b"])),
    );
    let parts = (
        option::of(references.clone()),
        option::of(references),
        option::of(0..9),
        option::of(proxy),
    );
    parts.prop_map(|(merge, authorities, total, proxy)| {
        object([
            ("config", merge.map(|merge| json!({"merge": merge}))),
            (
                "security",
                authorities.map(|list| json!({"tls": {"certificateAuthorities": list}})),
            ),
            ("timeouts", total.map(|total| json!({"httpTotal": total}))),
            (
                "proxy",
                proxy.map(|(http, none)| object([("httpProxy", http), ("noProxy", none)])),
            ),
        ])
    })
}

fn kernel_arguments() -> impl Strategy<Value = Value> {
    (some(&["quiet", "nosmt", "a=b"]), some(&["c=d", "rhgb"]))
        .prop_map(|(exist, not)| json!({"shouldExist": exist, "shouldNotExist": not}))
}

fn passwd() -> impl Strategy<Value = Value> {
    let core = (
        option::of(some(&["ssh-ed25519 A", "ssh-ed25519 B", "ssh-rsa C"])),
        option::of(text()),
    );
    let bob = (
        option::of(some(&["wheel", "sudo"])),
        option::of(0..9),
        option::of(Just(json!(false))),
    );
    (core, option::of(bob), option::of(0..9)).prop_map(|((keys, hash), bob, gid)| {
        let core = object([
            ("name", Some(json!("core"))),
            ("sshAuthorizedKeys", keys),
            ("passwordHash", hash),
        ]);
        let bob = bob.map(|(groups, uid, exist)| {
            let uid = uid.map(Value::from);
            object([
                ("name", Some(json!("bob"))),
                ("groups", groups),
                ("uid", uid),
                ("shouldExist", exist),
            ])
        });
        let groups = gid.map(|gid| json!([{"name": "g", "gid": gid}]));
        object([
            ("users", Some([Some(core), bob].into_iter().flatten().collect())),
            ("groups", groups),
        ])
    })
}

fn systemd() -> impl Strategy<Value = Value> {
    let contents = || {
        option::of(one(vec![
            "",
            "[Unit]\nDescription=<x>\n",
            "[Service]\nA=1\n[Install]\nWantedBy=y\n",
        ]))
    };
    let dropins = subsequence(vec!["10-a.conf", "20-b.conf"], 0..=2);
    let dropins = dropins.prop_flat_map(move |names| (Just(names.clone()), vec(contents(), names.len())));
    let unit = (
        contents(),
        option::of(any::<bool>()),
        option::of(any::<bool>()),
        dropins,
    )
        .boxed();
    subsequence(
        vec!["a.service", "b.timer", "c@.service", "c@x.service", "d.mount"],
        1..=5,
    )
    .prop_flat_map(move |names| (Just(names.clone()), vec(unit.clone(), names.len())))
    .prop_map(|(names, units)| {
        let units =
            names
                .into_iter()
                .zip(units)
                .map(|(name, (contents, enabled, mask, (dropins, texts)))| {
                    let dropins: Vec<Value> = (dropins.into_iter().zip(texts))
                        .map(|(name, contents)| object([("name", Some(json!(name))), ("contents", contents)]))
                        .collect();
                    object([
                        ("name", Some(json!(name))),
                        ("contents", contents),
                        ("enabled", enabled.map(Value::from)),
                        ("mask", mask.map(Value::from)),
                        ("dropins", (!dropins.is_empty()).then_some(Value::Array(dropins))),
                    ])
                });
        json!({"units": units.collect::<Value>()})
    })
}
