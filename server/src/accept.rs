//! Accept negotiation: which Ignition version a client gets. Entry point: [`negotiate`].
//!
//! The rules are the reference's (`MCO server 1.4`), its laxness included, because real Ignition of every
//! age depends on it: no header, a header nobody can read or one that names no version means 2.2.0.

use ignition::Version;

/// The sub-type of Ignition's media type. The main type is not compared (`MCO server 1.4`).
const SUBTYPE: &str = "vnd.coreos.ignition+json";

/// The client asks for an Ignition version that cannot be served: status 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the Accept header asks for an Ignition version that is not served")]
pub struct Unsupported;

/// Chooses the version to serve from the value of the first `Accept` header.
///
/// Of all entries that name Ignition's media type with a version the one with the highest `q` decides;
/// there is no falling back to a later one.
///
/// # Errors
/// [`Unsupported`] when the deciding entry names a version outside what is served.
pub fn negotiate(accept: Option<&str>) -> Result<Version, Unsupported> {
    match preferred(accept.unwrap_or_default()) {
        Some(version) => map(version),
        None => Ok(Version::V2_2),
    }
}

/// The version of the entry that decides.
///
/// The order is that of a stable sort by falling `q`. An entry whose `q` is not a number keeps its place
/// and nothing moves past it, so that the entries before it are looked at first.
fn preferred(header: &str) -> Option<Asked> {
    let mut best: Option<(f32, Asked)> = None;
    for entry in header.split(',').filter_map(Entry::parse) {
        if entry.q.is_nan() && best.is_some() {
            break;
        }
        let Some(version) = entry.version else { continue };
        if entry.q.is_nan() {
            return Some(version);
        }
        if best.is_none_or(|(q, _)| entry.q > q) {
            best = Some((entry.q, version));
        }
    }
    best.map(|(_, version)| version)
}

/// Maps the version asked for to the version served. Patch level and pre-release do not matter.
fn map(asked: Asked) -> Result<Version, Unsupported> {
    match (asked.major, asked.minor) {
        (2, 2..) => Ok(Version::V2_2),
        (3, 0) => Ok(Version::V3_0),
        (3, 1) => Ok(Version::V3_1),
        (3, 2) => Ok(Version::V3_2),
        (3, 3) => Ok(Version::V3_3),
        (3, 4) => Ok(Version::V3_4),
        // A client that knows a newer 3.x reads 3.5.0 as well.
        (3, _) => Ok(Version::V3_5),
        _ => Err(Unsupported),
    }
}

/// One entry of the header that has a media type.
struct Entry {
    /// Of Ignition's media type only.
    version: Option<Asked>,
    q: f32,
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        let mut pieces = text.split(';').map(str::trim);
        let (_, subtype) = pieces.next()?.split_once('/')?;
        let (mut version, mut q) = (None, None);
        for (key, value) in pieces.filter_map(|piece| piece.split_once('=')) {
            match key {
                "version" if version.is_none() => version = Asked::parse(value),
                "q" if q.is_none() => q = parse_q(value),
                _ => {}
            }
        }
        Some(Self {
            version: version.filter(|_| subtype == SUBTYPE),
            q: q.unwrap_or(1.0),
        })
    }
}

/// A quality value. A number too large for the type is none, only one that is written as infinite is.
fn parse_q(text: &str) -> Option<f32> {
    let q: f32 = text.parse().ok()?;
    let written_infinite = text.trim_start_matches(['+', '-']).starts_with(['i', 'I']);
    (q.is_finite() || q.is_nan() || written_infinite).then_some(q)
}

/// The part of a three-part version that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    major: u64,
    minor: u64,
}

impl Asked {
    /// The reference's reading: exactly three numbers, leading zeros allowed, then `-pre` and `+meta` of
    /// letters, digits, dots and dashes, where nothing after the sign counts as none.
    fn parse(text: &str) -> Option<Self> {
        let (text, meta) = text.split_once('+').unwrap_or((text, ""));
        let (text, pre) = text.split_once('-').unwrap_or((text, ""));
        let identifier = |s: &str| {
            s.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
        };
        if !identifier(meta) || !identifier(pre) {
            return None;
        }
        let mut parts = text.splitn(3, '.').map(number);
        let (major, minor, _patch) = (parts.next()??, parts.next()??, parts.next()??);
        Some(Self { major, minor })
    }
}

/// Digits only: the standard parser would also take a sign.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|n| i64::try_from(*n).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ign(parameters: &str) -> String {
        format!("application/{SUBTYPE};{parameters}")
    }

    #[test]
    fn versions_map_as_in_the_reference() {
        let served = [
            ("2.2.0", Version::V2_2),
            ("2.2.0-dev", Version::V2_2),
            ("2.9.9", Version::V2_2),
            ("3.0.0", Version::V3_0),
            ("3.1.0", Version::V3_1),
            ("3.2.0+build", Version::V3_2),
            ("03.03.00", Version::V3_3),
            ("3.4.99", Version::V3_4),
            ("3.5.0-experimental", Version::V3_5),
            ("3.6.0", Version::V3_5),
            ("3.99.0", Version::V3_5),
        ];
        for (asked, version) in served {
            assert_eq!(
                negotiate(Some(&ign(&format!("version={asked}")))),
                Ok(version),
                "{asked}"
            );
        }
        for asked in [
            "0.1.0",
            "1.0.0",
            "2.0.0",
            "2.1.0",
            "2.1.0-dev",
            "4.0.0",
            "3000000000.0.0",
        ] {
            assert_eq!(
                negotiate(Some(&ign(&format!("version={asked}")))),
                Err(Unsupported),
                "{asked}"
            );
        }
    }

    #[test]
    fn what_names_no_version_gets_2_2() {
        let headers = [
            "",
            "*/*",
            "text/plain",
            "garbage",
            ",;,",
            "application/json",
            &format!("application/{SUBTYPE}"),
            &ign("version=3.2"),
            &ign("version=\"3.2.0\""),
            &ign("version=1"),
            &ign("version = 3.3.0"),
            &ign("VERSION=3.3.0"),
            &ign("version=3.3.0.0"),
            &ign("version=+3.3.0"),
            &ign("version=-3.3.0"),
            &ign("version=3.3.x"),
            &ign("version=3..0"),
            &ign("version=99999999999999999999.0.0"),
            &ign("version=3.3.0-ä"),
            "a/b/vnd.coreos.ignition+json;version=3.3.0",
            "application/VND.coreos.ignition+json;version=3.3.0",
        ];
        for header in headers {
            assert_eq!(negotiate(Some(header)), Ok(Version::V2_2), "{header:?}");
        }
        assert_eq!(negotiate(None), Ok(Version::V2_2));
    }

    #[test]
    fn the_highest_q_decides_and_there_is_no_second_choice() {
        let v32 = ign("version=3.2.0");
        let cases = [
            (
                format!("{v32};q=0.1,{}", ign("version=3.4.0;q=0.9")),
                Ok(Version::V3_4),
            ),
            (
                format!("{v32};q=0.5,{}", ign("version=3.4.0;q=0.5")),
                Ok(Version::V3_2),
            ),
            (
                format!("{};q=0.9,{v32};q=0.8", ign("version=4.0.0")),
                Err(Unsupported),
            ),
            (
                format!("{v32};q=0,{}", ign("version=3.1.0;q=-1")),
                Ok(Version::V3_2),
            ),
            // The first parameter that can be read counts.
            (ign("version=bad;version=3.3.0;version=3.1.0"), Ok(Version::V3_3)),
            (
                format!("{v32};q=x;q=0.1,{}", ign("version=3.1.0;q=0.2")),
                Ok(Version::V3_1),
            ),
            // Out of range is no number, so q is 1; infinity is a number.
            (
                format!("{v32};q=1e400,{}", ign("version=3.3.0;q=0.9")),
                Ok(Version::V3_2),
            ),
            (
                format!("{v32};q=1,{}", ign("version=3.3.0;q=Inf")),
                Ok(Version::V3_3),
            ),
            // Not a number: keeps its place, and nothing passes it.
            (format!("{v32};q=NaN,{}", ign("version=3.3.0")), Ok(Version::V3_2)),
            (
                format!("{v32};q=0.1,*/*;q=NaN,{}", ign("version=3.3.0")),
                Ok(Version::V3_2),
            ),
            (
                format!("*/*;q=NaN,{v32};q=0.1,{}", ign("version=3.3.0")),
                Ok(Version::V3_3),
            ),
        ];
        for (header, expected) in cases {
            assert_eq!(negotiate(Some(&header)), expected, "{header}");
        }
    }
}
