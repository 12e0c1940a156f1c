//! Any text is objects or refused at a place in it; what is read can be written and read again.
#![no_main]

use crds::manifest::{Object, parse, to_yaml};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (manifests, errors) = parse("-", text);
    let lines = text.lines().count().max(1);
    for error in errors {
        assert!(error.line <= lines + 1, "{error:?}");
    }
    for manifest in manifests {
        if let Object::MachineConfig(config) = manifest.object {
            let (again, errors) = parse("-", &to_yaml(&config));
            assert!(errors.is_empty(), "{errors:?}");
            assert!(matches!(again.as_slice(), [one] if matches!(&one.object, Object::MachineConfig(_))));
        }
    }
});
