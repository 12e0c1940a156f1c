//! Renders MachineConfigs into one rendered config per pool.
//!
//! [`cli::run`] is the entry point; the rules are in `machineconfig`.

mod bootstrap;
pub mod cli;
pub mod version;
