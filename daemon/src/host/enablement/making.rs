//! The links that enabling a unit makes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::Units;
use super::change::{ChangeError, LinkChange};
use super::directory::CONFIG;
use super::search::{Loaded, Unit};
use super::view::{Planned, View};
use crate::host::root::EntryKind;
use crate::host::unit_name::{self, may_stand_for};

/// Links, made one after the other; each is seen by those that follow.
pub(super) struct Making<'u, 'r> {
    units: &'u Units<'r>,
    view: View<'r>,
    /// What changes, in order.
    pub(super) changes: Vec<LinkChange>,
}

/// What becomes of a link that is there and says something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Other {
    /// It is replaced.
    Replace,
    /// It is an error.
    Refuse,
}

impl<'u, 'r> Making<'u, 'r> {
    /// Nothing made yet.
    pub(super) fn new(units: &'u Units<'r>) -> Self {
        Self {
            units,
            view: units.view.clone(),
            changes: Vec::new(),
        }
    }

    /// Makes the links of a unit: how many its `[Install]` section asks for, whether or not they were there already. With
    /// `lenient` names of units that cannot pull it in are passed over (what presets do).
    pub(super) fn install(&mut self, unit: &Unit, lenient: bool) -> Result<usize, ChangeError> {
        let in_search_path = unit.path.parent().is_some_and(|parent| {
            let mut directories = self.units.directories.iter();
            directories.any(|directory| Path::new(directory.path) == parent)
        });
        if !in_search_path {
            self.link(unit, Path::new(CONFIG).join(&unit.name), Other::Refuse)?;
        }
        let mut asked = self.aliases(unit)?;
        for (list, suffix) in [
            (&unit.install.wanted_by, "wants"),
            (&unit.install.required_by, "requires"),
            (&unit.install.upheld_by, "upholds"),
        ] {
            asked += self.dependents(unit, list, suffix, lenient)?;
        }
        Ok(asked)
    }

    fn aliases(&mut self, unit: &Unit) -> Result<usize, ChangeError> {
        // Said of units of other types it is passed over.
        if !unit_name::can_have_aliases(&unit.name) {
            return Ok(0);
        }
        let mut asked = 0;
        for word in &unit.install.aliases {
            let alias = alias_of(unit, &unit.expand(word)?).ok_or_else(|| unit.refuses(word))?;
            if alias == unit.name {
                continue;
            }
            let path = Path::new(CONFIG).join(alias);
            let other = if self.view.leads_somewhere(&path)? {
                Other::Refuse
            } else {
                Other::Replace
            };
            self.link(unit, path, other)?;
            asked += 1;
        }
        Ok(asked)
    }

    fn dependents(
        &mut self,
        unit: &Unit,
        list: &[String],
        suffix: &str,
        lenient: bool,
    ) -> Result<usize, ChangeError> {
        if list.is_empty() {
            return Ok(0);
        }
        let name = self.link_name(unit)?;
        // The instance of a template that names none comes from whoever pulls it in.
        let needs_instance = unit_name::is_template(&name);
        let mut asked = 0;
        for word in list {
            let by = unit.expand(word)?;
            let fits = unit_name::is_valid(&by)
                && (!needs_instance || unit_name::is_template(&by) || unit_name::instance(&by).is_some());
            if fits {
                let path = Path::new(CONFIG).join(format!("{by}.{suffix}")).join(&name);
                self.link(unit, path, Other::Replace)?;
                asked += 1;
            } else if !lenient {
                return Err(unit.refuses(word));
            }
        }
        Ok(asked)
    }

    /// What a link that pulls the unit in is called.
    fn link_name(&self, unit: &Unit) -> Result<String, ChangeError> {
        let default = unit.install.default_instance(&unit.name);
        let Some(name) = default.and_then(|default| unit_name::with_instance(&unit.name, default)) else {
            return Ok(unit.name.clone());
        };
        match self.units.find(&name)? {
            Some((_, Loaded::Masked(_))) => Err(ChangeError::Masked { unit: name }),
            Some(_) => Ok(name),
            None => Err(ChangeError::NotFound { unit: name }),
        }
    }

    fn link(&mut self, unit: &Unit, path: PathBuf, other: Other) -> Result<(), ChangeError> {
        match self.view.kind(&path)? {
            None => {}
            Some(EntryKind::Link(there)) => {
                if self.is_same(&path, &there, &unit.path)? {
                    return Ok(());
                }
                if other == Other::Refuse {
                    return Err(ChangeError::Taken { path });
                }
            }
            Some(EntryKind::Directory | EntryKind::File | EntryKind::Other) => {
                return Err(ChangeError::Taken { path });
            }
        }
        self.view.plan(&path, Planned::link(Some(&unit.path)));
        let want = Some(unit.path.clone());
        self.changes.push(LinkChange { path, want });
        Ok(())
    }

    /// Whether the texts of two links at `path` say the same: one file in the end, or one name in the search path, since
    /// which file of that name it is has no meaning.
    fn is_same(&self, path: &Path, one: &Path, two: &Path) -> Result<bool, ChangeError> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        let (one, two) = (parent.join(one), parent.join(two));
        if one == two {
            return Ok(true);
        }
        let (end, other_end) = (self.view.resolve(&one)?, self.view.resolve(&two)?);
        if end == other_end
            && let Some(end) = end
            && self.view.kind(&end)?.is_some()
        {
            return Ok(true);
        }
        let in_search_path = |path: &Path| {
            let mut directories = self.units.directories.iter();
            directories.any(|directory| path.starts_with(directory.path))
        };
        Ok(one.file_name() == two.file_name() && in_search_path(&one) && in_search_path(&two))
    }
}

/// Where below `/etc/systemd/system` the link for an `Alias=` of the unit is, if it may have it: a name, or in the old
/// manner one in a `.wants` or `.requires` directory.
fn alias_of(unit: &Unit, alias: &str) -> Option<String> {
    let Some((directory, name)) = alias.rsplit_once('/') else {
        let instance = unit_name::instance(&unit.name).filter(|_| unit_name::is_template(alias));
        let alias = match instance {
            Some(instance) => unit_name::with_instance(alias, instance)?,
            None => alias.to_owned(),
        };
        let may =
            unit_name::is_valid(&alias) && unit_name::can_be(&alias) && may_stand_for(&alias, &unit.name);
        return may.then_some(alias);
    };
    let by = Path::new(directory);
    let is_dependents = matches!(by.extension().and_then(OsStr::to_str), Some("wants" | "requires"));
    let by = by.file_stem().and_then(OsStr::to_str)?;
    let template_of = |name: &str| unit_name::with_instance(name, "");
    // An instance of the template that the unit is; or, below a template, the template of the instance that it is.
    let fits = name == unit.name
        || (unit_name::is_valid(name) && template_of(name).is_some_and(|template| template == unit.name))
        || (unit_name::is_template(by) && template_of(&unit.name).is_some_and(|template| template == name));
    let is_flat = !directory.contains('/');
    (is_dependents && is_flat && unit_name::is_valid(by) && fits).then(|| alias.to_owned())
}
