//! Units and drop-ins that differ. A unit counts as changed when anything in its entry does (MCO daemon 3.1), drop-ins included.

use ignition::tree::Value;

use super::context::{Context, Draft};
use super::lists::{both, section};
use super::step::{Aspect, Change, Step, Target};
use crate::layout::UNIT_DIRECTORY;
use crate::provenance::Part;
use crate::redact::{Blob, Contents, Diff, compare};
use crate::wanted::DEFAULT_MODE;

/// The steps of all units that differ.
pub(super) fn steps(context: &Context<'_>) -> Vec<Step> {
    let list = |config| section(config, "/systemd/units");
    let pairs = both(
        list(&context.current.ignition),
        list(&context.desired.ignition),
        "name",
    );
    let changed = pairs.into_iter().filter(|(_, (old, new))| old != new);
    changed
        .flat_map(|(name, (old, new))| unit(context, name, old, new))
        .collect()
}

/// The steps of one unit: of itself, of its drop-ins, or, when neither is any different on disk, one that says what is.
fn unit(context: &Context<'_>, name: &str, old: Option<&Value>, new: Option<&Value>) -> Vec<Step> {
    let step = |change, aspects, diff| {
        let draft = Draft {
            target: Target::Unit {
                name: name.to_owned(),
            },
            change,
            aspects,
            decision: context.decide_unit(name),
            diff,
        };
        context.step(draft, Some(&Part::Unit(name.to_owned())))
    };
    let mut steps = dropins(context, name, old, new);
    let aspects = aspects(old, new);
    if !aspects.is_empty() {
        let path = format!("{UNIT_DIRECTORY}/{name}");
        steps.push(step(
            change(old, new),
            aspects,
            diff(context, &path, contents(old), contents(new)),
        ));
    } else if steps.is_empty() {
        steps.push(step(
            change(old, new),
            vec![Aspect::Declaration {
                fields: fields(old, new),
            }],
            None,
        ));
    }
    steps
}

fn change(old: Option<&Value>, new: Option<&Value>) -> Change {
    match (old, new) {
        (None, _) => Change::Added,
        (Some(_), None) => Change::Removed,
        (Some(_), Some(_)) => Change::Changed,
    }
}

/// The steps of the drop-ins of a unit. An absent drop-in and an empty one are the same on disk: no file.
fn dropins(context: &Context<'_>, unit: &str, old: Option<&Value>, new: Option<&Value>) -> Vec<Step> {
    fn list(entry: Option<&Value>) -> Option<&Value> {
        entry?.get("dropins")
    }
    let mut steps = Vec::new();
    for (name, (old, new)) in both(list(old), list(new), "name") {
        let (before, after) = (contents(old), contents(new));
        if before == after {
            continue;
        }
        let path = format!("{UNIT_DIRECTORY}/{unit}.d/{name}");
        let draft = Draft {
            target: Target::Dropin {
                unit: unit.to_owned(),
                name: name.to_owned(),
            },
            change: match (before, after) {
                (None, _) => Change::Added,
                (Some(_), None) => Change::Removed,
                (Some(_), Some(_)) => Change::Changed,
            },
            aspects: vec![Aspect::Content {
                before: blob(before),
                after: blob(after),
            }],
            decision: context.decide_unit(unit),
            diff: diff(context, &path, before, after),
        };
        steps.push(context.step(draft, Some(&Part::Dropin(unit.to_owned(), name.to_owned()))));
    }
    steps
}

/// The contents of a unit or drop-in; nothing when they are absent or empty, since neither writes a file.
fn contents(entry: Option<&Value>) -> Option<&str> {
    entry?
        .get("contents")?
        .as_str()
        .filter(|contents| !contents.is_empty())
}

fn blob(contents: Option<&str>) -> Option<Blob> {
    contents.map(|contents| Blob::of(contents.as_bytes()))
}

fn flag(entry: Option<&Value>, key: &str) -> Option<bool> {
    entry?.get(key)?.as_bool()
}

fn aspects(old: Option<&Value>, new: Option<&Value>) -> Vec<Aspect> {
    let mut aspects = Vec::new();
    if contents(old) != contents(new) {
        aspects.push(Aspect::Content {
            before: blob(contents(old)),
            after: blob(contents(new)),
        });
    }
    let (before, after) = (flag(old, "enabled"), flag(new, "enabled"));
    if before != after {
        aspects.push(Aspect::Enabled { before, after });
    }
    let (before, after) = (flag(old, "mask") == Some(true), flag(new, "mask") == Some(true));
    if before != after {
        aspects.push(Aspect::Masked { before, after });
    }
    aspects
}

/// The keys of the two entries that differ; the name when one of them is absent.
fn fields(old: Option<&Value>, new: Option<&Value>) -> Vec<String> {
    let (Some(Value::Object(old)), Some(Value::Object(new))) = (old, new) else {
        return vec!["name".to_owned()];
    };
    let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(key)));
    let mut fields: Vec<_> = keys
        .filter(|key| old.get(key) != new.get(key))
        .map(str::to_owned)
        .collect();
    fields.sort();
    fields
}

fn diff(context: &Context<'_>, path: &str, before: Option<&str>, after: Option<&str>) -> Option<Diff> {
    let limits = context.facts.diffs.filter(|_| before != after)?;
    Some(compare(path, shown(before), shown(after), limits))
}

fn shown(contents: Option<&str>) -> Contents<'_> {
    contents.map_or(Contents::ABSENT, |contents| Contents {
        bytes: contents.as_bytes(),
        mode: Some(DEFAULT_MODE),
    })
}
