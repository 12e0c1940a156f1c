use std::sync::Arc;

use crds::{ControllerConfig, ControllerConfigSpec, MachineConfig, annotations};
use kube::core::DeserializeGuard;
use serde_json::{Value, json};

use super::*;
use crate::caches::stored;
use crate::fake::{self, Asked, Record, refusal};

fn pool(configuration: &Value, version: &str) -> MachineConfigPool {
    serde_json::from_value(json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool",
        "metadata": {"name": "edge", "uid": "u-1", "resourceVersion": version},
        "spec": {"machineConfigSelector": {"matchLabels": {annotations::ROLE: "edge"}}, "configuration": configuration},
    }))
    .unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "the callers make it in place")]
fn config(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig",
        "metadata": {"name": name, "labels": {annotations::ROLE: "edge"}}, "spec": spec,
    })
}

fn file(contents: &str) -> Value {
    json!({"config": {"ignition": {"version": "3.5.0"}, "storage": {"files": [
        {"path": "/etc/a", "mode": 420, "contents": {"source": format!("data:,{contents}")}},
    ]}}})
}

/// Puts an object into the cache as if the watch had brought it. The result is the one before.
fn put(context: &Context, object: &Value) -> Option<Arc<crate::caches::Stored>> {
    let guard: DeserializeGuard<MachineConfig> = serde_json::from_value(object.clone()).unwrap();
    let (name, stored) = stored(guard);
    context.caches.configs.put(&name, Some(Arc::new(stored)))
}

fn world(answer: impl Fn(&Asked) -> Option<(u16, Value)> + Send + Sync + 'static) -> (Arc<Context>, Record) {
    let (context, record) = fake::context(answer);
    let controller_config =
        ControllerConfig::new("machine-config-controller", ControllerConfigSpec::default());
    context
        .caches
        .controller_configs
        .put("machine-config-controller", Some(Arc::new(controller_config)));
    context
        .caches
        .pools
        .put("edge", Some(Arc::new(pool(&json!({}), "70"))));
    put(&context, &config("50-a", file("x")));
    (context, record)
}

async fn look(context: &Context) -> Vec<Code> {
    reconcile(context, "edge".into()).await.unwrap();
    let findings = context.verdict("edge").unwrap();
    findings.iter().map(|finding| finding.code).collect()
}

/// Lets the cache show what was written: the rendered config, and the pool that is pointed at it.
fn settle(context: &Context, writes: &[Asked]) -> String {
    let mut object = writes[0].body.clone();
    object["metadata"]["uid"] = json!("u-2");
    object["metadata"]["resourceVersion"] = json!("71");
    object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    put(context, &object);
    let configuration = writes.last().unwrap().body["spec"]["configuration"].clone();
    context
        .caches
        .pools
        .put("edge", Some(Arc::new(pool(&configuration, "72"))));
    configuration["name"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rendered_config_is_there_before_the_pool_is_pointed_at_it() {
    let (context, record) = world(|_| None);
    assert_eq!(look(&context).await, []);
    let writes = record.writes();
    assert_eq!(writes.len(), 2);
    let (made, pointed) = (&writes[0], &writes[1]);
    assert!(made.method == "POST" && made.path.contains("/machineconfigs?"));
    let metadata = &made.body["metadata"];
    assert_eq!(
        metadata["ownerReferences"],
        json!([{"apiVersion": API_VERSION, "kind": "MachineConfigPool", "name": "edge", "uid": "u-1",
                "controller": true, "blockOwnerDeletion": true}])
    );
    assert!(metadata["annotations"][annotations::PROVENANCE].is_string());
    assert!(metadata["annotations"][annotations::GENERATED_BY_CONTROLLER_VERSION].is_string());
    assert!(pointed.path.contains("/machineconfigpools/edge?") && pointed.path.contains(MANAGER));
    assert_eq!(pointed.content_type, "application/apply-patch+yaml");
    assert_eq!(
        pointed.body,
        json!({
            "apiVersion": API_VERSION, "kind": "MachineConfigPool", "metadata": {"name": "edge", "resourceVersion": "70"},
            "spec": {"configuration": {"name": metadata["name"], "source": [
                {"apiVersion": API_VERSION, "kind": "MachineConfig", "name": "50-a"},
            ]}},
        })
    );
    settle(&context, &writes);
    assert_eq!(look(&context).await, []);
    assert_eq!(record.writes(), [], "what is as it should be is written again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_leaves_the_pool_as_it_is() {
    let (context, record) = world(|_| None);
    put(&context, &config("60-b", json!({"kernelType": "slow"})));
    assert_eq!(look(&context).await, [Code::KERNEL_TYPE]);
    assert_eq!(record.writes(), []);
    // Too large for the API server, or against a policy of the cluster.
    let (context, record) = world(|asked| {
        (asked.method == "POST").then(|| refusal(422, "Invalid", "the object is refused by a policy"))
    });
    assert_eq!(look(&context).await, [Code::RENDERED_REFUSED]);
    assert_eq!(record.writes().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_running_nodes_cannot_follow_is_refused() {
    let (context, record) = world(|_| None);
    look(&context).await;
    settle(&context, &record.writes());
    let directory = json!({"config": {"ignition": {"version": "3.5.0"}, "storage": {"directories": [{"path": "/etc/d"}]}}});
    put(&context, &config("60-b", directory));
    assert_eq!(look(&context).await, [Code::CHANGED_DIRECTORIES]);
    assert_eq!(record.writes(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_config_in_use_is_replaced_as_a_whole() {
    let (context, record) = world(|_| None);
    look(&context).await;
    let writes = record.writes();
    let name = settle(&context, &writes);
    let mut tampered = writes[0].body.clone();
    tampered["metadata"]["uid"] = json!("u-2");
    tampered["metadata"]["resourceVersion"] = json!("80");
    tampered["spec"]["kernelArguments"] = json!(["evil"]);
    let original = put(&context, &tampered).unwrap();
    context.lose(original);
    look(&context).await;
    let writes = record.writes();
    assert_eq!(
        writes.len(),
        2,
        "restored as it was, and then found as it should not be yet: {writes:?}"
    );
    for write in &writes {
        assert!(write.method == "PUT" && write.path.contains(&name));
        assert_eq!(write.body["metadata"]["resourceVersion"], "80");
        assert_eq!(write.body["spec"]["kernelArguments"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_config_comes_back_only_when_somebody_refers_to_it() {
    let (context, record) = world(|_| None);
    look(&context).await;
    let first = record.writes();
    let name = settle(&context, &first);
    // The pool goes on to another config, and a node still has the first one.
    put(&context, &config("50-a", file("y")));
    look(&context).await;
    let second = record.writes();
    settle(&context, &second);
    let node = json!({"metadata": {"name": "n", "annotations": {annotations::CURRENT_CONFIG: name}}});
    let node: k8s_openapi::api::core::v1::Node = serde_json::from_value(node).unwrap();
    context.caches.nodes.put("n", Some(Arc::new(node)));
    let original = context.caches.configs.put(&name, None).unwrap();
    context.lose(Arc::clone(&original));
    look(&context).await;
    let writes = record.writes();
    assert_eq!(writes.len(), 1);
    assert!(writes[0].method == "POST" && writes[0].body["metadata"]["name"] == name.as_str());
    assert_eq!(writes[0].body["spec"], first[0].body["spec"]);
    context.caches.nodes.put("n", None);
    context.lose(original);
    look(&context).await;
    assert_eq!(record.writes(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_configs_go_and_the_delete_names_what_was_looked_at() {
    let (context, record) = world(|_| None);
    let mut names = Vec::new();
    for round in 0..4 {
        put(&context, &config("50-a", file(&round.to_string())));
        look(&context).await;
        let mut writes = record.writes();
        writes.retain(|asked| asked.method != "DELETE");
        let mut object = writes[0].body.clone();
        let name = settle(&context, &writes);
        object["metadata"]["uid"] = json!(format!("u-{round}"));
        object["metadata"]["resourceVersion"] = json!(format!("8{round}"));
        object["metadata"]["creationTimestamp"] = json!(format!("2026-01-01T00:00:0{round}Z"));
        put(&context, &object);
        names.push(name);
    }
    look(&context).await;
    let deletes = record.writes();
    let paths: Vec<_> = deletes.iter().map(|asked| asked.path.clone()).collect();
    assert_eq!(deletes.len(), 2, "{paths:?}");
    for (index, delete) in deletes.iter().enumerate() {
        assert!(
            delete.method == "DELETE" && delete.path.contains(&names[index]),
            "{delete:?}"
        );
        assert_eq!(
            delete.body["preconditions"],
            json!({"uid": format!("u-{index}"), "resourceVersion": format!("8{index}")})
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_every_cluster_for_which_nobody_has_written_anything_is_no_fault() {
    let (context, record) = world(|_| None);
    let master = Arc::new(machineconfig::pool::built_in("master"));
    context.caches.pools.put("master", Some(master));
    reconcile(&context, "master".into()).await.unwrap();
    assert_eq!(context.verdict("master").unwrap(), []);
    assert_eq!(record.writes(), []);
}
