//! The objects that must be there and that outside OpenShift nobody else makes: MachineConfiguration `cluster`, ControllerConfig
//! `machine-config-controller`, and the pools master and worker. Made when they are absent, and never changed here.

use anyhow::{Context as _, Result};
use crds::machine_configuration::MachineConfigurationSpec;
use crds::{ControllerConfig, ControllerConfigSpec, MachineConfigPool, MachineConfiguration, annotations};
use kube::api::PostParams;
use machineconfig::pool::{BUILT_IN, built_in};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::info;

use crate::api::is_conflict;
use crate::context::Context;
use crate::queue::Next;
use crate::version::VERSION;

/// The name that the one ControllerConfig has (MCO controller 0.4).
pub(crate) const CONTROLLER_CONFIG: &str = "machine-config-controller";
/// The name that the one MachineConfiguration has (MCO controller 0.4).
pub(crate) const SETTINGS: &str = "cluster";
/// The key that it is looked after by.
pub(crate) const KEY: &str = "defaults";

/// Makes what is absent.
pub(crate) async fn reconcile(context: &Context) -> Result<Next> {
    let caches = &context.caches;
    if caches.settings.get(SETTINGS).is_none() {
        create(context, "MachineConfiguration", &settings()).await?;
    }
    if caches.controller_configs.get(CONTROLLER_CONFIG).is_none() {
        let config = controller_config(context.options.release.as_deref());
        create(context, "ControllerConfig", &config).await?;
    }
    for name in BUILT_IN {
        if caches.pools.get(name).is_none() {
            create::<MachineConfigPool>(context, "MachineConfigPool", &built_in(name)).await?;
        }
    }
    Ok(Next::Done)
}

fn settings() -> MachineConfiguration {
    let spec = MachineConfigurationSpec {
        management_state: Some("Managed".to_owned()),
        ..MachineConfigurationSpec::default()
    };
    MachineConfiguration::new(SETTINGS, spec)
}

fn controller_config(release: Option<&str>) -> ControllerConfig {
    let mut config = ControllerConfig::new(CONTROLLER_CONFIG, ControllerConfigSpec::default());
    let mut stamps = vec![(annotations::GENERATED_BY_VERSION, VERSION)];
    stamps.extend(release.map(|release| (annotations::RELEASE_IMAGE_VERSION, release)));
    let stamps = stamps
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    config.metadata.annotations = Some(stamps.collect());
    config
}

async fn create<K>(context: &Context, kind: &'static str, object: &K) -> Result<()>
where
    K: kube::Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + std::fmt::Debug,
{
    let name = object.meta().name.as_deref().unwrap_or_default();
    match context.api::<K>().create(&PostParams::default(), object).await {
        Ok(_) => {
            info!(kind, name, "Made what was absent");
            context.health.metrics.wrote(kind);
            Ok(())
        }
        // Somebody else has made it meanwhile.
        Err(error) if is_conflict(&error) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("could not create {kind}/{name}")),
    }
}
