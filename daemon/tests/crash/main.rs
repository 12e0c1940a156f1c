//! What a crash leaves: a model of the disk after a power cut, and the programs that are held against it.

#![expect(
    clippy::unwrap_used,
    reason = "in a test an unwrap is an assertion, in its helpers too"
)]

mod engine;
mod model;
#[path = "../apply/node.rs"]
#[allow(dead_code, reason = "the tests of applying use more of it")]
mod node;
mod programs;
mod random;
mod taps;
