//! What holds of every config: merging, writing, reading, translating.

use ignition::strategy::{anything, config, document};
use ignition::{Config, Merger, Severity, Version, contents, types};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

/// The versions a 3.x config is translated down to.
const DOWN: [Version; 4] = [Version::V3_1, Version::V3_2, Version::V3_3, Version::V3_4];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn merging_with_nothing_changes_nothing(config in config()) {
        prop_assert_eq!(config.merge(&Config::empty()), config.clone());
        prop_assert_eq!(Config::empty().merge(&config), config);
    }

    #[test]
    fn merging_a_config_over_itself_only_repeats_what_is_appended(config in config()) {
        let twice = config.merge(&config);
        prop_assert_eq!(twice.typed().systemd, config.typed().systemd);
        prop_assert_eq!(twice.typed().passwd, config.typed().passwd);
        prop_assert_eq!(twice.typed().kernel_arguments, config.typed().kernel_arguments);
        prop_assert_eq!(twice.typed().ignition, config.typed().ignition);
        for (twice, once) in files(&twice).iter().zip(files(&config)) {
            let count = |file: &types::File| file.append.as_ref().map_or(0, Vec::len);
            prop_assert_eq!(count(twice), 2 * count(&once));
            prop_assert_eq!(&twice.contents, &once.contents);
        }
    }

    #[test]
    fn a_merger_gives_what_merging_one_by_one_gives(configs in vec(config(), 1..6)) {
        let mut merger = Merger::new(configs[0].clone());
        for config in &configs[1..] {
            merger.add(config.clone());
        }
        let folded = configs[1..].iter().fold(configs[0].clone(), |merged, config| merged.merge(config));
        prop_assert_eq!(merger.finish(), folded);
    }

    #[test]
    fn what_is_not_looked_at_again_after_merging_is_not_broken_by_it(configs in vec(config(), 1..6)) {
        let mut merger = Merger::new(configs[0].clone());
        for config in &configs[1..] {
            merger.add_overriding(config.clone());
        }
        let merged = merger.finish_rendered();
        prop_assert_eq!(merged.validate_merged(), merged.validate());
        let mut dropped = merged.clone();
        dropped.drop_empty();
        prop_assert_eq!(dropped, merged);
    }

    #[test]
    fn an_overridden_file_is_not_compressed_unless_it_says_so(base in config(), child in config()) {
        let mut merger = Merger::new(base);
        merger.add_overriding(child.clone());
        let merged = files(&merger.finish());
        for file in files(&child) {
            let now = merged.iter().find(|now| now.path == file.path).expect("the child's files are there");
            let compression = |file: &types::File| file.contents.as_ref().and_then(|c| c.compression.clone());
            prop_assert_eq!(compression(now), compression(&file), "{}", file.path);
        }
    }

    #[test]
    fn what_is_written_reads_back_the_same(config in config()) {
        let text = config.encode(Version::V3_5).expect("a valid config can be written");
        prop_assert_eq!(&text, &config.to_json());
        prop_assert_eq!(Config::parse(text.as_bytes()).expect("and read").config, config);
    }

    #[test]
    fn down_and_up_again_is_the_same_where_it_can_be_said(config in config()) {
        for version in DOWN {
            let Ok(text) = config.encode(version) else { continue };
            let parsed = Config::parse(text.as_bytes()).expect("it was validated at its version");
            prop_assert_eq!(parsed.declared.as_str(), version.as_str());
            prop_assert_eq!(&parsed.config, &config);
        }
    }

    #[test]
    fn an_older_version_says_no_more_than_a_newer_one(config in config()) {
        let said: Vec<bool> = DOWN.iter().map(|version| config.encode(*version).is_ok()).collect();
        prop_assert!(said.is_sorted(), "{:?}", said);
    }

    #[test]
    fn down_to_2_2_and_up_again_keeps_every_node_and_unit(config in config()) {
        let Ok(text) = config.encode(Version::V2_2) else { return Ok(()) };
        let Ok(parsed) = Config::parse(text.as_bytes()) else {
            // Only core can be a user of a 2.x config, only root a file system, and partitions change their unit.
            prop_assert!(["\"bob\"", "\"filesystems\"", "\"partitions\""].iter().any(|part| text.contains(part)));
            return Ok(());
        };
        let again = parsed.config.encode(Version::V2_2).expect("what came from 2.2 fits 2.2");
        let twice = Config::parse(again.as_bytes()).expect("what was written is read").config;
        prop_assert_eq!(sorted(&twice), sorted(&parsed.config));
        prop_assert_eq!(names(&parsed.config), names(&config));
    }

    #[test]
    fn a_valid_config_has_no_problem_but_warnings(document in document()) {
        let parsed = Config::from_value(&document).expect("the strategy makes valid configs");
        prop_assert!(parsed.config.validate().iter().all(|problem| problem.severity == Severity::Warning));
        prop_assert!(parsed.config.special_modes().is_empty());
    }

    #[test]
    fn reading_anything_ends_in_a_config_or_in_reasons(value in anything()) {
        match Config::from_value(&value) {
            Ok(parsed) => {
                let text = parsed.config.to_json();
                let again = Config::parse(text.as_bytes()).expect("a valid config stays one");
                prop_assert_eq!(again.config.to_json(), text);
                for version in Version::ALL {
                    let _ = parsed.config.encode(version);
                }
                let _ = parsed.config.typed();
            }
            Err(invalid) => {
                prop_assert!(invalid.problems.iter().any(|problem| problem.severity == Severity::Error));
                prop_assert!(invalid.problems.iter().all(|problem| problem.path.starts_with('$')));
            }
        }
        if let Ok(parsed) = Config::from_value_unvalidated(&value) {
            let _ = (parsed.config.typed(), parsed.config.validate(), parsed.config.merge(&parsed.config));
        }
    }

    #[test]
    fn reading_any_bytes_does_not_panic(bytes in vec(any::<u8>(), 0..200), text in "\\PC{0,80}") {
        let _ = Config::parse(&bytes);
        let _ = Config::parse(text.as_bytes());
        let _ = contents::decode(Some(&text), Some("gzip"), 1000);
        let _ = contents::decode(Some(&format!("data:{text}")), None, 1000);
        let _ = contents::gunzip(&bytes, 1000);
    }

    #[test]
    fn contents_survive_every_encoding(bytes in vec(any::<u8>(), 0..300)) {
        let limit = bytes.len();
        prop_assert_eq!(contents::decode(Some(&contents::percent(&bytes)), None, limit), Ok(bytes.clone()));
        prop_assert_eq!(contents::decode(Some(&contents::base64(&bytes)), Some(""), limit), Ok(bytes.clone()));
        let packed = contents::base64(&contents::gzip(&bytes));
        prop_assert_eq!(contents::decode(Some(&packed), Some("gzip"), limit), Ok(bytes.clone()));
        if limit > 0 {
            let error = contents::ContentsError::TooLarge { limit: limit - 1 };
            prop_assert_eq!(contents::decode(Some(&packed), Some("gzip"), limit - 1), Err(error.clone()));
            prop_assert_eq!(contents::decode(Some(&contents::percent(&bytes)), None, limit - 1), Err(error));
        }
    }
}

fn files(config: &Config) -> Vec<types::File> {
    config
        .typed()
        .storage
        .and_then(|storage| storage.files)
        .unwrap_or_default()
}

/// A config as text in which the order of lists does not count.
fn sorted(config: &Config) -> String {
    fn sort(value: &mut Value) {
        match value {
            Value::Array(items) => {
                items.iter_mut().for_each(sort);
                items.sort_by_key(ToString::to_string);
            }
            Value::Object(map) => map.values_mut().for_each(sort),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut value = config.value().clone();
    sort(&mut value);
    value.to_string()
}

/// The paths of the nodes and the names of the units, in order.
fn names(config: &Config) -> Vec<String> {
    let typed = config.typed();
    let storage = typed.storage.unwrap_or_default();
    let mut names: Vec<String> = storage
        .files
        .unwrap_or_default()
        .into_iter()
        .map(|file| file.path)
        .collect();
    names.extend(
        storage
            .directories
            .unwrap_or_default()
            .into_iter()
            .map(|directory| directory.path),
    );
    names.extend(
        storage
            .links
            .unwrap_or_default()
            .into_iter()
            .map(|link| link.path),
    );
    names.extend(
        typed
            .systemd
            .and_then(|s| s.units)
            .unwrap_or_default()
            .into_iter()
            .map(|unit| unit.name),
    );
    names.sort();
    names
}
