use crds::annotations;
use serde_json::{Value, json};

use super::*;
use crate::fake::{self, Asked, refusal};

fn pool(paused: bool) -> MachineConfigPool {
    serde_json::from_value(json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool",
        "metadata": {"name": "edge", "resourceVersion": "70"},
        "spec": {"nodeSelector": {"matchLabels": {"edge": ""}}, "paused": paused, "configuration": {"name": "new"}},
    }))
    .unwrap()
}

fn node(name: &str) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": name, "resourceVersion": "5", "labels": {"edge": ""}, "annotations": {
            annotations::CURRENT_CONFIG: "old", annotations::DESIRED_CONFIG: "old", annotations::STATE: "Done",
        }},
    }))
    .unwrap()
}

fn fill(context: &Context, pool: MachineConfigPool, nodes: &[&str]) {
    context.caches.roster().pool("edge", Some(&pool));
    context.caches.pools.put("edge", Some(Arc::new(pool)));
    for name in nodes {
        let node = node(name);
        context.caches.roster().place([&node]);
        context.caches.nodes.put(name, Some(Arc::new(node)));
    }
}

fn short(asked: &Asked) -> String {
    let path = asked
        .path
        .split('?')
        .next()
        .unwrap()
        .rsplit('/')
        .next()
        .unwrap()
        .to_owned();
    format!("{} {path}", asked.method)
}

#[tokio::test]
async fn the_slot_is_written_before_the_node_and_both_name_the_version_they_were_decided_on() {
    let (context, record) = fake::context(|_| None);
    fill(&context, pool(false), &["a", "b"]);
    let next = Rollout::default()
        .reconcile(&context, "edge".into())
        .await
        .unwrap();
    assert_ne!(next, Next::Done);
    mark(&context, "edge".into()).await.unwrap();
    let writes = record.writes();
    assert_eq!(
        writes.iter().map(short).collect::<Vec<_>>(),
        ["PATCH edge", "PATCH a", "PATCH b"]
    );
    assert!(
        writes
            .iter()
            .all(|asked| asked.content_type == "application/merge-patch+json")
    );
    assert!(
        writes
            .iter()
            .all(|asked| asked.path.contains(&format!("fieldManager={MANAGER}")))
    );
    let slot = &writes[0].body["metadata"];
    assert_eq!(slot["resourceVersion"], "70");
    assert!(
        slot["annotations"][annotations::RESERVATIONS]
            .as_str()
            .unwrap()
            .contains(r#""nodes":["a"]"#)
    );
    let told = &writes[1].body;
    assert_eq!(told["metadata"]["resourceVersion"], "5");
    assert_eq!(
        told["metadata"]["annotations"][annotations::DESIRED_CONFIG],
        "new"
    );
    assert_eq!(
        told["spec"]["taints"][0]["key"],
        annotations::UPDATE_IN_PROGRESS_TAINT
    );
    let waits = &writes[2].body;
    assert_eq!(waits["metadata"]["annotations"], Value::Null);
    assert_eq!(
        waits["spec"]["taints"][0]["key"],
        annotations::UPDATE_IN_PROGRESS_TAINT
    );
}

#[tokio::test]
async fn nothing_is_told_when_somebody_else_reserved_first() {
    let (context, record) = fake::context(|asked| {
        asked
            .path
            .contains("machineconfigpools")
            .then(|| refusal(409, "Conflict", "the object has been modified"))
    });
    fill(&context, pool(false), &["a"]);
    let next = Rollout::default()
        .reconcile(&context, "edge".into())
        .await
        .unwrap();
    assert_eq!(next, Next::After(STALE));
    assert_eq!(
        record.writes().iter().map(short).collect::<Vec<_>>(),
        ["PATCH edge"]
    );
}

#[tokio::test]
async fn a_pool_that_was_written_over_is_not_decided_on_again_until_the_cache_shows_it() {
    let (context, record) = fake::context(|_| None);
    fill(&context, pool(false), &["a", "b"]);
    let rollout = Rollout::default();
    rollout.reconcile(&context, "edge".into()).await.unwrap();
    record.writes();
    assert_eq!(
        rollout.reconcile(&context, "edge".into()).await.unwrap(),
        Next::After(STALE)
    );
    assert_eq!(record.writes(), []);
    let mut newer = pool(false);
    newer.metadata.resource_version = Some("71".into());
    context.caches.pools.put("edge", Some(Arc::new(newer)));
    rollout.reconcile(&context, "edge".into()).await.unwrap();
    assert!(!record.writes().is_empty());
}

#[tokio::test]
async fn a_node_that_has_changed_is_skipped_and_tried_again_soon() {
    let (context, _) = fake::context(|asked| {
        asked
            .path
            .contains("/nodes/a")
            .then(|| refusal(409, "Conflict", "the object has been modified"))
    });
    fill(&context, pool(false), &["a", "b"]);
    let next = Rollout::default()
        .reconcile(&context, "edge".into())
        .await
        .unwrap();
    assert_eq!(next, Next::After(STALE));
}

#[tokio::test]
async fn a_paused_pool_writes_nothing() {
    let (context, record) = fake::context(|_| None);
    fill(&context, pool(true), &["a", "b"]);
    let next = Rollout::default()
        .reconcile(&context, "edge".into())
        .await
        .unwrap();
    assert_eq!((next, record.writes()), (Next::Done, vec![]));
}
