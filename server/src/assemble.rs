//! Assembly: from a rendered MachineConfig and what goes with it to the bytes a machine is served.
//!
//! Entry point: [`Assembly`]. A function of values; the order of what is appended is the reference's
//! (`MCO server 1.8`), and so is every byte but the modes of two files.

mod go_json;
mod object;

use crds::MachineConfig;
use ignition::{Config, Invalid, Version, contents};
use serde_json::{Map, Value, json};

/// Where the kubelet's client CA lives on a node.
const KUBELET_CA: &str = "/etc/kubernetes/kubelet-ca.crt";
/// Where the CA of the cloud provider lives on a node.
const CLOUD_CA: &str = "/etc/kubernetes/static-pod-resources/configmaps/cloud-config/ca-bundle.pem";
/// From here the daemon takes the node's first annotations.
const NODE_ANNOTATIONS: &str = "/etc/machine-config-daemon/node-annotations.json";
/// With this the kubelet asks for its certificate.
const KUBECONFIG: &str = "/etc/kubernetes/kubeconfig";
/// The MachineConfig as served.
const CONTENT: &str = "/etc/mcs-machine-config-content.json";
/// From here the first boot takes what is not Ignition: OS image, kernel arguments, extensions.
const ENCAPSULATED: &str = "/etc/ignition-machine-config-encapsulated.json";

/// Annotation on a MachineConfig: the image it was built into beforehand.
const PRE_BUILT_IMAGE: &str = "machineconfiguration.openshift.io/pre-built-image";

/// 0644, the reference's mode of everything that is appended.
const MODE: u32 = 0o644;
/// 0600, where the reference has 0644 too: the kubeconfig holds a token, and the MachineConfig the contents of every file of the
/// node, those with mode 0600 included.
const SECRET_MODE: u32 = 0o600;

/// The version below which Ignition cannot set kernel arguments by itself.
const KERNEL_ARGUMENTS_SINCE: Version = Version::V3_3;

/// What a body is made of.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// Name of the rendered MachineConfig, as the pool says it.
    pub rendered: &'a str,
    /// The rendered MachineConfig.
    pub machine_config: &'a MachineConfig,
    /// `spec.kubeAPIServerServingCAData` of the ControllerConfig, decoded. Empty: left as it is in the config.
    pub kubelet_ca: &'a [u8],
    /// `spec.cloudProviderCAData` of the ControllerConfig, decoded. Empty: left as it is in the config.
    pub cloud_ca: &'a [u8],
    /// The kubeconfig the kubelet begins with.
    pub kubeconfig: &'a [u8],
    /// Registry (`host[:port]`) and its CA, in the order in which they are appended.
    pub registry_cas: &'a [(String, Vec<u8>)],
}

/// Why a body cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// There is no Ignition config to serve.
    #[error("spec.config is missing")]
    NoConfig,
    /// The rendered config is not valid by itself.
    #[error("spec.config is not a valid Ignition config: {0}")]
    Config(Invalid),
    /// The config clashes with what is appended, mostly by the path of a file.
    #[error("spec.config cannot be combined with what the server appends: {0}")]
    Combined(Invalid),
    /// The version has no kernel arguments and these cannot be moved to the MachineConfig.
    #[error(
        "spec.config.kernelArguments.shouldNotExist cannot be served below Ignition {KERNEL_ARGUMENTS_SINCE}"
    )]
    ShouldNotExist,
    /// The version cannot say what the config says.
    #[error("spec.config cannot be translated to Ignition {version}: {reasons}")]
    Untranslatable {
        /// The version asked for.
        version: Version,
        /// Everything it cannot say.
        reasons: Invalid,
    },
}

/// The complete config of one pool, ready to be written in each version.
#[derive(Debug)]
pub struct Assembly {
    /// For the versions that have kernel arguments.
    complete: Result<Config, AssembleError>,
    /// For the others; `None` when that makes no difference.
    without_kernel_arguments: Option<Result<Config, AssembleError>>,
}

impl Assembly {
    /// Puts the parts together.
    ///
    /// # Errors
    /// [`AssembleError::NoConfig`] and [`AssembleError::Config`], which concern every version.
    pub fn new(inputs: &Inputs<'_>) -> Result<Self, AssembleError> {
        let raw = inputs
            .machine_config
            .spec
            .config
            .as_ref()
            .ok_or(AssembleError::NoConfig)?;
        let config = Config::from_value(raw)
            .map_err(AssembleError::Config)?
            .config
            .value()
            .clone();
        let without_kernel_arguments = migrate_kernel_arguments(&config, inputs.machine_config)
            .map(|migrated| migrated.and_then(|(config, object)| combine(config, &object, inputs)));
        Ok(Self {
            complete: combine(config, inputs.machine_config, inputs),
            without_kernel_arguments,
        })
    }

    /// The bytes to serve to a client that gets `version`.
    ///
    /// # Errors
    /// Why this version cannot be served, while others perhaps can.
    pub fn body(&self, version: Version) -> Result<String, AssembleError> {
        let config = match &self.without_kernel_arguments {
            Some(config) if version < KERNEL_ARGUMENTS_SINCE => config,
            _ => &self.complete,
        };
        let config = config.as_ref().map_err(Clone::clone)?;
        config
            .encode(version)
            .map_err(|reasons| AssembleError::Untranslatable { version, reasons })
    }
}

/// Moves Ignition's kernel arguments into the MachineConfig, from where the first boot takes them.
/// `None` when there are none to move.
fn migrate_kernel_arguments(
    config: &Value,
    object: &MachineConfig,
) -> Option<Result<(Value, MachineConfig), AssembleError>> {
    let section = config.get("kernelArguments")?;
    let entries = |key: &str| {
        section
            .get(key)
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice)
    };
    if !entries("shouldNotExist").is_empty() {
        return Some(Err(AssembleError::ShouldNotExist));
    }
    let (mut config, mut object) = (config.clone(), object.clone());
    let moved = entries("shouldExist")
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned);
    object.spec.kernel_arguments.get_or_insert_default().extend(moved);
    if let Value::Object(config) = &mut config {
        config.remove("kernelArguments");
    }
    Some(Ok((config, object)))
}

/// Appends to the config what the server adds, in the reference's order, and validates the result.
fn combine(mut config: Value, object: &MachineConfig, inputs: &Inputs<'_>) -> Result<Config, AssembleError> {
    let Some(files) = files_of(&mut config) else {
        unreachable!("a parsed config is an object whose storage.files is a list");
    };
    set_ca(files, KUBELET_CA, inputs.kubelet_ca);
    set_ca(files, CLOUD_CA, inputs.cloud_ca);
    files.push(file(
        NODE_ANNOTATIONS,
        MODE,
        go_json::compact(&node_annotations(inputs.rendered, object)).as_bytes(),
    ));
    files.push(file(KUBECONFIG, SECRET_MODE, inputs.kubeconfig));
    files.push(file(
        CONTENT,
        SECRET_MODE,
        go_json::indented(&object::as_written(object)).as_bytes(),
    ));
    for (registry, ca) in inputs.registry_cas {
        files.push(file(&format!("/etc/docker/certs.d/{registry}/ca.crt"), MODE, ca));
    }
    files.push(file(
        ENCAPSULATED,
        MODE,
        go_json::compact(&object::encapsulated(object)).as_bytes(),
    ));
    Config::from_value(&config)
        .map(|parsed| parsed.config)
        .map_err(AssembleError::Combined)
}

/// The list of files, made if need be.
fn files_of(config: &mut Value) -> Option<&mut Vec<Value>> {
    let storage = config
        .as_object_mut()?
        .entry("storage")
        .or_insert_with(|| Value::Object(Map::new()));
    let files = storage
        .as_object_mut()?
        .entry("files")
        .or_insert_with(|| Value::Array(Vec::new()));
    files.as_array_mut()
}

/// Refreshes a CA: an existing file keeps everything but its source, an absent one is appended. Without data nothing
/// is done.
fn set_ca(files: &mut Vec<Value>, path: &str, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    match files.iter_mut().find(|file| file["path"] == path) {
        Some(file) => file["contents"]["source"] = contents::percent(data).into(),
        None => files.push(self::file(path, MODE, data)),
    }
}

fn file(path: &str, mode: u32, data: &[u8]) -> Value {
    json!({"path": path, "mode": mode, "overwrite": true, "contents": {"source": contents::percent(data)}})
}

/// The annotations a node begins its life with.
fn node_annotations(rendered: &str, object: &MachineConfig) -> Value {
    let mut annotations = Map::new();
    let mut set = |key: &str, value: &str| {
        annotations.insert(format!("machineconfiguration.openshift.io/{key}"), value.into());
    };
    set("currentConfig", rendered);
    set("desiredConfig", rendered);
    set("firstPivotConfig", rendered);
    set("state", "Done");
    let image = object
        .metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(PRE_BUILT_IMAGE));
    if let Some(image) = image.filter(|image| !image.is_empty()) {
        set("currentImage", image);
        set("desiredImage", image);
    }
    Value::Object(annotations)
}

#[cfg(test)]
mod tests;
