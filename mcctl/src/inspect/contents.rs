//! Contents of files and units: what they are, and their text as far as it may and should be shown.

use std::fmt::Write as _;

use ignition::contents::{self, MAX_INFLATED};
use ignition::types::Resource;
use machineconfig::redact::{Blob, Limits, is_secret};
use machineconfig::style::Styles;

use crate::escape;
use crate::report::plural;
use crate::terminal::paint;

/// How much is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    /// Secrets too.
    pub(super) secrets: bool,
    /// Long contents to their end.
    pub(super) full: bool,
    /// The colours.
    pub(super) styles: Styles,
}

/// Mode of the file of a unit or drop-in (Ignition, files stage).
const UNIT_MODE: u32 = 0o644;

/// Contents as a line of facts and the lines of their text.
#[derive(Debug, Default)]
pub(super) struct Described {
    /// Encoding, size, hash: in the order they are shown.
    pub(super) facts: Vec<String>,
    /// Lines, each ending in a newline; empty when there is nothing to show.
    pub(super) body: String,
}

/// Describes what a resource holds that is written to `path` with `mode`.
pub(super) fn resource(resource: &Resource, path: &str, mode: u32, shown: &Shown) -> Described {
    let source = resource.source.as_deref().unwrap_or_default();
    let compression = resource.compression.as_deref();
    let mut facts = vec![encoding(source, shown)];
    if let Some(name) = compression.filter(|name| !name.is_empty()) {
        facts.push(escape::line(name).into_owned());
    }
    if !source.is_empty() && !source.starts_with("data:") {
        return Described {
            facts,
            body: String::new(),
        };
    }
    match contents::decode(resource.source.as_deref(), compression, MAX_INFLATED) {
        Ok(bytes) => {
            let hash = resource.verification.as_ref().and_then(|v| v.hash.as_deref());
            let described = describe(&bytes, path, mode, shown);
            facts.extend(described.facts);
            facts.extend(hash.map(|hash| verified(&bytes, hash).to_owned()));
            Described {
                facts,
                body: described.body,
            }
        }
        Err(error) => {
            facts.push(escape::line(&error.to_string()).into_owned());
            Described {
                facts,
                body: String::new(),
            }
        }
    }
}

/// Describes the text of a unit or drop-in, which stands in the config as it is.
pub(super) fn unit(text: &str, path: &str, shown: &Shown) -> Described {
    describe(text.as_bytes(), path, UNIT_MODE, shown)
}

fn verified(bytes: &[u8], hash: &str) -> &'static str {
    match contents::verify(bytes, hash) {
        Some(true) => "hash matches",
        Some(false) => "hash DOES NOT MATCH",
        None => "hash malformed",
    }
}

/// How the contents are written, or where they are fetched from: user names, passwords and queries of URLs are secrets.
fn encoding(source: &str, shown: &Shown) -> String {
    let Some(data) = source.strip_prefix("data:") else {
        if source.is_empty() {
            return "no contents".to_owned();
        }
        let public = if shown.secrets {
            source.to_owned()
        } else {
            without_secrets(source)
        };
        return format!("fetched from {}", escape::line(&public));
    };
    let head = data.split(',').next().unwrap_or_default();
    if head.ends_with(";base64") {
        "base64"
    } else {
        "percent"
    }
    .to_owned()
}

/// A URL without what may be a secret in it.
pub(super) fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let (place, hidden) = rest.split_at(end);
    let (host, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    let host = host.rsplit('@').next().unwrap_or_default();
    let more = if hidden.is_empty() { "" } else { "?…" };
    let scheme = if scheme.is_empty() {
        String::new()
    } else {
        format!("{scheme}://")
    };
    format!("{scheme}{host}{path}{more}")
}

fn describe(bytes: &[u8], path: &str, mode: u32, shown: &Shown) -> Described {
    let text = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'));
    let hidden = !shown.secrets && is_secret(path, mode, bytes);
    match text.filter(|_| !hidden) {
        Some(text) => Described {
            facts: vec![plural(bytes.len(), "byte")],
            body: lines(text, shown),
        },
        None => Described {
            facts: vec![
                if hidden { "secret" } else { "binary" }.to_owned(),
                Blob::of(bytes).to_string(),
            ],
            body: String::new(),
        },
    }
}

/// Text behind a bar, so that nothing in it can be taken for a part of the report.
fn lines(text: &str, shown: &Shown) -> String {
    let limits = Limits::default();
    let bar = paint(shown.styles.faint, "|");
    let mut out = String::new();
    // Not `lines`, which would hide carriage returns.
    let mut rest = text.split_terminator('\n');
    for line in rest
        .by_ref()
        .take(if shown.full { usize::MAX } else { limits.lines })
    {
        let cut = line.char_indices().nth(limits.columns).map(|(at, _)| at);
        let (kept, more) = match cut.filter(|_| !shown.full) {
            Some(at) => (&line[..at], "…"),
            None => (line, ""),
        };
        let line = format!("    {bar} {}{more}", escape::line(kept));
        let _ = writeln!(out, "{}", line.trim_end());
    }
    let left = rest.count();
    if left > 0 {
        let _ = writeln!(out, "    {left} more lines; --full shows them");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_what_may_be_secret() {
        let table = [
            ("https://a.example/x", "https://a.example/x"),
            ("https://me:pw@a.example/x?token=1", "https://a.example/x?…"),
            ("https://a.example?token=1", "https://a.example?…"),
            ("s3://bucket/key#v", "s3://bucket/key?…"),
            ("https://a.example/p@th", "https://a.example/p@th"),
            ("nonsense", "nonsense"),
        ];
        for (url, expected) in table {
            assert_eq!(without_secrets(url), expected);
        }
    }

    #[test]
    fn long_contents_are_cut_unless_asked_for() {
        let limits = Limits::default();
        let text = format!("{}\n", "x".repeat(limits.columns + 5)).repeat(limits.lines + 3);
        let mut shown = Shown {
            secrets: false,
            full: false,
            styles: Styles::plain(),
        };
        let cut = lines(&text, &shown);
        assert_eq!(cut.lines().count(), limits.lines + 1);
        assert!(cut.ends_with("    3 more lines; --full shows them\n"));
        assert!(cut.lines().next().unwrap().ends_with("x…"));
        shown.full = true;
        assert_eq!(lines(&text, &shown).lines().count(), limits.lines + 3);
    }
}
