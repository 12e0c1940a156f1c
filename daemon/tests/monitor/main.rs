//! `machine-config-daemon watch` as it runs: what is done to a node, and what is told of it.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]

mod calm;
mod changes;
mod following;
mod node;
mod repairs;
