//! Which files belong to a package.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use daemon::host::Commands;
use daemon::host::command::CommandError;

use super::host::{Host, commands};

fn set(paths: &[&str]) -> BTreeSet<PathBuf> {
    paths.iter().map(PathBuf::from).collect()
}

fn owned(commands: &Commands, paths: &[&str]) -> Result<BTreeSet<PathBuf>, CommandError> {
    commands.vendor_owned(paths.iter().map(Path::new))
}

/// An rpm that owns `/etc/owned*`, each by two packages.
const RPM: &str = r#"
printf '%s\n' "$*" >>/asked
shift 5
status=0
for path; do
  case $path in
    /etc/owned*) echo owned one; echo owned two ;;
    *) echo "file $path is not owned by any package"; status=$((status+1)) ;;
  esac
done
exit $status
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn rpm_is_asked_once_for_all_files() {
    let host = Host::new();
    host.script("/usr/bin/rpm", RPM);
    let mut paths: Vec<String> = (0..100).map(|number| format!("/etc/owned-{number}")).collect();
    paths.extend((0..100).map(|number| format!("/etc/own file {number}")));
    for path in &paths {
        host.write(path, "");
    }
    host.write("/usr/etc/own file 7", "");
    paths.push("/etc/owned-missing".to_owned());
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let mut expected = set(&paths[..100]);
    expected.insert("/etc/own file 7".into());
    assert_eq!(owned(&host.commands(), &paths).unwrap(), expected);
    let asked = host.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(
        asked[0].starts_with("-q -f --queryformat owned %{NAME}\\n -- /etc/own file 0 "),
        "{}",
        asked[0]
    );
    assert!(!asked[0].contains("missing"));
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_rpm_that_cannot_say_is_an_error_and_no_owner() {
    let host = Host::new();
    host.write("/etc/a", "");
    for script in [
        "echo error: cannot open Packages database >&2; exit 1",
        "exit 0",
        "exit 1",
        "echo owned a; exit 1",
        "echo owned a; echo error: half of it >&2; exit 0",
        "echo 'file /etc/a: Permission denied'; exit 1",
        "kill -9 $$",
    ] {
        host.script("/usr/bin/rpm", script);
        assert!(owned(&host.commands(), &["/etc/a"]).is_err(), "{script}");
    }
    host.script("/usr/bin/rpm", "echo warning: old >&2; echo owned a");
    assert_eq!(owned(&host.commands(), &["/etc/a"]).unwrap(), set(&["/etc/a"]));
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn dpkg_is_asked_once_for_all_files() {
    let host = Host::new();
    host.write("/var/lib/dpkg/status", "Package: a\n");
    host.script(
        "/usr/bin/dpkg-query",
        r#"
echo "$*" >>/asked
echo "diversion by a from: /etc/diverted"
echo "a, b:amd64: /etc/with: colon"
echo "a: /lib/x"
echo "dpkg-query: no path found matching pattern /etc/own" >&2
exit 1
"#,
    );
    for path in ["/etc/with: colon", "/etc/own", "/usr/lib/x", "/etc/diverted"] {
        host.write(path, "");
    }
    // An rpm is there too, and knows nothing.
    host.script("/usr/bin/rpm", "exit 9");
    let paths = ["/etc/with: colon", "/etc/own", "/usr/lib/x", "/etc/diverted"];
    let found = owned(&host.commands(), &paths).unwrap();
    assert_eq!(found, set(&["/etc/with: colon", "/usr/lib/x"]));
    assert_eq!(
        host.asked(),
        ["--search -- /etc/diverted /etc/own /etc/with: colon /lib/x /usr/lib/x"]
    );
    // An answer about a path that nobody asked for is none.
    let error = owned(&host.commands(), &["/etc/own", "/usr/lib/x"]).unwrap_err();
    assert!(matches!(error, CommandError::Answer { .. }), "{error:?}");
    host.script("/usr/bin/dpkg-query", "echo broken >&2; exit 2");
    assert!(owned(&host.commands(), &paths).is_err());
}

#[test]
fn without_a_package_manager_nothing_is_asked_and_nothing_is_owned() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("usr/etc")).unwrap();
    fs::create_dir_all(root.path().join("etc")).unwrap();
    fs::write(root.path().join("etc/a"), "").unwrap();
    fs::write(root.path().join("usr/etc/a"), "").unwrap();
    let commands = Commands::new(root.path())
        .unwrap()
        .with_launcher("/no/launcher".into());
    assert_eq!(owned(&commands, &["/etc/a"]).unwrap(), BTreeSet::new());
}

#[test]
fn the_dpkg_of_this_machine_knows_its_files() {
    assert!(
        Path::new("/usr/bin/dpkg-query").exists(),
        "this test needs a Debian machine"
    );
    let own = tempfile::Builder::new().prefix("own[1]*").tempfile().unwrap();
    let own = own.path().to_str().unwrap();
    let paths = [
        "/usr/bin/dpkg",
        "/etc/debian_version",
        "/etc/passwd",
        "/no/such/file",
        own,
    ];
    let found = owned(&commands(Path::new("/")), &paths).unwrap();
    assert_eq!(found, set(&["/usr/bin/dpkg", "/etc/debian_version"]));
}
