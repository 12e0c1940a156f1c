//! Ignition configs out of one file: a config itself, or those in the MachineConfigs of manifests.

use std::path::Path;

use crds::manifest::{self, Object};
use crds::{MachineConfig, annotations};
use ignition::{Config, Parsed, Problem};
use machineconfig::{Code, Finding};
use serde_json::Value;

use crate::input;
use crate::objects;
use crate::pool;
use crate::report::{Findings, Located, Place};

/// One Ignition config and what holds it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Source {
    /// Where it was written.
    pub(crate) place: Place,
    /// The MachineConfig that holds it; none when the file is the config.
    pub(crate) machine_config: Option<Box<MachineConfig>>,
    /// The config; `null` when the MachineConfig has none.
    config: Value,
}

/// Reads the configs in the file at `path`, `-` for standard input. Objects of other kinds are warned of.
pub(crate) fn read(path: &Path, findings: &mut Findings) -> Vec<Source> {
    let (texts, failures) = input::read_file(path);
    findings.extend(failures);
    let mut sources = Vec::new();
    for input::Text { name, text } in &texts {
        if let Some(config) = bare_config(text) {
            sources.push(Source {
                place: Place::file(name),
                machine_config: None,
                config,
            });
            continue;
        }
        let (manifests, errors) = manifest::parse(name, text);
        findings.extend(errors.into_iter().map(objects::malformed));
        for found in manifests {
            let place = Place {
                file: found.file,
                line: found.line,
                column: 0,
            };
            match found.object {
                Object::MachineConfig(config) => sources.push(Source {
                    place,
                    config: config.spec.config.clone().unwrap_or_default(),
                    machine_config: Some(config),
                }),
                other => findings.extend([Located {
                    place,
                    finding: no_config(&other),
                }]),
            }
        }
    }
    findings.add_texts(texts);
    sources
}

/// The JSON object that is an Ignition config, not a Kubernetes object.
fn bare_config(text: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    let object = value.as_object()?;
    let bare = object.contains_key("ignition") && !object.contains_key("kind");
    bare.then_some(value)
}

fn no_config(object: &Object) -> Finding {
    let name = objects::identity(object);
    Finding::warning(
        Code::UNKNOWN_KIND,
        name,
        "kind",
        "is no MachineConfig, so it has no Ignition config",
    )
    .remedy("Leave the object out.")
}

/// Why a command that works on one config has none to work on; nothing when other findings already say so.
pub(crate) fn not_one(path: &Path, count: usize, findings: &Findings) -> Option<Located> {
    if findings.any_error() {
        return None;
    }
    let message = match count {
        0 => "holds no Ignition config and no MachineConfig".to_owned(),
        many => format!("holds {many} MachineConfigs, and one is needed"),
    };
    Some(Located {
        place: Place::file(path.to_string_lossy()),
        finding: Finding::error(Code::NOT_ONE_OBJECT, "", "", message),
    })
}

// === impl Source ===

impl Source {
    /// `MachineConfig/NAME`; empty when the file is the config.
    pub(crate) fn object(&self) -> String {
        self.machine_config.as_ref().map_or_else(String::new, |config| {
            format!(
                "MachineConfig/{}",
                config.metadata.name.as_deref().unwrap_or_default()
            )
        })
    }

    /// The pool the MachineConfig is labelled for.
    pub(crate) fn role(&self) -> Option<&str> {
        let labels = self.machine_config.as_ref()?.metadata.labels.as_ref()?;
        labels.get(annotations::ROLE).map(String::as_str)
    }

    /// The Ignition version the config declares, as it is written; nothing without a config.
    pub(crate) fn version(&self) -> Option<String> {
        let declared = self.config.as_object()?.get("ignition")?.get("version")?;
        Some(
            declared
                .as_str()
                .map_or_else(|| declared.to_string(), str::to_owned),
        )
    }

    /// What is wrong with what is in the file, by itself.
    pub(crate) fn check(&self) -> Vec<Located> {
        if let Some(config) = self
            .machine_config
            .as_ref()
            .filter(|config| !pool::is_rendered(config))
        {
            let found = machineconfig::render::check(config).into_iter();
            return found
                .map(|finding| Located {
                    place: self.place.clone(),
                    finding,
                })
                .collect();
        }
        let mut findings = Findings::default();
        self.parse(&mut findings);
        findings.settle()
    }

    /// Reads and validates the config. What is wrong with it goes to `findings`; nothing is returned when
    /// that refuses it. A MachineConfig without a config has the empty one.
    pub(crate) fn parse(&self, findings: &mut Findings) -> Option<Parsed> {
        match self.parsed(Config::from_value) {
            Ok(parsed) => {
                findings.extend(self.findings(&parsed.warnings));
                Some(parsed)
            }
            Err(invalid) => {
                findings.extend(self.findings(&invalid.problems));
                None
            }
        }
    }

    /// Reads the config without judging it; nothing when it cannot be read at all.
    pub(crate) fn parse_leniently(&self) -> Option<Parsed> {
        self.parsed(Config::from_value_unvalidated).ok()
    }

    fn parsed(
        &self,
        read: impl Fn(&Value) -> Result<Parsed, ignition::Invalid>,
    ) -> Result<Parsed, ignition::Invalid> {
        if self.config.is_null() {
            return Ok(Parsed {
                config: Config::empty(),
                declared: String::new(),
                warnings: Vec::new(),
            });
        }
        read(&self.config)
    }

    /// Problems of the config as findings about the object at its place.
    pub(crate) fn findings(&self, problems: &[Problem]) -> Vec<Located> {
        let root = if self.machine_config.is_some() {
            "spec.config"
        } else {
            ""
        };
        let found = problems.iter().map(|problem| Located {
            place: self.place.clone(),
            finding: Finding::from_problem(self.object(), root, problem),
        });
        found.collect()
    }
}
