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

/// The kubelet writes to its node all the time. A node that has its slot and is not told would hold it for nothing.
#[tokio::test]
async fn a_node_that_only_the_kubelet_has_changed_is_told_all_the_same() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let refused = Arc::new(AtomicBool::new(false));
    let once = Arc::clone(&refused);
    let (context, record) = fake::context(move |asked| {
        let is_first = asked.path.contains("/nodes/a") && !once.swap(true, Ordering::SeqCst);
        is_first.then(|| refusal(409, "Conflict", "the object has been modified"))
    });
    fill(&context, pool(false), &["a"]);
    let rollout = Rollout::default();
    let heartbeat = async {
        while !refused.load(Ordering::SeqCst) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let mut node = Node::clone(&context.caches.nodes.get("a").unwrap());
        node.metadata.resource_version = Some("later".to_owned());
        context.caches.nodes.put("a", Some(Arc::new(node)));
    };
    let both = async { tokio::join!(rollout.reconcile(&context, "edge".into()), heartbeat) };
    let (next, ()) = tokio::time::timeout(std::time::Duration::from_secs(10), both)
        .await
        .expect("the node is written to");
    assert_ne!(next.unwrap(), Next::After(STALE));
    let to_node = record
        .writes()
        .into_iter()
        .filter(|asked| asked.path.contains("/nodes/a"));
    let versions: Vec<_> = to_node
        .map(|asked| asked.body["metadata"]["resourceVersion"].clone())
        .collect();
    assert_eq!(versions.len(), 2);
    assert_eq!(versions[1], "later");
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
