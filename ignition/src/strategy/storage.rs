//! Files, directories and links; disks and what is made on them.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::subsequence;
use serde_json::{Map, Value, json};

use super::{object, one, resource, some, text};

/// Paths none of which lies below another.
const PATHS: [&str; 8] = [
    "/etc/a",
    "/etc/a.d",
    "/etc/b",
    "/etc/chrony.conf",
    "/usr/local/bin/x",
    "/var/lib/y",
    "/var/lib/y.z",
    "/opt/ü",
];

pub(super) fn storage() -> impl Strategy<Value = Value> {
    (nodes(), option::of(disks())).prop_map(|(mut storage, disks)| {
        if let (Value::Object(storage), Some(Value::Object(disks))) = (&mut storage, disks) {
            storage.extend(disks);
        }
        storage
    })
}

/// Files, directories and links, each path once.
fn nodes() -> impl Strategy<Value = Value> {
    let node = (
        0..6_u8,
        node_fields(),
        resource(),
        vec(resource(), 0..3),
        one(vec!["/t", "../t"]),
    )
        .boxed();
    let nodes = subsequence(PATHS.to_vec(), 0..=PATHS.len());
    nodes
        .prop_flat_map(move |paths| {
            let count = paths.len();
            (Just(paths), vec(node.clone(), count))
        })
        .prop_map(|(paths, nodes)| {
            let mut storage = Map::new();
            for (path, (kind, mut node, contents, append, target)) in paths.into_iter().zip(nodes) {
                node["path"] = json!(path);
                let list = match kind {
                    0 => "directories",
                    1 => "links",
                    _ => "files",
                };
                match list {
                    "links" => node["target"] = target,
                    "files" => {
                        node["contents"] = contents;
                        if !append.is_empty() {
                            node["append"] = Value::Array(append);
                        }
                    }
                    _ => {}
                }
                if list == "links" {
                    node.as_object_mut().map(|node| node.remove("mode"));
                }
                if let Value::Array(items) = storage.entry(list).or_insert_with(|| json!([])) {
                    items.push(node);
                }
            }
            Value::Object(storage)
        })
}

fn node_fields() -> impl Strategy<Value = Value> {
    let owner = || option::of(prop_oneof![Just(json!({"id": 7})), Just(json!({"name": "u"}))]);
    (option::of(0..=0o777), option::of(any::<bool>()), owner(), owner()).prop_map(
        |(mode, overwrite, user, group)| {
            object([
                ("mode", mode.map(Value::from)),
                ("overwrite", overwrite.map(Value::from)),
                ("user", user),
                ("group", group),
            ])
        },
    )
}

fn disks() -> impl Strategy<Value = Value> {
    let lists = (
        option::of(disk()),
        option::of(filesystem()),
        option::of(luks()),
        option::of(raid()),
    );
    lists.prop_map(|(disk, filesystem, luks, raid)| {
        let lists = [
            ("disks", disk),
            ("filesystems", filesystem),
            ("luks", luks),
            ("raid", raid),
        ];
        object(lists.map(|(name, item)| (name, item.map(|item| json!([item])))))
    })
}

fn disk() -> impl Strategy<Value = Value> {
    (
        option::of(any::<bool>()),
        option::of(1..9),
        option::of(Just(json!(true))),
    )
        .prop_map(|(wipe, size, resize)| {
            let label = [("number", Some(json!(1))), ("label", Some(json!("p")))];
            let partition = object(
                label
                    .into_iter()
                    .chain([("sizeMiB", size.map(Value::from)), ("resize", resize)]),
            );
            object([
                ("device", Some(json!("/dev/a"))),
                ("wipeTable", wipe.map(Value::from)),
                ("partitions", Some(json!([partition]))),
            ])
        })
}

fn filesystem() -> impl Strategy<Value = Value> {
    let parts = (
        one(vec!["/var", "/srv"]),
        option::of(some(&["ro", "noexec"])),
        option::of(text()),
    );
    parts.prop_map(|(path, options, uuid)| {
        object([
            ("device", Some(json!("/dev/b"))),
            ("format", Some(json!("xfs"))),
            ("path", Some(path)),
            ("mountOptions", options),
            ("uuid", uuid),
        ])
    })
}

fn luks() -> impl Strategy<Value = Value> {
    let clevis = prop_oneof![
        Just(json!({"tpm2": true})),
        Just(json!({"tang": [{"url": "http://t", "thumbprint": "p"}], "threshold": 1})),
        Just(json!({"custom": {"pin": "sss", "config": "{}"}})),
    ];
    let parts = (
        clevis,
        option::of(some(&["-x", "-y"])),
        option::of(Just(json!(true))),
    );
    parts.prop_map(|(clevis, open, discard)| {
        let fields = [
            ("name", Some(json!("l"))),
            ("device", Some(json!("/dev/c"))),
            ("clevis", Some(clevis)),
        ];
        object(
            fields
                .into_iter()
                .chain([("openOptions", open), ("discard", discard)]),
        )
    })
}

fn raid() -> impl Strategy<Value = Value> {
    some(&["/dev/d", "/dev/e"]).prop_map(|devices| json!({"name": "m", "level": "raid1", "devices": devices}))
}
