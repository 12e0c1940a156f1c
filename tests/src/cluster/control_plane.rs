//! The control plane: etcd, the API server, the controller manager and the scheduler, the real ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::api::{Api, wait_on};
use super::audit;
use super::parts::Parts;
use super::pki::Pki;
use super::place::{Place, SERVICES};
use super::process::Process;

/// How long a part may take until it works; the API server takes three seconds, and several times that on a busy host.
const START: Duration = Duration::from_mins(2);

/// The pods of all nodes; nobody outside a node sees these addresses.
const PODS: &str = "10.100.0.0/16";

/// A part of the control plane that can be killed and started by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    /// Where all objects are.
    Etcd,
    /// The one door to them.
    KubeApiserver,
    /// What signs certificates, counts disruptions, makes pods of workloads, and so on.
    KubeControllerManager,
    /// What gives pods to nodes.
    KubeScheduler,
}

impl Component {
    /// All of them, in the order of starting.
    pub const ALL: [Self; 4] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
    ];

    /// The name of its program.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
        }
    }

    /// The component whose program has that name.
    pub fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|component| component.name() == name);
        found.with_context(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{name:?} is no component of the control plane: {names}")
        })
    }
}

/// The control plane of one cluster.
#[derive(Debug)]
pub(super) struct ControlPlane {
    running: BTreeMap<Component, Process>,
    logs: PathBuf,
    /// What tells the API server which requests to record, if any.
    audit: Option<audit::Files>,
}

impl ControlPlane {
    /// Nothing of it runs yet.
    pub(super) fn new(place: &Place, audited: bool) -> Result<Self> {
        let logs = place.dir().join("logs");
        fs::create_dir_all(&logs).with_context(|| format!("could not create {}", logs.display()))?;
        Ok(Self {
            running: BTreeMap::new(),
            audit: audited.then(|| audit::Files::create(place.dir())).transpose()?,
            logs,
        })
    }

    /// The file with what the API server has recorded.
    pub(super) fn record(&self) -> Result<&Path> {
        let files = self.audit.as_ref().map(|files| files.record.as_path());
        files.context("this cluster keeps no record of requests: ask for one with `Options::audited`")
    }

    /// Where its parts write their logs: one file for each start.
    pub(super) fn logs(&self) -> &PathBuf {
        &self.logs
    }

    /// Starts a part. It need not work yet on return.
    pub(super) fn start(
        &mut self,
        component: Component,
        place: &Place,
        parts: &Parts,
        pki: &Pki,
    ) -> Result<()> {
        let name = component.name();
        ensure!(!self.running.contains_key(&component), "{name} runs already");
        let argv = match component {
            Component::Etcd => etcd(place, parts),
            Component::KubeApiserver => {
                let mut argv = api_server(place, parts, pki);
                argv.extend(self.audit.iter().flat_map(audit::Files::arguments));
                argv
            }
            Component::KubeControllerManager => controller_manager(parts, pki),
            Component::KubeScheduler => scheduler(parts, pki),
        };
        let earlier = fs::read_dir(&self.logs)?
            .filter(|entry| {
                entry
                    .as_ref()
                    .is_ok_and(|entry| is_log_of(name, &entry.file_name().to_string_lossy()))
            })
            .count();
        let log = self.logs.join(format!("{name}.{}.log", earlier + 1));
        let process =
            Process::start(place, &argv, &log).with_context(|| format!("could not start {name}"))?;
        self.running.insert(component, process);
        Ok(())
    }

    /// Kills a part, as a fault would.
    pub(super) fn kill(&mut self, component: Component) -> Result<()> {
        let name = component.name();
        let Some(process) = self.running.remove(&component) else {
            bail!("{name} does not run");
        };
        process.kill().with_context(|| format!("could not kill {name}"))
    }

    /// Waits until the API server is ready for everything.
    pub(super) fn wait_ready(&self, api: &Api) -> Result<()> {
        self.wait("the API server to be ready", || {
            Ok((api.text("/readyz")? == "ok").then_some(()))
        })
    }

    /// Waits until the controller manager works, which shows in what it makes in every namespace.
    pub(super) fn wait_controllers(&self, api: &Api) -> Result<()> {
        self.wait("the controller manager to work", || {
            api.find("/api/v1/namespaces/default/serviceaccounts/default")
        })
        .map(drop)
    }

    /// Waits for something, but not longer than all parts are there.
    fn wait<T>(&self, what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        wait_on(what, START, || match self.check() {
            Ok(()) => Ok(look()?.map(Ok)),
            Err(ended) => Ok(Some(Err(ended))),
        })?
    }

    /// Fails when a part that was started has ended, with its last words.
    pub(super) fn check(&self) -> Result<()> {
        for (component, process) in &self.running {
            process
                .check()
                .with_context(|| format!("{} has ended", component.name()))?;
        }
        Ok(())
    }
}

/// Whether a file is a log of that program.
fn is_log_of(name: &str, file: &str) -> bool {
    file.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
}

// === the programs and their arguments ===

fn argv(program: &std::path::Path, arguments: Vec<String>) -> Vec<String> {
    let mut argv = vec![program.to_string_lossy().into_owned()];
    argv.extend(arguments);
    argv
}

fn etcd(place: &Place, parts: &Parts) -> Vec<String> {
    let arguments = vec![
        format!("--data-dir={}", place.dir().join("etcd").display()),
        // What is lost when the host fails is thrown away anyway.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
        "--listen-client-urls=http://127.0.0.1:2379".to_owned(),
        "--advertise-client-urls=http://127.0.0.1:2379".to_owned(),
        "--listen-peer-urls=http://127.0.0.1:2380".to_owned(),
    ];
    argv(&parts.runtime("etcd"), arguments)
}

fn api_server(place: &Place, parts: &Parts, pki: &Pki) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", pki.file(name).display());
    let mut arguments = vec![
        "--etcd-servers=http://127.0.0.1:2379".to_owned(),
        "--bind-address=0.0.0.0".to_owned(),
        format!("--advertise-address={}", place.control_plane()),
        "--secure-port=443".to_owned(),
        format!("--service-cluster-ip-range={SERVICES}"),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        // The latter as OpenShift has it: who names an owner must have rights on it.
        "--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--kubelet-preferred-address-types=InternalIP,Hostname".to_owned(),
        "--requestheader-allowed-names=front-proxy-client".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
    ];
    for (flag, name) in [
        ("tls-cert-file", "apiserver.crt"),
        ("tls-private-key-file", "apiserver.key"),
        ("client-ca-file", "ca.crt"),
        ("kubelet-client-certificate", "kubelet-client.crt"),
        ("kubelet-client-key", "kubelet-client.key"),
        ("kubelet-certificate-authority", "ca.crt"),
        ("requestheader-client-ca-file", "ca.crt"),
        ("proxy-client-cert-file", "proxy-client.crt"),
        ("proxy-client-key-file", "proxy-client.key"),
        ("service-account-key-file", "sa.pub"),
        ("service-account-signing-key-file", "sa.key"),
    ] {
        arguments.push(file(flag, name));
    }
    argv(&parts.kubernetes("kube-apiserver"), arguments)
}

fn controller_manager(parts: &Parts, pki: &Pki) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", pki.file(name).display());
    let arguments = vec![
        file("kubeconfig", "kube-controller-manager.kubeconfig"),
        "--bind-address=127.0.0.1".to_owned(),
        "--leader-elect=false".to_owned(),
        "--use-service-account-credentials".to_owned(),
        file("root-ca-file", "ca.crt"),
        file("service-account-private-key-file", "sa.key"),
        file("cluster-signing-cert-file", "ca.crt"),
        file("cluster-signing-key-file", "ca.key"),
        "--allocate-node-cidrs".to_owned(),
        format!("--cluster-cidr={PODS}"),
        format!("--service-cluster-ip-range={SERVICES}"),
        // With the default there are ranges for 256 nodes only.
        "--node-cidr-mask-size=26".to_owned(),
    ];
    argv(&parts.kubernetes("kube-controller-manager"), arguments)
}

fn scheduler(parts: &Parts, pki: &Pki) -> Vec<String> {
    let arguments = vec![
        format!("--kubeconfig={}", pki.file("kube-scheduler.kubeconfig").display()),
        "--bind-address=127.0.0.1".to_owned(),
        "--leader-elect=false".to_owned(),
    ];
    argv(&parts.kubernetes("kube-scheduler"), arguments)
}

#[cfg(test)]
mod tests {
    use super::{Component, is_log_of};

    #[test]
    fn components_have_the_names_of_their_programs() {
        for component in Component::ALL {
            assert_eq!(Component::named(component.name()).unwrap(), component);
            assert_eq!(
                serde_json::to_value(component).unwrap(),
                serde_json::json!(component.name())
            );
        }
        assert!(Component::named("kubelet").is_err());
    }

    #[test]
    fn logs_are_told_apart() {
        assert!(is_log_of("etcd", "etcd.2.log"));
        assert!(!is_log_of("kube", "kube-apiserver.1.log"));
    }
}
