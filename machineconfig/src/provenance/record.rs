//! Provenance as an annotation of the rendered config, so that whoever has only that config can still name the sources: the plan and
//! the drift of a node.

use std::collections::BTreeMap;

use ignition::contents;

use super::{Origin, Part, Provenance};

/// Longest annotation, in bytes. All annotations of an object together may have 256 KiB, and others want room too; a config whose
/// origins do not fit goes without.
const MAX_BYTES: usize = 64 << 10;
/// Longest text in one, in bytes: what so much annotation holds of paths, which compress to a tenth or so. It comes from outside.
const MAX_TEXT: usize = 1 << 20;
/// Longest name of an object, in bytes (Kubernetes, DNS subdomain). It is kept once per part.
const MAX_NAME: usize = 253;
/// How the text is packed.
const GZIP: &str = "gzip";

impl Provenance {
    /// The winners as the text of an annotation: a data URL of compressed JSON. `None` when there are none, or too many, or a name
    /// that no object has: what is written is what [`Provenance::from_annotation`] reads.
    ///
    /// # Panics
    /// Never: parts and names can be written as JSON.
    #[must_use]
    pub fn to_annotation(&self) -> Option<String> {
        let mut parts: BTreeMap<&str, Vec<&Part>> = BTreeMap::new();
        for (part, origin) in &self.origins {
            parts.entry(&origin.winner).or_default().push(part);
        }
        if parts.is_empty() || parts.keys().any(|name| name.len() > MAX_NAME) {
            return None;
        }
        let text = serde_json::to_vec(&parts).expect("names are strings");
        if text.len() > MAX_TEXT {
            return None;
        }
        Some(contents::base64(&contents::gzip(&text))).filter(|url| url.len() <= MAX_BYTES)
    }

    /// Reads what [`Provenance::to_annotation`] has written. Something else tells nothing, and is no error: nothing hangs on it.
    #[must_use]
    pub fn from_annotation(text: &str) -> Self {
        let mut provenance = Self::default();
        for (winner, parts) in read(text).unwrap_or_default() {
            for part in parts {
                provenance.origins.entry(part).or_insert_with(|| Origin {
                    winner: winner.clone(),
                    beaten: Vec::new(),
                });
            }
        }
        provenance
    }
}

/// The parts of each winner, when the annotation is one that is written.
fn read(text: &str) -> Option<BTreeMap<String, Vec<Part>>> {
    if text.len() > MAX_BYTES {
        return None;
    }
    let text = contents::decode(Some(text), Some(GZIP), MAX_TEXT).ok()?;
    let winners: BTreeMap<String, Vec<Part>> = serde_json::from_slice(&text).ok()?;
    winners
        .keys()
        .all(|name| name.len() <= MAX_NAME)
        .then_some(winners)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provenance(parts: usize) -> Provenance {
        let origins = (0..parts).map(|number| {
            let origin = Origin {
                winner: format!("99-{}", number % 3),
                beaten: Vec::new(),
            };
            (Part::Path(format!("/etc/{}", number * 7919 % 1_000_003)), origin)
        });
        Provenance {
            origins: origins.collect(),
        }
    }

    #[test]
    fn winners_come_back_from_the_annotation() {
        let mut all = provenance(20);
        let origin = Origin {
            winner: "00-a".to_owned(),
            beaten: Vec::new(),
        };
        for part in [
            Part::Unit("a.service".to_owned()),
            Part::Dropin("a.service".to_owned(), "b.conf".to_owned()),
            Part::SshKey("core".to_owned(), "ssh-ed25519 AAAA".to_owned()),
            Part::Field("fips".to_owned()),
        ] {
            all.origins.insert(part, origin.clone());
        }
        assert_eq!(Provenance::from_annotation(&all.to_annotation().unwrap()), all);
    }

    #[test]
    fn what_is_too_much_or_no_annotation_of_ours_tells_nothing() {
        assert_eq!(Provenance::default().to_annotation(), None);
        assert_eq!(provenance(100_000).to_annotation(), None);
        for text in [
            "",
            "data:,",
            "data:;base64,AAAA",
            "data:,%7B%7D",
            "https://example.com",
        ] {
            assert_eq!(Provenance::from_annotation(text), Provenance::default(), "{text}");
        }
        let bomb = contents::base64(&contents::gzip(&vec![b' '; MAX_TEXT + 1]));
        assert_eq!(Provenance::from_annotation(&bomb), Provenance::default());
    }

    /// An annotation with these winners and the same part as many times.
    fn forged(winner: &str, parts: usize) -> String {
        let part = r#"{"kind":"path","name":"/a"}"#;
        let text = format!(r#"{{"{winner}":[{}]}}"#, vec![part; parts].join(","));
        contents::base64(&contents::gzip(text.as_bytes()))
    }

    #[test]
    fn a_forged_annotation_is_bounded() {
        let origins = |text: &str| Provenance::from_annotation(text).origins;
        assert_eq!(origins(&forged("99-a", 4000)).len(), 1, "a part is kept once");
        assert_eq!(origins(&forged(&"a".repeat(MAX_NAME), 1)).len(), 1);
        assert_eq!(origins(&forged(&"a".repeat(MAX_NAME + 1), 1)).len(), 0);
        let small = forged(&"a".repeat(1_000_000), 4000);
        assert!(small.len() <= MAX_BYTES);
        assert_eq!(origins(&small).len(), 0);
        let padded = |spaces: usize| {
            let text = format!(r#"{{"a":[{{"kind":"unit","name":"u"}}]{}}}"#, " ".repeat(spaces));
            contents::percent(&contents::gzip(text.as_bytes()))
        };
        assert_eq!(origins(&padded(10)).len(), 1);
        assert_eq!(origins(&padded(MAX_TEXT)).len(), 0);
        let long = format!("data:;{};base64,", "a=b;".repeat(MAX_BYTES / 4));
        let long = forged("a", 1).replace("data:;base64,", &long);
        assert_eq!(origins(&long).len(), 0, "longer than any that is written");
    }

    #[test]
    fn what_is_not_read_is_not_written() {
        let mut long = provenance(1);
        for origin in long.origins.values_mut() {
            origin.winner = "a".repeat(MAX_NAME + 1);
        }
        assert_eq!(long.to_annotation(), None);
        let path = |number: usize| Part::Path(format!("/{}/{number}", "a".repeat(60)));
        let origin = || Origin {
            winner: "a".to_owned(),
            beaten: Vec::new(),
        };
        let repetitive = Provenance {
            origins: (0..12_000).map(|number| (path(number), origin())).collect(),
        };
        assert_eq!(repetitive.to_annotation(), None);
    }
}
