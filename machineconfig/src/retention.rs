//! Which rendered configs may go: those that nobody refers to, oldest first, except for the last few of each pool.

use std::collections::BTreeSet;

use crds::{MachineConfigNode, MachineConfigPool, annotations};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;

use crate::rollout::Reservations;

/// Annotations of a node whose value is the name of a rendered config.
const NAMES: [&str; 3] = [
    annotations::CURRENT_CONFIG,
    annotations::DESIRED_CONFIG,
    annotations::FIRST_PIVOT_CONFIG,
];
/// Annotations of a node whose value ends in the name of a rendered config, after a verb and a dash.
const REQUESTS: [&str; 2] = [annotations::DESIRED_DRAIN, annotations::LAST_APPLIED_DRAIN];

/// A rendered config that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<'a> {
    /// Its name.
    pub name: &'a str,
    /// When it was made.
    pub created: Option<Timestamp>,
}

/// The names of all rendered configs that somebody refers to: pools by spec, status and reservations, nodes by their annotations, and
/// MachineConfigNodes by spec and status.
#[must_use]
pub fn referenced<'a>(
    pools: impl IntoIterator<Item = &'a MachineConfigPool>,
    nodes: impl IntoIterator<Item = &'a Node>,
    reports: impl IntoIterator<Item = &'a MachineConfigNode>,
) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut add = |name: &str| {
        if !name.is_empty() {
            names.insert(name.to_owned());
        }
    };
    for pool in pools {
        add(&pool.spec.configuration.name);
        if let Some(status) = &pool.status {
            add(&status.configuration.name);
        }
        let reserved = Reservations::of(pool).unwrap_or_default();
        reserved
            .iter()
            .for_each(|(_, reservation)| add(&reservation.target));
    }
    for node in nodes {
        let annotations = node.metadata.annotations.as_ref();
        let said = |key: &str| annotations.and_then(|all| all.get(key)).map(String::as_str);
        NAMES.into_iter().filter_map(said).for_each(&mut add);
        let of_request = |text: &'a str| text.split_once('-').map_or("", |(_, name)| name);
        REQUESTS
            .into_iter()
            .filter_map(said)
            .map(of_request)
            .for_each(&mut add);
    }
    for report in reports {
        add(&report.spec.config_version.desired);
        if let Some(version) = report
            .status
            .as_ref()
            .and_then(|status| status.config_version.as_ref())
        {
            add(&version.current);
            add(&version.desired);
        }
    }
    names
}

/// The rendered configs of one pool that are to be deleted, oldest first: the newest `keep` of them stay, and those that are
/// `referenced`. One whose age is not known stays.
#[must_use]
pub fn surplus<'a>(stored: &[Stored<'a>], referenced: &BTreeSet<String>, keep: usize) -> Vec<&'a str> {
    let by_age: BTreeSet<_> = stored
        .iter()
        .filter_map(|config| Some((config.created?, config.name)))
        .collect();
    let old = by_age.len().saturating_sub(keep);
    let names = by_age.into_iter().take(old).map(|(_, name)| name);
    names.filter(|name| !referenced.contains(*name)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn stored<'a>(names: &'a [&'a str]) -> Vec<Stored<'a>> {
        let age = |index: usize| Timestamp::from_second(i64::try_from(index).unwrap()).ok();
        let one = |(index, name): (usize, &&'a str)| Stored {
            name,
            created: age(index),
        };
        names.iter().enumerate().map(one).collect()
    }

    #[test]
    fn the_oldest_that_nobody_refers_to_go_first_and_the_last_few_stay() {
        let names = ["a", "b", "c", "d", "e"];
        let all = stored(&names);
        let used = BTreeSet::from(["b".to_owned()]);
        assert_eq!(surplus(&all, &used, 2), ["a", "c"]);
        assert_eq!(surplus(&all, &used, 0), ["a", "c", "d", "e"]);
        assert_eq!(surplus(&all, &used, 9), [""; 0]);
        let unknown = [Stored {
            name: "x",
            created: None,
        }];
        assert_eq!(surplus(&unknown, &BTreeSet::new(), 0), [""; 0]);
    }

    #[test]
    fn everybody_who_refers_to_a_config_is_heard() {
        let pool: MachineConfigPool = serde_json::from_value(json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool",
            "metadata": {"name": "p", "annotations": {annotations::RESERVATIONS:
                r#"[{"id":"p/1","target":"reserved","since":"2026-01-01T00:00:00Z","nodes":["n"]}]"#}},
            "spec": {"configuration": {"name": "wanted"}},
            "status": {"configuration": {"name": "had"}, "conditions": []},
        }))
        .unwrap();
        let node: Node = serde_json::from_value(json!({"metadata": {"name": "n", "annotations": {
            annotations::CURRENT_CONFIG: "current", annotations::DESIRED_CONFIG: "desired",
            annotations::FIRST_PIVOT_CONFIG: "first", annotations::DESIRED_DRAIN: "uncordon-undrained",
            annotations::LAST_APPLIED_DRAIN: "drain-drained",
        }}}))
        .unwrap();
        let report: MachineConfigNode = serde_json::from_value(json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigNode", "metadata": {"name": "n"},
            "spec": {"node": {"name": "n"}, "pool": {"name": "p"}, "configVersion": {"desired": "told"}},
            "status": {"configVersion": {"current": "was", "desired": "begun"}},
        }))
        .unwrap();
        let found: Vec<_> = referenced([&pool], [&node], [&report]).into_iter().collect();
        let mut expected = [
            "wanted",
            "had",
            "reserved",
            "current",
            "desired",
            "first",
            "undrained",
            "drained",
            "told",
            "was",
            "begun",
        ];
        expected.sort_unstable();
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn nothing_that_is_referred_to_or_new_ever_goes(
            names in prop::collection::btree_set("[a-h]", 0..8),
            used in prop::collection::btree_set("[a-h]", 0..8),
            keep in 0_usize..8,
        ) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let all = stored(&names);
            let gone = surplus(&all, &used, keep);
            prop_assert!(gone.iter().all(|name| !used.contains(*name)));
            let newest = &names[names.len().saturating_sub(keep)..];
            prop_assert!(gone.iter().all(|name| !newest.contains(name)));
            let rest = names.len() - gone.len();
            prop_assert!(rest <= keep + used.len());
        }
    }
}
