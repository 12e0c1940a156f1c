//! What the tests need from the machine: installed when that is possible, else named.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo::{cache_dir, root, run};
use crate::guest;

/// Debian packages the tests use, and how their presence is seen.
const PACKAGES: &[(&str, &str)] = &[
    ("ignition", "/usr/lib/dracut/modules.d/30ignition/ignition"),
    ("libblkid-dev", "/usr/include/blkid/blkid.h"),
    ("gcc", "/usr/bin/gcc"),
    ("passwd", "/usr/sbin/useradd"),
    ("systemd", "/usr/bin/systemctl"),
    ("dbus-daemon", "/usr/bin/dbus-daemon"),
    ("systemd-container", "/usr/bin/systemd-nspawn"),
    ("debootstrap", "/usr/sbin/debootstrap"),
    ("iproute2", "/usr/bin/ip"),
    ("qemu-system-x86", "/usr/bin/qemu-system-x86_64"),
    ("e2fsprogs", "/usr/sbin/mke2fs"),
    ("xfsprogs", "/usr/sbin/mkfs.xfs"),
    // shifts the clock of a program
    ("faketime", "/usr/bin/faketime"),
    // modprobe, which knows the order of drivers
    ("kmod", "/usr/sbin/modprobe"),
];

/// What the bench compares with, and counts flushes with.
const BENCH_PACKAGES: [(&str, &str); 3] = [
    ("nginx", "/usr/sbin/nginx"),
    ("strace", "/usr/bin/strace"),
    ("wrk", "/usr/bin/wrk"),
];

/// The Ignition that is built from its module, beside Debian's.
const IGNITION: &str = "2.26.0";

/// The Go that Ignition's module asks for. Those of clusters ask for a newer one, which this one fetches by itself.
const GO: (u32, u32) = (1, 24);

/// Sees to everything; what it reports as missing cannot be helped from here.
pub(crate) fn provide() -> Result<()> {
    packages()?;
    ignition()?;
    guest::provide()
}

/// Sees to what clusters take beside what their own build fetches.
pub(crate) fn provide_for_clusters() -> Result<()> {
    packages()?;
    go().map(drop)
}

/// Sees to the other side of the comparisons that the bench makes.
pub(crate) fn provide_for_bench() -> Result<()> {
    let missing: Vec<&str> = BENCH_PACKAGES
        .iter()
        .filter(|(_, file)| !Path::new(file).exists())
        .map(|(package, _)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    // Debian starts a service when it is installed, unless the machine's policy says no. Ours is a private process.
    let policy = Path::new("/usr/sbin/policy-rc.d");
    let ours = is_root() && !policy.exists();
    if ours {
        fs::write(policy, "#!/bin/sh\nexit 101\n").context("could not write policy-rc.d")?;
        fs::set_permissions(policy, fs::Permissions::from_mode(0o755))?;
    }
    let result = install(&missing);
    if ours {
        fs::remove_file(policy).context("could not remove policy-rc.d")?;
    }
    result
}

/// Where the built Ignition is kept.
pub(crate) fn ignition_dir() -> Result<PathBuf> {
    Ok(cache_dir()?.join("ignition").join(IGNITION))
}

fn packages() -> Result<()> {
    let missing: Vec<&str> = PACKAGES
        .iter()
        .filter(|(_, file)| !Path::new(file).exists())
        .map(|(package, _)| *package)
        .collect();
    if missing.is_empty() {
        println!("Debian packages: all there");
        return Ok(());
    }
    install(&missing)
}

/// Installs Debian packages when root on a Debian machine, else says what to install.
fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "this is no Debian machine: install what Debian calls {list}, with the files where Debian has them"
        );
    }
    if !is_root() {
        bail!(
            "packages are missing, and only root can install them: sudo apt-get install --no-install-recommends {list}"
        );
    }
    println!("installing {list}");
    let mut attempt = apt(&["install", "--yes", "--no-install-recommends"]);
    if attempt
        .args(packages)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?
        .success()
    {
        return Ok(());
    }
    // A machine whose package lists are stale or were never fetched.
    run(apt(&["update"]).stdout(Stdio::null())).context("could not refresh the package lists")?;
    run(apt(&["install", "--yes", "--no-install-recommends"])
        .args(packages)
        .stdout(Stdio::null()))
    .with_context(|| format!("could not install {list}"))
}

fn apt(args: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Whether we may install, and run Ignition, which creates users.
pub(crate) fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uids = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .unwrap_or_default();
    uids.split_whitespace().nth(1) == Some("0")
}

/// Builds Ignition once into the cache. A build that was cut off leaves nothing behind that looks finished.
fn ignition() -> Result<()> {
    let dir = ignition_dir()?;
    if dir.join("ignition").exists() && dir.join("ignition-validate").exists() {
        println!("Ignition {IGNITION}: {}", dir.display());
        return Ok(());
    }
    let go = go()?;
    println!("building Ignition {IGNITION} from its Go module (once, a minute or two)");
    let partial = dir.with_extension("partial");
    fs::create_dir_all(&partial).with_context(|| format!("could not create {}", partial.display()))?;
    let module = "github.com/coreos/ignition/v2";
    let version = format!("-s -w -X {module}/internal/version.Raw=v{IGNITION}");
    // The command lives in an internal directory; a tool directive in go.mod may still name it. Only it needs cgo (libblkid).
    for (name, package, cgo) in [
        ("ignition", "internal", "1"),
        ("ignition-validate", "validate", "0"),
    ] {
        let mut build = Command::new(&go);
        build
            .current_dir(root().join("tests/ignition"))
            .env("CGO_ENABLED", cgo);
        build.args([
            "build",
            "-mod=readonly",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags",
            &version,
            "-o",
        ]);
        build.arg(partial.join(name)).arg(format!("{module}/{package}"));
        run(&mut build).with_context(|| format!("could not build {name} {IGNITION}"))?;
    }
    fs::rename(&partial, &dir).with_context(|| format!("could not put {} in place", dir.display()))
}

/// A Go that is new enough: the one on the path, else Debian's.
fn go() -> Result<PathBuf> {
    if find_go().is_none() {
        install(&["golang-go"]).context("Ignition and clusters are built with Go, and there is none")?;
    }
    let go = find_go().context("Go was installed, yet it is not on the path")?;
    let output = Command::new(&go)
        .args(["env", "GOVERSION"])
        .output()
        .context("could not ask Go for its version")?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if parse_go(&version).is_some_and(|found| found >= GO) {
        return Ok(go);
    }
    bail!(
        "Ignition {IGNITION} and clusters need Go {}.{} or newer, {} is {version}: Debian 13's golang-go is new enough, Debian 12's is not; \
         put a newer one first on the path (https://go.dev/dl)",
        GO.0,
        GO.1,
        go.display()
    )
}

fn find_go() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = env::split_paths(&path).collect();
    dirs.push("/usr/local/go/bin".into());
    dirs.into_iter()
        .map(|dir| dir.join("go"))
        .find(|file| file.is_file())
}

/// `go1.26.8` to (1, 26).
fn parse_go(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.strip_prefix("go")?.split('.');
    let major = parts.next()?.parse().ok()?;
    let minor: String = parts.next()?.chars().take_while(char::is_ascii_digit).collect();
    Some((major, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::parse_go;

    #[test]
    fn versions_of_go_are_read() {
        let cases = [
            ("go1.26.8", Some((1, 26))),
            ("go1.19", Some((1, 19))),
            ("go1.25rc2", Some((1, 25))),
            ("devel", None),
            ("", None),
        ];
        for (version, expected) in cases {
            assert_eq!(parse_go(version), expected, "{version}");
        }
    }
}
