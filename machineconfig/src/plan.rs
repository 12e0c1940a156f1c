//! The difference between two configs and what it costs: the one computation of "what will happen".
//!
//! The rules are the reference's (MCO daemon 3.1, 4.3, 4.5) with these deliberate differences:
//!
//! - Steps and actions come in one fixed order: steps by [`Target`], actions in the order of the steps, each once, an entry's own
//!   order kept. The reference's order is random and it repeats actions.
//! - A file whose decoded bytes, mode and owner stay the same, and that differs only in how the bytes are encoded or in defaults
//!   written out, is no step: see [`Plan::same_on_disk`]. The reference acts on it, up to a reboot.
//! - A registries.conf of the *current* config that cannot be read does not stop the change: the node drains to be safe.

use std::collections::BTreeSet;

use crds::MachineConfigSpec;
use serde::{Deserialize, Serialize};

use crate::reconcile::{self, Origins, StorageOverride};
use crate::redact::Limits;
use crate::{Finding, Policy, RenderedConfig};

mod accounts;
mod action;
mod context;
mod drain;
mod files;
mod ignored;
pub mod legacy;
mod lists;
mod markdown;
mod phrase;
mod step;
mod system;
mod text;
mod units;

use context::Context;

pub use accounts::short_key;
pub use action::{Action, Disruption};
pub use markdown::markdown;
pub use step::{Aspect, Change, Decision, Item, Step, Target};
pub(crate) use text::diff_lines;
pub use text::text;

/// Version of the JSON form of [`Plan`], raised when a reader of an older one could misread it.
pub const SCHEMA_VERSION: u32 = 1;

/// What is known besides the two configs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// Provenance of the two sides.
    pub origins: Origins<'a>,
    /// Storage sections that may differ although a running node ignores them.
    pub overrides: Option<&'a BTreeSet<StorageOverride>>,
    /// Whether steps carry diffs of contents, and how long.
    pub diffs: Option<Limits>,
    /// The config that the current side is said to be, when that side is what a disk says. What is refused is what was asked for, not
    /// what has drifted.
    pub recorded: Option<&'a RenderedConfig>,
    /// Users who are on the node, whose SSH keys can change besides those of core; see [`reconcile::check_on`].
    pub users: Option<&'a BTreeSet<String>>,
}

/// A part of the config that differs, by the name the reference gives it; in the reference's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Section {
    /// `osImageURL`
    OsUpdate,
    /// `kernelArguments`
    Kargs,
    /// `fips`
    Fips,
    /// The whole `passwd` section of the Ignition config.
    Passwd,
    /// `storage.files`, order included.
    Files,
    /// `systemd.units`, order included.
    Units,
    /// `kernelType`
    KernelType,
    /// `extensions`
    Extensions,
}

/// Whether the node is drained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// Whether pods are evicted before the change is written.
    pub required: bool,
    /// Why, or why not: one sentence.
    pub reason: String,
}

/// The images of one side.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Images {
    /// Pull spec of the OS image; may be empty.
    pub os: String,
    /// Pull spec of the extensions image; may be empty. It is fetched only when extensions or the kernel type need it and its
    /// change by itself triggers nothing.
    pub extensions: String,
}

/// A difference that a running node does not act upon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ignored {
    /// The section, such as `storage.luks` or `baseOSExtensionsContainerImage`.
    pub section: String,
    /// Its entries that differ, by path or name; empty when the section has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Why nothing happens.
    pub reason: String,
}

/// What a change will do, and why. Serialisable; the schema is documented in docs/plan.md.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Name of the current config.
    pub from: String,
    /// Name of the desired config.
    pub to: String,
    /// The worst disruption: of the actions and the drain.
    pub disruption: Disruption,
    /// Whether the node is drained, and why.
    pub drain: Drain,
    /// What is done after writing, in order, each once. `Reboot` alone if anything needs one. `None` alone when policies, or the
    /// lack of any difference, say that nothing is to be done; empty when nothing asked for anything.
    pub actions: Vec<Action>,
    /// The sections that differ.
    pub sections: Vec<Section>,
    /// Images of the current config.
    pub current_images: Images,
    /// Images of the desired config.
    pub desired_images: Images,
    /// What differs, sorted by [`Target`].
    pub steps: Vec<Step>,
    /// Files that are declared otherwise, yet stay the same on disk; sorted. The reference counts them as changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub same_on_disk: Vec<String>,
    /// What differs and does nothing on a running node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<Ignored>,
    /// Why a running node refuses the change; empty when it does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<Finding>,
    /// What is doubtful.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Finding>,
}

/// What a plan amounts to, for exit codes and gates; worse is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Nothing changes.
    NoChange,
    /// Something changes, without a drain or a reboot.
    Change,
    /// The node drains or reboots.
    Disruption,
    /// A running node refuses the change.
    Refused,
}

impl Plan {
    /// Whether there is nothing to do: no step and no refusal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.refusals.is_empty()
    }

    /// What the plan amounts to.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if !self.refusals.is_empty() {
            Verdict::Refused
        } else if self.disruption >= Disruption::Drain {
            Verdict::Disruption
        } else if !self.steps.is_empty() {
            Verdict::Change
        } else {
            Verdict::NoChange
        }
    }

    /// Paths of the files that are added, changed or removed, sorted.
    pub fn changed_files(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match &step.target {
            Target::File { path } => Some(path.as_str()),
            _ => None,
        })
    }

    /// Names of the units that are added, changed or removed, themselves or in a drop-in, sorted.
    #[must_use]
    pub fn changed_units(&self) -> BTreeSet<&str> {
        let units = self.steps.iter().filter_map(|step| match &step.target {
            Target::Unit { name } | Target::Dropin { unit: name, .. } => Some(name.as_str()),
            _ => None,
        });
        units.collect()
    }

    /// The reference's summary of changes to the operating system, such as `Upgrading OS; Changing kernel type`; empty when there are
    /// none (MCO daemon 3.1).
    #[must_use]
    pub fn os_changes(&self) -> String {
        let texts = [
            (Section::OsUpdate, "Upgrading OS"),
            (Section::Extensions, "Installing extensions"),
            (Section::KernelType, "Changing kernel type"),
            (Section::Kargs, "Changing kernel arguments"),
        ];
        let changed: Vec<_> = texts
            .iter()
            .filter(|(section, _)| self.sections.contains(section))
            .map(|(_, text)| *text)
            .collect();
        changed.join("; ")
    }
}

/// Plans the change from `current` to `desired`.
#[must_use]
pub fn plan(current: &RenderedConfig, desired: &RenderedConfig, policy: &Policy, facts: &Facts<'_>) -> Plan {
    let context = Context {
        current,
        desired,
        policy,
        facts,
    };
    let system = system::steps(&context);
    let files = files::compare_all(&context);
    let mut sections = ignition_sections(&context);
    sections.extend(system.iter().map(|(section, _)| *section));
    sections.sort_unstable();
    let mut steps: Vec<Step> = system.into_iter().map(|(_, step)| step).collect();
    steps.extend(files.steps);
    steps.extend(units::steps(&context));
    steps.extend(accounts::steps(&context));
    steps.sort_by(|a, b| a.target.cmp(&b.target));

    let actions = actions(&sections, &steps);
    let decided = drain::decide(&context, &actions, &steps);
    mark_drain(&mut steps, &context);
    let worst = actions.iter().map(Action::disruption).max().unwrap_or_default();
    let refusals = refusals(&context)
        .into_iter()
        .chain(files.refusals)
        .chain(decided.refusal);
    let images = |spec: &MachineConfigSpec| Images {
        os: spec.os_image_url.clone(),
        extensions: spec.base_os_extensions_container_image.clone(),
    };
    Plan {
        schema_version: SCHEMA_VERSION,
        from: current.name.clone(),
        to: desired.name.clone(),
        disruption: if decided.drain.required {
            worst.max(Disruption::Drain)
        } else {
            worst
        },
        drain: decided.drain,
        actions,
        sections,
        current_images: images(&current.spec),
        desired_images: images(&desired.spec),
        steps,
        same_on_disk: files.same_on_disk,
        ignored: ignored::sections(&context),
        refusals: refusals.collect(),
        warnings: decided.warning.into_iter().collect(),
    }
}

/// What a running node refuses of the change. To stay as it is it never refuses, not even with a config that is broken.
fn refusals(context: &Context<'_>) -> Vec<Finding> {
    let Context {
        current,
        desired,
        facts,
        ..
    } = *context;
    let current = facts.recorded.unwrap_or(current);
    if current.spec == desired.spec && current.ignition == desired.ignition {
        return Vec::new();
    }
    let (no_overrides, nobody) = (BTreeSet::new(), BTreeSet::new());
    let overrides = facts.overrides.unwrap_or(&no_overrides);
    let users = facts.users.unwrap_or(&nobody);
    reconcile::check_on(users, current, desired, overrides, facts.origins)
        .err()
        .unwrap_or_default()
}

/// The sections of the Ignition configs that differ in any way.
fn ignition_sections(context: &Context<'_>) -> Vec<Section> {
    let pointers = [
        ("/passwd", Section::Passwd),
        ("/storage/files", Section::Files),
        ("/systemd/units", Section::Units),
    ];
    let differs = |pointer| {
        lists::section(&context.current.ignition, pointer)
            != lists::section(&context.desired.ignition, pointer)
    };
    pointers
        .into_iter()
        .filter(|(pointer, _)| differs(pointer))
        .map(|(_, section)| section)
        .collect()
}

/// The actions of the plan. Without any difference in files, units or users there is nothing to do; with one that changes no path, such as
/// another order of the files, nothing was asked for (MCO daemon 4.3).
fn actions(sections: &[Section], steps: &[Step]) -> Vec<Action> {
    if sections.is_empty() {
        return vec![Action::None];
    }
    let lists: Vec<&[Action]> = steps.iter().map(|step| step.actions.as_slice()).collect();
    action::combine(&lists)
}

/// Raises the disruption of the steps whose drain is decided by the change itself, whatever else the plan drains for.
fn mark_drain(steps: &mut [Step], context: &Context<'_>) {
    for step in steps
        .iter_mut()
        .filter(|step| step.actions.contains(&Action::Special))
    {
        if drain::registries_need_it(context) {
            step.disruption = step.disruption.max(Disruption::Drain);
        }
    }
}

#[cfg(test)]
mod tests;
