//! Paths as text of a record, also those that are no text: links of a node may say anything.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serializer};

/// What stands before the hexadecimal digits of a path that is no text. No path begins with it.
const NO_TEXT: char = '\0';

/// For `#[serde(with)]`.
pub(crate) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&encode(path))
}

/// For `#[serde(with)]`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    decode(&String::deserialize(deserializer)?).ok_or_else(|| serde::de::Error::custom("a path is damaged"))
}

/// For lists of paths.
pub(crate) mod list {
    use super::{Deserialize, Deserializer, PathBuf, Serializer, decode, encode};

    /// For `#[serde(with)]`.
    pub(crate) fn serialize<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(paths.iter().map(|path| encode(path)))
    }

    /// For `#[serde(with)]`.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let paths: Option<Vec<_>> = texts.iter().map(|text| decode(text)).collect();
        paths.ok_or_else(|| serde::de::Error::custom("a path is damaged"))
    }
}

fn encode(path: &Path) -> String {
    if let Some(text) = path.to_str() {
        return text.to_owned();
    }
    path.as_os_str()
        .as_bytes()
        .iter()
        .fold(NO_TEXT.to_string(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn decode(text: &str) -> Option<PathBuf> {
    let Some(digits) = text.strip_prefix(NO_TEXT) else {
        return Some(text.into());
    };
    let pairs = digits.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    Some(OsString::from_vec(bytes?).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_comes_back() {
        for bytes in [&b"/etc/a"[..], b"", b"x\xff", b"/\xc3\xa4/\xff\x01"] {
            let path = PathBuf::from(OsString::from_vec(bytes.to_vec()));
            assert_eq!(decode(&encode(&path)), Some(path.clone()), "{path:?}");
        }
        assert_eq!(decode("\0zz"), None);
    }
}
