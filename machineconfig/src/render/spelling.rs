//! Names and arguments that are rendered as they are, and that nothing takes.

use ignition::Problem;

use crate::{Code, Finding, pool};

use super::input::Input;
use super::strict::{entries, field};

/// An error for each name or kernel argument that the API server, systemd or the kernel's command line has no use for.
pub(super) fn findings(input: &Input<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    // A missing name was told of by itself.
    if !input.name.is_empty() && !pool::is_subdomain(input.name) {
        let message = format!("{:?} is no name that Kubernetes accepts", input.name);
        findings.push(Finding::error(
            Code::OBJECT_NAME,
            input.object(),
            "metadata.name",
            message,
        ));
    }
    let arguments = input.config.spec.kernel_arguments.iter().flatten();
    for (index, argument) in arguments.enumerate() {
        let message = if argument.trim().is_empty() {
            "the kernel argument is empty"
        } else if argument.contains(['\n', '\r', '\0']) {
            "the kernel argument holds a line break or NUL"
        } else {
            continue;
        };
        let field = format!("spec.kernelArguments[{index}]");
        findings.push(Finding::error(
            Code::KERNEL_ARGUMENT,
            input.object(),
            field,
            message,
        ));
    }
    for (index, unit) in entries(input, "systemd", "units").iter().enumerate() {
        let name = unit.text("name");
        let stem = name.rsplit_once('.').map(|(stem, _)| stem);
        if stem.is_some_and(|stem| stem.is_empty() || stem.starts_with('@')) {
            let field = field(input, "systemd.units", index, ".name");
            let message = format!("{name:?} is a suffix without a name before it");
            findings.push(Finding::error(
                Code::IGNITION_UNIT,
                input.object(),
                field,
                message,
            ));
        }
    }
    findings.extend(impossible(input));
    findings
}

/// Names in the Ignition part that no node can have.
fn impossible(input: &Input<'_>) -> Vec<Finding> {
    let Some(parsed) = &input.parsed else {
        return Vec::new();
    };
    let keeps_places = parsed.declared.starts_with('3');
    let finding = |problem: &Problem| {
        let mut finding = Finding::from_problem(input.object(), "spec.config", problem);
        if !keeps_places && let Some(end) = finding.field.find('[') {
            finding.field.truncate(end);
        }
        finding
    };
    parsed.config.impossible_names().iter().map(finding).collect()
}
