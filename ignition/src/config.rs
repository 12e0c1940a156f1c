//! The config itself and its way in and out.

use serde_json::Value;

use crate::{Invalid, Problem, Version, types};

/// An Ignition config, held as spec 3.5.0 whatever version it was read from.
///
/// Invariant: every key is known to spec 3.5.0 in its exact spelling, every value has its type, there
/// is no `null`, and `ignition.version` is `3.5.0`. Empty lists are kept (the reference tells an
/// absent list from an empty one, `MCO render 2.7`) and are left out on output.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    value: Value,
}

/// A config that was read, with what was said about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The config.
    pub config: Config,
    /// The version it declared, such as `3.2.0`.
    pub declared: String,
    /// Problems that do not refuse it, in document order.
    pub warnings: Vec<Problem>,
}

impl Default for Config {
    fn default() -> Self {
        Self::empty()
    }
}

impl Config {
    /// The config that says nothing: `{"ignition":{"version":"3.5.0"}}`.
    #[must_use]
    pub fn empty() -> Self {
        todo!()
    }

    /// Reads a config from JSON text: types, then validation at the declared version, then translation
    /// up to 3.5.0. All errors are collected.
    pub fn parse(json: &[u8]) -> Result<Parsed, Invalid> {
        let _ = json;
        todo!()
    }

    /// As [`Config::parse`], from a JSON value (the `spec.config` of a MachineConfig).
    pub fn from_value(value: &Value) -> Result<Parsed, Invalid> {
        let _ = value;
        todo!()
    }

    /// As [`Config::from_value`] without the validation: types and version only. For configs that are
    /// already in use, which must be left again even when they are broken.
    pub fn from_value_unvalidated(value: &Value) -> Result<Parsed, Invalid> {
        let _ = value;
        todo!()
    }

    /// Spec 3.5.0 validation (`Ignition spec 3.5`, section validation): every problem, warnings too.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        todo!()
    }

    /// File modes beyond 0777, which MachineConfigs may not use (MCO render 2.4).
    #[must_use]
    pub fn special_modes(&self) -> Vec<Problem> {
        todo!()
    }

    /// The config as a 3.5.0 JSON value (sorted keys).
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The typed view.
    #[must_use]
    pub fn typed(&self) -> types::Config {
        todo!()
    }

    /// Canonical JSON at 3.5.0: the reference's key order, nothing empty.
    #[must_use]
    pub fn to_json(&self) -> String {
        todo!()
    }

    /// Canonical JSON at `version`, refusing what that version cannot say, with every reason.
    pub fn encode(&self, version: Version) -> Result<String, Invalid> {
        let _ = version;
        todo!()
    }

    /// Merges `child` over `self` by the spec's rules (`Ignition spec 3.5`, merging). The result may be invalid.
    #[must_use]
    pub fn merge(&self, child: &Config) -> Config {
        let _ = child;
        todo!()
    }
}
