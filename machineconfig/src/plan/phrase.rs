//! The words that the text and Markdown forms share.

use super::step::{Aspect, Change, Decision, Item, Step};
use super::{Action, Disruption, Plan, Verdict};

/// The headline: what the plan amounts to.
pub(super) fn headline(plan: &Plan) -> String {
    let steps = match plan.steps.len() {
        1 => "1 change".to_owned(),
        count => format!("{count} changes"),
    };
    match plan.verdict() {
        Verdict::NoChange if plan.from == plan.to => "No change".to_owned(),
        Verdict::NoChange => "No change on the node, only the name of its config".to_owned(),
        Verdict::Change | Verdict::Disruption => format!("{}: {steps}", plan.disruption),
        Verdict::Refused => format!("Refused: a running node cannot make this change ({steps})"),
    }
}

/// Whether the node drains, and why.
pub(super) fn drain(plan: &Plan) -> String {
    let answer = if plan.drain.required { "yes" } else { "no" };
    format!("{answer}, {}", plan.drain.reason)
}

pub(super) fn sign(change: Change) -> char {
    match change {
        Change::Added => '+',
        Change::Changed => '~',
        Change::Removed => '-',
    }
}

/// What an action does; what `Special` does is to reload crio.
fn action(action: &Action) -> String {
    match action {
        Action::Special => "Reload crio.service".to_owned(),
        other => other.to_string(),
    }
}

pub(super) fn actions(actions: &[Action]) -> String {
    match actions {
        [] | [Action::None] => "nothing to do".to_owned(),
        some => some.iter().map(action).collect::<Vec<_>>().join(", "),
    }
}

/// What a step does to the node, the drain included that the plan decided for it.
pub(super) fn effect(step: &Step) -> String {
    let actions = actions(&step.actions);
    if step.disruption == Disruption::Drain && !step.actions.contains(&Action::Drain) {
        format!("Drain, {actions}")
    } else {
        actions
    }
}

pub(super) fn decision(decision: &Decision) -> String {
    match decision {
        Decision::FilePolicy { path } => format!("policy for {path}"),
        Decision::UnitPolicy { name } => format!("policy for unit {name}"),
        Decision::SshKeyPolicy => "policy for SSH keys".to_owned(),
        Decision::NoPolicy => "covered by no policy".to_owned(),
        Decision::OperatingSystem => "the operating system changes".to_owned(),
    }
}

/// The MachineConfigs behind a step; empty when unknown.
pub(super) fn cause(step: &Step) -> String {
    match (&step.machine_config, &step.previous_machine_config) {
        (Some(now), Some(before)) => format!("{now} (was {before})"),
        (Some(now), None) => now.clone(),
        (None, Some(before)) => format!("{before} (until now)"),
        (None, None) => String::new(),
    }
}

/// All that differs, in one line.
pub(super) fn aspects(step: &Step) -> String {
    step.aspects.iter().map(aspect).collect::<Vec<_>>().join("; ")
}

fn aspect(aspect: &Aspect) -> String {
    match aspect {
        Aspect::Content { before, after } => {
            format!("content {}", arrow(before.as_ref(), after.as_ref(), "none"))
        }
        Aspect::Mode { before, after } => format!("mode {}", arrow(before.as_ref(), after.as_ref(), "none")),
        Aspect::Owner { before, after } => {
            format!("owner {}", arrow(before.as_ref(), after.as_ref(), "none"))
        }
        Aspect::Enabled { before, after } => {
            let word = |flag: &Option<bool>| flag.map(|flag| if flag { "yes" } else { "no" });
            format!("enabled {}", arrow(word(before), word(after), "by preset"))
        }
        Aspect::Masked { after: true, .. } => "masked".to_owned(),
        Aspect::Masked { after: false, .. } => "no longer masked".to_owned(),
        Aspect::Value { before, after } => arrow(before.as_ref(), after.as_ref(), "none"),
        Aspect::Items {
            added,
            removed,
            reordered,
        } => list(added, removed, *reordered),
        Aspect::Declaration { fields } => format!("same on disk, {} declared otherwise", fields.join(", ")),
    }
}

fn arrow<T: ToString>(before: Option<T>, after: Option<T>, absent: &str) -> String {
    let word = |side: Option<T>| side.map_or_else(|| absent.to_owned(), |side| side.to_string());
    match (before, after) {
        (None, Some(after)) if absent == "none" => after.to_string(),
        (before, after) => format!("{} → {}", word(before), word(after)),
    }
}

fn list(added: &[Item], removed: &[Item], reordered: bool) -> String {
    let names = |what: &str, items: &[Item]| {
        let item = |item: &Item| match &item.machine_config {
            Some(origin) => format!("{} ({origin})", item.value),
            None => item.value.clone(),
        };
        let items: Vec<_> = items.iter().map(item).collect();
        (!items.is_empty()).then(|| format!("{what} {}", items.join(", ")))
    };
    let order = reordered.then(|| "another order".to_owned());
    [names("added", added), names("removed", removed), order]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("; ")
}
