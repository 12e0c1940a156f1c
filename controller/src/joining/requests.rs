//! What becomes of requests for certificates of kubelets, and of the nodes that come of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result};
use crds::MachineConfigPool;
use crds::annotations::{NODE_ROLE_PREFIX, OWN_PREFIX};
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::Api;
use kube::api::{Patch, PatchParams};
use machineconfig::join::approval::{
    self, Request, RequestState, Surroundings, Verdict, joining_node, judge,
};
use serde_json::json;
use tracing::info;

use super::Options;
use crate::api::{is_conflict, is_missing};
use crate::context::Context;
use crate::events::Teller;
use crate::queue::Next;

/// The ConfigMap whose keys are the names of nodes that may join without a token.
const ALLOWED: &str = "machine-config-join-allowed";
/// How often it is looked whether the node of a certificate has come.
const ABSENT: Duration = Duration::from_secs(1);
/// How often a request that was left for a person is looked at again: it may have become one that needs none.
const LEFT: Duration = Duration::from_secs(30);
/// Pools whose nodes are no workers.
const CONTROL_PLANE: [&str; 2] = ["master", "arbiter"];
/// The pool that custom pools inherit from.
const WORKER: &str = "worker";

/// Looks at one request.
pub(super) async fn reconcile(context: &Context, options: &Options, name: String) -> Result<Next> {
    let Some(request) = context.caches.requests.get(&name) else {
        return Ok(Next::Done);
    };
    match request.state {
        RequestState::Pending if options.approve => decide(context, options, &request).await,
        RequestState::Approved => label(context, &request).await,
        RequestState::Pending | RequestState::Refused => Ok(Next::Done),
    }
}

// === approving ===

async fn decide(context: &Context, options: &Options, request: &Request) -> Result<Next> {
    if ![approval::CLIENT_SIGNER, approval::SERVING_SIGNER].contains(&request.signer.as_str()) {
        return Ok(Next::Done);
    }
    let around = surroundings(context, options, request).await?;
    let api = context.api::<CertificateSigningRequest>();
    let object = match api
        .get_opt(&request.name)
        .await
        .context("could not read a request")?
    {
        // Judged is what is approved: the spec of a request never changes, and it is this very one.
        Some(object) if super::request(&object) == *request => object,
        Some(_) | None => return Ok(Next::After(ABSENT)),
    };
    match judge(request, &around) {
        Verdict::NotOurs => Ok(Next::Done),
        Verdict::Leave(reason) => {
            let note = format!("left for a person to approve: {reason}");
            context
                .events
                .warning(Teller::Join, &object, "CertificateLeft", note);
            Ok(Next::After(LEFT))
        }
        Verdict::Approve(reason) => approve(context, &api, &object, reason).await,
    }
}

async fn approve(
    context: &Context,
    api: &Api<CertificateSigningRequest>,
    object: &CertificateSigningRequest,
    reason: &'static str,
) -> Result<Next> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let patch = json!({
        "metadata": {"resourceVersion": object.metadata.resource_version},
        "status": {"conditions": [{
            "type": "Approved", "status": "True", "reason": "MachineConfigApproved", "message": reason,
            "lastUpdateTime": format!("{:.0}", Timestamp::now()),
        }]},
    });
    match api
        .patch_approval(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
    {
        Ok(_) => {
            info!(request = name, reason, "Approved a certificate of a kubelet");
            context
                .events
                .normal(Teller::Join, object, "CertificateApproved", reason);
            Ok(Next::Done)
        }
        // Somebody has decided meanwhile.
        Err(error) if is_conflict(&error) || is_missing(&error) => Ok(Next::After(ABSENT)),
        Err(error) => Err(error).with_context(|| format!("could not approve {name}")),
    }
}

async fn surroundings(context: &Context, options: &Options, request: &Request) -> Result<Surroundings> {
    let names = request.certificate.iter().flat_map(|wanted| &wanted.common_names);
    let mut nodes = BTreeMap::new();
    for name in names.filter_map(|name| name.strip_prefix("system:node:")) {
        if let Some(node) = context
            .api::<Node>()
            .get_opt(name)
            .await
            .context("could not read a node")?
        {
            nodes.insert(name.to_owned(), addresses(&node));
        }
    }
    let maps = Api::<ConfigMap>::namespaced(context.client.0.clone(), &options.namespace);
    let allowed = maps
        .get_opt(ALLOWED)
        .await
        .context("could not read who may join by name")?;
    Ok(Surroundings {
        nodes,
        requests: context
            .caches
            .requests
            .all()
            .iter()
            .map(|request| Request::clone(request))
            .collect(),
        allowed: allowed
            .and_then(|map| map.data)
            .unwrap_or_default()
            .into_keys()
            .collect(),
    })
}

/// What a node says to be known by.
fn addresses(node: &Node) -> BTreeSet<String> {
    let addresses = node.status.as_ref().and_then(|status| status.addresses.as_ref());
    addresses
        .into_iter()
        .flatten()
        .map(|address| address.address.clone())
        .collect()
}

// === labels ===

/// Puts a node into the pool whose config it has booted with, once in its life: what an administrator does with its labels later stays.
async fn label(context: &Context, request: &Request) -> Result<Next> {
    let Some((name, joining)) = joining_node(request) else {
        return Ok(Next::Done);
    };
    let Some(node) = context.caches.nodes.get(name) else {
        return Ok(Next::After(ABSENT));
    };
    let key = format!("{OWN_PREFIX}joined-pool");
    let annotations = node.metadata.annotations.as_ref();
    if annotations.is_some_and(|annotations| annotations.contains_key(&key)) {
        return Ok(Next::Done);
    }
    let Some(pool) = context.caches.pools.get(&joining.pool) else {
        return Ok(Next::Done);
    };
    let patch = json!({"metadata": {
        "uid": node.metadata.uid,
        "annotations": {key: joining.pool},
        "labels": labels(&pool),
    }});
    context
        .api::<Node>()
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .with_context(|| format!("could not put node {name} into pool {}", joining.pool))?;
    info!(node = name, pool = joining.pool, "Put a node into its pool");
    Ok(Next::Done)
}

/// The labels that a pool selects its nodes by; a custom pool's nodes are workers too.
fn labels(pool: &MachineConfigPool) -> BTreeMap<String, String> {
    let selector = pool.spec.node_selector.as_ref();
    let selected = selector.and_then(|selector| selector.match_labels.clone());
    let mut labels = selected.unwrap_or_default();
    let name = pool.metadata.name.as_deref().unwrap_or_default();
    if !CONTROL_PLANE.contains(&name) {
        labels.insert(format!("{NODE_ROLE_PREFIX}{WORKER}"), String::new());
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_custom_pools_are_workers_too() {
        let pool = |name: &str| {
            let labels = BTreeMap::from([(format!("{NODE_ROLE_PREFIX}{name}"), String::new())]);
            let mut pool = MachineConfigPool::new(name, crds::MachineConfigPoolSpec::default());
            pool.spec.node_selector = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector {
                match_labels: Some(labels),
                ..Default::default()
            });
            pool
        };
        let names = |name: &str| labels(&pool(name)).into_keys().collect::<Vec<_>>();
        assert_eq!(names("worker"), ["node-role.kubernetes.io/worker"]);
        assert_eq!(
            names("gpu"),
            ["node-role.kubernetes.io/gpu", "node-role.kubernetes.io/worker"]
        );
        assert_eq!(names("master"), ["node-role.kubernetes.io/master"]);
    }
}
