//! The rules of machine-config, as plain functions of values: no I/O, no clock, no client.

pub mod drain;
pub mod drift;
pub mod finding;
pub mod history;
pub mod join;
pub mod layout;
pub mod name;
pub mod objects;
pub mod plan;
pub mod policy;
pub mod pool;
pub mod provenance;
pub mod reconcile;
pub mod redact;
pub mod registries;
pub mod render;
pub mod rendered;
pub mod retention;
pub mod rollout;
pub mod standing;
pub mod style;
pub mod wanted;
pub mod why;

pub use finding::{Code, Finding, Severity};
pub use layout::Layout;
pub use objects::Objects;
pub use plan::{Disruption, Plan, plan};
pub use policy::Policy;
pub use provenance::Provenance;
pub use render::{Defaults, Rendered, render};
pub use rendered::RenderedConfig;
