//! Renders pools: the MachineConfigs of a pool into its rendered config, and the pool pointed at that (MCO controller 2).
//!
//! [`reconcile`] is for one pool. What is refused goes to the pool's status by who writes that; the pool stays at its old config.

mod outcome;
mod store;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use crds::MachineConfigPool;
use k8s_openapi::api::core::v1::ObjectReference;
use machineconfig::finding::Severity;
use machineconfig::{Code, Finding, Rendered};
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::api::{apply, is_conflict, is_missing};
use crate::context::Context;
use crate::events::Teller;
use crate::queue::Next;

/// Whose fields these are.
const MANAGER: &str = "machine-config-controller-render";
/// What the states of this part are told under.
const PART: &str = "render";
/// How soon a pool is rendered again that has changed meanwhile: the change is on its way.
const STALE: Duration = Duration::from_millis(50);
/// How soon a rendered config is offered again that the API server does not take: nobody tells of a policy or a permission that changes.
const RETRY: Duration = Duration::from_secs(30);
/// How often a pool is rendered without a cause: what nobody told of is found by it, such as a config that nobody refers to any more.
const AGAIN: Duration = Duration::from_mins(10);
/// API version of what a pool refers to.
const API_VERSION: &str = "machineconfiguration.openshift.io/v1";

/// Renders one pool, restores what was lost of its rendered configs, and deletes those that nobody refers to.
pub(crate) async fn reconcile(context: &Context, name: String) -> Result<Next> {
    let Some(pool) = context.caches.pools.get(&name) else {
        context.forget_pool(&name);
        context.health.metrics.forget_pool(&name);
        return Ok(Next::Done);
    };
    if pool.metadata.deletion_timestamp.is_some() {
        return Ok(Next::Done);
    }
    store::restore(context, &name).await?;
    if outcome::is_empty(context, &pool) {
        context.judge(&name, Vec::new());
        return Ok(Next::Done);
    }
    let findings = match outcome::of(context, &pool)? {
        Ok(rendered) => match store::keep(context, &pool, &rendered).await? {
            Ok(()) => {
                if !point(context, &pool, &rendered).await? {
                    return Ok(Next::After(STALE));
                }
                Vec::new()
            }
            Err(finding) => vec![finding],
        },
        Err(findings) => findings,
    };
    let by_server = |finding: &Finding| finding.code == Code::RENDERED_REFUSED;
    let again = if findings.iter().any(by_server) {
        RETRY
    } else {
        AGAIN
    };
    tell(context, &pool, findings);
    store::clean(context, &name).await?;
    Ok(Next::After(again))
}

/// Points a pool at its rendered config, if it is not yet. False when the pool has changed since it was rendered.
async fn point(context: &Context, pool: &Arc<MachineConfigPool>, rendered: &Rendered) -> Result<bool> {
    let name = pool.metadata.name.as_deref().unwrap_or_default();
    context.point(name, &rendered.name);
    let is_overridden = rendered
        .annotations
        .contains_key(crds::annotations::OS_IMAGE_URL_OVERRIDDEN);
    context.health.metrics.overridden(name, is_overridden);
    let Some(fields) = fields(pool, rendered) else {
        return Ok(true);
    };
    match apply(&context.api::<MachineConfigPool>(), MANAGER, name, &fields).await {
        Ok(_) => {}
        Err(error) if is_conflict(&error) || is_missing(&error) => return Ok(false),
        Err(error) => {
            return Err(error)
                .with_context(|| format!("could not point MachineConfigPool/{name} at {}", rendered.name));
        }
    }
    context.health.metrics.wrote("MachineConfigPool");
    context.health.metrics.did(PART, "Rendered", name);
    if pool.spec.configuration.name != rendered.name {
        info!(pool = name, config = rendered.name, sources = ?rendered.sources, "Rendered");
        let note = format!(
            "MachineConfig {} is rendered from {}",
            rendered.name,
            rendered.sources.join(", ")
        );
        context
            .events
            .normal(Teller::Render, &**pool, "RenderedConfigGenerated", note);
        for warning in rendered
            .warnings
            .iter()
            .filter(|found| found.severity == Severity::Warning)
        {
            warn!(pool = name, %warning, "A MachineConfig is doubtful");
        }
    }
    Ok(true)
}

/// What is to be said of a pool that is to have this rendered config; none when it says so already.
///
/// The version makes it one decision: a pool that has changed since is rendered anew.
fn fields(pool: &MachineConfigPool, rendered: &Rendered) -> Option<Value> {
    let source = |name: &String| ObjectReference {
        api_version: Some(API_VERSION.to_owned()),
        kind: Some("MachineConfig".to_owned()),
        name: Some(name.clone()),
        ..ObjectReference::default()
    };
    let sources: Vec<_> = rendered.sources.iter().map(source).collect();
    let current = &pool.spec.configuration;
    if current.name == rendered.name && current.source == sources {
        return None;
    }
    Some(json!({
        "apiVersion": API_VERSION, "kind": "MachineConfigPool",
        "metadata": {"name": pool.metadata.name, "resourceVersion": pool.metadata.resource_version},
        "spec": {"configuration": {"name": rendered.name, "source": sources}},
    }))
}

/// Passes on what came of it.
fn tell(context: &Context, pool: &Arc<MachineConfigPool>, findings: Vec<Finding>) {
    let name = pool.metadata.name.as_deref().unwrap_or_default();
    let texts: Vec<_> = findings.iter().map(ToString::to_string).collect();
    if !context.judge(name, findings) {
        return;
    }
    context.queues.status.wake(name, Duration::ZERO);
    if texts.is_empty() {
        context.events.passed(&**pool, "RenderDegraded");
    } else {
        warn!(pool = name, findings = ?texts, "A pool cannot be rendered");
        context
            .events
            .warning(Teller::Render, &**pool, "RenderDegraded", texts.join("; "));
    }
}

#[cfg(test)]
mod tests;
