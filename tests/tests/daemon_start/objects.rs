//! What is on the API server and on the node before the first config.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use e2e::cluster::Cluster;
use e2e::program::built;
use serde_json::{Value, json};

use crate::controller::NODE;

/// A path and its contents.
pub(crate) type File<'a> = (&'a str, &'a str);

/// Where the account of the daemon is.
const NAMESPACE: &str = "machine-config";
const ACCOUNT: &str = "machine-config-daemon";
const GROUP: &str = "machineconfiguration.openshift.io";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
/// How long the daemon's token holds, in seconds: longer than the test.
const TOKEN: u32 = 7200;

const SERVICE: &str = "[Unit]
Description=The daemon of this node
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/local/bin/machine-config-daemon start --root-mount / --node-name worker-1 --kubeconfig /etc/daemon.kubeconfig
Restart=always
RestartSec=200ms
TimeoutStopSec=600
[Install]
WantedBy=multi-user.target
";

const SLOW: &str = "[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sleep 1.5
[Install]
WantedBy=multi-user.target
";

/// A rendered config with files of mode 0644.
pub(crate) fn config(name: &str, files: &[File<'_>]) -> Value {
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| {
            let source = format!("data:,{}", text.replace(' ', "%20"));
            json!({"path": path, "mode": 420, "overwrite": true, "contents": {"source": source}})
        })
        .collect();
    json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "MachineConfig", "metadata": {"name": name},
        "spec": {"config": {"ignition": {"version": "3.4.0"}, "storage": {"files": files}}},
    })
}

/// Makes everything that the daemon needs, and starts it.
pub(crate) fn install(cluster: &Cluster) -> Result<()> {
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/manifests");
    let manifests = manifests.to_string_lossy();
    let applied = cluster.kubectl(&["apply", "--server-side", "-k", &manifests])?;
    ensure!(applied.code == Some(0), "no definitions: {}", applied.all());
    let waited = cluster.kubectl(&[
        "wait",
        "--for=condition=Established",
        "crd",
        "--all",
        "--timeout=60s",
    ])?;
    ensure!(waited.code == Some(0), "no definitions: {}", waited.all());
    create_account(cluster)?;
    create_objects(cluster)?;
    start(cluster)
}

/// The account of the daemon, which may do what it needs and nothing more.
fn create_account(cluster: &Cluster) -> Result<()> {
    let api = cluster.api();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    api.create("/api/v1/namespaces", &namespace)?;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}});
    api.create(
        &format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts"),
        &account,
    )?;
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": ACCOUNT},
        "rules": [
            {"apiGroups": [GROUP], "resources": ["machineconfigs"], "verbs": ["get"]},
            {"apiGroups": [GROUP], "resources": ["controllerconfigs"], "verbs": ["get", "list", "watch"],
             "resourceNames": ["machine-config-controller"]},
            {"apiGroups": ["operator.openshift.io"], "resources": ["machineconfigurations"],
             "verbs": ["get", "list", "watch"], "resourceNames": ["cluster"]},
            {"apiGroups": [GROUP], "resources": ["machineconfignodes"], "verbs": ["get"]},
            {"apiGroups": [GROUP], "resources": ["machineconfignodes/status"], "verbs": ["patch"]},
        ],
    });
    api.create(&format!("{RBAC}/clusterroles"), &role)?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": ACCOUNT},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ACCOUNT},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
    });
    api.create(&format!("{RBAC}/clusterrolebindings"), &binding)?;
    Ok(())
}

fn create_objects(cluster: &Cluster) -> Result<()> {
    let api = cluster.api();
    let slow = json!({"type": "Restart", "restart": {"serviceName": "slow.service"}});
    let policy = json!({
        "apiVersion": "operator.openshift.io/v1", "kind": "MachineConfiguration", "metadata": {"name": "cluster"},
        "spec": {"managementState": "Managed", "nodeDisruptionPolicy": {"files": [
            {"path": "/etc/calm", "actions": [{"type": "None"}]},
            {"path": "/etc/slow", "actions": [slow]},
        ]}},
    });
    api.create("/apis/operator.openshift.io/v1/machineconfigurations", &policy)?;
    let node = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "MachineConfigNode", "metadata": {"name": NODE},
        "spec": {"node": {"name": NODE}, "pool": {"name": "worker"}, "configVersion": {"desired": "not-yet-set"}},
    });
    api.create(&format!("/apis/{GROUP}/v1/machineconfignodes"), &node)?;
    Ok(())
}

fn start(cluster: &Cluster) -> Result<()> {
    let token = cluster.api().create(
        &format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token"),
        &json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": TOKEN}}),
    )?;
    let token = token["status"]["token"]
        .as_str()
        .context("the API server gave no token")?;
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "c", "cluster": {
            "server": cluster.server(), "certificate-authority": "/etc/kubernetes/ca.crt"}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    });
    let machine = cluster.node(NODE)?.machine();
    machine.install_program(&built("machine-config-daemon")?)?;
    for (path, text) in [
        ("etc/daemon.kubeconfig", kubeconfig.to_string().as_str()),
        ("etc/systemd/system/machine-config-daemon.service", SERVICE),
        ("etc/systemd/system/slow.service", SLOW),
    ] {
        fs::write(machine.root().join(path), text)?;
    }
    machine.succeed(&["systemctl", "daemon-reload"])?;
    machine.succeed(&[
        "systemctl",
        "enable",
        "--now",
        "slow.service",
        "machine-config-daemon.service",
    ])?;
    Ok(())
}
