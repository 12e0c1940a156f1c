//! Where in its document every node begins. Made only when something is to be pointed at.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::path::Segment;

/// A node's place, and those of the nodes below it.
#[derive(Default)]
pub(super) struct Places {
    /// Line and column, from 1; 0 when unknown.
    at: (u32, u32),
    below: Below,
}

/// The nodes below a node.
#[derive(Default)]
enum Below {
    /// None: it is a scalar.
    #[default]
    Nothing,
    /// Those of a mapping, by key, in the order of the text.
    Map(Vec<(String, Places)>),
    /// Those of a list.
    List(Vec<Places>),
}

// === impl Places ===

impl Places {
    /// Line and column, in the document and from 1, of the node at `path`, or of the nearest node above
    /// it that there is. Nothing when that is the document itself.
    pub(super) fn of(&self, path: &[Segment]) -> Option<(usize, usize)> {
        let mut found = None;
        let mut here = self;
        for segment in path {
            let below = match (segment, &here.below) {
                (Segment::Key(key), Below::Map(map)) => {
                    map.iter().find(|(name, _)| name == key).map(|(_, node)| node)
                }
                (Segment::Index(index), Below::List(list)) => list.get(*index),
                _ => None,
            };
            match below {
                Some(below) => here = below,
                None => break,
            }
            found = Some(here.at);
        }
        let (line, column) = found.filter(|(line, _)| *line > 0)?;
        Some((usize::try_from(line).ok()?, usize::try_from(column).ok()?))
    }
}

impl<'de> Deserialize<'de> for Places {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Below>::deserialize(deserializer)?;
        let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let at = (
            number(spanned.referenced.line()),
            number(spanned.referenced.column()),
        );
        Ok(Self {
            at,
            below: spanned.value,
        })
    }
}

// === impl Below ===

impl<'de> Deserialize<'de> for Below {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BelowVisitor)
    }
}

struct BelowVisitor;

impl<'de> Visitor<'de> for BelowVisitor {
    type Value = Below;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Below, A::Error> {
        let mut below = Vec::new();
        while let Some(entry) = map.next_entry()? {
            below.push(entry);
        }
        Ok(Below::Map(below))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Below, A::Error> {
        let mut below = Vec::new();
        while let Some(item) = list.next_element()? {
            below.push(item);
        }
        Ok(Below::List(below))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Below, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Below::Nothing)
    }

    fn visit_unit<E: Error>(self) -> Result<Below, E> {
        Ok(Below::Nothing)
    }

    fn visit_none<E: Error>(self) -> Result<Below, E> {
        Ok(Below::Nothing)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Below, E> {
        Ok(Below::Nothing)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Below, E> {
        Ok(Below::Nothing)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Below, E> {
        Ok(Below::Nothing)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Below, E> {
        Ok(Below::Nothing)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Below, E> {
        Ok(Below::Nothing)
    }
}
