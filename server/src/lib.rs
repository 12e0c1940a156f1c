//! Hands Ignition to new machines: finished configs over TLS.
//!
//! [`accept`] negotiates, [`assemble`] makes bodies, [`route`] decides what a request gets; these are functions of
//! values. [`files`] reads what is served from a directory, [`bootstrap`] is the process around all of it.

pub mod accept;
pub mod assemble;
mod bodies;
pub mod bootstrap;
pub mod cli;
pub mod cluster;
pub mod credentials;
pub mod entrance;
mod file_limit;
pub mod files;
pub mod gate;
pub mod listener;
mod log;
pub mod metrics;
mod process;
pub mod reload;
pub mod route;
pub mod service;
pub mod snapshot;
pub mod tls;
mod watched;

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit of this build, or a word for its absence.
pub const COMMIT: &str = match option_env!("MACHINE_CONFIG_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};
