//! From what a config demands of a disk to what the disk holds. [`observe`] is the entry point.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::Path;
use std::thread;

use anyhow::Context;
use ignition::contents::MAX_INFLATED;
use machineconfig::drift::{Beside, Expectation, Home, Observed, Owner, Seen, SeenContents};
use sha2::{Digest, Sha256};

use crate::host::enablement::{State, Units};
use crate::host::identity::Identity;
use crate::host::preset::{self, Preset, Presets};
use crate::host::{Found, Looker, OpenFile, Root};

/// Longest contents that are kept for a line by line comparison, in bytes. Configuration files are far shorter; of
/// longer ones size and hash are compared.
const MAX_HELD: usize = 1 << 20;
/// Most that is kept of all files together, in bytes, so that a tree full of files of [`MAX_HELD`] cannot fill memory.
const MAX_HELD_TOGETHER: usize = 64 << 20;
/// Paths that are worth a second thread.
const MANY: usize = 1000;
/// Longest contents that are read at all: no config can demand more.
const MAX_READ: u64 = MAX_INFLATED as u64;

/// Who says whether a unit is enabled: the words of `systemctl is-enabled`, `None` when nothing can be said.
pub trait Enablement {
    /// The word for `unit`.
    fn answer(&self, unit: &str) -> io::Result<Option<String>>;
}

/// The answers that the links and presets of a root give.
#[derive(Debug)]
pub struct OnDisk<'a> {
    units: Units<'a>,
    /// What the first boot is going to enable, if it is still ahead.
    ahead: Option<Presets>,
}

/// Looks at everything that `expectation` is about. What cannot be read at one path is said there; an error is what
/// keeps the whole from being told.
pub fn observe(
    root: &Root,
    expectation: &Expectation,
    enablement: &dyn Enablement,
) -> anyhow::Result<Observed> {
    let identity = Identity::read(root).context("cannot read the users and groups of the node")?;
    // A tree that its user has unpacked belongs to him throughout, whatever the files in it should be.
    let (uid, _) = root.owner().context("cannot look at the root directory")?;
    let owners_count = uid == 0;
    let homes = identity.users.iter().map(|(name, user)| {
        let home = Home {
            path: user.home.clone(),
            gid: user.gid,
        };
        (name.clone(), home)
    });
    let homes = homes.collect();
    let at_homes = expectation.paths_at_homes(&homes);
    let paths = expectation.paths().chain(at_homes.iter().map(String::as_str));
    let paths: Vec<_> = paths.collect();
    let mut observed = Observed {
        paths: see_all(root, owners_count, &paths),
        users: identity
            .users
            .into_iter()
            .map(|(name, user)| (name, user.uid))
            .collect(),
        groups: identity.groups,
        homes,
        ..Observed::default()
    };
    let mut eyes = Observer::new(root, owners_count, MAX_HELD_TOGETHER);
    for (unit, beside) in expectation.beside() {
        let found = eyes
            .beside(&beside)
            .with_context(|| format!("cannot look for what shadows the unit {unit}"))?;
        if !found.is_empty() {
            observed.beside.insert(unit.to_owned(), found);
        }
    }
    for unit in expectation.units() {
        let answer = enablement
            .answer(unit)
            .with_context(|| format!("cannot tell whether the unit {unit} is enabled"))?;
        if let Some(answer) = answer {
            observed.enablement.insert(unit.to_owned(), answer);
        }
    }
    Ok(observed)
}

/// What is at each path. Of many each half is looked at by a thread of its own: it is the kernel that they wait for.
fn see_all(root: &Root, owners_count: bool, paths: &[&str]) -> BTreeMap<String, Seen> {
    let see = |paths: &[&str], hold| -> Vec<_> {
        let mut eyes = Observer::new(root, owners_count, hold);
        let seen = paths
            .iter()
            .map(|path| ((*path).to_owned(), eyes.see(Path::new(path))));
        seen.collect()
    };
    if paths.len() < MANY {
        return see(paths, MAX_HELD_TOGETHER).into_iter().collect();
    }
    let (first, second) = paths.split_at(paths.len() / 2);
    let half = MAX_HELD_TOGETHER / 2;
    let (first, second) = thread::scope(|scope| {
        let second = scope.spawn(|| see(second, half));
        (
            see(first, half),
            second.join().expect("looking at a path does not panic"),
        )
    });
    first.into_iter().chain(second).collect()
}

struct Observer<'a> {
    root: &'a Root,
    looker: Looker<'a>,
    owners_count: bool,
    /// Bytes of contents that may still be kept.
    left: usize,
}

// === impl Observer ===

impl<'a> Observer<'a> {
    fn new(root: &'a Root, owners_count: bool, hold: usize) -> Self {
        Self {
            root,
            looker: root.looker(),
            owners_count,
            left: hold,
        }
    }

    fn see(&mut self, path: &Path) -> Seen {
        let found = match self.looker.look(path) {
            Ok(found) => found,
            Err(error) => {
                return Seen::Unreadable {
                    reason: error.to_string(),
                };
            }
        };
        match found {
            Found::Missing => Seen::Missing,
            Found::Directory => Seen::Directory,
            Found::Other(what) => Seen::Other {
                what: what.to_owned(),
            },
            Found::LeadsOut(exit) => Seen::LeadsOut {
                link: shown(&exit.link),
                target: shown(&exit.target),
            },
            Found::Symlink { target, resolved } => Seen::Symlink {
                target: shown(&target),
                resolved: resolved.as_deref().map(shown),
            },
            Found::File(file) => self.file(file).unwrap_or_else(|error| Seen::Unreadable {
                reason: error.to_string(),
            }),
        }
    }

    /// Everything that is at these places.
    fn beside(&mut self, beside: &Beside) -> io::Result<BTreeMap<String, Seen>> {
        let mut paths = beside.files.clone();
        for directory in &beside.directories {
            for entry in self.root.list(Path::new(directory))? {
                // Names that systemd reads are text.
                let is_drop_in = Path::new(&entry.name).extension() == Some(OsStr::new("conf"));
                let name = entry.name.to_str().filter(|_| is_drop_in);
                paths.extend(name.map(|name| format!("{directory}/{name}")));
            }
        }
        let seen = paths.into_iter().map(|path| {
            let seen = self.see(Path::new(&path));
            (path, seen)
        });
        Ok(seen.filter(|(_, seen)| *seen != Seen::Missing).collect())
    }

    fn file(&mut self, file: OpenFile) -> io::Result<Seen> {
        let owner = self.owners_count.then_some(Owner {
            uid: file.uid,
            gid: file.gid,
        });
        let mode = file.mode;
        let hold = MAX_HELD.min(self.left);
        let contents = contents(file, hold)?;
        if let SeenContents::Bytes(bytes) = &contents {
            self.left -= bytes.len();
        }
        Ok(Seen::File {
            mode,
            owner,
            contents,
        })
    }
}

/// All of a file of at most `hold` bytes, the hash of a longer one, nothing of one that is too long for any config.
fn contents(mut file: OpenFile, hold: usize) -> io::Result<SeenContents> {
    if file.size > MAX_READ {
        return Ok(SeenContents::Oversize { size: file.size });
    }
    let stated = file.size;
    let start = file.start(hold as u64 + 1)?;
    if start.len() <= hold {
        return Ok(SeenContents::Bytes(start));
    }
    let mut reader = file.reader();
    let mut hash = Sha256::new();
    hash.update(&start);
    let mut size = start.len() as u64;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&buffer[..read]);
        size += read as u64;
        // It grows while it is read, or has never told its size.
        if size > MAX_READ {
            return Ok(SeenContents::Oversize {
                size: size.max(stated),
            });
        }
    }
    Ok(SeenContents::Digest {
        size,
        sha256: hash.finalize().into(),
    })
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

// === impl OnDisk ===

impl<'a> OnDisk<'a> {
    /// Reads the units of a root, and its presets if it has never been booted.
    pub fn read(root: &'a Root) -> io::Result<Self> {
        let ahead = if preset::first_boot_is_ahead(root)? {
            Some(Presets::read(root)?)
        } else {
            None
        };
        Ok(Self {
            units: Units::read(root)?,
            ahead,
        })
    }
}

impl Enablement for OnDisk<'_> {
    fn answer(&self, unit: &str) -> io::Result<Option<String>> {
        let state = self.units.state(unit)?;
        let preset = self.ahead.as_ref().and_then(|presets| presets.of(unit));
        // The first boot enables and does not disable (systemd's default preset mode at first boot).
        let state = match (state, preset) {
            (State::Disabled, Some(Preset::Enable)) => State::Enabled,
            (state, _) => state,
        };
        Ok(Some(state.to_string()))
    }
}
