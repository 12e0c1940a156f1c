//! End to end checks against real parts, and the vectors.

pub mod bench;
pub mod client;
pub mod cluster;
pub mod demo;
pub mod generated;
pub mod machine;
pub mod node;
pub mod pki;
pub mod program;
pub mod real_ignition;
pub mod service;
pub mod vectors;
pub mod vm;

use std::path::Path;

/// The root of the repository.
#[must_use]
pub fn repository() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}
