//! Files of a config, and the originals of the host that they replace (MCO daemon 3.6, 3.8).
//!
//! `orig/` holds what a package of the host had at a path before a config took it over, and `noorig/` an empty stamp where there
//! was nothing to keep; when the config lets go of the path, the original comes back or the path goes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ignition::contents::ContentsError;
use machineconfig::layout::UNIT_DIRECTORY;
use machineconfig::plan::{Change, Target};
use machineconfig::wanted::{Id, WantedOwner};
use machineconfig::{Code, Finding};

use sha2::{Digest, Sha256};

use super::place::MAX_NAME;
use super::{Builder, Wish, finding, held};
use crate::abreast;
use crate::change::{Contents, State};

/// Originals of the host.
const ORIGINALS: &str = "/etc/machine-config-daemon/orig";
/// Stamps of paths without one.
const NO_ORIGINALS: &str = "/etc/machine-config-daemon/noorig";

/// Files that stay when a config lets go of them: others write them too (MCO daemon 3.8).
const NEVER_REMOVED: [&str; 3] = [
    "/etc/pki/ca-trust/source/anchors/openshift-config-user-ca-bundle.crt",
    "/etc/kubernetes/kubelet-ca.crt",
    "/etc/kubernetes/static-pod-resources/configmaps/cloud-config/ca-bundle.pem",
];
/// And everything below a directory of this name.
const NEVER_REMOVED_BELOW: &str = "/etc/docker/certs.d";

impl Builder<'_> {
    /// Asks once whose the files are that are taken over or let go.
    pub(super) fn ask_vendor(&mut self) -> Result<(), Vec<Finding>> {
        let mut paths = BTreeSet::new();
        for step in &self.input.plan.steps {
            let path = match &step.target {
                Target::File { path } => path.clone(),
                Target::Unit { name } => format!("{UNIT_DIRECTORY}/{name}"),
                Target::Dropin { unit, name } => format!("{UNIT_DIRECTORY}/{unit}.d/{name}"),
                Target::OsImage
                | Target::KernelType
                | Target::Extensions
                | Target::KernelArguments
                | Target::Fips
                | Target::SshKeys { .. }
                | Target::PasswordHash { .. }
                | Target::Accounts => continue,
            };
            let at_stake = match step.change {
                Change::Added | Change::Changed => !self.is_known(&path) && self.is_there(Path::new(&path)),
                Change::Removed => self.is_there(&original(&path)),
            };
            if at_stake {
                paths.insert(path);
            }
        }
        if paths.is_empty() {
            return Ok(());
        }
        let owned = self
            .input
            .commands
            .vendor_owned(paths.iter().map(Path::new))
            .map_err(|error| {
                let message = format!(
                    "cannot tell which files belong to packages of the host: {}",
                    crate::apply::chain(&error)
                );
                vec![finding(error.code(), "packages", message)]
            })?;
        self.vendor = owned
            .into_iter()
            .filter_map(|path| path.into_os_string().into_string().ok())
            .collect();
        Ok(())
    }

    /// A file that is added, changed or removed, and what the desired config wants in it.
    pub(super) fn file(&mut self, path: &str, contents: Option<Result<Contents, ContentsError>>) {
        let Some((wanted, contents)) = self.input.desired.files.get(path).zip(contents) else {
            self.let_go(path);
            return;
        };
        let contents = match contents {
            Ok(contents) => contents,
            Err(error) => return self.refuse(Code::CONTENTS_UNREADABLE, path, error.to_string()),
        };
        let Some((uid, gid)) = self.owner(path, &wanted.owner) else {
            return;
        };
        self.keep_original(path);
        let mode = wanted.mode & 0o7777;
        self.wish(
            path.into(),
            Wish::File {
                contents,
                mode,
                uid,
                gid,
            },
        );
    }

    /// Contents that root owns, in place of whatever is there.
    pub(super) fn text(&mut self, path: &str, contents: &str) {
        self.keep_original(path);
        self.wish(
            path.into(),
            Wish::File {
                contents: Contents::of(contents.into()),
                mode: 0o644,
                uid: 0,
                gid: 0,
            },
        );
    }

    /// Numbers of an owner; unknown names are refused.
    fn owner(&mut self, path: &str, owner: &WantedOwner) -> Option<(u32, u32)> {
        let number = |id: &Id, known: Option<u32>| match id {
            Id::Number(number) => u32::try_from(*number).ok(),
            Id::Name(_) => known,
        };
        let by_name = |id: &Id| match id {
            Id::Name(name) => name.clone(),
            Id::Number(_) => String::new(),
        };
        let user = self
            .identity
            .users
            .get(&by_name(&owner.user))
            .map(|user| user.uid);
        let group = self.identity.groups.get(&by_name(&owner.group)).copied();
        let (user, group) = (number(&owner.user, user), number(&owner.group, group));
        for (what, id, found) in [("user", &owner.user, user), ("group", &owner.group, group)] {
            if found.is_none() {
                self.refuse(
                    Code::UNKNOWN_OWNER,
                    path,
                    format!("is to belong to the {what} {id}, whom this node does not know"),
                );
            }
        }
        Some((user?, group?))
    }

    /// Whether it is on record what was at `path` before a config took it over.
    fn is_known(&mut self, path: &str) -> bool {
        // Nearly always the stamp.
        self.is_there(&stamp(path)) || self.is_there(&original(path))
    }

    /// Sees to it that what a package of the host has at `path` can come back. What is on record once stays so until the config lets
    /// go of the path: what is there since is the config's, or has drifted from it.
    pub(super) fn keep_original(&mut self, path: &str) {
        if self.is_known(path) {
            return;
        }
        let (original, stamp) = (original(path), stamp(path));
        let there = held(self.input.root, Path::new(path)).ok().flatten();
        if let (Some((bytes, State::File(state))), true) = (there, self.vendor.contains(path)) {
            let wish = Wish::File {
                contents: Contents::of(bytes),
                mode: state.mode,
                uid: state.uid,
                gid: state.gid,
            };
            self.wish(original, wish);
        } else {
            self.wish(
                stamp,
                Wish::File {
                    contents: Contents::of(Vec::new()),
                    mode: 0o644,
                    uid: 0,
                    gid: 0,
                },
            );
        }
    }

    /// A path that the config says nothing about any more.
    pub(super) fn let_go(&mut self, path: &str) {
        let (original, stamp) = (original(path), stamp(path));
        let stays = NEVER_REMOVED.contains(&path) || Path::new(path).starts_with(NEVER_REMOVED_BELOW);
        if stays {
            return;
        }
        if self.is_there(&stamp) {
            self.wish(stamp, Wish::Absent);
        } else if let Ok(Some((bytes, State::File(state)))) = held(self.input.root, &original) {
            self.wish(original, Wish::Absent);
            if self.vendor.contains(path) {
                let wish = Wish::File {
                    contents: Contents::of(bytes),
                    mode: state.mode,
                    uid: state.uid,
                    gid: state.gid,
                };
                return self.wish(path.into(), wish);
            }
        }
        // A drop-in that the config has as one now is no file of its own any more (MCO daemon 3.8).
        if !self.input.desired_has(path) {
            self.wish(path.into(), Wish::Absent);
        }
    }

    pub(super) fn is_there(&mut self, path: &Path) -> bool {
        self.looker.is_there(path).unwrap_or(false)
    }
}

/// The contents of every file of the plan that the desired config has, by path.
pub(super) fn contents<'a>(
    input: &'a super::Input<'_>,
) -> BTreeMap<&'a str, Result<Contents, ContentsError>> {
    let steps = input.plan.steps.iter();
    let paths: Vec<&str> = steps
        .filter_map(|step| match &step.target {
            Target::File { path } => Some(path.as_str()),
            Target::OsImage
            | Target::KernelType
            | Target::Extensions
            | Target::KernelArguments
            | Target::Fips
            | Target::Unit { .. }
            | Target::Dropin { .. }
            | Target::SshKeys { .. }
            | Target::PasswordHash { .. }
            | Target::Accounts => None,
        })
        .collect();
    let decode = |(): &mut (), path: &&str| {
        let wanted = input.desired.files.get(*path)?;
        Some(wanted.contents().map(Contents::of))
    };
    let decoded = abreast::map(&paths, || (), decode);
    let both = paths.into_iter().zip(decoded);
    both.filter_map(|(path, decoded)| Some((path, decoded?)))
        .collect()
}

impl super::Input<'_> {
    /// Whether the desired config writes to `path`.
    fn desired_has(&self, path: &str) -> bool {
        has(self.desired, path)
    }
}

fn has(layout: &machineconfig::Layout<'_>, path: &str) -> bool {
    let below = Path::new(path)
        .strip_prefix(UNIT_DIRECTORY)
        .ok()
        .and_then(Path::to_str);
    let unit = below.is_some_and(|below| match below.split_once(".d/") {
        Some((unit, dropin)) => layout
            .units
            .get(unit)
            .and_then(|unit| unit.dropins.get(dropin))
            .is_some_and(Option::is_some),
        None => layout
            .units
            .get(below)
            .is_some_and(|unit| unit.contents.is_some() || unit.mask == Some(true)),
    });
    unit || layout.files.contains_key(path)
}

fn original(path: &str) -> PathBuf {
    record(ORIGINALS, path, ".mcdorig")
}

fn stamp(path: &str) -> PathBuf {
    record(NO_ORIGINALS, path, ".mcdnoorig")
}

/// Where something about a path is on record. A name that does not fit with its end is shortened, and told from others by its hash.
fn record(directory: &str, path: &str, end: &str) -> PathBuf {
    let whole = format!("{directory}{path}{end}");
    let Some((parent, name)) = whole.rsplit_once('/') else {
        return whole.into();
    };
    if name.len() <= MAX_NAME {
        return whole.into();
    }
    let digest = Sha256::digest(name.as_bytes());
    let hash = digest[..8]
        .iter()
        .fold(String::new(), |hash, byte| format!("{hash}{byte:02x}"));
    let mut keep = MAX_NAME - end.len() - hash.len() - 1;
    while !name.is_char_boundary(keep) {
        keep -= 1;
    }
    Path::new(parent).join(format!("{}-{hash}{end}", &name[..keep]))
}
