//! The status of a pool: counts are equal, conditions say the same and name the same.

use std::collections::{BTreeMap, BTreeSet};

use crds::machine_config_pool::MachineConfigPoolStatus;
use crds::{MachineConfigNode, MachineConfigPool, annotations};
use serde_json::json;

use super::{Checks, Cluster, Counting, Deserialize, Expect, Rule, Timestamp, Value, pool};

/// A condition as the reference puts it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Expected {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    reason: String,
    message: String,
}

/// Our status of a pool.
pub(super) fn of(cluster: &Cluster, own: &MachineConfigPool) -> MachineConfigPoolStatus {
    let reports: Vec<_> = cluster.reports.iter().collect();
    let counting = if cluster.input.feature_image_mode_status_reporting {
        Counting::MachineConfigNodes
    } else {
        Counting::Annotations
    };
    pool::status(
        own,
        &cluster.members(own),
        &reports,
        counting,
        Timestamp::UNIX_EPOCH,
    )
}

pub(super) fn compare(cluster: &Cluster, own: &MachineConfigPool, expect: &Expect, checks: &mut Checks<'_>) {
    let ours = of(cluster, own);
    let mut counts = expect.status.clone();
    let mut conditions = expect.status_conditions.clone();
    by_type(cluster, &mut counts, &mut conditions, checks);
    let counted: BTreeMap<String, Value> = [
        ("configurationName", json!(ours.configuration.name)),
        ("degradedMachineCount", json!(ours.degraded_machine_count)),
        ("machineCount", json!(ours.machine_count)),
        ("observedGeneration", json!(ours.observed_generation)),
        ("readyMachineCount", json!(ours.ready_machine_count)),
        ("unavailableMachineCount", json!(ours.unavailable_machine_count)),
        ("updatedMachineCount", json!(ours.updated_machine_count)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    checks.equal("status", &counts, &counted);
    let known: Vec<_> = ours
        .conditions
        .iter()
        .filter(|condition| !condition.type_.starts_with(annotations::OWN_PREFIX))
        .collect();
    let told = |type_: &str, status: &str| (type_.to_owned(), status.to_owned());
    let expected: BTreeSet<_> = conditions.iter().map(|c| told(&c.type_, &c.status)).collect();
    let found: BTreeSet<_> = known.iter().map(|c| told(&c.type_, &c.status)).collect();
    checks.equal("conditions", &expected, &found);
    for expected in &conditions {
        let Some(ours) = known.iter().find(|ours| ours.type_ == expected.type_) else {
            continue;
        };
        let what = format!("condition {}", expected.type_);
        let miscounted = expected.type_ == "NodeDegraded"
            && expected.status == "True"
            && !expected
                .reason
                .starts_with(&format!("{} ", counted["degradedMachineCount"]));
        if miscounted && checks.deviates(Rule::DegradedByName) {
            let reason = expected
                .reason
                .replacen("0 ", &format!("{} ", counted["degradedMachineCount"]), 1);
            checks.equal(&what, &reason, &ours.reason);
        } else {
            checks.equal(&what, &expected.reason, &ours.reason);
        }
        if expected.status == "True" && expected.type_.ends_with("Degraded") && ours.message.is_empty() {
            checks.differs(format!("{what}: our message is empty"));
        }
        names_the_same(cluster, &what, &expected.message, &ours.message, checks);
    }
}

/// The reference takes the first condition that a MachineConfigNode has. Moves what it overlooks to where it belongs.
fn by_type(
    cluster: &Cluster,
    counts: &mut BTreeMap<String, Value>,
    conditions: &mut [Expected],
    checks: &mut Checks<'_>,
) {
    let overlooked = |report: &&MachineConfigNode| {
        let conditions = report.status.iter().flat_map(|status| &status.conditions);
        let holding = conditions.filter(|c| c.status == crds::condition::ConditionStatus::True);
        let types: Vec<_> = holding.map(|c| c.type_.as_str()).collect();
        let place = |type_| types.iter().position(|t| *t == type_);
        matches!((place("Updated"), place("NodeDegraded")), (Some(u), Some(d)) if u < d)
    };
    let overlooked = cluster.reports.iter().filter(overlooked).count();
    let counts_reports = cluster.input.feature_image_mode_status_reporting;
    if overlooked == 0 || !counts_reports || !checks.deviates(Rule::ConditionsByType) {
        return;
    }
    let mut shift = |key: &str, by: i64| {
        let value = counts.get(key).and_then(Value::as_i64).unwrap_or_default();
        counts.insert(key.to_owned(), json!(value + by));
    };
    let count = i64::try_from(overlooked).unwrap_or(i64::MAX);
    shift("updatedMachineCount", -count);
    shift("degradedMachineCount", count);
    for condition in conditions {
        if condition.type_ == "NodeDegraded" {
            condition.reason = format!("{count} nodes are reporting degraded status on sync");
        }
        if condition.type_.ends_with("Degraded") {
            "True".clone_into(&mut condition.status);
        }
    }
}

/// Texts are ours; nodes, configs and what nodes report must be in them where the reference has them.
pub(super) fn names_the_same(
    cluster: &Cluster,
    what: &str,
    theirs: &str,
    ours: &str,
    checks: &mut Checks<'_>,
) {
    let words = |text: &str| -> BTreeSet<String> {
        let split = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.'));
        split.map(|word| word.trim_matches('.').to_owned()).collect()
    };
    let is_name = |word: &String| {
        let node = cluster
            .input
            .nodes
            .iter()
            .any(|node| node.metadata.name.as_ref() == Some(word));
        node || word.starts_with("rendered-") || word.parse::<usize>().is_ok()
    };
    let quoted = theirs.split('"').skip(1).step_by(2).map(str::to_owned);
    for name in words(theirs).into_iter().filter(is_name).chain(quoted) {
        if !words(ours).contains(&name) && !ours.contains(&format!("{name:?}")) {
            checks.differs(format!(
                "{what}: our text does not name {name}\n  reference: {theirs}\n  ours:      {ours}"
            ));
        }
    }
}
