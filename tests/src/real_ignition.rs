//! Real Ignition, run on a directory as an initramfs runs it on a disk: stage by stage, before the first boot.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Background, Ran, run};

/// The stages in the order of a boot.
const STAGES: [&str; 6] = ["fetch", "kargs", "disks", "mount", "files", "umount"];

/// More than any stage takes that does not wait for something which never comes. Ignition itself retries for ever on an untrusted
/// certificate and on 5xx.
const DEADLINE: Duration = Duration::from_mins(1);

/// Where a root has the policy of `SELinux`.
const SELINUX: &str = "etc/selinux";

/// Debian's package.
const DEBIAN: (&str, &str) = (
    "/usr/lib/dracut/modules.d/30ignition/ignition",
    "/usr/bin/ignition-validate",
);

/// One Ignition.
#[derive(Debug, Clone)]
pub struct Ignition {
    /// What it is called here.
    pub name: &'static str,
    /// The newest spec version it knows.
    pub newest: &'static str,
    binary: PathBuf,
    validator: PathBuf,
}

impl Ignition {
    /// Both that are tested against: Debian's 2.14, and the 2.26 that `cargo xtask test` builds and names in `IGNITION_BUILT`.
    pub fn both() -> Result<[Self; 2]> {
        let built = env::var_os("IGNITION_BUILT").map(PathBuf::from);
        let built = built.context("IGNITION_BUILT is not set: run this by `cargo xtask test`")?;
        let both = [
            Self {
                name: "Ignition 2.14",
                newest: "3.3.0",
                binary: DEBIAN.0.into(),
                validator: DEBIAN.1.into(),
            },
            Self {
                name: "Ignition 2.26",
                newest: "3.6.0",
                binary: built.join("ignition"),
                validator: built.join("ignition-validate"),
            },
        ];
        for file in both
            .iter()
            .flat_map(|ignition| [&ignition.binary, &ignition.validator])
        {
            if !file.exists() {
                bail!(
                    "{} is missing: run this by `cargo xtask test`, which provides it",
                    file.display()
                );
            }
        }
        Ok(both)
    }

    /// Fails, with its report, when it refuses the config.
    pub fn validate(&self, config: &str) -> Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), config)?;
        let ran = run(Command::new(&self.validator).arg(file.path()), DEADLINE)?;
        if ran.code != Some(0) {
            bail!("{} refuses the config: {}", self.name, ran.all());
        }
        Ok(())
    }
}

/// A machine that was never booted: its root and the config it was given.
#[derive(Debug)]
pub struct Machine {
    ignition: Ignition,
    dir: TempDir,
    root: PathBuf,
    /// The network namespace it fetches from; else the host's.
    network: Option<PathBuf>,
}

impl Machine {
    /// Prepares a machine with an empty root whose user data is `config`.
    pub fn new(ignition: &Ignition, config: &Value) -> Result<Self> {
        let dir = TempDir::with_prefix("machine-config-")?;
        let root = dir.path().join("root");
        Self::prepare(ignition, config, dir, root, None)
    }

    /// Prepares a machine whose root is there, and which is in a network of its own: a file that stands for a namespace.
    pub fn with_root(ignition: &Ignition, config: &Value, root: &Path, network: &Path) -> Result<Self> {
        let dir = TempDir::with_prefix("machine-config-")?;
        Self::prepare(ignition, config, dir, root.to_owned(), Some(network.to_owned()))
    }

    /// As [`Machine::new`], in another network.
    pub fn in_network(ignition: &Ignition, config: &Value, network: &Path) -> Result<Self> {
        let machine = Self::new(ignition, config)?;
        Ok(Self {
            network: Some(network.to_owned()),
            ..machine
        })
    }

    fn prepare(
        ignition: &Ignition,
        config: &Value,
        dir: TempDir,
        root: PathBuf,
        network: Option<PathBuf>,
    ) -> Result<Self> {
        let machine = Self {
            ignition: ignition.clone(),
            dir,
            root,
            network,
        };
        fs::create_dir_all(machine.dir.path().join("sys"))?;
        // The files stage ends with SELinux relabelling and fails without a policy and the tool.
        let selinux = machine.root.join(SELINUX);
        fs::create_dir_all(&selinux)?;
        fs::write(selinux.join("config"), "SELINUXTYPE=targeted\n")?;
        machine.tool("setfiles", "cat > /dev/null")?;
        machine.tool("ignition-kargs-helper", "exit 0")?;
        fs::write(machine.dir.path().join("user.ign"), config.to_string())?;
        Ok(machine)
    }

    /// Its root.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.root.clone()
    }

    /// Runs one stage to its end.
    pub fn stage(&self, stage: &str) -> Result<Ran> {
        run(&mut self.command(stage), DEADLINE)
            .with_context(|| format!("{}, stage {stage}", self.ignition.name))
    }

    /// Starts a stage that may have to wait; it is killed when the value goes. What it writes goes to the file `log`.
    pub fn begin(&self, stage: &str, log: &Path) -> Result<Background> {
        Background::start(&mut self.command(stage), log)
            .with_context(|| format!("{}, stage {stage}", self.ignition.name))
    }

    fn command(&self, stage: &str) -> Command {
        let at = |name: &str| self.dir.path().join(name);
        let mut path = OsString::from(at("bin"));
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        let mut command = match &self.network {
            None => Command::new(&self.ignition.binary),
            Some(network) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net={}", network.display()));
                command.arg("--").arg(&self.ignition.binary);
                command
            }
        };
        command.args(["-platform", "file", "-log-to-stdout", "-stage", stage]);
        for (flag, file) in [
            ("-config-cache", "cache.json"),
            ("-state-file", "state"),
            ("-neednet", "neednet"),
        ] {
            command.arg(flag).arg(at(file));
        }
        command
            .arg("-root")
            .arg(&self.root)
            .env("PATH", path)
            .env("IGNITION_CONFIG_FILE", at("user.ign"))
            .env("IGNITION_SYSTEM_CONFIG_DIR", at("sys"));
        command
    }

    /// Runs every stage; all must succeed.
    pub fn provision(&self) -> Result<()> {
        self.provision_from(STAGES[0])
    }

    /// Runs a stage and all that come after it; all must succeed.
    pub fn provision_from(&self, first: &str) -> Result<()> {
        for stage in STAGES.into_iter().skip_while(|stage| *stage != first) {
            let ran = self.stage(stage)?;
            if ran.code != Some(0) {
                bail!(
                    "{}, stage {stage}, ended with {:?}:\n{}",
                    self.ignition.name,
                    ran.code,
                    tail(&ran.all())
                );
            }
        }
        // It was there for the last stage alone, and is nothing that a host without SELinux has.
        fs::remove_dir_all(self.root.join(SELINUX)).context("could not take the policy away")
    }

    /// The config that the fetch stage arrived at.
    pub fn fetched(&self) -> Result<Value> {
        let text = fs::read(self.dir.path().join("cache.json")).context("nothing was fetched")?;
        Ok(serde_json::from_slice(&text)?)
    }

    fn tool(&self, name: &str, script: &str) -> Result<()> {
        let path = self.dir.path().join("bin").join(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        fs::write(&path, format!("#!/bin/sh\n{script}\n"))?;
        Ok(fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?)
    }
}

/// The config a machine is given when it is made: where to get the real one, and whom to trust.
#[must_use]
pub fn pointer(url: &str, ca_pem: &str) -> Value {
    json!({"ignition": {
        "version": "3.2.0",
        "config": {"merge": [{"source": url}]},
        "security": {"tls": {"certificateAuthorities": [{"source": ignition::contents::base64(ca_pem.as_bytes())}]}},
    }})
}

/// The end of a log, which is where the reason is.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
