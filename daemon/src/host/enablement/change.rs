//! Which links below `/etc/systemd/system` enable or disable a unit: those that `systemctl --root=DIR` would make or remove.
//!
//! Nothing is changed here: the links are written by whoever writes the rest, so that one journal undoes all of it, and
//! recovery needs no systemd that runs.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::directory::CONFIG;
use super::making::Making;
use super::view::Planned;
use super::walk::{Met, Walk};
use super::{Presets, Units};
use crate::host::preset::Preset;
use crate::host::root::EntryKind;
use crate::host::unit_name;

/// Directories in directories that are searched for links. `*.wants` and the like lie one deep; a bound keeps a hostile
/// tree from filling the stack.
const MAX_DEPTH: usize = 8;

/// One link that is made, replaced or removed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkChange {
    /// Where: an absolute path below `/etc/systemd/system`.
    pub path: PathBuf,
    /// What it is to say; nothing: it is to be removed.
    pub want: Option<PathBuf>,
}

/// What enables or disables a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// The links, in the order in which systemctl changes them; no path is in it twice. Empty when all is as it should be.
    pub changes: Vec<LinkChange>,
    /// What somebody should know.
    pub warnings: Vec<Warning>,
}

/// What did not keep a unit from being enabled or disabled, but is not as it was meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// Its `[Install]` section asks for no link, or it has none.
    #[error("{unit} has no [Install] section to enable it by")]
    NothingToInstall {
        /// The unit.
        unit: String,
    },
    /// A unit that another one enables or disables with itself could not be.
    #[error("{unit}, which another unit names in Also=, is left out: {reason}")]
    Also {
        /// The unit.
        unit: String,
        /// Why.
        reason: String,
    },
    /// The unit to disable cannot be found or read; links of its name are removed nevertheless.
    #[error("only links of the name {unit} are removed: {reason}")]
    ByNameOnly {
        /// The unit.
        unit: String,
        /// Why.
        reason: String,
    },
    /// The unit to disable is masked, and its links are left as they are.
    #[error("{unit} is masked, its links stay")]
    Masked {
        /// The unit.
        unit: String,
    },
}

/// Why a unit cannot be enabled or disabled.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// No unit can have the name.
    #[error("{unit:?} is not the name of a unit")]
    Name {
        /// The name.
        unit: String,
    },
    /// There is no such unit, or links that lead nowhere.
    #[error("there is no unit {unit}")]
    NotFound {
        /// The unit.
        unit: String,
    },
    /// It is masked.
    #[error("{unit} is masked")]
    Masked {
        /// The unit.
        unit: String,
    },
    /// A generator or a program made it, and no link may lead to it.
    #[error("{unit} was made by a generator or at run time")]
    Passing {
        /// The unit.
        unit: String,
    },
    /// The name is a link that somebody made in `/etc` or `/run`.
    #[error("{unit} is a link to another unit")]
    Linked {
        /// The unit.
        unit: String,
    },
    /// A word of the `[Install]` section cannot be followed: no name of a unit, none that this unit can have or be pulled in
    /// by, or a specifier that only a running machine can answer.
    #[error("the [Install] section of {unit} says {word:?}, which cannot be followed")]
    Install {
        /// The unit.
        unit: String,
        /// The word.
        word: String,
    },
    /// Something else is where a link would be.
    #[error("{} is taken by something else", path.display())]
    Taken {
        /// Where.
        path: PathBuf,
    },
    /// The units cannot be read.
    #[error("cannot read the units")]
    Read(#[from] io::Error),
}

// === impl Units ===

impl Units<'_> {
    /// What `systemctl enable` does. A unit without an `[Install]` section is a warning.
    ///
    /// # Errors
    /// Whatever makes systemctl print a failure, even where it goes on and does half.
    pub fn enable(&self, unit: &str) -> Result<Links, ChangeError> {
        let mut walk = Walk::new(self);
        self.check(&mut walk, unit)?;
        let (mut links, asked) = self.links_for(walk, false)?;
        if asked == 0 {
            let unit = unit.to_owned();
            links.warnings.push(Warning::NothingToInstall { unit });
        }
        Ok(links)
    }

    /// What `systemctl disable` does: removes every link to the unit, and to those in its `Also=`, also links that lead to it by
    /// other names. What cannot be found is disabled by its name.
    pub fn disable(&self, unit: &str) -> Result<Links, ChangeError> {
        let mut walk = Walk::new(self);
        walk.add(unit, false)?;
        self.remove(walk)
    }

    /// What `systemctl preset` does: enables or disables the unit, or leaves it, by the first rule that speaks of it, and
    /// enables it when none does. Another name of a unit is left as it is.
    pub fn preset(&self, presets: &Presets, unit: &str) -> Result<Links, ChangeError> {
        let mut walk = Walk::new(self);
        let index = walk.add(unit, false)?;
        let end = walk.traverse(index, true)?;
        if walk.step(end).name != unit {
            return Ok(Links::default());
        }
        match presets.of(unit).unwrap_or(Preset::Enable) {
            Preset::Ignore => Ok(Links::default()),
            Preset::Disable => self.disable(unit),
            Preset::Enable => {
                let mut walk = Walk::new(self);
                for unit in presets.stands_for(unit) {
                    self.check(&mut walk, &unit)?;
                }
                Ok(self.links_for(walk, true)?.0)
            }
        }
    }

    /// Adds a unit to be enabled.
    fn check(&self, walk: &mut Walk<'_, '_>, unit: &str) -> Result<(), ChangeError> {
        let index = walk.add(unit, false)?;
        let end = walk.traverse(index, true)?;
        let name = || walk.step(end).name.clone();
        match walk.met(end) {
            Met::Masked => Err(ChangeError::Masked { unit: name() }),
            Met::Unit { unit, .. } if unit.is_passing(self) => Err(ChangeError::Passing { unit: name() }),
            Met::Unit { .. } | Met::Alias { .. } => Ok(()),
        }
    }

    /// The links of all units of a walk, and for how many they ask.
    fn links_for(&self, mut walk: Walk<'_, '_>, lenient: bool) -> Result<(Links, usize), ChangeError> {
        let mut making = Making::new(self);
        let mut warnings = Vec::new();
        let mut asked = 0;
        while let Some(index) = walk.next() {
            let traversed = walk.traverse(index, false);
            let also = |reason: String| Warning::Also {
                unit: walk.step(index).name.clone(),
                reason,
            };
            match traversed {
                Ok(_) => {}
                Err(ChangeError::Read(error)) => return Err(error.into()),
                Err(error) if walk.step(index).by_also => {
                    warnings.push(also(error.to_string()));
                    continue;
                }
                Err(error) => return Err(error),
            }
            match walk.met(index) {
                Met::Masked => {
                    warnings.push(also("it is masked".to_owned()));
                    // It would be enabled but for the mask: no section is missing.
                    asked += 1;
                }
                Met::Unit { unit, .. } => asked += making.install(unit, lenient)?,
                // The unit it stands for follows.
                Met::Alias { .. } => {}
            }
        }
        let changes = making.changes;
        Ok((Links { changes, warnings }.once_each(), asked))
    }

    /// Removes the links to all units of a walk.
    fn remove(&self, mut walk: Walk<'_, '_>) -> Result<Links, ChangeError> {
        let mut names = BTreeSet::new();
        let mut warnings = Vec::new();
        while let Some(index) = walk.next() {
            let traversed = walk.traverse(index, true);
            let unit = walk.step(index).name.clone();
            match traversed {
                Ok(_) => match walk.met(index) {
                    Met::Unit { .. } => _ = names.insert(unit),
                    Met::Masked => warnings.push(Warning::Masked { unit }),
                    Met::Alias { .. } => {}
                },
                Err(ChangeError::Read(error)) => return Err(error.into()),
                Err(error) => {
                    names.insert(unit.clone());
                    let reason = error.to_string();
                    warnings.push(Warning::ByNameOnly { unit, reason });
                }
            }
        }
        let changes = self.links_to(&names)?;
        Ok(Links { changes, warnings })
    }

    /// The removal of every link below `/etc/systemd/system` that has one of these names, or leads to a file of that name, or
    /// to a link that is removed.
    fn links_to(&self, names: &BTreeSet<String>) -> Result<Vec<LinkChange>, ChangeError> {
        let mut view = self.view.clone();
        let mut links = self.links_below(Path::new(CONFIG), 0)?;
        let mut removed: BTreeSet<PathBuf> = BTreeSet::new();
        let mut changes = Vec::new();
        loop {
            let before = changes.len();
            let mut rest = Vec::new();
            for (path, name) in links {
                let template = unit_name::with_instance(&name, "");
                let by_name = names.contains(&name) || template.is_some_and(|name| names.contains(&name));
                let leads = || view.resolve(&path);
                let gone = by_name
                    || leads()?.is_some_and(|end| {
                        let file = end.file_name().and_then(|name| name.to_str());
                        removed.contains(&end) || file.is_some_and(|name| names.contains(name))
                    });
                if gone {
                    view.plan(&path, Planned::Absent);
                    removed.insert(path.clone());
                    changes.push(LinkChange { path, want: None });
                } else {
                    rest.push((path, name));
                }
            }
            if changes.len() == before {
                return Ok(changes);
            }
            links = rest;
        }
    }

    /// Every link below a directory that has the name of a unit, directories in it searched too.
    fn links_below(&self, directory: &Path, depth: usize) -> Result<Vec<(PathBuf, String)>, ChangeError> {
        let mut links = Vec::new();
        for entry in self.view.list(directory)? {
            let Some(name) = entry.name.to_str() else { continue };
            let path = directory.join(name);
            match entry.kind {
                EntryKind::Directory if depth < MAX_DEPTH => {
                    links.extend(self.links_below(&path, depth + 1)?);
                }
                EntryKind::Link(_) if unit_name::is_valid(name) => links.push((path, name.to_owned())),
                EntryKind::Directory | EntryKind::Link(_) | EntryKind::File | EntryKind::Other => {}
            }
        }
        Ok(links)
    }
}

// === impl Links ===

impl Links {
    /// Of several changes to one link only the last.
    fn once_each(mut self) -> Self {
        let mut seen = BTreeSet::new();
        self.changes.reverse();
        self.changes.retain(|change| seen.insert(change.path.clone()));
        self.changes.reverse();
        self
    }
}
