use crds::annotations;
use serde_json::json;

use super::*;
use crate::fake::{self, Asked, refusal};

fn node(request: &str, mark: Option<&str>, cordoned: bool) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": "n", "resourceVersion": "5", "annotations": {
            annotations::DESIRED_DRAIN: request, annotations::DRAIN: mark.unwrap_or_default(),
        }},
        "spec": if cordoned { json!({"unschedulable": true}) } else { json!({}) },
    }))
    .unwrap()
}

fn mark() -> String {
    let since = Timestamp::now();
    format!(r#"{{"request":"drain-c","since":"{since}","cordoned":true}}"#)
}

fn pod(name: &str, more: &Value) -> Value {
    let mut metadata = json!({"name": name, "namespace": "shop", "labels": {"app": name}});
    for (key, value) in more.as_object().unwrap() {
        metadata[key] = value.clone();
    }
    json!({"metadata": metadata})
}

/// An API server with these pods on the node; evictions are answered by `evict`.
fn server(
    pods: Vec<Value>,
    evict: impl Fn(&str) -> Option<(u16, Value)> + Send + Sync + 'static,
) -> (Arc<Context>, fake::Record) {
    fake::context(move |asked: &Asked| {
        if asked.path.starts_with("/api/v1/pods?") {
            assert!(asked.path.contains("spec.nodeName%3Dn"), "{}", asked.path);
            return Some((
                200,
                json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods}),
            ));
        }
        if asked.path.contains("/poddisruptionbudgets") {
            let budget = json!({"metadata": {"name": "keeps", "namespace": "shop"},
                "spec": {"selector": {"matchLabels": {"app": "kept"}}}});
            let list = json!({"kind": "PodDisruptionBudgetList", "apiVersion": "policy/v1", "metadata": {}, "items": [budget]});
            return Some((200, list));
        }
        let eviction = asked.path.split("/pods/").nth(1)?.strip_suffix("/eviction?")?;
        evict(eviction).or_else(|| {
            Some((
                201,
                json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}),
            ))
        })
    })
}

async fn look(context: &Context, node: Node) -> Next {
    context.caches.nodes.put("n", Some(Arc::new(node)));
    reconcile(context, "n".into()).await.unwrap()
}

fn evicted(writes: &[Asked]) -> Vec<&str> {
    let evictions = writes
        .iter()
        .filter_map(|asked| asked.path.strip_suffix("/eviction?"));
    let mut names: Vec<_> = evictions.map(|path| path.rsplit('/').next().unwrap()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_request_cordons_first_and_evicts_then_but_for_pods_that_stay_or_go_already() {
    let daemon = json!({"ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": true}]});
    let pods = vec![
        pod("web", &json!({})),
        pod("daemon", &daemon),
        pod(
            "mirror",
            &json!({"annotations": {"kubernetes.io/config.mirror": "x"}}),
        ),
        pod("going", &json!({"deletionTimestamp": "2026-01-01T00:00:00Z"})),
    ];
    let (context, record) = server(pods, |_| None);
    let next = look(&context, node("drain-c", None, false)).await;
    assert_eq!(next, Next::After(SOON));
    let writes = record.writes();
    assert_eq!(writes[0].body["spec"], json!({"unschedulable": true}));
    assert_eq!(writes[0].body["metadata"]["resourceVersion"], "5");
    assert_eq!(evicted(&writes), ["web"]);
    assert_eq!(writes.len(), 2, "{writes:?}");
}

#[tokio::test]
async fn a_node_whose_pods_are_gone_is_answered_and_only_for_the_version_that_was_looked_at() {
    let (context, record) = server(Vec::new(), |_| None);
    assert_eq!(
        look(&context, node("drain-c", Some(&mark()), true)).await,
        Next::Done
    );
    let writes = record.writes();
    assert_eq!(
        writes.iter().map(|asked| asked.body.clone()).collect::<Vec<_>>(),
        [
            json!({"metadata": {"resourceVersion": "5", "annotations": {annotations::LAST_APPLIED_DRAIN: "drain-c"}}})
        ]
    );
}

#[tokio::test]
async fn a_budget_that_blocks_is_named_in_the_report_and_asked_again() {
    let pods = vec![pod("kept", &json!({})), pod("free", &json!({}))];
    let (context, record) = server(pods, |pod| {
        (pod == "kept").then(|| {
            let (code, mut status) = refusal(429, "TooManyRequests", "Cannot evict pod");
            status["details"] =
                json!({"causes": [{"reason": "DisruptionBudget", "message": "keeps needs 1 healthy pods"}]});
            (code, status)
        })
    });
    let known: MachineConfigNode = serde_json::from_value(json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigNode", "metadata": {"name": "n", "uid": "u"},
        "spec": {"node": {"name": "n"}, "pool": {"name": "p"}, "configVersion": {"desired": "c"}},
    }))
    .unwrap();
    context.caches.reports.put("n", Some(Arc::new(known)));
    let next = look(&context, node("drain-c", Some(&mark()), true)).await;
    assert_eq!(next, Next::After(Duration::from_secs(5)));
    let writes = record.writes();
    assert_eq!(evicted(&writes), ["free", "kept"]);
    let report = writes.last().unwrap();
    assert!(
        report.path.contains("machineconfignodes/n/status") && report.path.contains(MANAGER),
        "{report:?}"
    );
    assert_eq!(report.content_type, "application/apply-patch+yaml");
    let message = report.body["status"]["conditions"][1]["message"]
        .as_str()
        .unwrap();
    for part in [
        "pod shop/kept",
        "PodDisruptionBudget keeps",
        "needs 1 healthy pods",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!message.contains("nobody"), "{message}");
}

#[tokio::test]
async fn a_node_is_given_back_and_told_so_in_one_write() {
    let (context, record) = server(Vec::new(), |_| None);
    assert_eq!(
        look(&context, node("uncordon-c", Some(&mark()), true)).await,
        Next::Done
    );
    let writes = record.writes();
    assert_eq!(writes.len(), 1);
    assert_eq!(writes[0].body["spec"], json!({"unschedulable": null}));
    let annotations = &writes[0].body["metadata"]["annotations"];
    assert_eq!(annotations[annotations::LAST_APPLIED_DRAIN], "uncordon-c");
    assert_eq!(annotations[annotations::DRAIN], Value::Null);
}

#[tokio::test]
async fn a_write_that_comes_too_late_is_tried_again_on_the_newer_node() {
    let (context, record) = fake::context(|asked| {
        asked
            .path
            .contains("/nodes/n")
            .then(|| refusal(409, "Conflict", "the object has been modified"))
    });
    assert_eq!(
        look(&context, node("drain-c", None, false)).await,
        Next::After(STALE)
    );
    assert_eq!(evicted(&record.writes()), [""; 0]);
}

#[tokio::test]
async fn a_request_that_nobody_knows_is_refused_and_not_asked_again() {
    let (context, record) = fake::context(|_| None);
    assert_eq!(look(&context, node("explode-c", None, false)).await, Next::Done);
    assert_eq!(record.writes(), []);
}
