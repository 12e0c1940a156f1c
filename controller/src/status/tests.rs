use std::sync::Arc;

use machineconfig::{Code, Finding};
use serde_json::json;

use super::*;
use crate::fake::{self, refusal};

fn pool(status: &Value) -> MachineConfigPool {
    serde_json::from_value(json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool",
        "metadata": {"name": "edge", "resourceVersion": "70", "generation": 3},
        "spec": {"configuration": {"name": "c"}}, "status": status,
    }))
    .unwrap()
}

fn conditions(body: &Value, type_: &str) -> Vec<String> {
    let conditions = body["status"]["conditions"].as_array().unwrap().iter();
    let of_type = conditions.filter(|condition| condition["type"] == type_);
    of_type
        .map(|condition| condition["status"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_status_is_written_once_per_change_and_leaves_others_fields_alone() {
    let (context, record) = fake::context(|_| None);
    let synchronizers = json!([{
        "poolSynchronizerType": "PinnedImageSets", "machineCount": 0, "updatedMachineCount": 0, "readyMachineCount": 0,
        "availableMachineCount": 0, "unavailableMachineCount": 0,
    }]);
    let status = json!({"conditions": [], "poolSynchronizersStatus": synchronizers});
    context.caches.pools.put("edge", Some(Arc::new(pool(&status))));
    reconcile(&context, "edge".into()).await.unwrap();
    let writes = record.writes();
    assert_eq!(writes.len(), 1);
    let write = &writes[0];
    assert!(write.path.contains("machineconfigpools/edge/status") && write.path.contains(MANAGER));
    assert_eq!(write.content_type, "application/apply-patch+yaml");
    assert_eq!(write.body["metadata"]["resourceVersion"], "70");
    assert_eq!(write.body["status"]["observedGeneration"], 3);
    assert_eq!(write.body["status"]["poolSynchronizersStatus"], Value::Null);
    assert_eq!(conditions(&write.body, "Updated"), ["True"]);
    let mut written = write.body["status"].clone();
    written["poolSynchronizersStatus"] = status["poolSynchronizersStatus"].clone();
    context.caches.pools.put("edge", Some(Arc::new(pool(&written))));
    reconcile(&context, "edge".into()).await.unwrap();
    assert_eq!(record.writes(), []);
}

#[tokio::test]
async fn what_refused_the_rendering_degrades_the_pool_and_passes_with_it() {
    let (context, record) = fake::context(|_| None);
    context
        .caches
        .pools
        .put("edge", Some(Arc::new(pool(&json!({"conditions": []})))));
    let finding = Finding::error(
        Code::KERNEL_TYPE,
        "MachineConfig/50-x",
        "spec.kernelType",
        "\"slow\"",
    );
    context.judge("edge", vec![finding]);
    reconcile(&context, "edge".into()).await.unwrap();
    let write = record.writes().remove(0).body;
    assert_eq!(conditions(&write, "RenderDegraded"), ["True"]);
    assert_eq!(conditions(&write, "Degraded"), ["True"]);
    assert!(
        write.to_string().contains("MachineConfig/50-x spec.kernelType"),
        "{write}"
    );
    context
        .caches
        .pools
        .put("edge", Some(Arc::new(pool(&write["status"]))));
    context.judge("edge", Vec::new());
    reconcile(&context, "edge".into()).await.unwrap();
    let write = record.writes().remove(0).body;
    assert_eq!(conditions(&write, "RenderDegraded"), ["False"]);
    assert_eq!(conditions(&write, "Degraded"), ["False"]);
}

#[tokio::test]
async fn a_pool_that_has_changed_is_looked_at_again() {
    let (context, _) = fake::context(|_| Some(refusal(409, "Conflict", "the object has been modified")));
    context
        .caches
        .pools
        .put("edge", Some(Arc::new(pool(&json!({"conditions": []})))));
    assert_eq!(
        reconcile(&context, "edge".into()).await.unwrap(),
        Next::After(STALE)
    );
}
