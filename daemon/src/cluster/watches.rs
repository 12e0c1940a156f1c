//! The three watches, each of a single object: the own node, what decides about disruption, and certificates.
//!
//! Each runs as a task that lasts as long as its receiver, and begins anew with every new pair of clients.

use std::collections::BTreeMap;
use std::pin::pin;

use crds::{ControllerConfig, MachineConfiguration};
use futures_util::{Stream, StreamExt as _};
use kube::api::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watch_object};
use machineconfig::Policy;
use tokio::sync::watch::{Receiver, Sender, channel};

use super::clients::Clients;
use super::handshake::Handshake;
use super::node_writer::NodeObject;
use super::trust::Trust;

/// The name of the MachineConfiguration there is.
const CLUSTER: &str = "cluster";
/// The name of the ControllerConfig there is.
const CONTROLLER_CONFIG: &str = "machine-config-controller";
/// What an API server answers for a kind that it does not know.
const NOT_FOUND: u16 = 404;

/// What was seen of the own node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The node, unless it is not there.
    pub(crate) node: Option<SeenNode>,
    /// Whether the API server answers.
    pub(crate) reachable: bool,
}

/// A node as it was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SeenNode {
    /// What it says.
    pub(crate) handshake: Handshake,
    /// Its unique id.
    pub(crate) uid: Option<String>,
    /// Its version, by which an older sight of it is told from a newer one.
    version: Option<u64>,
}

impl SeenNode {
    /// As its metadata tells.
    pub(crate) fn of(object: &NodeObject) -> Self {
        let metadata = &object.metadata;
        let none = BTreeMap::default();
        Self {
            handshake: Handshake::of(metadata.annotations.as_ref().unwrap_or(&none)),
            uid: metadata.uid.clone(),
            version: metadata
                .resource_version
                .as_ref()
                .and_then(|version| version.parse().ok()),
        }
    }

    /// As it was remembered from before.
    pub(crate) fn remembered(handshake: Handshake) -> Self {
        Self {
            handshake,
            uid: None,
            version: None,
        }
    }

    /// Whether this is an older sight of the same object than `other`. What was written just now is not forgotten for it.
    pub(crate) fn is_before(&self, other: &Self) -> bool {
        self.uid == other.uid
            && matches!((self.version, other.version), (Some(own), Some(other)) if own < other)
    }
}

/// What the watches tell; `None` until they have.
pub(crate) struct Watches {
    /// The own node.
    pub(crate) node: Receiver<Option<Seen>>,
    /// What decides about disruption.
    pub(crate) policy: Receiver<Option<Policy>>,
    /// Certificates; empty without a ControllerConfig.
    pub(crate) trust: Receiver<Option<Trust>>,
}

/// Begins to watch, for the node of that name.
pub(crate) fn start(clients: &Receiver<Option<Clients>>, name: &str) -> Watches {
    let (node, seen) = channel(None);
    let (told_policy, policy) = channel(None);
    let (told_trust, trust) = channel(None);
    tokio::spawn(watch_node(clients.clone(), name.to_owned(), node));
    tokio::spawn(watch_policy(clients.clone(), told_policy));
    tokio::spawn(watch_trust(clients.clone(), told_trust));
    Watches {
        node: seen,
        policy,
        trust,
    }
}

async fn watch_node(mut clients: Receiver<Option<Clients>>, name: String, told: Sender<Option<Seen>>) {
    while let Some(current) = next(&mut clients, &told).await {
        // Its metadata is all that counts, and a small part of it.
        let nodes: Api<NodeObject> = Api::all(current.kubelet);
        let stream = watch_object(nodes, &name).default_backoff();
        follow(stream, &mut clients, &told, |object| {
            Some(match object {
                Ok(object) => Seen {
                    node: object.as_ref().map(SeenNode::of),
                    reachable: true,
                },
                Err(error) => {
                    tracing::warn!(error = %crate::apply::chain(&error), "The node cannot be watched");
                    // Nothing was ever seen: the node goes by what is remembered.
                    let before = told.borrow().clone()?;
                    Seen {
                        reachable: false,
                        ..before
                    }
                }
            })
        })
        .await;
    }
}

async fn watch_policy(mut clients: Receiver<Option<Clients>>, told: Sender<Option<Policy>>) {
    while let Some(current) = next(&mut clients, &told).await {
        let objects: Api<MachineConfiguration> = Api::all(current.own);
        let stream = watch_object(objects, CLUSTER).default_backoff();
        follow(stream, &mut clients, &told, |object| {
            known(object, "MachineConfiguration")
                .map(|object| policy(object.as_ref()))
                .ok()
        })
        .await;
    }
}

async fn watch_trust(mut clients: Receiver<Option<Clients>>, told: Sender<Option<Trust>>) {
    while let Some(current) = next(&mut clients, &told).await {
        let objects: Api<ControllerConfig> = Api::all(current.own);
        let stream = watch_object(objects, CONTROLLER_CONFIG).default_backoff();
        follow(stream, &mut clients, &told, |object| {
            known(object, "ControllerConfig")
                .map(|object| object.as_ref().map(Trust::of).unwrap_or_default())
                .ok()
        })
        .await;
    }
}

/// The clients there are now, once there are any; `None` when nobody listens any more.
async fn next<T>(clients: &mut Receiver<Option<Clients>>, told: &Sender<Option<T>>) -> Option<Clients> {
    tokio::select! {
        clients = clients.wait_for(Option::is_some) => clients.ok()?.clone(),
        () = told.closed() => None,
    }
}

/// Tells what a stream has to say, until there are other clients or nobody listens. What was told already is not told again.
async fn follow<E, T: PartialEq>(
    stream: impl Stream<Item = E>,
    clients: &mut Receiver<Option<Clients>>,
    told: &Sender<Option<T>>,
    mut take: impl FnMut(E) -> Option<T>,
) {
    clients.mark_unchanged();
    let mut stream = pin!(stream);
    loop {
        let event = tokio::select! {
            event = stream.next() => event,
            _ = clients.changed() => return,
            () = told.closed() => return,
        };
        let Some(event) = event else { return };
        if let Some(value) = take(event) {
            told.send_if_modified(|before| {
                let changed = before.as_ref() != Some(&value);
                *before = Some(value);
                changed
            });
        }
    }
}

/// What there is of an object, unless that cannot be told now. Of a kind that the API server does not know there is none.
fn known<K>(object: watcher::Result<Option<K>>, kind: &str) -> Result<Option<K>, ()> {
    object.or_else(|error| match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == NOT_FOUND => Ok(None),
        error => {
            tracing::warn!(%kind, error = %crate::apply::chain(&error), "An object cannot be watched");
            Err(())
        }
    })
}

/// What decides about disruption. A policy that does not hold up leaves the last one that did, as the status tells it.
fn policy(object: Option<&MachineConfiguration>) -> Policy {
    let Some(object) = object else {
        return Policy::default();
    };
    let Some(user) = &object.spec.node_disruption_policy else {
        return Policy::default();
    };
    Policy::merge(user).unwrap_or_else(|findings| {
        for finding in &findings {
            tracing::warn!(field = %finding.field, message = %finding.message, "The policy does not hold up");
        }
        let status = object.status.as_ref();
        let last = status.and_then(|status| status.node_disruption_policy_status.as_ref());
        last.map_or_else(Policy::default, |last| {
            Policy::from_cluster_policies(&last.cluster_policies)
        })
    })
}
