//! An Ignition config as a value: parse, validate, merge, translate, encode. No I/O, no clock.
//!
//! Everything is driven by one key table (`schema`): which fields exist in which order and since which
//! spec version, which lists are keyed by what, and which are appended. A [`Config`] always holds spec
//! [`Version::LATEST`] internally; [`Config::parse`] reads every version the reference reads, and
//! [`Config::encode`] writes every version it serves.
//!
//! Many configs are merged by [`Merger`]. MachineConfigs are merged by [`Merger::add_overriding`] and
//! [`Merger::finish_rendered`] (`MCO render 2.5`).

mod config;
pub mod contents;
mod encode;
mod merge;
mod parse;
mod path;
mod problem;
mod schema;
#[cfg(feature = "strategy")]
pub mod strategy;
mod translate;
pub mod tree;
mod validate;
mod version;

pub use config::{Config, Parsed};
pub use merge::Merger;
pub use problem::{Invalid, Kind, Problem, Severity};
pub use version::Version;

/// The typed view of a config: the newest spec that is written (3.5.0).
pub use ignition_config::v3_5 as types;
