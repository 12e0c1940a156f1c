//! The drift report for people and for programs.

use std::fmt::Write;

use anstyle::Style;
use serde::{Deserialize, Serialize};

use super::{Drift, DriftKind};
use crate::plan::diff_lines;
use crate::redact::printable;
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
///
/// # Panics
///
/// Never: all keys of a report are strings.
#[must_use]
pub fn json(config: &str, drift: Vec<Drift>) -> String {
    let mut text =
        serde_json::to_string_pretty(&report(config, drift)).expect("all keys of a report are strings");
    text.push('\n');
    text
}

/// The report as text, ending in a newline: the count, then each mismatch under its path with what to do about it.
#[must_use]
pub fn text(config: &str, drift: &[Drift], styles: &Styles) -> String {
    let mut out = String::new();
    match drift.len() {
        0 => line(&mut out, 0, styles.strong, &format!("{config}: no drift")),
        1 => line(&mut out, 0, styles.alarm, &format!("{config}: 1 mismatch")),
        count => line(
            &mut out,
            0,
            styles.alarm,
            &format!("{config}: {count} mismatches"),
        ),
    }
    let mut path = None;
    for drift in drift {
        if path != Some(&drift.path) {
            path = Some(&drift.path);
            out.push('\n');
            line(&mut out, 0, styles.strong, &drift.path);
        }
        mismatch(&mut out, drift, styles);
    }
    out
}

/// Adds one mismatch to a text, below its path: what is expected, what was found, and what to do about it.
pub fn mismatch(out: &mut String, drift: &Drift, styles: &Styles) {
    let origin = drift
        .machine_config
        .as_ref()
        .map(|origin| format!(" (from {origin})"))
        .unwrap_or_default();
    let what = format!(
        "{} {}: expected {}, found {}{origin}",
        drift.code, drift.kind, drift.expected, drift.found
    );
    line(out, 1, Style::new(), &what);
    if let Some(diff) = &drift.diff {
        diff_lines(diff, styles, |style, text| line(out, 2, style, text));
    }
    line(out, 2, styles.faint, &drift.remedy);
}

/// Adds a line to a text, whatever it holds made printable.
pub fn line(out: &mut String, depth: usize, style: Style, line: &str) {
    out.push_str(&"  ".repeat(depth));
    writeln!(out, "{style}{}{style:#}", printable(line)).expect("a String takes all that is written");
}

impl std::fmt::Display for DriftKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            DriftKind::Missing => "missing",
            DriftKind::Type => "type",
            DriftKind::Mode => "mode",
            DriftKind::Owner => "owner",
            DriftKind::Content => "content",
            DriftKind::Link => "link",
            DriftKind::Mask => "mask",
            DriftKind::Enablement => "enablement",
            DriftKind::Shadow => "shadow",
            DriftKind::SshKeys => "SSH keys",
            DriftKind::LeadsOut => "leads out",
            DriftKind::Unreadable => "unreadable",
            DriftKind::Unsatisfiable => "unsatisfiable",
        })
    }
}
