//! What a rollout waits for, in words.

use std::fmt;

use jiff::Timestamp;

use crate::pool::{Account, second};

/// Something that must come to pass before the next node can go, or before all are done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocker {
    /// A node of the pool that is away, on its way, or at fault.
    Node(Account),
    /// A node that has just been told, or whose leader stopped before it could tell it.
    Told {
        /// The node.
        node: String,
        /// When its slot was taken.
        since: Timestamp,
    },
    /// A node that has a slot and is not in the pool any more. It is forgotten after a while.
    Gone {
        /// The node.
        node: String,
        /// When its slot was taken.
        since: Timestamp,
    },
    /// A node that is being handed to another pool.
    Adopted(String),
    /// A node of the control plane in another pool: of the control plane one node goes at a time.
    ControlPlane {
        /// The pool; empty when it is in none.
        pool: String,
        /// The node.
        node: Account,
    },
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Blocker::Node(account) => account.fmt(f),
            Blocker::Told { node, since } => {
                write!(
                    f,
                    "{node} was given its turn at {} and has not taken it up yet",
                    second(*since)
                )
            }
            Blocker::Gone { node, since } => {
                write!(
                    f,
                    "{node} was given its turn at {} and is not in the pool any more",
                    second(*since)
                )
            }
            Blocker::Adopted(node) => write!(f, "{node} is being handed to the pool that it was started for"),
            Blocker::ControlPlane { pool, node } => {
                write!(
                    f,
                    "of the control plane one node goes at a time, and in pool {pool:?} {node}"
                )
            }
        }
    }
}
