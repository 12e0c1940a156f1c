//! Keeps the CA, the bundle that pointers name, and the serving pair, in the objects that the reference keeps them in (`MCO server 1.12`).

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use serde_json::json;
use tracing::info;

use super::authority::{Authority, Serving, bundle, renewed_authority, renewed_serving};
use super::{Options, user_data};
use crate::api::apply;
use crate::context::Context;
use crate::queue::Next;

/// The Secret with the CA and the ConfigMap with what pointers trust.
const AUTHORITY: &str = "machine-config-server-ca";
/// The key of the latter.
pub(super) const BUNDLE_KEY: &str = "ca-bundle.crt";
/// The Secret that the server is given.
const SERVING: &str = "machine-config-server-tls";
/// The key of the signature of the CA before.
const CROSSED_KEY: &str = "crossed.crt";
/// Whose fields they are.
const MANAGER: &str = "machine-config-controller-joining";
/// How often it is looked whether something is due: the shortest of these lives is a year.
const LOOK: Duration = Duration::from_hours(1);

/// Makes what is due, and writes what has changed.
pub(super) async fn reconcile(context: &Context, options: &Options) -> Result<Next> {
    let client = &context.client.0;
    let secrets = Api::<Secret>::namespaced(client.clone(), &options.namespace);
    let maps = Api::<ConfigMap>::namespaced(client.clone(), &options.namespace);
    let now = Timestamp::now();
    let old = secrets
        .get_opt(AUTHORITY)
        .await
        .context("could not read the CA of the server")?;
    let old = old.as_ref().map(authority);
    let renewed = renewed_authority(old.as_ref(), now)
        .with_context(|| format!("Secret {}/{AUTHORITY}", options.namespace))?;
    if let Some(new) = &renewed {
        let data = [
            ("tls.crt", &new.certificate),
            ("tls.key", &new.key),
            (CROSSED_KEY, &new.crossed),
        ];
        write(context, &secrets, AUTHORITY, &data).await?;
        info!("Made a CA for the server of new machines");
    }
    let Some(authority) = renewed.or(old) else {
        return Ok(Next::After(LOOK));
    };
    let map = maps
        .get_opt(AUTHORITY)
        .await
        .context("could not read the CAs of pointers")?;
    let before = map
        .and_then(|map| map.data?.remove(BUNDLE_KEY))
        .unwrap_or_default();
    let trusted = bundle(&authority, &before, now);
    if trusted != before {
        let fields = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": AUTHORITY},
            "data": {BUNDLE_KEY: trusted},
        });
        apply(&maps, MANAGER, AUTHORITY, &fields)
            .await
            .context("could not write the CAs of pointers")?;
    }
    serve(context, options, &secrets, &authority, now).await?;
    user_data::reconcile(context, options, &trusted).await?;
    // Only now that whom to trust is written may pointers name it.
    for pool in context.caches.pools.all() {
        let name = pool.metadata.name.as_deref().unwrap_or_default();
        context.queues.joining.wake(name, Duration::ZERO);
    }
    Ok(Next::After(LOOK))
}

async fn serve(
    context: &Context,
    options: &Options,
    secrets: &Api<Secret>,
    authority: &Authority,
    now: Timestamp,
) -> Result<()> {
    let old = secrets
        .get_opt(SERVING)
        .await
        .context("could not read the serving pair")?;
    let old = old.as_ref().map(|secret| Serving {
        chain: text(secret, "tls.crt"),
        key: text(secret, "tls.key"),
    });
    if let Some(new) = renewed_serving(authority, old.as_ref(), &options.hosts(), now)? {
        let data = [("tls.crt", &new.chain), ("tls.key", &new.key)];
        write(context, secrets, SERVING, &data).await?;
        info!("Made a serving pair for the server of new machines");
    }
    Ok(())
}

async fn write(context: &Context, secrets: &Api<Secret>, name: &str, data: &[(&str, &String)]) -> Result<()> {
    let data: BTreeMap<&str, String> = data
        .iter()
        .map(|(key, text)| (*key, STANDARD.encode(text)))
        .collect();
    let fields = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": name}, "data": data,
    });
    apply(secrets, MANAGER, name, &fields)
        .await
        .with_context(|| format!("could not write Secret {name}"))?;
    context.health.metrics.wrote("Secret");
    Ok(())
}

fn authority(secret: &Secret) -> Authority {
    Authority {
        certificate: text(secret, "tls.crt"),
        key: text(secret, "tls.key"),
        crossed: text(secret, CROSSED_KEY),
    }
}

fn text(secret: &Secret, key: &str) -> String {
    let bytes = secret.data.as_ref().and_then(|data| data.get(key));
    bytes.map_or_else(String::new, |bytes| {
        String::from_utf8_lossy(&bytes.0).into_owned()
    })
}

/// What pointers trust now; none before the first CA is written.
pub(super) async fn trusted(context: &Context, options: &Options) -> Result<Option<String>> {
    let maps = Api::<ConfigMap>::namespaced(context.client.0.clone(), &options.namespace);
    let map = maps
        .get_opt(AUTHORITY)
        .await
        .context("could not read the CAs of pointers")?;
    Ok(map.and_then(|map| map.data?.remove(BUNDLE_KEY)))
}
