//! The short way for a document that is plain JSON, as programs write it: it takes a tenth of the time that YAML's rules take.
//! Entry point: [`value`].

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Reads the document, if it is JSON and means the same as JSON and as YAML. `None` is for all the rest, which includes what is
/// wrong with it: a key given twice, a number that is no 64-bit integer, YAML's merge key, more than `nodes` nodes, more than
/// `depth` levels.
pub(super) fn value(text: &str, depth: usize, nodes: usize) -> Option<Value> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut left = nodes;
    let mut json = serde_json::Deserializer::from_str(text);
    let value = Seed {
        depth,
        nodes: &mut left,
    }
    .deserialize(&mut json)
    .ok()?;
    json.end().ok()?;
    Some(value)
}

/// Reads one node, and those in it.
struct Seed<'n> {
    /// Levels that may still be opened.
    depth: usize,
    /// Nodes that may still come.
    nodes: &'n mut usize,
}

// === impl Seed ===

impl Seed<'_> {
    /// For a node in this one.
    fn inner<E: Error>(&mut self) -> Result<Seed<'_>, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("too deep"))?;
        Ok(Seed {
            depth,
            nodes: self.nodes,
        })
    }

    fn count<E: Error>(&mut self) -> Result<(), E> {
        *self.nodes = self
            .nodes
            .checked_sub(1)
            .ok_or_else(|| E::custom("too many nodes"))?;
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<Value, D::Error> {
        self.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    // Floats have no method here, so they are refused.
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what means the same in JSON and in YAML")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.inner()?)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            self.count()?;
            if key == "<<" {
                return Err(A::Error::custom("YAML merges what it says"));
            }
            let value = fields.next_value_seed(self.inner()?)?;
            if map.insert(key, value).is_some() {
                return Err(A::Error::custom("a key is given twice"));
            }
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::value;

    fn read(text: &str) -> Option<Value> {
        value(text, 8, 100)
    }

    #[test]
    fn what_yaml_would_refuse_or_read_otherwise_is_left_to_it() {
        for text in [
            "kind: A",
            "{kind: A}",
            r#"{"a": 1, "a": 2}"#,
            r#"{"a": 1.0}"#,
            r#"{"a": 1e3}"#,
            r#"{"a": 18446744073709551616}"#,
            r#"{"<<": {"a": 1}}"#,
            r#"{"a": 1} x"#,
            r#"{"a": 1"#,
            "[]",
            "",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(
            read(&format!("{{\"a\": {}1{}}}", "[".repeat(8), "]".repeat(8))),
            None
        );
        assert_eq!(read(&format!("{{\"a\": [{}1]}}", "1,".repeat(100))), None);
    }

    #[test]
    fn plain_json_is_read() {
        let text = "\n{\"a\": [null, true, -1, 18446744073709551615, \"\\u00e9\\n\"],\n\t\"b\": {}}\n";
        let wanted = json!({"a": [null, true, -1, u64::MAX, "é\n"], "b": {}});
        assert_eq!(read(text), Some(wanted));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            "\\PC*".prop_map(Value::from),
            "[ -~\n\t]*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[ -~]{0,6}", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn both_ways_say_the_same(inner in values(), pretty: bool) {
            let whole = json!({"a": inner});
            let text = if pretty { serde_json::to_string_pretty(&whole) } else { serde_json::to_string(&whole) };
            let text = text.unwrap();
            let short = value(&text, 64, 10_000);
            // Only the merge key is left to YAML of what is made here.
            prop_assert!(short.is_some() || text.contains("\"<<\""));
            if let Some(short) = short {
                prop_assert_eq!(&short, &whole);
                let long = super::super::read::by_yaml(&text);
                prop_assert_eq!(long, Some(short));
            }
        }
    }
}
