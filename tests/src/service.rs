//! Our controller and our server, the real programs, between a directory of manifests and the first answered request.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use http::StatusCode;

use crate::client::Client;
use crate::pki::Pki;
use crate::program::{Background, Ran, built, free_port, run, wait_for};

/// How long the controller may take; it takes milliseconds.
const RENDER: Duration = Duration::from_secs(30);

/// How long the server may take to its first answer.
const START: Duration = Duration::from_secs(10);

/// Stands for the kubeconfig that an installation makes. The token is none.
const KUBECONFIG: &str = "apiVersion: v1\nkind: Config\nclusters:\n- name: local\n  cluster: {server: 'https://api-int.example.com:6443'}\n\
                          contexts:\n- name: kubelet\n  context: {cluster: local, user: kubelet}\ncurrent-context: kubelet\n\
                          users:\n- name: kubelet\n  user: {token: example}\n";

/// The command that renders every pool of `manifests` into `dest`.
pub fn controller(manifests: &Path, dest: &Path) -> Result<Command> {
    let mut command = Command::new(built("machine-config-controller")?);
    command
        .arg("bootstrap")
        .arg("--manifest-dir")
        .arg(manifests)
        .arg("--dest-dir")
        .arg(dest);
    Ok(command)
}

/// Renders every pool of `manifests` into `dest`.
pub fn bootstrap(manifests: &Path, dest: &Path) -> Result<Ran> {
    let ran = run(&mut controller(manifests, dest)?, RENDER)?;
    if ran.code != Some(0) {
        bail!(
            "machine-config-controller bootstrap ended with {:?}:\n{}",
            ran.code,
            ran.all()
        );
    }
    Ok(ran)
}

/// A running server.
pub struct Service {
    /// Where it listens, on this machine.
    pub port: u16,
    /// The authority its certificate is from.
    pub pki: Pki,
    /// A client that trusts that authority.
    pub client: Client,
    process: Background,
}

impl Service {
    /// Starts the server on what [`bootstrap`] made in `basedir`, and waits for its first answer. `scratch` takes key, log and
    /// kubeconfig.
    pub fn start(basedir: &Path, scratch: &Path) -> Result<Self> {
        let pki = Pki::create(scratch)?;
        let port = free_port()?;
        let log = scratch.join("server.log");
        let mut process = Background::start(&mut command(basedir, scratch, &pki, port)?, &log)?;
        let client = Client::new(&pki.ca_pem, port)?;
        wait_for("the server's first answer", START, || {
            process.check()?;
            let answer = client.get("/healthz", None);
            Ok(answer
                .is_ok_and(|answer| answer.status == StatusCode::OK)
                .then_some(()))
        })?;
        Ok(Self {
            port,
            pki,
            client,
            process,
        })
    }

    /// Where a pool's config is.
    #[must_use]
    pub fn url(&self, pool: &str) -> String {
        format!("https://localhost:{}/config/{pool}", self.port)
    }

    /// The body a client of that Ignition version gets.
    pub fn body(&self, pool: &str, version: &str) -> Result<String> {
        let accept = format!("application/vnd.coreos.ignition+json;version={version}, */*;q=0.1");
        let answer = self.client.get(&format!("/config/{pool}"), Some(&accept))?;
        if answer.status != StatusCode::OK {
            bail!(
                "{} for {pool} at {version}; the server's log:\n{}",
                answer.status,
                self.log()
            );
        }
        Ok(String::from_utf8(answer.body.to_vec())?)
    }

    /// What the server wrote.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

/// The command that serves `basedir`.
pub fn command(basedir: &Path, scratch: &Path, pki: &Pki, port: u16) -> Result<Command> {
    let kubeconfig = kubeconfig(scratch)?;
    let mut command = Command::new(built("machine-config-server")?);
    command
        .arg("bootstrap")
        .arg("--all-pools")
        .arg("--server-basedir")
        .arg(basedir);
    command.arg("--bootstrap-kubeconfig").arg(kubeconfig);
    command.arg("--cert").arg(&pki.cert).arg("--key").arg(&pki.key);
    command.arg("--secure-port").arg(port.to_string());
    command.args([
        "--bind-address",
        "127.0.0.1",
        "--metrics-listen-address",
        "127.0.0.1:0",
    ]);
    Ok(command)
}

fn kubeconfig(scratch: &Path) -> Result<PathBuf> {
    let path = scratch.join("kubeconfig");
    fs::write(&path, KUBECONFIG)?;
    Ok(path)
}
