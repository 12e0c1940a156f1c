//! What `deploy/` holds, on a real API server: it is taken as a whole, each account may do what it uses and nothing more, and what must
//! not be written is refused with words that help.

use anyhow::{Result, bail, ensure};
use e2e::cluster::{Account, Cluster, Options, wait_on};
use e2e::repository;
use serde_json::{Value, json};

use crate::words::DEADLINE;

/// Everything that is installed.
const BASE: &str = "deploy/base";
/// Who the daemon is.
const DAEMON: &str = "system:serviceaccount:machine-config:machine-config-daemon";
/// Who the controller is.
const CONTROLLER: &str = "system:serviceaccount:machine-config:machine-config-controller";
const POOLS: &str = "/apis/machineconfiguration.openshift.io/v1/machineconfigpools";

/// What each may: who, what to do, what with.
const MAY: [(&str, &str, &str); 6] = [
    (
        DAEMON,
        "get",
        "machineconfigs.machineconfiguration.openshift.io/rendered-worker-1",
    ),
    (
        DAEMON,
        "patch",
        "machineconfignodes.machineconfiguration.openshift.io/a --subresource=status",
    ),
    (CONTROLLER, "create", "pods --subresource=eviction"),
    (CONTROLLER, "patch", "nodes/a"),
    (
        CONTROLLER,
        "delete",
        "machineconfigs.machineconfiguration.openshift.io/rendered-worker-1",
    ),
    (
        CONTROLLER,
        "update",
        "leases.coordination.k8s.io/machine-config-controller -n machine-config",
    ),
];
/// What neither may.
const MAY_NOT: [(&str, &str, &str); 18] = [
    (DAEMON, "get", "secrets -A"),
    (DAEMON, "list", "machineconfigs.machineconfiguration.openshift.io"),
    (DAEMON, "create", "pods --subresource=eviction -A"),
    (DAEMON, "list", "pods -A"),
    (DAEMON, "get", "nodes"),
    (
        DAEMON,
        "create",
        "machineconfignodes.machineconfiguration.openshift.io",
    ),
    (
        DAEMON,
        "patch",
        "machineconfignodes.machineconfiguration.openshift.io/a",
    ),
    (DAEMON, "patch", "nodes/another"),
    (
        DAEMON,
        "patch",
        "machineconfigpools.machineconfiguration.openshift.io/worker",
    ),
    (
        DAEMON,
        "get",
        "controllerconfigs.machineconfiguration.openshift.io/another",
    ),
    (
        CONTROLLER,
        "patch",
        "machineconfigs.machineconfiguration.openshift.io/50-worker",
    ),
    (CONTROLLER, "get", "secrets -A"),
    (CONTROLLER, "get", "configmaps -A"),
    (CONTROLLER, "delete", "pods -A"),
    (CONTROLLER, "create", "pods -n machine-config"),
    (
        CONTROLLER,
        "delete",
        "machineconfigpools.machineconfiguration.openshift.io/worker",
    ),
    (
        CONTROLLER,
        "update",
        "leases.coordination.k8s.io/another -n machine-config",
    ),
    (CONTROLLER, "escalate", "clusterroles.rbac.authorization.k8s.io"),
];

#[test]
#[ignore = "needs root, parts of clusters and static programs"]
fn what_is_deployed_is_taken_and_holds_no_right_too_many() -> Result<()> {
    let cluster = Cluster::up(&Options::workers(0))?;
    for overlay in [BASE, "deploy/overlays/openshift"] {
        let made = cluster.kubectl(&["kustomize", &path(overlay)])?;
        ensure!(made.code == Some(0), "{overlay}: {}", made.all());
    }
    // The second time the definitions are known, whose objects the rest is about.
    for _ in 0..2 {
        cluster.kubectl(&["apply", "--server-side", "-k", &path(BASE)])?;
    }
    let applied = cluster.kubectl(&["apply", "--server-side", "-k", &path(BASE)])?;
    cluster.judged("applied", taken(applied.code == Some(0), &applied.all()))?;
    cluster.judged("rights", rights(&cluster))?;
    cluster.judged("admission", refusals(&cluster))
}

fn path(below: &str) -> String {
    repository().join(below).display().to_string()
}

fn taken(all: bool, said: &str) -> Result<()> {
    ensure!(all, "the API server does not take what is deployed:\n{said}");
    Ok(())
}

fn rights(cluster: &Cluster) -> Result<()> {
    for (who, verb, what) in MAY {
        ensure!(can(cluster, who, verb, what)?, "{who} may not {verb} {what}");
    }
    for (who, verb, what) in MAY_NOT {
        ensure!(!can(cluster, who, verb, what)?, "{who} may {verb} {what}");
    }
    Ok(())
}

fn can(cluster: &Cluster, who: &str, verb: &str, what: &str) -> Result<bool> {
    let mut arguments = vec!["auth", "can-i", "--as", who, verb];
    arguments.extend(what.split(' '));
    let answer = cluster.kubectl(&arguments)?;
    match answer.stdout.trim() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => bail!("kubectl auth can-i {verb} {what}: {}", answer.all()),
    }
}

fn refusals(cluster: &Cluster) -> Result<()> {
    let pool = |name: &str, roles: &Value| {
        json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool", "metadata": {"name": name},
            "spec": {"machineConfigSelector": {"matchExpressions": [
                {"key": "machineconfiguration.openshift.io/role", "operator": "In", "values": roles},
            ]}},
        })
    };
    refused(
        cluster,
        POOLS,
        &pool("edge", &json!(["edge"])),
        "configs of the workers",
    )?;
    cluster
        .api()
        .create(POOLS, &pool("edge", &json!(["worker", "edge"])))?;
    let configuration = json!({
        "apiVersion": "operator.openshift.io/v1", "kind": "MachineConfiguration", "metadata": {"name": "another"},
        "spec": {"managementState": "Managed"},
    });
    let configurations = "/apis/operator.openshift.io/v1/machineconfigurations";
    refused(cluster, configurations, &configuration, "is named cluster")?;
    only_its_own_report(cluster)
}

/// A daemon writes to the MachineConfigNode of the node that its token is bound to, and to no other.
fn only_its_own_report(cluster: &Cluster) -> Result<()> {
    // A token that is bound to no node writes to no MachineConfigNode, whatever its name.
    let node = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigNode", "metadata": {"name": "a"},
        "spec": {"node": {"name": "a"}, "pool": {"name": "worker"}, "configVersion": {"desired": "rendered-worker-1"}},
    });
    cluster.api().create(
        "/apis/machineconfiguration.openshift.io/v1/machineconfignodes",
        &node,
    )?;
    // As the daemon writes: another patch of kubectl would read the status first, which no daemon does.
    let status = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigNode", "metadata": {"name": "a"},
        "status": {"configVersion": {"desired": "rendered-worker-1"}},
    });
    let file = cluster.dir().join("status.json");
    std::fs::write(&file, status.to_string())?;
    let file = file.display().to_string();
    let apply = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--subresource=status",
        "--filename",
        &file,
    ];
    let mut arguments = vec!["--as", DAEMON];
    arguments.extend(apply);
    let written = cluster.kubectl(&arguments)?;
    ensure!(
        written.code != Some(0) && written.stderr.contains("does not say which node it is on"),
        "a daemon on no node wrote to a MachineConfigNode: {}",
        written.all()
    );
    // One that is bound to another node does neither, and one on that node does.
    for name in ["a", "b"] {
        let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
        cluster.api().create("/api/v1/nodes", &object)?;
        let kubeconfig = cluster.dir().join("daemon.kubeconfig");
        std::fs::write(
            &kubeconfig,
            cluster.kubeconfig_of(Account::Daemon, Some(name))?.to_string(),
        )?;
        let kubeconfig = kubeconfig.display().to_string();
        let mut arguments = vec!["--kubeconfig", &kubeconfig];
        arguments.extend(apply);
        let written = cluster.kubectl(&arguments)?;
        let is_refused = written.stderr.contains("may write only the MachineConfigNode");
        ensure!(
            (written.code == Some(0)) == (name == "a") && is_refused == (name == "b"),
            "the daemon of node {name} and the MachineConfigNode of node a: {}",
            written.all()
        );
    }
    Ok(())
}

/// Policies take a moment to be in force.
fn refused(cluster: &Cluster, path: &str, object: &Value, words: &str) -> Result<()> {
    wait_on(
        format!("a refusal that says {words:?}"),
        DEADLINE,
        || match cluster.api().create(path, object) {
            Err(error) if format!("{error:#}").contains(words) => Ok(Some(())),
            Err(error) => Err(error),
            Ok(made) => {
                let name = made["metadata"]["name"].as_str().unwrap_or_default();
                cluster.api().delete(&format!("{path}/{name}"))?;
                Ok(None)
            }
        },
    )
}
