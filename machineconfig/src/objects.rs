//! A set of objects, by kind, with the place each was written at, and what is wrong with them as a set.
//!
//! [`Objects::add_text`] reads one file or stream after the other.

use std::collections::BTreeMap;

use crds::manifest::{self, Manifest, ManifestError, Object};
use crds::{ControllerConfig, MachineConfig, MachineConfigPool, MachineConfiguration};
use serde_json::Value;

use crate::finding::{Located, Place};
use crate::{Code, Finding, pool};

/// The objects of an input.
#[derive(Debug, Default)]
pub struct Objects {
    /// MachineConfigs in the order of the input, each name once.
    pub configs: Vec<MachineConfig>,
    /// MachineConfigPools.
    pub pools: Vec<MachineConfigPool>,
    /// The ControllerConfig. There may be one only, whatever its name.
    pub controller_config: Option<ControllerConfig>,
    /// The APIServer named cluster of OpenShift, which the server takes its TLS profile from, as it was read.
    pub api_server: Option<Value>,
    /// MachineConfigurations, which hold policies.
    pub policies: Vec<MachineConfiguration>,
    /// What was met while reading: failures, duplicates, unknown kinds and fields.
    pub findings: Vec<Located>,
    /// Where each object was written, by `Kind/name`.
    places: BTreeMap<String, Place>,
    /// How many texts were read.
    texts: usize,
}

/// Which one of two pools is the built-in one.
enum Twin {
    /// The one that comes second.
    This,
    /// The one that came first, at this index.
    Kept(usize),
}

/// The kind of an object, and its name, empty when it has none.
fn kind_and_name(object: &Object) -> (&str, &str) {
    let (kind, metadata) = match object {
        Object::MachineConfig(object) => ("MachineConfig", &object.metadata),
        Object::MachineConfigPool(object) => ("MachineConfigPool", &object.metadata),
        Object::ControllerConfig(object) => ("ControllerConfig", &object.metadata),
        Object::KubeletConfig(object) => ("KubeletConfig", &object.metadata),
        Object::ContainerRuntimeConfig(object) => ("ContainerRuntimeConfig", &object.metadata),
        Object::MachineConfigNode(object) => ("MachineConfigNode", &object.metadata),
        Object::PinnedImageSet(object) => ("PinnedImageSet", &object.metadata),
        Object::MachineConfiguration(object) => ("MachineConfiguration", &object.metadata),
        Object::Unknown { kind, name, .. } => return (kind, name),
        // The enumeration may grow.
        _ => return ("object", ""),
    };
    (kind, metadata.name.as_deref().unwrap_or_default())
}

/// `Kind/name` as findings call an object.
#[must_use]
pub fn identity(object: &Object) -> String {
    let (kind, name) = kind_and_name(object);
    format!("{kind}/{name}")
}

/// A document that cannot be read, as a finding.
#[must_use]
pub fn malformed(error: ManifestError) -> Located {
    let ManifestError {
        file,
        line,
        column,
        object,
        message,
    } = error;
    Located {
        place: Place { file, line, column },
        finding: Finding::error(Code::MALFORMED, object.unwrap_or_default(), "", message),
    }
}

/// Kinds of OpenShift that a cluster makes MachineConfigs or settings of, by group.
const LEFT_OUT: [(&str, &[&str]); 4] = [
    (
        "machineconfiguration.openshift.io",
        &[
            "MachineOSConfig",
            "MachineOSBuild",
            "InternalReleaseImage",
            "OSImageStream",
        ],
    ),
    (
        "config.openshift.io",
        &[
            "APIServer",
            "ClusterImagePolicy",
            "FeatureGate",
            "Image",
            "ImageContentPolicy",
            "ImageDigestMirrorSet",
            "ImagePolicy",
            "ImageTagMirrorSet",
            "Node",
        ],
    ),
    ("operator.openshift.io", &["ImageContentSourcePolicy"]),
    ("image.openshift.io", &["ImageStream"]),
];

/// Group of OpenShift's settings of a cluster.
const CONFIG_GROUP: &str = "config.openshift.io";

/// Why an object has no part in the result, if it has none.
fn left_out(object: &Object, identity: &str) -> Option<Finding> {
    let of_a_cluster = || {
        let message = "a cluster makes MachineConfigs of it; it is left out here";
        Some(Finding::warning(Code::KIND_LEFT_OUT, identity, "", message))
    };
    match object {
        Object::Unknown {
            api_version, kind, ..
        } => {
            let group = api_version.split_once('/').map_or("", |(group, _)| group);
            if LEFT_OUT
                .iter()
                .any(|(of, kinds)| *of == group && kinds.contains(&kind.as_str()))
            {
                return of_a_cluster();
            }
            let message = format!("{kind} of {api_version} is no known kind, and is left out");
            Some(Finding::warning(Code::UNKNOWN_KIND, identity, "kind", message))
        }
        Object::KubeletConfig(_) | Object::ContainerRuntimeConfig(_) => of_a_cluster(),
        object if kind_and_name(object).1.is_empty() => {
            let message = "the object has no name";
            Some(Finding::error(Code::NO_NAME, identity, "metadata.name", message))
        }
        _ => None,
    }
}

/// Whether this is the APIServer that the server takes its TLS profile from.
fn is_api_server(object: &Object) -> bool {
    matches!(object, Object::Unknown { api_version, kind, name, .. }
        if kind == "APIServer" && name == "cluster" && api_version.split('/').next() == Some(CONFIG_GROUP))
}

// === impl Objects ===

impl Objects {
    /// Reads the objects in the text of `file`, which is what the user calls it. Whatever fails is among the findings;
    /// the rest is still there.
    pub fn add_text(&mut self, file: &str, text: &str) {
        self.texts += 1;
        let (manifests, errors) = manifest::parse(file, text);
        self.findings.extend(errors.into_iter().map(malformed));
        for manifest in manifests {
            self.add(manifest);
        }
    }

    fn add(&mut self, manifest: Manifest) {
        let Manifest {
            file,
            line,
            object,
            unknown_fields,
        } = manifest;
        let place = Place {
            file,
            line,
            column: 0,
        };
        let name = identity(&object);
        for field in unknown_fields {
            let message = "there is no such field, and it is ignored";
            let finding = Finding::warning(Code::UNKNOWN_FIELD, &name, field, message);
            self.findings.push(Located {
                place: place.clone(),
                finding,
            });
        }
        if !is_api_server(&object)
            && let Some(finding) = left_out(&object, &name)
        {
            self.findings.push(Located { place, finding });
            return;
        }
        let Some(first) = self.places.get(&name) else {
            self.places.insert(name, place);
            self.keep(object);
            return;
        };
        match self.built_in_twin(&object) {
            Some(Twin::This) => {}
            Some(Twin::Kept(index)) => {
                self.pools.remove(index);
                self.places.insert(name, place);
                self.keep(object);
            }
            None => {
                let message = format!("the name is already taken by the object at {first}");
                let finding = Finding::error(Code::DUPLICATE_NAME, name, "metadata.name", message);
                self.findings.push(Located { place, finding });
            }
        }
    }

    /// Which of two pools of one name is only the built-in one, that a user's takes the place of (MCO controller 8.1).
    fn built_in_twin(&self, object: &Object) -> Option<Twin> {
        let Object::MachineConfigPool(pool) = object else {
            return None;
        };
        let index = self
            .pools
            .iter()
            .position(|kept| kept.metadata.name == pool.metadata.name)?;
        if pool::is_built_in(pool) {
            Some(Twin::This)
        } else {
            pool::is_built_in(&self.pools[index]).then_some(Twin::Kept(index))
        }
    }

    fn keep(&mut self, object: Object) {
        match object {
            Object::MachineConfig(config) => self.configs.push(*config),
            Object::MachineConfigPool(pool) => self.pools.push(*pool),
            Object::MachineConfiguration(policy) => self.policies.push(*policy),
            Object::ControllerConfig(config) => self.keep_controller_config(*config),
            Object::Unknown { value, .. } => self.api_server = Some(*value),
            // Neither rendered nor planned.
            _ => {}
        }
    }

    fn keep_controller_config(&mut self, config: ControllerConfig) {
        let Some(first) = &self.controller_config else {
            self.controller_config = Some(config);
            return;
        };
        let identity = |config: &ControllerConfig| {
            format!(
                "ControllerConfig/{}",
                config.metadata.name.as_deref().unwrap_or_default()
            )
        };
        let place = self.places.get(&identity(first)).cloned().unwrap_or_default();
        let message = format!(
            "there may be one ControllerConfig only, and {} at {place} is one",
            identity(first)
        );
        let finding = Finding::error(Code::DUPLICATE_NAME, identity(&config), "metadata.name", message);
        let located = self.locate(finding.remedy("Remove one of the two."));
        self.findings.push(located);
    }

    /// Whether everything was read. If not, what is missing would be told as other faults.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.findings.iter().any(Located::is_error)
    }

    /// The MachineConfigPool of that name.
    #[must_use]
    pub fn pool(&self, name: &str) -> Option<&MachineConfigPool> {
        self.pools
            .iter()
            .find(|pool| pool.metadata.name.as_deref() == Some(name))
    }

    /// A finding at the place of the object it is about, where that is one of these.
    #[must_use]
    pub fn locate(&self, finding: Finding) -> Located {
        Located {
            place: self.places.get(&finding.object).cloned().unwrap_or_default(),
            finding,
        }
    }

    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no object.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How many texts were read.
    #[must_use]
    pub fn texts(&self) -> usize {
        self.texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[(&str, &str)]) -> Objects {
        let mut objects = Objects::default();
        for (file, text) in texts {
            objects.add_text(file, text);
        }
        objects
    }

    /// Codes with their places.
    fn said(objects: &Objects) -> Vec<String> {
        let one = |located: &Located| format!("{} {}", located.finding.code, located.place);
        objects.findings.iter().map(one).collect()
    }

    fn object(kind: &str, name: &str) -> String {
        format!(
            "apiVersion: machineconfiguration.openshift.io/v1\nkind: {kind}\nmetadata: {{name: {name}}}\n"
        )
    }

    #[test]
    fn objects_are_sorted_by_kind_and_found_at_their_place() {
        let text = [
            object("MachineConfig", "a"),
            object("MachineConfigPool", "p"),
            object("ControllerConfig", "c"),
        ]
        .join("---\n");
        let objects = read(&[("x.yaml", &text)]);
        assert_eq!(said(&objects), [""; 0]);
        assert_eq!(
            (
                objects.configs.len(),
                objects.pools.len(),
                objects.len(),
                objects.texts()
            ),
            (1, 1, 3, 1)
        );
        assert!(
            objects.controller_config.is_some() && objects.pool("p").is_some() && objects.pool("a").is_none()
        );
        let finding = Finding::error(Code::NO_ROLE, "MachineConfigPool/p", "", "");
        assert_eq!(objects.locate(finding).place.to_string(), "x.yaml:5");
    }

    #[test]
    fn of_two_objects_of_one_name_the_first_is_kept_and_both_places_are_named() {
        let config = object("MachineConfig", "a");
        let objects = read(&[("x.yaml", &config), ("y.yaml", &config)]);
        assert_eq!(said(&objects), ["MC1202 y.yaml:1"]);
        assert!(objects.findings[0].finding.message.contains("x.yaml:1"));
        assert_eq!(objects.configs.len(), 1);
        assert!(!objects.is_complete());
    }

    #[test]
    fn the_same_name_in_two_kinds_is_no_clash() {
        let objects = read(&[
            ("x.yaml", &object("MachineConfig", "a")),
            ("y.yaml", &object("MachineConfigPool", "a")),
        ]);
        assert_eq!(said(&objects), [""; 0]);
    }

    #[test]
    fn there_is_one_controller_config_only_whatever_its_name() {
        let objects = read(&[
            ("x.yaml", &object("ControllerConfig", "a")),
            ("y.yaml", &object("ControllerConfig", "b")),
        ]);
        assert_eq!(said(&objects), ["MC1202 y.yaml:1"]);
        assert!(
            objects.findings[0]
                .finding
                .message
                .contains("ControllerConfig/a at x.yaml:1")
        );
    }

    #[test]
    fn a_user_s_pool_takes_the_place_of_the_built_in_one_in_either_order() {
        let standard = manifest::to_yaml(&pool::built_in("worker"));
        let users = object("MachineConfigPool", "worker") + "spec: {paused: true}\n";
        for texts in [
            [("s.yaml", standard.as_str()), ("u.yaml", &users)],
            [("u.yaml", &users), ("s.yaml", &standard)],
        ] {
            let objects = read(&texts);
            assert_eq!(said(&objects), [""; 0]);
            assert_eq!(objects.pools.len(), 1);
            assert!(objects.pools[0].spec.paused);
            let finding = Finding::error(Code::NO_ROLE, "MachineConfigPool/worker", "", "");
            assert_eq!(objects.locate(finding).place.file, "u.yaml");
        }
        assert_eq!(
            said(&read(&[("u.yaml", &users), ("v.yaml", &users)])),
            ["MC1202 v.yaml:1"]
        );
    }

    #[test]
    fn what_is_not_read_is_told() {
        let foreign = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n";
        let later = "apiVersion: config.openshift.io/v1\nkind: Image\nmetadata: {name: cluster}\n";
        let misspelt = object("MachineConfig", "a") + "spec: {kernelArgs: [x]}\n";
        let kubelet = object("KubeletConfig", "k");
        let objects = read(&[
            ("f", foreign),
            ("l", later),
            ("m", &misspelt),
            ("k", &kubelet),
            ("b", "a: ["),
        ]);
        assert_eq!(
            said(&objects),
            [
                "MC1006 f:1",
                "MC1008 l:1",
                "MC1007 m:1",
                "MC1008 k:1",
                "MC1005 b:1:4"
            ]
        );
        let errors: Vec<_> = objects
            .findings
            .iter()
            .filter(|located| located.is_error())
            .collect();
        assert_eq!(errors.len(), 1);
    }

    #[test]
    fn the_api_server_of_the_cluster_is_kept_as_it_was_read() {
        let text = |name: &str| {
            format!(
                "apiVersion: config.openshift.io/v1\nkind: APIServer\nmetadata: {{name: {name}}}\nspec: {{x: 1}}\n"
            )
        };
        let objects = read(&[("a.yaml", &text("cluster"))]);
        assert_eq!(objects.api_server.as_ref().unwrap()["spec"]["x"], 1);
        assert_eq!(said(&objects), [""; 0]);
        let objects = read(&[("a.yaml", &text("other"))]);
        assert_eq!(
            (said(&objects), objects.api_server),
            (vec!["MC1008 a.yaml:1".to_owned()], None)
        );
    }
}
