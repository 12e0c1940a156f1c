//! What is wrong with a policy as a user wrote it.

use std::collections::BTreeSet;

use crds::machine_configuration::{
    NodeDisruptionPolicyAction, NodeDisruptionPolicyActionType as ActionType, NodeDisruptionPolicyConfig,
};

use super::clean;
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

/// The object that holds the policy.
const OBJECT: &str = "MachineConfiguration/cluster";

/// [`Finding::error`] or [`Finding::warning`].
type Make = fn(Code, &'static str, String, String) -> Finding;

/// Collects findings about the one object that holds the policy.
#[derive(Default)]
struct Findings {
    list: Vec<Finding>,
}

impl Findings {
    fn push(&mut self, make: Make, code: Code, field: &str, message: impl Into<String>) {
        let field = format!("spec.nodeDisruptionPolicy.{field}");
        self.list.push(make(code, OBJECT, field, message.into()));
    }

    fn error(&mut self, code: Code, field: &str, message: impl Into<String>) {
        self.push(Finding::error, code, field, message);
    }

    fn warning(&mut self, code: Code, field: &str, message: impl Into<String>) {
        self.push(Finding::warning, code, field, message);
    }

    fn entries(&mut self, field: &str, count: usize) {
        if count > MAX_ENTRIES {
            let message = format!("{count} entries, where {MAX_ENTRIES} are allowed");
            self.error(Code::POLICY_TOO_MANY, field, message);
        }
    }

    /// Paths that match nothing are refused: the reference takes them and ignores them without a word.
    fn path(&mut self, field: &str, path: &str) {
        let shortest = clean(path);
        if !path.starts_with('/') {
            let message = format!("path {path:?} is not absolute and can never match");
            self.error(Code::POLICY_PATH, field, message);
        } else if shortest == "/" {
            let message = format!("path {path:?} is the root directory, which covers no file");
            self.error(Code::POLICY_PATH, field, message);
        } else if path.contains(['*', '?']) {
            let message = format!(
                "path {path:?} is taken as it is written, so it covers only a file or directory of that very name"
            );
            self.warning(Code::POLICY_PATTERN, field, message);
        } else if shortest != path {
            let message = format!(
                "path {path:?} covers what is below {shortest:?}, yet neither that path itself nor takes the place \
                 of another entry for it"
            );
            self.warning(Code::POLICY_PATH_UNCLEAN, field, message);
        }
    }

    fn unique(&mut self, field: &str, first: bool, key: &str) {
        if !first {
            self.error(
                Code::POLICY_DUPLICATE,
                field,
                format!("a second entry for {key:?}"),
            );
        }
    }

    fn actions(&mut self, field: &str, actions: &[NodeDisruptionPolicyAction]) {
        if actions.len() > MAX_ACTIONS {
            let message = format!("{} actions, where {MAX_ACTIONS} are allowed", actions.len());
            self.error(Code::POLICY_TOO_MANY, field, message);
        }
        if actions.is_empty() {
            self.warning(
                Code::POLICY_NO_ACTION,
                field,
                "no action at all, so nothing is done",
            );
        }
        for alone in [ActionType::Reboot, ActionType::None] {
            if actions.len() > 1 && actions.iter().any(|action| action.type_ == alone) {
                self.error(
                    Code::POLICY_ALONE,
                    field,
                    format!("{alone:?} stands beside other actions"),
                );
            }
        }
        for (i, action) in actions.iter().enumerate() {
            self.action(&format!("{field}[{i}]"), action);
        }
    }

    fn action(&mut self, field: &str, action: &NodeDisruptionPolicyAction) {
        if action.type_ == ActionType::Special {
            let message = "Special is decided by the system and cannot be asked for";
            self.error(Code::POLICY_SPECIAL, &format!("{field}.type"), message);
        }
        let services = [
            ("reload", ActionType::Reload, &action.reload),
            ("restart", ActionType::Restart, &action.restart),
        ];
        for (key, owner, service) in services {
            let field = format!("{field}.{key}");
            match (action.type_ == owner, service) {
                (true, Some(service)) => {
                    self.unit_name(&format!("{field}.serviceName"), &service.service_name);
                }
                (true, None) => {
                    self.error(
                        Code::POLICY_SERVICE,
                        &field,
                        format!("{owner:?} does not say which unit"),
                    );
                }
                (false, Some(_)) => {
                    self.error(
                        Code::POLICY_SERVICE,
                        &field,
                        format!("{:?} has no use for it", action.type_),
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
            Code::POLICY_UNIT_NAME,
            field,
            format!("unit name {shown:?} {fault}"),
        );
    }
}
