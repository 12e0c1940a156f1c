//! What the reference accepts and leaves for the nodes to fail at, or to ignore.

use ignition::contents::MAX_INFLATED;
use ignition::tree::Value;

use crate::reconcile::FORCE_FILE;
use crate::{Code, Finding};

use super::contents;
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
    findings.extend(input.unchecked_extensions());
    findings.extend(super::spelling::findings(input));
    let mut left = Some(MAX_INFLATED);
    for (index, file) in entries(input, "storage", "files").iter().enumerate() {
        check_file(input, index, file, &mut left, &mut findings);
    }
    findings
}

/// Whether one of the errors of `told` is about the same fault: contents that validation refuses do not decode either.
pub(super) fn is_told(told: &[Finding], finding: &Finding) -> bool {
    let same_code = |code: Code| {
        code == finding.code || (code, finding.code) == (Code::IGNITION_URL, Code::CONTENTS_NOT_DATA)
    };
    told.iter()
        .filter(|told| told.is_error() && told.object == finding.object)
        .any(|told| {
            // Of a config of version 2 the list alone is known.
            told.field == finding.field || (same_code(told.code) && told.field.starts_with(&finding.field))
        })
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
        let says_something = value(input, section).is_some_and(|value| match value {
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
    for (index, user) in entries(input, "passwd", "users").iter().enumerate() {
        let name = user.text("name");
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
    for (index, file) in entries(input, "storage", "files").iter().enumerate() {
        if !file.list("append").is_empty() {
            let field = field(input, "storage.files", index, ".append");
            let message = format!("{} is appended to", file.text("path"));
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

fn check_file(
    input: &Input<'_>,
    index: usize,
    file: &Value,
    left: &mut Option<usize>,
    findings: &mut Vec<Finding>,
) {
    let path = file.text("path");
    if path == FORCE_FILE {
        let message = format!("{path} cannot come from a config");
        let field = field(input, "storage.files", index, ".path");
        findings.push(Finding::error(Code::FORCE_FILE, input.object(), field, message));
    }
    let appended = file.list("append").iter().enumerate();
    let appended = appended.map(|(at, contents)| (format!(".append[{at}]"), contents));
    let own = file
        .get("contents")
        .map(|contents| (".contents".to_owned(), contents));
    for (place, contents) in own.into_iter().chain(appended) {
        if let Some(fault) = contents::fault(contents, left) {
            let field = field(
                input,
                "storage.files",
                index,
                &format!("{place}{}", fault.field()),
            );
            findings.push(Finding::error(
                fault.code(),
                input.object(),
                field,
                fault.message(path),
            ));
        }
    }
}

/// The value of a section of the Ignition part, such as `storage.disks`.
fn value<'a>(input: &'a Input<'_>, section: &str) -> Option<&'a Value> {
    let fields = input.parsed.as_ref()?.config.fields();
    match section.split_once('.') {
        Some((section, field)) => fields.get(section)?.get(field),
        None => fields.get(section),
    }
}

/// The entries of a list of the Ignition part.
pub(super) fn entries<'a>(input: &'a Input<'_>, section: &str, list: &str) -> &'a [Value] {
    let parsed = input.parsed.as_ref();
    parsed
        .map(|parsed| parsed.config.fields().list(section, list))
        .unwrap_or_default()
}

/// `spec.config.<list>[<index>]<rest>`. The entries of a 2.x config do not keep their places when it is translated up, so
/// there the list alone is named.
pub(super) fn field(input: &Input<'_>, list: &str, index: usize, rest: &str) -> String {
    match &input.parsed {
        Some(parsed) if parsed.declared.starts_with('3') => format!("spec.config.{list}[{index}]{rest}"),
        _ => format!("spec.config.{list}"),
    }
}
