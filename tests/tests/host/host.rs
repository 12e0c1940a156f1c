//! A machine with the daemon on it, and words for what the tests do there.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::machine::{BOOT, COMMAND, Image, Machine};
use e2e::program::{Ran, built, run};
use serde_json::{Value, json};

/// For a machine to go down and come up again, with others doing so beside it.
pub(crate) const REBOOT: Duration = Duration::from_mins(1);

/// A machine with the daemon on it.
pub(crate) struct Host {
    pub(crate) machine: Machine,
    /// The boot it began with.
    pub(crate) boot: String,
    /// Where background programs write to.
    pub(crate) log: PathBuf,
    _directory: tempfile::TempDir,
}

impl Host {
    pub(crate) fn start(name: &str) -> Result<Self> {
        let machine = Machine::start(&Image::provide()?, name)?;
        machine.wait_running(BOOT)?;
        machine.install_program(&built("machine-config-daemon")?)?;
        fs::copy(
            repository().join("examples/policy.yaml"),
            machine.root().join("root/policy.yaml"),
        )?;
        let directory = tempfile::tempdir()?;
        Ok(Self {
            boot: machine.boot_id()?,
            machine,
            log: directory.path().join("log"),
            _directory: directory,
        })
    }

    /// Runs the daemon inside.
    pub(crate) fn daemon(&self, arguments: &[&str]) -> Result<Ran> {
        let argv: Vec<&str> = ["/usr/local/bin/machine-config-daemon"]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        self.machine.run_within(&argv, REBOOT * 2)
    }

    /// As [`Host::daemon`], and it must end with `code`.
    pub(crate) fn expect(&self, arguments: &[&str], code: i32) -> Result<Ran> {
        let ran = self.daemon(arguments)?;
        ensure!(
            ran.code == Some(code),
            "machine-config-daemon {} ended with {:?}:\n{}",
            arguments.join(" "),
            ran.code,
            ran.all()
        );
        Ok(ran)
    }

    /// Starts the daemon inside as a unit of its own, for what ends with the machine: a program that came in from outside would be
    /// stopped with the rest at shutdown, and hold the machine up. What it writes goes to the journal.
    pub(crate) fn leave(&self, arguments: &[&str]) -> Result<()> {
        let argv: Vec<&str> = [
            "systemd-run",
            "--quiet",
            "--collect",
            "/usr/local/bin/machine-config-daemon",
        ]
        .into_iter()
        .chain(arguments.iter().copied())
        .collect();
        self.machine.succeed(&argv)?;
        Ok(())
    }

    pub(crate) fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(
            &self.expect(&["status", "-o", "json"], 0)?.stdout,
        )?)
    }

    /// Renders the pool worker of a directory of examples into `/root/NAME.yaml`.
    pub(crate) fn render(&self, directory: &str, name: &str) -> Result<()> {
        let mut mcctl = Command::new(built("mcctl")?);
        mcctl
            .current_dir(repository())
            .args(["render", "--pool", "worker", "-o", "yaml", "-f", directory]);
        let ran = run(&mut mcctl, COMMAND)?;
        ensure!(ran.code == Some(0), "{}", ran.all());
        Ok(fs::write(
            self.machine.root().join(format!("root/{name}.yaml")),
            ran.stdout,
        )?)
    }

    /// A rendered config `rendered-NAME` in `/root/NAME.json`.
    pub(crate) fn config(&self, name: &str, ignition: &Value) -> Result<()> {
        let object = json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig",
            "metadata": {"name": format!("rendered-{name}"), "annotations": {"machineconfiguration.openshift.io/generated-by-controller-version": "v1"}},
            "spec": {"config": ignition}
        });
        Ok(fs::write(
            self.machine.root().join(format!("root/{name}.json")),
            object.to_string(),
        )?)
    }

    /// A policy in `/root/policy.yaml`.
    pub(crate) fn policy(&self, policy: &Value) -> Result<()> {
        let object = json!({
            "apiVersion": "operator.openshift.io/v1", "kind": "MachineConfiguration", "metadata": {"name": "cluster"},
            "spec": {"nodeDisruptionPolicy": policy}
        });
        Ok(fs::write(
            self.machine.root().join("root/policy.yaml"),
            object.to_string(),
        )?)
    }

    /// A unit of the host, known to systemd.
    pub(crate) fn unit(&self, name: &str, text: &str) -> Result<()> {
        fs::write(
            self.machine.root().join("usr/lib/systemd/system").join(name),
            text,
        )?;
        self.machine.succeed(&["systemctl", "daemon-reload"])?;
        Ok(())
    }

    /// A service that runs, and counts how often it is reloaded.
    pub(crate) fn probe(&self, name: &str) -> Result<()> {
        let text = format!(
            "[Service]\nExecStart=/bin/sleep infinity\nExecReload=/bin/sh -c 'echo reload >> /var/log/{name}'\n[Install]\nWantedBy=multi-user.target\n"
        );
        self.unit(name, &text)?;
        self.machine.succeed(&["systemctl", "enable", "--now", name])?;
        Ok(())
    }

    pub(crate) fn reloads(&self, name: &str) -> usize {
        let log = self.machine.root().join("var/log").join(name);
        fs::read_to_string(log).unwrap_or_default().lines().count()
    }

    pub(crate) fn invocations(&self, units: &[&'static str]) -> Result<BTreeMap<&'static str, String>> {
        units
            .iter()
            .map(|unit| Ok((*unit, self.machine.property(unit, "InvocationID")?)))
            .collect()
    }

    pub(crate) fn read(&self, path: &str) -> Result<String> {
        let path = self.machine.root().join(path.trim_start_matches('/'));
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Serves one body to whoever asks from inside; the result is its address.
    pub(crate) fn serve(&self, body: Vec<u8>) -> Result<String> {
        let listener = self.machine.listen(SocketAddr::from(([127, 0, 0, 1], 8080)))?;
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut request = [0_u8; 4096];
                let _ = stream.read(&mut request);
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream
                    .write_all(head.as_bytes())
                    .and_then(|()| stream.write_all(&body));
            }
        });
        Ok("http://127.0.0.1:8080/config/worker".to_owned())
    }
}

pub(crate) fn file(path: &str, text: &str) -> Value {
    json!({"path": path, "mode": 420, "overwrite": true, "contents": {"source": format!("data:,{text}")}})
}

pub(crate) fn files(files: &[Value]) -> Value {
    json!({"ignition": {"version": "3.4.0"}, "storage": {"files": files}})
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package is in a directory of the repository")
}
