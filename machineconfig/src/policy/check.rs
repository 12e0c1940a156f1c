//! What is wrong with a policy as a user wrote it.

use std::collections::BTreeSet;

use crds::machine_configuration::{
    NodeDisruptionPolicyAction, NodeDisruptionPolicyActionType as ActionType, NodeDisruptionPolicyConfig,
};

use super::clean;
use crate::finding::Severity;
use crate::{Code, Finding};

/// Entries of one list, as the API allows (MCO controller 1.8).
const MAX_ENTRIES: usize = 50;
/// Actions of one entry, as the API allows.
const MAX_ACTIONS: usize = 10;
/// Bytes of a unit name: the kernel's limit of a file name, and the API's.
const MAX_UNIT_NAME: usize = 255;
/// What unit names end in.
const UNIT_SUFFIXES: [&str; 12] = [
    "service",
    "socket",
    "device",
    "mount",
    "automount",
    "swap",
    "target",
    "path",
    "timer",
    "snapshot",
    "slice",
    "scope",
];

/// Everything that is wrong with a user's policy, errors and warnings: what [`super::Policy::merge`] refuses or doubts.
#[must_use]
pub fn check(user: &NodeDisruptionPolicyConfig) -> Vec<Finding> {
    let mut found = Findings::default();
    found.entries("files", user.files.len());
    found.entries("units", user.units.len());
    let mut seen = BTreeSet::new();
    for (i, entry) in user.files.iter().enumerate() {
        let field = format!("files[{i}]");
        found.path(&format!("{field}.path"), &entry.path);
        found.unique(&format!("{field}.path"), seen.insert(&entry.path), &entry.path);
        found.actions(&format!("{field}.actions"), &entry.actions);
    }
    let mut seen = BTreeSet::new();
    for (i, entry) in user.units.iter().enumerate() {
        let field = format!("units[{i}]");
        found.unit_name(&format!("{field}.name"), &entry.name);
        found.unique(&format!("{field}.name"), seen.insert(&entry.name), &entry.name);
        found.actions(&format!("{field}.actions"), &entry.actions);
    }
    if let Some(sshkey) = &user.sshkey {
        // An empty list here keeps the default, so it needs no warning.
        if !sshkey.actions.is_empty() {
            found.actions("sshkey.actions", &sshkey.actions);
        }
    }
    found.list
}

/// Collects findings about the one object that holds the policy.
#[derive(Default)]
struct Findings {
    list: Vec<Finding>,
}

impl Findings {
    fn push(&mut self, code: u16, severity: Severity, field: &str, message: String, remedy: &str) {
        self.list.push(Finding {
            code: Code(code),
            severity,
            object: "MachineConfiguration/cluster".to_owned(),
            field: format!("spec.nodeDisruptionPolicy.{field}"),
            message,
            remedy: remedy.to_owned(),
        });
    }

    fn error(&mut self, code: u16, field: &str, message: String, remedy: &str) {
        self.push(code, Severity::Error, field, message, remedy);
    }

    fn entries(&mut self, field: &str, count: usize) {
        if count > MAX_ENTRIES {
            let message = format!("{count} entries, where {MAX_ENTRIES} are allowed");
            self.error(
                3006,
                field,
                message,
                "name a directory instead of its files, or drop entries",
            );
        }
    }

    /// Paths that match nothing are refused: the reference takes them and ignores them without a word.
    fn path(&mut self, field: &str, path: &str) {
        if !path.starts_with('/') {
            let message = format!("path {path:?} is not absolute and can never match");
            self.error(
                3001,
                field,
                message,
                "write the absolute path of a file or directory",
            );
        } else if clean(path) == "/" {
            let message = format!("path {path:?} is the root directory, which covers no file");
            self.error(
                3001,
                field,
                message,
                "name the directories that are meant, such as /etc",
            );
        } else if clean(path) != path {
            let message = format!(
                "path {path:?} is not in its shortest form {:?}: it covers what is below it, but neither itself nor a default entry of that path is replaced",
                clean(path)
            );
            self.push(3002, Severity::Warning, field, message, "write the shortest form");
        }
    }

    fn unique(&mut self, field: &str, first: bool, key: &str) {
        if !first {
            let message = format!("a second entry for {key:?}");
            self.error(3008, field, message, "merge the two into one");
        }
    }

    fn actions(&mut self, field: &str, actions: &[NodeDisruptionPolicyAction]) {
        if actions.len() > MAX_ACTIONS {
            let message = format!("{} actions, where {MAX_ACTIONS} are allowed", actions.len());
            self.error(3006, field, message, "drop actions");
        }
        if actions.is_empty() {
            let message = "no action at all, which does nothing".to_owned();
            self.push(
                3009,
                Severity::Warning,
                field,
                message,
                "say None if nothing is to be done",
            );
        }
        for alone in [ActionType::Reboot, ActionType::None] {
            if actions.len() > 1 && actions.iter().any(|action| action.type_ == alone) {
                let message = format!("{alone:?} stands beside other actions");
                self.error(3003, field, message, "let Reboot and None stand alone");
            }
        }
        for (i, action) in actions.iter().enumerate() {
            self.action(&format!("{field}[{i}]"), action);
        }
    }

    fn action(&mut self, field: &str, action: &NodeDisruptionPolicyAction) {
        if action.type_ == ActionType::Special {
            let message = "Special is decided by the system and cannot be asked for".to_owned();
            self.error(
                3007,
                &format!("{field}.type"),
                message,
                "use Reload with crio.service, after Drain if pods must go",
            );
        }
        for (key, owner, service) in [
            ("reload", ActionType::Reload, &action.reload),
            ("restart", ActionType::Restart, &action.restart),
        ] {
            match (action.type_ == owner, service) {
                (true, Some(service)) => {
                    self.unit_name(&format!("{field}.{key}.serviceName"), &service.service_name)
                }
                (true, None) => {
                    let message = format!("{owner:?} does not say which unit");
                    self.error(3004, &format!("{field}.{key}"), message, "give it a serviceName");
                }
                (false, Some(_)) => {
                    let message = format!("{:?} has no use for {key}", action.type_);
                    self.error(
                        3004,
                        &format!("{field}.{key}"),
                        message,
                        "remove it, or change the type",
                    );
                }
                (false, None) => {}
            }
        }
    }

    fn unit_name(&mut self, field: &str, name: &str) {
        let known = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
        let stem = name
            .rsplit_once('.')
            .filter(|(_, suffix)| UNIT_SUFFIXES.contains(suffix));
        let fault = match stem {
            None => "has no suffix of a unit, such as .service",
            Some(("", _)) => "has nothing before its suffix",
            Some(_) if name.len() > MAX_UNIT_NAME => "is longer than 255 bytes",
            Some((stem, _)) if !stem.chars().all(known) => "holds characters no unit name has",
            Some(_) => return,
        };
        let shown: String = name.chars().take(MAX_UNIT_NAME).collect();
        self.error(
            3005,
            field,
            format!("unit name {shown:?} {fault}"),
            "write the full name of a unit, such as crio.service",
        );
    }
}
