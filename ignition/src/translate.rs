//! Between spec versions: up to what a [`crate::Config`] holds, and down to what is served.

pub(crate) mod v2;

use serde_json::{Map, Value};

use crate::schema::v3;
use crate::{Invalid, Version, encode};

/// Canonical JSON of a 3.5.0 config at `version`.
pub(crate) fn encode(map: &Map<String, Value>, version: Version) -> Result<String, Invalid> {
    match version {
        Version::V3_5 => Ok(encode::to_json(&v3::CONFIG, map)),
        _ => todo!(),
    }
}
