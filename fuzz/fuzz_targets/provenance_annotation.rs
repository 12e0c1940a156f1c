//! Any annotation is origins within a bound or tells nothing; what was read can be written and read again.
#![no_main]

use ignition::contents::{base64, gzip};
use libfuzzer_sys::fuzz_target;
use machineconfig::Provenance;

/// Most bytes of names that an annotation may come to: parts of at least 24 bytes in a text of a mebibyte, each with a name of 253.
const LIMIT: usize = (1 << 20) + (1 << 20) / 24 * 253;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        check(text);
    }
    check(&base64(bytes));
    // The text inside, which few mutations of a compressed one reach.
    check(&base64(&gzip(bytes)));
});

fn check(text: &str) {
    let provenance = Provenance::from_annotation(text);
    let winners = provenance.origins.values().map(|origin| origin.winner.len());
    assert!(winners.sum::<usize>() <= LIMIT);
    if let Some(text) = provenance.to_annotation() {
        assert_eq!(Provenance::from_annotation(&text), provenance);
    }
}
