//! What the process keeps on, and reads from, the node's disk beside what the engine keeps.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crds::machine_configuration::NodeDisruptionPolicyConfig;
use machineconfig::Policy;
use serde::{Deserialize, Serialize};

use super::handshake::Handshake;
use super::state_machine::Disk;
use crate::host::{Rename, Root, Writer};
use crate::node::Node;
use crate::{reboot, store};

/// Annotations for a node that has none yet, laid down by the server (MCO daemon 1.11).
const LAID_DOWN: &str = "/etc/machine-config-daemon/node-annotations.json";
/// What it is called when it was said, by the reference's spelling.
const PUT_AWAY: &str = "/etc/machine-config-daemon/node-annotation.json.bak";
/// The config of the first boot, and what it is called when that is done.
const ENCAPSULATED: [&str; 2] = [
    "/etc/ignition-machine-config-encapsulated.json",
    "/etc/ignition-machine-config-encapsulated.json.bak",
];
/// What Ignition leaves of the enablement of units, which is links by now.
const PRESET: &str = "/etc/systemd/system-preset/20-ignition.preset";
/// The config that was fetched, until it is the node's.
pub(crate) const TARGET: &str = "/var/lib/machine-config/target";
/// What the API server said last, for the time that it is away.
const REMEMBERED: &str = "/var/lib/machine-config/remembered";
/// Somebody wants drift to be overwritten (MCO daemon 7.5).
pub(crate) const FORCE: &str = "/run/machine-config-daemon-force";

/// Longest of these files, in bytes: what an API server stores, many times over.
const MAX_BYTES: u64 = 64 << 20;

/// What the API server said last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Remembered {
    annotations: BTreeMap<String, String>,
    policy: Option<NodeDisruptionPolicyConfig>,
}

/// The name of an object. The rest of it may be megabytes, and is not kept.
#[derive(Deserialize)]
struct Named {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

/// What is on the disk of a node.
pub(crate) fn read(node: &Node) -> Result<Disk, String> {
    let unreadable = |path: &str, error: io::Error| format!("cannot read {path}: {error}");
    let root = &node.root;
    let current = name(root, store::CURRENT).map_err(|error| unreadable(store::CURRENT, error))?;
    let laid_down = root
        .read(Path::new(LAID_DOWN), MAX_BYTES)
        .map_err(|error| unreadable(LAID_DOWN, error))?;
    let laid_down = laid_down.map(|bytes| serde_json::from_slice(&bytes)).transpose();
    Ok(Disk {
        current,
        reboot: reboot::due(node).map_err(|finding| format!("{}: {}", finding.object, finding.message))?,
        laid_down: laid_down.map_err(|error| format!("{LAID_DOWN} holds no annotations: {error}"))?,
    })
}

/// The name of the object in a file; `None` when there is none. What is no object has no name either: the engine says what is wrong.
fn name(root: &Root, path: &str) -> io::Result<Option<String>> {
    let Some(bytes) = root.read(Path::new(path), MAX_BYTES)? else {
        return Ok(None);
    };
    // Only the first value of the file counts (MCO daemon 15).
    let mut values = serde_json::Deserializer::from_slice(&bytes).into_iter::<Named>();
    Ok(values
        .next()
        .and_then(Result::ok)
        .map(|named| named.metadata.name))
}

/// The name of the config that was fetched and is kept.
pub(crate) fn kept(root: &Root) -> Option<String> {
    name(root, TARGET).ok().flatten()
}

/// Keeps a config that was fetched.
pub(crate) fn keep(root: &Root, text: &str) -> Result<(), String> {
    store::replace(root, TARGET, text.as_bytes()).map_err(|failed| crate::apply::chain(&failed))
}

/// Forgets it.
pub(crate) fn forget(root: &Root) {
    // What stays is fetched anew, or replaced.
    let _ = store::remove(root, TARGET);
}

/// Remembers what the API server said.
pub(crate) fn remember(root: &Root, handshake: &Handshake, policy: Option<&Policy>) -> Result<(), String> {
    let remembered = Remembered {
        annotations: handshake.annotations().clone(),
        policy: policy.map(Policy::cluster_policies),
    };
    store::replace(root, REMEMBERED, &store::encode(&remembered))
        .map_err(|failed| crate::apply::chain(&failed))
}

/// What it said last, if that is remembered.
pub(crate) fn remembered(root: &Root) -> (Option<Handshake>, Option<Policy>) {
    let bytes = root.read(Path::new(REMEMBERED), MAX_BYTES).ok().flatten();
    let remembered: Option<Remembered> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    remembered.map_or((None, None), |remembered| {
        let policy = remembered.policy.as_ref().map(Policy::from_cluster_policies);
        (Some(Handshake::of(&remembered.annotations)), policy)
    })
}

/// Puts away what was laid down for the first start (MCO daemon 2.4).
pub(crate) fn put_away(root: &Root) -> Result<(), String> {
    let chain = |failed: crate::host::write::Failed| crate::apply::chain(&failed);
    let mut writer = Writer::new(root);
    let [from, to] = ENCAPSULATED;
    for (from, to) in [(from, to), (LAID_DOWN, PUT_AWAY)] {
        if root.is_there(Path::new(from)).unwrap_or(false) {
            writer
                .rename(Path::new(from), Path::new(to), Rename::Over)
                .map_err(chain)?;
        }
    }
    store::remove(root, PRESET).map_err(chain)
}

/// Whether somebody wants drift to be overwritten.
pub(crate) fn is_forced(root: &Root) -> bool {
    root.is_there(Path::new(FORCE)).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_was_remembered_and_kept_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("var/lib")).unwrap();
        let root = Root::open(directory.path()).unwrap();
        assert_eq!(remembered(&root), (None, None));
        let handshake = crate::cluster::handshake::tests::handshake(["a", "b", "Working", "", "", ""]);
        remember(&root, &handshake, Some(&Policy::default())).unwrap();
        assert_eq!(remembered(&root), (Some(handshake), Some(Policy::default())));
        assert_eq!(kept(&root), None);
        keep(
            &root,
            r#"{"metadata": {"name": "b", "uid": "1"}, "spec": {}} trailing"#,
        )
        .unwrap();
        assert_eq!(kept(&root).as_deref(), Some("b"));
        forget(&root);
        assert_eq!(kept(&root), None);
    }

    #[test]
    fn the_first_start_leaves_the_references_names() {
        let directory = tempfile::tempdir().unwrap();
        let etc = directory.path().join("etc/machine-config-daemon");
        fs::create_dir_all(&etc).unwrap();
        fs::create_dir_all(directory.path().join("etc/systemd/system-preset")).unwrap();
        fs::write(etc.join("node-annotations.json"), "{}").unwrap();
        fs::write(directory.path().join(PRESET.trim_start_matches('/')), "").unwrap();
        let root = Root::open(directory.path()).unwrap();
        put_away(&root).unwrap();
        put_away(&root).unwrap();
        assert!(etc.join("node-annotation.json.bak").exists() && !etc.join("node-annotations.json").exists());
        assert!(!root.is_there(Path::new(PRESET)).unwrap());
    }
}
