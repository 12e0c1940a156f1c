//! What the machines of each pool need: the accounts they ask for their certificates with, and the pointer they begin with.

use anyhow::{Context as _, Result};
use crds::MachineConfigPool;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::{Api, Resource as _};
use machineconfig::join::{Joining, NAMESPACE, Proof, pointer};
use serde_json::json;

use super::Options;
use super::certificates::trusted;
use crate::api::apply;
use crate::context::Context;
use crate::queue::Next;

/// Whose fields they are.
const MANAGER: &str = "machine-config-controller-joining";
/// What says that a pointer is kept by us (`MCO server 2.2`).
pub(super) const MANAGED: &str = "machineconfiguration.openshift.io/managed-ca-bundle-derived-from-configmap";

/// Makes them for a pool. What a pool had goes with it, by its owner.
pub(super) async fn reconcile(context: &Context, options: &Options, name: &str) -> Result<Next> {
    let Some(pool) = context.caches.pools.get(name) else {
        return Ok(Next::Done);
    };
    if pool.metadata.deletion_timestamp.is_some() {
        return Ok(Next::Done);
    }
    accounts(context, name, &pool).await?;
    // Certificates come first, and have pools looked at again.
    if let Some(trusted) = trusted(context, options).await? {
        write_pointer(context, options, name, &pool, &trusted).await?;
    }
    Ok(Next::Done)
}

async fn accounts(context: &Context, name: &str, pool: &MachineConfigPool) -> Result<()> {
    let api = Api::<ServiceAccount>::namespaced(context.client.0.clone(), NAMESPACE);
    for proof in [Proof::None, Proof::Token] {
        let joining = Joining {
            pool: name.to_owned(),
            proof,
        };
        let account = joining.account();
        let fields = json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": account, "ownerReferences": [pool.owner_ref(&())]},
            "automountServiceAccountToken": false,
        });
        apply(&api, MANAGER, &account, &fields)
            .await
            .with_context(|| format!("could not write ServiceAccount {NAMESPACE}/{account}"))?;
    }
    Ok(())
}

async fn write_pointer(
    context: &Context,
    options: &Options,
    name: &str,
    pool: &MachineConfigPool,
    trusted: &str,
) -> Result<()> {
    let api = Api::<Secret>::namespaced(context.client.0.clone(), &options.pointers);
    let secret = format!("{name}-user-data-managed");
    let fields = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {
            "name": secret, "labels": {MANAGED: ""}, "ownerReferences": [pool.owner_ref(&())],
        },
        "stringData": {
            "userData": pointer(&options.url, name, trusted, None).to_string(),
            "disableTemplating": "true\n",
        },
    });
    apply(&api, MANAGER, &secret, &fields)
        .await
        .with_context(|| format!("could not write Secret {}/{secret}", options.pointers))?;
    Ok(())
}
