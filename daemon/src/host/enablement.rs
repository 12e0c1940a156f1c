//! Whether a unit is enabled, told from the links on disk: what `systemctl --root=DIR is-enabled` answers.
//!
//! [`Units::state`] is the entry point. It asks no running systemd, so it answers for a root that has never been booted
//! as well; presets that the first boot will apply are the caller's affair (see [`super::preset`]).
//!
//! [`Units::enable`], [`Units::disable`] and [`Units::preset`] say which links make it so, and change nothing. Unit files that
//! are about to be written or removed are made known by [`Units::with_unit`] and its like.

mod change;
mod directory;
mod making;
mod search;
mod view;
mod walk;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use change::{ChangeError, LinkChange, Links, Warning};
use directory::{CONFIG, Directory, Place, SEARCH_PATH};
use search::{Search, Unit};
use view::{Planned, View};

use super::preset::Presets;
use super::{Root, unit_name};

/// Answers of `systemctl is-enabled` (systemctl(1)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Links below `/etc` pull it in.
    Enabled,
    /// Links below `/run` pull it in.
    EnabledRuntime,
    /// The unit file lies elsewhere, and a link below `/etc` makes it known.
    Linked,
    /// The same below `/run`.
    LinkedRuntime,
    /// The name is a link to another unit.
    Alias,
    /// A link to `/dev/null` below `/etc`.
    Masked,
    /// The same below `/run`.
    MaskedRuntime,
    /// It has no `[Install]` section.
    Static,
    /// It has another unit to enable with it, or is enabled under another name.
    Indirect,
    /// It could be enabled and is not.
    Disabled,
    /// A generator made it.
    Generated,
    /// It was made at run time.
    Transient,
    /// There is no such unit, or what is there leads to none.
    NotFound,
    /// Its name is none that a unit can have.
    Bad,
}

/// The units of a node: every directory of the search path, read once.
#[derive(Debug)]
pub struct Units<'a> {
    view: View<'a>,
    directories: Vec<Directory>,
}

// === impl Units ===

impl<'a> Units<'a> {
    /// Reads the directories in which a node's units are.
    pub fn read(root: &'a Root) -> io::Result<Self> {
        let view = View::new(root)?;
        let mut directories: Vec<Directory> = Vec::new();
        let mut seen = Vec::new();
        for (path, place) in SEARCH_PATH {
            // Where /lib is a link to /usr/lib, both names are one directory.
            let Some(real) = view.resolve(Path::new(path))? else {
                continue;
            };
            if seen.contains(&real) {
                continue;
            }
            seen.push(real);
            directories.push(Directory::read(&view, path, place)?);
        }
        Ok(Self { view, directories })
    }

    /// From now on takes the unit file `unit` in `/etc/systemd/system` for one of these contents, or for absent.
    pub fn with_unit(&mut self, unit: &str, contents: Option<&str>) -> io::Result<()> {
        self.with(&Path::new(CONFIG).join(unit), contents)
    }

    /// The same for a drop-in of the unit, such as `10-proxy.conf`.
    pub fn with_drop_in(&mut self, unit: &str, name: &str, contents: Option<&str>) -> io::Result<()> {
        self.with(&Path::new(CONFIG).join(format!("{unit}.d")).join(name), contents)
    }

    /// From now on takes these changes for made.
    pub fn with_links(&mut self, changes: &[LinkChange]) -> io::Result<()> {
        for LinkChange { path, want } in changes {
            self.view.plan(path, Planned::link(want.as_deref()));
        }
        self.read_config_again()
    }

    fn with(&mut self, path: &Path, contents: Option<&str>) -> io::Result<()> {
        let planned = contents.map_or(Planned::Absent, |text| Planned::File(text.to_owned()));
        self.view.plan(path, planned);
        self.read_config_again()
    }

    fn read_config_again(&mut self) -> io::Result<()> {
        for directory in &mut self.directories {
            if directory.place == Place::Config {
                *directory = Directory::read(&self.view, directory.path, directory.place)?;
            }
        }
        Ok(())
    }

    /// What `systemctl is-enabled` says about `unit`.
    pub fn state(&self, unit: &str) -> io::Result<State> {
        if !unit_name::is_valid(unit) {
            return Ok(State::Bad);
        }
        let found = match self.search(unit)? {
            Search::Unit(found) => found,
            Search::Masked { runtime: true } => return Ok(State::MaskedRuntime),
            Search::Masked { runtime: false } => return Ok(State::Masked),
            Search::NotFound => return Ok(State::NotFound),
        };
        let file_name = found.path.file_name().unwrap_or_default();
        if file_name != unit && unit_name::instance(&found.name).is_none() {
            return Ok(State::Alias);
        }
        match found.directory.map(|index| self.directories[index].place) {
            Some(Place::Generated) => return Ok(State::Generated),
            Some(Place::Transient) => return Ok(State::Transient),
            Some(Place::Config | Place::Runtime | Place::Vendor) | None => {}
        }
        if let Some(state) = self.linked(&found, true) {
            return Ok(state);
        }
        // Known under a name that enabling it would not have given it.
        if self.linked(&found, false).is_some() {
            return Ok(State::Indirect);
        }
        Ok(if found.install.has_rules() {
            State::Disabled
        } else if !found.install.also.is_empty() {
            State::Indirect
        } else {
            State::Static
        })
    }

    /// The state that links to the unit give it, if there are any: with `known` only links that enabling the unit would
    /// have made.
    fn linked(&self, unit: &Unit, known: bool) -> Option<State> {
        let (mut runtime, mut elsewhere) = (false, false);
        let (mut linked, mut linked_runtime) = (false, false);
        let mut below_unit = false;
        for (index, directory) in self.directories.iter().enumerate() {
            let links = directory.links_to(unit, known, below_unit);
            if links.enable {
                match directory.place {
                    Place::Config => return Some(State::Enabled),
                    Place::Runtime | Place::Generated | Place::Transient => runtime = true,
                    Place::Vendor => elsewhere = true,
                }
            } else if links.same_name {
                linked |= directory.place == Place::Config;
                linked_runtime |= directory.place.is_runtime();
            }
            below_unit |= Some(index) == unit.directory;
        }
        if runtime {
            Some(State::EnabledRuntime)
        } else if elsewhere && unit_name::instance(&unit.name).is_some() {
            Some(State::Static)
        } else if linked {
            Some(State::Linked)
        } else if linked_runtime {
            Some(State::LinkedRuntime)
        } else {
            None
        }
    }
}

/// A directory whose entries decide about enablement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its path.
    pub path: PathBuf,
    /// What of it counts.
    pub counts: Counts,
}

/// What of the entries of a [`Source`] counts for a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// Entries of the unit's name, and links from any other name to it.
    Links,
    /// Entries of the unit's name: nobody makes links of other names here, and entries come and go all the time.
    Names,
}

impl Counts {
    /// Whether an entry `name` of such a directory may say something about one of `units`, among which the template of every
    /// instance is.
    #[must_use]
    pub fn may_concern(self, units: &BTreeSet<String>, name: &OsStr) -> bool {
        // Names of units are text.
        let Some(name) = name.to_str() else { return false };
        units.contains(name)
            || match self {
                // Scopes come and go with every container, and nothing can be enabled by one.
                Counts::Links => {
                    unit_name::is_valid(name) && Path::new(name).extension() != Some(OsStr::new("scope"))
                }
                Counts::Names => template_of(name).is_some_and(|template| units.contains(&template)),
            }
    }
}

/// The template of an instance such as `a@b.service`.
#[must_use]
pub fn template_of(unit: &str) -> Option<String> {
    unit_name::template(unit)
}

/// Every directory of the search path, and the `*.wants` and the like that are there now.
pub fn sources(root: &Root) -> io::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for (path, place) in SEARCH_PATH {
        let counts = match place {
            Place::Config | Place::Runtime | Place::Vendor => Counts::Links,
            Place::Generated | Place::Transient => Counts::Names,
        };
        let path = Path::new(path);
        let source = |path: PathBuf, counts| Source { path, counts };
        for entry in root.list(path)? {
            if pulls_in(&entry.name) {
                sources.push(source(path.join(entry.name), Counts::Names));
            }
        }
        sources.push(source(path.to_owned(), counts));
    }
    Ok(sources)
}

/// Whether a name is that of a directory of links to what a unit pulls in.
#[must_use]
pub fn pulls_in(name: &OsStr) -> bool {
    let suffixes = [".wants", ".requires", ".upholds"];
    suffixes
        .iter()
        .any(|suffix| name.as_encoded_bytes().ends_with(suffix.as_bytes()))
}

// === impl State ===

impl State {
    /// The word that systemctl prints.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Enabled => "enabled",
            State::EnabledRuntime => "enabled-runtime",
            State::Linked => "linked",
            State::LinkedRuntime => "linked-runtime",
            State::Alias => "alias",
            State::Masked => "masked",
            State::MaskedRuntime => "masked-runtime",
            State::Static => "static",
            State::Indirect => "indirect",
            State::Disabled => "disabled",
            State::Generated => "generated",
            State::Transient => "transient",
            State::NotFound => "not-found",
            State::Bad => "bad",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
