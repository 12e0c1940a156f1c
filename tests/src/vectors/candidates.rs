//! Family `candidates`: which pool a node is in, which nodes get a config next, what is written to them, and the pool's status.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use crds::{MachineConfigNode, MachineConfigPool, annotations};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machineconfig::pool::{self, Counting, NodeView, Pools};
use machineconfig::rollout::{self, Around, Decision, NodePatch, Peer, Step};
use serde::Deserialize;
use serde_json::{Value, json};

use super::cases::Case;
use super::checks::Checks;
use super::deviations::Rule;

mod status;

/// The topology in which the reference leads arbiters along with the masters.
const WITH_ARBITERS: &str = "HighlyAvailableArbiter";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    pool: String,
    pools: Vec<Value>,
    nodes: Vec<Node>,
    #[serde(default)]
    machine_config_nodes: Vec<Value>,
    #[serde(default)]
    machine_configs: Vec<Owned>,
    operator_pod_on_node: Option<String>,
    control_plane_topology: Option<String>,
    #[serde(default)]
    feature_image_mode_status_reporting: bool,
}

/// A rendered config, of which only the owner matters.
#[derive(Deserialize)]
struct Owned {
    metadata: ObjectMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Expect {
    members: Vec<String>,
    #[serde(default)]
    membership_errors: BTreeMap<String, String>,
    max_unavailable: Option<usize>,
    max_unavailable_error: Option<String>,
    unavailable: Vec<String>,
    candidates: Vec<String>,
    capacity: isize,
    targeted: Vec<String>,
    targeted_in_order: Option<Vec<String>>,
    nodes_changed: BTreeMap<String, Value>,
    pool_events: Vec<String>,
    sync_error: Option<String>,
    status: BTreeMap<String, Value>,
    status_conditions: Vec<status::Expected>,
}

/// A cluster, and one round of the rollout in it.
struct Cluster {
    input: Input,
    pools: Vec<MachineConfigPool>,
    reports: Vec<MachineConfigNode>,
}

/// Compares one case of `candidates`.
pub(super) fn compare(case: &Case, checks: &mut Checks<'_>) -> Result<()> {
    let cluster = Cluster::new(case.input()?)?;
    let expect: Expect = case.expect()?;
    let own = cluster.pool(&cluster.input.pool)?;
    membership(&cluster, &expect, checks);
    limits(&cluster, own, &expect, checks);
    let mut rounds = vec![cluster.decide(own)];
    if cluster.input.pool == "master"
        && cluster.input.control_plane_topology.as_deref() == Some(WITH_ARBITERS)
    {
        rounds.push(cluster.decide(cluster.pool("arbiter")?));
    }
    choice(&rounds[0], &expect, checks);
    let lone_arbiters = cluster.input.pool == "arbiter"
        && cluster.input.control_plane_topology.as_deref() != Some(WITH_ARBITERS);
    if lone_arbiters && checks.deviates(Rule::ArbiterWithoutTopology) {
        if rounds[0].grants().len() != 1 {
            checks.differs("arbiters are not led to their config one at a time");
        }
    } else {
        targets(&rounds, &expect, checks);
        changes(&cluster, &rounds, &expect, checks);
        events(&cluster, own, &rounds, &expect, checks);
    }
    status::compare(&cluster, own, &expect, checks);
    Ok(())
}

impl Cluster {
    fn new(input: Input) -> Result<Self> {
        let pools = input.pools.iter().map(|value| typed(value, "MachineConfigPool"));
        let reports = input
            .machine_config_nodes
            .iter()
            .map(|value| typed(value, "MachineConfigNode"));
        Ok(Self {
            pools: pools.collect::<Result<_>>()?,
            reports: reports.collect::<Result<_>>()?,
            input,
        })
    }

    fn pool(&self, name: &str) -> Result<&MachineConfigPool> {
        let named = |pool: &&MachineConfigPool| pool.metadata.name.as_deref() == Some(name);
        self.pools
            .iter()
            .find(named)
            .with_context(|| format!("no pool {name}"))
    }

    fn members(&self, pool: &MachineConfigPool) -> Vec<&Node> {
        let name = pool.metadata.name.as_deref().unwrap_or_default();
        Pools::new(&self.pools).members(name, &self.input.nodes)
    }

    fn decide(&self, pool: &MachineConfigPool) -> Decision {
        let all = Pools::new(&self.pools);
        let members = self.members(pool);
        let is_peer = |node: &&Node| NodeView::of(node).control_plane && !members.contains(node);
        let peer = |node| Peer {
            node,
            pool: pool::membership(node, &all)
                .ok()
                .flatten()
                .map(|found| found.pool),
        };
        let started = |node: &&'_ Node| pool::started_for(node, |config| self.owner(config));
        let adopt = members.iter().filter_map(|node| {
            let labels = pool::labels_of(started(node)?);
            Some((node.metadata.name.as_deref()?, labels))
        });
        let around = Around {
            peers: self.input.nodes.iter().filter(is_peer).map(peer).collect(),
            leader: self.input.operator_pod_on_node.as_deref(),
            topology: self.input.control_plane_topology.as_deref(),
            adopt: adopt.collect(),
        };
        rollout::next(pool, &members, &around, Timestamp::UNIX_EPOCH)
    }

    /// The pool that a rendered config belongs to.
    fn owner(&self, config: &str) -> Option<&MachineConfigPool> {
        let mut configs = self.input.machine_configs.iter();
        let config = configs.find(|owned| owned.metadata.name.as_deref() == Some(config))?;
        let owner = config.metadata.owner_references.as_ref()?.first()?;
        self.pool(&owner.name).ok()
    }
}

/// An object whose type is told by where it stands.
fn typed<T: serde::de::DeserializeOwned>(value: &Value, kind: &str) -> Result<T> {
    let mut value = value.clone();
    let Some(object) = value.as_object_mut() else {
        bail!("a {kind} is no object");
    };
    object.insert("apiVersion".into(), json!("machineconfiguration.openshift.io/v1"));
    object.insert("kind".into(), json!(kind));
    serde_json::from_value(value).with_context(|| format!("a {kind} is malformed"))
}

fn names(nodes: &[&Node]) -> Vec<String> {
    let name = |node: &&Node| node.metadata.name.clone().unwrap_or_default();
    nodes.iter().map(name).collect()
}

fn membership(cluster: &Cluster, expect: &Expect, checks: &mut Checks<'_>) {
    if let Ok(own) = cluster.pool(&cluster.input.pool) {
        checks.equal("members", &expect.members, &names(&cluster.members(own)));
    }
    let pools = Pools::new(&cluster.pools);
    let mut refused = BTreeSet::new();
    for node in &cluster.input.nodes {
        let name = node.metadata.name.clone().unwrap_or_default();
        if let Err(finding) = pool::membership(node, &pools) {
            if !finding.object.ends_with(&format!("/{name}")) {
                checks.differs(format!("our message does not name node {name}: {finding}"));
            }
            refused.insert(name);
        }
    }
    let expected = expect.membership_errors.keys().cloned().collect();
    checks.equal::<BTreeSet<String>>("nodes of several pools", &expected, &refused);
}

fn limits(cluster: &Cluster, own: &MachineConfigPool, expect: &Expect, checks: &mut Checks<'_>) {
    let ours = pool::limit(own, cluster.members(own).len());
    match (&expect.max_unavailable_error, &ours) {
        (Some(error), _) => {
            let message = ours.as_ref().err().map(ToString::to_string);
            checks.refused("maxUnavailable", error, message.as_deref());
        }
        (None, Ok(limit)) => checks.equal("maxUnavailable", &expect.max_unavailable, &Some(*limit)),
        (None, Err(finding)) => checks.differs(format!("maxUnavailable is refused: {finding}")),
    }
}

/// What the choice is made by. The reference computes nothing of it when maxUnavailable is malformed, and lists no candidates without capacity.
fn choice(decision: &Decision, expect: &Expect, checks: &mut Checks<'_>) {
    let refused = match &decision.step {
        Step::Refused(finding) => Some(finding.to_string()),
        Step::NotRendered
        | Step::Deleting
        | Step::Paused
        | Step::Nothing
        | Step::Waiting(_)
        | Step::Go(_) => None,
    };
    if let Some(error) = &expect.sync_error {
        return checks.refused("the rollout", error, refused.as_deref());
    }
    if let Some(message) = refused {
        return checks.differs(format!(
            "the rollout is refused, the reference makes it: {message}"
        ));
    }
    let tally = &decision.tally;
    checks.equal("unavailable nodes", &expect.unavailable, &tally.unavailable);
    checks.equal("capacity", &expect.capacity, &tally.free.max(0));
    if expect.capacity > 0 {
        checks.equal("candidates", &expect.candidates, &tally.candidates);
    }
}

fn targets(rounds: &[Decision], expect: &Expect, checks: &mut Checks<'_>) {
    let grants = rounds.iter().flat_map(Decision::grants);
    let ours: Vec<_> = grants.map(|grant| grant.node.clone()).collect();
    if let Some(order) = &expect.targeted_in_order {
        checks.equal("targeted, in order", order, &ours);
    }
    let mut sorted = ours;
    sorted.sort();
    checks.equal("targeted", &expect.targeted, &sorted);
}

fn changes(cluster: &Cluster, rounds: &[Decision], expect: &Expect, checks: &mut Checks<'_>) {
    let mut ours = BTreeMap::new();
    for decision in rounds {
        let Ok(pool) = cluster.pool(&decision.pool) else {
            continue;
        };
        for node in cluster.members(pool) {
            let view = NodeView::of(node);
            let told = !view.needs(&decision.target) && !view.is_done();
            let patch = rollout::node_patch(decision, node);
            let mut change = patch
                .as_ref()
                .map_or_else(BTreeMap::new, |patch| change(patch, node));
            let expected = expect.nodes_changed.get(view.name);
            let same_taint = |key: &str| expected.and_then(|value| value.get(key)) == change.get(key);
            let (added, removed) = ("updateInProgressTaintAdded", "updateInProgressTaintRemoved");
            if told && !(same_taint(added) && same_taint(removed)) && checks.deviates(Rule::TaintUntilDone) {
                let has_taint = patch.is_some_and(|patch| patch.taints.is_none_or(|t| t.iter().any(is_ours)));
                if !has_taint && !tainted(node) {
                    checks.differs(format!("{} is told and not done, and has no taint", view.name));
                }
                change.remove(added);
            }
            if !change.is_empty() {
                ours.insert(view.name.to_owned(), json!(change));
            }
        }
    }
    checks.equal("changes of nodes", &expect.nodes_changed, &ours);
}

fn is_ours(taint: &k8s_openapi::api::core::v1::Taint) -> bool {
    taint.key == annotations::UPDATE_IN_PROGRESS_TAINT
}

fn tainted(node: &Node) -> bool {
    let taints = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.as_deref())
        .unwrap_or_default();
    taints.iter().any(is_ours)
}

/// A patch in the words of the vectors. Annotations of our own are left out: the reference has none of them.
fn change(patch: &NodePatch, node: &Node) -> BTreeMap<&'static str, Value> {
    let mut change = BTreeMap::new();
    let mut others = BTreeMap::new();
    for (key, value) in &patch.annotations {
        match (*key, value) {
            (annotations::DESIRED_CONFIG, Some(target)) => {
                change.insert("desiredConfig", json!(target));
            }
            (annotations::DESIRED_IMAGE, None) => {
                change.insert("desiredImageRemoved", json!(true));
            }
            (key, _) if key.starts_with(annotations::OWN_PREFIX) => {}
            (key, value) => {
                others.insert(key, json!(value));
            }
        }
    }
    // A target that stays the same is no change.
    if change.get("desiredConfig").and_then(Value::as_str) == Some(NodeView::of(node).desired) {
        change.remove("desiredConfig");
    }
    if !others.is_empty() {
        change.insert("annotationsAdded", json!(others));
    }
    if !patch.labels.is_empty() {
        change.insert("labelsAdded", json!(patch.labels));
    }
    if let Some(taints) = &patch.taints {
        let key = match (tainted(node), taints.iter().any(is_ours)) {
            (false, true) => "updateInProgressTaintAdded",
            (true, false) => "updateInProgressTaintRemoved",
            (true, true) | (false, false) => "taintsChanged",
        };
        change.insert(key, json!(true));
    }
    change
}

/// Events: the same reasons, and ours name the nodes and configs that the reference's name.
fn events(
    cluster: &Cluster,
    own: &MachineConfigPool,
    rounds: &[Decision],
    expect: &Expect,
    checks: &mut Checks<'_>,
) {
    let mut ours: Vec<(String, String)> = rounds
        .iter()
        .flat_map(Decision::events)
        .map(|event| (event.reason.to_owned(), event.message))
        .collect();
    let after = status::of(cluster, own);
    if let Some(config) = pool::completed(own.status.as_ref(), &after) {
        ours.push(("Completed".to_owned(), format!("{} {config}", cluster.input.pool)));
    }
    ours.sort();
    let split = |event: &String| {
        let mut words = event.splitn(3, ' ').skip(1).map(str::to_owned);
        (words.next().unwrap_or_default(), words.next().unwrap_or_default())
    };
    let expected: Vec<_> = expect.pool_events.iter().map(split).collect();
    let reasons =
        |events: &[(String, String)]| events.iter().map(|event| event.0.clone()).collect::<Vec<_>>();
    checks.equal("reasons of events", &reasons(&expected), &reasons(&ours));
    for ((reason, theirs), (_, ours)) in expected.iter().zip(&ours) {
        status::names_the_same(cluster, &format!("event {reason}"), theirs, ours, checks);
    }
}
