//! What is on the API server and on the node before the first config.

use std::fs;

use anyhow::Result;
use e2e::cluster::{Account, Cluster};
use e2e::program::built;
use serde_json::{Value, json};

use crate::controller::NODE;

/// A path and its contents.
pub(crate) type File<'a> = (&'a str, &'a str);

const GROUP: &str = "machineconfiguration.openshift.io";

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
    cluster.install_accounts()?;
    create_objects(cluster)?;
    start(cluster)
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
    let kubeconfig = cluster.kubeconfig_of(Account::Daemon, Some(NODE))?;
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
