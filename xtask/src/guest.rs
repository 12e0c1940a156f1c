//! What the guests of the power-cut tests are made of: a Debian kernel with its drivers, and our programs, static. Nothing of it is
//! installed on this machine.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo::{cache_dir, cargo, run};

/// The package that depends on the newest kernel made for virtual machines: the smallest one.
const KERNEL: &str = "linux-image-cloud-amd64";

/// The drivers every guest needs: for its bus and its disk.
const DRIVERS: [&str; 2] = ["virtio_pci", "virtio_blk"];

/// What disks are formatted with; a guest loads the driver of its own disk alone, which for xfs takes most of a second. What is built
/// in is left out by itself.
const FILE_SYSTEMS: [&str; 2] = ["ext4", "xfs"];

/// A target must be named for the flags below to stay away from build scripts and macros.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The packages and programs that run inside a guest, or in the image: one build for both, so that what they rest on is built once.
const PROGRAMS: [(&str, &str); 6] = [
    ("e2e-guest", "guest-init"),
    ("e2e-guest", "guest-pod"),
    ("e2e-guest", "guest-standin"),
    ("machine-config-controller", "machine-config-controller"),
    ("machine-config-daemon", "machine-config-daemon"),
    ("machine-config-server", "machine-config-server"),
];

/// Fetches the kernel once. A fetch that was cut off leaves nothing behind that looks finished.
pub(crate) fn provide() -> Result<()> {
    let dir = kernel()?;
    println!("kernel for guests: {}", dir.display());
    Ok(())
}

/// The directory with `vmlinuz` and, for each file system, a directory of drivers, whose names are in the order of loading.
pub(crate) fn kernel() -> Result<PathBuf> {
    let (package, version) = newest()?;
    // Some versions have a colon or a tilde, which say nothing to a file system.
    let dir = cache_dir()?
        .join("guest-kernel")
        .join(format!("{package}_{version}"));
    if dir.join("vmlinuz").exists() {
        return Ok(dir);
    }
    println!("fetching {package} {version} (once)");
    let parent = dir.parent().context("the cache lies in no directory")?;
    fs::create_dir_all(parent).with_context(|| format!("could not create {}", parent.display()))?;
    let partial = parent.join(format!("{package}_{version}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial)
            .with_context(|| format!("could not remove what is left in {}", partial.display()))?;
    }
    fs::create_dir_all(&partial)?;
    let unpacked = download(&format!("{package}={version}"), &partial)?;
    select(&unpacked, &partial)?;
    fs::remove_dir_all(&unpacked)?;
    fs::rename(&partial, &dir).with_context(|| format!("could not put {} in place", dir.display()))?;
    Ok(dir)
}

/// The kernel package that Debian offers, and its version.
fn newest() -> Result<(String, String)> {
    if let Some(found) = ask_apt() {
        return Ok(found);
    }
    // A machine whose package lists were never fetched.
    run(Command::new("apt-get").arg("update").stdout(Stdio::null()))
        .context("could not refresh the package lists")?;
    ask_apt().with_context(|| format!("no package {KERNEL}: guests need Debian's lists, on amd64"))
}

fn ask_apt() -> Option<(String, String)> {
    let output = Command::new("apt-cache")
        .args(["show", "--no-all-versions", KERNEL])
        .output()
        .ok()?;
    depended(&String::from_utf8_lossy(&output.stdout))
}

/// What the first `Depends: PACKAGE (= VERSION)` names.
fn depended(text: &str) -> Option<(String, String)> {
    let first = text.lines().find_map(|line| line.strip_prefix("Depends: "))?;
    let (package, rest) = first.split_once(" (= ")?;
    let (version, _) = rest.split_once(')')?;
    Some((package.to_owned(), version.to_owned()))
}

/// Unpacks a package below `dir`, and returns where.
fn download(package: &str, dir: &Path) -> Result<PathBuf> {
    let unpacked = dir.join("unpacked");
    let mut fetch = Command::new("apt-get");
    // As root, apt would hand the download to a user who may not write here.
    fetch
        .args(["--quiet", "-o", "APT::Sandbox::User=root", "download", package])
        .current_dir(dir)
        .stdout(Stdio::null());
    run(&mut fetch).with_context(|| format!("could not fetch {package}"))?;
    let archive = files(dir)?
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "deb"))
        .with_context(|| format!("apt-get left no package in {}", dir.display()))?;
    run(Command::new("dpkg-deb")
        .arg("--extract")
        .arg(&archive)
        .arg(&unpacked))
    .with_context(|| format!("could not unpack {package}"))?;
    fs::remove_file(archive)?;
    Ok(unpacked)
}

/// Takes the kernel and the drivers, with all that those depend on, out of an unpacked package.
fn select(unpacked: &Path, dest: &Path) -> Result<()> {
    let release = files(&unpacked.join("boot"))?
        .into_iter()
        .find_map(|path| {
            let name = path.file_name()?.to_string_lossy();
            name.strip_prefix("vmlinuz-").map(str::to_owned)
        })
        .context("the package holds no kernel")?;
    run(Command::new("depmod")
        .arg("--basedir")
        .arg(unpacked)
        .arg(&release))
    .context("could not find out what the drivers depend on")?;
    for file_system in FILE_SYSTEMS {
        let mut drivers: Vec<PathBuf> = Vec::new();
        for name in DRIVERS.into_iter().chain([file_system]) {
            for path in with_dependencies(unpacked, &release, name)? {
                if !drivers.contains(&path) {
                    drivers.push(path);
                }
            }
        }
        let dir = dest.join(file_system);
        fs::create_dir_all(&dir)?;
        for (number, driver) in drivers.iter().enumerate() {
            let name = driver.file_name().unwrap_or_default().to_string_lossy();
            fs::copy(driver, dir.join(format!("{number:02}-{name}")))?;
        }
        inflate(&dir)?;
    }
    fs::copy(
        unpacked.join(format!("boot/vmlinuz-{release}")),
        dest.join("vmlinuz"),
    )?;
    Ok(())
}

/// The files of a driver and of all it depends on, in the order of loading.
fn with_dependencies(unpacked: &Path, release: &str, name: &str) -> Result<Vec<PathBuf>> {
    let output = Command::new("modprobe")
        .arg("--dirname")
        .arg(unpacked)
        .args(["--set-version", release, "--show-depends", name])
        .output()
        .context("could not run modprobe")?;
    if !output.status.success() {
        bail!(
            "the kernel has no driver {name}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(loaded(&String::from_utf8_lossy(&output.stdout)))
}

/// The files of `insmod FILE ARGUMENTS`; a driver that is built in has none.
fn loaded(text: &str) -> Vec<PathBuf> {
    text.lines()
        .filter_map(|line| line.strip_prefix("insmod "))
        .filter_map(|rest| rest.split_whitespace().next())
        .map(PathBuf::from)
        .collect()
}

/// Newer Debians compress drivers, and not every kernel can undo that by itself.
fn inflate(dir: &Path) -> Result<()> {
    for path in files(dir)? {
        let program = match path.extension().and_then(|end| end.to_str()) {
            Some("xz") => "unxz",
            Some("zst") => "unzstd",
            _ => continue,
        };
        run(Command::new(program).arg("--quiet").arg(&path))
            .with_context(|| format!("could not inflate {}", path.display()))?;
        // zstd keeps what it read, xz does not.
        if path.exists() {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(dir)
        .with_context(|| format!("could not list {}", dir.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect()
}

/// Builds our programs so that they run where there is no C library, and returns their directory. Kept apart from the other
/// builds: the flags are part of what cargo compares, and each would throw away the other's work.
pub(crate) fn programs() -> Result<PathBuf> {
    let target = cache_dir()?.join("static");
    let mut build = cargo(["build", "--quiet", "--release", "--target", TARGET])?;
    for (package, program) in PROGRAMS {
        build.args(["--package", package, "--bin", program]);
    }
    build
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTFLAGS", flags(env::var("RUSTFLAGS").ok().as_deref()));
    run(&mut build).context("could not build the programs for guests")?;
    Ok(target.join(TARGET).join("release"))
}

fn flags(given: Option<&str>) -> String {
    let fixed = "-C target-feature=+crt-static";
    given.map_or_else(|| fixed.to_owned(), |given| format!("{given} {fixed}"))
}

#[cfg(test)]
mod tests {
    use super::{PathBuf, depended, loaded};

    #[test]
    fn the_kernel_behind_the_package_is_found() {
        let text = "Package: linux-image-cloud-amd64\nVersion: 6.1.192-2\nDepends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)\n";
        let expected = (
            "linux-image-6.1.0-56-cloud-amd64".to_owned(),
            "6.1.192-2".to_owned(),
        );
        assert_eq!(depended(text), Some(expected));
        assert_eq!(depended("Package: x\n"), None);
        assert_eq!(depended(""), None);
    }

    #[test]
    fn drivers_are_listed_without_arguments_and_without_those_built_in() {
        let text = "builtin ext4\ninsmod /m/virtio.ko \ninsmod /m/virtio_blk.ko.xz queue=1\n";
        assert_eq!(
            loaded(text),
            [PathBuf::from("/m/virtio.ko"), "/m/virtio_blk.ko.xz".into()]
        );
    }
}
