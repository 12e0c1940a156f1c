//! What a pool's MachineConfigs come to: a rendered config, or what refuses it.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use crds::machine_configuration::StorageOverride as Allowed;
use crds::{MachineConfig, MachineConfigPool, annotations};
use machineconfig::pool::{self, Selector};
use machineconfig::reconcile::{self, Origins, StorageOverride};
use machineconfig::{Defaults, Finding, Rendered, RenderedConfig, render};
use tracing::warn;

use crate::context::Context;
use crate::defaults::{CONTROLLER_CONFIG, SETTINGS};
use crate::version::HASH;

/// Whether a pool is one of those that every cluster has, and nobody has written a MachineConfig for it yet: there is nothing to render, and
/// nothing is wrong.
pub(super) fn is_empty(context: &Context, pool: &MachineConfigPool) -> bool {
    let name = pool.metadata.name.as_deref().unwrap_or_default();
    pool.spec.configuration.name.is_empty()
        && pool::BUILT_IN.contains(&name)
        && selected(context, pool).is_empty()
}

/// The MachineConfigs that a pool selects.
fn selected(context: &Context, pool: &MachineConfigPool) -> Vec<MachineConfig> {
    let selector = pool.spec.machine_config_selector.as_ref();
    let Ok(selector) = Selector::new(selector) else {
        return Vec::new();
    };
    let all = context.caches.configs.all();
    let inputs = all.iter().filter_map(|stored| stored.input());
    let chosen = inputs.filter(|config| selector.selects(config.metadata.labels.as_ref()));
    chosen.cloned().collect()
}

/// Renders a pool as it is. What is refused is the inner result.
pub(super) fn of(context: &Context, pool: &MachineConfigPool) -> Result<Result<Rendered, Vec<Finding>>> {
    let controller_config = context
        .caches
        .controller_configs
        .get(CONTROLLER_CONFIG)
        .context("there is no ControllerConfig/machine-config-controller yet")?;
    let selected = selected(context, pool);
    // It may take many milliseconds, during which others go on elsewhere.
    tokio::task::block_in_place(|| {
        let defaults = match Defaults::from_controller_config(&controller_config, "") {
            Ok(defaults) => defaults,
            Err(finding) => return Ok(Err(vec![finding])),
        };
        let rendered = match rendered(pool, &selected, &defaults) {
            Ok(rendered) => rendered,
            Err(findings) => return Ok(Err(findings)),
        };
        Ok(reconcilable(context, pool, &rendered)?.map(|()| rendered))
    })
}

/// Strictly, since a rendered config that no node can apply is of no use. What the nodes have already is not taken away by that: the
/// reference may have rendered it.
fn rendered(
    pool: &MachineConfigPool,
    selected: &[MachineConfig],
    defaults: &Defaults,
) -> Result<Rendered, Vec<Finding>> {
    let name = pool.metadata.name.as_deref().unwrap_or_default();
    let stream = pool.spec.os_image_stream.as_ref();
    let defaults = Defaults {
        os_image_stream: stream.map(|stream| stream.name.clone()).unwrap_or_default(),
        // No MachineConfigs are generated here that a controller of another build could have left behind, and those that the
        // reference generated are taken over: so none is refused by its stamp.
        controller_hash: String::new(),
        ..defaults.clone()
    };
    let selector = pool.spec.machine_config_selector.as_ref();
    pool::machine_configs_for(name, selector, selected)?;
    let rendered = render::render_strictly(name, selected, &defaults).or_else(|findings| {
        let leniently = render::render(name, selected, &defaults).ok();
        leniently
            .filter(|rendered| rendered.name == pool.spec.configuration.name)
            .ok_or(findings)
    });
    rendered.map(|mut rendered| {
        let stamp = (
            annotations::GENERATED_BY_CONTROLLER_VERSION.to_owned(),
            HASH.to_owned(),
        );
        rendered.annotations.extend([stamp]);
        rendered
    })
}

/// Whether nodes with the pool's config can follow. When that config is gone, nobody can tell, and the new one is taken.
fn reconcilable(
    context: &Context,
    pool: &MachineConfigPool,
    rendered: &Rendered,
) -> Result<Result<(), Vec<Finding>>> {
    let old = pool.spec.configuration.name.as_str();
    if old.is_empty() || old == rendered.name {
        return Ok(Ok(()));
    }
    let stored = context.caches.configs.get(old);
    let Some(stored) = stored.as_ref().and_then(|stored| stored.rendered()) else {
        return Ok(Ok(()));
    };
    let old = match RenderedConfig::from_machine_config(&stored.unpack()?) {
        Ok(old) => old,
        Err(invalid) => {
            warn!(config = old, %invalid, "The old config cannot be read, so any new one is taken");
            return Ok(Ok(()));
        }
    };
    let new = RenderedConfig {
        name: rendered.name.clone(),
        spec: rendered.spec.clone(),
        ignition: rendered.ignition.clone(),
        provenance: rendered.provenance.clone(),
    };
    let origins = Origins {
        old: Some(&old.provenance),
        new: Some(&new.provenance),
    };
    Ok(reconcile::check(&old, &new, &overrides(context), origins))
}

/// The changes that the administrator lets through although running nodes ignore them.
fn overrides(context: &Context) -> BTreeSet<StorageOverride> {
    let settings = context.caches.settings.get(SETTINGS);
    let overrides = settings
        .as_ref()
        .and_then(|settings| settings.spec.irreconcilable_validation_overrides.as_ref());
    let allowed = overrides.into_iter().flat_map(|overrides| &overrides.storage);
    allowed
        .map(|allowed| match allowed {
            Allowed::Disks => StorageOverride::Disks,
            Allowed::FileSystems => StorageOverride::FileSystems,
            Allowed::Raid => StorageOverride::Raid,
        })
        .collect()
}
