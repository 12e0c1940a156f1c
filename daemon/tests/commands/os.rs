//! What rpm-ostree and bootc say about the operating system.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use daemon::host::os::{Deployment, Images, Os, OsError};
use machineconfig::Code;

use super::host::Host;

/// A host that runs from an image, with a program that writes down how it is asked and gives these answers.
fn host(program: &str, answers: &BTreeMap<&str, &str>) -> Host {
    let host = Host::new();
    host.write("/run/ostree-booted", "");
    host.write("/proc/cmdline", "BOOT_IMAGE=/vmlinuz root=UUID=1 quiet\n");
    let mut script = "echo \"$*\" >>/asked\ncase \"$*\" in\n".to_owned();
    for (number, (arguments, answer)) in answers.iter().enumerate() {
        // The shell has no cat.
        host.write(&format!("/answers/{number}"), answer);
        let _ = writeln!(
            script,
            "'{arguments}') while IFS= read -r line; do printf '%s\\n' \"$line\"; done </answers/{number} ;;"
        );
    }
    script += "*) echo \"error: unexpected $*\" >&2; exit 64 ;;\nesac\n";
    host.script(&format!("/usr/bin/{program}"), &script);
    host
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn rpm_ostree_tells_what_is_booted_and_what_is_staged() {
    let answers = BTreeMap::from([
        ("status --json", include_str!("answers/rpm-ostree-status.json")),
        ("kargs", "root=UUID=1 $ignition_firstboot a=\"b c\" quiet\n"),
    ]);
    let host = host("rpm-ostree", &answers);
    // Both are there on newer images.
    host.script("/usr/bin/bootc", "exit 9");
    let commands = host.commands();
    let os = Os::detect(&commands).unwrap();
    assert_eq!(os, Os::RpmOstree);
    let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
    let booted = Deployment {
        image: format!("quay.io/example/os@{}", digest("1")),
        digest: None,
        version: "416.94.202406172220-0".to_owned(),
        checksum: "0c1d2e3f4a5b0c1d2e3f4a5b0c1d2e3f4a5b0c1d2e3f4a5b0c1d2e3f4a5b0c1d".to_owned(),
    };
    let staged = Deployment {
        image: format!("quay.io/example/os@{}", digest("2")),
        digest: Some(digest("2")),
        version: "416.94.202406182220-0".to_owned(),
        checksum: "5b8a2b4d2c1f5b8a2b4d2c1f5b8a2b4d2c1f5b8a2b4d2c1f5b8a2b4d2c1f5b8a".to_owned(),
    };
    let expected = Images {
        booted: Some(booted),
        staged: Some(staged),
    };
    assert_eq!(os.images(&commands).unwrap(), expected);
    assert_eq!(
        os.kernel_arguments(&commands).unwrap(),
        ["root=UUID=1", "$ignition_firstboot", "a=\"b c\"", "quiet"]
    );
    assert_eq!(host.asked(), ["status --json", "kargs"]);
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn bootc_tells_what_is_booted_and_the_kernel_its_arguments() {
    let answers = BTreeMap::from([("status --json", include_str!("answers/bootc-status.json"))]);
    let host = host("bootc", &answers);
    let commands = host.commands();
    let os = Os::detect(&commands).unwrap();
    assert_eq!(os, Os::Bootc);
    let images = os.images(&commands).unwrap();
    let booted = images.booted.unwrap();
    assert_eq!(booted.image, "quay.io/example/os:latest");
    assert_eq!(booted.digest.unwrap(), format!("sha256:{}", "1".repeat(64)));
    assert_eq!(booted.version, "41.20250215.3.0");
    assert!(booted.checksum.starts_with("c3d4e5f6"));
    assert_eq!(images.staged, None);
    assert_eq!(
        os.kernel_arguments(&commands).unwrap(),
        ["BOOT_IMAGE=/vmlinuz", "root=UUID=1", "quiet"]
    );
    assert_eq!(host.asked(), ["status --json"]);
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_answer_that_is_of_no_use_is_an_error() {
    for answer in ["", "{}", "[1]", r#"{"deployments": []}"#] {
        let host = host("rpm-ostree", &BTreeMap::from([("status --json", answer)]));
        let error = Os::RpmOstree.images(&host.commands()).unwrap_err();
        assert_eq!(error.code(), Code::HOST_COMMAND, "{error:?}");
    }
    let host = host("rpm-ostree", &BTreeMap::new());
    let error = Os::RpmOstree.kernel_arguments(&host.commands()).unwrap_err();
    assert!(matches!(error, OsError::Program { .. }), "{error:?}");
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_host_that_does_not_run_from_an_image_has_none() {
    let host = host("rpm-ostree", &BTreeMap::new());
    std::fs::remove_file(host.path("/run/ostree-booted")).unwrap();
    let commands = host.commands();
    let os = Os::detect(&commands).unwrap();
    assert_eq!(os, Os::None);
    assert_eq!(os.images(&commands).unwrap(), Images::default());
    assert_eq!(os.kernel_arguments(&commands).unwrap().len(), 3);
    assert!(host.asked().is_empty());
}
