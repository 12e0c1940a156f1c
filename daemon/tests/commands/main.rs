//! Programs of a host, run in its root by the real launcher; and what rpm and dpkg say about files.
//!
//! Only root can change the root directory, so most of these are run by `cargo xtask test` only.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]

mod engine;
mod host;
mod os;
mod vendor;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use daemon::host::command::{Bounds, CommandError};

use host::{Host, LAUNCHER};

/// How long a machine that is busy may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether a process runs: one that has ended and that nobody has asked for does not.
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

fn wait_until_gone(pid: &str) {
    let deadline = Instant::now() + PATIENCE;
    while runs(pid) {
        if Instant::now() >= deadline {
            let _ = Command::new("kill").args(["-9", pid]).status();
            panic!("{pid} still ran");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_program_runs_in_the_root_with_nothing_of_ours() {
    let host = Host::new();
    host.write("/etc/marker", "of the host\n");
    let script = r#"read line </etc/marker; echo "$line|$PWD|$LC_ALL|${CARGO_MANIFEST_DIR-none}|$1|$2"; echo bad >&2; exit 3"#;
    host.script("/usr/bin/tell", script);
    let output = host.commands().run("tell", ["a b", "--help"]).unwrap();
    assert_eq!(output.text().unwrap(), "of the host|/|C|none|a b|--help");
    assert_eq!(output.stderr, "bad\n");
    assert_eq!(output.status.code(), Some(3));
    let failed = output.success().unwrap_err();
    assert_eq!(
        failed.to_string(),
        "tell a b --help ended with exit status: 3: bad"
    );
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_program_that_is_not_there_is_told_from_one_that_fails() {
    let host = Host::new();
    let error = host.commands().run("missing", ["x"]).unwrap_err();
    assert!(matches!(error, CommandError::NotStarted { .. }), "{error:?}");
    assert!(error.to_string().contains("No such file or directory"), "{error}");
    host.script("/usr/bin/fails", "echo in-root: of mine; exit 126");
    let output = host.commands().run("fails", [""; 0]).unwrap();
    assert_eq!(output.status.code(), Some(126));
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_takes_too_long_is_ended_with_all_it_has_started() {
    let host = Host::new();
    host.script(
        "/usr/bin/hangs",
        "(while :; do :; done) & echo $! $$ >/pids; echo so far >&2; while :; do :; done",
    );
    let bounds = Bounds {
        deadline: Duration::from_millis(500),
        ..Bounds::default()
    };
    let error = host
        .commands()
        .with_bounds(bounds)
        .run("hangs", [""; 0])
        .unwrap_err();
    assert_eq!(error.to_string(), "hangs did not end within 0.5 s: so far");
    for pid in fs::read_to_string(host.path("/pids")).unwrap().split_whitespace() {
        wait_until_gone(pid);
    }
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_a_program_leaves_running_is_not_waited_for() {
    let host = Host::new();
    host.script("/usr/bin/leaves", "(while :; do :; done) & echo $!");
    let before = Instant::now();
    let output = host.commands().run("leaves", [""; 0]).unwrap();
    assert!(before.elapsed() < PATIENCE);
    let pid = output.text().unwrap();
    assert!(Command::new("kill").args(["-9", pid]).status().unwrap().success());
    wait_until_gone(pid);
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn output_is_bounded() {
    let host = Host::new();
    host.script("/usr/bin/floods", "while :; do echo 0123456789; done");
    let bounds = Bounds {
        output: 100_000,
        ..Bounds::default()
    };
    let error = host
        .commands()
        .with_bounds(bounds)
        .run("floods", [""; 0])
        .unwrap_err();
    assert!(
        matches!(error, CommandError::TooLong { limit: 100_000, .. }),
        "{error:?}"
    );

    let script = "n=0; while [ $n -lt 2000 ]; do echo line $n >&2; n=$((n+1)); done; exit 1";
    host.script("/usr/bin/complains", script);
    let bounds = Bounds { tail: 20, ..bounds };
    let output = host
        .commands()
        .with_bounds(bounds)
        .run("complains", [""; 0])
        .unwrap();
    assert_eq!(output.stderr, "line 1998\nline 1999\n");
}

#[test]
fn a_program_ends_with_who_asked_for_it() {
    // The shell is the parent, and is killed.
    let script = format!("{LAUNCHER} in-root / --parent $$ -- sleep 1000 & echo $!; wait");
    let mut parent = Command::new("sh")
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pid = String::new();
    BufReader::new(parent.stdout.take().unwrap())
        .read_line(&mut pid)
        .unwrap();
    let pid = pid.trim();
    let deadline = Instant::now() + PATIENCE;
    while fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default() != "sleep\n" {
        assert!(Instant::now() < deadline, "sleep was not started");
        std::thread::sleep(Duration::from_millis(5));
    }
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_until_gone(pid);

    // Of one that is gone already, nothing is started.
    let late = Command::new(LAUNCHER)
        .args(["in-root", "/", "--parent", "1", "--", "true"])
        .output()
        .unwrap();
    assert_eq!(late.status.code(), Some(126));
    let message = String::from_utf8(late.stderr).unwrap();
    assert_eq!(message, "in-root: the process that asked for it is gone\n");
}
