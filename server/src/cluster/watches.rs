//! Watches: each keeps one part of what is known at the state of the cluster. None of them ends.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use crds::{ControllerConfig, MachineConfigPool};
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Secret};
use kube::api::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event, watch_object, watcher};
use kube::{Client, ResourceExt as _};
use machineconfig::join::TOKENS;

use super::inputs::{Authorities, Known, Part};
use super::ledger;
use crate::gate::{JoinedNodes, Tokens};

/// The name of the ControllerConfig there is.
const CONTROLLER_CONFIG: &str = "machine-config-controller";
/// The ConfigMap whose CA new machines are to know the API server by, and the key of it (`MCO server 1.8`).
const KUBECONFIG_DATA: (&str, &str) = ("kubeconfig-data", "ca-bundle.crt");

/// All pools.
pub(super) async fn pools(client: Client, known: Arc<Known>) {
    let api = Api::<MachineConfigPool>::all(client);
    let mut events = pin!(watcher(api, Config::default()).default_backoff());
    let mut listed = BTreeMap::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(pool)) => {
                listed.insert(pool.name_any(), trimmed(pool));
            }
            Ok(Event::InitDone) => {
                known.change(|state| state.pools = std::mem::take(&mut listed));
                known.seen(Part::Pools);
            }
            Ok(Event::Apply(pool)) => known.change(|state| {
                state.pools.insert(pool.name_any(), trimmed(pool));
            }),
            Ok(Event::Delete(pool)) => known.change(|state| {
                state.pools.remove(&pool.name_any());
            }),
            Err(error) => interrupted(Part::Pools, &error),
        }
    }
}

/// What is used of a pool.
fn trimmed(mut pool: MachineConfigPool) -> MachineConfigPool {
    pool.metadata.managed_fields = None;
    pool.metadata.annotations = None;
    pool
}

/// The ControllerConfig.
pub(super) async fn controller_config(client: Client, known: Arc<Known>) {
    let api = Api::<ControllerConfig>::all(client);
    let mut seen = pin!(watch_object(api, CONTROLLER_CONFIG).default_backoff());
    while let Some(config) = seen.next().await {
        match config {
            Ok(config) => {
                let authorities = config.map(|config| {
                    Arc::new(Authorities {
                        kubelet: config.spec.kube_api_server_serving_ca_data.0,
                        cloud: config.spec.cloud_provider_ca_data.unwrap_or_default().0,
                    })
                });
                known.change(|state| {
                    // One that was deleted will come again; machines are served by what it said.
                    if let Some(new) = authorities
                        && state.authorities.as_ref() != Some(&new)
                    {
                        state.authorities = Some(new);
                    }
                });
                known.seen(Part::ControllerConfig);
            }
            Err(error) => interrupted(Part::ControllerConfig, &error),
        }
    }
}

/// The CA of the API server, where it is not the one that the server itself uses.
pub(super) async fn kubeconfig_ca(client: Client, namespace: String, known: Arc<Known>) {
    let (name, key) = KUBECONFIG_DATA;
    let api = Api::<ConfigMap>::namespaced(client, &namespace);
    let mut seen = pin!(watch_object(api, name).default_backoff());
    while let Some(map) = seen.next().await {
        match map {
            Ok(map) => {
                let mut data = map.and_then(|map| map.binary_data).unwrap_or_default();
                // Once known it stays, as with the reference: a ConfigMap that is gone says nothing of another CA.
                if let Some(bytes) = data.remove(key) {
                    known.change(|state| {
                        if *state.api_ca != bytes.0 {
                            state.api_ca = Arc::new(bytes.0);
                        }
                    });
                }
                known.seen(Part::KubeconfigCa);
            }
            Err(error) => interrupted(Part::KubeconfigCa, &error),
        }
    }
}

/// The addresses of nodes.
pub(super) async fn nodes(client: Client, joined: Arc<JoinedNodes>, known: Arc<Known>) {
    let api = Api::<Node>::all(client);
    let mut events = pin!(watcher(api, Config::default()).default_backoff());
    let mut listed = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(node)) => {
                joined.set(&node.name_any(), addresses(&node));
                listed.push(node.name_any());
            }
            Ok(Event::InitDone) => {
                joined.retain(&listed);
                known.seen(Part::Nodes);
            }
            Ok(Event::Apply(node)) => joined.set(&node.name_any(), addresses(&node)),
            Ok(Event::Delete(node)) => joined.set(&node.name_any(), Vec::new()),
            Err(error) => interrupted(Part::Nodes, &error),
        }
    }
}

/// Every address of a node that is one; names are others.
fn addresses(node: &Node) -> Vec<IpAddr> {
    let status = node.status.as_ref();
    let addresses = status.and_then(|status| status.addresses.as_deref());
    addresses
        .unwrap_or_default()
        .iter()
        .filter_map(|address| address.address.parse().ok())
        .collect()
}

/// The join tokens.
pub(super) async fn tokens(client: Client, namespace: String, tokens: Arc<Tokens>, known: Arc<Known>) {
    let api = Api::<Secret>::namespaced(client, &namespace);
    let mut seen = pin!(watch_object(api, TOKENS).default_backoff());
    while let Some(secret) = seen.next().await {
        match secret {
            Ok(secret) => {
                let ids = secret.iter().filter_map(|secret| secret.data.as_ref());
                let stored = ids.flat_map(BTreeMap::keys).filter_map(|id| {
                    let stored = ledger::token(secret.as_ref()?, id)?;
                    Some((id.clone(), stored))
                });
                tokens.set(stored.collect());
                known.seen(Part::Tokens);
            }
            Err(error) => interrupted(Part::Tokens, &error),
        }
    }
}

/// The stream goes on by itself, after a wait that grows.
fn interrupted(part: Part, error: &impl std::fmt::Display) {
    tracing::warn!(what = part.as_str(), %error, "A watch was cut off and is begun anew");
}
