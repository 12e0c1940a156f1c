//! Between spec versions: up to what a [`crate::Config`] holds, and down to what is served.
//!
//! 3.x configs of all versions fit one table, so that up means checking what 3.6.0 alone can say, and down
//! means dropping or refusing what the target does not know yet. 2.x has its own shape.

mod down;
mod up;
pub(crate) mod v2;

use crate::tree::Map;

use crate::problem::{Kind, Severity};
use crate::schema::{self, v3};
use crate::{Invalid, Problem, Version, encode, validate};

pub(crate) use up::check as check_up;

/// Canonical JSON of a 3.5.0 config at `version`: valid at 3.5.0, sayable at `version`, and valid there.
pub(crate) fn encode(map: &Map, version: Version) -> Result<String, Invalid> {
    refuse_errors(validate::check(&v3::CONFIG, Version::LATEST.spec(), map))?;
    match version {
        Version::V3_5 => Ok(encode::to_json(&v3::CONFIG, map)),
        Version::V3_0 => Err(Invalid {
            problems: vec![Problem {
                path: "$.ignition.version".to_owned(),
                kind: Kind::Untranslatable,
                severity: Severity::Error,
                message: "no config is translated to version 3.0.0: ask for 3.1.0 or newer".to_owned(),
            }],
        }),
        Version::V3_1 | Version::V3_2 | Version::V3_3 | Version::V3_4 => {
            let map = down::config(map, version)?;
            refuse_errors(validate::check(&v3::CONFIG, version.spec(), &map))?;
            Ok(encode::to_json(&v3::CONFIG, &map))
        }
        Version::V2_2 => {
            let map = v2::down(down::config(map, version)?);
            refuse_errors(validate::check(&schema::v2::CONFIG, version.spec(), &map))?;
            Ok(encode::to_json(&schema::v2::CONFIG, &map))
        }
    }
}

/// Refuses when an error is among the problems.
fn refuse_errors(problems: Vec<Problem>) -> Result<(), Invalid> {
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(Invalid { problems });
    }
    Ok(())
}
