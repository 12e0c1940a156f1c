//! Which node is in which pool, kept as nodes and pools change: with thousands of nodes nobody can go through all of them for each.

use std::collections::{BTreeMap, BTreeSet};

use crds::{MachineConfigPool, MachineConfigPoolSpec};
use k8s_openapi::api::core::v1::Node;
use machineconfig::Finding;
use machineconfig::pool::{NodeView, Pools, membership};

/// Who is in which pool.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    /// Names and node selectors alone.
    pools: Vec<MachineConfigPool>,
    places: BTreeMap<String, Place>,
    members: BTreeMap<String, BTreeSet<String>>,
    control_plane: BTreeSet<String>,
}

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Place {
    /// The pool that decides about it, if one does.
    pub(crate) pool: Option<String>,
    /// Why nobody can tell.
    pub(crate) refused: Option<Finding>,
    /// A custom pool that selects it in vain, since it is a master.
    pub(crate) ignored: Option<String>,
}

impl Roster {
    /// Takes in a pool, or that it is gone. The result is whether nodes must be [placed](Self::place) anew.
    pub(crate) fn pool(&mut self, name: &str, pool: Option<&MachineConfigPool>) -> bool {
        let known = self
            .pools
            .iter()
            .position(|known| known.metadata.name.as_deref() == Some(name));
        let new = pool.map(|pool| {
            let spec = MachineConfigPoolSpec {
                node_selector: pool.spec.node_selector.clone(),
                ..MachineConfigPoolSpec::default()
            };
            MachineConfigPool::new(name, spec)
        });
        match (known, new) {
            (Some(index), Some(new)) if self.pools[index] == new => return false,
            (Some(index), Some(new)) => self.pools[index] = new,
            (Some(index), None) => drop(self.pools.remove(index)),
            (None, Some(new)) => self.pools.push(new),
            (None, None) => return false,
        }
        true
    }

    /// Says where these nodes are. The result are the pools that lost or won one, and the nodes that have another place than before.
    pub(crate) fn place<'a>(
        &mut self,
        nodes: impl IntoIterator<Item = &'a Node>,
    ) -> (BTreeSet<String>, Vec<String>) {
        let pools = Pools::new(&self.pools);
        let (mut touched, mut moved) = (BTreeSet::new(), Vec::new());
        for node in nodes {
            let view = NodeView::of(node);
            let new = place(node, &pools);
            if view.control_plane {
                self.control_plane.insert(view.name.to_owned());
            } else {
                self.control_plane.remove(view.name);
            }
            let old = self.places.get(view.name);
            if old == Some(&new) {
                continue;
            }
            if let Some(pool) = old.and_then(|old| old.pool.clone()) {
                if let Some(members) = self.members.get_mut(&pool) {
                    members.remove(view.name);
                }
                touched.insert(pool);
            }
            if let Some(pool) = &new.pool {
                self.members
                    .entry(pool.clone())
                    .or_default()
                    .insert(view.name.to_owned());
                touched.insert(pool.clone());
            }
            moved.push(view.name.to_owned());
            self.places.insert(view.name.to_owned(), new);
        }
        (touched, moved)
    }

    /// Forgets a node. The result is the pool that it was in.
    pub(crate) fn remove(&mut self, node: &str) -> Option<String> {
        self.control_plane.remove(node);
        let pool = self.places.remove(node)?.pool?;
        if let Some(members) = self.members.get_mut(&pool) {
            members.remove(node);
        }
        Some(pool)
    }

    /// The names of a pool's nodes.
    pub(crate) fn members(&self, pool: &str) -> Vec<String> {
        self.members
            .get(pool)
            .map(|members| members.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// Where a node is.
    pub(crate) fn place_of(&self, node: &str) -> Option<&Place> {
        self.places.get(node)
    }

    /// The nodes of the control plane.
    pub(crate) fn control_plane(&self) -> &BTreeSet<String> {
        &self.control_plane
    }

    /// The pools that have nodes of the control plane.
    pub(crate) fn pools_of_control_plane(&self) -> BTreeSet<String> {
        let pools = self.control_plane.iter().filter_map(|node| self.places.get(node));
        pools.filter_map(|place| place.pool.clone()).collect()
    }
}

fn place(node: &Node, pools: &Pools<'_>) -> Place {
    let name = |pool: &MachineConfigPool| pool.metadata.name.clone().unwrap_or_default();
    match membership(node, pools) {
        Ok(None) => Place::default(),
        Ok(Some(found)) => Place {
            pool: Some(name(found.pool)),
            refused: None,
            ignored: found.ignored.map(name),
        },
        Err(finding) => Place {
            refused: Some(finding),
            ..Place::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use machineconfig::pool::built_in;
    use serde_json::json;

    use super::*;

    fn node(name: &str, roles: &[&str]) -> Node {
        let labels: serde_json::Map<_, _> = roles
            .iter()
            .map(|role| (format!("node-role.kubernetes.io/{role}"), json!("")))
            .collect();
        serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap()
    }

    #[test]
    fn nodes_move_between_pools_and_only_what_moved_is_told() {
        let mut roster = Roster::default();
        let set = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<BTreeSet<_>>()
        };
        assert!(roster.pool("worker", Some(&built_in("worker"))));
        assert!(!roster.pool("worker", Some(&built_in("worker"))));
        let nodes = [
            node("a", &["worker"]),
            node("b", &["worker", "infra"]),
            node("c", &["master"]),
        ];
        let (touched, moved) = roster.place(&nodes);
        assert_eq!(
            (touched, moved),
            (set(&["worker"]), vec!["a".into(), "b".into(), "c".into()])
        );
        assert!(roster.place(&nodes).1.is_empty());
        assert!(roster.pool("infra", Some(&built_in("infra"))));
        assert_eq!(
            roster.place(&nodes),
            (set(&["infra", "worker"]), vec!["b".into()])
        );
        assert_eq!(roster.members("worker"), ["a"]);
        assert_eq!(roster.members("infra"), ["b"]);
        roster.pool("gpu", Some(&built_in("gpu")));
        let (_, moved) = roster.place([&node("b", &["infra", "gpu"])]);
        assert_eq!(moved, ["b"]);
        assert!(roster.place_of("b").unwrap().refused.is_some() && roster.members("infra").is_empty());
        roster.pool("master", Some(&built_in("master")));
        roster.place(&nodes);
        assert_eq!(roster.control_plane(), &set(&["c"]));
        assert_eq!(roster.pools_of_control_plane(), set(&["master"]));
        assert_eq!(roster.remove("a").as_deref(), Some("worker"));
        assert_eq!(roster.remove("a"), None);
        assert!(roster.pool("gpu", None) && !roster.pool("gpu", None));
    }
}
