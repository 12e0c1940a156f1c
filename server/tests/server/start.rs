//! What keeps a server from starting: one message that says what to do.

use std::fs;

use crate::support::Site;

/// How a server that cannot start ends: exit code 1, one message with these words in it.
fn refused(site: &Site, flags: &[&str], words: &[&str]) {
    let output = site.refuse(flags);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(output.stdout.is_empty());
    let last = message.lines().last().unwrap();
    assert!(last.starts_with("machine-config-server: MC50"), "{message}");
    for word in words {
        assert!(last.contains(word), "{word:?} is not in: {message}");
    }
}

#[test]
fn files_that_must_be_there() {
    let site = Site::new();
    refused(
        &site,
        &["--bootstrap-kubeconfig=/nowhere-at-all/kubeconfig"],
        &["MC5003", "/nowhere-at-all/kubeconfig", "--bootstrap-kubeconfig"],
    );
    refused(
        &site,
        &["--server-basedir=/nowhere-at-all"],
        &["MC5005", "/nowhere-at-all", "--server-basedir"],
    );
    refused(
        &site,
        &["--cert=/nowhere-at-all/tls.crt"],
        &["MC5002", "/nowhere-at-all/tls.crt", "--cert"],
    );
    refused(
        &site,
        &["--bootstrap-certs=registry=nowhere.crt"],
        &["MC5004", "nowhere.crt", "--bootstrap-certs"],
    );
}

#[test]
fn files_that_must_be_sound() {
    let site = Site::new();
    site.write("kubeconfig", "a: [");
    refused(&site, &[], &["MC5003", "kubeconfig"]);
    site.write("kubeconfig", "clusters: []");
    refused(&site, &[], &["MC5003", "names no cluster"]);
    let site = Site::new();
    site.write_pair("other");
    fs::copy(site.path("other.key"), site.path("tls.key")).unwrap();
    refused(&site, &[], &["MC5002", "do not belong together"]);
    site.write("tls.key", "");
    refused(&site, &[], &["MC5002", "no unencrypted PEM private key"]);
}

#[test]
fn flags_that_cannot_be_honoured() {
    let site = Site::new();
    refused(
        &site,
        &["--tls-min-version=VersionTLS14"],
        &["MC5001", "VersionTLS14", "VersionTLS12"],
    );
    refused(
        &site,
        &["--tls-cipher-suites=TLS_MADE_UP"],
        &["MC5001", "TLS_MADE_UP", "TLS_AES_128_GCM_SHA256"],
    );
    refused(
        &site,
        &["--tls-cipher-suites=TLS_RSA_WITH_AES_128_CBC_SHA"],
        &["MC5001", "no supported cipher suite"],
    );
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    refused(
        &site,
        &[&format!("--metrics-listen-address=127.0.0.1:{port}")],
        &["MC5010", &port.to_string()],
    );
    refused(
        &site,
        &[&format!("--insecure-port={port}")],
        &["MC5010", "--insecure-port"],
    );
}

#[test]
fn a_version_below_the_lowest_is_raised() {
    let site = Site::new();
    for version in ["VersionTLS10", "VersionTLS11"] {
        let server = site.serve(&[&format!("--tls-min-version={version}")]);
        assert_eq!(server.body("master").0, 200);
        let warning = server
            .line("--tls-min-version: the lowest version offered is TLS 1.2")
            .unwrap();
        assert_eq!(warning["version"], version);
    }
}

#[test]
fn the_version_is_told() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_machine-config-server"))
        .arg("version")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    // The form callers of the reference expect.
    assert!(
        text.starts_with(concat!("MachineConfigServer ", env!("CARGO_PKG_VERSION"), "-")),
        "{text}"
    );
    let flag = std::process::Command::new(env!("CARGO_BIN_EXE_machine-config-server"))
        .arg("--version")
        .output()
        .unwrap();
    assert!(flag.status.success());
    let expected = concat!("machine-config-server ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(String::from_utf8(flag.stdout).unwrap(), expected);
}

#[test]
fn a_version_that_cannot_be_printed_is_a_failure() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_machine-config-server"))
        .arg("version")
        .stdout(full)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("cannot print: No space left"), "{told}");
}
