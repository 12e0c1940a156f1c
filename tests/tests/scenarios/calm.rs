//! What reaches nodes without disrupting them, and pools that are paused.

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::cluster::product::GROUP;
use serde_json::json;

use crate::scene::{Scene, condition, file, ignition, message};
use crate::world::World;

/// Where SSH keys may be on a node, by its operating system.
const KEYS: [&str; 2] = [
    "/home/core/.ssh/authorized_keys",
    "/home/core/.ssh/authorized_keys.d/ignition",
];

/// A key that nobody has.
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA nobody";

/// Where the kubelet has the credentials for registries.
const PULL_SECRET: &str = "/var/lib/kubelet/config.json";

/// Where a node has the authority that the API server is trusted by.
const KUBELET_CA: &str = "/etc/kubernetes/kubelet-ca.crt";

/// Scenario 3: SSH keys and the pull secret.
pub(crate) fn keys_and_pull_secret_do_not_disrupt(world: &World) -> Result<()> {
    Scene::begin(world, "keys", 1)?.play(|scene| {
        let node = &scene.nodes()[0];
        let before = scene.traces(node)?;
        let user = json!({"passwd": {"users": [{"name": "core", "sshAuthorizedKeys": [KEY]}]}});
        scene.updated_by(|| {
            scene.apply_config("keys", &ignition(&user))?;
            scene.apply_config("pull-secret", &file(PULL_SECRET, "%7B%22auths%22:%7B%7D%7D"))
        })?;
        let secret = scene.read(node, PULL_SECRET)?;
        ensure!(
            secret.as_deref() == Some(r#"{"auths":{}}"#),
            "the pull secret is {secret:?}"
        );
        let keys: Vec<String> = KEYS
            .iter()
            .filter_map(|path| scene.read(node, path).ok().flatten())
            .collect();
        ensure!(
            keys.iter().any(|keys| keys.contains(KEY)),
            "the keys are {keys:?}"
        );
        let after = scene.traces(node)?;
        ensure!(
            after == before,
            "the node was disrupted: {before:?}, then {after:?}"
        );
        Ok(())
    })
}

/// Scenario 4: a paused pool is rendered and stays, and certificates reach its nodes all the same.
pub(crate) fn a_paused_pool_stays_and_gets_certificates(world: &World) -> Result<()> {
    Scene::begin_with(world, "paused", 1, &json!({}))?.play(|scene| {
        let node = &scene.nodes()[0];
        let before = scene.target()?;
        let traces = scene.traces(node)?;
        let nodes = scene.watch_nodes()?;
        scene.change_pool(&json!({"paused": true}))?;
        scene.apply_config("none", &file("/etc/policy/none", "paused"))?;
        let target = scene.wait_rendered(&before)?;
        scene.wait("the pool to say that it is paused, and for what", || {
            let pool = scene.pool()?;
            let said = message(&pool, "Updating").to_owned();
            let is_said = said.contains("paused") && said.contains(&target);
            Ok((is_said && condition(&pool, "Updating") == "False").then_some(()))
        })?;
        let ca = "-----BEGIN CERTIFICATE-----\nof the scenario\n-----END CERTIFICATE-----\n";
        let change = json!({"spec": {"kubeAPIServerServingCAData": STANDARD.encode(ca)}});
        let path = format!("{GROUP}/controllerconfigs/machine-config-controller");
        scene.world().api().merge(&path, &change)?;
        scene.wait("the certificate to reach the node", || {
            Ok((scene.read(node, KUBELET_CA)?.as_deref() == Some(ca)).then_some(()))
        })?;
        let after = scene.traces(node)?;
        ensure!(
            after == traces,
            "the node was disrupted: {traces:?}, then {after:?}"
        );
        ensure!(
            scene.target()? == target,
            "certificates are no reason to render anything else"
        );
        for seen in nodes.end()? {
            let desired = e2e::cluster::product::annotation(&seen, "desiredConfig").to_owned();
            ensure!(desired == before, "a node of a paused pool was told {desired}");
            ensure!(
                seen["spec"]["taints"].is_null(),
                "a node of a paused pool is tainted: {}",
                seen["spec"]
            );
        }
        ensure!(
            scene.read(node, "/etc/policy/none")?.is_none(),
            "a paused pool has moved"
        );
        scene.change_pool(&json!({"paused": false}))?;
        let updated = scene.wait_updated()?;
        ensure!(updated == target, "it was rendered anew: {updated}");
        ensure!(
            scene.read(node, "/etc/policy/none")?.is_some(),
            "the file is not there"
        );
        Ok(())
    })
}
