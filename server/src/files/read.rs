//! Reading single files: bytes to objects, and what is wrong with them in words.

use std::io;
use std::path::Path;

use crds::manifest::{self, Object};
use crds::{ControllerConfig, MachineConfig, MachineConfigPool};
use machineconfig::{Code, Finding};

use super::{Common, ControllerCas, RegistryCa};
use crate::watched::Watched;

/// The kubeconfig, which comes first, and the CAs of registries.
pub(super) fn common(files: &mut [Watched], registry_cas: &[RegistryCa]) -> Result<Common, Finding> {
    let (kubeconfig, cas) = files
        .split_first_mut()
        .expect("the kubeconfig is always the first file");
    let text = text(kubeconfig, Code::SERVER_KUBECONFIG)?;
    check_kubeconfig(kubeconfig.path(), &text)?;
    let mut read = Vec::with_capacity(cas.len());
    for (ca, file) in registry_cas.iter().zip(cas) {
        let bytes = file
            .read()
            .map_err(|error| unreadable(Code::SERVER_REGISTRY_CA, file.path(), &error))?;
        read.push((ca.registry.clone(), bytes));
    }
    Ok(Common {
        kubeconfig: text.into_bytes(),
        registry_cas: read,
    })
}

/// The bytes are served as they are, but a kubeconfig without a cluster would leave every machine helpless.
fn check_kubeconfig(path: &Path, text: &str) -> Result<(), Finding> {
    let refused =
        |message: String| Finding::error(Code::SERVER_KUBECONFIG, path.display().to_string(), "", message);
    let config =
        manifest::value(&path.display().to_string(), text).map_err(|error| refused(error.message))?;
    match config.get("clusters").and_then(serde_json::Value::as_array) {
        Some(clusters) if !clusters.is_empty() => Ok(()),
        _ => Err(refused("it names no cluster".to_owned())),
    }
}

/// The ControllerConfig.
pub(super) fn controller_cas(file: &mut Watched) -> Result<ControllerCas, Finding> {
    let config: Box<ControllerConfig> =
        object(file, Code::SERVER_CONTROLLER_CONFIG, |object| match object {
            Object::ControllerConfig(config) => Some(config),
            _ => None,
        })?;
    let spec = config.spec;
    Ok(ControllerCas {
        kubelet: spec.kube_api_server_serving_ca_data.0,
        cloud: spec.cloud_provider_ca_data.unwrap_or_default().0,
    })
}

/// The pool of that name.
pub(super) fn pool(file: &mut Watched, name: &str) -> Result<Box<MachineConfigPool>, Finding> {
    let pool = object(file, Code::SERVER_POOL, |object| match object {
        Object::MachineConfigPool(pool) => Some(pool),
        _ => None,
    })?;
    check_name(file, Code::SERVER_POOL, pool.metadata.name.as_deref(), name)?;
    Ok(pool)
}

/// The MachineConfig of that name.
pub(super) fn machine_config(file: &mut Watched, name: &str) -> Result<Box<MachineConfig>, Finding> {
    let config = object(file, Code::SERVER_MACHINE_CONFIG, |object| match object {
        Object::MachineConfig(config) => Some(config),
        _ => None,
    })?;
    let found = config.metadata.name.as_deref();
    check_name(file, Code::SERVER_MACHINE_CONFIG, found, name)?;
    Ok(config)
}

/// A file is looked up by the name of its object, so another name means that another file was put in its place.
fn check_name(file: &Watched, code: Code, found: Option<&str>, expected: &str) -> Result<(), Finding> {
    if found == Some(expected) {
        return Ok(());
    }
    let found = found.map_or("not given".to_owned(), |name| format!("{name:?}"));
    Err(Finding::error(
        code,
        file.path().display().to_string(),
        "metadata.name",
        format!("it is {found}, and the file is the one of {expected:?}"),
    ))
}

/// The one object of a file, if it is of the kind that `pick` picks.
fn object<T>(file: &mut Watched, code: Code, pick: fn(Object) -> Option<T>) -> Result<T, Finding> {
    let text = text(file, code)?;
    let path = file.path().display().to_string();
    let (manifests, errors) = manifest::parse(&path, &text);
    if let Some(error) = errors.into_iter().next() {
        let object = error.object.clone().unwrap_or(path);
        return Err(Finding::error(code, object, "", error.to_string()));
    }
    let count = manifests.len();
    let mut objects = manifests.into_iter().map(|manifest| manifest.object);
    match (objects.next().and_then(pick), count) {
        (Some(object), 1) => Ok(object),
        _ => Err(Finding::error(
            code,
            path,
            "",
            "the file must hold exactly one object, of the kind it is there for",
        )),
    }
}

fn text(file: &mut Watched, code: Code) -> Result<String, Finding> {
    let bytes = file
        .read()
        .map_err(|error| unreadable(code, file.path(), &error))?;
    String::from_utf8(bytes).map_err(|_| {
        Finding::error(
            code,
            file.path().display().to_string(),
            "",
            "the file is not UTF-8 text",
        )
    })
}

/// A file or directory that cannot be read.
pub(super) fn unreadable(code: Code, path: &Path, error: &io::Error) -> Finding {
    Finding::error(
        code,
        path.display().to_string(),
        "",
        format!("it cannot be read: {error}"),
    )
}
