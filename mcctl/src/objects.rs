//! From the paths of a command line to the objects in them.

use std::path::PathBuf;

use crds::MachineConfig;
pub(crate) use machineconfig::Objects;
pub(crate) use machineconfig::objects::{identity, malformed};
use machineconfig::{Code, Finding};

use crate::input::{self, Text};
use crate::pool;
use crate::report::{Findings, Located, Place, plural};

/// Reads the objects in `paths`. Whatever fails goes to `findings`; the rest is still there.
pub(crate) fn read(paths: &[PathBuf], recursive: bool, findings: &mut Findings) -> Objects {
    let (texts, failures) = input::read(paths, recursive);
    let mut objects = Objects::default();
    objects.findings = failures;
    for Text { name, text } in &texts {
        objects.add_text(name, text);
    }
    if objects.is_empty() && objects.findings.is_empty() {
        let names: Vec<_> = texts.iter().map(|text| text.name.as_str()).collect();
        objects.findings.push(Located {
            place: Place::file(names.join(", ")),
            finding: Finding::error(Code::NO_MANIFESTS, "", "", "holds no object"),
        });
    }
    findings.extend(objects.findings.iter().cloned());
    findings.add_texts(texts);
    objects
}

/// The one MachineConfig, if it is a rendered one.
pub(crate) fn only_rendered(objects: &Objects) -> Option<&MachineConfig> {
    match objects.configs.as_slice() {
        [one] if pool::is_rendered(one) => Some(one),
        _ => None,
    }
}

/// `12 objects in 3 files`.
pub(crate) fn size(objects: &Objects) -> String {
    format!(
        "{} in {}",
        plural(objects.len(), "object"),
        plural(objects.texts(), "file")
    )
}
