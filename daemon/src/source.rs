//! The config that a disk is held against: a MachineConfig, or an Ignition config as a server hands it out.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crds::manifest::{self, MAX_TEXT_BYTES, Object};
use crds::{MachineConfig, MachineConfigSpec};
use machineconfig::drift::{self, Expectation, ExpectationError};
use machineconfig::finding::{Located, Place};
use machineconfig::{Code, Finding, objects};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Bytes of the hash in the name of an Ignition config: enough that no two of a node meet.
const NAME_BYTES: usize = 6;

/// A config, and where it was read.
#[derive(Debug)]
pub struct Source {
    /// What reports call it: the name of the MachineConfig, or the file of an Ignition config.
    pub name: String,
    /// The config as an object: an Ignition config gets a name that tells its contents.
    pub config: MachineConfig,
    /// Where it is, for findings.
    place: Place,
    /// What findings call it; empty for an Ignition config.
    object: String,
    /// The field that the Ignition config is; empty when it is the whole.
    root: &'static str,
}

impl Source {
    /// What it demands of a disk.
    ///
    /// # Errors
    /// Every reason why its Ignition config cannot be read.
    pub fn expectation(&self) -> Result<Expectation, Vec<Located>> {
        drift::expected(&self.config).map_err(|error| refused(error, &self.object, self.root, &self.place))
    }

    /// The config, for whoever has the rules for MachineConfigs told by others ([`machineconfig::render::check`]). Only what those
    /// do not tell, or would tell with fields that the file does not have, is told here.
    ///
    /// # Errors
    /// As [`Source::expectation`].
    pub fn into_config(self) -> Result<MachineConfig, Vec<Located>> {
        let has_config = self
            .config
            .spec
            .config
            .as_ref()
            .is_some_and(|config| !config.is_null());
        if self.root.is_empty() || !has_config {
            self.expectation()?;
        }
        Ok(self.config)
    }
}

/// Reads the config in the file at `path`, `-` for standard input. Everything that is wrong with it is told.
pub fn read(path: &Path) -> Result<Source, Vec<Located>> {
    read_as(path, &path.to_string_lossy())
}

/// As [`read`], of what reports are to call `file`.
pub fn read_as(path: &Path, file: &str) -> Result<Source, Vec<Located>> {
    let text = text(path).map_err(|finding| {
        vec![Located {
            place: Place::file(file),
            finding,
        }]
    })?;
    parse(file, &text)
}

/// As [`read`], from its text.
pub fn parse(file: &str, text: &str) -> Result<Source, Vec<Located>> {
    let at_file = |finding| {
        vec![Located {
            place: Place::file(file),
            finding,
        }]
    };
    if says_kind(text) {
        return machine_config(file, text);
    }
    match manifest::value(file, text) {
        // What a server hands out, whatever its version.
        Ok(value) if value.get("ignition").is_some() && value.get("kind").is_none() => Ok(Source {
            name: file.to_owned(),
            config: of_ignition(value),
            place: Place::file(file),
            object: String::new(),
            root: "",
        }),
        // The reference's daemon keeps the current config without saying what it is.
        Ok(mut value) if value.get("kind").is_none() && value.pointer("/spec/config").is_some() => {
            value["kind"] = json!("MachineConfig");
            value["apiVersion"] = json!("machineconfiguration.openshift.io/v1");
            machine_config(file, &value.to_string())
        }
        Ok(Value::Null) => Err(at_file(Finding::error(
            Code::NOT_ONE_OBJECT,
            "",
            "",
            "holds no object and no Ignition config",
        ))),
        // What is wrong, or several documents of which one is a MachineConfig, the objects tell better.
        Ok(_) | Err(_) => machine_config(file, text),
    }
}

/// Whether a text is a JSON object that says its kind, which is then what it is: it need not be read twice to know.
fn says_kind(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Said {
        kind: Option<IgnoredAny>,
    }
    serde_json::from_str::<Said>(text).is_ok_and(|said| said.kind.is_some())
}

fn machine_config(file: &str, text: &str) -> Result<Source, Vec<Located>> {
    let (manifests, errors) = manifest::parse(file, text);
    if !errors.is_empty() {
        return Err(errors.into_iter().map(objects::malformed).collect());
    }
    let mut configs = manifests
        .into_iter()
        .filter_map(|manifest| match manifest.object {
            Object::MachineConfig(config) => Some((manifest.line, config)),
            _ => None,
        });
    let (first, rest) = (configs.next(), configs.count());
    let Some((line, config)) = first.filter(|_| rest == 0) else {
        let message = match rest {
            0 => "holds no MachineConfig and no Ignition config".to_owned(),
            _ => format!("holds {} MachineConfigs, and one is needed", rest + 1),
        };
        let finding = Finding::error(Code::NOT_ONE_OBJECT, "", "", message);
        return Err(vec![Located {
            place: Place::file(file),
            finding,
        }]);
    };
    let name = config.metadata.name.clone().unwrap_or_default();
    let place = Place {
        file: file.to_owned(),
        line,
        column: 0,
    };
    Ok(Source {
        object: format!("MachineConfig/{name}"),
        name,
        config: *config,
        place,
        root: "spec.config",
    })
}

/// An Ignition config as an object. It is named by its contents, so that the same is the same whatever its file is called.
fn of_ignition(value: Value) -> MachineConfig {
    let digest = Sha256::digest(value.to_string().as_bytes());
    let name = digest[..NAME_BYTES]
        .iter()
        .fold("ignition-".to_owned(), |name, byte| format!("{name}{byte:02x}"));
    let spec = MachineConfigSpec {
        config: Some(value),
        ..MachineConfigSpec::default()
    };
    MachineConfig::new(&name, spec)
}

/// Every reason why a config cannot be read, each with its field below `root`.
fn refused(error: ExpectationError, object: &str, root: &str, place: &Place) -> Vec<Located> {
    let findings = match error {
        ExpectationError::NoConfig { .. } => {
            let message = "there is no Ignition config to verify against";
            vec![Finding::error(
                Code::NOTHING_TO_VERIFY,
                object,
                "spec.config",
                message,
            )]
        }
        ExpectationError::Invalid { reason, .. } => reason
            .problems
            .iter()
            .map(|problem| Finding::from_problem(object, root, problem))
            .collect(),
    };
    findings
        .into_iter()
        .map(|finding| Located {
            place: place.clone(),
            finding,
        })
        .collect()
}

/// The text of a file, bounded.
pub(crate) fn text(path: &Path) -> Result<String, Finding> {
    let unreadable =
        |error: io::Error| Finding::error(Code::UNREADABLE, "", "", format!("cannot be read: {error}"));
    let mut bytes = Vec::new();
    let limit = MAX_TEXT_BYTES as u64 + 1;
    if path == Path::new("-") {
        io::stdin()
            .lock()
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
    } else {
        File::open(path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(unreadable)?;
    }
    if bytes.len() > MAX_TEXT_BYTES {
        let message = format!("is longer than {} MiB", MAX_TEXT_BYTES >> 20);
        return Err(Finding::error(Code::TEXT_TOO_LARGE, "", "", message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let message = format!("is no text: bytes that are not UTF-8 at offset {offset}");
        Finding::error(Code::NOT_TEXT, "", "", message)
    })
}
