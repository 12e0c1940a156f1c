//! An API server, the server of new machines with the rights of its account, and the words to steer both.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::client::{Answer, Client};
use e2e::cluster::{Api, Cluster, Component, Options};
use e2e::pki::Pki;
use e2e::program::{Background, Ran, built, free_port};
use e2e::repository;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use machineconfig::join::{JoinToken, TOKENS, Uses};
use serde_json::{Value, json};

use crate::ACCEPT;

/// How long anything may take.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);
/// Where our objects are.
const GROUP: &str = "/apis/machineconfiguration.openshift.io/v1";
/// The namespace of the system.
pub(crate) const NAMESPACE: &str = "machine-config";
/// How long the token of the server holds, in seconds: longer than the test.
const TOKEN: u32 = 7200;
/// Lines of the log that are told with a failure.
const END_OF_LOG: usize = 15;

/// The cluster and its server.
pub(crate) struct World {
    /// Before the cluster: they end first.
    server: Option<Server>,
    pub(crate) controller: Option<Background>,
    pub(crate) pki: Pki,
    pub(crate) cluster: Cluster,
}

pub(crate) struct Server {
    process: Background,
    client: Client,
    pub(crate) port: u16,
    metrics: u16,
}

impl World {
    /// An API server with everything that is deployed for the server, and nothing to serve.
    pub(crate) fn up() -> Result<Self> {
        let cluster = Cluster::up(&Options::default())?;
        let pki = Pki::create(cluster.dir())?;
        let world = Self {
            server: None,
            controller: None,
            pki,
            cluster,
        };
        // The second time the kinds are known that the rest is about.
        let base = repository().join("deploy/base").display().to_string();
        world.cluster.kubectl(&["apply", "--server-side", "-k", &base])?;
        for directory in [
            "crds/manifests",
            "deploy/base",
            "deploy/server",
            "deploy/approval",
        ] {
            world.apply(directory)?;
        }
        for account in ["pool-worker", "proved-worker"] {
            let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}});
            let path = "/api/v1/namespaces/machine-config-bootstrap/serviceaccounts";
            world.api().create(path, &object)?;
        }
        Ok(world)
    }

    fn apply(&self, directory: &str) -> Result<()> {
        let directory = repository().join(directory).display().to_string();
        let ran = self
            .cluster
            .kubectl(&["apply", "--server-side", "-k", &directory])?;
        ensure!(ran.code == Some(0), "could not apply {directory}: {}", ran.all());
        let ran = self.cluster.kubectl(&[
            "wait",
            "--for=condition=Established",
            "crd",
            "--all",
            "--timeout=60s",
        ])?;
        ensure!(ran.code == Some(0), "our kinds are not there: {}", ran.all());
        Ok(())
    }

    pub(crate) fn api(&self) -> &Api {
        self.cluster.api()
    }

    /// Leaves a bundle behind when it went wrong.
    pub(crate) fn judged(&self, outcome: Result<()>) -> Result<()> {
        self.cluster.judged("server", outcome)
    }

    /// Starts the server as its account.
    pub(crate) fn start(&mut self, arguments: &[&str]) -> Result<()> {
        let token = self.token("machine-config-server")?;
        let kubeconfig = self.kubeconfig("server.kubeconfig", &token)?;
        let [port, metrics] = [free_port()?, free_port()?];
        let mut command = Command::new(built("machine-config-server")?);
        command
            .args([
                "start",
                "--apiserver-url=https://api-int.example.com:6443",
                "-v=4",
            ])
            .arg(format!("--namespace={NAMESPACE}"))
            .arg(format!("--kubeconfig={kubeconfig}"))
            .arg(format!("--secure-port={port}"))
            .arg("--bind-address=127.0.0.1")
            .arg(format!("--metrics-listen-address=127.0.0.1:{metrics}"))
            .arg(format!("--cert={}", self.pki.cert.display()))
            .arg(format!("--key={}", self.pki.key.display()))
            .args(arguments);
        let log = self.cluster.dir().join("logs/server.log");
        self.server = Some(Server {
            process: Background::start(&mut command, &log)?,
            client: Client::new(&self.pki.ca_pem, port)?,
            port,
            metrics,
        });
        Ok(())
    }

    /// Starts it anew.
    pub(crate) fn restart(&mut self, arguments: &[&str]) -> Result<()> {
        self.server = None;
        self.start(arguments)
    }

    pub(crate) fn token(&self, account: &str) -> Result<String> {
        let token = self.api().create(
            &format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token"),
            &json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                    "spec": {"expirationSeconds": TOKEN}}),
        )?;
        let token = token["status"]["token"].as_str();
        Ok(token.context("the API server gave no token")?.to_owned())
    }

    /// A kubeconfig with a token; the result is its path.
    pub(crate) fn kubeconfig(&self, name: &str, token: &str) -> Result<String> {
        let ran = self
            .cluster
            .kubectl(&["config", "view", "--raw", "--output=json"])?;
        let mut config: Value = serde_json::from_str(&ran.stdout).with_context(|| ran.all())?;
        config["users"][0]["user"] = json!({"token": token});
        let path = self.cluster.dir().join(name);
        fs::write(&path, config.to_string())?;
        Ok(path.display().to_string())
    }

    pub(crate) fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("the server does not run")
    }

    // === asking ===

    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        let headers = [&[("accept", ACCEPT)], headers].concat();
        self.server()?.client.send(&Method::GET, path, &headers)
    }

    pub(crate) fn head(&self, path: &str) -> Result<Answer> {
        self.server()?
            .client
            .send(&Method::HEAD, path, &[("accept", ACCEPT)])
    }

    pub(crate) fn status(&self, path: &str) -> Result<u16> {
        Ok(self.get(path, &[])?.status.as_u16())
    }

    /// The config that a pool serves.
    pub(crate) fn config(&self, pool: &str) -> Result<Value> {
        let answer = self.get(&format!("/config/{pool}"), &[])?;
        ensure!(answer.status == 200, "status {}", answer.status);
        Ok(serde_json::from_slice(&answer.body)?)
    }

    pub(crate) fn metrics(&self) -> Result<String> {
        let mut answer = ureq::get(format!("http://127.0.0.1:{}/metrics", self.server()?.metrics)).call()?;
        Ok(answer.body_mut().read_to_string()?)
    }

    pub(crate) fn log(&self) -> String {
        self.server
            .as_ref()
            .map(|server| server.process.log())
            .unwrap_or_default()
    }

    pub(crate) fn log_end(&self) -> String {
        end(&self.log())
    }

    /// Who the API server takes the holder of a token for.
    pub(crate) fn whoami(&self, token: &str) -> Result<String> {
        let ran = self.as_holder(token, &["auth", "whoami", "--output=json"])?;
        let answer: Value = serde_json::from_str(&ran.stdout).with_context(|| ran.all())?;
        Ok(answer["status"]["userInfo"]["username"]
            .as_str()
            .unwrap_or_default()
            .to_owned())
    }

    /// Whether the holder of a token may do something.
    pub(crate) fn may(&self, token: &str, verb: &str, what: &str) -> Result<bool> {
        let ran = self.as_holder(token, &["auth", "can-i", verb, what, "-A"])?;
        match ran.stdout.trim() {
            "yes" => Ok(true),
            "no" => Ok(false),
            _ => anyhow::bail!("{}", ran.all()),
        }
    }

    pub(crate) fn as_holder(&self, token: &str, arguments: &[&str]) -> Result<Ran> {
        let kubeconfig = format!("--kubeconfig={}", self.kubeconfig("holder.kubeconfig", token)?);
        let arguments = [&[kubeconfig.as_str()], arguments].concat();
        self.cluster.kubectl(&arguments)
    }

    /// What all events say.
    pub(crate) fn events(&self) -> Result<String> {
        Ok(self
            .api()
            .get("/apis/events.k8s.io/v1/namespaces/default/events")?
            .to_string())
    }

    // === objects ===

    fn put(&self, path: &str, name: &str, object: &Value) -> Result<()> {
        let own = format!("{path}/{name}");
        if self.api().find(&own)?.is_some() {
            self.api().merge(&own, &json!({"spec": object["spec"]})).map(drop)
        } else {
            self.api().create(path, object).map(drop)
        }
    }

    pub(crate) fn make_controller_config(&self, kubelet_ca: &[u8]) -> Result<()> {
        let name = "machine-config-controller";
        let spec = json!({
            "cloudProviderConfig": "", "clusterDNSIP": "10.96.0.10", "images": {}, "ipFamilies": "IPv4",
            "kubeAPIServerServingCAData": STANDARD.encode(kubelet_ca), "osImageURL": "", "releaseImage": "",
            "rootCAData": STANDARD.encode("root ca"),
        });
        let object = json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "ControllerConfig",
            "metadata": {"name": name}, "spec": spec,
        });
        self.put(&format!("{GROUP}/controllerconfigs"), name, &object)
    }

    /// A rendered config with a file that says `what`.
    pub(crate) fn make_rendered(&self, name: &str, what: &str) -> Result<()> {
        let object = json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig",
            "metadata": {"name": name},
            "spec": {"config": {"ignition": {"version": "3.4.0"}, "storage": {"files": [
                {"path": "/etc/what", "mode": 420, "overwrite": true, "contents": {"source": format!("data:,{what}")}},
            ]}}},
        });
        self.put(&format!("{GROUP}/machineconfigs"), name, &object)
    }

    pub(crate) fn delete_rendered(&self, name: &str) -> Result<()> {
        self.api().delete(&format!("{GROUP}/machineconfigs/{name}"))
    }

    pub(crate) fn make_pool(&self, name: &str, target: &str, status: &Value) -> Result<()> {
        let object = json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool",
            "metadata": {"name": name}, "spec": {
                "configuration": {"name": target},
                "machineConfigSelector": {"matchLabels": {"machineconfiguration.openshift.io/role": name}},
            },
        });
        self.api()
            .create(&format!("{GROUP}/machineconfigpools"), &object)?;
        self.set_pool(name, target, status)
    }

    pub(crate) fn set_pool(&self, name: &str, target: &str, status: &Value) -> Result<()> {
        let path = format!("{GROUP}/machineconfigpools/{name}");
        self.api()
            .merge(&path, &json!({"spec": {"configuration": {"name": target}}}))?;
        self.api()
            .merge(&format!("{path}/status"), &json!({"status": status}))?;
        Ok(())
    }

    // === tokens ===

    fn tokens_path() -> String {
        format!("/api/v1/namespaces/{NAMESPACE}/secrets")
    }

    pub(crate) fn store_tokens(&self, tokens: &[(&JoinToken, &str, Uses)]) -> Result<()> {
        let expires = Timestamp::now() + SignedDuration::from_hours(1);
        let mut data = json!({});
        for (token, pool, uses) in tokens {
            let stored = serde_json::to_vec(&token.stored(pool, expires, *uses))?;
            data[token.id()] = STANDARD.encode(stored).into();
        }
        let path = format!("{}/{TOKENS}", Self::tokens_path());
        if self.api().find(&path)?.is_some() {
            return self.api().merge(&path, &json!({"data": data})).map(drop);
        }
        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": TOKENS}, "data": data});
        self.api().create(&Self::tokens_path(), &secret).map(drop)
    }

    pub(crate) fn stored_token(&self, token: &JoinToken) -> Result<Value> {
        let secret = self.api().get(&format!("{}/{TOKENS}", Self::tokens_path()))?;
        let encoded = secret["data"][token.id()].as_str().unwrap_or_default();
        Ok(serde_json::from_slice(&STANDARD.decode(encoded)?)?)
    }

    pub(crate) fn mark_used(&self, token: &JoinToken, by: &str) -> Result<()> {
        let mut stored = self.stored_token(token)?;
        stored["used"]["by"] = by.into();
        let data = json!({"data": {token.id(): STANDARD.encode(stored.to_string())}});
        self.api()
            .merge(&format!("{}/{TOKENS}", Self::tokens_path()), &data)
            .map(drop)
    }

    // === the API server ===

    pub(crate) fn stop_api_server(&mut self) -> Result<()> {
        self.cluster.kill_component(Component::KubeApiserver)
    }

    pub(crate) fn start_api_server(&mut self) -> Result<()> {
        self.cluster.start_component(Component::KubeApiserver)
    }
}

/// The last lines of a log.
pub(crate) fn end(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(END_OF_LOG)..].join("\n")
}

/// The token in a kubeconfig.
pub(crate) fn token_of(kubeconfig: &str) -> Result<String> {
    let line = kubeconfig
        .lines()
        .find_map(|line| line.trim().strip_prefix("token: "));
    Ok(line
        .context("the kubeconfig has no token")?
        .trim_matches('"')
        .to_owned())
}
