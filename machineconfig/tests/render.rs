//! Laws of rendering, over random sets of MachineConfigs that overlap.

use std::collections::{BTreeMap, BTreeSet};

use crds::{MachineConfig, annotations};
use machineconfig::name::rendered_name;
use machineconfig::provenance::Part;
use machineconfig::reconcile::{Origins, check};
use machineconfig::{Defaults, Rendered, RenderedConfig, render};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

/// An object of the fields that are there.
fn object(fields: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Value {
    let there = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect::<Map<_, _>>())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z :#'\"\n-]{0,12}",
        select(vec!["y", "0x1F", "1:20", "<&>", "\u{2028}", "é😀"]).prop_map(str::to_owned)
    ]
}

fn file() -> impl Strategy<Value = Value> {
    let contents = (text(), any::<bool>()).prop_map(|(text, base64)| {
        let encode = if base64 {
            ignition::contents::base64
        } else {
            ignition::contents::percent
        };
        json!({ "source": encode(text.as_bytes()) })
    });
    let gzipped = text().prop_map(|text| {
        json!({ "source": ignition::contents::base64(&ignition::contents::gzip(text.as_bytes())), "compression": "gzip" })
    });
    let contents = prop_oneof![3 => contents, 1 => gzipped];
    (contents, option::of(0..0o777u32), option::of(any::<bool>())).prop_map(|(contents, mode, overwrite)| {
        object([
            ("contents", Some(contents)),
            ("mode", mode.map(Value::from)),
            ("overwrite", overwrite.map(Value::from)),
        ])
    })
}

fn unit() -> impl Strategy<Value = Value> {
    let contents = option::of(select(vec![
        "[Unit]\nDescription=a b\n",
        "[Install]\nWantedBy=multi-user.target\n",
    ]));
    let dropins = subsequence(vec!["10-a.conf", "20-b.conf"], 0..=2);
    (contents, option::of(any::<bool>()), dropins).prop_map(|(contents, enabled, dropins)| {
        let dropins = dropins
            .iter()
            .map(|name| json!({ "name": name, "contents": "[Service]\n" }));
        object([
            ("contents", contents.map(Value::from)),
            ("enabled", enabled.map(Value::from)),
            ("dropins", Some(dropins.collect())),
        ])
    })
}

/// Entries under some of the keys, each with its key.
fn keyed(
    key: &'static str,
    keys: Vec<&'static str>,
    entry: impl Strategy<Value = Value> + Clone,
) -> impl Strategy<Value = Value> {
    let count = keys.len();
    let chosen = subsequence(keys, 0..=count).prop_shuffle();
    chosen.prop_flat_map(move |keys| {
        let entries = proptest::collection::vec(entry.clone(), keys.len());
        entries.prop_map(move |mut entries| {
            for (entry, name) in entries.iter_mut().zip(&keys) {
                entry[key] = Value::from(*name);
            }
            Value::Array(entries)
        })
    })
}

fn config() -> impl Strategy<Value = Value> {
    let files = keyed("path", vec!["/etc/a", "/etc/b", "/etc/c"], file().boxed());
    let units = keyed("name", vec!["a.service", "b.timer"], unit().boxed());
    let keys = subsequence(vec!["ssh-rsa A", "ssh-rsa B", "ssh-ed25519 C"], 0..=3);
    let version = select(vec!["3.0.0", "3.1.0", "3.2.0", "3.4.0", "3.5.0"]);
    (version, files, units, keys).prop_map(|(version, mut files, units, keys)| {
        if version == "3.0.0" {
            // Compression came with 3.1.
            for file in files.as_array_mut().into_iter().flatten() {
                file["contents"]
                    .as_object_mut()
                    .map(|contents| contents.remove("compression"));
            }
        }
        json!({
            "ignition": { "version": version },
            "passwd": { "users": [{ "name": "core", "sshAuthorizedKeys": keys }] },
            "storage": { "files": files },
            "systemd": { "units": units },
        })
    })
}

fn machine_config(index: usize) -> impl Strategy<Value = MachineConfig> {
    let kernel = select(vec!["", "default", "realtime", "64k-pages"]);
    let arguments = proptest::collection::vec(text(), 0..3);
    let extensions = subsequence(vec!["usbguard", "sysstat"], 0..=2);
    let role = select(vec!["worker", "edge"]);
    (option::weighted(0.8, config()), arguments, extensions, kernel, any::<bool>(), role).prop_map(
        move |(config, arguments, extensions, kernel, fips, role)| {
            let spec = json!({
                "config": config, "kernelArguments": arguments, "extensions": extensions, "kernelType": kernel, "fips": fips,
            });
            let spec = serde_json::from_value(spec).expect("the spec has the fields of its type");
            let mut config = MachineConfig::new(&format!("{index:02}-x"), spec);
            config.metadata.labels = Some(BTreeMap::from([(annotations::ROLE.to_owned(), role.to_owned())]));
            config
        },
    )
}

fn machine_configs() -> impl Strategy<Value = Vec<MachineConfig>> {
    (1..6usize).prop_flat_map(|count| {
        (0..count)
            .map(|index| machine_config(index).boxed())
            .collect::<Vec<_>>()
    })
}

fn defaults() -> Defaults {
    Defaults {
        os_image_url: "os@sha256:1".to_owned(),
        extensions_image_url: "extensions@sha256:1".to_owned(),
        ..Defaults::default()
    }
}

fn rendered(configs: &[MachineConfig]) -> Rendered {
    render("edge", configs, &defaults()).expect("the set is valid by construction")
}

/// What matters to a node.
fn outcome(rendered: &Rendered) -> (&str, &str) {
    (&rendered.name, &rendered.spec_json)
}

proptest! {
    #[test]
    fn the_order_of_the_input_does_not_matter(
        (configs, shuffled) in machine_configs().prop_flat_map(|configs| {
            (Just(configs.clone()), Just(configs).prop_shuffle())
        })
    ) {
        prop_assert_eq!(rendered(&configs), rendered(&shuffled));
    }

    #[test]
    fn rendering_a_rendered_config_changes_nothing(configs in machine_configs()) {
        let first = rendered(&configs);
        let mut again = first.machine_config();
        again.metadata.labels = configs[0].metadata.labels.clone();
        let second = rendered(&[again]);
        prop_assert_eq!(outcome(&first), outcome(&second));
        prop_assert_eq!(first.ignition, second.ignition);
    }

    #[test]
    fn a_machine_config_that_says_nothing_changes_nothing(configs in machine_configs()) {
        let before = rendered(&configs);
        let mut more = configs.clone();
        let mut nothing = MachineConfig::new("zz-nothing", crds::MachineConfigSpec::default());
        nothing.metadata.labels = configs[0].metadata.labels.clone();
        more.push(nothing);
        let after = rendered(&more);
        prop_assert_eq!(outcome(&before), outcome(&after));
    }

    #[test]
    fn what_is_rendered_is_read_back_and_stays_as_it_is_on_a_node(configs in machine_configs()) {
        let rendered = rendered(&configs);
        let read = RenderedConfig::from_machine_config(&rendered.machine_config()).unwrap();
        prop_assert_eq!(&read.ignition, &rendered.ignition);
        prop_assert_eq!(read.ignition.to_json(), rendered.ignition.to_json());
        let provenance = Origins { old: Some(&rendered.provenance), new: Some(&rendered.provenance) };
        prop_assert_eq!(check(&read, &read, &BTreeSet::new(), provenance), Ok(()));
    }

    #[test]
    fn object_bytes_and_name_say_the_same(configs in machine_configs()) {
        let rendered = rendered(&configs);
        let bytes: Value = serde_json::from_str(&rendered.spec_json).unwrap();
        prop_assert_eq!(&bytes, &serde_json::to_value(&rendered.machine_config().spec).unwrap());
        prop_assert_eq!(rendered_name("edge", &bytes), Ok(rendered.name));
    }

    #[test]
    fn every_part_comes_from_a_source_and_the_last_one_wins(configs in machine_configs()) {
        let rendered = rendered(&configs);
        let rank = |name: &str| rendered.sources.iter().position(|source| source == name);
        for (part, origin) in &rendered.provenance.origins {
            let ranks: Vec<_> = origin.touched_by().map(rank).collect();
            prop_assert!(ranks.iter().all(Option::is_some) && ranks.is_sorted(), "{part}: {origin:?}");
        }
        let pointer = |list: &str| rendered.ignition.value().pointer(list).and_then(Value::as_array).cloned();
        for file in pointer("/storage/files").unwrap_or_default() {
            let part = Part::Path(file["path"].as_str().unwrap().to_owned());
            prop_assert!(rendered.provenance.winner(&part).is_some(), "{part}");
        }
        for unit in pointer("/systemd/units").unwrap_or_default() {
            let part = Part::Unit(unit["name"].as_str().unwrap().to_owned());
            prop_assert!(rendered.provenance.winner(&part).is_some(), "{part}");
        }
    }
}
