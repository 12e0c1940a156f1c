//! Contents both ways: data URLs (percent, base64) and gzip, with a bound on the inflated size.

mod data_url;

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256, Sha512};

/// The default bound on inflated contents: 64 MiB, far above the size limit of a MachineConfig.
pub const MAX_INFLATED: usize = 64 << 20;

/// Why contents cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentsError {
    /// The source is no `data:` URL.
    #[error("source is not a data: URL (scheme {scheme:?})")]
    NotData {
        /// The scheme found, empty when there is none.
        scheme: String,
    },
    /// The data URL does not decode.
    #[error("data URL does not decode: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
    /// A compression other than none and gzip.
    #[error("unknown compression {compression:?}")]
    UnknownCompression {
        /// What was asked for.
        compression: String,
    },
    /// The gzip stream is corrupt.
    #[error("gzip stream is corrupt: {reason}")]
    CorruptGzip {
        /// What the decoder said.
        reason: String,
    },
    /// More than the bound once inflated.
    #[error("contents inflate to more than {limit} bytes")]
    TooLarge {
        /// The bound in bytes.
        limit: usize,
    },
}

/// The bytes a file is to hold. No source, or an empty one, means empty. `compression` is `None`, `""` or
/// `"gzip"`. The bound holds for plain contents too.
pub fn decode(
    source: Option<&str>,
    compression: Option<&str>,
    limit: usize,
) -> Result<Vec<u8>, ContentsError> {
    let bytes = match source {
        None | Some("") => Vec::new(),
        Some(source) => data_url::decode(source)?,
    };
    match compression {
        None | Some("") if bytes.len() > limit => Err(ContentsError::TooLarge { limit }),
        None | Some("") => Ok(bytes),
        // No contents are no contents, compressed or not.
        Some("gzip") if source.is_none_or(str::is_empty) => Ok(bytes),
        Some("gzip") => gunzip(&bytes, limit),
        Some(other) => Err(ContentsError::UnknownCompression {
            compression: other.chars().take(32).collect(),
        }),
    }
}

/// Checks that a data URL decodes.
pub(crate) fn check_source(source: &str) -> Result<(), ContentsError> {
    data_url::check(source)
}

/// A data URL in the reference's percent encoding: `data:,` and `A-Z a-z 0-9 - _ . ! ~ * ' ( )` kept.
#[must_use]
pub fn percent(bytes: &[u8]) -> String {
    const HEX: [u8; 16] = *b"0123456789ABCDEF";
    let mut out = String::with_capacity("data:,".len() + bytes.len());
    out.push_str("data:,");
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}

/// A data URL in base64: `data:;base64,…`.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    let mut out = String::from("data:;base64,");
    STANDARD.encode_string(bytes, &mut out);
    out
}

/// Compresses, without a time stamp, so that equal bytes give equal streams.
///
/// # Panics
/// Never: writing to memory does not fail.
#[must_use]
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("writing to memory does not fail");
    encoder.finish().expect("writing to memory does not fail")
}

/// Inflates at most `limit` bytes.
pub fn gunzip(bytes: &[u8], limit: usize) -> Result<Vec<u8>, ContentsError> {
    let mut out = Vec::new();
    // One byte more than allowed tells too much from just enough.
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(bytes)
        .take(bound)
        .read_to_end(&mut out)
        .map_err(|error| ContentsError::CorruptGzip {
            reason: error.to_string(),
        })?;
    if out.len() > limit {
        Err(ContentsError::TooLarge { limit })
    } else {
        Ok(out)
    }
}

/// Checks `sha512-…` or `sha256-…` against the decoded bytes; `None` when the hash is malformed.
#[must_use]
pub fn verify(bytes: &[u8], hash: &str) -> Option<bool> {
    let (function, sum) = hash.split_once('-')?;
    let actual: Vec<u8> = match function {
        "sha512" => Sha512::digest(bytes).to_vec(),
        "sha256" => Sha256::digest(bytes).to_vec(),
        _ => return None,
    };
    let expected = unhex(sum)?;
    (expected.len() == actual.len()).then(|| expected == actual)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks_exact(2);
    if !digits.remainder().is_empty() {
        return None;
    }
    digits
        .map(|pair| Some(hex(pair[0])? << 4 | hex(pair[1])?))
        .collect()
}

/// The value of a hexadecimal digit.
fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}
