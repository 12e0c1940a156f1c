//! A cluster that is asked: which one, by whose credentials, and what its refusals mean.

mod evidence;
mod read;

use std::fmt::Debug;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, ListParams, PartialObjectMeta};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Error, Resource};
use machineconfig::{Code, Finding};
use serde::de::DeserializeOwned;

use crate::cli::Exit;
use crate::report::{Located, Place};
use crate::terminal::Terminal;

pub(crate) use evidence::{evidence, leadership};
pub(crate) use read::{MachineConfigs, Rules, cluster, rules, storage};

/// How long the API server may take to accept a connection, and then to begin an answer: people wait for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Objects of one answer of a list: bounds what the API server has to hold at once.
const PAGE: u32 = 500;

/// Which cluster is asked, as with kubectl: KUBECONFIG, or ~/.kube/config, or the pod's own.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct Connection {
    /// Kubeconfig to use in place of those of KUBECONFIG and of ~/.kube/config
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use in place of its current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

/// A cluster that answers, or not.
#[derive(Clone)]
pub(crate) struct Access {
    client: Client,
    /// The address of its API server, for messages.
    server: String,
}

/// What a command is about: `node/NAME` or `pool/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A node.
    Node(String),
    /// A pool.
    Pool(String),
}

/// Runs what asks a cluster, and tells what the cluster refuses with its code.
pub(crate) fn run(
    connection: &Connection,
    terminal: &Terminal,
    work: impl AsyncFnOnce(&Access) -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    // Fails when one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    let ended = runtime.block_on(async {
        let access = connection.open().await?;
        work(&access).await
    });
    // What is still under way is of no use to anybody.
    runtime.shutdown_background();
    match ended {
        Ok(exit) => Ok(exit),
        Err(error) => match error.downcast::<Finding>() {
            Ok(finding) => {
                refuse(finding, terminal);
                Ok(Exit::Failed)
            }
            Err(other) => Err(other),
        },
    }
}

/// Tells a refusal.
pub(crate) fn refuse(finding: Finding, terminal: &Terminal) {
    let located = Located {
        place: Place::default(),
        finding,
    };
    terminal.message(&located.show(&terminal.err));
}

// === impl Connection ===

impl Connection {
    async fn open(&self) -> Result<Access, Finding> {
        let mut config = self.config().await?;
        config.connect_timeout = Some(PATIENCE);
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|error| kubeconfig(&said(&error)))?;
        Ok(Access {
            client,
            server: server.trim_end_matches('/').to_owned(),
        })
    }

    async fn config(&self) -> Result<Config, Finding> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let file = match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let chosen = match file {
            Ok(file) => Config::from_custom_kubeconfig(file, &options).await,
            // A pod has no kubeconfig; a file that is named is meant.
            Err(error) if self.kubeconfig.is_none() && self.context.is_none() => {
                return Config::incluster().map_err(|_| kubeconfig(&chain(&error)));
            }
            Err(error) => Err(error),
        };
        chosen.map_err(|error| kubeconfig(&chain(&error)))
    }
}

fn kubeconfig(message: &str) -> Finding {
    Finding::error(Code::KUBECONFIG, "", "", message)
}

/// An error and its sources, each once: many repeat their source.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = source.source();
    }
    text
}

/// What an error says, without the whole of the answer.
pub(crate) fn said(error: &Error) -> String {
    match error {
        Error::Api(status) => status.message.clone(),
        other => chain(other),
    }
}

// === impl Access ===

impl Access {
    /// A handle on the objects of a kind, of all namespaces where they have one.
    pub(crate) fn all<K: Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }

    /// A handle on the objects of a kind in one namespace.
    pub(crate) fn within<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// All objects of a kind that the selectors choose.
    pub(crate) async fn list<K>(&self, parameters: ListParams) -> Result<Vec<K>, Finding>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let api = self.all::<K>();
        let mut parameters = parameters.limit(PAGE);
        let mut all = Vec::new();
        loop {
            let page = self.in_time(api.list(&parameters)).await;
            let page = page.map_err(|error| self.refusal(&error, &K::plural(&()), ""))?;
            all.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => return Ok(all),
            }
        }
    }

    /// What [`list`](Self::list) gives; none when that kind is not known there, or may not be looked at.
    pub(crate) async fn list_if_allowed<K>(&self, parameters: ListParams) -> Result<Option<Vec<K>>, Finding>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        match self.list(parameters).await {
            Ok(all) => Ok(Some(all)),
            Err(finding) if [Code::CLUSTER_FORBIDDEN, Code::NOT_INSTALLED].contains(&finding.code) => {
                Ok(None)
            }
            Err(finding) => Err(finding),
        }
    }

    /// What of all objects of a kind is the same for all kinds; none where they may not be looked at.
    pub(crate) async fn list_metadata_if_allowed<K>(&self) -> Result<Vec<PartialObjectMeta<K>>, Finding>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let found = self
            .in_time(self.all::<K>().list_metadata(&ListParams::default()))
            .await;
        match found.map_err(|error| self.refusal(&error, &K::plural(&()), "")) {
            Ok(found) => Ok(found.items),
            Err(finding) if finding.code == Code::CLUSTER_FORBIDDEN => Ok(Vec::new()),
            Err(finding) => Err(finding),
        }
    }

    /// The object of that name, if it is there.
    pub(crate) async fn get<K>(&self, name: &str) -> Result<Option<K>, Finding>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let found = self.in_time(self.all::<K>().get_opt(name)).await;
        found.map_err(|error| self.refusal(&error, &K::plural(&()), name))
    }

    /// What of the object of that name is the same for all kinds, if it is there.
    pub(crate) async fn get_metadata<K>(&self, name: &str) -> Result<Option<PartialObjectMeta<K>>, Finding>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let found = self.in_time(self.all::<K>().get_metadata_opt(name)).await;
        found.map_err(|error| self.refusal(&error, &K::plural(&()), name))
    }

    /// The object of that name in a namespace, if it is there.
    pub(crate) async fn get_in<K>(&self, namespace: &str, name: &str) -> Result<Option<K>, Finding>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let api = self.within::<K>(namespace);
        let found = self.in_time(api.get_opt(name)).await;
        found.map_err(|error| self.refusal(&error, &K::plural(&()), name))
    }

    /// An answer that comes in time.
    pub(crate) async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let Ok(answer) = tokio::time::timeout(PATIENCE, answer).await else {
            let text = format!("no answer within {} seconds", PATIENCE.as_secs());
            let silent = std::io::Error::new(std::io::ErrorKind::TimedOut, text);
            return Err(Error::Service(silent.into()));
        };
        answer
    }

    /// What an error means, on which objects.
    pub(crate) fn refusal(&self, error: &Error, kind: &str, name: &str) -> Finding {
        let object = if name.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}/{name}")
        };
        let (code, message) = match error {
            // What the server says is only that it found no page.
            Error::Api(status) if status.code == 404 => (
                Code::NOT_INSTALLED,
                format!("{} knows no such objects", self.server),
            ),
            Error::Api(status) => (code(status.code, &status.reason), status.message.clone()),
            Error::Auth(_) => (Code::CLUSTER_UNAUTHORIZED, chain(error)),
            Error::HyperError(_) | Error::Service(_) | Error::ReadEvents(_) => (
                Code::CLUSTER_UNREACHABLE,
                format!("{} does not answer: {}", self.server, chain(error)),
            ),
            other => (Code::CLUSTER_REFUSED, chain(other)),
        };
        Finding::error(code, object, "", message)
    }
}

fn code(status: u16, reason: &str) -> Code {
    match (status, reason) {
        (401, _) => Code::CLUSTER_UNAUTHORIZED,
        (403, _) => Code::CLUSTER_FORBIDDEN,
        (503 | 504, _) => Code::CLUSTER_UNREACHABLE,
        _ => Code::CLUSTER_REFUSED,
    }
}

// === impl Subject ===

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is neither node/NAME nor pool/NAME");
        let (kind, name) = text.split_once('/').ok_or_else(wrong)?;
        if name.is_empty() || name.contains('/') {
            return Err(wrong());
        }
        match kind {
            "node" | "nodes" | "no" => Ok(Subject::Node(name.to_owned())),
            "pool" | "mcp" | "machineconfigpool" | "machineconfigpools" => Ok(Subject::Pool(name.to_owned())),
            _ => Err(wrong()),
        }
    }
}

/// The name out of `pool/NAME`.
pub(crate) fn pool_name(text: &str) -> Result<String, String> {
    match text.parse()? {
        Subject::Pool(name) => Ok(name),
        Subject::Node(_) => Err(format!("{text:?} is no pool/NAME")),
    }
}

/// The name out of `node/NAME`.
pub(crate) fn node_name(text: &str) -> Result<String, String> {
    match text.parse()? {
        Subject::Node(name) => Ok(name),
        Subject::Pool(_) => Err(format!("{text:?} is no node/NAME")),
    }
}

/// The refusal of a name that is not in the cluster.
pub(crate) fn not_there(kind: &str, name: &str, known: impl Iterator<Item = Option<String>>) -> Finding {
    /// Names that are told at most: there may be thousands.
    const TOLD: usize = 10;
    let mut known: Vec<String> = known.flatten().collect();
    known.sort();
    let more = known.len().saturating_sub(TOLD);
    known.truncate(TOLD);
    let list = match (known.is_empty(), more) {
        (true, _) => "there is none at all".to_owned(),
        (false, 0) => format!("there are {}", known.join(", ")),
        (false, more) => format!("there are {} and {more} more", known.join(", ")),
    };
    Finding::error(
        Code::NO_SUCH_OBJECT,
        format!("{kind}/{name}"),
        "",
        format!("is not in the cluster; {list}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_a_node_or_a_pool() {
        let node = |name: &str| Ok(Subject::Node(name.to_owned()));
        let pool = |name: &str| Ok(Subject::Pool(name.to_owned()));
        let wrong = |text: &str| Err(format!("{text:?} is neither node/NAME nor pool/NAME"));
        let table = [
            ("node/a", node("a")),
            ("no/a", node("a")),
            ("pool/a", pool("a")),
            ("mcp/a", pool("a")),
            ("machineconfigpool/a", pool("a")),
            ("a", wrong("a")),
            ("pod/a", wrong("pod/a")),
            ("node/", wrong("node/")),
            ("node/a/b", wrong("node/a/b")),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<Subject>(), expected, "{text}");
        }
        assert_eq!(pool_name("node/a"), Err("\"node/a\" is no pool/NAME".to_owned()));
        assert_eq!(node_name("node/a"), Ok("a".to_owned()));
    }
}
