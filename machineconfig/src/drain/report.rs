//! What the controller says of a node's drain in its MachineConfigNode (MCO controller 9.6): the conditions Cordoned, Drained and
//! Uncordoned. All others are the daemon's.

use crds::condition::{Condition, ConditionStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::pool::second;

/// A message may have this many bytes (the schema's bound is in characters).
const MAX_MESSAGE: usize = 32_000;

/// What is said of a drain that nothing holds up.
const EVICTING: &str = "Pods are being evicted";

/// How far a node's drain is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Nothing was asked for yet.
    NotYet,
    /// It is cordoned, and pods are still there.
    Draining {
        /// What holds it up; empty when nothing does.
        held_up: String,
    },
    /// It is cordoned, and its pods are gone.
    Drained,
    /// It was given back.
    Released {
        /// Whether it takes work; a cordon by somebody else stays.
        takes_work: bool,
    },
}

/// The three conditions for a stage. What says the same as before stays as it is; the transition time moves only when the status does.
#[must_use]
pub fn conditions(before: &[Condition], stage: &Stage, now: Timestamp) -> Vec<Condition> {
    use ConditionStatus::{False, True, Unknown};
    let not_yet = (False, "NotYetOccurred", String::new());
    let texts = |text: &str| text.to_owned();
    let [cordoned, drained, uncordoned] = match stage {
        Stage::NotYet => [not_yet.clone(), not_yet.clone(), not_yet],
        Stage::Draining { held_up } => {
            let message = if held_up.is_empty() {
                texts(EVICTING)
            } else {
                held_up.clone()
            };
            let cordoned = (True, "Cordoned", texts("The node takes no new pods"));
            [cordoned, (Unknown, "Draining", message), not_yet]
        }
        Stage::Drained => {
            let cordoned = (True, "Cordoned", texts("The node takes no new pods"));
            [
                cordoned,
                (True, "Drained", texts("All pods that had to go are gone")),
                not_yet,
            ]
        }
        Stage::Released { takes_work } => {
            let uncordoned = if *takes_work {
                (True, "Uncordoned", texts("The node takes pods again"))
            } else {
                (
                    False,
                    "CordonedByOthers",
                    texts("The node was cordoned before its update, not by it, and stays so"),
                )
            };
            [
                (False, "Released", String::new()),
                (False, "Released", String::new()),
                uncordoned,
            ]
        }
    };
    [
        ("Cordoned", cordoned),
        ("Drained", drained),
        ("Uncordoned", uncordoned),
    ]
    .into_iter()
    .map(|(type_, said)| condition(before, type_, said, now))
    .collect()
}

fn condition(
    before: &[Condition],
    type_: &str,
    (status, reason, mut message): (ConditionStatus, &str, String),
    now: Timestamp,
) -> Condition {
    let end = message.floor_char_boundary(MAX_MESSAGE);
    message.truncate(end);
    let old = before.iter().find(|condition| condition.type_ == type_);
    let since = old
        .filter(|old| old.status == status)
        .map_or_else(|| Time(second(now)), |old| old.last_transition_time.clone());
    Condition {
        type_: type_.to_owned(),
        status,
        observed_generation: None,
        last_transition_time: since,
        reason: reason.to_owned(),
        message,
    }
}

/// What holds a drain up, as the conditions say it; empty when nothing does, or none is under way.
#[must_use]
pub fn held_up(conditions: &[Condition]) -> &str {
    let drained = conditions.iter().find(|condition| condition.type_ == "Drained");
    drained
        .filter(|drained| drained.status == ConditionStatus::Unknown && drained.message != EVICTING)
        .map_or("", |drained| drained.message.as_str())
}

/// Whether conditions say already what `wanted` says.
#[must_use]
pub fn says(before: &[Condition], wanted: &[Condition]) -> bool {
    wanted.iter().all(|condition| before.contains(condition))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_passes_through_its_stages_and_times_move_with_the_status_alone() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut said: Vec<Condition> = Vec::new();
        let mut pass = |stage: Stage, second| {
            let new = conditions(&said, &stage, at(second));
            assert_eq!(says(&said, &new), said == new);
            said = new;
            let short = |c: &Condition| {
                (
                    format!("{}={:?}", c.type_, c.status),
                    c.last_transition_time.0.as_second(),
                )
            };
            said.iter().map(short).collect::<Vec<_>>()
        };
        let of = |text: &str, second| (text.to_owned(), second);
        assert_eq!(
            pass(Stage::NotYet, 1),
            [
                of("Cordoned=False", 1),
                of("Drained=False", 1),
                of("Uncordoned=False", 1)
            ]
        );
        let held_up = Stage::Draining {
            held_up: "pod a/b".into(),
        };
        assert_eq!(
            pass(held_up, 2),
            [
                of("Cordoned=True", 2),
                of("Drained=Unknown", 2),
                of("Uncordoned=False", 1)
            ]
        );
        pass(
            Stage::Draining {
                held_up: String::new(),
            },
            3,
        );
        assert_eq!(
            pass(Stage::Drained, 4),
            [
                of("Cordoned=True", 2),
                of("Drained=True", 4),
                of("Uncordoned=False", 1)
            ]
        );
        assert_eq!(
            pass(Stage::Released { takes_work: true }, 5),
            [
                of("Cordoned=False", 5),
                of("Drained=False", 5),
                of("Uncordoned=True", 5)
            ]
        );
        assert_eq!(
            pass(Stage::Released { takes_work: false }, 6)[2],
            of("Uncordoned=False", 6)
        );
    }

    #[test]
    fn what_holds_a_drain_up_can_be_read_again() {
        let said = |held_up: &str| {
            let held_up = held_up.to_owned();
            conditions(&[], &Stage::Draining { held_up }, Timestamp::UNIX_EPOCH)
        };
        assert_eq!(held_up(&said("pod a/b")), "pod a/b");
        assert_eq!(held_up(&said("")), "");
        assert_eq!(
            held_up(&conditions(
                &said("pod a/b"),
                &Stage::Drained,
                Timestamp::UNIX_EPOCH
            )),
            ""
        );
    }

    #[test]
    fn a_message_fits_the_schema() {
        let long = Stage::Draining {
            held_up: "ä".repeat(40_000),
        };
        let conditions = conditions(&[], &long, Timestamp::UNIX_EPOCH);
        assert!(conditions[1].message.len() <= MAX_MESSAGE);
    }
}
