//! The root that machines are copies of: Debian 12, made once and kept.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::place::{base, locked};
use super::tail;
use crate::program::{is_root, line, run};

/// What an image is made of, beside all that is the same for each.
struct Recipe {
    /// Names the content of the image: to be counted up when anything below changes what is in it.
    version: &'static str,
    /// Packages, beside [`PACKAGES`].
    more: &'static str,
}

/// A host.
const HOST: Recipe = Recipe {
    version: "bookworm-1",
    more: "",
};

/// The host of containers: what starts them, and what gives them a network.
const NODE: Recipe = Recipe {
    version: "bookworm-node-1",
    more: ",ca-certificates,iptables,runc",
};

/// Debian 12, whose systemd 252 still runs on a host with cgroup v1, and whose libraries are as old as any that our programs are
/// built against.
const SUITE: &str = "bookworm";

/// systemd and what it takes; tools that tests and the daemon call; and two services to restart and reload: sshd and chronyd.
const PACKAGES: &str =
    "systemd,systemd-sysv,dbus,util-linux,mount,procps,kmod,iproute2,openssh-server,chrony";

/// Read by people, by the package manager, or by programs that no test runs: more than half of the files, and each is copied for
/// every machine.
const DISPENSABLE: [&str; 20] = [
    "usr/bin/perl",
    "usr/lib/terminfo",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/lib/x86_64-linux-gnu/perl-base",
    "usr/share/bash-completion",
    "usr/share/common-licenses",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/perl5",
    "usr/share/zsh",
    "var/cache/apt",
    "var/cache/debconf",
    "var/lib/apt/lists",
    "var/lib/dpkg/info",
    "var/lib/systemd/deb-systemd-helper-enabled",
    "var/log/apt",
    "var/log/bootstrap.log",
];

/// The time zones that are kept of a thousand: `/etc/localtime` points to one of these.
const ZONES: [&str; 2] = ["Etc", "UTC"];

/// What would be the same on all machines, or the host's. With the host's `resolv.conf`, names would be looked up in vain, for long.
const PERSONAL: [&str; 3] = ["etc/hostname", "etc/resolv.conf", "var/lib/dbus/machine-id"];

/// Units that would ask questions on the console.
const MASKED: [&str; 2] = ["systemd-firstboot.service", "console-getty.service"];

/// Debian enables every service; a machine of this kind enables what its presets name.
const PRESET: &str = "enable chrony.service\nenable ssh.service\ndisable *\n";

/// chronyd runs though it may not set the clock, which is the host's, and does not try to (`-x`).
const CHRONY: [(&str, &str); 2] = [
    (
        "usr/lib/systemd/system/chrony.service.d/10-machine.conf",
        "[Unit]\nConditionCapability=\n",
    ),
    ("etc/default/chrony", "DAEMON_OPTS=\"-F 1 -x\"\n"),
];

/// How long a copy may take; it takes half a second.
const COPY: Duration = Duration::from_mins(2);

/// A root that is there, complete.
#[derive(Debug, Clone)]
pub struct Image {
    root: PathBuf,
}

impl Image {
    /// The image, which is made if it is not there: that takes a minute or two, and a Debian mirror. A making that was cut off leaves
    /// nothing that looks finished, and of several at once one makes it and the others wait.
    pub fn provide() -> Result<Self> {
        Self::of(&HOST)
    }

    /// As [`Image::provide`], with what a machine needs that runs containers.
    pub fn provide_for_containers() -> Result<Self> {
        Self::of(&NODE)
    }

    fn of(recipe: &Recipe) -> Result<Self> {
        ensure!(is_root(), "machines take root: run this as root");
        let base = base()?.join("image");
        fs::create_dir_all(&base).with_context(|| format!("could not create {}", base.display()))?;
        let root = base.join(recipe.version);
        let _lock = locked(&base.join("lock"))?;
        if !root.exists() {
            let partial = base.join("partial");
            if partial.exists() {
                fs::remove_dir_all(&partial)
                    .with_context(|| format!("could not remove {}", partial.display()))?;
            }
            build(recipe, &partial, &base.join("build.log"))
                .context("could not make the image of a machine")?;
            fs::rename(&partial, &root)
                .with_context(|| format!("could not put {} in place", root.display()))?;
        }
        Ok(Self { root })
    }

    /// Its directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the empty directory `target` a root like it.
    pub(super) fn copy_to(&self, target: &Path) -> Result<()> {
        let mut command = Command::new("cp");
        command.args(["--archive", "--no-target-directory"]);
        succeed(command.arg(&self.root).arg(target))
    }
}

fn build(recipe: &Recipe, root: &Path, log: &Path) -> Result<()> {
    debootstrap(recipe, root, log)?;
    let mut user = Command::new("chroot");
    user.arg(root).args([
        "useradd",
        "--create-home",
        "--uid",
        "1000",
        "--shell",
        "/bin/bash",
        "core",
    ]);
    succeed(&mut user)?;
    trim(root)?;
    settle(root)
}

/// Takes out what no machine needs.
fn trim(root: &Path) -> Result<()> {
    for path in DISPENSABLE.iter().chain(&PERSONAL) {
        remove(&root.join(path))?;
    }
    for zone in fs::read_dir(root.join("usr/share/zoneinfo"))? {
        let zone = zone?;
        if !ZONES.iter().any(|kept| zone.file_name() == *kept) {
            remove(&zone.path())?;
        }
    }
    Ok(())
}

/// Removes a file or a directory, if it is there.
fn remove(path: &Path) -> Result<()> {
    let result = if path.is_dir() && !path.is_symlink() {
        fs::remove_dir_all(path)
    } else if path.is_symlink() || path.exists() {
        fs::remove_file(path)
    } else {
        Ok(())
    };
    result.with_context(|| format!("could not remove {}", path.display()))
}

/// Decides what a machine does when it boots.
fn settle(root: &Path) -> Result<()> {
    let etc = root.join("etc/systemd/system");
    for directory in fs::read_dir(&etc)? {
        let directory = directory?.path();
        if directory
            .extension()
            .is_some_and(|extension| extension == "wants")
        {
            fs::remove_dir_all(directory)?;
        }
    }
    for unit in MASKED {
        symlink("/dev/null", etc.join(unit)).with_context(|| format!("could not mask {unit}"))?;
    }
    write(root, "usr/lib/systemd/system-preset/10-machine.preset", PRESET)?;
    for (path, text) in CHRONY {
        write(root, path, text)?;
    }
    // This word, and not an empty file, makes the next boot a first boot: systemd then applies the presets.
    write(root, "etc/machine-id", "uninitialized\n")?;
    write(root, "etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")?;
    // With this directory the journal is kept over reboots.
    fs::create_dir_all(root.join("var/log/journal")).context("could not create the directory of the journal")
}

/// Everything it starts and mounts ends with this process, so that a making that was cut off does not go on behind the next one.
fn debootstrap(recipe: &Recipe, root: &Path, log: &Path) -> Result<()> {
    let mut command = Command::new("setpriv");
    command.args([
        "--pdeathsig",
        "KILL",
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]);
    command.args([
        "debootstrap",
        "--variant=minbase",
        &format!("--include={PACKAGES}{}", recipe.more),
        SUITE,
    ]);
    command.arg(root).args(mirror()?);
    let file = File::create(log).with_context(|| format!("could not create {}", log.display()))?;
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    let status = command
        .status()
        .with_context(|| format!("could not run {}", line(&command)))?;
    if !status.success() {
        bail!(
            "debootstrap, which `cargo xtask test` installs, ended with {status}:\n{}",
            tail(&fs::read(log)?)
        );
    }
    Ok(())
}

/// The mirror that this machine's apt takes Debian from; else debootstrap knows one.
fn mirror() -> Result<Option<String>> {
    let mut command = Command::new("apt-get");
    command.args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
        "Label: Debian",
    ]);
    command.args([&format!("Codename: {SUITE}"), "Component: main"]);
    let ran = run(&mut command, COPY)?;
    Ok(ran.stdout.lines().next().map(ToOwned::to_owned))
}

fn write(root: &Path, path: &str, text: &str) -> Result<()> {
    let path = root.join(path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
    Ok(fs::set_permissions(&path, Permissions::from_mode(0o644))?)
}

fn succeed(command: &mut Command) -> Result<()> {
    let ran = run(command, COPY)?;
    if ran.code != Some(0) {
        bail!("{} ended with {:?}: {}", line(command), ran.code, ran.all());
    }
    Ok(())
}
