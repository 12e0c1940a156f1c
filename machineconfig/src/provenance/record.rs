//! Provenance as an annotation of the rendered config, so that whoever has only that config can still name the sources: the plan and
//! the drift of a node.

use std::collections::BTreeMap;

use ignition::contents;

use super::{Origin, Part, Provenance};

/// Longest annotation, in bytes. All annotations of an object together may have 256 KiB, and others want room too; a config whose
/// origins do not fit goes without.
const MAX_BYTES: usize = 64 << 10;
/// Longest text in one, in bytes: what a few megabytes of names come to. It comes from outside.
const MAX_TEXT: usize = 16 << 20;
/// How the text is packed.
const GZIP: &str = "gzip";

impl Provenance {
    /// The winners as the text of an annotation: a data URL of compressed JSON. `None` when there are none, or too many.
    ///
    /// # Panics
    /// Never: parts and names can be written as JSON.
    #[must_use]
    pub fn to_annotation(&self) -> Option<String> {
        let mut parts: BTreeMap<&str, Vec<&Part>> = BTreeMap::new();
        for (part, origin) in &self.origins {
            parts.entry(&origin.winner).or_default().push(part);
        }
        if parts.is_empty() {
            return None;
        }
        let text = serde_json::to_vec(&parts).expect("names are strings");
        Some(contents::base64(&contents::gzip(&text))).filter(|url| url.len() <= MAX_BYTES)
    }

    /// Reads what [`Provenance::to_annotation`] has written. Something else tells nothing, and is no error: nothing hangs on it.
    #[must_use]
    pub fn from_annotation(text: &str) -> Self {
        let origins = contents::decode(Some(text), Some(GZIP), MAX_TEXT)
            .ok()
            .and_then(|text| serde_json::from_slice::<BTreeMap<String, Vec<Part>>>(&text).ok())
            .unwrap_or_default();
        let of_winner = |(winner, parts): (String, Vec<Part>)| {
            let origin = Origin {
                winner,
                beaten: Vec::new(),
            };
            parts.into_iter().map(move |part| (part, origin.clone()))
        };
        Self {
            origins: origins.into_iter().flat_map(of_winner).collect(),
        }
    }
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
}
