//! Any bytes are a config or refused with reasons; what is read can be written and read again.
#![no_main]

use ignition::{Config, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(parsed) = Config::parse(bytes) else { return };
    let text = parsed.config.to_json();
    let again = Config::parse(text.as_bytes()).expect("what was read validates when written");
    assert_eq!(again.config.to_json(), text);
    let _ = parsed.config.typed();
    for version in Version::ALL {
        if let Ok(older) = parsed.config.encode(version) {
            // Only 2.x has rules for reading that writing does not keep: one user, one file system.
            assert!(version == Version::V2_2 || Config::parse(older.as_bytes()).is_ok());
        }
    }
});
