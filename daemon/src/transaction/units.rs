//! Units, drop-ins, masks and enablement (MCO daemon 3.7).
//!
//! Units are enabled by the links that systemctl would make, written like all the rest: so one journal undoes them too, and
//! recovery needs no systemd that runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use machineconfig::Code;
use machineconfig::layout::{UNIT_DIRECTORY, WantedUnit};

use super::{Builder, Wish, finding};
use crate::host::Found;
use crate::host::enablement::{ChangeError, LinkChange, Links, Units};
use crate::host::preset::Presets;

/// What a masked unit is a link to.
const MASK: &str = "/dev/null";

/// The units of the node before the change and, as far as it is planned, after it.
struct Sides<'a> {
    before: Units<'a>,
    after: Units<'a>,
    presets: Presets,
}

impl Builder<'_> {
    /// A drop-in that is added, changed or removed.
    pub(super) fn dropin(&mut self, unit: &str, name: &str) {
        let path = format!("{UNIT_DIRECTORY}/{unit}.d/{name}");
        let wanted = self
            .input
            .desired
            .units
            .get(unit)
            .and_then(|unit| unit.dropins.get(name))
            .cloned()
            .flatten();
        match wanted {
            Some(contents) => self.text(&path, &contents),
            None => self.let_go(&path),
        }
        self.prune.extend(Path::new(&path).parent().map(Path::to_owned));
    }

    /// Units of which anything changes, a drop-in included.
    pub(super) fn units(&mut self, names: &BTreeSet<&str>) {
        if names.is_empty() {
            return;
        }
        let root = self.input.root;
        let read = || -> std::io::Result<Sides<'_>> {
            Ok(Sides {
                before: Units::read(root)?,
                after: Units::read(root)?,
                presets: Presets::read(root)?,
            })
        };
        let mut sides = match read() {
            Ok(sides) => sides,
            Err(error) => {
                return self.findings.push(finding(
                    Code::NODE_UNREADABLE,
                    UNIT_DIRECTORY,
                    format!("the units cannot be read: {error}"),
                ));
            }
        };
        for name in names {
            if let Err(error) = self.unit(&mut sides, name) {
                let unit = format!("unit {name}");
                self.refuse(Code::UNIT_ENABLEMENT, unit, crate::apply::chain(&error));
            }
        }
    }

    fn unit(&mut self, sides: &mut Sides<'_>, name: &str) -> Result<(), ChangeError> {
        let nothing = WantedUnit::default();
        let old = self.input.current.get(name).unwrap_or(&nothing);
        let new = self.input.desired.units.get(name);
        self.unit_file(sides, name, old, new.unwrap_or(&nothing))?;
        // Links of the unit as it was would stay behind when it says now to be pulled in by something else.
        if old.brings_file() && new.is_none_or(|new| new.contents != old.contents || new.mask == Some(true)) {
            let links = sides.before.disable(name)?;
            self.links(sides, links)?;
        }
        self.enablement(sides, name, new)
    }

    /// The unit's own file, or the link that masks it.
    fn unit_file(
        &mut self,
        sides: &mut Sides<'_>,
        name: &str,
        old: &WantedUnit,
        new: &WantedUnit,
    ) -> Result<(), ChangeError> {
        let path = format!("{UNIT_DIRECTORY}/{name}");
        let had = old.brings_file() || old.mask == Some(true);
        if new.mask == Some(true) {
            if !had {
                self.keep_original(&path);
            }
            self.wish(path.clone().into(), Wish::Link { target: MASK.into() });
            sides.after.with_links(&[LinkChange {
                path: path.into(),
                want: Some(MASK.into()),
            }])?;
        } else if let Some(contents) = &new.contents {
            self.text(&path, contents);
            sides.after.with_unit(name, Some(contents))?;
        } else if had {
            self.let_go(&path);
            sides.after.with_unit(name, None)?;
        } else if new.mask == Some(false) && self.is_masked(&path) {
            self.wish(path.into(), Wish::Absent);
            sides.after.with_unit(name, None)?;
        }
        for (dropin, contents) in &new.dropins {
            sides.after.with_drop_in(name, dropin, contents.as_deref())?;
        }
        Ok(())
    }

    /// Whether the unit is pulled in: as the config says, or else as the presets of the host do.
    fn enablement(
        &mut self,
        sides: &mut Sides<'_>,
        name: &str,
        new: Option<&WantedUnit>,
    ) -> Result<(), ChangeError> {
        let masked = new.is_some_and(|new| new.mask == Some(true));
        let brings_file = new.is_some_and(WantedUnit::brings_file);
        let links = match new.and_then(|new| new.enabled) {
            _ if masked => return Ok(()),
            Some(true) => sides.after.enable(name),
            Some(false) => sides.after.disable(name),
            None => sides.after.preset(&sides.presets, name),
        };
        let links = match (links, new.and_then(|new| new.enabled)) {
            (Ok(links), _) => links,
            // A unit that nobody brings cannot be enabled, and nobody tries to (MCO daemon 3.7).
            (Err(ChangeError::NotFound { .. }), _) if !brings_file => return Ok(()),
            // Presets are a wish of the host, and the reference only logs when one cannot be met.
            (Err(error), None) => {
                self.warn(
                    Code::UNIT_ENABLEMENT,
                    format!("unit {name}"),
                    crate::apply::chain(&error),
                );
                return Ok(());
            }
            (Err(error), Some(_)) => return Err(error),
        };
        self.links(sides, links)
    }

    /// Takes over what systemctl would do.
    fn links(&mut self, sides: &mut Sides<'_>, links: Links) -> Result<(), ChangeError> {
        sides.after.with_links(&links.changes)?;
        for warning in links.warnings {
            self.warn(Code::UNIT_ENABLEMENT, "units", warning.to_string());
        }
        for LinkChange { path, want } in links.changes {
            let below = path
                .parent()
                .filter(|parent| *parent != Path::new(UNIT_DIRECTORY));
            self.prune.extend(below.map(PathBuf::from));
            self.wish(path, want.map_or(Wish::Absent, |target| Wish::Link { target }));
        }
        Ok(())
    }

    fn is_masked(&self, path: &str) -> bool {
        matches!(self.input.root.look(Path::new(path)), Ok(Found::Symlink { target, .. }) if target == Path::new(MASK))
    }
}
