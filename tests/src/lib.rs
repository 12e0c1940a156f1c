//! End to end checks against real parts, and the vectors.

pub mod client;
pub mod node;
pub mod pki;
pub mod program;
pub mod vectors;
