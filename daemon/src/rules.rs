//! The policy that decides about disruption, from the file of a MachineConfiguration.

use std::path::Path;

use crds::MachineConfiguration;
use machineconfig::finding::{Located, Place};
use machineconfig::{Code, Finding, Objects, Policy, policy};

use crate::source;

/// The policy in the file at `path`; the built-in one without a file.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn read(path: Option<&Path>) -> Result<Policy, Vec<Located>> {
    let Some(path) = path else {
        return Ok(Policy::default());
    };
    let file = path.to_string_lossy();
    let text = source::text(path).map_err(|finding| {
        vec![Located {
            place: Place::file(&*file),
            finding,
        }]
    })?;
    let mut objects = Objects::default();
    objects.add_text(&file, &text);
    let errors: Vec<Located> = objects
        .findings
        .iter()
        .filter(|located| located.is_error())
        .cloned()
        .collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    match objects.policies.as_slice() {
        [one] => merged(one).map_err(|findings| {
            findings
                .into_iter()
                .map(|finding| objects.locate(finding))
                .collect()
        }),
        others => {
            let message = format!("holds {} MachineConfigurations, and one is needed", others.len());
            let finding = Finding::error(Code::NOT_ONE_OBJECT, "", "", message);
            Err(vec![Located {
                place: Place::file(&*file),
                finding,
            }])
        }
    }
}

fn merged(object: &MachineConfiguration) -> Result<Policy, Vec<Finding>> {
    let Some(user) = &object.spec.node_disruption_policy else {
        return Ok(Policy::default());
    };
    let name = object.metadata.name.clone().unwrap_or_default();
    let of_this = |finding| Finding {
        object: format!("MachineConfiguration/{name}"),
        ..finding
    };
    Policy::merge(user).map_err(|_| policy::check(user).into_iter().map(of_this).collect())
}
