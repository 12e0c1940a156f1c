//! From the name of a unit to its file, along the search path and through aliases, as systemd finds it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};

use super::Units;
use super::directory::Place;
use crate::host::root::EntryKind;
use crate::host::unit_file::Install;
use crate::host::unit_name::{aliased, may_stand_for, template};

/// Longest unit file that is read for its `[Install]` section, in bytes.
pub(super) const MAX_UNIT_BYTES: u64 = 1 << 20;
/// Links from unit to unit that are followed; systemd's own bound.
pub(super) const MAX_ALIASES: usize = 64;

/// A unit that was found.
pub(super) struct Unit {
    /// The name it has in the end, aliases followed.
    pub(super) name: String,
    /// Where its file is.
    pub(super) path: PathBuf,
    /// Index of the directory of the search path that the file is in, if it is in one.
    pub(super) directory: Option<usize>,
    /// Its `[Install]` section.
    pub(super) install: Install,
}

/// The end of a search.
pub(super) enum Search {
    /// A unit file.
    Unit(Box<Unit>),
    /// It is masked, by a link or file that is gone after a reboot or not.
    Masked {
        /// Gone after a reboot.
        runtime: bool,
    },
    /// Nothing, or links that lead nowhere.
    NotFound,
}

/// What lies at one path of the search path.
pub(super) enum Loaded {
    /// A link to `/dev/null`, or an empty file, at this path.
    Masked(PathBuf),
    /// A unit file: where it is, and what is in it.
    Regular(PathBuf, String),
    /// A link to a unit file of another name in the search path.
    Alias(String),
    /// Not there, or nothing a unit could be.
    Absent,
    /// A link that leads nowhere.
    Severed,
}

// === impl Units ===

impl Units<'_> {
    /// Finds the file of a unit, following links from name to name.
    pub(super) fn search(&self, unit: &str) -> io::Result<Search> {
        let mut name = unit.to_owned();
        for _ in 0..MAX_ALIASES {
            let Some((_, loaded)) = self.find(&name)? else {
                return Ok(Search::NotFound);
            };
            match loaded {
                Loaded::Masked(path) => {
                    let place = self
                        .directory_of(&path)
                        .map(|index| self.directories[index].place);
                    return Ok(Search::Masked {
                        runtime: place.is_some_and(Place::is_runtime),
                    });
                }
                Loaded::Regular(path, text) => {
                    let install = self.install(&name, &text)?;
                    let directory = self.directory_of(&path);
                    return Ok(Search::Unit(Box::new(Unit {
                        name,
                        path,
                        directory,
                        install,
                    })));
                }
                Loaded::Alias(target) => name = aliased(&name, &target),
                Loaded::Severed | Loaded::Absent => return Ok(Search::NotFound),
            }
        }
        Ok(Search::NotFound)
    }

    /// The first place in the search path that has `name`, or failing that its template; and what lies there.
    pub(super) fn find(&self, name: &str) -> io::Result<Option<(PathBuf, Loaded)>> {
        let template = template(name);
        for candidate in [Some(name), template.as_deref()].into_iter().flatten() {
            for directory in &self.directories {
                let Some(kind) = directory.entries.get(candidate) else {
                    continue;
                };
                let path = Path::new(directory.path).join(candidate);
                match self.load(name, &path, kind)? {
                    Loaded::Absent => {}
                    loaded => return Ok(Some((path, loaded))),
                }
            }
        }
        Ok(None)
    }

    /// What lies at `path`, one of the search path, when looking for the unit `wanted`.
    fn load(&self, wanted: &str, path: &Path, kind: &EntryKind) -> io::Result<Loaded> {
        let target = match kind {
            EntryKind::File => return self.regular(path.to_owned()),
            EntryKind::Directory | EntryKind::Other => return Ok(Loaded::Absent),
            EntryKind::Link(target) => target,
        };
        let next = clean(&path.parent().unwrap_or(Path::new("/")).join(target));
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let target = next.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let in_search_path = next
            .parent()
            .is_some_and(|parent| self.directories.iter().any(|d| Path::new(d.path) == parent));
        if in_search_path && !may_stand_for(name, target) {
            return Ok(Loaded::Severed);
        }
        let leads_on = in_search_path && target != name;
        if leads_on && aliased(wanted, target) == wanted {
            // An instance linked to its own template: the link is honoured as it is.
            return self.at(wanted, &next);
        }
        let Some(end) = self.view.resolve(path)? else {
            return Ok(Loaded::Severed);
        };
        if end == Path::new("/dev/null") {
            return Ok(Loaded::Masked(path.to_owned()));
        }
        Ok(match self.regular(end)? {
            // An empty file elsewhere masks from where it is.
            Loaded::Masked(end) => Loaded::Masked(if in_search_path { path.to_owned() } else { end }),
            _ if leads_on => Loaded::Alias(target.to_owned()),
            Loaded::Absent => Loaded::Severed,
            loaded => loaded,
        })
    }

    /// What lies at one path of the search path that a link leads to.
    fn at(&self, wanted: &str, path: &Path) -> io::Result<Loaded> {
        let directory = self
            .directories
            .iter()
            .find(|d| path.parent() == Some(Path::new(d.path)));
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        match directory.and_then(|directory| directory.entries.get(name)) {
            Some(kind) => self.load(wanted, path, kind),
            None => Ok(Loaded::Severed),
        }
    }

    pub(super) fn directory_of(&self, path: &Path) -> Option<usize> {
        self.directories
            .iter()
            .position(|directory| path.starts_with(directory.path))
    }

    fn regular(&self, path: PathBuf) -> io::Result<Loaded> {
        Ok(match self.view.read(&path, MAX_UNIT_BYTES)? {
            None => Loaded::Absent,
            // systemd takes an empty unit file for a masked unit.
            Some(bytes) if bytes.is_empty() => Loaded::Masked(path),
            Some(bytes) => Loaded::Regular(path, String::from_utf8_lossy(&bytes).into_owned()),
        })
    }

    /// The `[Install]` section of the file, with those of the drop-ins of the unit and of its template.
    pub(super) fn install(&self, name: &str, text: &str) -> io::Result<Install> {
        let mut install = Install::default();
        install.add(text);
        let mut drop_ins: BTreeMap<OsString, PathBuf> = BTreeMap::new();
        let template = template(name);
        for unit in [Some(name), template.as_deref()].into_iter().flatten() {
            for directory in &self.directories {
                let below = format!("{unit}.d");
                if !directory.entries.contains_key(&below) {
                    continue;
                }
                let path = Path::new(directory.path).join(below);
                for entry in self.view.list(&path)? {
                    let file = Path::new(&entry.name);
                    if file.extension() == Some(OsStr::new("conf")) {
                        drop_ins
                            .entry(entry.name.clone())
                            .or_insert_with(|| path.join(file));
                    }
                }
            }
        }
        for path in drop_ins.values() {
            if let Some(bytes) = self.view.read(path, MAX_UNIT_BYTES)? {
                install.add(&String::from_utf8_lossy(&bytes));
            }
        }
        install.settle_default_instance(name);
        Ok(install)
    }
}

/// The path without its `.` and `..`, by the text alone.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) | Component::Normal(_) => clean.push(part),
        }
    }
    clean
}
