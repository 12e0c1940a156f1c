//! A small node, and two configs that differ in everything a config can change without a running systemd.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Files of both revisions whose contents differ. Many, so that there are many moments between the first and the last.
const FILES: usize = 150;

/// Files that only one of both revisions has, for each of them.
const OWN: usize = 25;

/// Bytes of a file: a block, so that contents never lie in the inode.
const SIZE: usize = 4096;

/// The user whom SSH keys are for.
const CORE: u32 = 1000;

/// One of two configs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revision {
    First,
    Second,
}

/// What a fresh node has, as far as the configs and the daemon look.
pub(crate) fn create(root: &Path) -> Result<()> {
    for (path, contents, mode) in [
        (
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/bash\ncore:x:1000:1000::/home/core:/bin/bash\n",
            0o644,
        ),
        ("etc/group", "root:x:0:\nchrony:x:990:\ncore:x:1000:\n", 0o644),
        ("etc/shadow", "root:*:19000::::::\ncore:*:19000::::::\n", 0o600),
        ("etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0o444),
        ("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n", 0o644),
        ("etc/vendor/0000", "as it was shipped\n", 0o640),
        ("etc/systemd/system/.keep", "", 0o644),
        (
            "usr/lib/systemd/system/chronyd.service",
            "[Service]\nExecStart=/usr/sbin/chronyd\n\n[Install]\nWantedBy=multi-user.target\n",
            0o644,
        ),
        (
            "usr/lib/systemd/system/multi-user.target",
            "[Unit]\nDescription=Multi-User System\n",
            0o644,
        ),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(&path, contents).with_context(|| format!("could not write {}", path.display()))?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
    }
    for dir in ["run", "tmp", "var/lib", "home/core", "root"] {
        fs::create_dir_all(root.join(dir))?;
    }
    Ok(chown(root.join("home/core"), Some(CORE), Some(CORE))?)
}

/// A rendered MachineConfig as JSON.
pub(crate) fn config(revision: Revision) -> Vec<u8> {
    let (name, word, other) = match revision {
        Revision::First => ("rendered-worker-1111111111111111", "first", "a"),
        Revision::Second => ("rendered-worker-2222222222222222", "second", "b"),
    };
    let second = revision == Revision::Second;
    let mut files: Vec<Value> = (0..FILES)
        .map(|number| {
            // Contents always differ, modes and owners now and then, and every tenth file is the same in both.
            let word = if number % 10 == 0 { "same" } else { word };
            let mode = if second && number % 7 == 0 { 0o600 } else { 0o644 };
            let group = if second && number % 11 == 1 { 990 } else { 0 };
            file(
                &format!("/etc/trial/{:02}/{number:04}", number % 8),
                word,
                mode,
                group,
            )
        })
        .collect();
    files.extend((0..OWN).map(|number| file(&format!("/etc/trial-{other}/{number:04}"), word, 0o644, 0)));
    files.push(file("/etc/vendor/0000", word, 0o640, 0));
    let spec = json!({
        "config": {
            "ignition": {"version": "3.4.0"},
            "storage": {"files": files},
            "systemd": {"units": units(second, word)},
            "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": [format!("ssh-ed25519 AAAA{word} core")]}]},
        },
        "extensions": [],
        "fips": false,
        "kernelArguments": [],
        "kernelType": "default",
        "osImageURL": "",
    });
    json!({
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineConfig",
        "metadata": {"name": name, "labels": {"machineconfiguration.openshift.io/role": "worker"}},
        "spec": spec,
    })
    .to_string()
    .into_bytes()
}

fn file(path: &str, word: &str, mode: u32, group: u32) -> Value {
    let line = format!("{word}%20{path}%0A");
    let source = format!("data:,{}", line.repeat(SIZE / line.len() + 1));
    json!({
        "path": path,
        "overwrite": true,
        "mode": mode,
        "user": {"id": 0},
        "group": {"id": group},
        "contents": {"source": source},
    })
}

/// One that is enabled and then not, one that is there and then masked, one with another drop-in, one only in the second.
fn units(second: bool, word: &str) -> Vec<Value> {
    let unit = |text: &str| {
        format!(
            "[Unit]\nDescription={text}\n\n[Service]\nExecStart=/bin/true\n\n[Install]\nWantedBy=multi-user.target\n"
        )
    };
    let mut units = vec![
        json!({"name": "probe.service", "enabled": !second, "contents": unit(word)}),
        json!({"name": "chronyd.service", "dropins": [{"name": "10-trial.conf", "contents": format!("[Service]\nEnvironment=A={word}\n")}]}),
    ];
    units.push(if second {
        json!({"name": "masked.service", "mask": true})
    } else {
        json!({"name": "masked.service", "enabled": false, "contents": unit(word)})
    });
    if second {
        units.push(json!({"name": "later.service", "enabled": true, "contents": unit(word)}));
    }
    units
}
