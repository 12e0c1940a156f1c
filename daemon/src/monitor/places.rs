//! Which directories are watched, and what a notice about one of them means.
//!
//! The way to a path is watched from the root on, entry by entry: whatever is missing, replaced or linked elsewhere, the directory that
//! holds it is watched, so its coming and going is seen. Entry points: [`Places::new`], [`Places::drain`], [`Places::mend`].

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use super::table::Table;
use crate::host::enablement::{self, Counts};
use crate::host::inotify::{Inotify, Notice};
use crate::host::{Found, Root};

/// Links on the way to one directory that are followed; the kernel's own bound.
const MAX_LINKS: usize = 40;
/// Ways that are mended one by one; of more, all are laid anew, which then is faster.
const MENDED_SINGLY: usize = 64;

/// What has happened since it was last asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    /// Paths of the table, by number.
    pub(super) paths: BTreeSet<u32>,
    /// Something that units depend on.
    pub(super) units: bool,
    /// Notices were lost, so anything may have happened.
    pub(super) lost: bool,
}

/// The watched directories.
#[derive(Debug)]
pub(super) struct Places {
    inotify: Inotify,
    ways: Vec<Way>,
    directories: HashMap<i32, Directory>,
    /// Units that a notice in a unit directory may be about.
    units: BTreeSet<String>,
    /// Ways that lead elsewhere now.
    broken: BTreeSet<u32>,
    /// Unit directories have come or gone.
    units_moved: bool,
    /// Directories that could not be watched, and the last reason.
    blind: Option<(usize, io::ErrorKind)>,
}

/// A directory that is watched for its entries, as it is named; and the watches on the way to it.
#[derive(Debug)]
struct Way {
    path: Box<Path>,
    end: End,
    directories: Vec<i32>,
}

/// What the entries of a directory are for.
#[derive(Debug)]
enum End {
    /// Paths of the table, by number, sorted by name.
    Paths(Vec<u32>),
    /// What [`enablement::sources`] says.
    Units(Counts),
    /// Drop-ins of a unit.
    DropIns,
}

/// A watched directory.
#[derive(Debug, Default)]
struct Directory {
    /// Ways that end here.
    ends: Vec<u32>,
    /// Ways that lead through an entry.
    through: HashMap<Box<OsStr>, Vec<u32>>,
}

/// Directories that were watched while ways are laid, by their paths without links.
type Laid = HashMap<PathBuf, Option<i32>>;

// === impl Places ===

impl Places {
    /// Watches everything that a table is about.
    pub(super) fn new(root: &Root, table: &Table) -> io::Result<Self> {
        let mut places = Self {
            inotify: Inotify::new()?,
            ways: ways(table),
            directories: HashMap::new(),
            units: table.units.clone(),
            broken: BTreeSet::new(),
            units_moved: false,
            blind: None,
        };
        places.add_unit_ways(root, table)?;
        let mut laid = Laid::new();
        for way in 0..places.ways.len() {
            places.lay(root, number(way), &mut laid)?;
        }
        places.directories.shrink_to_fit();
        Ok(places)
    }

    /// How many directories are watched.
    pub(super) fn count(&self) -> usize {
        self.directories.len()
    }

    /// How many watches the kernel has refused, and why.
    pub(super) fn blind(&self) -> Option<(usize, io::ErrorKind)> {
        self.blind
    }

    /// Takes in what has happened. True when there may be more.
    pub(super) fn drain(&mut self, table: &Table, touched: &mut Touched) -> io::Result<bool> {
        let Self {
            inotify,
            ways,
            directories,
            units,
            broken,
            units_moved,
            ..
        } = self;
        inotify.drain(|notice| match notice {
            Notice::Lost => touched.lost = true,
            Notice::Gone { directory } => {
                // One that was moved away would go on being watched.
                inotify.remove(directory);
                if let Some(gone) = directories.remove(&directory) {
                    broken.extend(gone.ends);
                    broken.extend(gone.through.into_values().flatten());
                }
            }
            Notice::Entry {
                directory,
                name,
                other,
            } => {
                let Some(directory) = directories.get(&directory) else {
                    return;
                };
                if other && let Some(through) = directory.through.get(name) {
                    broken.extend(through);
                }
                for way in &directory.ends {
                    match &ways[*way as usize].end {
                        End::Paths(paths) => {
                            let found = paths.binary_search_by(|path| table.file_name(*path).cmp(name));
                            touched.paths.extend(found.ok().map(|at| paths[at]));
                        }
                        End::DropIns => {
                            touched.units |= name.as_encoded_bytes().ends_with(b".conf");
                        }
                        End::Units(counts) => {
                            let moved = other && enablement::pulls_in(name);
                            *units_moved |= moved;
                            touched.units |= moved || counts.may_concern(units, name);
                        }
                    }
                }
            }
        })
    }

    /// Whether every way leads where it was laid.
    pub(super) fn is_whole(&self) -> bool {
        self.broken.is_empty() && !self.units_moved
    }

    /// Lays the ways anew that lead elsewhere now; what they led to is touched. False when everything has to be laid anew.
    pub(super) fn mend(&mut self, root: &Root, touched: &mut Touched) -> io::Result<bool> {
        if self.units_moved || self.broken.len() > MENDED_SINGLY {
            return Ok(false);
        }
        let mut laid = Laid::new();
        for way in std::mem::take(&mut self.broken) {
            self.forget(way);
            self.lay(root, way, &mut laid)?;
            match &self.ways[way as usize].end {
                End::Paths(paths) => touched.paths.extend(paths),
                End::Units(_) | End::DropIns => touched.units = true,
            }
        }
        Ok(true)
    }

    fn add_unit_ways(&mut self, root: &Root, table: &Table) -> io::Result<()> {
        if self.units.is_empty() {
            return Ok(());
        }
        let sources = enablement::sources(root)?
            .into_iter()
            .map(|source| (source.path, End::Units(source.counts)));
        let drop_ins = table.drop_ins.iter().map(|path| (path.into(), End::DropIns));
        let ways = sources.chain(drop_ins).map(|(path, end)| Way {
            path: path.into(),
            end,
            directories: Vec::new(),
        });
        self.ways.extend(ways);
        Ok(())
    }

    /// Watches the directories on the way, each before its entries are looked at, so that no change falls in between.
    fn lay(&mut self, root: &Root, way: u32, laid: &mut Laid) -> io::Result<()> {
        let mut real = PathBuf::from("/");
        let mut pending = parts(&self.ways[way as usize].path);
        let mut links = 0;
        while let Some(directory) = self.watch(root, &real, laid)? {
            let on_the_way = &mut self.ways[way as usize].directories;
            if !on_the_way.contains(&directory) {
                on_the_way.push(directory);
            }
            let watched = self.directories.entry(directory).or_default();
            let Some(part) = pending.pop_front() else {
                watched.ends.push(way);
                break;
            };
            if part == ".." {
                // Above the root: such a link is drift, and nothing is behind it.
                if !real.pop() {
                    break;
                }
                continue;
            }
            watched
                .through
                .entry(part.clone().into_boxed_os_str())
                .or_default()
                .push(way);
            real.push(&part);
            match root.look(&real) {
                Ok(Found::Directory) => {}
                Ok(Found::Symlink { target, .. }) if links < MAX_LINKS => {
                    links += 1;
                    if target.is_absolute() {
                        real = PathBuf::from("/");
                    } else {
                        real.pop();
                    }
                    let mut next = parts(&target);
                    next.append(&mut pending);
                    pending = next;
                }
                Ok(
                    Found::Symlink { .. }
                    | Found::Missing
                    | Found::LeadsOut(_)
                    | Found::File(_)
                    | Found::Other(_),
                )
                // What cannot be looked at is told as drift of the paths behind it.
                | Err(_) => break,
            }
        }
        Ok(())
    }

    fn watch(&mut self, root: &Root, real: &Path, laid: &mut Laid) -> io::Result<Option<i32>> {
        if let Some(directory) = laid.get(real) {
            return Ok(*directory);
        }
        let directory = match self.inotify.add(root, real) {
            Ok(directory) => directory,
            // Too many watches, or a directory that may not be read: everything else is watched all the same.
            Err(error) if refused(&error) => {
                let (count, _) = self.blind.unwrap_or((0, error.kind()));
                self.blind = Some((count + 1, error.kind()));
                None
            }
            Err(error) => return Err(error),
        };
        laid.insert(real.to_owned(), directory);
        Ok(directory)
    }

    fn forget(&mut self, way: u32) {
        for directory in std::mem::take(&mut self.ways[way as usize].directories) {
            let Some(watched) = self.directories.get_mut(&directory) else {
                continue;
            };
            watched.ends.retain(|other| *other != way);
            watched.through.retain(|_, ways| {
                ways.retain(|other| *other != way);
                !ways.is_empty()
            });
            if watched.ends.is_empty() && watched.through.is_empty() {
                self.directories.remove(&directory);
                self.inotify.remove(directory);
            }
        }
    }
}

impl AsFd for Places {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// The directories of the paths of a table.
fn ways(table: &Table) -> Vec<Way> {
    let mut by_directory: HashMap<&Path, Vec<u32>> = HashMap::new();
    for path in 0..table.len() {
        let directory = table.path(path).parent().unwrap_or(Path::new("/"));
        by_directory.entry(directory).or_default().push(path);
    }
    let ways = by_directory.into_iter().map(|(directory, mut paths)| {
        paths.sort_by(|a, b| table.file_name(*a).cmp(table.file_name(*b)));
        paths.shrink_to_fit();
        Way {
            path: directory.into(),
            end: End::Paths(paths),
            directories: Vec::new(),
        }
    });
    ways.collect()
}

/// The names and `..` of a path.
fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

fn refused(error: &io::Error) -> bool {
    [Errno::NOSPC, Errno::ACCESS, Errno::NOMEM]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("a config of this size is refused long before")
}
