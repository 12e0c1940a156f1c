//! Addresses of nodes that have joined: a machine that has its config does not come for it again.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};

/// The addresses of all nodes.
#[derive(Debug, Default)]
pub struct JoinedNodes {
    nodes: RwLock<Nodes>,
}

#[derive(Debug, Default)]
struct Nodes {
    by_name: BTreeMap<String, Vec<IpAddr>>,
    /// How many nodes have it: a node may be gone from the list before the one that took over its address is in it.
    addresses: HashMap<IpAddr, usize>,
}

impl JoinedNodes {
    /// Takes note of a node's addresses; of none, when it is gone.
    pub fn set(&self, node: &str, addresses: Vec<IpAddr>) {
        let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        for address in &addresses {
            *nodes.addresses.entry(*address).or_default() += 1;
        }
        let before = if addresses.is_empty() {
            nodes.by_name.remove(node)
        } else {
            nodes.by_name.insert(node.to_owned(), addresses)
        };
        for address in before.into_iter().flatten() {
            if let Some(count) = nodes.addresses.get_mut(&address) {
                *count -= 1;
                if *count == 0 {
                    nodes.addresses.remove(&address);
                }
            }
        }
    }

    /// Forgets every node that is not among `names`.
    pub fn retain(&self, names: &[String]) {
        let gone: Vec<String> = {
            let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
            let known = nodes.by_name.keys();
            known.filter(|name| !names.contains(name)).cloned().collect()
        };
        for name in gone {
            self.set(&name, Vec::new());
        }
    }

    /// Whether a node has that address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        nodes.addresses.contains_key(&address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_as_long_as_a_node_has_it() {
        let [a, b] = [1, 2].map(|n| IpAddr::from([192, 0, 2, n]));
        let nodes = JoinedNodes::default();
        nodes.set("one", vec![a]);
        nodes.set("one", vec![a, b]);
        nodes.set("two", vec![b]);
        assert!(nodes.contains(a) && nodes.contains(b));
        nodes.set("one", Vec::new());
        assert!(!nodes.contains(a) && nodes.contains(b));
        nodes.retain(&["one".to_owned()]);
        assert!(!nodes.contains(b));
        nodes.set("gone", Vec::new());
    }
}
