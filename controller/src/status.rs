//! Says how pools stand (MCO controller 3.9): the one writer of a pool's status, so that its conditions, which are one list, are never written by
//! two.

use std::time::Duration;

use anyhow::{Context as _, Result};
use crds::machine_config_pool::{CertificateExpiry, MachineConfigPoolStatus};
use crds::{ControllerConfig, MachineConfigPool};
use jiff::Timestamp;
use machineconfig::pool::conditions::{Verdict, set};
use machineconfig::pool::{Counting, completed, status};
use serde_json::{Value, json};

use crate::api::{apply_status, is_conflict, is_missing};
use crate::context::Context;
use crate::defaults::CONTROLLER_CONFIG;
use crate::events::Teller;
use crate::queue::Next;

/// Whose fields these are.
const MANAGER: &str = "machine-config-controller-status";
/// The certificates by which the kubelet trusts the API server (MCO controller 3.9).
const BUNDLE: &str = "KubeAPIServerServingCAData";
/// Fields of the status that are others'.
const OTHERS: [&str; 2] = ["poolSynchronizersStatus", "osImageStream"];
/// How soon a pool is looked at again that has changed meanwhile; its rest comes on top.
const STALE: Duration = Duration::from_millis(100);

/// Says how one pool stands, if that is not said yet.
pub(crate) async fn reconcile(context: &Context, name: String) -> Result<Next> {
    let Some(pool) = context.caches.pools.get(&name) else {
        context.health.metrics.forget_pool(&name);
        return Ok(Next::Done);
    };
    let new = wanted(context, &pool, &name, Timestamp::now());
    let pending = new.configuration.name != pool.spec.configuration.name;
    context
        .health
        .metrics
        .pool(&name, &new, pool.spec.paused, pending);
    if pool.status.as_ref() == Some(&new) {
        return Ok(Next::Done);
    }
    let fields = fields(&pool, &new)?;
    match apply_status(&context.api::<MachineConfigPool>(), MANAGER, &name, &fields).await {
        Ok(_) => context.health.metrics.wrote("MachineConfigPoolStatus"),
        Err(error) if is_conflict(&error) || is_missing(&error) => return Ok(Next::After(STALE)),
        Err(error) => {
            return Err(error)
                .with_context(|| format!("could not write the status of MachineConfigPool/{name}"));
        }
    }
    if let Some(config) = completed(pool.status.as_ref(), &new) {
        let note = format!("Every node has MachineConfig {config}");
        context.events.normal(Teller::Node, &*pool, "Completed", note);
        // The config before may be one that nobody refers to any more.
        context.queues.render.wake(&name, Duration::ZERO);
    }
    Ok(Next::Done)
}

fn wanted(
    context: &Context,
    pool: &MachineConfigPool,
    name: &str,
    now: Timestamp,
) -> MachineConfigPoolStatus {
    let nodes = context.caches.members(name);
    let reports: Vec<_> = nodes
        .iter()
        .filter_map(|node| context.caches.reports.get(node.metadata.name.as_deref()?))
        .collect();
    let mut pool = pool.clone();
    if let Some(findings) = context.verdict(name) {
        let result = if findings.is_empty() {
            Ok(())
        } else {
            Err(findings.as_slice())
        };
        let conditions = &mut pool.status.get_or_insert_default().conditions;
        set(conditions, Verdict::of_render(result), now);
    }
    let nodes: Vec<_> = nodes.iter().map(|node| &**node).collect();
    let reports: Vec<_> = reports.iter().map(|report| &**report).collect();
    let mut status = status(&pool, &nodes, &reports, Counting::Annotations, now);
    if let Some(config) = context.caches.controller_configs.get(CONTROLLER_CONFIG) {
        status.cert_expirys = expiries(&config);
    }
    status
}

/// When the certificates run out by which kubelets trust the API server.
fn expiries(config: &ControllerConfig) -> Vec<CertificateExpiry> {
    let certificates = config
        .status
        .iter()
        .flat_map(|status| &status.controller_certificates);
    certificates
        .filter(|certificate| certificate.bundle_file == BUNDLE)
        .map(|certificate| CertificateExpiry {
            bundle: certificate.bundle_file.clone(),
            subject: certificate.subject.clone(),
            expiry: certificate.not_after.clone(),
        })
        .collect()
}

/// The fields of the status that are ours, for this version of the pool.
fn fields(pool: &MachineConfigPool, status: &MachineConfigPoolStatus) -> Result<Value> {
    let mut status = serde_json::to_value(status).context("a status is always JSON")?;
    if let Some(status) = status.as_object_mut() {
        status.retain(|field, _| !OTHERS.contains(&field.as_str()));
    }
    Ok(json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool",
        "metadata": {"name": pool.metadata.name, "resourceVersion": pool.metadata.resource_version},
        "status": status,
    }))
}

#[cfg(test)]
mod tests;
