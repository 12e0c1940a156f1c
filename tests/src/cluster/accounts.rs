//! What `deploy/base` gives our programs in a cluster, without the pods: the definitions of our kinds, the accounts with their rights and
//! the policies of admission. So a program that runs on this host, or on a node as a service, may do what its pod may, and nothing more.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Cluster;
use super::pki::kubeconfig;
use crate::repository;

/// The namespace of the accounts.
pub const NAMESPACE: &str = "machine-config";

/// What holds the accounts and their rights, below `deploy/base`; of directories everything but how they are put together.
const FILES: [&str; 6] = [
    "namespace.yaml",
    "controller/service-account.yaml",
    "controller/role.yaml",
    "daemon/service-account.yaml",
    "daemon/role.yaml",
    "admission",
];

/// How long a token holds, in seconds: longer than any test.
const TOKEN: u32 = 7200;

/// Who a program of ours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// The controller.
    Controller,
    /// The daemon of a node.
    Daemon,
}

impl Account {
    /// The name of the `ServiceAccount`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Controller => "machine-config-controller",
            Self::Daemon => "machine-config-daemon",
        }
    }

    /// As the API server calls it.
    #[must_use]
    pub fn user(self) -> String {
        format!("system:serviceaccount:{NAMESPACE}:{}", self.name())
    }
}

impl Cluster {
    /// Makes the definitions of our kinds, the accounts and their rights.
    pub fn install_accounts(&self) -> Result<()> {
        let manifests = repository().join("crds/manifests").display().to_string();
        self.applied(&["-k", &manifests])?;
        let ran = self.kubectl(&[
            "wait",
            "--for=condition=Established",
            "crd",
            "--all",
            "--timeout=60s",
        ])?;
        ensure!(ran.code == Some(0), "our kinds are not there: {}", ran.all());
        let mut arguments = vec!["--namespace".to_owned(), NAMESPACE.to_owned()];
        for file in FILES {
            for file in files(&repository().join("deploy/base").join(file))? {
                arguments.extend(["--filename".to_owned(), file.display().to_string()]);
            }
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.applied(&arguments)
    }

    fn applied(&self, what: &[&str]) -> Result<()> {
        let mut arguments = vec!["apply", "--server-side"];
        arguments.extend(what);
        let ran = self.kubectl(&arguments)?;
        ensure!(ran.code == Some(0), "could not apply {what:?}: {}", ran.all());
        Ok(())
    }

    /// A kubeconfig with a token of an account; one that is bound to a node, if one is named, as that of a pod on it.
    pub fn kubeconfig_of(&self, account: Account, node: Option<&str>) -> Result<Value> {
        let mut spec = json!({"expirationSeconds": TOKEN});
        if let Some(name) = node {
            let node = self.api().get(&format!("/api/v1/nodes/{name}"))?;
            spec["boundObjectRef"] =
                json!({"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]});
        }
        let answer = self.api().create(
            &format!(
                "/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{}/token",
                account.name()
            ),
            &json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}),
        )?;
        let token = answer["status"]["token"].as_str();
        let token = token.context("the API server gave no token")?;
        let cluster = json!({
            "server": self.server(), "certificate-authority-data": self.authority(),
        });
        Ok(kubeconfig(&cluster, &json!({"token": token})))
    }
}

/// A file itself; of a directory every manifest but the one that puts it together.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let listed = fs::read_dir(path).with_context(|| format!("could not list {}", path.display()))?;
    let mut files = listed
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    files.retain(|file| file.file_name().is_some_and(|name| name != "kustomization.yaml"));
    files.sort();
    Ok(files)
}
