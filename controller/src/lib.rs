//! Renders MachineConfigs into one rendered config per pool, and rolls them out to the nodes of a cluster.
//!
//! [`cli::run`] is the entry point; the rules are in `machineconfig`.

mod api;
mod bootstrap;
mod caches;
mod certificates;
pub mod cli;
mod context;
mod defaults;
mod drain;
mod events;
#[cfg(test)]
mod fake;
mod joining;
mod leader;
mod log;
mod masters;
mod metrics;
mod policy;
mod queue;
mod render;
mod reports;
mod rollout;
mod roster;
mod serve;
mod start;
mod status;
pub mod version;
