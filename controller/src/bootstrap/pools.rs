//! From the objects of the input to one rendered config per pool: selection, rendering, and MachineConfigs that no pool
//! wants.

use std::collections::BTreeSet;

use crds::{ControllerConfig, MachineConfig, MachineConfigPool, annotations};
use machineconfig::pool::{self, BUILT_IN, Selector};
use machineconfig::{Code, Defaults, Finding, Objects};

use super::output::Pool;

/// Renders every pool: those of the input, and of the built-in ones those that the input has MachineConfigs for. What is
/// doubtful or refused goes to `findings`.
pub(super) fn render(
    objects: &Objects,
    controller_config: &ControllerConfig,
    controller_hash: &str,
    findings: &mut Vec<Finding>,
) -> Vec<Pool> {
    let defaults = match Defaults::from_controller_config(controller_config, "") {
        Ok(defaults) => Defaults {
            controller_hash: controller_hash.to_owned(),
            ..defaults
        },
        Err(finding) => {
            findings.push(finding);
            return Vec::new();
        }
    };
    let pools = pools(objects, findings);
    findings.extend(unselected(objects, &pools));
    let mut rendered = Vec::new();
    for pool in pools {
        let found = pool::check(&pool);
        let refused = found.iter().any(Finding::is_error);
        findings.extend(found);
        if !refused {
            rendered.extend(render_one(pool, &objects.configs, &defaults, findings));
        }
    }
    rendered
}

fn render_one(
    pool: MachineConfigPool,
    configs: &[MachineConfig],
    defaults: &Defaults,
    findings: &mut Vec<Finding>,
) -> Option<Pool> {
    let name = pool.metadata.name.as_deref().unwrap_or_default();
    let stream = pool
        .spec
        .os_image_stream
        .as_ref()
        .map(|stream| stream.name.clone());
    let defaults = Defaults {
        os_image_stream: stream.unwrap_or_default(),
        ..defaults.clone()
    };
    let selector = pool.spec.machine_config_selector.as_ref();
    let rendered = pool::machine_configs_for(name, selector, configs).and_then(|selected| {
        let selected: Vec<_> = selected.into_iter().cloned().collect();
        machineconfig::render::render_strictly(name, &selected, &defaults)
    });
    match rendered {
        Ok(rendered) => {
            findings.extend(rendered.warnings.iter().cloned());
            Some(Pool { pool, rendered })
        }
        Err(refusals) => {
            findings.extend(refusals);
            None
        }
    }
}

/// The pools of the input and the built-in ones, sorted by name. A built-in pool that nobody has defined and that
/// selects nothing is left out, with a warning when there is no other pool either.
fn pools(objects: &Objects, findings: &mut Vec<Finding>) -> Vec<MachineConfigPool> {
    let mut pools = objects.pools.clone();
    for name in BUILT_IN.into_iter().filter(|name| objects.pool(name).is_none()) {
        let standard = pool::built_in(name);
        let selector = standard.spec.machine_config_selector.as_ref();
        if pool::machine_configs_for(name, selector, &objects.configs).is_ok() {
            pools.push(standard);
        } else if objects.pools.is_empty() {
            let object = format!("MachineConfigPool/{name}");
            let message = format!("no MachineConfig has the role {name}, and the built-in pool is left out");
            findings.push(Finding::warning(
                Code::POOL_SELECTS_NOTHING,
                object,
                "spec.machineConfigSelector",
                message,
            ));
        }
    }
    pools.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    pools
}

/// What is wrong with the MachineConfigs that no pool selects, and that they are not.
fn unselected(objects: &Objects, pools: &[MachineConfigPool]) -> Vec<Finding> {
    let selectors: Vec<_> = pools
        .iter()
        .filter_map(|pool| Selector::new(pool.spec.machine_config_selector.as_ref()).ok())
        .collect();
    let names: BTreeSet<_> = pools
        .iter()
        .filter_map(|pool| pool.metadata.name.as_deref())
        .collect();
    let mut findings = Vec::new();
    for config in &objects.configs {
        let labels = config.metadata.labels.as_ref();
        if selectors.iter().any(|selector| selector.selects(labels)) {
            continue;
        }
        findings.extend(machineconfig::render::check(config));
        let object = format!(
            "MachineConfig/{}",
            config.metadata.name.as_deref().unwrap_or_default()
        );
        let field = format!("metadata.labels[{}]", annotations::ROLE);
        match labels.and_then(|labels| labels.get(annotations::ROLE)) {
            Some(role) if !names.contains(role.as_str()) => {
                let message = format!("there is no pool {role:?}, so no node would ever get it");
                findings.push(Finding::error(Code::POOL_UNKNOWN, object, field, message));
            }
            Some(_) | None => {
                let message = "no pool selects it, so no node will ever get it";
                findings.push(Finding::warning(
                    Code::NOT_SELECTED,
                    object,
                    "metadata.labels",
                    message,
                ));
            }
        }
    }
    findings
}
