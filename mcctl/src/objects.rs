//! The objects of an input, by kind, with the place each was written at, and what is wrong with them as a set.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;

use crds::manifest::{self, Manifest, ManifestError, Object};
use crds::{ControllerConfig, MachineConfig, MachineConfigPool, MachineConfiguration};
use machineconfig::{Code, Finding};

use crate::input::{self, Text};
use crate::pool;
use crate::report::{Located, Place, plural};

/// The objects of an input.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    /// MachineConfigs in the order of the input, each name once.
    pub(crate) configs: Vec<MachineConfig>,
    /// MachineConfigPools.
    pub(crate) pools: Vec<MachineConfigPool>,
    /// The ControllerConfig, the first if there are several.
    pub(crate) controller_config: Option<ControllerConfig>,
    /// MachineConfigurations, which hold policies.
    pub(crate) policies: Vec<MachineConfiguration>,
    /// What was met while reading: failures, duplicates, unknown kinds and fields.
    pub(crate) findings: Vec<Located>,
    /// Where each object was written, by `Kind/name`.
    places: BTreeMap<String, Place>,
    /// How many texts were read.
    texts: usize,
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
pub(crate) fn identity(object: &Object) -> String {
    let (kind, name) = kind_and_name(object);
    format!("{kind}/{name}")
}

/// A document that cannot be read, as a finding.
pub(crate) fn malformed(error: ManifestError) -> Located {
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

/// Why an object has no part in the result, if it has none.
fn left_out(object: &Object, name: &str) -> Option<Finding> {
    match object {
        Object::Unknown {
            api_version, kind, ..
        } => {
            let message = format!("{kind} of {api_version} is no known kind, and is left out");
            Some(Finding::warning(Code::UNKNOWN_KIND, name, "kind", message))
        }
        Object::KubeletConfig(_) | Object::ContainerRuntimeConfig(_) => {
            let message = "a cluster makes MachineConfigs of it; it is left out here";
            Some(Finding::warning(Code::KIND_LEFT_OUT, name, "", message))
        }
        object if kind_and_name(object).1.is_empty() => Some(Finding::error(
            Code::NO_NAME,
            name,
            "metadata.name",
            "the object has no name",
        )),
        _ => None,
    }
}

// === impl Objects ===

impl Objects {
    /// Reads the objects in `paths`. Whatever fails is among the findings; the rest is still there.
    pub(crate) fn read(paths: &[PathBuf], recursive: bool) -> Self {
        let (texts, failures) = input::read(paths, recursive);
        let mut objects = Self {
            findings: failures,
            texts: texts.len(),
            ..Self::default()
        };
        for Text { name, text } in &texts {
            let (manifests, errors) = manifest::parse(name, text);
            objects.findings.extend(errors.into_iter().map(malformed));
            for manifest in manifests {
                objects.add(manifest);
            }
        }
        if objects.places.is_empty() && objects.findings.is_empty() {
            let names: Vec<_> = texts.iter().map(|text| text.name.as_str()).collect();
            objects.findings.push(Located {
                place: Place::file(names.join(", ")),
                finding: Finding::error(Code::NO_MANIFESTS, "", "", "holds no object"),
            });
        }
        objects
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
        if let Some(finding) = left_out(&object, &name) {
            self.findings.push(Located { place, finding });
            return;
        }
        match self.places.entry(name.clone()) {
            Entry::Occupied(first) => {
                let message = format!("the name is already taken by the object at {}", first.get());
                let finding = Finding::error(Code::DUPLICATE_NAME, name, "metadata.name", message);
                self.findings.push(Located { place, finding });
            }
            Entry::Vacant(free) => {
                free.insert(place);
                self.keep(object);
            }
        }
    }

    fn keep(&mut self, object: Object) {
        match object {
            Object::MachineConfig(config) => self.configs.push(*config),
            Object::MachineConfigPool(pool) => self.pools.push(*pool),
            Object::MachineConfiguration(policy) => self.policies.push(*policy),
            Object::ControllerConfig(config) => {
                self.controller_config.get_or_insert(*config);
            }
            // Neither rendered nor planned.
            _ => {}
        }
    }

    /// Whether everything was read. If not, what is missing would be told as other faults.
    pub(crate) fn is_complete(&self) -> bool {
        !self.findings.iter().any(Located::is_error)
    }

    /// The MachineConfigPool of that name.
    pub(crate) fn pool(&self, name: &str) -> Option<&MachineConfigPool> {
        self.pools
            .iter()
            .find(|pool| pool.metadata.name.as_deref() == Some(name))
    }

    /// The one MachineConfig, if it is a rendered one.
    pub(crate) fn only_rendered(&self) -> Option<&MachineConfig> {
        match self.configs.as_slice() {
            [one] if pool::is_rendered(one) => Some(one),
            _ => None,
        }
    }

    /// A finding at the place of the object it is about, where that is one of these.
    pub(crate) fn locate(&self, finding: Finding) -> Located {
        Located {
            place: self.places.get(&finding.object).cloned().unwrap_or_default(),
            finding,
        }
    }

    /// `12 objects in 3 files`.
    pub(crate) fn size(&self) -> String {
        format!(
            "{} in {}",
            plural(self.places.len(), "object"),
            plural(self.texts, "file")
        )
    }
}
