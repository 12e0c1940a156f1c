//! From what is wanted to changes of real places: where each path is, what is there now, and whether it can be changed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use machineconfig::{Code, Finding};
use sha2::{Digest, Sha256};

use super::{COMMON, Housing, PRIVATE, Staged, Wish, change, finding, new_directory};
use crate::abreast;
use crate::change::{Change, Contents, NewDirectory, State};
use crate::host::file_system::{FileSystem, Fixed};
use crate::host::{Found, Looker, Root, Traits, WayError};

/// Longest name of a file, in bytes: what every file system in use allows.
pub(super) const MAX_NAME: usize = 255;
/// Longest path, in bytes, the name beside it included: what the kernel takes, less what that adds.
const MAX_PATH: usize = 4096 - 64;
/// What to do about a path that there cannot be: nothing is in its place that could be moved away.
const OTHER_PATH: &str = "Choose another path.";
/// What is left free on a file system, in bytes: a full one makes the node ill, whoever filled it.
const SPARE: u64 = 1 << 20;

/// Extended attributes by name.
type Attributes = Vec<(String, Vec<u8>)>;

/// Changes of real places.
#[derive(Debug)]
pub(super) struct Placed<'a> {
    root: &'a Root,
    looker: Looker<'a>,
    pub(super) changes: Vec<Change>,
    pub(super) staged: Vec<Staged>,
    pub(super) directories: Vec<NewDirectory>,
    /// What is written to each file system, by mount.
    pub(super) rooms: BTreeMap<u64, Room>,
    /// Where something is wanted, and which change that is, if it takes one.
    places: BTreeMap<PathBuf, Option<usize>>,
    /// Directories looked at already: where they are, and on what.
    known: BTreeMap<PathBuf, Home>,
    /// What was looked at ahead or out of turn, by place.
    seen: BTreeMap<PathBuf, (State, Attributes)>,
}

/// What is needed of a file system.
#[derive(Debug)]
pub(super) struct Room {
    /// A directory on it.
    pub(super) directory: PathBuf,
    system: FileSystem,
    bytes: u64,
    files: u64,
}

/// A directory of a path.
#[derive(Debug, Clone)]
struct Home {
    /// Where it really is, or will be.
    path: PathBuf,
    /// The nearest directory above it that is there, itself included.
    ground: PathBuf,
    mount: u64,
    /// Whether nothing in the nearest directory that is there may be replaced.
    fixed: bool,
}

impl<'a> Placed<'a> {
    /// None yet.
    pub(super) fn new(root: &'a Root) -> Self {
        Self {
            root,
            looker: root.looker(),
            changes: Vec::new(),
            staged: Vec::new(),
            directories: Vec::new(),
            rooms: BTreeMap::new(),
            places: BTreeMap::new(),
            known: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }

    /// Looks at what is there now at each of the paths, as far as that can be told without saying why not; the others are looked at in
    /// turn.
    pub(super) fn look_ahead<'p>(&mut self, paths: impl Iterator<Item = &'p Path>) {
        let mut directories: BTreeMap<&Path, Option<PathBuf>> = BTreeMap::new();
        let mut places = Vec::new();
        for path in paths {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                continue;
            };
            let real = directories
                .entry(parent)
                .or_insert_with(|| self.root.real_directory(parent).ok().flatten());
            places.extend(real.as_ref().map(|real| (path, real.join(name))));
        }
        let look = |looker: &mut Looker<'_>, (path, place): &(&Path, PathBuf)| now(looker, path, place).ok();
        let seen = abreast::map(&places, || self.root.looker(), look);
        let both = places.into_iter().zip(seen);
        self.seen = both
            .filter_map(|((_, place), seen)| Some((place, seen?)))
            .collect();
    }

    /// Adds what is wanted at `path`; nothing if it is so already.
    pub(super) fn add(&mut self, id: &str, path: &Path, wish: Wish, housing: Housing) -> Result<(), Finding> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        let name = path.file_name().ok_or_else(|| {
            finding(Code::TARGET_TYPE, shown(path), "is no path of a file").remedy(OTHER_PATH)
        })?;
        writable(path, name)?;
        let (wish, housing) = (wish.owned(self.root), housing.owned(self.root));
        let home = self.home(parent, &wish, housing, path)?;
        let Some(home) = home else { return Ok(()) };
        let place = home.path.join(name);
        if let Some(before) = self.places.get(&place).copied() {
            return self.again(before, path, &place, wish);
        }
        let (old, attributes) = match self.seen.remove(&place) {
            Some(seen) => seen,
            None if home.path == home.ground => now(&mut self.looker, path, &place)?,
            None => (State::Missing, Vec::new()),
        };
        let (new, staged) = match wish {
            Wish::SameAs { path: of } => self.same_as(&of, home.mount)?,
            wish => wanted(wish, attributes),
        };
        if old == new {
            // That nothing is to be here keeps nobody else from wanting something.
            if new != State::Missing {
                self.places.insert(place, None);
            }
            return Ok(());
        }
        self.places.insert(place.clone(), Some(self.changes.len()));
        let space = self
            .rooms
            .get_mut(&home.mount)
            .expect("the home has been looked at");
        if let Staged::File { contents, .. } = &staged {
            space.bytes += (contents.bytes().len() as u64).next_multiple_of(space.system.block);
            space.files += 1;
        }
        if space.system.read_only {
            return Err(finding(
                Code::READ_ONLY,
                shown(path),
                "is on a file system that is mounted read-only",
            ));
        }
        if home.fixed {
            let message = format!(
                "is in {}, which is marked immutable or append-only, so nothing in it can be replaced",
                home.ground.display()
            );
            return Err(finding(Code::TARGET_IMMUTABLE, shown(path), message));
        }
        let aside = home.path.join(aside_name(name, id));
        self.changes.push(change(place, aside, old, new));
        self.staged.push(staged);
        Ok(())
    }

    /// The state of what is at `of`, and how a file on `mount` becomes the same. It becomes the same file where that is for root
    /// alone and the two are on one mount; else a copy that is.
    fn same_as(&mut self, of: &Path, mount: u64) -> Result<(State, Staged), Finding> {
        let home = self.look(of.parent().unwrap_or(Path::new("/")), of)?;
        let place = home.path.join(of.file_name().unwrap_or_default());
        let (state, attributes) = match self.seen.remove(&place) {
            Some(seen) => seen,
            None => now(&mut self.looker, of, &place)?,
        };
        let (uid, gid) = self.root.owner_of_new(0, 0);
        let private = Traits {
            mode: PRIVATE,
            uid,
            gid,
            attributes: Vec::new(),
        };
        let shared = match &state {
            State::Missing => (State::Missing, Staged::Nothing),
            State::File(file)
                if (file.mode, file.uid, file.gid) == (PRIVATE, uid, gid) && home.mount == mount =>
            {
                (state.clone(), Staged::SecondName { of: place.clone() })
            }
            State::File(_) | State::Link { .. } => {
                let bytes = self
                    .root
                    .read(&place, ignition::contents::MAX_INFLATED as u64)
                    .map_err(|error| finding(Code::NODE_UNREADABLE, shown(of), error.to_string()))?
                    .unwrap_or_default();
                let contents = Contents::of(bytes);
                (
                    contents.state(&private),
                    Staged::File {
                        contents,
                        traits: private,
                    },
                )
            }
        };
        self.seen.insert(place, (state, attributes));
        Ok(shared)
    }

    /// A second wish for one place, by another way of writing its path: what is to be there stands against what is to go.
    fn again(&mut self, before: Option<usize>, path: &Path, place: &Path, wish: Wish) -> Result<(), Finding> {
        if matches!(wish, Wish::Absent) {
            return Ok(());
        }
        match before {
            Some(index) if self.changes[index].new == State::Missing => {
                let (new, staged) = wanted(wish, Vec::new());
                if self.changes[index].old == new {
                    self.changes.remove(index);
                    self.staged.remove(index);
                    self.places.retain(|_, at| *at != Some(index));
                    for at in self.places.values_mut().flatten().filter(|at| **at > index) {
                        *at -= 1;
                    }
                    self.places.insert(place.to_owned(), None);
                } else {
                    self.changes[index].new = new;
                    self.staged[index] = staged;
                }
                Ok(())
            }
            Some(_) | None => Err(finding(
                Code::TARGET_TYPE,
                shown(path),
                format!("is the same as another path of the config, {}", place.display()),
            )),
        }
    }

    /// The directory of `path`; `None` when it is not there and need not be, since the path is to go.
    fn home(
        &mut self,
        parent: &Path,
        wish: &Wish,
        housing: Housing,
        path: &Path,
    ) -> Result<Option<Home>, Finding> {
        let home = match self.known.get(parent) {
            Some(home) => home.clone(),
            None => self.look(parent, path)?,
        };
        if home.path != home.ground {
            if matches!(wish, Wish::Absent) {
                return Ok(None);
            }
            self.make(&home.path, &home.ground, housing, COMMON.owned(self.root));
        }
        Ok(Some(home))
    }

    /// Looks at a directory for the first time.
    fn look(&mut self, parent: &Path, path: &Path) -> Result<Home, Finding> {
        let home = locate(self.root, parent, path)?;
        if let Entry::Vacant(vacant) = self.rooms.entry(home.mount) {
            let system = self
                .root
                .file_system(&home.ground)
                .map_err(|error| finding(Code::NODE_UNREADABLE, shown(&home.ground), error.to_string()))?;
            vacant.insert(Room {
                directory: home.ground.clone(),
                system,
                bytes: 0,
                files: 0,
            });
        }
        self.known.insert(parent.to_owned(), home.clone());
        Ok(home)
    }

    /// Plans the directories between `ground` and `path`.
    fn make(&mut self, path: &Path, ground: &Path, housing: Housing, common: Housing) {
        let missing: Vec<_> = path.ancestors().take_while(|above| *above != ground).collect();
        for (above, directory) in missing.into_iter().enumerate().rev() {
            if !self.directories.iter().any(|planned| planned.path == directory) {
                let housing = if above < housing.levels { housing } else { common };
                self.directories
                    .push(new_directory(directory.to_owned(), housing));
            }
        }
    }

    /// File systems that do not have the room for what is staged.
    pub(super) fn without_room(&self) -> Vec<Finding> {
        // What comes by way of several mounts is written to one device.
        let mut needs: BTreeMap<u64, (&Room, u64, u64)> = BTreeMap::new();
        for room in self.rooms.values() {
            let need = needs.entry(room.system.device).or_insert((room, 0, 0));
            need.1 += room.bytes;
            need.2 += room.files;
        }
        let tell = |(room, bytes, files): (&Room, u64, u64)| {
            // Measured again: the first look may be of before much else was written.
            let system = self.root.file_system(&room.directory).unwrap_or(room.system);
            let FileSystem {
                free_bytes,
                free_files,
                ..
            } = system;
            let message = format!(
                "its file system has {free_bytes} bytes and {free_files} files left, and {bytes} bytes in {files} files have to be staged \
                 beside what is there, with {SPARE} bytes to spare"
            );
            let short = files > 0 && (bytes + SPARE > free_bytes || files > free_files);
            short.then(|| finding(Code::NO_ROOM, shown(&room.directory), message))
        };
        needs.into_values().filter_map(tell).collect()
    }

    /// A directory on each file system that is written to: one of a device, whatever the number of its mounts.
    pub(super) fn written(&self) -> Vec<PathBuf> {
        let by_device: BTreeMap<u64, &PathBuf> = self
            .rooms
            .values()
            .map(|room| (room.system.device, &room.directory))
            .collect();
        by_device.into_values().cloned().collect()
    }
}

impl Wish {
    /// As it can be had beneath `root`, see [`Root::owner_of_new`].
    fn owned(mut self, root: &Root) -> Self {
        if let Wish::File { uid, gid, .. } = &mut self {
            (*uid, *gid) = root.owner_of_new(*uid, *gid);
        }
        self
    }
}

impl Housing {
    /// As it can be had beneath `root`, see [`Root::owner_of_new`].
    fn owned(self, root: &Root) -> Self {
        let (uid, gid) = root.owner_of_new(self.uid, self.gid);
        Self { uid, gid, ..self }
    }
}

/// That a path is one that a file system can have.
fn writable(path: &Path, name: &OsStr) -> Result<(), Finding> {
    let wrong = if name.len() > MAX_NAME {
        format!(
            "has a name of {} bytes, and file systems take {MAX_NAME}",
            name.len()
        )
    } else if path.as_os_str().len() > MAX_PATH {
        format!(
            "is {} bytes long, and the kernel takes {MAX_PATH}",
            path.as_os_str().len()
        )
    } else if path.as_os_str().as_bytes().contains(&0) {
        "holds a zero byte, which no path can".to_owned()
    } else {
        return Ok(());
    };
    Err(finding(Code::TARGET_TYPE, shown(path), wrong).remedy(OTHER_PATH))
}

/// Where a directory is, links followed, and what of it is there already.
fn locate(root: &Root, directory: &Path, path: &Path) -> Result<Home, Finding> {
    let refuse = |code, message: String| finding(code, shown(path), message);
    let mut below = Vec::new();
    let mut above = directory;
    let ground = loop {
        match root.real_directory(above) {
            Ok(Some(ground)) => break ground,
            Ok(None) if root.is_there(above).unwrap_or(true) => {
                return Err(refuse(
                    Code::PARENT_TYPE,
                    format!("{} is a link that leads nowhere", above.display()),
                ));
            }
            Ok(None) => {
                below.extend(above.file_name());
                above = above.parent().unwrap_or(Path::new("/"));
            }
            Err(error @ WayError::NoDirectory(_)) => {
                return Err(refuse(Code::PARENT_TYPE, error.to_string()));
            }
            Err(error @ (WayError::Out(_) | WayError::Untrusted(_))) => {
                return Err(refuse(Code::TARGET_LEADS_OUT, error.to_string()));
            }
            Err(error @ WayError::Unreadable(_)) => {
                return Err(refuse(Code::NODE_UNREADABLE, error.to_string()));
            }
        }
    };
    let system = root
        .file_system(&ground)
        .map_err(|error| refuse(Code::NODE_UNREADABLE, error.to_string()))?;
    let whole = below
        .into_iter()
        .rev()
        .fold(ground.clone(), |path, name| path.join(name));
    Ok(Home {
        path: whole,
        ground,
        mount: system.mount,
        fixed: system.fixed,
    })
}

/// What is at a place now, if it can be replaced, with its extended attributes.
fn now(looker: &mut Looker<'_>, path: &Path, place: &Path) -> Result<(State, Attributes), Finding> {
    let unreadable = |error: std::io::Error| finding(Code::NODE_UNREADABLE, shown(path), error.to_string());
    let refuse = |what: &str| {
        Err(finding(
            Code::TARGET_TYPE,
            shown(path),
            format!("is a {what} on this node, and a config replaces only files and links"),
        ))
    };
    let found = looker.look(place).map_err(unreadable)?;
    let (state, attributes) = match found {
        Found::Missing => return Ok((State::Missing, Vec::new())),
        Found::Directory => return refuse("directory"),
        Found::Other(what) => return refuse(what),
        Found::LeadsOut(_) => {
            return Err(finding(
                Code::TARGET_LEADS_OUT,
                shown(path),
                "leads out of the root",
            ));
        }
        Found::Symlink { target, .. } => (State::Link { target }, Vec::new()),
        Found::File(file) => {
            let attributes = file.attributes().map_err(unreadable)?;
            let traits = Traits {
                mode: file.mode,
                uid: file.uid,
                gid: file.gid,
                attributes: Vec::new(),
            };
            let state = match file
                .read(ignition::contents::MAX_INFLATED as u64)
                .map_err(unreadable)?
            {
                Some(bytes) => State::file(&bytes, &traits),
                None => return refuse("file longer than any of a config"),
            };
            (state, attributes)
        }
    };
    match looker.fixed(place).map_err(unreadable)? {
        None => Ok((state, attributes)),
        Some(Fixed::MountPoint) => Err(finding(
            Code::TARGET_MOUNT_POINT,
            shown(path),
            "is a mount point, so no other file can take its place",
        )),
        Some(Fixed::Immutable) => Err(finding(
            Code::TARGET_IMMUTABLE,
            shown(path),
            "is marked immutable or append-only, so no other file can take its place",
        )),
    }
}

/// The state that a wish means, and what is staged for it. Attributes of what is replaced are kept.
fn wanted(wish: Wish, attributes: Attributes) -> (State, Staged) {
    match wish {
        // Only records are made so, and no two are one place.
        Wish::Absent | Wish::SameAs { .. } => (State::Missing, Staged::Nothing),
        Wish::Link { target } => (
            State::Link {
                target: target.clone(),
            },
            Staged::Link {
                target,
                uid: 0,
                gid: 0,
            },
        ),
        Wish::File {
            contents,
            mode,
            uid,
            gid,
        } => {
            let traits = Traits {
                mode,
                uid,
                gid,
                attributes,
            };
            (contents.state(&traits), Staged::File { contents, traits })
        }
    }
}

/// The name beside a path. The dot keeps it out of what programs read in directories of fragments, and so does its end.
pub(super) fn aside_name(name: &OsStr, id: &str) -> OsString {
    let end = format!(".mc-{id}");
    let mut bytes = b".".to_vec();
    if name.len() + 1 + end.len() <= MAX_NAME {
        bytes.extend_from_slice(name.as_bytes());
    } else {
        // Names that differ only in what does not fit must not meet.
        let digest = Sha256::digest(name.as_bytes());
        let keep = MAX_NAME - 1 - end.len() - 17;
        bytes.extend_from_slice(&name.as_bytes()[..keep]);
        bytes.push(b'-');
        for byte in &digest[..8] {
            bytes.extend_from_slice(format!("{byte:02x}").as_bytes());
        }
    }
    bytes.extend_from_slice(end.as_bytes());
    OsString::from_vec(bytes)
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
