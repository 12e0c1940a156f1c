//! One document's text read as a value. The YAML library is used here, in `places` and in `encode`.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{Error, Location, Options};

use super::documents::Document;
use super::places::Places;
use super::{Failure, MAX_TEXT_BYTES, json};

/// Deepest nesting of maps and lists in a document. Ignition configs stay below 12.
const MAX_DEPTH: usize = 64;
/// Most maps, lists and scalars in a document: a `List` of 4000 MachineConfigs has half a million.
const MAX_NODES: usize = 2_000_000;
/// Most nodes that aliases may add by repetition. People use aliases for a handful of lines.
const MAX_REPLAYED_EVENTS: usize = 100_000;
/// Most aliases in a document.
const MAX_ALIASES: usize = 10_000;

/// Reads the document. An empty one is `Null`.
pub(super) fn value(document: &Document<'_>) -> Result<Value, Failure> {
    if let Some(value) = json::value(document.text, MAX_DEPTH, MAX_NODES) {
        return Ok(value);
    }
    serde_saphyr::from_str_with_options(document.text, options()).map_err(|error| failure(document, &error))
}

/// What YAML's rules alone make of a text.
#[cfg(test)]
pub(super) fn by_yaml(text: &str) -> Option<Value> {
    serde_saphyr::from_str_with_options(text, options()).ok()
}

/// Reads the document again, for the places of its nodes. It has been read as a value, so there is
/// hardly a way for this to fail; then nothing is known but where the document begins.
pub(super) fn places(document: &Document<'_>) -> Places {
    serde_saphyr::from_str_with_options(document.text, options()).unwrap_or_default()
}

/// How YAML is read, everywhere.
fn options() -> Options {
    serde_saphyr::options! {
        legacy_octal_numbers: true,
        with_snippet: false,
        emit_comments: false,
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 3 * MAX_NODES,
            max_aliases: MAX_ALIASES,
            max_total_scalar_bytes: MAX_TEXT_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_REPLAYED_EVENTS,
            max_replay_stack_depth: 16,
        },
    }
}

/// What is wrong with the document's text, with the object's name if it came before that place.
fn failure(document: &Document<'_>, error: &Error) -> Failure {
    let (line, column) = match error.location() {
        Some(location) => in_file(document, location),
        None => (document.first_line(), 0),
    };
    let mut identity = Identity::default();
    // Fails where the first reading failed; what came before is what we are after.
    let _ = with_document(document, IdentitySeed(&mut identity));
    Failure {
        line,
        column,
        object: identity.into_name(),
        message: message(error),
    }
}

/// The library's text without the position, which we print ourselves, and without advice that is
/// meant for programmers.
fn message(error: &Error) -> String {
    match error.without_snippet() {
        Error::AliasError { error, .. } => message(error),
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key `{key}` is given twice in one mapping; remove one of them")
        }
        Error::DuplicateMappingKey { key: None, .. } => {
            "a key is given twice in one mapping; remove one of them".to_owned()
        }
        Error::NullIntoString { .. } => "a key of a mapping must be text, this one is null".to_owned(),
        Error::NonFiniteFloat { .. } => {
            "a number that JSON does not have (infinite, not a number or too large); put it in quotes if text is meant"
                .to_owned()
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            format!("the document is too large, too deep (more than {MAX_DEPTH} levels) or repeats too much by aliases")
        }
        other => format!("not valid YAML: {}", without_place(&other.to_string(), other.location())),
    }
}

/// Cuts off the place that the library ends its texts with.
fn without_place(text: &str, location: Option<Location>) -> &str {
    location
        .map(|location| format!(" at line {}, column {}", location.line(), location.column()))
        .and_then(|place| text.strip_suffix(&place))
        .unwrap_or(text)
}

fn in_file(document: &Document<'_>, location: Location) -> (usize, usize) {
    let line = usize::try_from(location.line()).unwrap_or(usize::MAX);
    let column = usize::try_from(location.column()).unwrap_or(usize::MAX);
    document.in_file(line, column)
}

/// Reads the document again with a seed that looks for something.
fn with_document<'de, S>(document: &Document<'de>, seed: S) -> Result<S::Value, Error>
where
    S: DeserializeSeed<'de>,
{
    serde_saphyr::with_deserializer_from_str_with_options(document.text, options(), |deserializer| {
        seed.deserialize(deserializer)
    })
}

/// Notes `kind` and `metadata.name` as they come by.
struct IdentitySeed<'a>(&'a mut Identity);

/// Notes `name`.
struct NameSeed<'a>(&'a mut Option<String>);

/// What an object calls itself.
#[derive(Default)]
struct Identity {
    kind: Option<String>,
    name: Option<String>,
}

// === impl Identity ===

impl Identity {
    /// `Kind/name`, or the kind alone.
    fn into_name(self) -> Option<String> {
        let kind = self.kind?;
        Some(
            self.name
                .map_or_else(|| kind.clone(), |name| format!("{kind}/{name}")),
        )
    }
}

// === impl IdentitySeed ===

impl<'de> DeserializeSeed<'de> for IdentitySeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for IdentitySeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "kind" => self.0.kind = Some(map.next_value()?),
                "metadata" => map.next_value_seed(NameSeed(&mut self.0.name))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

// === impl NameSeed ===

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for NameSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object's metadata")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "name" {
                *self.0 = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}
