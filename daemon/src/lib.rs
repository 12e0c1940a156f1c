//! Keeps one node at its rendered config: what lies on a node's disk, against what should.
//!
//! [`verify`] is the entry point; [`host`] is the only way to the node's file system.

mod abreast;
pub mod act;
pub mod apply;
pub mod change;
pub mod cli;
mod cluster;
pub mod confirm;
pub mod converge;
pub mod first;
pub mod host;
pub mod install;
pub mod journal;
pub mod monitor;
pub mod node;
pub mod observe;
mod paths;
pub mod prospect;
pub mod reboot;
pub mod recover;
pub mod rules;
pub mod source;
pub mod store;
pub mod transaction;
pub mod verify;
pub mod watch;
