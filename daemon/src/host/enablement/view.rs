//! The units of a node as they are on disk, and as they will be once what is planned is written.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::directory::CONFIG;
use crate::host::Root;
use crate::host::links::{Route, follow};
use crate::host::root::{Entry, EntryKind};

/// The root with what is planned below `/etc/systemd/system` laid over it.
#[derive(Debug, Clone)]
pub(super) struct View<'a> {
    root: &'a Root,
    /// Where `/etc/systemd/system` really is.
    config: PathBuf,
    /// By absolute path without links.
    planned: BTreeMap<PathBuf, Planned>,
}

/// What will be at a path.
#[derive(Debug, Clone)]
pub(super) enum Planned {
    /// A file of these contents.
    File(String),
    /// A link of this text.
    Link(PathBuf),
    /// Nothing.
    Absent,
}

// === impl View ===

impl<'a> View<'a> {
    /// The root as it is.
    pub(super) fn new(root: &'a Root) -> io::Result<Self> {
        let config = root.resolve(Path::new(CONFIG))?;
        Ok(Self {
            root,
            config: config.unwrap_or_else(|| CONFIG.into()),
            planned: BTreeMap::new(),
        })
    }

    /// Lays something over `path`, which is below `/etc/systemd/system`.
    pub(super) fn plan(&mut self, path: &Path, planned: Planned) {
        self.planned.insert(self.real(path), planned);
    }

    /// The path with the way to `/etc/systemd/system` replaced by where it really is.
    fn real(&self, path: &Path) -> PathBuf {
        path.strip_prefix(CONFIG)
            .map_or_else(|_| path.to_owned(), |rest| self.config.join(rest))
    }

    /// [`Root::resolve`].
    pub(super) fn resolve(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let route = follow(path, true, |at| {
            match self.planned.get(&Path::new("/").join(at)) {
                Some(Planned::Link(target)) => Ok(Some(target.clone())),
                Some(Planned::File(_) | Planned::Absent) => Ok(None),
                None => self.root.link_text(at),
            }
        })?;
        Ok(match route {
            Route::To(end) => Some(Path::new("/").join(end)),
            Route::Out(_) | Route::Loop => None,
        })
    }

    /// [`Root::read`].
    pub(super) fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(end) = self.resolve(path)? else {
            return Ok(None);
        };
        match self.planned.get(&end) {
            Some(Planned::File(text)) => Ok(Some(text.clone().into_bytes())),
            Some(Planned::Link(_) | Planned::Absent) => Ok(None),
            None => self.root.read(&end, limit),
        }
    }

    /// [`Root::list`].
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let Some(end) = self.resolve(path)? else {
            return Ok(Vec::new());
        };
        let on_disk = self.root.list(&end)?;
        let mut entries: BTreeMap<OsString, EntryKind> = on_disk
            .into_iter()
            .map(|entry| (entry.name, entry.kind))
            .collect();
        for (planned, what) in &self.planned {
            let Ok(below) = planned.strip_prefix(&end) else {
                continue;
            };
            let mut parts = below.iter();
            let Some(name) = parts.next() else { continue };
            let kind = if parts.next().is_some() {
                // In a directory that the plan makes, where there is none.
                (!entries.contains_key(name))
                    .then_some(EntryKind::Directory)
                    .filter(|_| what.is_there())
            } else {
                entries.remove(name);
                what.kind()
            };
            if let Some(kind) = kind {
                entries.insert(name.to_owned(), kind);
            }
        }
        let entries = entries.into_iter();
        Ok(entries.map(|(name, kind)| Entry { name, kind }).collect())
    }

    /// What is at a path, a link at the path itself not followed.
    pub(super) fn kind(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(Some(EntryKind::Directory));
        };
        let entries = self.list(parent)?;
        let found = entries.into_iter().find(|entry| entry.name == name);
        Ok(found.map(|entry| entry.kind))
    }

    /// Whether something is at a path, or where the links at it lead in the end.
    pub(super) fn leads_somewhere(&self, path: &Path) -> io::Result<bool> {
        match self.resolve(path)? {
            // A root that is not running need not have it.
            Some(end) if end == Path::new("/dev/null") => Ok(true),
            Some(end) => Ok(self.kind(&end)?.is_some()),
            None => Ok(false),
        }
    }
}

// === impl Planned ===

impl Planned {
    /// A link, or none.
    pub(super) fn link(target: Option<&Path>) -> Self {
        target.map_or(Self::Absent, |target| Self::Link(target.to_owned()))
    }

    fn is_there(&self) -> bool {
        self.kind().is_some()
    }

    fn kind(&self) -> Option<EntryKind> {
        match self {
            Self::File(_) => Some(EntryKind::File),
            Self::Link(target) => Some(EntryKind::Link(target.clone())),
            Self::Absent => None,
        }
    }
}
