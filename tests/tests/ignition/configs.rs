//! Random Ignition configs that are valid by themselves, with few names so that two of them often speak of the same thing.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

/// A config of that spec version, which is 3.3.0 or newer.
pub(crate) fn config(version: &'static str) -> impl Strategy<Value = Value> {
    let storage = (files(), nodes(), disks(), filesystems(version), raid());
    (storage, units(), accounts(), ignition(), kernel_arguments()).prop_map(move |parts| {
        let (
            (files, (directories, links), disks, filesystems, raid),
            units,
            (users, groups),
            ignition,
            arguments,
        ) = parts;
        let mut ignition = ignition;
        ignition["version"] = json!(version);
        pruned(json!({
            "ignition": ignition,
            "kernelArguments": arguments,
            "passwd": {"users": users, "groups": groups},
            "storage": {
                "files": files, "directories": directories, "links": links,
                "disks": disks, "filesystems": filesystems, "raid": raid,
            },
            "systemd": {"units": units},
        }))
    })
}

/// Some of the names, each with what `inner` makes of it.
fn keyed<T>(
    names: &'static [&'static str],
    key: &'static str,
    inner: impl Fn() -> T + 'static,
) -> impl Strategy<Value = Vec<Value>>
where
    T: Strategy<Value = Value> + 'static,
{
    let count = names.len();
    subsequence(names.to_vec(), 0..=count)
        .prop_shuffle()
        .prop_flat_map(move |names| {
            let entries: Vec<_> = names
                .into_iter()
                .map(|name| {
                    inner().prop_map(move |mut value| {
                        value[key] = json!(name);
                        value
                    })
                })
                .collect();
            entries
        })
}

fn files() -> impl Strategy<Value = Vec<Value>> {
    keyed(&["/a", "/b", "/d/c", "/e"], "path", || {
        let append = vec(resource(), 0..3);
        (node(), option::of(resource()), append, option::of(0..=0o777_u32)).prop_map(
            |(mut node, contents, append, mode)| {
                // The spec forbids to overwrite with nothing.
                if contents.is_none() && node["overwrite"] == json!(true) {
                    node["overwrite"] = Value::Null;
                }
                merged(
                    node,
                    json!({"contents": contents, "append": append, "mode": mode}),
                )
            },
        )
    })
}

/// Directories and links, with paths that files have too.
fn nodes() -> impl Strategy<Value = (Vec<Value>, Vec<Value>)> {
    let directories = keyed(&["/x", "/y"], "path", || {
        (node(), option::of(0..=0o777_u32)).prop_map(|(node, mode)| merged(node, json!({"mode": mode})))
    });
    let links = keyed(&["/l", "/m"], "path", || {
        let target = select(vec!["/a", "/t", "t"]);
        (node(), target, option::of(any::<bool>()))
            .prop_map(|(node, target, hard)| merged(node, json!({"target": target, "hard": hard})))
    });
    // Now and then a list speaks of a path of the other.
    let swap = prop::bool::weighted(0.3);
    (directories, links, swap).prop_map(|(mut directories, links, swap)| {
        if swap && let Some(first) = directories.first_mut() {
            first["path"] = json!("/e");
        }
        (directories, links)
    })
}

fn node() -> impl Strategy<Value = Value> {
    // A name over a number is a conflict once merged: seldom, so that most pairs can be merged.
    let owner = || {
        let some = prop_oneof![9 => Just(json!({"id": 0})), 9 => Just(json!({"id": 7})), 1 => Just(json!({"name": "core"}))];
        option::of(some)
    };
    (option::of(any::<bool>()), owner(), owner())
        .prop_map(|(overwrite, user, group)| json!({"overwrite": overwrite, "user": user, "group": group}))
}

fn resource() -> impl Strategy<Value = Value> {
    let source = select(vec!["data:,1", "data:,2", "data:,", "http://example.com/a"]);
    let compression = option::of(select(vec!["gzip", ""]));
    let hash = option::of(Just(format!("sha256-{}", "0".repeat(64))));
    let headers = option::of(vec(
        (select(vec!["X-A", "X-B"]), option::of(select(vec!["1", "2"]))),
        1..3,
    ));
    (source, compression, hash, headers).prop_map(|(source, compression, hash, headers)| {
        let http = source.starts_with("http");
        let mut headers: Vec<(&str, Option<&str>)> = headers.filter(|_| http).unwrap_or_default();
        headers.sort_unstable();
        headers.dedup_by_key(|(name, _)| *name);
        let headers: Vec<Value> =
            headers.into_iter().map(|(name, value)| json!({"name": name, "value": value.unwrap_or("3")})).collect();
        // Nothing is fetched or inflated in this stage, so a hash or compression that would not fit does no harm to http sources only.
        let hash = hash.filter(|_| http);
        let compression = compression.filter(|compression| http || compression.is_empty());
        json!({"source": source, "compression": compression, "verification": {"hash": hash}, "httpHeaders": headers})
    })
}

fn units() -> impl Strategy<Value = Vec<Value>> {
    keyed(&["a.service", "b.timer", "c@x.service"], "name", || {
        let text = || {
            option::of(select(vec![
                "[Unit]\nDescription=1\n",
                "[Service]\nType=oneshot\n",
                "",
            ]))
        };
        let dropins = keyed(&["10.conf", "20.conf"], "name", move || {
            text().prop_map(|text| json!({"contents": text}))
        });
        (option::of(any::<bool>()), option::of(any::<bool>()), text(), dropins).prop_map(|(enabled, mask, contents, dropins)| {
            json!({"enabled": enabled, "mask": mask, "contents": contents, "dropins": dropins})
        })
    })
}

fn accounts() -> impl Strategy<Value = (Vec<Value>, Vec<Value>)> {
    let users = keyed(&["core", "bob"], "name", || {
        let keys = subsequence(vec!["ssh-rsa 1", "ssh-rsa 2", "ssh-rsa 3"], 0..=3).prop_shuffle();
        let groups = subsequence(vec!["wheel", "adm"], 0..=2).prop_shuffle();
        let scalars = (
            option::of(0..9_u32),
            option::of(select(vec!["", "$6$x"])),
            option::of(any::<bool>()),
        );
        (keys, groups, scalars).prop_map(|(keys, groups, (uid, hash, system))| {
            json!({"sshAuthorizedKeys": keys, "groups": groups, "uid": uid, "passwordHash": hash, "system": system})
        })
    });
    let groups = keyed(&["g", "h"], "name", || {
        (option::of(0..9_u32), option::of(any::<bool>()))
            .prop_map(|(gid, system)| json!({"gid": gid, "system": system}))
    });
    (users, groups)
}

fn disks() -> impl Strategy<Value = Vec<Value>> {
    keyed(&["/dev/vda", "/dev/vdb"], "device", || {
        let partitions = keyed(&["root", "data"], "label", || {
            (option::of(any::<bool>()), option::of(any::<bool>()))
                .prop_map(|(wipe, resize)| json!({"wipePartitionEntry": wipe, "resize": resize.filter(|resize| !resize)}))
        });
        (option::of(any::<bool>()), partitions).prop_map(|(wipe, mut partitions)| {
            // By number in the order of the list, so that both configs number their labels differently.
            for (number, partition) in partitions.iter_mut().enumerate() {
                partition["number"] = json!(number + 1);
            }
            json!({"wipeTable": wipe, "partitions": partitions})
        })
    })
}

fn filesystems(version: &str) -> impl Strategy<Value = Vec<Value>> + use<> {
    // `none` came with 3.3.0; newer versions have it too.
    assert!(version >= "3.3.0", "the fields below are those of 3.3.0");
    keyed(&["/dev/a", "/dev/b"], "device", || {
        let options = || vec(select(vec!["-q", "-v", "noatime"]), 0..3);
        (select(vec!["xfs", "ext4"]), option::of(select(vec!["l1", "l2"])), options(), options()).prop_map(
            |(format, label, options, mount)| json!({"format": format, "label": label, "options": options, "mountOptions": mount}),
        )
    })
}

fn raid() -> impl Strategy<Value = Vec<Value>> {
    keyed(&["md0"], "name", || {
        let devices = subsequence(vec!["/dev/c", "/dev/d", "/dev/e"], 2..=3).prop_shuffle();
        (devices, option::of(0..2_u32), vec(select(vec!["-a", "-b"]), 0..3))
            .prop_map(|(devices, spares, options)| json!({"level": "raid1", "devices": devices, "spares": spares, "options": options}))
    })
}

fn ignition() -> impl Strategy<Value = Value> {
    let timeouts = (option::of(1..9_u32), option::of(1..9_u32));
    let proxy = (
        option::of(Just("http://proxy.example.com")),
        subsequence(vec!["a.example.com", "b.example.com"], 0..=2).prop_shuffle(),
    );
    (timeouts, proxy).prop_map(|((headers, total), (http, no_proxy))| {
        json!({
            "timeouts": {"httpResponseHeaders": headers, "httpTotal": total},
            "proxy": {"httpProxy": http, "noProxy": no_proxy},
        })
    })
}

fn kernel_arguments() -> impl Strategy<Value = Value> {
    let names = vec!["a", "b=1", "c"];
    (
        subsequence(names.clone(), 0..=3).prop_shuffle(),
        subsequence(names, 0..=3),
    )
        .prop_map(|(exist, not)| {
            // The two lists share one key space.
            let not: Vec<_> = not.into_iter().filter(|name| !exist.contains(name)).collect();
            json!({"shouldExist": exist, "shouldNotExist": not})
        })
}

fn merged(mut one: Value, other: Value) -> Value {
    if let (Value::Object(one), Value::Object(other)) = (&mut one, other) {
        one.extend(other);
    }
    one
}

/// Without null, and without lists and objects that are empty.
fn pruned(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().map(|(key, value)| (key, pruned(value)));
            Value::Object(
                kept.filter(|(_, value)| !is_nothing(value))
                    .collect::<Map<_, _>>(),
            )
        }
        Value::Array(list) => Value::Array(list.into_iter().map(pruned).collect()),
        other => other,
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}
