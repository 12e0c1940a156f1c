//! A leader: a view that lags behind, the rules, and writes that take their time.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crds::MachineConfigPool;
use k8s_openapi::api::core::v1::Node;
use machineconfig::rollout::{Around, NodePatch, Step, next, node_patch, reserve};

use super::cluster::Cluster;

/// For at most so many rounds a leader does nothing and sees nothing. With the lags of its view it stays below the time after which reservations are
/// forgotten.
const LONGEST_STALL: u8 = 12;

pub(super) struct Leader {
    pool: Rc<MachineConfigPool>,
    nodes: BTreeMap<String, Rc<Node>>,
    /// Writes that are decided and not made yet, and the revision at which they were decided.
    writes: VecDeque<(String, NodePatch)>,
    decided_at: u64,
    stalled: u8,
}

impl Leader {
    pub(super) fn new(cluster: &Cluster) -> Self {
        Self {
            pool: Rc::clone(&cluster.pool),
            nodes: BTreeMap::new(),
            writes: VecDeque::new(),
            decided_at: 0,
            stalled: 0,
        }
    }

    pub(super) fn act(&mut self, cluster: &mut Cluster) {
        if self.stalled > 0 {
            self.stalled -= 1;
            return;
        }
        match cluster.random.u8(0..40) {
            0 => {
                self.stalled = cluster.random.u8(0..LONGEST_STALL);
                return;
            }
            // It dies between two writes, and another one takes its place.
            1 => self.writes.clear(),
            _ => {}
        }
        let news = self.look(cluster);
        // As a controller does: when something happened, and now and then.
        if self.writes.is_empty() && (news || cluster.random.u8(0..4) == 0) {
            self.decide(cluster);
        }
        while cluster.random.u8(0..5) > 0 {
            let Some((node, patch)) = self.writes.pop_front() else {
                break;
            };
            cluster.write_node(&node, &patch, self.decided_at);
        }
    }

    /// Sees some of what happened: each object by itself, and never back in time. Whether there was anything new.
    fn look(&mut self, cluster: &mut Cluster) -> bool {
        let mut news = false;
        if !Rc::ptr_eq(&self.pool, &cluster.pool) && cluster.random.u8(0..4) > 0 {
            self.pool = Rc::clone(&cluster.pool);
            news = true;
        }
        for (name, machine) in &cluster.machines {
            let known = self
                .nodes
                .get(name)
                .is_some_and(|node| Rc::ptr_eq(node, &machine.node));
            if !known && cluster.random.u8(0..4) > 0 {
                self.nodes.insert(name.clone(), Rc::clone(&machine.node));
                news = true;
            }
        }
        if cluster.random.u8(0..3) > 0 {
            let before = self.nodes.len();
            self.nodes.retain(|name, _| cluster.machines.contains_key(name));
            news |= self.nodes.len() < before;
        }
        news
    }

    fn decide(&mut self, cluster: &mut Cluster) {
        let nodes: Vec<&Node> = self.nodes.values().map(|node| &**node).collect();
        let host = cluster.random.usize(0..=nodes.len());
        let around = Around {
            leader: nodes.get(host).and_then(|node| node.metadata.name.as_deref()),
            ..Around::default()
        };
        let decision = next(&self.pool, &nodes, &around, cluster.now);
        match &decision.step {
            Step::Waiting(blockers) => {
                assert!(
                    !blockers.is_empty(),
                    "waits for nothing: {decision:?}: {}",
                    cluster.story()
                );
            }
            Step::Go(grants) => assert!(!grants.is_empty()),
            Step::Paused => cluster.account.paused += 1,
            Step::Nothing => {}
            Step::NotRendered | Step::Deleting | Step::Refused(_) => {
                panic!("{decision:?}: {}", cluster.story())
            }
        }
        let after = reserve(&decision.reserved, &decision, cluster.now);
        self.decided_at = cluster.revision();
        if after != decision.reserved && !cluster.write_reservations(&decision, &after, &nodes) {
            return;
        }
        let patches = nodes.iter().filter_map(|node| {
            let name = node.metadata.name.clone().unwrap();
            Some((name, node_patch(&decision, node)?))
        });
        self.writes.extend(patches);
    }
}
