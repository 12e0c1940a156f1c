//! Changes to the operating system: image, kernel, extensions, FIPS. Each needs a reboot.

use crds::MachineConfigSpec;

use super::context::{Context, Draft};
use super::lists;
use super::step::{Aspect, Change, Decision, Item, Step, Target};
use super::{Action, Section};
use crate::provenance::Part;

/// The sections of the operating system that differ, each with its step.
pub(super) fn steps(context: &Context<'_>) -> Vec<(Section, Step)> {
    let (old, new) = (&context.current.spec, &context.desired.spec);
    let mut steps = Vec::new();
    let mut value = |section, target, field: &str, before: &str, after: &str| {
        if before != after {
            let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            let aspect = Aspect::Value {
                before: some(before),
                after: some(after),
            };
            let part = Part::Field(field.to_owned());
            steps.push((section, context.step(reboot(target, aspect), Some(&part))));
        }
    };
    value(
        Section::OsUpdate,
        Target::OsImage,
        "osImageURL",
        &old.os_image_url,
        &new.os_image_url,
    );
    let kernels = (kernel_type(&old.kernel_type), kernel_type(&new.kernel_type));
    value(
        Section::KernelType,
        Target::KernelType,
        "kernelType",
        kernels.0,
        kernels.1,
    );
    let fips = (old.fips.to_string(), new.fips.to_string());
    value(Section::Fips, Target::Fips, "fips", &fips.0, &fips.1);

    let mut list =
        |section, target, part: fn(String) -> Part, old: Option<&[String]>, new: Option<&[String]>| {
            let show = |entry: &str, desired| Item {
                value: entry.to_owned(),
                machine_config: context.origin(&part(entry.to_owned()), desired),
            };
            if let Some(aspect) = lists::items(&entries(old), &entries(new), show) {
                steps.push((section, context.step(reboot(target, aspect), None)));
            }
        };
    let (before, after) = (old.extensions.as_deref(), new.extensions.as_deref());
    list(
        Section::Extensions,
        Target::Extensions,
        Part::Extension,
        before,
        after,
    );
    let (before, after) = (old.kernel_arguments.as_deref(), new.kernel_arguments.as_deref());
    list(
        Section::Kargs,
        Target::KernelArguments,
        Part::KernelArgument,
        before,
        after,
    );
    steps
}

/// Whether anything of the operating system differs.
pub(super) fn differs(old: &MachineConfigSpec, new: &MachineConfigSpec) -> bool {
    old.os_image_url != new.os_image_url
        || kernel_type(&old.kernel_type) != kernel_type(&new.kernel_type)
        || old.fips != new.fips
        || entries(old.extensions.as_deref()) != entries(new.extensions.as_deref())
        || entries(old.kernel_arguments.as_deref()) != entries(new.kernel_arguments.as_deref())
}

fn reboot(target: Target, aspect: Aspect) -> Draft {
    Draft {
        target,
        change: Change::Changed,
        aspects: vec![aspect],
        decision: (vec![Action::Reboot], Decision::OperatingSystem),
        diff: None,
    }
}

/// The kernel a type stands for: whatever is not known is the default one (MCO daemon 3.1).
fn kernel_type(name: &str) -> &str {
    match name {
        "realtime" | "64k-pages" => name,
        _ => "default",
    }
}

fn entries(list: Option<&[String]>) -> Vec<&str> {
    list.into_iter().flatten().map(String::as_str).collect()
}
