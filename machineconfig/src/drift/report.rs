//! The drift report for people and for programs.

use serde::{Deserialize, Serialize};

use super::Drift;
use crate::style::Styles;

/// Version of the JSON form of [`Report`], raised when a reader of an older one could misread it.
pub const SCHEMA_VERSION: u32 = 1;

/// The JSON form; the schema is documented in docs/drift.md.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Name of the config that was compared with.
    pub config: String,
    /// Whether disk and config agree.
    pub clean: bool,
    /// Every mismatch.
    pub drift: Vec<Drift>,
}

/// The report as a value, for `serde_json`.
#[must_use]
pub fn report(config: &str, drift: Vec<Drift>) -> Report {
    Report {
        schema_version: SCHEMA_VERSION,
        config: config.to_owned(),
        clean: drift.is_empty(),
        drift,
    }
}

/// The report as pretty-printed JSON, ending in a newline.
#[must_use]
pub fn json(config: &str, drift: Vec<Drift>) -> String {
    let _ = (config, drift);
    todo!()
}

/// The report as text, ending in a newline.
#[must_use]
pub fn text(config: &str, drift: &[Drift], styles: &Styles) -> String {
    let _ = (config, drift, styles);
    todo!()
}
