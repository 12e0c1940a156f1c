//! Looks after the labels and taints of control plane nodes: `machineconfig::pool::upkeep` decides, by what the cluster's Scheduler says. Outside
//! OpenShift there is no such object, nor its kind, and then only labels are looked after.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watch_object};
use machineconfig::pool::upkeep;
use tracing::{info, warn};

use crate::api::{is_conflict, is_missing, merge};
use crate::context::Context;
use crate::queue::Next;

/// Whose fields these are.
const MANAGER: &str = "machine-config-controller-masters";
/// The name of the Scheduler there is (MCO controller 0.4).
const SCHEDULER: &str = "cluster";
/// Nodes that are written to at once: there are three or five of them.
const AT_ONCE: usize = 4;
/// How soon it is looked again whether the kind is there: it comes with an operator, if ever.
const ABSENT: Duration = Duration::from_mins(5);
/// How soon a node is looked at again that has changed meanwhile: the change is on its way.
const STALE: Duration = Duration::from_millis(100);

/// Looks after nodes as they change. Does not end.
pub(crate) async fn run(context: &Context) {
    let look = |node| reconcile(context, node);
    crate::queue::run(&context.queues.masters, AT_ONCE, look).await;
}

async fn reconcile(context: &Context, name: String) -> Result<Next> {
    let Some(node) = context.caches.nodes.get(&name) else {
        return Ok(Next::Done);
    };
    let Some(patch) = upkeep(&node, context.masters_schedulable()) else {
        return Ok(Next::Done);
    };
    match merge(&context.api::<Node>(), MANAGER, &name, &patch).await {
        Ok(_) => {
            info!(node = name, "Changed labels or taints of a control plane node");
            context.health.metrics.wrote("Node");
            Ok(Next::Done)
        }
        Err(error) if is_conflict(&error) || is_missing(&error) => Ok(Next::After(STALE)),
        Err(error) => Err(error).with_context(|| format!("could not write to Node/{name}")),
    }
}

/// Follows what the Scheduler says. Does not end.
pub(crate) async fn follow(context: &Context) {
    let kind = GroupVersionKind::gvk("config.openshift.io", "v1", "Scheduler");
    let resource = ApiResource::from_gvk(&kind);
    loop {
        let api = Api::<DynamicObject>::all_with(context.client.0.clone(), &resource);
        let mut events = pin!(watch_object(api, SCHEDULER).default_backoff());
        while let Some(event) = events.next().await {
            match event {
                Ok(object) => take(context, object.as_ref()),
                Err(watcher::Error::InitialListFailed(error)) if is_missing(&error) => break,
                Err(error) => warn!(%error, "The Scheduler cannot be watched"),
            }
        }
        tokio::time::sleep(ABSENT).await;
    }
}

/// One that is deleted says no, as with the reference; one that never was says nothing.
fn take(context: &Context, object: Option<&DynamicObject>) {
    let said = match object {
        Some(object) => Some(object.data["spec"]["mastersSchedulable"] == true),
        None => context.masters_schedulable().map(|_| false),
    };
    if context.schedule_masters(said) {
        for node in context.caches.roster().control_plane() {
            context.queues.masters.wake(node, Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::fake;

    fn scheduler(schedulable: bool) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "config.openshift.io/v1", "kind": "Scheduler", "metadata": {"name": SCHEDULER},
            "spec": {"mastersSchedulable": schedulable},
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn nodes_follow_the_scheduler_and_its_end() {
        let (context, record) = fake::context(|_| None);
        let node: Node = serde_json::from_value(json!({"metadata": {
            "name": "n", "labels": {"node-role.kubernetes.io/master": "", "node-role.kubernetes.io/control-plane": ""},
        }}))
        .unwrap();
        context.caches.nodes.put("n", Some(Arc::new(node)));
        let worker = "/metadata/labels/node-role.kubernetes.io~1worker";
        take(&context, None);
        reconcile(&context, "n".into()).await.unwrap();
        assert_eq!(record.writes(), [], "there is no Scheduler and never was");
        take(&context, Some(&scheduler(true)));
        reconcile(&context, "n".into()).await.unwrap();
        let writes = record.writes();
        assert_eq!(writes.len(), 1);
        assert_eq!(writes[0].body.pointer(worker), Some(&json!("")));
        for end in [Some(scheduler(false)), None] {
            take(&context, Some(&scheduler(true)));
            take(&context, end.as_ref());
            reconcile(&context, "n".into()).await.unwrap();
            let taints = &record.writes()[0].body["spec"]["taints"];
            assert_ne!(taints, &Value::Null);
        }
    }
}
