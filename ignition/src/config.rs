//! The config itself and its way in and out.

use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::schema::v3;
use crate::tree::{Map, Value};
use crate::{Invalid, Merger, Problem, Version, encode, parse, translate, types, validate};

/// An Ignition config, held as spec 3.5.0 whatever version it was read from.
///
/// Invariant: every key is known to spec 3.5.0 in its exact spelling, every value has its type, there
/// is no `null`, no object is empty but as an entry of a list, and `ignition.version` is `3.5.0`. Empty
/// lists are kept (the reference tells an absent list from an empty one, `MCO render 2.7`) and are left
/// out on output.
#[derive(Debug, Clone)]
pub struct Config {
    fields: Map,
    /// The same as JSON, once it was asked for.
    json: OnceLock<Json>,
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

impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields
    }
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
        Self::from_map(Map::new())
    }

    /// Reads a config from JSON text: types, then validation at the declared version, then translation
    /// up to 3.5.0. All errors are collected.
    pub fn parse(json: &[u8]) -> Result<Parsed, Invalid> {
        let value = parse::json(json)?;
        Self::from_value(&value)
    }

    /// As [`Config::parse`], from a JSON value (the `spec.config` of a MachineConfig).
    pub fn from_value(value: &Json) -> Result<Parsed, Invalid> {
        parse::config(value, parse::Validation::Full)
    }

    /// As [`Config::from_value`] without the validation: types and version only. For configs that are
    /// already in use, which must be left again even when they are broken.
    pub fn from_value_unvalidated(value: &Json) -> Result<Parsed, Invalid> {
        parse::config(value, parse::Validation::None)
    }

    /// A config of fields that fit the table.
    pub(crate) fn from_map(mut map: Map) -> Self {
        let ignition = map.or_insert_with("ignition", Value::default);
        if let Value::Object(ignition) = ignition {
            ignition.insert("version", Value::from(Version::LATEST.as_str()));
        }
        Self {
            fields: map,
            json: OnceLock::new(),
        }
    }

    /// The fields: keys are sorted, and those of the key table.
    #[must_use]
    pub fn fields(&self) -> &Map {
        &self.fields
    }

    /// What is at a JSON pointer of keys, such as `/storage/files`.
    #[must_use]
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        let mut keys = pointer.split('/').skip(1);
        let first = self.fields.get(keys.next()?)?;
        keys.try_fold(first, |value, key| value.get(key))
    }

    /// The fields, taken out.
    pub(crate) fn into_fields(self) -> Map {
        self.fields
    }

    /// The fields, to be changed.
    fn change(&mut self) -> &mut Map {
        self.json = OnceLock::new();
        &mut self.fields
    }

    /// Each file.
    pub(crate) fn files_mut(&mut self) -> impl Iterator<Item = &mut Map> {
        let storage = self.change().get_mut("storage");
        let files = match storage.and_then(|storage| storage.get_mut("files")) {
            Some(Value::Array(files)) => files.as_mut_slice(),
            _ => &mut [],
        };
        files.iter_mut().filter_map(Value::as_object_mut)
    }

    /// Spec 3.5.0 validation (`Ignition spec 3.5`, section validation): every problem, warnings too.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        validate::check(&v3::CONFIG, Version::LATEST.spec(), self.fields())
    }

    /// As [`Config::validate`], for a config merged of valid ones: all that merging can break, without decoding every file again.
    #[must_use]
    pub fn validate_merged(&self) -> Vec<Problem> {
        validate::check_merged(&v3::CONFIG, Version::LATEST.spec(), self.fields())
    }

    /// File modes beyond 0777, which MachineConfigs may not use (MCO render 2.4).
    #[must_use]
    pub fn special_modes(&self) -> Vec<Problem> {
        validate::special_modes(self.fields())
    }

    /// Names that validation lets pass, as the reference does, and that no node can have: paths, link targets, units and drop-ins
    /// with a NUL, and files and links in place of the root.
    #[must_use]
    pub fn impossible_names(&self) -> Vec<Problem> {
        validate::impossible_names(self.fields())
    }

    /// Takes out what [`Config::to_json`] leaves out, so that [`Config::fields`] is what it writes.
    pub fn drop_empty(&mut self) {
        encode::prune(&v3::CONFIG, self.change(), &|_, _| ());
    }

    /// The config as a 3.5.0 JSON value (sorted keys). It is made when it is first asked for: whoever reads many or large configs
    /// does so by [`Config::fields`].
    #[must_use]
    pub fn value(&self) -> &Json {
        self.json.get_or_init(|| self.fields.to_json())
    }

    /// The typed view.
    ///
    /// # Panics
    /// Never: the key table and the types hold the same fields.
    #[must_use]
    pub fn typed(&self) -> types::Config {
        types::Config::deserialize(self.fields.to_json())
            .expect("the table and the types hold the same fields")
    }

    /// Canonical JSON at 3.5.0: the reference's key order, nothing empty.
    #[must_use]
    pub fn to_json(&self) -> String {
        encode::to_json(&v3::CONFIG, self.fields())
    }

    /// Appends what [`Config::to_json`] writes.
    pub fn write_json(&self, out: &mut String) {
        encode::write_object(&v3::CONFIG, &self.fields, out);
    }

    /// Canonical JSON at `version`, refusing what that version cannot say, with every reason.
    pub fn encode(&self, version: Version) -> Result<String, Invalid> {
        translate::encode(self.fields(), version)
    }

    /// Merges `child` over `self` by the spec's rules (`Ignition spec 3.5`, merging). The result may be invalid.
    #[must_use]
    pub fn merge(&self, child: &Config) -> Config {
        let mut merger = Merger::new(self.clone());
        merger.add(child.clone());
        merger.finish()
    }
}
