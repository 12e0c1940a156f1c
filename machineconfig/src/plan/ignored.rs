//! What differs and does nothing on a running node (MCO daemon 3.1, 3.3).

use super::Ignored;
use super::context::Context;
use super::lists::{both, section};

/// Sections that only act when a node is installed: where they are, and what their entries are known by.
const FIRST_BOOT: &[(&str, &str)] = &[
    ("storage.directories", "path"),
    ("storage.disks", "device"),
    ("storage.filesystems", "device"),
    ("storage.links", "path"),
    ("storage.luks", "name"),
    ("storage.raid", "name"),
    ("kernelArguments", ""),
    ("ignition.config", ""),
    ("ignition.proxy", ""),
    ("ignition.security", ""),
    ("ignition.timeouts", ""),
];

/// Every such section that differs.
pub(super) fn sections(context: &Context<'_>) -> Vec<Ignored> {
    let mut ignored = Vec::new();
    for (name, key) in FIRST_BOOT {
        let pointer = format!("/{}", name.replace('.', "/"));
        let old = section(&context.current.ignition, &pointer);
        let new = section(&context.desired.ignition, &pointer);
        if old != new {
            let changed = both(old, new, key)
                .into_iter()
                .filter(|(_, (old, new))| old != new);
            ignored.push(Ignored {
                section: (*name).to_owned(),
                names: changed.map(|(key, _)| key.to_owned()).collect(),
                reason: "it only acts when a node is installed".to_owned(),
            });
        }
    }
    let (old, new) = (&context.current.spec, &context.desired.spec);
    if old.base_os_extensions_container_image != new.base_os_extensions_container_image {
        ignored.push(Ignored {
            section: "baseOSExtensionsContainerImage".to_owned(),
            names: Vec::new(),
            reason: "it is used when the OS image, the extensions or the kernel type change".to_owned(),
        });
    }
    ignored
}
