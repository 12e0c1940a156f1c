//! What the reference accepts and leaves for the nodes to fail at, or to ignore.

use ignition::contents::{self, ContentsError, MAX_INFLATED};
use serde_json::Value;

use crate::reconcile::FORCE_FILE;
use crate::{Code, Finding, Severity};

use super::input::{Input, RENDERED_PREFIX};

/// Sections of the Ignition config that only act when a node is installed.
const FIRST_BOOT: [&str; 11] = [
    "ignition.config",
    "ignition.proxy",
    "ignition.security",
    "kernelArguments",
    "passwd.groups",
    "storage.directories",
    "storage.disks",
    "storage.filesystems",
    "storage.links",
    "storage.luks",
    "storage.raid",
];

/// What no node can apply, as errors.
pub(super) fn findings(input: &Input<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, file) in entries(input, "/storage/files").iter().enumerate() {
        check_file(input, index, file, &mut findings);
    }
    findings
}

/// The same, as warnings: for where the reference's judgement counts.
pub(super) fn as_warnings(input: &Input<'_>) -> Vec<Finding> {
    let mut findings = findings(input);
    for finding in &mut findings {
        finding.severity = Severity::Warning;
    }
    findings
}

/// What works, and perhaps not as its author expects.
pub(super) fn advice(input: &Input<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if input.name.starts_with(RENDERED_PREFIX) && !input.is_rendered() {
        let message = format!("the prefix {RENDERED_PREFIX} is that of rendered MachineConfigs");
        findings.push(Finding::warning(
            Code::RESERVED_NAME,
            input.object(),
            "metadata.name",
            message,
        ));
    }
    for section in FIRST_BOOT {
        let says_something =
            value(input, &format!("/{}", section.replace('.', "/"))).is_some_and(|value| match value {
                Value::Array(items) => !items.is_empty(),
                _ => true,
            });
        if says_something {
            let message = format!("{section} is applied on the first boot of a node only");
            findings.push(Finding::warning(
                Code::FIRST_BOOT_ONLY,
                input.object(),
                format!("spec.config.{section}"),
                message,
            ));
        }
    }
    for (index, user) in entries(input, "/passwd/users").iter().enumerate() {
        let name = user["name"].as_str().unwrap_or_default();
        if name != "core" {
            let field = field(input, "passwd.users", index, "");
            let message = format!("the user {name:?} is made on the first boot of a node only");
            findings.push(Finding::warning(
                Code::FIRST_BOOT_ONLY,
                input.object(),
                field,
                message,
            ));
        }
    }
    for (index, file) in entries(input, "/storage/files").iter().enumerate() {
        if file
            .get("append")
            .and_then(Value::as_array)
            .is_some_and(|append| !append.is_empty())
        {
            let field = field(input, "storage.files", index, ".append");
            let message = format!("{} is appended to", file["path"].as_str().unwrap_or_default());
            findings.push(Finding::warning(
                Code::APPENDED_FILE,
                input.object(),
                field,
                message,
            ));
        }
    }
    findings
}

/// Whether contents decode, and not to their verification hash.
pub(super) fn hash_differs(contents: &Value) -> bool {
    matches!(decoded(contents), Some(Err(Fault::Hash)))
}

/// Why contents are not what they say.
enum Fault {
    Contents(ContentsError),
    Hash,
}

fn check_file(input: &Input<'_>, index: usize, file: &Value, findings: &mut Vec<Finding>) {
    let path = file["path"].as_str().unwrap_or_default();
    if path == FORCE_FILE {
        let message = format!("{path} cannot come from a config");
        let field = field(input, "storage.files", index, ".path");
        findings.push(Finding::error(Code::FORCE_FILE, input.object(), field, message));
    }
    let appended = file
        .get("append")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate();
    let appended = appended.map(|(at, contents)| (format!(".append[{at}]"), contents));
    let own = file
        .get("contents")
        .map(|contents| (".contents".to_owned(), contents));
    for (place, contents) in own.into_iter().chain(appended) {
        let Some(Err(fault)) = decoded(contents) else {
            continue;
        };
        let (code, rest, message) = told(&fault, path);
        let field = field(input, "storage.files", index, &format!("{place}{rest}"));
        findings.push(Finding::error(code, input.object(), field, message));
    }
}

fn told(fault: &Fault, path: &str) -> (Code, &'static str, String) {
    let (code, rest) = match fault {
        Fault::Hash => {
            let message = format!("the contents of {path} do not have their verification hash");
            return (Code::IGNITION_HASH, ".verification.hash", message);
        }
        Fault::Contents(ContentsError::NotData { .. }) => (Code::CONTENTS_NOT_DATA, ".source"),
        Fault::Contents(ContentsError::Malformed { .. }) => (Code::IGNITION_DATA_URL, ".source"),
        Fault::Contents(ContentsError::UnknownCompression { .. }) => {
            (Code::IGNITION_COMPRESSION, ".compression")
        }
        Fault::Contents(ContentsError::CorruptGzip { .. }) => (Code::IGNITION_COMPRESSION, ".source"),
        Fault::Contents(ContentsError::TooLarge { .. }) => (Code::IGNITION_TOO_LARGE, ".source"),
    };
    let Fault::Contents(error) = fault else {
        unreachable!("the hash was told above")
    };
    (code, rest, format!("contents of {path}: {error}"))
}

/// The fate of contents, where there can be one that parsing has not already found: plain data URLs were decoded there.
fn decoded(contents: &Value) -> Option<Result<(), Fault>> {
    let source = contents
        .get("source")?
        .as_str()
        .filter(|source| !source.is_empty())?;
    let compression = contents.get("compression").and_then(Value::as_str);
    let hash = contents
        .get("verification")
        .and_then(|verification| verification.get("hash")?.as_str());
    let is_plain = compression.is_none_or(str::is_empty) && hash.is_none();
    if is_plain && source.starts_with("data:") && source.len() <= MAX_INFLATED {
        return None;
    }
    Some(match contents::decode(Some(source), compression, MAX_INFLATED) {
        Err(error) => Err(Fault::Contents(error)),
        Ok(bytes) if hash.is_some_and(|hash| contents::verify(&bytes, hash) == Some(false)) => {
            Err(Fault::Hash)
        }
        Ok(_) => Ok(()),
    })
}

fn value<'a>(input: &'a Input<'_>, pointer: &str) -> Option<&'a Value> {
    input.parsed.as_ref()?.config.value().pointer(pointer)
}

fn entries<'a>(input: &'a Input<'_>, pointer: &str) -> &'a [Value] {
    value(input, pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// `spec.config.<list>[<index>]<rest>`. The entries of a 2.x config do not keep their places when it is translated up, so
/// there the list alone is named.
fn field(input: &Input<'_>, list: &str, index: usize, rest: &str) -> String {
    match &input.parsed {
        Some(parsed) if parsed.declared.starts_with('3') => format!("spec.config.{list}[{index}]{rest}"),
        _ => format!("spec.config.{list}"),
    }
}
