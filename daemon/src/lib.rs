//! Keeps one node at its rendered config: what lies on a node's disk, against what should.
//!
//! [`verify`] is the entry point; [`host`] is the only way to the node's file system.

pub mod change;
pub mod cli;
pub mod host;
pub mod journal;
pub mod monitor;
pub mod observe;
pub mod source;
pub mod verify;
pub mod watch;
