//! The engine on a host with programs: originals of packages, and `SELinux` labels.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::host::{Host, LAUNCHER};

/// A host that a config can be applied to.
fn host() -> Host {
    let host = Host::new();
    host.write("/etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    host.write("/etc/group", "root:x:0:\n");
    host.write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    host
}

/// Applies a config with these files.
fn apply(host: &Host, name: &str, files: &Value) -> Output {
    let object = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig", "metadata": {"name": name},
        "spec": {"config": {"ignition": {"version": "3.4.0"}, "storage": {"files": files}}}
    });
    host.write("/config.json", &object.to_string());
    Command::new(LAUNCHER)
        .arg("apply")
        .arg("--config")
        .arg(host.path("/config.json"))
        .arg("--root")
        .arg(host.path("/"))
        .output()
        .unwrap()
}

fn file(path: &str, text: &str) -> Value {
    json!({"path": path, "contents": {"source": format!("data:,{text}")}})
}

fn all(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn originals_of_packages_come_back_and_rpm_is_asked_once() {
    let host = host();
    // The answers of `rpm -q -f --queryformat 'owned …'`, a line for each path.
    let script = r#"echo "$#" >> /asked
while [ "$1" != -- ]; do shift; done; shift
for path in "$@"; do case "$path" in
  /etc/vendor*) echo owned vendor ;;
  *) echo "file $path is not owned by any package"; bad=1 ;;
esac; done
exit ${bad-0}"#;
    host.script("/usr/bin/rpm", script);
    for name in ["vendor-a", "vendor-b", "own"] {
        host.write(&format!("/etc/{name}"), &format!("the {name} of before"));
    }
    assert!(apply(&host, "rendered-first", &json!([])).status.success());
    let taken: Vec<_> = ["vendor-a", "vendor-b", "own", "new"]
        .iter()
        .map(|name| file(&format!("/etc/{name}"), "config"))
        .collect();
    let output = apply(&host, "rendered-taken", &json!(taken));
    assert_eq!(output.status.code(), Some(2), "{}", all(&output));
    assert_eq!(
        host.asked().len(),
        1,
        "not one process for all: {:?}",
        host.asked()
    );
    let read = |path: &str| fs::read_to_string(host.path(path)).unwrap();
    assert_eq!(
        read("/etc/machine-config-daemon/orig/etc/vendor-a.mcdorig"),
        "the vendor-a of before"
    );
    assert!(
        host.path("/etc/machine-config-daemon/noorig/etc/own.mcdnoorig")
            .exists()
    );
    let output = apply(&host, "rendered-first", &json!([]));
    assert_eq!(output.status.code(), Some(2), "{}", all(&output));
    assert_eq!(
        (read("/etc/vendor-a").as_str(), read("/etc/vendor-b").as_str()),
        ("the vendor-a of before", "the vendor-b of before")
    );
    assert!(!host.path("/etc/new").exists() && !host.path("/etc/own").exists());
    assert!(
        !host
            .path("/etc/machine-config-daemon/orig/etc/vendor-a.mcdorig")
            .exists()
    );
    assert_eq!(host.asked().len(), 2);
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_original_outlives_a_first_config_and_a_repair() {
    let host = host();
    host.script(
        "/usr/bin/rpm",
        "while [ \"$1\" != -- ]; do shift; done; shift; for path in \"$@\"; do echo owned vendor; done",
    );
    host.write("/etc/vendor", "the vendor's");
    let taken = json!([file("/etc/vendor", "config")]);
    // The first config of a node takes the file over at once.
    let output = apply(&host, "rendered-taken", &taken);
    assert_eq!(output.status.code(), Some(2), "{}", all(&output));
    fs::remove_file(host.path("/etc/vendor")).unwrap();
    let output = apply(&host, "rendered-taken", &taken);
    assert_eq!(output.status.code(), Some(2), "{}", all(&output));
    assert_eq!(fs::read_to_string(host.path("/etc/vendor")).unwrap(), "config");
    let output = apply(&host, "rendered-first", &json!([]));
    assert_eq!(output.status.code(), Some(2), "{}", all(&output));
    assert_eq!(
        fs::read_to_string(host.path("/etc/vendor")).unwrap(),
        "the vendor's"
    );
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn new_files_get_the_label_of_the_policy_and_a_host_that_cannot_keeps_its_old_config() {
    let host = host();
    host.write("/sys/fs/selinux/enforce", "1");
    host.script("/usr/sbin/restorecon", r#"echo "$*" >> /asked"#);
    host.write("/etc/there", "old");
    assert_eq!(apply(&host, "rendered-first", &json!([])).status.code(), Some(0));
    let output = apply(
        &host,
        "rendered-a",
        &json!([file("/etc/there", "new"), file("/etc/deep/new", "x")]),
    );
    assert_eq!(output.status.code(), Some(2), "{}", all(&output));
    let asked = host.asked();
    let last = asked.last().unwrap();
    let labelled: Vec<_> = last.split(' ').collect();
    assert!(
        labelled.contains(&"/etc/deep/new") && labelled.contains(&"/etc/deep"),
        "{last}"
    );
    // What was replaced has kept its label.
    assert!(!labelled.contains(&"/etc/there"), "{last}");

    host.script("/usr/sbin/restorecon", "echo no policy is loaded >&2; exit 1");
    let output = apply(&host, "rendered-b", &json!([file("/etc/other", "x")]));
    assert_eq!(output.status.code(), Some(1), "{}", all(&output));
    assert!(
        all(&output).contains("no policy is loaded") && all(&output).contains("MC7020"),
        "{}",
        all(&output)
    );
    assert!(!host.path("/etc/other").exists());
    assert_eq!(fs::read_to_string(host.path("/etc/there")).unwrap(), "new");
}
