//! From the objects of an input to the rendered config of one pool.

use std::collections::BTreeSet;

use crds::{MachineConfig, annotations};
use machineconfig::pool::Selector;
use machineconfig::{Code, Defaults, Finding, Rendered};

use crate::objects::Objects;
use crate::report::plural;

/// The pools every cluster has; all others are custom pools (MCO controller 1.2).
const BUILT_IN: [&str; 3] = ["master", "worker", "arbiter"];
/// The role whose MachineConfigs every custom pool takes too.
const WORKER: &str = "worker";

/// Images that the command line puts over those of the ControllerConfig.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Images {
    /// OS image when no MachineConfig sets one; over the one in a ControllerConfig of the input
    #[arg(long, value_name = "IMAGE")]
    os_image: Option<String>,
    /// Extensions image when no MachineConfig sets one; over the one in a ControllerConfig of the input
    #[arg(long, value_name = "IMAGE")]
    extensions_image: Option<String>,
}

/// Renders the pool named `pool` from the objects of an input, with all that is to be said about it.
pub(crate) fn render(objects: &Objects, pool: &str, images: &Images) -> (Option<Rendered>, Vec<Finding>) {
    let rendered = select(objects, pool)
        .and_then(|selected| machineconfig::render(pool, &selected, &defaults(objects, pool, images)));
    told(rendered, objects)
}

/// As [`render`], and refuses what no node can apply although the reference renders it: contents that do not decode, for one.
pub(crate) fn render_strictly(
    objects: &Objects,
    pool: &str,
    images: &Images,
) -> (Option<Rendered>, Vec<Finding>) {
    let rendered = select(objects, pool).and_then(|selected| {
        machineconfig::render::render_strictly(pool, &selected, &defaults(objects, pool, images))
    });
    told(rendered, objects)
}

/// What was rendered and all that is to be said, of the MachineConfigs too that are left out because they have no role.
fn told(rendered: Result<Rendered, Vec<Finding>>, objects: &Objects) -> (Option<Rendered>, Vec<Finding>) {
    let (rendered, mut said) = match rendered {
        Ok(rendered) => {
            let warnings = rendered.warnings.clone();
            (Some(rendered), warnings)
        }
        Err(refusals) => (None, refusals),
    };
    said.extend(without_role(objects).map(|config| {
        let message = format!(
            "has no role (label {}), so no pool takes it; it is left out",
            annotations::ROLE
        );
        Finding::warning(Code::NO_ROLE, identity(config), "metadata.labels", message)
    }));
    (rendered, said)
}

/// The MachineConfigs that no pool takes because they have no role; rendered ones need none.
fn without_role(objects: &Objects) -> impl Iterator<Item = &MachineConfig> {
    let roleless = |config: &&MachineConfig| role(config).is_none_or(str::is_empty) && !is_rendered(config);
    let configs = objects.configs.iter().filter(roleless);
    configs.filter(|config| !is_selected(objects, config))
}

/// `MachineConfig/<name>`.
fn identity(config: &MachineConfig) -> String {
    let name = config.metadata.name.as_deref().unwrap_or_default();
    format!("MachineConfig/{name}")
}

/// What is wrong with a MachineConfig by itself. It needs no role when a pool selects it by another label.
pub(crate) fn faults(objects: &Objects, config: &MachineConfig) -> Vec<Finding> {
    let mut found = machineconfig::render::check(config);
    if is_selected(objects, config) {
        found.retain(|finding| finding.code != Code::NO_ROLE);
        return found;
    }
    let labels = config.metadata.labels.as_ref();
    // Without any label it was refused by itself.
    let labelled = labels.is_some_and(|labels| !labels.is_empty());
    if labelled && role(config).is_none_or(str::is_empty) {
        let message = format!("has no role (label {}), so no pool takes it", annotations::ROLE);
        found.push(Finding::error(
            Code::NO_ROLE,
            identity(config),
            "metadata.labels",
            message,
        ));
    }
    found
}

/// The MachineConfigs of a pool. The MachineConfigPool of that name decides; without one it is the role label,
/// a custom pool taking the role worker too.
pub(crate) fn select(objects: &Objects, pool: &str) -> Result<Vec<MachineConfig>, Vec<Finding>> {
    if let Some(object) = objects.pool(pool) {
        let selector = object.spec.machine_config_selector.as_ref();
        let selected = machineconfig::pool::machine_configs_for(pool, selector, &objects.configs)?;
        return Ok(selected.into_iter().cloned().collect());
    }
    let custom = !BUILT_IN.contains(&pool);
    let own = |config: &&MachineConfig| role(config) == Some(pool);
    if !objects.configs.iter().any(|config| own(&config)) {
        return Err(vec![not_found(objects, pool)]);
    }
    let selected = objects.configs.iter();
    let selected = selected.filter(|config| own(config) || custom && role(config) == Some(WORKER));
    Ok(selected.cloned().collect())
}

/// The pools an input has: those it holds as objects, the built-in ones that its role labels name, and, when it holds
/// none, whatever its role labels name.
pub(crate) fn names(objects: &Objects) -> BTreeSet<String> {
    let pools = objects.pools.iter().filter_map(|pool| pool.metadata.name.clone());
    let roles = roles(objects);
    let roles = roles.filter(|role| objects.pools.is_empty() || BUILT_IN.contains(role));
    pools.chain(roles.map(str::to_owned)).collect()
}

/// The pools of every cluster, to be named in a message.
pub(crate) fn built_in() -> String {
    BUILT_IN.join(", ")
}

/// Whether every cluster has a pool of that name.
pub(crate) fn is_built_in(name: &str) -> bool {
    BUILT_IN.contains(&name)
}

/// Whether a pool of that name is in the input, or in every cluster.
pub(crate) fn exists(objects: &Objects, name: &str) -> bool {
    BUILT_IN.contains(&name) || objects.pools.is_empty() || objects.pool(name).is_some()
}

/// The pool a MachineConfig is labelled for.
pub(crate) fn role(config: &MachineConfig) -> Option<&str> {
    config
        .metadata
        .labels
        .as_ref()?
        .get(annotations::ROLE)
        .map(String::as_str)
}

/// The roles of all MachineConfigs. An empty label is none.
fn roles(objects: &Objects) -> impl Iterator<Item = &str> {
    let roles = objects.configs.iter().filter_map(role);
    roles.filter(|role| !role.is_empty())
}

/// Whether a MachineConfig is a rendered one, which no pool selects: it has the name of one and no role.
pub(crate) fn is_rendered(config: &MachineConfig) -> bool {
    let name = config.metadata.name.as_deref().unwrap_or_default();
    let pool = name
        .strip_prefix("rendered-")
        .and_then(|rest| rest.rsplit_once('-'));
    role(config).is_none() && pool.is_some_and(|(pool, _)| is_rendered_for(name, pool))
}

/// Whether `name` is that of a rendered config of `pool`: `rendered-<pool>-<32 hexadecimal digits>`.
pub(crate) fn is_rendered_for(name: &str, pool: &str) -> bool {
    let hash = name
        .strip_prefix("rendered-")
        .and_then(|rest| rest.strip_prefix(pool)?.strip_prefix('-'));
    hash.is_some_and(|hash| hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Whether a pool of the input selects a MachineConfig.
pub(crate) fn is_selected(objects: &Objects, config: &MachineConfig) -> bool {
    let labels = config.metadata.labels.as_ref();
    objects.pools.iter().any(|pool| {
        let selector = Selector::new(pool.spec.machine_config_selector.as_ref());
        selector.is_ok_and(|selector| selector.selects(labels))
    })
}

fn not_found(objects: &Objects, pool: &str) -> Finding {
    let mut present = names(objects);
    present.extend(roles(objects).map(str::to_owned));
    let roleless = without_role(objects).count();
    let present = match present.len() {
        0 if roleless > 0 => format!(
            "no pool at all, since {} in it {} no role",
            plural(roleless, "MachineConfig"),
            if roleless == 1 { "has" } else { "have" }
        ),
        0 => "no pool at all".to_owned(),
        _ => format!("the pools {}", present.into_iter().collect::<Vec<_>>().join(", ")),
    };
    let message =
        format!("no pool of that name and no MachineConfig with that role; the input has {present}");
    Finding::error(
        Code::POOL_NOT_FOUND,
        format!("MachineConfigPool/{pool}"),
        "",
        message,
    )
}

fn defaults(objects: &Objects, pool: &str, images: &Images) -> Defaults {
    let mut defaults = Defaults::default();
    if let Some(config) = &objects.controller_config {
        let annotations = config.metadata.annotations.as_ref();
        let release = annotations.and_then(|a| a.get(annotations::RELEASE_IMAGE_VERSION));
        defaults
            .os_image_url
            .clone_from(&config.spec.base_os_container_image);
        defaults
            .extensions_image_url
            .clone_from(&config.spec.base_os_extensions_container_image);
        defaults.release_version = release.cloned().unwrap_or_default();
    }
    let stream = objects
        .pool(pool)
        .and_then(|pool| pool.spec.os_image_stream.as_ref());
    defaults.os_image_stream = stream.map(|stream| stream.name.clone()).unwrap_or_default();
    if let Some(image) = &images.os_image {
        defaults.os_image_url.clone_from(image);
    }
    if let Some(image) = &images.extensions_image {
        defaults.extensions_image_url.clone_from(image);
    }
    defaults
}
