//! End to end checks against real parts, and the vectors.

pub mod bench;
pub mod client;
pub mod generated;
pub mod node;
pub mod pki;
pub mod program;
pub mod real_ignition;
pub mod service;
pub mod vectors;
