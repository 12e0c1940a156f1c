//! Any source decodes within the bound or is refused; what decodes survives every encoding.
#![no_main]

use ignition::contents::{base64, decode, gzip, percent, verify};
use libfuzzer_sys::fuzz_target;

/// The bound on decoded contents, small so that bombs are found to be bounded.
const LIMIT: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(inflated) = decode(Some(&base64(bytes)), Some("gzip"), LIMIT) {
        assert!(inflated.len() <= LIMIT);
    }
    let Ok(source) = std::str::from_utf8(bytes) else {
        return;
    };
    let _ = verify(bytes, source);
    if let Ok(decoded) = decode(Some(source), None, LIMIT) {
        assert!(decoded.len() <= LIMIT);
        for (source, compression) in [
            (percent(&decoded), None),
            (base64(&decoded), Some("")),
            (base64(&gzip(&decoded)), Some("gzip")),
        ] {
            assert_eq!(decode(Some(&source), compression, LIMIT).as_ref(), Ok(&decoded));
        }
    }
});
