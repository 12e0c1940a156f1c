//! The units that a request to enable or disable one comes to: itself, what it is another name of, and what `Also=` names.

use std::path::PathBuf;

use super::Units;
use super::change::ChangeError;
use super::directory::Place;
use super::search::{Loaded, MAX_ALIASES, Unit};
use crate::host::root::EntryKind;
use crate::host::unit_name::{self, aliased};

/// Units in the order in which they turned up.
pub(super) struct Walk<'u, 'r> {
    units: &'u Units<'r>,
    steps: Vec<Step>,
    next: usize,
}

/// One unit of the walk.
pub(super) struct Step {
    /// Its name.
    pub(super) name: String,
    /// Only `Also=` names it.
    pub(super) by_also: bool,
    /// What was found, once it was looked for.
    met: Option<Met>,
    /// A link in `/etc` or `/run` to its file has been followed.
    followed: bool,
}

/// What is found under a name.
pub(super) enum Met {
    /// A unit file.
    Unit {
        /// The unit.
        unit: Box<Unit>,
        /// It is found by a link in `/etc` or `/run` of its own name.
        linked: bool,
    },
    /// A mask.
    Masked,
    /// Another name.
    Alias {
        /// The unit it stands for.
        of: String,
        /// It is one in `/etc` or `/run`.
        linked: bool,
    },
}

// === impl Walk ===

impl<'u, 'r> Walk<'u, 'r> {
    /// A walk that has not begun.
    pub(super) fn new(units: &'u Units<'r>) -> Self {
        Self {
            units,
            steps: Vec::new(),
            next: 0,
        }
    }

    /// Adds a unit; its index, new or not.
    pub(super) fn add(&mut self, name: &str, by_also: bool) -> Result<usize, ChangeError> {
        if !unit_name::is_valid(name) {
            return Err(ChangeError::Name {
                unit: name.to_owned(),
            });
        }
        if let Some(known) = self.steps.iter().position(|step| step.name == name) {
            self.steps[known].by_also &= by_also;
            return Ok(known);
        }
        self.steps.push(Step {
            name: name.to_owned(),
            by_also,
            met: None,
            followed: false,
        });
        Ok(self.steps.len() - 1)
    }

    /// The next unit that was not handed out yet.
    pub(super) fn next(&mut self) -> Option<usize> {
        let index = self.next;
        self.next += 1;
        (index < self.steps.len()).then_some(index)
    }

    /// A unit by its index.
    pub(super) fn step(&self, index: usize) -> &Step {
        &self.steps[index]
    }

    /// What was found under a name that has been looked for.
    pub(super) fn met(&self, index: usize) -> &Met {
        self.steps[index]
            .met
            .as_ref()
            .expect("traverse has looked for it")
    }

    /// Looks for a unit, through all its names; the index of what it is in the end. Unless `follow`, links in `/etc` and
    /// `/run` that nothing has followed before are refused, as systemctl does.
    pub(super) fn traverse(&mut self, index: usize, follow: bool) -> Result<usize, ChangeError> {
        let mut at = index;
        for _ in 0..MAX_ALIASES {
            self.look_for(at)?;
            let step = &mut self.steps[at];
            let refused = || ChangeError::Linked {
                unit: step.name.clone(),
            };
            match step.met.as_ref().expect("it was looked for just now") {
                Met::Unit { linked, .. } => {
                    if *linked && !follow && !step.followed {
                        return Err(refused());
                    }
                    step.followed |= follow;
                    return Ok(at);
                }
                Met::Masked => return Ok(at),
                Met::Alias { of, linked } => {
                    if *linked && !follow {
                        return Err(refused());
                    }
                    let of = of.clone();
                    at = self.add(&of, false)?;
                }
            }
        }
        Err(self.not_found(index))
    }

    fn not_found(&self, index: usize) -> ChangeError {
        ChangeError::NotFound {
            unit: self.steps[index].name.clone(),
        }
    }

    fn look_for(&mut self, index: usize) -> Result<(), ChangeError> {
        if self.steps[index].met.is_some() {
            return Ok(());
        }
        let name = self.steps[index].name.clone();
        if !unit_name::can_be(&name) {
            return Err(ChangeError::Name { unit: name });
        }
        let units = self.units;
        let (at, loaded) = units.find(&name)?.ok_or_else(|| self.not_found(index))?;
        let directory = units.directory_of(&at).map(|index| &units.directories[index]);
        let linked = directory.is_some_and(|directory| {
            let file = at.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            directory.is_config() && matches!(directory.entries.get(file), Some(EntryKind::Link(_)))
        });
        let met = match loaded {
            Loaded::Masked(_) => Met::Masked,
            Loaded::Severed | Loaded::Absent => return Err(self.not_found(index)),
            Loaded::Alias(target) => Met::Alias {
                of: aliased(&name, &target),
                linked,
            },
            Loaded::Regular(path, text) => {
                let unit = Box::new(self.unit(&name, path, &text)?);
                Met::Unit { unit, linked }
            }
        };
        self.steps[index].met = Some(met);
        Ok(())
    }

    /// The unit in a file, with what its `Also=` names added to the walk.
    fn unit(&mut self, name: &str, path: PathBuf, text: &str) -> Result<Unit, ChangeError> {
        let unit = Unit {
            name: name.to_owned(),
            directory: self.units.directory_of(&path),
            path,
            install: self.units.install(name, text)?,
        };
        for word in &unit.install.also {
            let also = unit.expand(word)?;
            self.add(&also, true).map_err(|_| unit.refuses(word))?;
        }
        Ok(unit)
    }
}

// === impl Unit ===

impl Unit {
    /// A word of its `[Install]` section, specifiers replaced.
    pub(super) fn expand(&self, word: &str) -> Result<String, ChangeError> {
        self.install
            .expand(&self.name, word)
            .map_err(|_| self.refuses(word))
    }

    /// That a word of its `[Install]` section cannot be followed.
    pub(super) fn refuses(&self, word: &str) -> ChangeError {
        ChangeError::Install {
            unit: self.name.clone(),
            word: word.to_owned(),
        }
    }

    /// Whether it is gone after a reboot, so that no link may point to it.
    pub(super) fn is_passing(&self, units: &Units<'_>) -> bool {
        match self.directory.map(|index| units.directories[index].place) {
            Some(Place::Generated | Place::Transient) => true,
            Some(Place::Config | Place::Runtime | Place::Vendor) | None => false,
        }
    }
}
