//! From what the API server sends to what is kept: objects that cannot be read, and rendered configs, which are kept packed.

use std::io::{Read as _, Write as _};

use anyhow::{Context as _, Result};
use crds::{MachineConfig, MachineConfigSpec};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::{Resource, ResourceExt as _};
use machineconfig::name::rendered_name;
use serde_json::json;
use tracing::warn;

/// What the names of rendered configs begin with.
const RENDERED: &str = "rendered-";

/// A MachineConfig as it is kept.
#[derive(Debug)]
pub(crate) enum Stored {
    /// One that pools are rendered from.
    Input(Box<MachineConfig>),
    /// One that was rendered.
    Rendered(Rendered),
}

/// A rendered config. It is read seldom, and there are many of them.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) name: String,
    /// The pool that it was rendered for.
    pub(crate) pool: String,
    pub(crate) uid: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) created: Option<Timestamp>,
    /// Whether it is what its name says, which is a hash of it.
    pub(crate) genuine: bool,
    packed: Vec<u8>,
}

impl Stored {
    /// As an input, if it is one.
    pub(crate) fn input(&self) -> Option<&MachineConfig> {
        match self {
            Stored::Input(config) => Some(config),
            Stored::Rendered(_) => None,
        }
    }

    /// As a rendered config, if it is one.
    pub(crate) fn rendered(&self) -> Option<&Rendered> {
        match self {
            Stored::Rendered(rendered) => Some(rendered),
            Stored::Input(_) => None,
        }
    }
}

impl Rendered {
    /// The object, as the API server had it, but for who wrote it and when.
    pub(crate) fn unpack(&self) -> Result<MachineConfig> {
        let mut text = Vec::new();
        DeflateDecoder::new(self.packed.as_slice())
            .read_to_end(&mut text)
            .with_context(|| format!("could not unpack {}", self.name))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("could not read what was kept of {}", self.name))
    }
}

/// What is kept of a MachineConfig. One that cannot be read is kept as one that no pool can be rendered from: left out, it would be
/// missing on the nodes without a word.
pub(crate) fn stored(object: DeserializeGuard<MachineConfig>) -> (String, Stored) {
    let mut config = object.0.unwrap_or_else(|invalid| {
        let spec = MachineConfigSpec {
            config: Some(json!(format!("the object cannot be read: {}", invalid.error))),
            ..MachineConfigSpec::default()
        };
        let mut config = MachineConfig::new("", spec);
        config.metadata = invalid.metadata;
        config
    });
    config.metadata.managed_fields = None;
    let name = config.name_any();
    match owner(&config).filter(|_| name.starts_with(RENDERED)) {
        Some(pool) => (name, Stored::Rendered(pack(config, pool))),
        None => (name, Stored::Input(Box::new(config))),
    }
}

/// The pool that a rendered config was rendered for.
fn owner(config: &MachineConfig) -> Option<String> {
    let owners = config.metadata.owner_references.as_deref().unwrap_or_default();
    let owner = owners
        .iter()
        .find(|owner| owner.controller == Some(true) && owner.kind == "MachineConfigPool");
    owner.map(|owner| owner.name.clone())
}

fn pack(mut config: MachineConfig, pool: String) -> Rendered {
    let metadata = &mut config.metadata;
    let (uid, version) = (metadata.uid.take(), metadata.resource_version.take());
    let created = metadata.creation_timestamp.take().map(|time| time.0);
    metadata.generation = None;
    let name = config.name_any();
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    let text = serde_json::to_vec(&config).expect("a MachineConfig is always JSON");
    let packed = encoder
        .write_all(&text)
        .and_then(|()| encoder.finish())
        .expect("memory takes everything");
    Rendered {
        genuine: is_genuine(&name, &pool, &config.spec),
        name,
        pool,
        uid,
        version,
        created,
        packed,
    }
}

/// Whether a rendered config is what its name says.
pub(crate) fn is_genuine(name: &str, pool: &str, spec: &MachineConfigSpec) -> bool {
    let spec = serde_json::to_value(spec).expect("a spec is always JSON");
    rendered_name(pool, &spec).is_ok_and(|hashed| hashed == name)
}

/// An object as it is, unless it cannot be read, which is told.
pub(crate) fn guarded<K: Resource>(
    object: DeserializeGuard<K>,
    trim: impl Fn(K) -> K,
) -> Option<(String, K)> {
    match object.0 {
        Ok(object) => plain(object, trim),
        Err(invalid) => {
            let name = invalid.metadata.name.unwrap_or_default();
            warn!(
                name,
                error = invalid.error,
                "An object cannot be read, and what was known of it before stands"
            );
            None
        }
    }
}

/// An object as it is.
pub(crate) fn plain<K: Resource>(object: K, trim: impl Fn(K) -> K) -> Option<(String, K)> {
    let mut object = trim(object);
    object.meta_mut().managed_fields = None;
    let name = object.meta().name.clone()?;
    Some((name, object))
}

#[cfg(test)]
mod tests {
    use machineconfig::Defaults;
    use serde_json::Value;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "the callers make it in place")]
    fn config(name: &str, spec: Value) -> MachineConfig {
        serde_json::from_value(json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig",
            "metadata": {"name": name, "labels": {crds::annotations::ROLE: "worker"}}, "spec": spec,
        }))
        .unwrap()
    }

    fn open(value: &Value) -> Stored {
        let guard: DeserializeGuard<MachineConfig> = serde_json::from_value(value.clone()).unwrap();
        stored(guard).1
    }

    #[test]
    fn a_rendered_config_is_known_by_its_content_and_comes_back_whole() {
        let inputs = [
            config(
                "00",
                json!({"kernelArguments": ["a=b"], "config": {
                    "ignition": {"version": "3.2.0"},
                    "storage": {"files": [{"path": "/etc/a", "mode": 420, "contents": {"source": "data:,x"}}]},
                    "systemd": {"units": [{"name": "a.service", "enabled": true, "contents": "[Unit]\n"}]},
                    "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 A b"]}]},
                }}),
            ),
            config("10", json!({"config": {"ignition": {"version": "2.2.0"}}})),
        ];
        let rendered = machineconfig::render("worker", &inputs, &Defaults::default()).unwrap();
        let mut object = serde_json::to_value(rendered.machine_config()).unwrap();
        object["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool", "name": "worker", "uid": "u",
            "controller": true,
        }]);
        let kept = open(&object);
        let kept = kept.rendered().unwrap();
        assert!(kept.genuine && kept.pool == "worker" && kept.name == rendered.name);
        assert_eq!(kept.unpack().unwrap().spec, rendered.machine_config().spec);
        object["spec"]["config"]["storage"]["files"][0]["contents"]["source"] = json!("data:,y");
        assert!(!open(&object).rendered().unwrap().genuine);
    }

    #[test]
    fn a_config_that_cannot_be_read_stays_there_and_is_refused_by_name() {
        let object = json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig",
            "metadata": {"name": "50-x", "labels": {crds::annotations::ROLE: "worker"}}, "spec": {"fips": "maybe"},
        });
        let kept = open(&object);
        let findings =
            machineconfig::render("worker", &[kept.input().unwrap().clone()], &Defaults::default())
                .unwrap_err();
        assert!(
            findings
                .iter()
                .any(|finding| finding.object == "MachineConfig/50-x"),
            "{findings:?}"
        );
    }

    #[test]
    fn a_users_config_may_be_called_rendered() {
        let object = serde_json::to_value(config("rendered-x", json!({}))).unwrap();
        assert!(open(&object).input().is_some());
    }
}
