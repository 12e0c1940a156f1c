//! One round of asking the pods of a node to go, by the eviction API: budgets are honoured by the API server.

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::api::{EvictParams, ListParams};
use machineconfig::drain::pods::{Cause, Fate, Hindrance, budgets_of, fate};
use tracing::{debug, warn};

use crate::api::{is_budget, is_missing, said};
use crate::context::Context;

/// Pods of one node that are asked at once: a node has some hundred, and each question costs the API server a look at budgets.
const AT_ONCE: usize = 8;

/// Asks every pod of a node to go that has to and was not asked yet. The result are the pods that are still there.
pub(super) async fn round(context: &Context, node: &str) -> Result<Vec<Hindrance>> {
    let client = context.client.0.clone();
    let here = ListParams::default().fields(&format!("spec.nodeName={node}"));
    let pods = Api::<Pod>::all(client)
        .list(&here)
        .await
        .with_context(|| format!("could not list the pods of Node/{node}"))?;
    let mut hindrances = Vec::new();
    let mut asked = Vec::new();
    for pod in pods {
        match fate(&pod) {
            Fate::Stays => {}
            Fate::Terminating => {
                let since = pod.metadata.deletion_timestamp.as_ref().map(|time| time.0);
                hindrances.push(Hindrance::of(&pod, Cause::Terminating(since)));
            }
            Fate::Evict => asked.push(pod),
        }
    }
    let answers: Vec<Option<Hindrance>> = futures_util::stream::iter(asked)
        .map(|pod| ask(context, pod))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    hindrances.extend(answers.into_iter().flatten());
    Ok(hindrances)
}

/// Asks one pod to go; none when it is gone already.
async fn ask(context: &Context, pod: Pod) -> Option<Hindrance> {
    let metrics = &context.health.metrics;
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let name = pod.metadata.name.clone().unwrap_or_default();
    let api = Api::<Pod>::namespaced(context.client.0.clone(), &namespace);
    let cause = match api.evict(&name, &EvictParams::default()).await {
        Ok(_) => {
            debug!(namespace, pod = name, "Evicted");
            metrics.evicted("granted");
            Cause::Terminating(None)
        }
        Err(error) if is_missing(&error) => {
            metrics.evicted("gone");
            return None;
        }
        Err(error) if is_budget(&error) => {
            metrics.evicted("blocked");
            Cause::Budget {
                names: budgets(context, &pod, &namespace).await,
                said: reason(&error),
            }
        }
        Err(error) => {
            metrics.evicted("refused");
            Cause::Refused(said(&error))
        }
    };
    Some(Hindrance::of(&pod, cause))
}

/// The budgets that a pod is under. Who may not read them still has what the API server said.
async fn budgets(context: &Context, pod: &Pod, namespace: &str) -> Vec<String> {
    let api = Api::<PodDisruptionBudget>::namespaced(context.client.0.clone(), namespace);
    match api.list(&ListParams::default()).await {
        Ok(budgets) => budgets_of(pod, &budgets.items),
        Err(error) => {
            warn!(namespace, %error, "Could not list PodDisruptionBudgets");
            Vec::new()
        }
    }
}

/// What the budget says, which stands in the causes; the message says only that it is one.
fn reason(error: &kube::Error) -> String {
    let kube::Error::Api(status) = error else {
        return said(error);
    };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let texts: Vec<_> = causes
        .map(|cause| cause.message.as_str())
        .filter(|text| !text.is_empty())
        .collect();
    if texts.is_empty() {
        status.message.clone()
    } else {
        texts.join("; ")
    }
}
