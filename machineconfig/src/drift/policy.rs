//! What follows when drift is found: per path, and given up on where somebody else keeps changing a path back.
//!
//! Entry points: [`DriftPolicy::for_path`], [`decide`].

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::policy::{clean, is_above};
use crate::{Code, Finding};

/// Repairs of one path after which it is left alone.
pub const MAX_REPAIRS: usize = 3;
/// Within this time. Who undoes a repair three times in it is a program, or a person who means it.
pub const REPAIRS_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// What to do about drift.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reaction {
    /// Say so.
    #[default]
    Report,
    /// Say so, and apply the config again at this path.
    Repair,
    /// Nothing.
    Ignore,
}

/// What to do about drift, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DriftPolicy {
    /// For paths that no entry is for.
    #[serde(default)]
    pub default: Reaction,
    /// The longest that matches counts.
    #[serde(default)]
    pub paths: Vec<Entry>,
}

/// For one path and everything below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// A file or a directory.
    pub path: String,
    /// What to do.
    pub policy: Reaction,
}

/// What to do about drift now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Ignore,
    /// Say so.
    Report,
    /// Say so, and repair.
    Repair,
    /// Say so, and that it is not repaired any more: it has been too often.
    Flapping {
        /// Repairs within [`REPAIRS_WITHIN`].
        repairs: usize,
        /// When one would be made again.
        until: Timestamp,
    },
}

// === impl DriftPolicy ===

impl DriftPolicy {
    /// What to do about drift at `path`: what the longest entry says that is the path itself or a directory above it, as in a
    /// disruption policy.
    #[must_use]
    pub fn for_path(&self, path: &str) -> Reaction {
        let cleaned = clean(path);
        let mut best: Option<&Entry> = None;
        for entry in &self.paths {
            let longer = best.is_none_or(|best| entry.path.len() > best.path.len());
            if longer && (entry.path == path || is_above(&entry.path, &cleaned)) {
                best = Some(entry);
            }
        }
        best.map_or(self.default, |entry| entry.policy)
    }

    /// Entries that could never match, or are not in their shortest form, or are there twice.
    #[must_use]
    pub fn check(&self) -> Vec<Finding> {
        let mut seen = BTreeSet::new();
        let mut findings = Vec::new();
        for (i, entry) in self.paths.iter().enumerate() {
            let path = entry.path.as_str();
            let (code, message) = if !path.starts_with('/') || clean(path) == "/" {
                (Code::POLICY_PATH, format!("{path:?} can match no path"))
            } else if clean(path) != path {
                let shortest = clean(path);
                (
                    Code::POLICY_PATH_UNCLEAN,
                    format!("{path} is {shortest} in its shortest form"),
                )
            } else if seen.insert(path) {
                continue;
            } else {
                (
                    Code::POLICY_DUPLICATE,
                    format!("there is an entry for {path} already"),
                )
            };
            findings.push(Finding::error(code, "", format!("paths[{i}].path"), message));
        }
        findings
    }
}

/// What to do about drift at a path, whose earlier repairs are `repairs`, oldest first.
#[must_use]
pub fn decide(reaction: Reaction, repairs: &[Timestamp], now: Timestamp) -> Decision {
    match reaction {
        Reaction::Ignore => Decision::Ignore,
        Reaction::Report => Decision::Report,
        Reaction::Repair => {
            // A clock that was set back makes repairs of the future, which count.
            let recent: Vec<_> = repairs
                .iter()
                .filter(|at| now.duration_since(**at) < REPAIRS_WITHIN)
                .collect();
            match recent.len().checked_sub(MAX_REPAIRS) {
                None => Decision::Repair,
                Some(first) => Decision::Flapping {
                    repairs: recent.len(),
                    until: recent[first]
                        .saturating_add(REPAIRS_WITHIN)
                        .unwrap_or(Timestamp::MAX),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(entries: &[(&str, Reaction)]) -> DriftPolicy {
        let entry = |(path, policy): &(&str, Reaction)| Entry {
            path: (*path).to_owned(),
            policy: *policy,
        };
        DriftPolicy {
            default: Reaction::Report,
            paths: entries.iter().map(entry).collect(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_longest_entry_counts_and_only_whole_names_match() {
        let policy = policy(&[
            ("/etc", Reaction::Ignore),
            ("/etc/app/main.conf", Reaction::Report),
            ("/etc/app", Reaction::Repair),
        ]);
        for (path, reaction) in [
            ("/etc/app/main.conf", Reaction::Report),
            ("/etc/app/other.conf", Reaction::Repair),
            ("/etc/app", Reaction::Repair),
            ("/etc/application", Reaction::Ignore),
            ("/etcetera", Reaction::Report),
            ("/usr/x", Reaction::Report),
        ] {
            assert_eq!(policy.for_path(path), reaction, "{path}");
        }
        assert_eq!(DriftPolicy::default().for_path("/etc/x"), Reaction::Report);
    }

    #[test]
    fn entries_that_mislead_are_refused() {
        let report = Reaction::Report;
        let codes = |entries: &[(&str, Reaction)]| -> Vec<Code> {
            policy(entries)
                .check()
                .into_iter()
                .map(|finding| finding.code)
                .collect()
        };
        assert_eq!(codes(&[("/a", report), ("/a/b", report)]), []);
        assert_eq!(
            codes(&[("a", report), ("/", report), ("", report)]),
            [Code::POLICY_PATH; 3]
        );
        assert_eq!(
            codes(&[("/a/", report), ("/a/../b", report)]),
            [Code::POLICY_PATH_UNCLEAN; 2]
        );
        assert_eq!(
            codes(&[("/a", report), ("/a", Reaction::Ignore)]),
            [Code::POLICY_DUPLICATE]
        );
    }

    #[test]
    fn the_third_repair_in_ten_minutes_is_the_last() {
        let decide = |repairs: &[i64], now: i64| {
            let repairs: Vec<_> = repairs.iter().map(|second| at(*second)).collect();
            super::decide(Reaction::Repair, &repairs, at(now))
        };
        assert_eq!(decide(&[], 1000), Decision::Repair);
        assert_eq!(decide(&[1000, 1001], 1002), Decision::Repair);
        let flapping = |repairs, until| Decision::Flapping {
            repairs,
            until: at(until),
        };
        assert_eq!(decide(&[1000, 1001, 1002], 1003), flapping(3, 1600));
        assert_eq!(decide(&[1000, 1001, 1002], 1599), flapping(3, 1600));
        assert_eq!(decide(&[1000, 1001, 1002], 1600), Decision::Repair);
        assert_eq!(decide(&[900, 1000, 1001, 1002], 1003), flapping(4, 1600));
        assert_eq!(
            decide(&[1000, 1001, 1002], 10),
            flapping(3, 1600),
            "a clock set back"
        );
    }

    #[test]
    fn report_and_ignore_have_no_history() {
        let repairs = [at(1), at(2), at(3)];
        assert_eq!(decide(Reaction::Report, &repairs, at(4)), Decision::Report);
        assert_eq!(decide(Reaction::Ignore, &repairs, at(4)), Decision::Ignore);
    }

    #[test]
    fn it_is_written_as_documented() {
        let policy: DriftPolicy =
            serde_json::from_str(r#"{"default":"Ignore","paths":[{"path":"/etc/app","policy":"Repair"}]}"#)
                .unwrap();
        assert_eq!(policy.default, Reaction::Ignore);
        assert_eq!(policy.for_path("/etc/app/x"), Reaction::Repair);
        assert!(serde_json::from_str::<DriftPolicy>(r#"{"path":[]}"#).is_err());
    }
}
