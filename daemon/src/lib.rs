//! Keeps one node at its rendered config: what lies on a node's disk, against what should.
//!
//! [`host`] is the only way to the node's file system.

pub mod host;
