//! What a config demands of the disk (MCO daemon 7.4).

use std::collections::BTreeMap;

use crds::MachineConfig;
use ignition::Config;
use ignition::tree::Value;
use serde::{Deserialize, Serialize};

use super::beside::Guard;
use crate::layout::{UNIT_DIRECTORY, list, text};
use crate::provenance::Part;
use crate::wanted::{Id, WantedFile};
use crate::{Provenance, RenderedConfig, rendered};

/// The user whose SSH keys the reference writes; his file is known without asking the node (MCO daemon 3.9).
const CORE: &str = "core";
/// Where his keys are written.
pub(super) const SSH_KEYS: &str = "/home/core/.ssh/authorized_keys.d/ignition";
/// Where the keys of any other user are, below his home directory. The reference writes them into the file of core, which lets
/// every user of a config log in as core.
const KEYS_BELOW_HOME: &str = ".ssh/authorized_keys.d/ignition";

/// Files that others than the config write too, and that are therefore not looked at (MCO daemon 7.4); in 2.x configs they are.
const NOT_LOOKED_AT: &[&str] = &[
    "/etc/kubernetes/kubelet-ca.crt",
    "/etc/kubernetes/static-pod-resources/configmaps/cloud-config/ca-bundle.pem",
    "/etc/mco/internal-registry-pull-secret.json",
];

/// What a config demands of the disk. Its serialised form is for processes of the same version only.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// By absolute path; a unit and a file may demand the same one.
    pub(super) paths: BTreeMap<String, Vec<Demand>>,
    /// By unit.
    pub(super) enablement: BTreeMap<String, Enablement>,
    /// SSH keys of users other than core whose homes are not known, by user.
    elsewhere: BTreeMap<String, Demand>,
    /// By unit.
    pub(super) guards: BTreeMap<String, Guard>,
}

/// What is demanded of one path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Demand {
    pub(super) what: What,
    /// What provenance knows it by.
    part: Part,
    pub(super) unit: Option<String>,
    pub(super) machine_config: Option<String>,
    /// The reference does not look at it.
    pub(super) beyond_reference: bool,
}

/// The kinds of demands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum What {
    /// A file of the config.
    File(WantedFile<'static>),
    /// A unit or drop-in: 0644, root's.
    Text {
        contents: String,
        /// Nothing there is as good as an empty file.
        may_be_absent: bool,
    },
    /// A directory, whatever its mode: on a running node nobody sets it (MCO daemon 3.3).
    Directory,
    /// A link of the config.
    Link {
        /// What a symbolic link says; a hard link is a file like any other, and only must be there.
        target: Option<String>,
    },
    /// A link that ends at `/dev/null`.
    Mask,
    /// Exactly these keys, whatever their order.
    SshKeys {
        /// Whose they are.
        user: String,
        /// The group that has the file.
        group: Id,
        /// One line each.
        keys: Vec<String>,
    },
}

/// Whether a unit is to be enabled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Enablement {
    pub(super) enabled: bool,
    /// Whether the config brings the unit itself, so that it must exist.
    pub(super) has_contents: bool,
    pub(super) machine_config: Option<String>,
}

/// Where a user of a node is at home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The directory, as the node's user database says it.
    pub path: String,
    /// The number of the user's primary group.
    pub gid: u32,
}

/// Why a config cannot be verified against.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpectationError {
    /// The MachineConfig has no Ignition config at all.
    #[error("MachineConfig {name} has no Ignition config to verify against")]
    NoConfig {
        /// Its name.
        name: String,
    },
    /// The Ignition config cannot be read.
    #[error("the Ignition config of {name} cannot be read: {reason}")]
    Invalid {
        /// The MachineConfig, or what the config is called otherwise.
        name: String,
        /// Every reason.
        reason: ignition::Invalid,
    },
}

/// What a rendered MachineConfig demands of the disk.
pub fn expected(config: &MachineConfig) -> Result<Expectation, ExpectationError> {
    let name = config.metadata.name.as_deref().unwrap_or_default();
    match &config.spec.config {
        Some(ignition) if !ignition.is_null() => {
            let expectation = Expectation::from_ignition(name, ignition)?;
            Ok(expectation.with_provenance(&rendered::provenance(config)))
        }
        _ => Err(ExpectationError::NoConfig {
            name: name.to_owned(),
        }),
    }
}

impl Expectation {
    /// From an Ignition config as it is (the body a server hands out); `name` is what errors call it. It is read without validation,
    /// since a config in use must be comparable even when it is broken.
    pub fn from_ignition(name: &str, config: &serde_json::Value) -> Result<Self, ExpectationError> {
        let parsed = Config::from_value_unvalidated(config).map_err(|reason| ExpectationError::Invalid {
            name: name.to_owned(),
            reason,
        })?;
        // The declared version matters beyond its translation: the reference verifies 2.x configs by other rules.
        Ok(Self::from_read(&parsed.config, parsed.declared.starts_with("2.")))
    }

    /// What a rendered config demands of the disk.
    #[must_use]
    pub fn of(config: &RenderedConfig) -> Self {
        Self::from_read(&config.ignition, false).with_provenance(&config.provenance)
    }

    fn from_read(config: &Config, spec2: bool) -> Self {
        let mut expectation = Self::default();
        expectation.add_files(config, spec2);
        expectation.add_directories_and_links(config);
        expectation.add_units(config, spec2);
        expectation.add_ssh_keys(config);
        expectation.add_guards();
        expectation
    }

    /// Notes which MachineConfig brought what.
    #[must_use]
    pub fn with_provenance(mut self, provenance: &Provenance) -> Self {
        let winner = |part: &Part| provenance.origins.get(part).map(|origin| origin.winner.clone());
        let elsewhere = self.elsewhere.values_mut();
        for demand in self.paths.values_mut().flatten().chain(elsewhere) {
            demand.machine_config = winner(&demand.part);
        }
        for (unit, enablement) in &mut self.enablement {
            enablement.machine_config = winner(&Part::Unit(unit.clone()));
        }
        for (unit, guard) in &mut self.guards {
            guard.machine_config = winner(&Part::Unit(unit.clone()));
        }
        self
    }

    /// Says where the homes of a node's users are, and so where their SSH keys are demanded; of users who are not there nothing is
    /// demanded. Without it [`compare`](super::compare) does so by [`Observed::homes`](super::Observed::homes).
    #[must_use]
    pub fn with_homes(mut self, homes: &BTreeMap<String, Home>) -> Self {
        for (path, demand) in self.at_homes(homes) {
            self.paths.entry(path).or_default().push(demand);
        }
        self.elsewhere.clear();
        self
    }

    /// Absolute paths to observe in the homes of a node's users, besides [`Expectation::paths`].
    #[must_use]
    pub fn paths_at_homes(&self, homes: &BTreeMap<String, Home>) -> Vec<String> {
        self.at_homes(homes).into_iter().map(|(path, _)| path).collect()
    }

    /// What is demanded of the homes of a node's users, with the path.
    pub(super) fn at_homes(&self, homes: &BTreeMap<String, Home>) -> Vec<(String, Demand)> {
        let known = self.elsewhere.iter().filter_map(|(user, demand)| {
            // A user without a home of his own has `/`, or nothing.
            let home = homes.get(user)?;
            let path = home.path.trim_end_matches('/');
            if !path.starts_with('/') {
                return None;
            }
            let mut demand = demand.clone();
            if let What::SshKeys { group, .. } = &mut demand.what {
                *group = Id::Number(home.gid.into());
            }
            Some((format!("{path}/{KEYS_BELOW_HOME}"), demand))
        });
        known.collect()
    }

    /// Absolute paths to observe, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.keys().map(String::as_str)
    }

    /// Units whose enablement to ask for, sorted.
    #[must_use]
    pub fn units(&self) -> Vec<&str> {
        self.enablement.keys().map(String::as_str).collect()
    }

    /// Everything demanded of a single path, one path at a time, sorted; and, first, what is demanded of units as a whole.
    pub fn pieces(self) -> impl Iterator<Item = Self> {
        let units = Self {
            paths: BTreeMap::new(),
            enablement: self.enablement,
            elsewhere: self.elsewhere,
            guards: self.guards,
        };
        let paths = self.paths.into_iter().map(|path| Self {
            paths: [path].into(),
            ..Self::default()
        });
        std::iter::once(units).chain(paths)
    }

    /// Adds what another piece demands.
    pub fn add(&mut self, piece: Self) {
        self.paths.extend(piece.paths);
        self.enablement.extend(piece.enablement);
        self.elsewhere.extend(piece.elsewhere);
        self.guards.extend(piece.guards);
    }

    fn demand(&mut self, path: String, what: What, part: Part, unit: Option<&str>, beyond_reference: bool) {
        let unit = unit.map(str::to_owned);
        let demand = Demand {
            what,
            part,
            unit,
            machine_config: None,
            beyond_reference,
        };
        self.paths.entry(path).or_default().push(demand);
    }

    fn add_files(&mut self, config: &Config, spec2: bool) {
        for entry in list(config, "/storage/files") {
            let Some(path) = text(entry, "path") else { continue };
            if spec2 || !NOT_LOOKED_AT.contains(&path) {
                let what = What::File(WantedFile::of(entry).into_owned());
                self.demand(path.to_owned(), what, Part::Path(path.to_owned()), None, false);
            }
        }
    }

    /// What Ignition made at first boot; no running node changes it, and the reference does not look at it.
    fn add_directories_and_links(&mut self, config: &Config) {
        for entry in list(config, "/storage/directories") {
            if let Some(path) = text(entry, "path") {
                self.demand(
                    path.to_owned(),
                    What::Directory,
                    Part::Path(path.to_owned()),
                    None,
                    true,
                );
            }
        }
        for entry in list(config, "/storage/links") {
            let Some(path) = text(entry, "path") else { continue };
            let hard = entry.get("hard").and_then(Value::as_bool) == Some(true);
            let target = text(entry, "target").filter(|_| !hard).map(str::to_owned);
            self.demand(
                path.to_owned(),
                What::Link { target },
                Part::Path(path.to_owned()),
                None,
                true,
            );
        }
    }

    fn add_units(&mut self, config: &Config, spec2: bool) {
        for entry in list(config, "/systemd/units") {
            let Some(name) = text(entry, "name") else { continue };
            for dropin in entry
                .get("dropins")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                let Some(file) = text(dropin, "name") else {
                    continue;
                };
                let contents = text(dropin, "contents").unwrap_or_default().to_owned();
                let may_be_absent = contents.is_empty() && !spec2;
                let part = Part::Dropin(name.to_owned(), file.to_owned());
                let path = format!("{UNIT_DIRECTORY}/{name}.d/{file}");
                self.demand(
                    path,
                    What::Text {
                        contents,
                        may_be_absent,
                    },
                    part,
                    Some(name),
                    false,
                );
            }
            self.add_unit(name, entry, spec2);
        }
    }

    /// The unit itself. A unit that is masked must be nothing else; one without contents is only masked, enabled or disabled, which the
    /// reference does and then does not look at.
    fn add_unit(&mut self, name: &str, entry: &Value, spec2: bool) {
        let path = format!("{UNIT_DIRECTORY}/{name}");
        let part = Part::Unit(name.to_owned());
        let contents = text(entry, "contents").filter(|contents| !contents.is_empty());
        let flag = |key: &str| entry.get(key).and_then(Value::as_bool);
        if flag("mask") == Some(true) {
            self.demand(path, What::Mask, part, Some(name), contents.is_none());
            return;
        }
        if let Some(contents) = contents {
            let what = What::Text {
                contents: contents.to_owned(),
                may_be_absent: false,
            };
            self.demand(path, what, part, Some(name), false);
        }
        if let (Some(enabled), false) = (flag("enabled"), spec2) {
            let has_contents = contents.is_some();
            let enablement = Enablement {
                enabled,
                has_contents,
                machine_config: None,
            };
            self.enablement.insert(name.to_owned(), enablement);
        }
    }

    /// The keys of a user belong into a file of his. A config without users says nothing about any.
    fn add_ssh_keys(&mut self, config: &Config) {
        let mut keys: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for user in list(config, "/passwd/users") {
            let Some(name) = text(user, "name") else { continue };
            let own = user.get("sshAuthorizedKeys").and_then(Value::as_array);
            let lines = own
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .flat_map(super::compare::key_lines);
            keys.entry(name).or_default().extend(lines.map(str::to_owned));
        }
        for (user, keys) in keys {
            let user = user.to_owned();
            let demand = Demand {
                part: Part::User(user.clone()),
                unit: None,
                machine_config: None,
                beyond_reference: true,
                what: What::SshKeys {
                    user: user.clone(),
                    group: Id::Name(user.clone()),
                    keys,
                },
            };
            if user == CORE {
                self.paths.entry(SSH_KEYS.to_owned()).or_default().push(demand);
            } else {
                self.elsewhere.insert(user, demand);
            }
        }
    }
}
