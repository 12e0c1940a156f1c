//! Our own system in a cluster: the image of our programs, `deploy/base` with that image, and a first MachineConfig.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Cluster, ImageFile, image_from_binaries, wait_on};
use crate::repository;

/// What the image is called: its tag is the version of the programs, and no registry is ever asked for it.
pub const IMAGE: &str = concat!("localhost/machine-config:", env!("CARGO_PKG_VERSION"));

/// The namespace that `deploy/base` makes.
pub const NAMESPACE: &str = "machine-config";

/// Where objects of our first group are.
pub const GROUP: &str = "/apis/machineconfiguration.openshift.io/v1";

/// What annotations of the handshake begin with.
pub const PREFIX: &str = "machineconfiguration.openshift.io/";

/// The programs of the image, which lie at its root as `deploy/base` and `deploy/Containerfile` have them. The first one is what runs when a
/// pod does not say.
const PROGRAMS: [&str; 3] = [
    "machine-config-controller",
    "machine-config-daemon",
    "machine-config-server",
];

/// The file of the workers' first MachineConfig. New nodes have it already, as if an installer had written it, so none has to be changed.
const MOTD: (&str, &str) = ("etc/motd", "This node is kept by machine-config.\n");

/// For pods to run and nodes to take over their first config; both take some seconds, and more with many nodes.
const INSTALLED: Duration = Duration::from_mins(3);

/// Makes the image of our programs, which are static and lie in `programs`, and writes it to `archive`. The same programs make the same bytes.
pub fn make_image(programs: &Path, archive: &Path) -> Result<()> {
    let mut files = Vec::new();
    for name in PROGRAMS {
        let from = programs.join(name);
        ensure!(
            from.is_file(),
            "{} is missing: run this by `cargo xtask`, which builds it",
            from.display()
        );
        let path = format!("/{name}");
        files.push(ImageFile { path, from });
    }
    image_from_binaries(IMAGE, &files, &[], archive).context("could not make the image of our programs")
}

/// Where `cargo xtask` has put the static programs.
pub fn static_programs() -> Result<PathBuf> {
    let programs = env::var_os("GUEST_PROGRAMS").map(PathBuf::from);
    programs.context("GUEST_PROGRAMS is not set: run this by `cargo xtask`")
}

/// What an installer would have left on a node.
pub(super) fn provision(root: &Path) -> Result<()> {
    let (path, text) = MOTD;
    fs::write(root.join(path), text).with_context(|| format!("could not write {path} of a node"))
}

/// An annotation of the handshake; empty when there is none.
#[must_use]
pub fn annotation<'a>(object: &'a Value, key: &str) -> &'a str {
    let value = &object["metadata"]["annotations"][format!("{PREFIX}{key}")];
    value.as_str().unwrap_or_default()
}

/// Whether a node has the config that it is to have.
#[must_use]
pub fn is_done(node: &Value) -> bool {
    let current = annotation(node, "currentConfig");
    !current.is_empty() && current == annotation(node, "desiredConfig") && annotation(node, "state") == "Done"
}

impl Cluster {
    /// Installs our own system in a cluster that was made without it, as it is with whatever objects of ours it has; it runs on return,
    /// and every worker has its config.
    pub fn install_system(&mut self) -> Result<()> {
        let archive = self.dir().join("images/machine-config.tar");
        make_image(&static_programs()?, &archive)?;
        self.load_image(&archive)?;
        self.deploy(&["base"], &[])?;
        self.wait_installed()
    }

    /// Installs directories of `deploy` with the image of our programs, changed in nothing but that no registry is asked for it. `settings`
    /// are those that an admin writes into the `.properties`: the name of the ConfigMap, and lines for it.
    pub fn deploy(&self, directories: &[&str], settings: &[(&str, &[String])]) -> Result<()> {
        let overlay = self.dir().join("overlay");
        fs::create_dir_all(&overlay)?;
        let text = overlay_of(&overlay.canonicalize()?, repository(), directories, settings)?;
        fs::write(overlay.join("kustomization.yaml"), text)?;
        let overlay = overlay.to_string_lossy();
        let applied = self.kubectl(&["apply", "--server-side", "-k", &overlay])?;
        ensure!(
            applied.code == Some(0),
            "{} is not taken: {}",
            directories.join(", "),
            applied.all()
        );
        Ok(())
    }

    /// Installs `deploy/base` and the workers' first MachineConfig.
    pub(super) fn apply_system(&self) -> Result<()> {
        self.deploy(&["base"], &[])?;
        let (path, text) = MOTD;
        let source = format!("data:;base64,{}", STANDARD.encode(text));
        let config = json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig",
            "metadata": {"name": "00-worker", "labels": {format!("{PREFIX}role"): "worker"}},
            "spec": {"config": {"ignition": {"version": "3.5.0"}, "storage": {"files": [
                {"path": format!("/{path}"), "mode": 420, "overwrite": true, "contents": {"source": source}},
            ]}}},
        });
        let path = format!("{GROUP}/machineconfigs");
        // It takes a moment until a definition is served.
        wait_on("the first MachineConfig to be taken", INSTALLED, || {
            self.api().create(&path, &config).map(Some)
        })?;
        Ok(())
    }

    /// Waits until every replica of the controller and a daemon on every node are ready, and every worker has its config.
    pub fn wait_installed(&self) -> Result<()> {
        let base = format!("/apis/apps/v1/namespaces/{NAMESPACE}");
        wait_on("the controller to be ready", INSTALLED, || {
            let path = format!("{base}/deployments/machine-config-controller");
            let deployment = self.api().get(&path)?;
            let ready = &deployment["status"]["readyReplicas"];
            Ok((ready.is_u64() && *ready == deployment["spec"]["replicas"]).then_some(()))
        })?;
        let nodes = self.names().len() as u64;
        wait_on(format!("a daemon on each of {nodes} nodes"), INSTALLED, || {
            let path = format!("{base}/daemonsets/machine-config-daemon");
            let set = self.api().get(&path)?;
            Ok((set["status"]["numberReady"] == nodes).then_some(()))
        })?;
        for name in self.names() {
            self.wait_done(&name)?;
        }
        Ok(())
    }

    /// Waits until a node has the config that it is to have.
    pub fn wait_done(&self, name: &str) -> Result<()> {
        let path = format!("/api/v1/nodes/{name}");
        let mut said = String::new();
        wait_on(format!("node {name} to be done"), INSTALLED, || {
            let node = self.api().get(&path)?;
            said = node["metadata"]["annotations"].to_string();
            Ok(is_done(&node).then_some(()))
        })
        .with_context(|| format!("node {name} says {said}"))
    }
}

/// An overlay in the directory `dir`, which is free of links, as JSON, which is YAML too. Kustomize takes a base by its relative path only.
fn overlay_of(
    dir: &Path,
    repository: &Path,
    directories: &[&str],
    settings: &[(&str, &[String])],
) -> Result<String> {
    let up = "../".repeat(dir.components().count() - 1);
    let deploy = repository.canonicalize()?.join("deploy");
    let deploy = deploy.strip_prefix("/").unwrap_or(&deploy).display();
    let resources: Vec<String> = directories
        .iter()
        .map(|directory| format!("{up}{deploy}/{directory}"))
        .collect();
    let settings: Vec<Value> = settings
        .iter()
        .map(|(name, lines)| {
            json!({"name": name, "namespace": NAMESPACE, "behavior": "merge", "literals": lines})
        })
        .collect();
    let (image, tag) = IMAGE.rsplit_once(':').context("the image has no tag")?;
    // Of a patch on one line kustomize does not see that it is one.
    let never = "- op: add\n  path: /spec/template/spec/containers/0/imagePullPolicy\n  value: Never\n";
    let patch = |kind: &str| json!({"target": {"kind": kind}, "patch": never});
    let overlay = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
        "resources": resources,
        "images": [{"name": "machine-config", "newName": image, "newTag": tag}],
        "patches": [patch("Deployment"), patch("DaemonSet")],
        "configMapGenerator": settings, "generatorOptions": {"disableNameSuffixHash": true},
    });
    Ok(overlay.to_string())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::{PREFIX, is_done, make_image, overlay_of};
    use crate::repository;

    #[test]
    fn an_overlay_leads_to_the_base_and_changes_the_image_only() {
        let overlay = overlay_of(Path::new("/a/b"), repository(), &["base"], &[]).unwrap();
        let overlay: Value = serde_json::from_str(&overlay).unwrap();
        let base = overlay["resources"][0].as_str().unwrap();
        assert_eq!(
            Path::new("/").join(base.strip_prefix("../../").unwrap()),
            repository().canonicalize().unwrap().join("deploy/base")
        );
        assert_eq!(overlay["images"][0]["newName"], "localhost/machine-config");
        let patches = overlay["patches"].as_array().unwrap();
        assert!(
            patches
                .iter()
                .all(|patch| patch["patch"].as_str().unwrap().contains("imagePullPolicy"))
        );
    }

    #[test]
    fn a_node_is_done_with_a_config_that_it_is_to_have() {
        let node = |current: &str, desired: &str, state: &str| {
            let key = |name: &str| format!("{PREFIX}{name}");
            json!({"metadata": {"annotations": {
                key("currentConfig"): current, key("desiredConfig"): desired, key("state"): state,
            }}})
        };
        assert!(is_done(&node("a", "a", "Done")));
        for other in [
            node("a", "b", "Done"),
            node("a", "a", "Working"),
            node("", "", "Done"),
        ] {
            assert!(!is_done(&other), "{other}");
        }
        assert!(!is_done(&json!({})));
    }

    #[test]
    fn an_image_lacks_no_program() {
        let dir = tempfile::tempdir().unwrap();
        let error = make_image(dir.path(), &dir.path().join("archive")).unwrap_err();
        assert!(
            error.to_string().contains("machine-config-controller is missing"),
            "{error}"
        );
    }
}
