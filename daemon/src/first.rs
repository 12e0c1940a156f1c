//! A node that has had no config of ours: what its disk says beyond what drift looks at, and what nobody but its first boot could have
//! made. [`FirstLook::of`] is the entry point.

use std::path::Path;

use ignition::Config;
use machineconfig::{Code, Finding, Layout, RenderedConfig};
use serde_json::Value;

use crate::host::Root;
use crate::host::identity::Identity;
use crate::host::shadow;

/// Longest file of password hashes that is read, in bytes: tens of thousands of users.
const MAX_SHADOW: u64 = 4 << 20;
/// Entries that a warning names; the rest is counted.
const NAMED: usize = 5;

/// What a first look at a node adds.
#[derive(Debug)]
pub struct FirstLook {
    /// The config as found, without the password hashes that the node does not have.
    pub found: RenderedConfig,
    /// What of the config is not there and is not made on a running node.
    pub warnings: Vec<Finding>,
}

impl FirstLook {
    /// Of the node beneath `root`, which is to get `desired`, and whose disk says `found` of it.
    pub fn of(root: &Root, desired: &RenderedConfig, found: RenderedConfig) -> std::io::Result<Self> {
        let layout = Layout::of(&desired.ignition);
        let text = root
            .read(Path::new(shadow::PATH), MAX_SHADOW)?
            .unwrap_or_default();
        let has_hash = |user: &str| {
            let wanted = layout
                .users
                .get(user)
                .and_then(|user| user.password_hash.as_deref());
            wanted.is_none_or(|hash| shadow::get(&text, user) == Some(hash.as_bytes()))
        };
        let object = format!("MachineConfig/{}", desired.name);
        let mut warnings = Vec::new();
        warnings.extend(os_settings(desired).map(|settings| {
            let message =
                format!("{settings} are taken as they are: nothing on this node says what they were");
            Finding::warning(Code::OS_NOT_READ, &object, "", message)
        }));
        let missing = not_made(root, desired);
        if !missing.is_empty() {
            let more = missing.len().saturating_sub(NAMED);
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            let message = format!(
                "{}{more} are not there: directories and links are made at first boot only",
                missing[..missing.len().min(NAMED)].join(", ")
            );
            warnings.push(Finding::warning(
                Code::NOT_PROVISIONED,
                &object,
                "spec.config.storage",
                message,
            ));
        }
        let identity = Identity::read(root)?;
        let strangers = layout
            .users
            .keys()
            .filter(|user| !identity.users.contains_key(*user));
        warnings.extend(strangers.map(|user| {
            Finding::warning(
                Code::UNKNOWN_USER,
                user,
                "",
                "is not on this node, so nothing of the config is set for this user",
            )
        }));
        Ok(Self {
            found: without_hashes(found, &has_hash),
            warnings,
        })
    }
}

/// Takes out the hashes of users who have others.
fn without_hashes(found: RenderedConfig, has_hash: &dyn Fn(&str) -> bool) -> RenderedConfig {
    let mut value = found.ignition.value().clone();
    let users = value.pointer_mut("/passwd/users").and_then(Value::as_array_mut);
    for user in users.into_iter().flatten().filter_map(Value::as_object_mut) {
        let name = user.get("name").and_then(Value::as_str).unwrap_or_default();
        if !has_hash(name) {
            user.remove("passwordHash");
        }
    }
    // A config without some of its values is one of the same types.
    let ignition = Config::from_value_unvalidated(&value).map(|parsed| parsed.config);
    RenderedConfig {
        ignition: ignition.unwrap_or_else(|_| found.ignition.clone()),
        ..found
    }
}

/// Directories and links of a config that are not there.
fn not_made(root: &Root, config: &RenderedConfig) -> Vec<String> {
    let list = |pointer: &str| {
        config
            .ignition
            .value()
            .pointer(pointer)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let entries = list("/storage/directories")
        .into_iter()
        .chain(list("/storage/links"));
    entries
        .filter_map(|entry| entry.get("path").and_then(Value::as_str).map(str::to_owned))
        .filter(|path| !root.is_there(Path::new(path)).unwrap_or(false))
        .collect()
}

/// What of the operating system a config sets, in words.
fn os_settings(config: &RenderedConfig) -> Option<String> {
    let spec = &config.spec;
    let set = [
        (!spec.os_image_url.is_empty(), "the OS image"),
        (
            spec.kernel_arguments
                .as_ref()
                .is_some_and(|list| !list.is_empty()),
            "kernel arguments",
        ),
        (
            spec.extensions.as_ref().is_some_and(|list| !list.is_empty()),
            "extensions",
        ),
        (
            !matches!(spec.kernel_type.as_str(), "" | "default"),
            "the kernel type",
        ),
    ];
    let names: Vec<_> = set
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, name)| *name)
        .collect();
    (!names.is_empty()).then(|| names.join(", "))
}
