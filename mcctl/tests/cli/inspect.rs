//! `inspect`: decoded, bounded, without secrets.

use super::{machine_config, one_file, run, run_with_input};

#[test]
fn every_encoding_is_decoded() {
    let files = [
        "50-worker-chrony",
        "50-worker-sshd",
        "50-worker-sysctl",
        "55-worker-image-prune",
        "70-worker-sysctl-network",
        "99-worker-ssh",
        "10-edge-chrony",
        "20-edge-image-prune",
        "60-worker-kargs",
    ];
    let mut all = String::new();
    for file in files {
        let ran = run(&format!("inspect examples/base/{file}.yaml"));
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{file}");
        all.push_str(&ran.out);
        all.push_str("========\n");
    }
    insta::assert_snapshot!("examples", all);
}

#[test]
fn secrets_are_shown_on_demand_only() {
    let hidden = run("inspect examples/base/10-edge-chrony.yaml").out;
    assert!(
        !hidden.contains("example-key-of") && hidden.contains("secret, "),
        "{hidden}"
    );
    let shown = run("inspect --show-secrets examples/base/10-edge-chrony.yaml").out;
    assert!(shown.contains("example-key-of-the-first-revision"), "{shown}");
}

/// Everything in a config that may be secret and is not the contents of a file.
const SECRETS: &str = r#"{
  "ignition": {
    "version": "3.4.0",
    "config": {"merge": [{"source": "https://me:SECRET@a.example/x?token=SECRET",
      "httpHeaders": [{"name": "Authorization", "value": "SECRET"}]}]},
    "proxy": {"httpsProxy": "http://me:SECRET@proxy.example:3128"}
  },
  "passwd": {"users": [{"name": "core", "passwordHash": "$6$SECRET", "uid": 1000}],
    "groups": [{"name": "g", "passwordHash": "$6$SECRET"}]},
  "storage": {
    "files": [
      {"path": "/etc/a", "contents": {"source": "data:,-----BEGIN%20PRIVATE%20KEY-----SECRET"}},
      {"path": "/etc/b", "contents": {"source": "https://me:SECRET@a.example/b?SECRET"}}
    ],
    "luks": [{"name": "l", "device": "/dev/vda", "keyFile": {"source": "data:,SECRET"},
      "clevis": {"custom": {"pin": "sss", "config": "SECRET"}}}]
  }
}"#;

#[test]
fn no_secret_is_shown_wherever_it_stands() {
    let hidden = run_with_input("inspect -", SECRETS.as_bytes());
    assert!(
        !format!("{}{}", hidden.out, hidden.err).contains("SECRET"),
        "{}{}",
        hidden.out,
        hidden.err
    );
    for kept in [
        "https://a.example/x?…",
        "Authorization",
        "http://proxy.example:3128",
        "https://a.example/b?…",
        "uid: 1000",
    ] {
        assert!(hidden.out.contains(kept), "{kept}: {}", hidden.out);
    }
    let shown = run_with_input("inspect --show-secrets -", SECRETS.as_bytes());
    assert_eq!(
        shown.out.matches("SECRET").count(),
        SECRETS.matches("SECRET").count(),
        "{}",
        shown.out
    );
}

#[test]
fn binary_contents_are_summed_up() {
    let spec = one_file("/usr/local/bin/tool", "0755", "data:;base64,f0VMRgIBAQA=");
    let ran = run_with_input("inspect -", machine_config("50-tool", "worker", &spec).as_bytes());
    assert!(ran.out.contains("base64, binary, 8 bytes sha256:"), "{}", ran.out);
}

#[test]
fn carriage_returns_are_seen() {
    let spec = one_file("/etc/dos", "0644", "data:,a%0D%0Ab%0D%0A");
    let ran = run_with_input("inspect -", machine_config("50-dos", "worker", &spec).as_bytes());
    assert!(ran.out.ends_with("    | a\\r\n    | b\\r\n"), "{}", ran.out);
}

#[test]
fn long_contents_are_cut() {
    let spec = one_file("/etc/long", "0644", &format!("data:,{}", "line%0A".repeat(500)));
    let input = machine_config("50-long", "worker", &spec);
    let cut = run_with_input("inspect -", input.as_bytes()).out;
    assert!(cut.contains("300 more lines; --full shows them"), "{cut}");
    let full = run_with_input("inspect --full -", input.as_bytes()).out;
    assert_eq!(full.matches("| line\n").count(), 500);
}

#[test]
fn a_broken_config_is_shown_as_far_as_it_can_be_and_told_about() {
    let ran = run("inspect mcctl/tests/bad/mode-setuid.yaml");
    assert_eq!(ran.code, 1);
    assert!(
        ran.out.contains("/usr/local/bin/tool\n  file, mode 4755"),
        "{}",
        ran.out
    );
    assert!(
        ran.err
            .starts_with("error[MC1108] mcctl/tests/bad/mode-setuid.yaml:14:17: MachineConfig/50-mode "),
        "{}",
        ran.err
    );
    let hash = run("inspect mcctl/tests/bad/hash-wrong.yaml");
    assert!(hash.out.contains("hash DOES NOT MATCH"), "{}", hash.out);
    let gzip = run("inspect mcctl/tests/bad/gzip-corrupt.yaml");
    assert!(gzip.out.contains("gzip stream is corrupt"), "{}", gzip.out);
}

#[test]
fn a_rendered_config_is_no_fault() {
    let rendered = run("render --pool edge -f examples/base").out;
    for command in ["inspect -", "lint -f -"] {
        let ran = run_with_input(command, rendered.as_bytes());
        assert_eq!(ran.code, 0, "{command}: {}", ran.err);
        assert!(!ran.err.contains("[MC"), "{command}: {}", ran.err);
    }
}

#[test]
fn a_file_may_hold_several_machine_configs() {
    let ran = run("inspect mcctl/tests/bad/kernel-devel-realtime.yaml");
    assert!(
        ran.out
            .contains("MachineConfig/50-devel, role worker, Ignition 3.4.0\nextensions: kernel-devel\n"),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains(
            "\nMachineConfig/60-realtime, role worker, no Ignition config\nkernel type: realtime\n"
        ),
        "{}",
        ran.out
    );
}
