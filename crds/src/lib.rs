//! API types of machine-config, and Kubernetes objects read from YAML or JSON text. No client, no I/O.
//!
//! One module per kind; [`manifest`] reads documents, [`crds`] lists the definitions that
//! `cargo xtask generate` writes to `crds/manifests`.

pub mod annotations;
pub mod machine_config;
pub mod machine_configuration;
pub mod manifest;

pub use machine_config::{MachineConfig, MachineConfigSpec};
