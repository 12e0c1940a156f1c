//! The directories of the unit search path, and the links to a unit in each of them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::pulls_in;
use super::search::Unit;
use super::view::View;
use crate::host::root::{Entry, EntryKind};
use crate::host::unit_name;

/// Where `systemctl enable` writes.
pub(super) const CONFIG: &str = "/etc/systemd/system";

/// Where systemd looks for units, the first wins (systemd.unit(5)).
pub(super) const SEARCH_PATH: [(&str, Place); 13] = [
    ("/etc/systemd/system.control", Place::Vendor),
    ("/run/systemd/system.control", Place::Runtime),
    ("/run/systemd/transient", Place::Transient),
    ("/run/systemd/generator.early", Place::Generated),
    (CONFIG, Place::Config),
    ("/etc/systemd/system.attached", Place::Vendor),
    ("/run/systemd/system", Place::Runtime),
    ("/run/systemd/system.attached", Place::Runtime),
    ("/run/systemd/generator", Place::Generated),
    ("/usr/local/lib/systemd/system", Place::Vendor),
    ("/usr/lib/systemd/system", Place::Vendor),
    ("/lib/systemd/system", Place::Vendor),
    ("/run/systemd/generator.late", Place::Generated),
];

/// What a directory of the search path is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Where `systemctl enable` writes.
    Config,
    /// Below `/run`.
    Runtime,
    /// Written by generators.
    Generated,
    /// Made at run time.
    Transient,
    /// Any other.
    Vendor,
}

/// One directory of the search path, read once.
#[derive(Debug)]
pub(super) struct Directory {
    /// Its path.
    pub(super) path: &'static str,
    /// What it is for.
    pub(super) place: Place,
    /// What it holds, by name.
    pub(super) entries: BTreeMap<String, EntryKind>,
    /// Names of the links in each `*.wants`, `*.requires` and `*.upholds` directory.
    dependents: Vec<Vec<String>>,
}

/// What one directory has in links to a unit.
#[derive(Default)]
pub(super) struct Links {
    /// At least one that enables the unit.
    pub(super) enable: bool,
    /// One of the unit's own name, to a unit file elsewhere.
    pub(super) same_name: bool,
}

// === impl Directory ===

impl Directory {
    /// Reads it, with its `*.wants` and the like.
    pub(super) fn read(view: &View<'_>, path: &'static str, place: Place) -> io::Result<Self> {
        let mut entries = BTreeMap::new();
        let mut dependents = Vec::new();
        for Entry { name, kind } in view.list(Path::new(path))? {
            // Names of units are ASCII; a name that is no text is none.
            let Some(name) = name.to_str() else { continue };
            if pulls_in(name.as_ref()) && kind == EntryKind::Directory {
                let links = view.list(&Path::new(path).join(name))?;
                let links = links
                    .into_iter()
                    .filter(|link| matches!(link.kind, EntryKind::Link(_)));
                dependents.push(links.filter_map(|link| link.name.into_string().ok()).collect());
            }
            entries.insert(name.to_owned(), kind);
        }
        Ok(Self {
            path,
            place,
            entries,
            dependents,
        })
    }

    /// Whether an administrator makes links in it, such as `systemctl link` does.
    pub(super) fn is_config(&self) -> bool {
        self.path == CONFIG || self.path == "/run/systemd/system"
    }

    /// Links that enable `unit`: from a dependent by its name, in the directory itself by what they point to.
    pub(super) fn links_to(&self, unit: &Unit, known: bool, ignore_same_name: bool) -> Links {
        let would_be_made = |name: &str| !known || unit.makes(name);
        let is_unit =
            |link: &str| link == unit.name || unit_name::template(link).is_some_and(|name| name == unit.name);
        let from_dependents = |link: &String| is_unit(link) && would_be_made(link);
        let mut links = Links {
            enable: self.dependents.iter().flatten().any(from_dependents),
            same_name: false,
        };
        if links.enable {
            return links;
        }
        for (name, kind) in &self.entries {
            let EntryKind::Link(target) = kind else { continue };
            let by_target = target.file_name().is_some_and(|file| file == unit.name.as_str());
            let by_name = !ignore_same_name && *name == unit.name;
            if by_name && by_target {
                links.same_name = true;
            } else if (by_name || by_target) && would_be_made(name) {
                links.enable = true;
            }
        }
        links
    }
}

// === impl Unit ===

impl Unit {
    /// Whether enabling the unit makes a link of this name.
    fn makes(&self, link: &str) -> bool {
        let default = self.install.default_instance(&self.name);
        link == self.name
            // As they are written: systemctl does not put in what specifiers stand for here.
            || self.install.aliases.iter().any(|alias| alias == link)
            || default
                .is_some_and(|default| unit_name::with_instance(&self.name, default).as_deref() == Some(link))
    }
}

// === impl Place ===

impl Place {
    /// Whether what is in it is gone after a reboot.
    pub(super) fn is_runtime(self) -> bool {
        match self {
            Place::Runtime | Place::Generated | Place::Transient => true,
            Place::Config | Place::Vendor => false,
        }
    }
}
