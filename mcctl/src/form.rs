//! The machine-readable forms of a result, safe to show on a terminal.

use crds::manifest::to_yaml;
use machineconfig::redact::disturbs;
use serde::Serialize;

use crate::escape;

/// The form of what a command that asks a cluster prints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    #[default]
    Text,
    Json,
}

/// A value as indented JSON, ending in a newline.
///
/// # Panics
/// When the value does not serialise to JSON; the types that are printed always do.
pub(crate) fn json(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("what is printed has string keys");
    safe_json(&text)
}

/// JSON text as it is, but for characters that would act on a terminal; ends in a newline.
pub(crate) fn safe_json(text: &str) -> String {
    format!("{}\n", escape::json(text))
}

/// A value as a YAML document. One with characters that would act on a terminal, which YAML's writer leaves as they
/// are (bidirectional ones), is written as JSON, which is YAML too.
pub(crate) fn yaml(value: &impl Serialize) -> String {
    let text = to_yaml(value);
    if text.contains(|c| disturbs(c) && c != '\n') {
        return json(value);
    }
    text
}
