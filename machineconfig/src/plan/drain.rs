//! Whether a node is drained, and why (MCO daemon 4.5).

use super::context::Context;
use super::lists::{by_key, section};
use super::{Action, Drain, Step};
use crate::provenance::Part;
use crate::redact::printable;
use crate::registries::{self, Side};
use crate::wanted::WantedFile;
use crate::{Code, Finding, RenderedConfig};

/// Reasons of one sentence; the rest is counted.
const REASONS: usize = 3;

/// The decision, with what was found on the way.
pub(super) struct Decided {
    pub(super) drain: Drain,
    /// registries.conf of the desired config cannot be read: the change is refused.
    pub(super) refusal: Option<Finding>,
    /// registries.conf of the current config cannot be read: the node drains to be safe.
    pub(super) warning: Option<Finding>,
}

impl From<Drain> for Decided {
    fn from(drain: Drain) -> Self {
        Self {
            drain,
            refusal: None,
            warning: None,
        }
    }
}

/// Decides by the actions of the whole plan, and by registries.conf when they ask for it.
pub(super) fn decide(context: &Context<'_>, actions: &[Action], steps: &[Step]) -> Decided {
    if actions.contains(&Action::Reboot) {
        return yes(format!("the node reboots for {}", causes(steps, &Action::Reboot))).into();
    }
    if actions.contains(&Action::Drain) {
        return yes(format!(
            "the policy asks for it, for {}",
            causes(steps, &Action::Drain)
        ))
        .into();
    }
    if actions.contains(&Action::Special) {
        return special(context);
    }
    no("nothing that changes needs one").into()
}

fn yes(reason: String) -> Drain {
    Drain {
        required: true,
        reason,
    }
}

fn no(reason: &str) -> Drain {
    Drain {
        required: false,
        reason: reason.to_owned(),
    }
}

/// The steps that ask for an action, the first few by name, each with the MachineConfigs behind it.
fn causes(steps: &[Step], action: &Action) -> String {
    let cause = |step: &Step| {
        let target = printable(&step.target.to_string()).into_owned();
        let configs: Vec<_> = step.machine_configs().into_iter().collect();
        if configs.is_empty() {
            target
        } else {
            format!("{target} ({})", configs.join(", "))
        }
    };
    sentence(
        steps
            .iter()
            .filter(|step| step.actions.contains(action))
            .map(cause)
            .collect(),
    )
}

fn sentence(mut reasons: Vec<String>) -> String {
    let more = reasons.len().saturating_sub(REASONS);
    reasons.truncate(REASONS);
    let listed = reasons.join("; ");
    if more == 0 {
        listed
    } else {
        format!("{listed} and {more} more")
    }
}

/// The rule for registries.conf.
fn special(context: &Context<'_>) -> Decided {
    match registries_reasons(context.current, context.desired) {
        Ok(reasons) if reasons.is_empty() => {
            no("registries.conf changes only in ways that a reload picks up safely").into()
        }
        Ok(reasons) => {
            let reasons = reasons
                .iter()
                .map(|reason| printable(reason).into_owned())
                .collect();
            yes(format!("registries.conf: {}", sentence(reasons))).into()
        }
        Err(error) => unreadable(context, &error),
    }
}

/// Whether the change of registries.conf needs a drain by itself; also when nobody can tell.
pub(super) fn registries_need_it(context: &Context<'_>) -> bool {
    registries_reasons(context.current, context.desired).map_or(true, |reasons| !reasons.is_empty())
}

/// Why the change of registries.conf between two configs needs a drain; empty when it does not.
pub(super) fn registries_reasons(
    current: &RenderedConfig,
    desired: &RenderedConfig,
) -> Result<Vec<String>, registries::Unreadable> {
    let read =
        |config: &RenderedConfig, side| match by_key(section(&config.ignition, "/storage/files"), "path")
            .get(registries::PATH)
        {
            None => Ok(Vec::new()),
            Some(entry) => WantedFile::of(entry)
                .contents()
                .map_err(|error| registries::Unreadable {
                    side,
                    reason: error.to_string(),
                }),
        };
    registries::reasons_to_drain(&read(current, Side::Current)?, &read(desired, Side::Desired)?)
}

fn unreadable(context: &Context<'_>, error: &registries::Unreadable) -> Decided {
    let part = Part::Path(registries::PATH.to_owned());
    let desired = error.side == Side::Desired;
    let rendered = if desired { context.desired } else { context.current };
    let object = context
        .origin(&part, desired)
        .unwrap_or_else(|| rendered.name.clone());
    let finding = (if desired { Finding::error } else { Finding::warning })(
        Code::REGISTRIES_UNREADABLE,
        format!("MachineConfig/{object}"),
        format!("spec.config.storage.files[{}].contents", registries::PATH),
        error.to_string(),
    );
    let drain = yes("registries.conf cannot be read, so its change may need one".to_owned());
    if desired {
        Decided {
            drain,
            refusal: Some(finding),
            warning: None,
        }
    } else {
        Decided {
            drain,
            refusal: None,
            warning: Some(finding),
        }
    }
}
