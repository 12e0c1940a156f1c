//! Validation: the rules that types cannot say (`Ignition spec 3.5`, its Go types' `Validate` methods).
//!
//! [`check`] walks a config by the key table, finds keys that occur twice, and calls each object's own
//! rule ([`crate::schema::Object::rule`]); the rules stand in the modules below, one per part of a config.

mod impossible;
pub(crate) mod node;
pub(crate) mod resource;
pub(crate) mod storage;
pub(crate) mod unit;
pub(crate) mod unit_syntax;
mod url;
pub(crate) mod v2;

use std::collections::HashSet;

use crate::tree::{Map, Value};

use crate::path::Path;
use crate::problem::{Kind as Fault, Problem, Severity};
use crate::schema::{Kind, Object};
use crate::version::Spec;

/// The rule of an object: what must hold of it beyond the types of its fields.
pub(crate) type Rule = fn(&View<'_>, &mut Report);

/// An object under validation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    map: &'a Map,
    path: &'a Path<'a>,
    spec: Spec,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    problems: Vec<Problem>,
    /// Whether the config was merged of such that were validated: what their `data:` URLs hold is known, and so is that no key is
    /// there twice, which merging keeps so.
    merged: bool,
}

/// Every problem of a config that fits the table.
pub(crate) fn check(object: &'static Object, spec: Spec, map: &Map) -> Vec<Problem> {
    let mut report = Report::default();
    walk(
        object,
        View {
            map,
            path: &Path::Root,
            spec,
        },
        &mut report,
    );
    report.problems
}

/// As [`check`], for a config merged of such that were checked: what merging cannot break is not looked at again.
pub(crate) fn check_merged(object: &'static Object, spec: Spec, map: &Map) -> Vec<Problem> {
    let mut report = Report {
        merged: true,
        ..Report::default()
    };
    walk(
        object,
        View {
            map,
            path: &Path::Root,
            spec,
        },
        &mut report,
    );
    report.problems
}

/// What keeps a 2.x config from being translated up.
pub(crate) fn check_upward(map: &Map, spec: Spec) -> Vec<Problem> {
    let mut report = Report::default();
    v2::upward(
        &View {
            map,
            path: &Path::Root,
            spec,
        },
        &mut report,
    );
    report.problems
}

/// File modes beyond 0777 (`MCO render 2.4`).
pub(crate) fn special_modes(map: &Map) -> Vec<Problem> {
    let mut report = Report::default();
    node::special_modes(
        &View {
            map,
            path: &Path::Root,
            spec: Spec::V3_5,
        },
        &mut report,
    );
    report.problems
}

/// Names that no node can have, as the reference does not find.
pub(crate) fn impossible_names(map: &Map) -> Vec<Problem> {
    let mut report = Report::default();
    impossible::names(
        &View {
            map,
            path: &Path::Root,
            spec: Spec::V3_5,
        },
        &mut report,
    );
    report.problems
}

/// The rule of an object whose types say all.
pub(crate) fn anything(_: &View<'_>, _: &mut Report) {}

fn walk(object: &'static Object, view: View<'_>, report: &mut Report) {
    (object.rule)(&view, report);
    if !report.merged {
        duplicates(object, view, report);
    }
    for field in object.fields {
        let Some(value) = view.map.get(field.name) else {
            continue;
        };
        let path = view.path.field(field.name);
        match (field.kind, value) {
            (Kind::Object(object), Value::Object(map)) => walk(
                object,
                View {
                    map,
                    path: &path,
                    ..view
                },
                report,
            ),
            (Kind::Objects(object, _), Value::Array(items)) => {
                for (i, item) in items.iter().enumerate() {
                    if let Value::Object(map) = item {
                        walk(
                            object,
                            View {
                                map,
                                path: &path.index(i),
                                ..view
                            },
                            report,
                        );
                    }
                }
            }
            (
                Kind::Text | Kind::Int | Kind::Bool | Kind::Texts(_) | Kind::Object(_) | Kind::Objects(..),
                _,
            ) => {}
        }
    }
}

/// Keys that occur twice in a key space of an object.
fn duplicates(object: &'static Object, view: View<'_>, report: &mut Report) {
    let mut seen = HashSet::new();
    for field in object.fields {
        let Some(space) = field.space() else { continue };
        for (i, item) in view.list(field.name).iter().enumerate() {
            if seen.insert((space, field.key_of(item))) {
                continue;
            }
            let shown = if field.has_plain_keys() {
                shorten(&field.key_of(item)) + " "
            } else {
                String::new()
            };
            let path = view.path.field(field.name);
            report.error(
                &path.index(i),
                Fault::Duplicate,
                format!("{shown}is defined twice: keep one of them"),
            );
        }
    }
}

/// A value for a message: quoted, and not longer than fits a line.
pub(crate) fn shorten(text: &str) -> String {
    const LONGEST: usize = 120;
    match text.char_indices().nth(LONGEST) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

impl<'a> View<'a> {
    /// The string of a field; `None` when absent.
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.map.get(name)?.as_str()
    }

    /// The string of a field, unless it is empty.
    pub(crate) fn filled(&self, name: &str) -> Option<&'a str> {
        self.text(name).filter(|text| !text.is_empty())
    }

    /// The number of a field.
    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        self.map.get(name)?.as_i64()
    }

    /// The boolean of a field.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.map.get(name)?.as_bool()
    }

    /// Whether a field is set to true.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.flag(name) == Some(true)
    }

    /// Whether a field is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// The entries of a list; none when absent.
    pub(crate) fn list(&self, name: &str) -> &'a [Value] {
        self.map.get(name).and_then(Value::as_array).unwrap_or_default()
    }

    /// The path of a field.
    pub(crate) fn at<'n>(&self, name: &'n str) -> Path<'n>
    where
        'a: 'n,
    {
        Path::Field(self.path, name)
    }

    /// The objects of a list, for a look from outside: their paths are of no use.
    pub(crate) fn objects(&self, name: &str) -> impl Iterator<Item = View<'a>> + use<'a> {
        let spec = self.spec;
        self.list(name)
            .iter()
            .filter_map(Value::as_object)
            .map(move |map| View {
                map,
                path: &Path::Root,
                spec,
            })
    }

    /// The object of a field, for a look from outside.
    pub(crate) fn inner(&self, name: &str) -> Option<View<'a>> {
        Some(View {
            map: self.map.get(name)?.as_object()?,
            path: &Path::Root,
            spec: self.spec,
        })
    }
}

impl Report {
    /// Notes that the config is refused.
    pub(crate) fn error(&mut self, path: &Path<'_>, kind: Fault, message: impl Into<String>) {
        self.add(path, kind, Severity::Error, message.into());
    }

    /// Notes something its author hardly wants.
    pub(crate) fn warn(&mut self, path: &Path<'_>, kind: Fault, message: impl Into<String>) {
        self.add(path, kind, Severity::Warning, message.into());
    }

    fn add(&mut self, path: &Path<'_>, kind: Fault, severity: Severity, message: String) {
        self.problems.push(Problem {
            path: path.to_string(),
            kind,
            severity,
            message,
        });
    }
}
