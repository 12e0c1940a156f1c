//! Configs, one per line, merge the same all at once and one by one, broken ones too.
#![no_main]

use ignition::{Config, Merger};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let configs: Vec<Config> = bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| Some(Config::parse(line).ok()?.config))
        .take(8)
        .collect();
    let Some((base, children)) = configs.split_first() else {
        return;
    };
    let mut merger = Merger::new(base.clone());
    for child in children {
        merger.add(child.clone());
    }
    let one_by_one = children
        .iter()
        .fold(base.clone(), |merged, child| merged.merge(child));
    let merged = merger.finish();
    assert_eq!(merged, one_by_one);
    assert_eq!(merged.merge(&Config::empty()), merged);
    let _ = merged.validate();
});
