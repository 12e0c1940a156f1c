//! Files that differ.

use ignition::contents::ContentsError;
use ignition::tree::Value;

use super::context::{Context, Draft};
use super::lists::{both, section};
use super::step::{Aspect, Change, Step, Target};
use crate::provenance::Part;
use crate::redact::{Blob, Contents, Diff, compare};
use crate::wanted::{WantedFile, WantedOwner, octal};
use crate::{Code, Finding};

/// What comes of comparing all files.
#[derive(Default)]
pub(super) struct Files {
    /// Files that change, by path.
    pub(super) steps: Vec<Step>,
    /// Files that are declared otherwise and stay the same on disk.
    pub(super) same_on_disk: Vec<String>,
    /// Files that no node can write.
    pub(super) refusals: Vec<Finding>,
}

/// Compares all files. Equal entries are not even decoded.
pub(super) fn compare_all(context: &Context<'_>) -> Files {
    let mut files = Files::default();
    let list = |config| section(config, "/storage/files");
    let pairs = both(
        list(&context.current.ignition),
        list(&context.desired.ignition),
        "path",
    );
    for (path, (old, new)) in pairs.into_iter().filter(|(_, (old, new))| old != new) {
        let (old, new) = (old.map(Version::of), new.map(Version::of));
        if let (Some(old), Some(new)) = (&old, &new)
            && same_on_disk(old, new)
        {
            files.same_on_disk.push(path.to_owned());
            continue;
        }
        let step = step(context, path, old.as_ref(), new.as_ref());
        if let Some(Err(error)) = new.map(|new| new.bytes) {
            let object = step
                .machine_config
                .clone()
                .unwrap_or_else(|| context.desired.name.clone());
            files.refusals.push(unreadable(&object, path, &error));
        }
        files.steps.push(step);
    }
    files
}

/// A file of one side.
struct Version<'a> {
    entry: &'a Value,
    file: WantedFile<'a>,
    bytes: Result<Vec<u8>, ContentsError>,
}

impl<'a> Version<'a> {
    fn of(entry: &'a Value) -> Self {
        let file = WantedFile::of(entry);
        let bytes = file.contents();
        Self { entry, file, bytes }
    }

    fn blob(&self) -> Option<Blob> {
        self.bytes.as_deref().ok().map(Blob::of)
    }

    fn mode(&self) -> String {
        octal(self.file.mode)
    }

    fn owner(&self) -> String {
        self.file.owner.to_string()
    }
}

/// Whether bytes, mode and owner on disk are the same, and the declarations differ only in how they say so: in the encoding of the
/// contents, or in defaults that are written out. `overwrite` is no such difference, since the reference's actions for it are kept.
fn same_on_disk(old: &Version<'_>, new: &Version<'_>) -> bool {
    old.entry.get("overwrite") == new.entry.get("overwrite")
        && old.entry.get("append") == new.entry.get("append")
        && old.bytes.is_ok()
        && old.bytes == new.bytes
        && old.file.mode == new.file.mode
        && old.file.owner == new.file.owner
}

fn step(context: &Context<'_>, path: &str, old: Option<&Version<'_>>, new: Option<&Version<'_>>) -> Step {
    let change = match (old, new) {
        (None, _) => Change::Added,
        (Some(_), None) => Change::Removed,
        (Some(_), Some(_)) => Change::Changed,
    };
    let draft = Draft {
        target: Target::File {
            path: path.to_owned(),
        },
        change,
        aspects: aspects(old, new),
        decision: context.decide_file(path),
        diff: diff(context, path, old, new),
    };
    context.step(draft, Some(&Part::Path(path.to_owned())))
}

fn aspects(old: Option<&Version<'_>>, new: Option<&Version<'_>>) -> Vec<Aspect> {
    let mut aspects = Vec::new();
    let unequal = match (old, new) {
        (Some(old), Some(new)) => old.bytes != new.bytes,
        _ => true,
    };
    if unequal {
        aspects.push(Aspect::Content {
            before: old.and_then(Version::blob),
            after: new.and_then(Version::blob),
        });
    }
    let (before, after) = (old.map(Version::mode), new.map(Version::mode));
    if before != after {
        aspects.push(Aspect::Mode { before, after });
    }
    let owners = (old.map(|old| &old.file.owner), new.map(|new| &new.file.owner));
    // Who owns a file is worth a word when it is not root, as nearly always.
    if owners.0.unwrap_or(&WantedOwner::ROOT) != owners.1.unwrap_or(&WantedOwner::ROOT) {
        aspects.push(Aspect::Owner {
            before: old.map(Version::owner),
            after: new.map(Version::owner),
        });
    }
    if let (true, Some(old), Some(new)) = (aspects.is_empty(), old, new) {
        let differs = |field: &&str| old.entry.get(field) != new.entry.get(field);
        let fields = ["append", "overwrite"].into_iter().filter(differs);
        aspects.push(Aspect::Declaration {
            fields: fields.map(str::to_owned).collect(),
        });
    }
    aspects
}

/// The diff, if it was asked for and both sides can be read.
fn diff(
    context: &Context<'_>,
    path: &str,
    old: Option<&Version<'_>>,
    new: Option<&Version<'_>>,
) -> Option<Diff> {
    let limits = context.facts.diffs?;
    let (before, after) = (shown(old)?, shown(new)?);
    (before.bytes != after.bytes).then(|| compare(path, before, after, limits))
}

/// One side of a diff; nothing when it cannot be decoded.
fn shown<'a>(version: Option<&'a Version<'_>>) -> Option<Contents<'a>> {
    let Some(version) = version else {
        return Some(Contents::ABSENT);
    };
    let bytes = version.bytes.as_deref().ok()?;
    Some(Contents {
        bytes,
        mode: Some(version.file.mode),
    })
}

fn unreadable(object: &str, path: &str, error: &ContentsError) -> Finding {
    let field = format!("spec.config.storage.files[{path}].contents");
    Finding::error(
        Code::CONTENTS_UNREADABLE,
        format!("MachineConfig/{object}"),
        field,
        error.to_string(),
    )
}
