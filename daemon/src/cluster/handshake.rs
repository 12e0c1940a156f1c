//! What a node's annotations say: the handshake between controller and daemon (MCO daemon 2.1).

use std::collections::BTreeMap;

use crds::annotations as keys;
use machineconfig::pool::State;

/// Longest reason that is written, in characters, as the reference cuts it (MCO daemon 2.1).
const REASON: usize = 2000;
/// What a request for a drain begins with.
const DRAIN: &str = "drain-";
/// What a request for the end of a drain begins with.
const UNCORDON: &str = "uncordon-";
/// The topology in which a node is never drained: there is no other one for its pods (MCO daemon 5.1).
const SINGLE_REPLICA: &str = "SingleReplica";

/// The annotations that count, by what they mean.
const READ: [&str; 10] = [
    keys::CURRENT_CONFIG,
    keys::DESIRED_CONFIG,
    keys::STATE,
    keys::REASON,
    keys::DESIRED_DRAIN,
    keys::LAST_APPLIED_DRAIN,
    keys::CONTROL_PLANE_TOPOLOGY,
    keys::LAST_SYNCED_CONTROLLER_CONFIG,
    keys::POST_CONFIG_ACTION,
    keys::AWAITS_CONFIG,
];

/// What a node says, as it was seen last. Only annotations of the handshake are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Handshake(BTreeMap<String, String>);

/// How far a drain for a config is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drained {
    /// The node is drained, or never is.
    Yes,
    /// It was asked for and not answered yet.
    Asked,
    /// Nobody has asked for it.
    No,
}

// === impl Handshake ===

impl Handshake {
    /// Of a node's annotations.
    pub(crate) fn of(annotations: &BTreeMap<String, String>) -> Self {
        let read = annotations.iter().filter(|(key, _)| READ.contains(&key.as_str()));
        Self(read.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// As it is kept on disk.
    pub(crate) fn annotations(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// The text of one of its annotations; empty when it has none.
    pub(crate) fn said(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    /// The config that the node has, by its own word; empty when it says none.
    pub(crate) fn current(&self) -> &str {
        self.said(keys::CURRENT_CONFIG)
    }

    /// The config that it is to have; empty when nobody said.
    pub(crate) fn desired(&self) -> &str {
        self.said(keys::DESIRED_CONFIG)
    }

    /// Whether it says that it has no config and waits for one.
    pub(crate) fn awaits(&self) -> bool {
        self.0.contains_key(keys::AWAITS_CONFIG)
    }

    /// What it says it is doing.
    pub(crate) fn state(&self) -> State {
        State::of(self.said(keys::STATE))
    }

    /// Why it is degraded.
    pub(crate) fn reason(&self) -> &str {
        self.said(keys::REASON)
    }

    /// The version of the ControllerConfig whose certificates it has.
    pub(crate) fn synced(&self) -> &str {
        self.said(keys::LAST_SYNCED_CONTROLLER_CONFIG)
    }

    /// How far its drain for `config` is. An answer counts only as long as nothing else has been asked for since.
    pub(crate) fn drained(&self, config: &str) -> Drained {
        if self.said(keys::CONTROL_PLANE_TOPOLOGY) == SINGLE_REPLICA {
            return Drained::Yes;
        }
        let asked = self.said(keys::DESIRED_DRAIN);
        if asked != drain(config) {
            Drained::No
        } else if self.said(keys::LAST_APPLIED_DRAIN) == asked {
            Drained::Yes
        } else {
            Drained::Asked
        }
    }

    /// Whether a drain was asked for, answered or not, and its end was not.
    pub(crate) fn is_away(&self) -> bool {
        self.said(keys::DESIRED_DRAIN).starts_with(DRAIN)
    }

    /// Whether it says exactly that already.
    pub(crate) fn says(&self, state: State, reason: &str) -> bool {
        self.state() == state && self.reason() == reason
    }
}

/// A request for a drain (MCO daemon 5.2).
pub(crate) fn drain(config: &str) -> String {
    format!("{DRAIN}{config}")
}

/// A request for its end (MCO daemon 5.3).
pub(crate) fn uncordon(config: &str) -> String {
    format!("{UNCORDON}{config}")
}

/// A reason as it is written.
pub(crate) fn bounded(reason: &str) -> String {
    reason.chars().take(REASON).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a node says: config, desired config, state, reason, drain asked for, drain answered.
    pub(crate) fn handshake(said: [&str; 6]) -> Handshake {
        let annotations = READ
            .into_iter()
            .zip(said)
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        Handshake(annotations.collect())
    }

    impl Handshake {
        /// The same, and says that it waits for a config.
        pub(crate) fn awaiting(mut self) -> Self {
            self.0.insert(keys::AWAITS_CONFIG.to_owned(), String::new());
            self
        }
    }

    #[test]
    fn a_drain_counts_when_it_was_answered_and_nothing_else_asked_for() {
        for (asked, answered, expected) in [
            ("", "", Drained::No),
            ("drain-a", "", Drained::No),
            ("drain-b", "", Drained::Asked),
            ("drain-b", "drain-a", Drained::Asked),
            ("drain-b", "drain-b", Drained::Yes),
            ("uncordon-a", "drain-b", Drained::No),
            ("uncordon-b", "uncordon-b", Drained::No),
        ] {
            let node = handshake(["a", "b", "Working", "", asked, answered]);
            assert_eq!(node.drained("b"), expected, "{asked} {answered}");
        }
        let mut only = handshake(["a", "b", "Working", "", "", ""]);
        let topology = (keys::CONTROL_PLANE_TOPOLOGY.to_owned(), SINGLE_REPLICA.to_owned());
        only.0.extend([topology]);
        assert_eq!(only.drained("b"), Drained::Yes);
    }

    #[test]
    fn other_annotations_are_not_kept_and_reasons_are_bounded() {
        let all = BTreeMap::from([
            (keys::STATE.to_owned(), "Done".to_owned()),
            ("example.com/secret".to_owned(), "x".to_owned()),
        ]);
        assert_eq!(Handshake::of(&all).annotations().len(), 1);
        let long = "ä".repeat(REASON + 1);
        assert_eq!(bounded(&long).chars().count(), REASON);
        assert_eq!(bounded("short"), "short");
    }
}
