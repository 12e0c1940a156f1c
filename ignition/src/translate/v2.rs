//! The 2.x specs: read them up to 3.x, and write 2.2.0.

mod down;
mod duplicates;
mod up;

use serde_json::Value as Json;

use crate::parse::{self, Validation};
use crate::problem::Severity;
use crate::schema::{v2, v3};
use crate::tree::Map;
use crate::version::Spec;
use crate::{Problem, validate};

pub(super) use down::config as down;
use duplicates::Origins;

/// Reads a 2.x config: types, validation at its version, duplicates resolved, translation up, validation.
///
/// The map is of use only when no problem is an error.
pub(crate) fn read(value: &Json, spec: Spec, validation: Validation) -> (Map, Vec<Problem>) {
    let (map, mut problems) = parse::read(&v2::CONFIG, spec, value);
    if validation == Validation::Full && !parse::is_refused(&problems) {
        problems.extend(validate::check(&v2::CONFIG, spec, &map));
        problems.extend(validate::check_upward(&map, spec));
    }
    if parse::is_refused(&problems) {
        return (map, problems);
    }
    let (map, origins) = duplicates::resolve(map);
    let map = up::config(map, spec);
    if validation == Validation::Full {
        problems.extend(errors_above(&map, &origins));
    }
    (map, problems)
}

/// The errors of a config that was translated up, where they stand in the 2.x config. Its warnings were
/// said there already.
fn errors_above(map: &Map, origins: &Origins) -> Vec<Problem> {
    let problems = validate::check(&v3::CONFIG, Spec::V3_0, map);
    let errors = problems
        .into_iter()
        .filter(|problem| problem.severity == Severity::Error);
    errors
        .map(|problem| Problem {
            path: origins.relocate(&problem.path),
            ..problem
        })
        .collect()
}
