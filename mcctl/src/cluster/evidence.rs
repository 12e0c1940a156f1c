//! What is looked at besides pools and nodes to tell why something is as it is: pods, budgets, leases, and whether configs exist.

use std::collections::BTreeSet;

use crds::MachineConfig;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use machineconfig::drain::pods::{Hindrance, held_by};
use machineconfig::drain::{Request, request};
use machineconfig::pool::NodeView;
use machineconfig::standing::Cluster;
use machineconfig::why::{Daemon, Evidence, Leadership, OnNode};
use machineconfig::{Code, Finding};

use super::Access;

/// The Lease by which controllers agree on who leads, ours and the reference's.
const LEASE: &str = "machine-config-controller";
/// The daemon's pods by label, ours and the reference's.
const DAEMON: [(&str, &str); 2] = [
    ("app.kubernetes.io/name", "machine-config-daemon"),
    ("k8s-app", "machine-config-daemon"),
];
/// Nodes of a pool whose pods are looked at: each costs a request, and what is wrong with a few is mostly wrong with all.
const CLOSELY: usize = 5;
/// How much later than it says a lease is taken for lost: the clocks here and there may differ, and a replica takes over in its own time.
const GRACE: SignedDuration = SignedDuration::from_mins(2);

/// Who leads, and where.
#[derive(Debug, Default)]
pub(crate) struct Leader {
    /// Whether somebody does.
    pub(crate) leadership: Leadership,
    /// The node that the leader runs on, where that is known.
    pub(crate) node: Option<String>,
}

/// Finds out who leads. Who may not look at leases is not told.
pub(crate) async fn leadership(access: &Access) -> Result<Leader, Finding> {
    let by_name = ListParams::default().fields(&format!("metadata.name={LEASE}"));
    let Some(leases) = access.list_if_allowed::<Lease>(by_name).await? else {
        return Ok(Leader::default());
    };
    let renewed = |lease: &Lease| lease.spec.as_ref()?.renew_time.as_ref().map(|time| time.0);
    let newest = leases.into_iter().max_by_key(renewed);
    let Some(lease) = newest else {
        return Ok(Leader {
            leadership: Leadership::Nobody,
            node: None,
        });
    };
    let leadership = judge(&lease, Timestamp::now());
    let node = match leadership {
        Leadership::Held => seat(access, &lease).await?,
        Leadership::Unknown | Leadership::Nobody | Leadership::Silent { .. } => None,
    };
    Ok(Leader { leadership, node })
}

fn judge(lease: &Lease, now: Timestamp) -> Leadership {
    let Some(spec) = &lease.spec else {
        return Leadership::Nobody;
    };
    let held = spec
        .holder_identity
        .as_deref()
        .is_some_and(|holder| !holder.is_empty());
    let Some(renewed) = spec.renew_time.as_ref().filter(|_| held) else {
        return Leadership::Nobody;
    };
    let lasts = SignedDuration::from_secs(spec.lease_duration_seconds.unwrap_or_default().into());
    if now.duration_since(renewed.0) > lasts + GRACE {
        return Leadership::Silent { since: renewed.0 };
    }
    Leadership::Held
}

/// The node of the pod that holds a lease: holders call themselves by the pod's name, `_` and something random.
async fn seat(access: &Access, lease: &Lease) -> Result<Option<String>, Finding> {
    let holder = lease
        .spec
        .as_ref()
        .and_then(|spec| spec.holder_identity.as_deref());
    let Some(pod) = holder
        .and_then(|holder| holder.split_once('_'))
        .map(|(pod, _)| pod)
    else {
        return Ok(None);
    };
    let namespace = lease.metadata.namespace.as_deref().unwrap_or_default();
    match access.get_in::<Pod>(namespace, pod).await {
        Ok(pod) => Ok(pod.and_then(|pod| pod.spec?.node_name)),
        Err(finding) if finding.code == Code::CLUSTER_FORBIDDEN => Ok(None),
        Err(finding) => Err(finding),
    }
}

/// Looks at what may be the cause for these nodes; closely at the first few of those that are not simply done.
pub(crate) async fn evidence(
    access: &Access,
    cluster: &Cluster,
    nodes: &[&Node],
) -> Result<Evidence, Finding> {
    let mut evidence = Evidence {
        missing: missing(access, cluster, nodes).await?,
        leadership: leadership(access).await?.leadership,
        ..Evidence::default()
    };
    let views = nodes.iter().map(|node| (*node, NodeView::of(node)));
    let looked_at = views
        .filter(|(_, view)| !view.is_ready() || !view.is_done())
        .take(CLOSELY);
    for (node, view) in looked_at {
        evidence
            .on
            .insert(view.name.to_owned(), on(access, node, view.name).await?);
    }
    Ok(evidence)
}

async fn on(access: &Access, node: &Node, name: &str) -> Result<OnNode, Finding> {
    let mut seen = OnNode {
        unready: unready(node),
        ..OnNode::default()
    };
    let here = ListParams::default().fields(&format!("spec.nodeName={name}"));
    if let Some(pods) = access.list_if_allowed::<Pod>(here).await? {
        seen.daemon = daemon(&pods);
        if matches!(request(node), Ok(Some(Request::Drain(_)))) {
            seen.hindrances = hindrances(access, &pods).await?;
        }
    }
    Ok(seen)
}

/// The rendered configs that nodes have been told, or their pools want, and that do not exist.
async fn missing(access: &Access, cluster: &Cluster, nodes: &[&Node]) -> Result<BTreeSet<String>, Finding> {
    let told = nodes.iter().map(|node| NodeView::of(node).desired);
    let wanted = cluster
        .pools
        .iter()
        .map(|pool| pool.spec.configuration.name.as_str());
    let names: BTreeSet<&str> = told.chain(wanted).filter(|name| !name.is_empty()).collect();
    let mut missing = BTreeSet::new();
    for name in names {
        match access.get_metadata::<MachineConfig>(name).await {
            Ok(Some(_)) => {}
            Ok(None) => {
                missing.insert(name.to_owned());
            }
            Err(finding) if finding.code == Code::CLUSTER_FORBIDDEN => {}
            Err(finding) => return Err(finding),
        }
    }
    Ok(missing)
}

/// What the kubelet's condition says of a node that is not Ready.
fn unready(node: &Node) -> String {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref());
    let ready = conditions
        .unwrap_or_default()
        .iter()
        .find(|found| found.type_ == "Ready");
    let not = ready.filter(|ready| ready.status != "True");
    not.and_then(|ready| ready.message.clone()).unwrap_or_default()
}

async fn hindrances(access: &Access, pods: &[Pod]) -> Result<Vec<Hindrance>, Finding> {
    let budgets = access
        .list_if_allowed::<PodDisruptionBudget>(ListParams::default())
        .await?;
    let budgets = budgets.unwrap_or_default();
    let held = pods
        .iter()
        .filter_map(|pod| Some(Hindrance::of(pod, held_by(pod, &budgets)?)));
    Ok(held.collect())
}

fn daemon(pods: &[Pod]) -> Daemon {
    let is_daemon = |pod: &&Pod| {
        let labels = pod.metadata.labels.as_ref();
        DAEMON
            .iter()
            .any(|(key, value)| labels.is_some_and(|all| all.get(*key).is_some_and(|found| found == value)))
    };
    let Some(found) = pods.iter().find(is_daemon) else {
        return Daemon::Absent;
    };
    let namespace = found.metadata.namespace.clone().unwrap_or_default();
    let pod = found.metadata.name.clone().unwrap_or_default();
    match trouble(found) {
        Some(reason) => Daemon::Broken {
            namespace,
            pod,
            reason,
        },
        None => Daemon::Runs { namespace, pod },
    }
}

/// Why a pod does not run, by the kubelet's word; none when it does.
fn trouble(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.container_statuses.as_deref());
    for container in containers.unwrap_or_default() {
        let state = container.state.as_ref();
        let waits = state.and_then(|state| state.waiting.as_ref()?.reason.clone());
        let ended = state.and_then(|state| state.terminated.as_ref()?.reason.clone());
        if let Some(reason) = waits.or(ended) {
            return Some(reason);
        }
    }
    let phase = status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or("Unknown");
    (phase != "Running").then(|| phase.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "the callers make it in place")]
    fn pod(labels: Value, status: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "d", "namespace": "n", "labels": labels}, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_daemon_runs_or_says_why_not() {
        let ours = json!({"app.kubernetes.io/name": "machine-config-daemon"});
        let theirs = json!({"k8s-app": "machine-config-daemon"});
        let runs = json!({"phase": "Running", "containerStatuses": [
            {"name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}},
        ]});
        let waits = json!({"phase": "Running", "containerStatuses": [
            {"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 3,
             "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
        ]});
        let at = |pod: &str| (pod.to_owned(), "n".to_owned());
        let broken = |reason: &str| {
            let (pod, namespace) = at("d");
            Daemon::Broken {
                namespace,
                pod,
                reason: reason.to_owned(),
            }
        };
        let (name, namespace) = at("d");
        let table = [
            (
                pod(ours.clone(), runs.clone()),
                Daemon::Runs { namespace, pod: name },
            ),
            (pod(theirs, waits), broken("CrashLoopBackOff")),
            (pod(ours, json!({"phase": "Pending"})), broken("Pending")),
            (pod(json!({}), runs), Daemon::Absent),
        ];
        for (pod, expected) in table {
            assert_eq!(daemon(&[pod]), expected);
        }
    }

    #[test]
    fn a_lease_is_lost_when_it_is_not_renewed_for_long() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let lease = |holder: &str, renewed: &str| -> Lease {
            serde_json::from_value(json!({"spec": {
                "holderIdentity": holder, "leaseDurationSeconds": 60, "renewTime": format!("2026-01-01T{renewed}.000000Z"),
            }}))
            .unwrap()
        };
        assert_eq!(judge(&lease("p_1", "11:59:00"), now), Leadership::Held);
        assert_eq!(judge(&lease("p_1", "11:57:30"), now), Leadership::Held);
        let since = "2026-01-01T11:50:00Z".parse().unwrap();
        assert_eq!(
            judge(&lease("p_1", "11:50:00"), now),
            Leadership::Silent { since }
        );
        assert_eq!(judge(&lease("", "11:59:00"), now), Leadership::Nobody);
        assert_eq!(judge(&Lease::default(), now), Leadership::Nobody);
    }
}
