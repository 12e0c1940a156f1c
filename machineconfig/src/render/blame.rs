//! Which MachineConfig, and which field of it, a fault of the merged whole comes from.

use crds::{MachineConfig, MachineConfigSpec};
use ignition::{Config, Problem};
use serde_json::Value;

use crate::name::UnhashableCharacter;
use crate::provenance::{Part, part_at};
use crate::{Code, Finding, Provenance};

use super::input;

/// The MachineConfig that a part comes from, as the object of a finding; the pool when none is known.
pub(super) fn object(pool: &str, provenance: &Provenance, part: &Part) -> String {
    provenance
        .winner(part)
        .map_or_else(|| format!("MachineConfigPool/{pool}"), input::object)
}

/// A finding for what is wrong with the merged config only. The place in the merged config says nothing to the author of a
/// MachineConfig, so the section is the field and the part is in the message.
pub(super) fn merged(pool: &str, problem: &Problem, ignition: &Config, provenance: &Provenance) -> Finding {
    let part = part_at(ignition, &problem.path);
    let path = problem.path.trim_start_matches('$').trim_start_matches('.');
    let section = path.split('[').next().unwrap_or_default();
    let others = provenance
        .origins
        .get(&part)
        .map(|origin| origin.beaten.join(", "))
        .unwrap_or_default();
    let message = if others.is_empty() {
        format!("once merged, {part}: {}", problem.message)
    } else {
        format!("once merged over {others}, {part}: {}", problem.message)
    };
    let object = object(pool, provenance, &part);
    Finding::error(
        Code::MERGED_INVALID,
        object,
        format!("spec.config.{section}"),
        message,
    )
}

/// A finding for a character that the name cannot be made of: the last MachineConfig that holds the string it is in.
pub(super) fn unhashable(
    pool: &str,
    spec: &MachineConfigSpec,
    ignition: &Config,
    refused: &UnhashableCharacter,
    configs: &[&MachineConfig],
) -> Finding {
    let text = match refused.path.strip_prefix("config.") {
        Some(path) => at(&ignition.fields().to_json(), path).cloned(),
        None => serde_json::to_value(spec)
            .ok()
            .and_then(|spec| at(&spec, &refused.path).cloned()),
    };
    let holder = configs.iter().rev().find_map(|config| {
        let spec = serde_json::to_value(&config.spec).ok()?;
        let object = input::object(input::name(config));
        Some((object, place_of(&spec, text.as_ref()?, "spec")?))
    });
    let (object, field) = holder.unwrap_or_else(|| {
        (
            format!("MachineConfigPool/{pool}"),
            format!("spec.{}", refused.path),
        )
    });
    let message = format!(
        "holds the control character U+{:04X}",
        u32::from(refused.character)
    );
    Finding::error(Code::CONTROL_CHARACTER, object, field, message)
}

/// The value at a path such as `config.systemd.units[1].contents`.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let mut steps = path.split(['.', '[']).map(|step| step.trim_end_matches(']'));
    steps.try_fold(value, |value, step| match value {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        _ => value.get(step),
    })
}

/// Where below `path` a value equal to `wanted` is.
fn place_of(value: &Value, wanted: &Value, path: &str) -> Option<String> {
    if value == wanted {
        return Some(path.to_owned());
    }
    match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| place_of(item, wanted, &format!("{path}[{index}]"))),
        Value::Object(map) => map
            .iter()
            .find_map(|(key, value)| place_of(value, wanted, &format!("{path}.{key}"))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}
