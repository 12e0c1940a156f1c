//! Two credentials (MCO daemon 1.5): the kubelet's, which may change its own node and nothing else, and the pod's own. [`Clients::make`]
//! is the entry point.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;

use crate::host::Root;

/// Where the kubelet has its credential, beneath the node's root: as on OpenShift, and as kubeadm has it.
pub(crate) const KUBELET: [&str; 2] = ["/var/lib/kubelet/kubeconfig", "/etc/kubernetes/kubelet.conf"];
/// Where nodes reach the API server without a proxy for services (MCO daemon 1.2).
const BOOTSTRAP: &str = "/etc/kubernetes/kubeconfig";
/// Longest of these files, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// How long a server may say nothing. A watch that is alive has a bookmark every minute, and a connection that was cut says nothing at all.
const SILENCE: Duration = Duration::from_mins(3);
/// How the API server's log calls us.
const USER_AGENT: &str = concat!("machine-config-daemon/", env!("CARGO_PKG_VERSION"));

/// Where the credentials are.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    /// The kubelet's, beneath the node's root.
    pub(crate) kubelet: Option<PathBuf>,
    /// The own one, in this file; without it that of the pod.
    pub(crate) own: Option<PathBuf>,
}

/// One client for each credential.
#[derive(Clone)]
pub(crate) struct Clients {
    /// The kubelet's: the own node, and events.
    pub(crate) kubelet: Client,
    /// The own one: everything else.
    pub(crate) own: Client,
    /// What they were made of, to see whether that has changed.
    made_of: Vec<u8>,
}

impl Clients {
    /// Reads the credentials and makes the clients.
    pub(crate) async fn make(root: &Root, sources: &Sources) -> Result<Self> {
        let kubeconfig = kubelet(root, sources)?;
        let made_of = serde_json::to_vec(&kubeconfig)?;
        let server = server(&kubeconfig).map(str::to_owned);
        let kubelet = client(config(kubeconfig).await?)?;
        let own = if let Some(path) = &sources.own {
            let kubeconfig =
                Kubeconfig::read_from(path).with_context(|| format!("cannot use {}", path.display()))?;
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?
        } else {
            let mut config = Config::incluster_env()
                .context("there is no credential of a pod; name one with --kubeconfig")?;
            if let Some(server) = bootstrap_server(root).or(server) {
                config.cluster_url = server.parse()?;
            }
            config
        };
        Ok(Self {
            kubelet,
            own: client(own)?,
            made_of,
        })
    }

    /// Whether the kubelet has another certificate now. The pod's token is read anew by its client.
    pub(crate) fn are_outdated(&self, root: &Root, sources: &Sources) -> bool {
        let now = kubelet(root, sources).and_then(|kubeconfig| Ok(serde_json::to_vec(&kubeconfig)?));
        // While it is being replaced, the old one is as good as any.
        now.is_ok_and(|now| now != self.made_of)
    }
}

async fn config(kubeconfig: Value) -> Result<Config> {
    let kubeconfig: Kubeconfig =
        serde_json::from_value(kubeconfig).context("the kubelet has no kubeconfig")?;
    Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}

fn client(config: Config) -> Result<Client> {
    let mut config = config;
    config.read_timeout = Some(SILENCE);
    config.headers.push((
        http::header::USER_AGENT,
        http::HeaderValue::from_static(USER_AGENT),
    ));
    Ok(Client::try_from(config)?)
}

/// The kubelet's credential, with all that it names put into it.
fn kubelet(root: &Root, sources: &Sources) -> Result<Value> {
    let there = || {
        KUBELET
            .map(Path::new)
            .into_iter()
            .find(|path| root.is_there(path).unwrap_or(false))
    };
    let path = sources.kubelet.as_deref().or_else(there);
    let path =
        path.with_context(|| format!("the kubelet has no credential yet, at {}", KUBELET.join(" or ")))?;
    let mut value = yaml(root, path)?;
    embed(
        root,
        path,
        &mut value,
        "clusters",
        "cluster",
        &[("certificate-authority", "certificate-authority-data", Form::Data)],
    )?;
    embed(
        root,
        path,
        &mut value,
        "users",
        "user",
        &[
            ("client-certificate", "client-certificate-data", Form::Data),
            ("client-key", "client-key-data", Form::Data),
            ("tokenFile", "token", Form::Text),
        ],
    )?;
    Ok(value)
}

/// How the contents of a file are put into a kubeconfig.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// As base64.
    Data,
    /// As they are.
    Text,
}

/// Puts the files that a kubeconfig names into it: their paths mean the node's root.
fn embed(
    root: &Root,
    kubeconfig: &Path,
    value: &mut Value,
    list: &str,
    entry: &str,
    fields: &[(&str, &str, Form)],
) -> Result<()> {
    let directory = kubeconfig.parent().unwrap_or(Path::new("/"));
    let entries = value.get_mut(list).and_then(Value::as_array_mut);
    for entry in entries
        .into_iter()
        .flatten()
        .filter_map(|named| named.get_mut(entry))
    {
        let Some(entry) = entry.as_object_mut() else {
            continue;
        };
        for (named, embedded, form) in fields {
            let Some(file) = entry.remove(*named) else {
                continue;
            };
            let Some(file) = file.as_str().filter(|file| !file.is_empty()) else {
                continue;
            };
            let bytes = read(root, &directory.join(file))?;
            let text = match form {
                Form::Data => STANDARD.encode(bytes),
                Form::Text => String::from_utf8_lossy(&bytes).trim().to_owned(),
            };
            entry.insert((*embedded).to_owned(), text.into());
        }
    }
    Ok(())
}

fn read(root: &Root, path: &Path) -> Result<Vec<u8>> {
    let bytes = root
        .read(path, MAX_BYTES)
        .with_context(|| format!("cannot read {}", path.display()))?;
    bytes.with_context(|| format!("there is no {}", path.display()))
}

fn yaml(root: &Root, path: &Path) -> Result<Value> {
    let text = String::from_utf8(read(root, path)?)
        .ok()
        .with_context(|| format!("{} is no text", path.display()))?;
    let value: Value =
        serde_saphyr::from_str(&text).map_err(|_| anyhow::anyhow!("{} is no YAML", path.display()))?;
    if !value.is_object() {
        bail!("{} is no kubeconfig", path.display());
    }
    Ok(value)
}

/// The server of the context in force.
fn server(kubeconfig: &Value) -> Option<&str> {
    let named = |list: &str, name: &Value| {
        let entries = kubeconfig.get(list)?.as_array()?;
        entries.iter().find(|entry| entry.get("name") == Some(name))
    };
    let context = named("contexts", kubeconfig.get("current-context")?)?;
    let cluster = named("clusters", context.pointer("/context/cluster")?)?;
    cluster.pointer("/cluster/server")?.as_str()
}

fn bootstrap_server(root: &Root) -> Option<String> {
    let value = yaml(root, Path::new(BOOTSTRAP)).ok()?;
    server(&value).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TEXT: &str = "\
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: 'https://10.0.0.1:6443', certificate-authority: ca.crt}}]
users: [{name: u, user: {client-certificate: /var/lib/kubelet/pki/current.pem, client-key: /var/lib/kubelet/pki/current.pem}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
";

    #[test]
    fn files_of_a_kubeconfig_are_those_of_the_node() {
        let directory = tempfile::tempdir().unwrap();
        let pki = directory.path().join("var/lib/kubelet/pki");
        fs::create_dir_all(&pki).unwrap();
        fs::write(pki.join("1.pem"), "first").unwrap();
        // As the kubelet links it, with a path that means the node's root.
        std::os::unix::fs::symlink("/var/lib/kubelet/pki/1.pem", pki.join("current.pem")).unwrap();
        fs::write(directory.path().join("var/lib/kubelet/ca.crt"), "ca").unwrap();
        fs::write(directory.path().join("var/lib/kubelet/kubeconfig"), TEXT).unwrap();
        let root = Root::open(directory.path()).unwrap();
        let sources = Sources {
            kubelet: None,
            own: None,
        };
        let value = kubelet(&root, &sources).unwrap();
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let encoded = |plain: &str| Some(STANDARD.encode(plain));
        assert_eq!(
            text("/clusters/0/cluster/certificate-authority-data"),
            encoded("ca")
        );
        assert_eq!(text("/users/0/user/client-certificate-data"), encoded("first"));
        assert_eq!(text("/users/0/user/client-key-data"), encoded("first"));
        assert_eq!(value.pointer("/users/0/user/client-key"), None);
        assert_eq!(server(&value), Some("https://10.0.0.1:6443"));
    }

    #[test]
    fn a_kubelet_without_a_credential_is_told_plainly() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        let sources = Sources {
            kubelet: None,
            own: None,
        };
        let error = kubelet(&root, &sources).unwrap_err().to_string();
        assert!(error.contains("/var/lib/kubelet/kubeconfig"), "{error}");
    }
}
