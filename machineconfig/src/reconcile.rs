//! Which changes a running node refuses (MCO render 2.7, daemon 3.2): [`check`].
//!
//! The rules are the reference's. It stops at the first violation and blames by comparing texts; here every violation is
//! told, with the part that changes and, by provenance, the MachineConfig that brought the change or took the part away.
//! The current config is not validated: one that is broken must be left again.

use std::collections::BTreeSet;

use ignition::tree::Value;

use crate::provenance::{Part, part_at};
use crate::{Code, Finding, Provenance, RenderedConfig, Severity};

mod difference;
mod users;

use difference::{Difference, differences};

/// The file by which an administrator forces a node to apply its config (MCO daemon 3.2).
pub const FORCE_FILE: &str = "/run/machine-config-daemon-force";

/// Parts of storage whose change an administrator allows although a running node ignores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StorageOverride {
    /// `storage.disks`
    Disks,
    /// `storage.filesystems`
    FileSystems,
    /// `storage.raid`
    Raid,
}

/// Provenance of the two sides of a change, where known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Origins<'a> {
    /// Of the current config.
    pub old: Option<&'a Provenance>,
    /// Of the desired config.
    pub new: Option<&'a Provenance>,
}

/// A list that must not change.
struct Frozen {
    /// Where it is, as a JSON path.
    section: &'static str,
    /// What an entry is called.
    noun: &'static str,
    /// The field that tells its entries apart.
    key: &'static str,
    code: Code,
    /// What allows a change.
    unless: Unless,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unless {
    Never,
    Overridden(StorageOverride),
    /// Nothing is left of it.
    Emptied,
}

const FROZEN: [Frozen; 6] = [
    Frozen {
        section: "passwd.groups",
        noun: "group",
        key: "name",
        code: Code::CHANGED_GROUPS,
        unless: Unless::Never,
    },
    Frozen {
        section: "storage.disks",
        noun: "disk",
        key: "device",
        code: Code::CHANGED_DISKS,
        unless: Unless::Overridden(StorageOverride::Disks),
    },
    Frozen {
        section: "storage.filesystems",
        noun: "file system on",
        key: "device",
        code: Code::CHANGED_FILESYSTEMS,
        unless: Unless::Overridden(StorageOverride::FileSystems),
    },
    Frozen {
        section: "storage.raid",
        noun: "RAID array",
        key: "name",
        code: Code::CHANGED_RAID,
        unless: Unless::Overridden(StorageOverride::Raid),
    },
    Frozen {
        section: "storage.directories",
        noun: "directory",
        key: "path",
        code: Code::CHANGED_DIRECTORIES,
        unless: Unless::Never,
    },
    Frozen {
        section: "storage.links",
        noun: "link",
        key: "path",
        code: Code::CHANGED_LINKS,
        unless: Unless::Emptied,
    },
];

/// Every refusal, with the field at fault and, by `provenance` of the two configs where known, the MachineConfig that brought
/// it (as [`Finding::object`]; the name of `new` when unknown).
pub fn check(
    old: &RenderedConfig,
    new: &RenderedConfig,
    overrides: &BTreeSet<StorageOverride>,
    provenance: Origins<'_>,
) -> Result<(), Vec<Finding>> {
    check_on(&BTreeSet::new(), old, new, overrides, provenance)
}

/// As [`check`], on a node that has `users`: their SSH keys can change, as those of core can. The reference manages core alone, so no
/// cluster of its kind gets there.
pub fn check_on(
    users: &BTreeSet<String>,
    old: &RenderedConfig,
    new: &RenderedConfig,
    overrides: &BTreeSet<StorageOverride>,
    provenance: Origins<'_>,
) -> Result<(), Vec<Finding>> {
    let change = Change {
        old,
        new,
        provenance,
        users,
    };
    let mut refusals = change.invalid();
    refusals.extend(users::refusals(&change));
    refusals.extend(change.ignition_arguments());
    for frozen in &FROZEN {
        if !matches!(frozen.unless, Unless::Overridden(section) if overrides.contains(&section)) {
            refusals.extend(change.frozen(frozen));
        }
    }
    refusals.extend(change.files());
    refusals.extend(change.fips());
    if refusals.is_empty() {
        Ok(())
    } else {
        Err(refusals)
    }
}

/// The two sides.
struct Change<'a> {
    old: &'a RenderedConfig,
    new: &'a RenderedConfig,
    provenance: Origins<'a>,
    /// Users whose SSH keys can change, core not counted.
    users: &'a BTreeSet<String>,
}

// === impl Change ===

impl<'a> Change<'a> {
    /// What is wrong with the new config by itself.
    fn invalid(&self) -> Vec<Finding> {
        let ignition = &self.new.ignition;
        let problems = ignition.validate().into_iter().chain(ignition.special_modes());
        problems
            .filter(|problem| problem.severity == Severity::Error)
            .map(|problem| {
                let part = part_at(ignition, &problem.path);
                let message = format!("{part}: {}", problem.message);
                Finding {
                    message,
                    ..Finding::from_problem(self.blamed(&part), "spec.config", &problem)
                }
            })
            .collect()
    }

    fn frozen(&self, frozen: &Frozen) -> Vec<Finding> {
        let (old, new) = (
            section(self.old, frozen.section),
            section(self.new, frozen.section),
        );
        let emptied = new.and_then(Value::as_array).is_none_or(<[_]>::is_empty);
        if frozen.unless == Unless::Emptied && emptied {
            return Vec::new();
        }
        let part = |key: &str| match frozen.section {
            "storage.directories" | "storage.links" => Part::Path(key.to_owned()),
            section => Part::Field(format!("{section}[{key}]")),
        };
        let found = differences(
            old.and_then(Value::as_array),
            new.and_then(Value::as_array),
            |entry| entry.text(frozen.key),
        );
        found
            .iter()
            .map(|difference| self.refusal(frozen.code, frozen.section, frozen.noun, difference, part))
            .collect()
    }

    fn ignition_arguments(&self) -> Vec<Finding> {
        let lists = ["kernelArguments.shouldExist", "kernelArguments.shouldNotExist"];
        let part = |argument: &str| Part::Field(format!("kernelArguments[{argument}]"));
        let refusals = lists.into_iter().flat_map(|list| {
            let (old, new) = (section(self.old, list), section(self.new, list));
            let found = differences(
                old.and_then(Value::as_array),
                new.and_then(Value::as_array),
                |argument| argument.as_str().unwrap_or_default(),
            );
            let code = Code::CHANGED_IGNITION_ARGUMENTS;
            found
                .iter()
                .map(|difference| self.refusal(code, list, "argument", difference, part))
                .collect::<Vec<_>>()
        });
        refusals.collect()
    }

    /// The refusal of one difference in a section that must have none.
    fn refusal(
        &self,
        code: Code,
        section: &str,
        noun: &str,
        difference: &Difference<'_>,
        part: impl Fn(&str) -> Part,
    ) -> Finding {
        let field = format!("spec.config.{section}");
        match difference.key() {
            Some(key) => {
                let message = format!("{noun} {key} {}", difference.verb());
                Finding::error(code, self.blamed(&part(key)), field, message)
            }
            None => Finding::error(
                code,
                self.new_object(),
                field,
                format!("the list {}", difference.verb()),
            ),
        }
    }

    /// Files as no running node writes them.
    fn files(&self) -> Vec<Finding> {
        let mut refusals = Vec::new();
        for file in section(self.new, "storage.files")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let path = file.text("path");
            let blamed = || self.blamed(&Part::Path(path.to_owned()));
            if file
                .get("append")
                .and_then(Value::as_array)
                .is_some_and(|append| !append.is_empty())
            {
                let message = format!("{path} has append");
                refusals.push(Finding::error(
                    Code::APPENDED_FILE,
                    blamed(),
                    "spec.config.storage.files",
                    message,
                ));
            }
            if path == FORCE_FILE {
                let message = format!("{path} cannot come from a config");
                refusals.push(Finding::error(
                    Code::FORCE_FILE,
                    blamed(),
                    "spec.config.storage.files",
                    message,
                ));
            }
        }
        refusals
    }

    fn fips(&self) -> Option<Finding> {
        let (old, new) = (self.old.spec.fips, self.new.spec.fips);
        (old != new).then(|| {
            let message = format!("changes from {old} to {new}");
            Finding::error(
                Code::CHANGED_FIPS,
                self.blamed(&Part::Field("fips".to_owned())),
                "spec.fips",
                message,
            )
        })
    }

    /// The MachineConfig that brought the change of a part, as the object of a finding: one that only touches it now, else
    /// one that no longer does, else the one whose value stands.
    fn blamed(&self, part: &Part) -> String {
        let touched = |side: Option<&'a Provenance>| {
            let origin = side.and_then(|side| side.origins.get(part));
            origin
                .map(|origin| origin.touched_by().collect::<Vec<_>>())
                .unwrap_or_default()
        };
        let (old, new) = (touched(self.provenance.old), touched(self.provenance.new));
        let only_in =
            |these: &[&'a str], those: &[&'a str]| these.iter().copied().rfind(|name| !those.contains(name));
        let both_known = self.provenance.old.is_some() && self.provenance.new.is_some();
        let moved = both_known
            .then(|| only_in(&new, &old).or_else(|| only_in(&old, &new)))
            .flatten();
        moved
            .or_else(|| new.last().copied())
            .or_else(|| old.last().copied())
            .map_or_else(|| self.new_object(), |name| format!("MachineConfig/{name}"))
    }

    fn new_object(&self) -> String {
        format!("MachineConfig/{}", self.new.name)
    }
}

/// A section of an Ignition config by its JSON path.
fn section<'a>(config: &'a RenderedConfig, path: &str) -> Option<&'a Value> {
    config.ignition.pointer(&format!("/{}", path.replace('.', "/")))
}

#[cfg(test)]
mod tests;
