//! The configs that a node keeps: the current one, where the reference has it too, and the last few to go back to.

use std::io;
use std::path::{Path, PathBuf};

use crds::MachineConfig;
use machineconfig::{Code, Finding};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::change::Contents;
use crate::host::write::Failed;
use crate::host::{Rename, Root, Traits, Writer};
use crate::transaction::Record;

/// The config that is on the node (MCO daemon 1.11).
pub const CURRENT: &str = "/etc/machine-config-daemon/currentconfig";
/// The last few configs, by name.
pub const CONFIGS: &str = "/var/lib/machine-config/configs";
/// Their names, the newest first.
const ORDER: &str = "/var/lib/machine-config/configs/.order";
/// A reboot that the current config needs.
pub const REBOOT: &str = "/var/lib/machine-config/reboot";
/// How many are kept, the current one included.
pub const KEPT: usize = 3;
/// Longest config that is read, in bytes: far beyond what an API server stores.
const MAX_BYTES: u64 = 512 << 20;

/// Bytes of a config's name in the name of its file.
const LONGEST: usize = 200;
/// Bytes of a hash in a name: enough that no two of a node meet.
const HASH: usize = 8;

/// A reboot that is due: the config is on disk, and what runs is still from before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RebootDue {
    /// The boot that has to end. A different boot id is the proof that it has.
    pub boot_id: String,
    /// The config that needs it.
    pub config: String,
    /// Since when.
    pub since: jiff::Timestamp,
    /// When it was asked for, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<jiff::Timestamp>,
}

/// The current config; `None` when the node has none of ours yet.
pub fn current(root: &Root) -> Result<Option<MachineConfig>, Finding> {
    read(root, CURRENT).map_err(|message| Finding::error(Code::CURRENT_UNREADABLE, CURRENT, "", message))
}

/// A config that is kept, by name: the current one, or one of those before it.
pub fn kept(root: &Root, name: &str) -> Result<MachineConfig, Finding> {
    let refuse = |message| Finding::error(Code::NO_SUCH_CONFIG, format!("MachineConfig/{name}"), "", message);
    if !names(root).unwrap_or_default().iter().any(|kept| kept == name) {
        return Err(refuse("is not kept on this node".to_owned()));
    }
    let named = |config: &MachineConfig| config.metadata.name.as_deref() == Some(name);
    match read(root, &file(name).to_string_lossy()) {
        Ok(Some(config)) => Ok(config),
        Ok(None) => match read(root, CURRENT) {
            Ok(current) => current
                .filter(named)
                .ok_or_else(|| refuse("is not kept on this node".to_owned())),
            Err(message) => Err(refuse(message)),
        },
        Err(message) => Err(refuse(message)),
    }
}

/// Names of the configs that are kept, the newest first.
pub fn names(root: &Root) -> io::Result<Vec<String>> {
    let bytes = root.read(Path::new(ORDER), MAX_BYTES)?;
    Ok(bytes
        .map(|bytes| decode(ORDER, &bytes))
        .transpose()?
        .unwrap_or_default())
}

/// Names of the configs that are kept, from their files: for when their order is lost.
fn names_there(root: &Root) -> Vec<String> {
    let entries = root.list(Path::new(CONFIGS)).unwrap_or_default();
    let name = |entry: crate::host::root::Entry| {
        let name = entry.name.to_str()?.strip_suffix(".json")?;
        Some(name.to_owned())
    };
    entries.into_iter().filter_map(name).collect()
}

/// A record of ours. One that says nothing was not written by us: each comes whole or not at all.
fn decode<T: serde::de::DeserializeOwned>(path: &str, bytes: &[u8]) -> io::Result<T> {
    serde_json::from_slice(bytes).map_err(|error| io::Error::other(format!("{path} is damaged: {error}")))
}

/// The reboot that is due, if one is.
pub fn reboot_due(root: &Root) -> io::Result<Option<RebootDue>> {
    let bytes = root.read(Path::new(REBOOT), MAX_BYTES)?;
    bytes.map(|bytes| decode(REBOOT, &bytes)).transpose()
}

/// What is written when the config `name` becomes the current one, with these contents, and `before` was that so far. The one before is not written again: its
/// file gets a second name. When both have one name, as configs that people write by hand, the one before is kept with the
/// beginning of its hash behind the name.
#[must_use]
pub fn records(
    root: &Root,
    name: &str,
    contents: &Contents,
    before: Option<&str>,
    due: Option<&RebootDue>,
) -> Vec<Record> {
    let before = match before {
        Some(before) if before == name => renamed(root, name, contents.bytes()),
        other => other.map(str::to_owned),
    };
    let before = before.as_deref();
    let mut order = names(root).unwrap_or_else(|_| names_there(root));
    // Going back to one of several of a name: as the current one it is not kept besides.
    let itself = format!("{name}@{}", &contents.sha256()[..2 * HASH]);
    let came_back = order.contains(&itself).then(|| itself.clone());
    order.retain(|kept| kept != name && Some(kept.as_str()) != before && *kept != itself);
    order.splice(
        0..0,
        [Some(name), before].into_iter().flatten().map(str::to_owned),
    );
    let dropped = order.split_off(order.len().min(KEPT));
    // Of the current one there is the record that the reference has, too.
    let gone = dropped
        .iter()
        .map(String::as_str)
        .chain([name])
        .chain(came_back.as_deref())
        .map(|name| Record::Gone { path: file(name) });
    let written = |path: &str, contents| Record::Written {
        path: path.into(),
        contents,
    };
    let mut records: Vec<_> = gone.collect();
    records.extend(before.map(|before| Record::Kept {
        path: file(before),
        of: CURRENT.into(),
    }));
    records.push(written(ORDER, Contents::of(encode(&order))));
    records.push(due.map_or_else(
        || Record::Gone { path: REBOOT.into() },
        |due| written(REBOOT, Contents::of(encode(due))),
    ));
    // Last: it says that all the rest is done.
    records.push(written(CURRENT, contents.clone()));
    records
}

/// What to call the current config once `config`, of the same name, is in its place; `None` when it is the same.
#[must_use]
pub fn namesake(root: &Root, config: &MachineConfig) -> Option<String> {
    let name = config.metadata.name.as_deref().unwrap_or_default();
    renamed(root, name, &encode(config))
}

/// As [`namesake`], of a config as it is written down.
fn renamed(root: &Root, name: &str, config: &[u8]) -> Option<String> {
    let current = root.read(Path::new(CURRENT), MAX_BYTES).ok().flatten()?;
    (current != config).then(|| labelled(name, &current))
}

fn labelled(name: &str, bytes: &[u8]) -> String {
    format!("{name}@{}", short_hash(bytes))
}

/// The beginning of the hash of a config, as it is written down.
#[must_use]
pub fn digest(config: &MachineConfig) -> String {
    short_hash(&encode(config))
}

fn short_hash(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest[..HASH]
        .iter()
        .fold(String::new(), |hash, byte| format!("{hash}{byte:02x}"))
}

/// A value as it is written down.
pub(crate) fn encode(value: &(impl Serialize + ?Sized)) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).expect("all keys of a record are strings");
    bytes.push(b'\n');
    bytes
}

/// Where a config is kept. Its name comes from outside, so it is never taken for more than one part of a path.
fn file(name: &str) -> PathBuf {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-.@".contains(c);
    let name: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    // The longest name of an object, with its end, is longer than a file's may be.
    let name = if name.len() > LONGEST {
        format!("{}-{}", &name[..LONGEST], short_hash(name.as_bytes()))
    } else {
        name
    };
    Path::new(CONFIGS).join(format!("{name}.json"))
}

/// A config as the reference keeps it: with or without its kind, and only the first value of the file counts (MCO daemon 15).
fn read(root: &Root, path: &str) -> Result<Option<MachineConfig>, String> {
    let bytes = match root.read(Path::new(path), MAX_BYTES) {
        Ok(Some(bytes)) => bytes,
        Ok(None) if root.is_there(Path::new(path)).unwrap_or(false) => return Err("is no file".to_owned()),
        Ok(None) => return Ok(None),
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    let mut values = serde_json::Deserializer::from_slice(&bytes).into_iter::<serde_json::Value>();
    let value = values
        .next()
        .transpose()
        .map_err(|error| format!("holds no JSON: {error}"))?;
    let mut value = value.ok_or("is empty")?;
    let object = value.as_object_mut().ok_or("holds no object")?;
    object
        .entry("apiVersion")
        .or_insert_with(|| "machineconfiguration.openshift.io/v1".into());
    object.entry("kind").or_insert_with(|| "MachineConfig".into());
    let config: MachineConfig =
        serde_json::from_value(value).map_err(|error| format!("holds no MachineConfig: {error}"))?;
    if config.spec.config.as_ref().is_none_or(serde_json::Value::is_null) {
        return Err("holds a MachineConfig without an Ignition config".to_owned());
    }
    Ok(Some(config))
}

/// Puts a record in the place of another, durable when this returns: the old one or the new one is there at any time.
pub(crate) fn replace(root: &Root, path: &str, bytes: &[u8]) -> Result<(), Failed> {
    let mut writer = Writer::new(root);
    crate::apply::provide_state(root, &mut writer)?;
    let path = Path::new(path);
    let mut unborn = path.as_os_str().to_owned();
    unborn.push(".new");
    let unborn = Path::new(&unborn);
    crate::change::gone(writer.remove(unborn))?;
    writer.create(
        unborn,
        bytes,
        &Traits {
            mode: 0o600,
            ..Traits::default()
        },
    )?;
    writer.sync_file(unborn)?;
    writer.rename(unborn, path, Rename::Over)?;
    writer.sync_directory(path.parent().unwrap_or(Path::new("/")))
}

/// Removes a record, durable when this returns.
pub(crate) fn remove(root: &Root, path: &str) -> Result<(), Failed> {
    let mut writer = Writer::new(root);
    let path = Path::new(path);
    match writer.remove(path) {
        // As nearly always: that a record is not there needs no flush.
        Err(failed) if crate::change::is_errno(&failed, &[rustix::io::Errno::NOENT]) => Ok(()),
        Err(failed) => Err(failed),
        Ok(()) => writer.sync_directory(path.parent().unwrap_or(Path::new("/"))),
    }
}
