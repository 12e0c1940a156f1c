//! The rendered configs as objects: made, restored when somebody changed or deleted one that is in use, and deleted when nobody
//! refers to them.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use crds::{MachineConfig, MachineConfigPool};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, PostParams, Preconditions};
use machineconfig::retention::{self, Stored};
use machineconfig::{Code, Finding, Rendered};
use tracing::{info, warn};

use super::API_VERSION;
use crate::api::{is_conflict, is_missing, is_refused, said};
use crate::caches::{self, is_genuine};
use crate::context::Context;
use crate::events::Teller;

/// Sees to it that a rendered config is there and is what its name says. The inner result is what the API server has against it.
pub(super) async fn keep(
    context: &Context,
    pool: &MachineConfigPool,
    rendered: &Rendered,
) -> Result<Result<(), Finding>> {
    let mut object = rendered.machine_config();
    object.metadata.owner_references = Some(vec![owner(pool)]);
    let stored = context.caches.configs.get(&rendered.name);
    let stored = stored.as_ref().and_then(|stored| stored.rendered());
    let pool_name = pool.metadata.name.as_deref().unwrap_or_default();
    // One that by its own content never has the name that it must have cannot be told from one that was changed.
    let is_as_named = stored.is_some_and(|stored| stored.genuine)
        || (stored.is_some() && !is_genuine(&rendered.name, pool_name, &object.spec));
    if is_as_named {
        return Ok(Ok(()));
    }
    match put(context, object, stored).await {
        Ok(()) => Ok(Ok(())),
        Err(error) if is_refused(&error) => {
            let refused = Finding::error(
                Code::RENDERED_REFUSED,
                format!("MachineConfigPool/{pool_name}"),
                "",
                format!("the API server does not take {}: {}", rendered.name, said(&error)),
            );
            Ok(Err(refused))
        }
        Err(error) => Err(error).with_context(|| format!("could not write MachineConfig/{}", rendered.name)),
    }
}

/// Writes a whole object: an apply would leave in it what somebody else has added.
async fn put(
    context: &Context,
    mut object: MachineConfig,
    stored: Option<&caches::Rendered>,
) -> Result<(), kube::Error> {
    let api = context.api::<MachineConfig>();
    let name = object.metadata.name.clone().unwrap_or_default();
    let parameters = PostParams::default();
    let written = match stored {
        Some(stored) => {
            object.metadata.uid.clone_from(&stored.uid);
            object.metadata.resource_version.clone_from(&stored.version);
            api.replace(&name, &parameters, &object).await
        }
        None => match api.create(&parameters, &object).await {
            // Another leader, or the cache is a moment behind. It is looked at again when it arrives.
            Err(error) if is_conflict(&error) => return Ok(()),
            other => other,
        },
    };
    written?;
    context.health.metrics.wrote("MachineConfig");
    Ok(())
}

fn owner(pool: &MachineConfigPool) -> OwnerReference {
    OwnerReference {
        api_version: API_VERSION.to_owned(),
        kind: "MachineConfigPool".to_owned(),
        name: pool.metadata.name.clone().unwrap_or_default(),
        uid: pool.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// Puts back rendered configs of a pool that somebody deleted or changed although they are in use, as they were.
pub(super) async fn restore(context: &Context, pool: &str) -> Result<()> {
    let lost = context.lost(pool);
    if lost.is_empty() {
        return Ok(());
    }
    let referenced = referenced(context);
    for original in lost.iter().filter_map(|lost| lost.rendered()) {
        let name = &original.name;
        let now = context.caches.configs.get(name);
        let now = now.as_ref().and_then(|stored| stored.rendered());
        if referenced.contains(name) && now.is_none_or(|now| !now.genuine) {
            put(context, original.unpack()?, now)
                .await
                .with_context(|| format!("could not restore MachineConfig/{name}"))?;
            warn!(
                pool,
                config = name,
                "Restored a rendered config that is in use and was deleted or changed"
            );
            if let Some(pool) = context.caches.pools.get(pool) {
                let note =
                    format!("MachineConfig {name} is in use and was deleted or changed; it is restored");
                context
                    .events
                    .normal(Teller::Render, &*pool, "RenderedConfigRestored", note);
            }
        }
        context.found(name);
    }
    Ok(())
}

/// Deletes what nobody refers to, oldest first, but for the last few.
pub(super) async fn clean(context: &Context, pool: &str) -> Result<()> {
    let all = context.caches.configs.all();
    let own: Vec<_> = all
        .iter()
        .filter_map(|stored| stored.rendered())
        .filter(|rendered| rendered.pool == pool)
        .collect();
    if own.len() <= context.options.keep {
        return Ok(());
    }
    let stored: Vec<_> = own
        .iter()
        .map(|rendered| Stored {
            name: &rendered.name,
            created: rendered.created,
        })
        .collect();
    let surplus = retention::surplus(&stored, &referenced(context), context.options.keep);
    for name in surplus {
        let Some(rendered) = own.iter().find(|rendered| rendered.name == name) else {
            continue;
        };
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: rendered.uid.clone(),
                resource_version: rendered.version.clone(),
            }),
            ..DeleteParams::default()
        };
        match context.api::<MachineConfig>().delete(name, &parameters).await {
            Ok(_) => {
                info!(
                    pool,
                    config = name,
                    "Deleted a rendered config that nobody refers to"
                );
                context.health.metrics.deleted();
            }
            Err(error) if is_missing(&error) || is_conflict(&error) => {}
            Err(error) => {
                return Err(error).with_context(|| format!("could not delete MachineConfig/{name}"));
            }
        }
    }
    Ok(())
}

/// What somebody refers to, what pools were pointed at a moment ago included.
fn referenced(context: &Context) -> BTreeSet<String> {
    let caches = &context.caches;
    let (pools, nodes, reports) = (caches.pools.all(), caches.nodes.all(), caches.reports.all());
    let mut names = retention::referenced(
        pools.iter().map(|pool| &**pool),
        nodes.iter().map(|node| &**node),
        reports.iter().map(|report| &**report),
    );
    names.extend(context.targets());
    names
}
