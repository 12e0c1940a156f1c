//! The order of nodes: by zone, then by age.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use e2e::cluster::NodeSpec;

use crate::scene::{Scene, condition, file, text};
use crate::watched::{Watch, most_away, turns};
use crate::world::{Room, World};

/// What says in which zone a node is.
const ZONE: &str = "topology.kubernetes.io/zone";

/// The nodes and their zones. The last one is made when the others are there. So the order by zone and age is none of those that come
/// about by name, by age alone, or by zone and name.
const NODES: [(&str, Option<&str>); 4] = [
    ("zones-1", None),
    ("zones-3", Some("a")),
    ("zones-4", Some("b")),
    ("zones-2", Some("a")),
];

/// That order: nodes without zone go last.
const EXPECTED: [&str; 4] = ["zones-3", "zones-2", "zones-4", "zones-1"];

/// The nodes, which go with the value.
struct Made<'w> {
    world: &'w World,
    _room: Room<'w>,
}

/// Scenario 6: zone by zone, in each the oldest node first.
pub(crate) fn nodes_go_by_zone_and_then_by_age(world: &World) -> Result<()> {
    Scene::begin(world, "zones", 0)?.play(|scene| {
        let made = Made::in_zones(world)?;
        let outcome = in_order(scene);
        // The bundle of the scene comes after the end of these nodes.
        let outcome = world.cluster().judged("zones-nodes", outcome);
        drop(made);
        outcome
    })
}

fn in_order(scene: &Scene<'_>) -> Result<()> {
    let ages: BTreeMap<&str, String> = NODES
        .iter()
        .map(|(name, _)| {
            let node = scene.node(name)?;
            Ok((*name, text(&node["metadata"]["creationTimestamp"]).to_owned()))
        })
        .collect::<Result<_>>()?;
    ensure!(
        ages["zones-3"] < ages["zones-2"],
        "the nodes of zone a are not of different age: {ages:?}"
    );
    let before = wait_updated(scene, "")?;
    let label = "node-role.kubernetes.io%2Fzones";
    let nodes = Watch::begin(
        scene.world().api(),
        &format!("/api/v1/nodes?labelSelector={label}"),
    )?;
    scene.apply_config("drain", &file("/etc/policy/drain", "zones"))?;
    wait_updated(scene, &before)?;
    let nodes = nodes.end()?;
    ensure!(
        turns(&nodes) == EXPECTED,
        "the turns were {:?}, with these ages: {ages:?}",
        turns(&nodes)
    );
    ensure!(
        most_away(&nodes) == 1,
        "{} nodes were away at once",
        most_away(&nodes)
    );
    Ok(())
}

/// Waits until all nodes have another config than `before`. The result is that.
fn wait_updated(scene: &Scene<'_>, before: &str) -> Result<String> {
    scene.wait("its four nodes to be updated", || {
        let pool = scene.pool()?;
        let (target, status) = (&pool["spec"]["configuration"]["name"], &pool["status"]);
        let counts = ["machineCount", "updatedMachineCount", "readyMachineCount"];
        let all = counts.iter().all(|count| status[*count] == NODES.len());
        let updated = *target == status["configuration"]["name"] && condition(&pool, "Updated") == "True";
        Ok((all && updated && text(target) != before).then(|| text(target).to_owned()))
    })
}

impl<'w> Made<'w> {
    fn in_zones(world: &'w World) -> Result<Self> {
        let made = Self {
            world,
            _room: world.room(NODES.len()),
        };
        let specs = NODES.map(|(name, zone)| NodeSpec {
            name: name.to_owned(),
            labels: labels(zone),
        });
        let (older, younger) = specs.split_at(NODES.len() - 1);
        world.add_nodes(older)?;
        world.add_nodes(younger)?;
        Ok(made)
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        let names: Vec<String> = NODES.iter().map(|(name, _)| (*name).to_owned()).collect();
        self.world.remove_nodes(&names);
    }
}

fn labels(zone: Option<&str>) -> BTreeMap<String, String> {
    let roles = ["worker", "zones"].map(|role| (format!("node-role.kubernetes.io/{role}"), String::new()));
    let zone = zone.map(|zone| (ZONE.to_owned(), zone.to_owned()));
    roles.into_iter().chain(zone).collect()
}
