//! NodeDisruptionPolicy: defaults merged with the user's entries, longest-path match (MCO daemon 4.3).
//!
//! [`Policy::merge`] is the way in for a policy as a user wrote it, [`Policy::from_cluster_policies`] for one that was merged already.

use crds::machine_configuration::{
    NodeDisruptionPolicyAction, NodeDisruptionPolicyActionType as ActionType, NodeDisruptionPolicyConfig,
    NodeDisruptionPolicyFile, NodeDisruptionPolicySshKey, NodeDisruptionPolicyUnit, ServiceAction,
};

use crate::Finding;

mod check;

pub use check::check;

/// The merged policy: what `MachineConfiguration` status shows and the daemon acts by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// By path, defaults first.
    pub files: Vec<NodeDisruptionPolicyFile>,
    /// By unit, defaults first.
    pub units: Vec<NodeDisruptionPolicyUnit>,
    /// For SSH keys and password hash.
    pub sshkey: Vec<NodeDisruptionPolicyAction>,
}

impl Default for Policy {
    /// The reference's defaults, in its order (MCO controller 1.8).
    fn default() -> Self {
        let file = |path: &str, actions: &[NodeDisruptionPolicyAction]| NodeDisruptionPolicyFile {
            path: path.to_owned(),
            actions: actions.to_vec(),
        };
        let reload_crio = [reload("crio.service")];
        let update_trust = restart("coreos-update-ca-trust.service");
        let restart_kubelet = restart("kubelet.service");
        let restart_registry = restart("iri-registry.service");
        let anchors = "/etc/pki/ca-trust/source/anchors";
        let credential_dropin =
            "/etc/systemd/system/kubelet.service.d/40-kubelet-crio-image-credential-provider.conf";
        Self {
            files: vec![
                file("/var/lib/kubelet/config.json", &[plain(ActionType::None)]),
                file(
                    "/etc/machine-config-daemon/no-reboot/containers-gpg.pub",
                    &reload_crio,
                ),
                file("/etc/containers/policy.json", &reload_crio),
                file(crate::registries::PATH, &[plain(ActionType::Special)]),
                file("/etc/containers/registries.d", &reload_crio),
                file("/etc/crio/policies", &reload_crio),
                file("/etc/nmstate/openshift", &[plain(ActionType::None)]),
                file(
                    &format!("{anchors}/openshift-config-user-ca-bundle.crt"),
                    &[update_trust.clone(), restart("crio.service")],
                ),
                file(
                    "/etc/kubernetes/credential-providers",
                    std::slice::from_ref(&restart_kubelet),
                ),
                file(
                    credential_dropin,
                    &[plain(ActionType::DaemonReload), restart_kubelet.clone()],
                ),
                file("/etc/iri-registry", std::slice::from_ref(&restart_registry)),
                file(
                    "/usr/local/bin/load-registry-image.sh",
                    std::slice::from_ref(&restart_registry),
                ),
                file(&format!("{anchors}/iri-root-ca.crt"), &[update_trust]),
            ],
            units: vec![NodeDisruptionPolicyUnit {
                name: "iri-registry.service".to_owned(),
                actions: vec![plain(ActionType::DaemonReload), restart_registry],
            }],
            sshkey: vec![plain(ActionType::None)],
        }
    }
}

impl Policy {
    /// Merges a user's entries over the defaults. Refuses what [`check`] finds wrong: entries that could never match and actions
    /// that could not be done.
    pub fn merge(user: &NodeDisruptionPolicyConfig) -> Result<Self, Vec<Finding>> {
        let findings = check(user);
        if findings
            .iter()
            .any(|finding| finding.severity == crate::finding::Severity::Error)
        {
            return Err(findings);
        }
        Ok(Self::merge_unchecked(user))
    }

    /// [`Policy::merge`] without the check: for entries an API server has admitted.
    ///
    /// An entry with the same path or name as a default takes its place; others follow in the user's order, each one even when it is
    /// given twice (the first is found, see [`Policy::for_path`]). SSH key actions replace the default if there are any (MCO controller 1.8).
    #[must_use]
    pub fn merge_unchecked(user: &NodeDisruptionPolicyConfig) -> Self {
        let mut merged = Self::default();
        let defaults = merged.files.len();
        for entry in &user.files {
            let entry = NodeDisruptionPolicyFile {
                path: entry.path.clone(),
                actions: tidy(&entry.actions),
            };
            match merged.files[..defaults]
                .iter_mut()
                .find(|default| default.path == entry.path)
            {
                Some(default) => *default = entry,
                None => merged.files.push(entry),
            }
        }
        let defaults = merged.units.len();
        for entry in &user.units {
            let entry = NodeDisruptionPolicyUnit {
                name: entry.name.clone(),
                actions: tidy(&entry.actions),
            };
            match merged.units[..defaults]
                .iter_mut()
                .find(|default| default.name == entry.name)
            {
                Some(default) => *default = entry,
                None => merged.units.push(entry),
            }
        }
        if let Some(sshkey) = user.sshkey.as_ref().filter(|sshkey| !sshkey.actions.is_empty()) {
            merged.sshkey = tidy(&sshkey.actions);
        }
        merged
    }

    /// The policy in the shape of `status.nodeDisruptionPolicyStatus.clusterPolicies`.
    #[must_use]
    pub fn cluster_policies(&self) -> NodeDisruptionPolicyConfig {
        NodeDisruptionPolicyConfig {
            files: self.files.clone(),
            units: self.units.clone(),
            sshkey: Some(NodeDisruptionPolicySshKey {
                actions: self.sshkey.clone(),
            }),
        }
    }

    /// A policy read back from `status.nodeDisruptionPolicyStatus.clusterPolicies`; nothing is added to it.
    #[must_use]
    pub fn from_cluster_policies(status: &NodeDisruptionPolicyConfig) -> Self {
        let sshkey = status.sshkey.as_ref().map(|sshkey| sshkey.actions.clone());
        Self {
            files: status.files.clone(),
            units: status.units.clone(),
            sshkey: sshkey.unwrap_or_default(),
        }
    }

    /// The entry for a path: the longest one that is the path itself or a directory above it, the first of equals.
    ///
    /// As the reference: the text must be equal, or the cleaned policy path a directory above the cleaned path; the length that
    /// counts is that of the policy path as it was written. No globbing. `/` and an empty path match nothing below them.
    #[must_use]
    pub fn for_path(&self, path: &str) -> Option<&NodeDisruptionPolicyFile> {
        let cleaned = clean(path);
        let mut best: Option<&NodeDisruptionPolicyFile> = None;
        for entry in &self.files {
            let longest = best.map_or(0, |best| best.path.len());
            if entry.path.len() > longest && (entry.path == path || is_above(&entry.path, &cleaned)) {
                best = Some(entry);
            }
        }
        best
    }

    /// The entry for a unit, by exact name; drop-ins count as their unit.
    #[must_use]
    pub fn for_unit(&self, name: &str) -> Option<&NodeDisruptionPolicyUnit> {
        self.units.iter().find(|entry| entry.name == name)
    }
}

fn plain(type_: ActionType) -> NodeDisruptionPolicyAction {
    NodeDisruptionPolicyAction {
        type_,
        reload: None,
        restart: None,
    }
}

fn reload(service: &str) -> NodeDisruptionPolicyAction {
    let service = ServiceAction {
        service_name: service.to_owned(),
    };
    NodeDisruptionPolicyAction {
        reload: Some(service),
        ..plain(ActionType::Reload)
    }
}

fn restart(service: &str) -> NodeDisruptionPolicyAction {
    let service = ServiceAction {
        service_name: service.to_owned(),
    };
    NodeDisruptionPolicyAction {
        restart: Some(service),
        ..plain(ActionType::Restart)
    }
}

/// The actions with no service but the one their type asks for.
fn tidy(actions: &[NodeDisruptionPolicyAction]) -> Vec<NodeDisruptionPolicyAction> {
    let one = |action: &NodeDisruptionPolicyAction| NodeDisruptionPolicyAction {
        type_: action.type_,
        reload: action
            .reload
            .clone()
            .filter(|_| action.type_ == ActionType::Reload),
        restart: action
            .restart
            .clone()
            .filter(|_| action.type_ == ActionType::Restart),
    };
    actions.iter().map(one).collect()
}

/// Whether `directory`, once cleaned, is above the cleaned `path`.
fn is_above(directory: &str, path: &str) -> bool {
    path.strip_prefix(clean(directory).as_ref())
        .is_some_and(|rest| rest.starts_with('/'))
}

/// The shortest path of the same meaning, links aside: no empty, `.` or resolvable `..` parts; `.` for an empty one.
pub(crate) fn clean(path: &str) -> std::borrow::Cow<'_, str> {
    let needless = |part: &str| part.is_empty() || part == "." || part == "..";
    if path
        .strip_prefix('/')
        .is_some_and(|rest| !rest.split('/').any(needless))
    {
        return path.into();
    }
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.join("/")) {
        (true, joined) => format!("/{joined}").into(),
        (false, joined) if joined.is_empty() => ".".into(),
        (false, joined) => joined.into(),
    }
}

#[cfg(test)]
mod tests;
