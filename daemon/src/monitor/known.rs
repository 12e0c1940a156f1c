//! The drift that was told: what is new, what is over, since when, and what was repaired how often. No clock.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};

use jiff::Timestamp;
use machineconfig::drift::policy::{Decision, DriftPolicy, MAX_REPAIRS, decide};
use machineconfig::drift::{Drift, DriftKind};

use super::event::{Aspect, Event, Found, Reaction, Since};

/// All that is remembered of drift. No contents, so it stays small when everything has drifted.
#[derive(Debug, Default)]
pub(super) struct Known {
    drifted: BTreeMap<(Box<str>, Aspect), Told>,
    /// When paths were repaired, the last few times.
    repairs: BTreeMap<Box<str>, Vec<Timestamp>>,
}

/// What was told of a path.
#[derive(Debug, PartialEq)]
struct Told {
    mismatches: Vec<Mismatch>,
    reaction: Reaction,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Mismatch {
    kind: DriftKind,
    /// Hash of everything there is to say.
    hash: u64,
    since: Timestamp,
}

/// What the policy comes to, and who could repair.
pub(super) struct Rules<'a> {
    /// What to do.
    pub(super) policy: &'a DriftPolicy,
    /// Whether anything can repair.
    pub(super) can_repair: bool,
}

/// What follows a comparison.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// What there is to tell.
    pub(super) events: Vec<Event>,
    /// What is to be repaired.
    pub(super) repair: BTreeSet<String>,
}

// === impl Known ===

impl Known {
    /// How many paths have drift that was told.
    pub(super) fn drifted(&self) -> usize {
        self.drifted.len()
    }

    /// Takes in what was found in one aspect of the paths that `compared` says were compared.
    pub(super) fn update(
        &mut self,
        config: &str,
        aspect: Aspect,
        drift: Vec<Drift>,
        compared: impl Fn(&str) -> bool,
        rules: &Rules<'_>,
        now: Timestamp,
    ) -> Outcome {
        let mut by_path: BTreeMap<String, Vec<Drift>> = BTreeMap::new();
        for drift in drift {
            by_path.entry(drift.path.clone()).or_default().push(drift);
        }
        let mut outcome = Outcome::default();
        self.resolve(
            |path, other| other == aspect && compared(path) && !by_path.contains_key(path),
            now,
            &mut outcome.events,
        );
        for (path, drift) in by_path {
            let reaction = self.reaction(&path, rules, now);
            let Some(reaction) = reaction else {
                // Ignored from now on: what was told before is not known to have gone.
                self.drifted.remove(&(path.into(), aspect));
                continue;
            };
            if reaction == Reaction::Repair {
                outcome.repair.insert(path.clone());
            }
            let key = (path.clone().into_boxed_str(), aspect);
            let told = self.drifted.get(&key);
            let mismatches = mismatches(&drift, told, now);
            let new = Told { mismatches, reaction };
            if told == Some(&new) {
                continue;
            }
            let since = new.mismatches.iter().map(|mismatch| mismatch.since);
            let drift = drift
                .into_iter()
                .zip(since)
                .map(|(drift, since)| Since { drift, since })
                .collect();
            outcome.events.push(Event::Drift(Found {
                at: now,
                config: config.to_owned(),
                path,
                aspect,
                reaction,
                drift,
            }));
            self.drifted.insert(key, new);
        }
        outcome
    }

    /// Drops what a config says nothing of any more.
    pub(super) fn retain(&mut self, has: impl Fn(&str) -> bool, now: Timestamp, events: &mut Vec<Event>) {
        self.resolve(|path, aspect| aspect == Aspect::Path && !has(path), now, events);
    }

    /// Notes that paths are about to be repaired.
    pub(super) fn repaired(&mut self, paths: &BTreeSet<String>, now: Timestamp) {
        for path in paths {
            let repairs = self.repairs.entry(path.as_str().into()).or_default();
            // No more than the decision is made by.
            if repairs.len() == MAX_REPAIRS {
                repairs.remove(0);
            }
            repairs.push(now);
        }
    }

    fn resolve(&mut self, is_over: impl Fn(&str, Aspect) -> bool, now: Timestamp, events: &mut Vec<Event>) {
        self.drifted.retain(|(path, aspect), told| {
            if !is_over(path, *aspect) {
                return true;
            }
            let since = told.mismatches.iter().map(|mismatch| mismatch.since).min();
            events.push(Event::Resolved {
                at: now,
                path: path.to_string(),
                aspect: *aspect,
                since: since.unwrap_or(now),
            });
            false
        });
    }

    /// What follows drift at a path; `None` when it is to be ignored.
    fn reaction(&self, path: &str, rules: &Rules<'_>, now: Timestamp) -> Option<Reaction> {
        let repairs = self.repairs.get(path).map_or(&[][..], Vec::as_slice);
        match decide(rules.policy.for_path(path), repairs, now) {
            Decision::Ignore => None,
            Decision::Report => Some(Reaction::Reported),
            Decision::Repair if rules.can_repair => Some(Reaction::Repair),
            Decision::Repair => Some(Reaction::CannotRepair),
            Decision::Flapping { repairs, until } => Some(Reaction::Flapping { repairs, until }),
        }
    }
}

/// What was found, each since when the path was first seen to differ in this respect.
fn mismatches(drift: &[Drift], told: Option<&Told>, now: Timestamp) -> Vec<Mismatch> {
    let before = |kind: DriftKind| {
        told.and_then(|told| told.mismatches.iter().find(|other| other.kind == kind))
            .map(|other| other.since)
    };
    drift
        .iter()
        .map(|drift| Mismatch {
            kind: drift.kind,
            hash: hash(drift),
            since: before(drift.kind).unwrap_or(now),
        })
        .collect()
}

fn hash(drift: &Drift) -> u64 {
    let mut hasher = DefaultHasher::new();
    let text = serde_json::to_vec(drift).expect("all keys of a drift are strings");
    hasher.write(&text);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use machineconfig::drift::policy::{Entry, Reaction as Wish};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn drift(path: &str, kind: DriftKind, found: &str) -> Drift {
        Drift {
            path: path.to_owned(),
            unit: None,
            kind,
            code: kind.code(),
            expected: "x".to_owned(),
            found: found.to_owned(),
            diff: None,
            machine_config: None,
            remedy: String::new(),
            beyond_reference: false,
        }
    }

    fn policy() -> DriftPolicy {
        let entry = |path: &str, policy| Entry {
            path: path.to_owned(),
            policy,
        };
        DriftPolicy {
            default: Wish::Report,
            paths: vec![entry("/repair", Wish::Repair), entry("/ignore", Wish::Ignore)],
        }
    }

    fn update(known: &mut Known, drift: Vec<Drift>, second: i64) -> Outcome {
        let policy = policy();
        let rules = Rules {
            policy: &policy,
            can_repair: true,
        };
        known.update("c", Aspect::Path, drift, |_| true, &rules, at(second))
    }

    #[test]
    fn the_same_is_told_once_and_each_kind_has_its_since() {
        let mut known = Known::default();
        let mode = drift("/a", DriftKind::Mode, "0666");
        let first = update(&mut known, vec![mode.clone()], 10);
        assert!(matches!(&first.events[..], [Event::Drift(found)] if found.drift[0].since == at(10)));
        assert_eq!(update(&mut known, vec![mode.clone()], 11).events, []);
        let both = vec![mode, drift("/a", DriftKind::Content, "y")];
        let second = update(&mut known, both, 12);
        let [Event::Drift(found)] = &second.events[..] else {
            panic!("{second:?}")
        };
        let since: Vec<_> = found.drift.iter().map(|drift| drift.since).collect();
        assert_eq!(since, [at(10), at(12)]);
        let third = update(&mut known, vec![], 13);
        assert!(
            matches!(&third.events[..], [Event::Resolved { path, since, .. }] if path == "/a" && *since == at(10))
        );
        assert_eq!(update(&mut known, vec![], 14).events, []);
    }

    #[test]
    fn only_what_was_compared_is_resolved() {
        let mut known = Known::default();
        update(&mut known, vec![drift("/a", DriftKind::Mode, "0666")], 1);
        let policy = DriftPolicy::default();
        let rules = Rules {
            policy: &policy,
            can_repair: false,
        };
        let other = known.update("c", Aspect::Path, vec![], |path| path == "/b", &rules, at(2));
        assert_eq!(other.events, []);
        let unit = known.update("c", Aspect::Unit, vec![], |_| true, &rules, at(2));
        assert_eq!(unit.events, [], "the other aspect");
        assert_eq!(known.drifted(), 1);
        let mut events = Vec::new();
        known.retain(|path| path == "/b", at(3), &mut events);
        assert!(matches!(&events[..], [Event::Resolved { .. }]));
    }

    #[test]
    fn what_is_ignored_is_not_told() {
        let mut known = Known::default();
        let outcome = update(&mut known, vec![drift("/ignore/x", DriftKind::Mode, "0666")], 1);
        assert!(outcome.events.is_empty() && outcome.repair.is_empty() && known.drifted() == 0);
    }

    #[test]
    fn what_somebody_keeps_changing_back_is_repaired_three_times_and_then_told() {
        let mut known = Known::default();
        let bad = || vec![drift("/repair", DriftKind::Content, "y")];
        for second in [1, 3, 5] {
            let outcome = update(&mut known, bad(), second);
            assert_eq!(outcome.repair, ["/repair".to_owned()].into());
            known.repaired(&outcome.repair, at(second));
            update(&mut known, vec![], second + 1);
        }
        let outcome = update(&mut known, bad(), 7);
        assert!(outcome.repair.is_empty());
        let flapping = Reaction::Flapping {
            repairs: 3,
            until: at(601),
        };
        assert!(matches!(&outcome.events[..], [Event::Drift(found)] if found.reaction == flapping));
        assert_eq!(
            update(&mut known, bad(), 601).repair,
            ["/repair".to_owned()].into()
        );
    }

    #[test]
    fn without_anything_that_repairs_it_is_said_so() {
        let (mut known, policy) = (Known::default(), policy());
        let rules = Rules {
            policy: &policy,
            can_repair: false,
        };
        let bad = vec![drift("/repair", DriftKind::Content, "y")];
        let outcome = known.update("c", Aspect::Path, bad, |_| true, &rules, at(1));
        assert!(outcome.repair.is_empty());
        assert!(
            matches!(&outcome.events[..], [Event::Drift(found)] if found.reaction == Reaction::CannotRepair)
        );
    }
}
