//! Contents both ways: data URLs (percent, base64) and gzip, with a bound on the inflated size.

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

/// The bytes a file is to hold. No source means empty. `compression` is `None`, `""` or `"gzip"`.
pub fn decode(
    source: Option<&str>,
    compression: Option<&str>,
    limit: usize,
) -> Result<Vec<u8>, ContentsError> {
    let _ = (source, compression, limit);
    todo!()
}

/// A data URL in the reference's percent encoding: `data:,` and `A-Z a-z 0-9 - _ . ! ~ * ' ( )` kept.
#[must_use]
pub fn percent(bytes: &[u8]) -> String {
    let _ = bytes;
    todo!()
}

/// A data URL in base64: `data:;base64,…`.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    let _ = bytes;
    todo!()
}

/// Compresses, without a time stamp, so that equal bytes give equal streams.
#[must_use]
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let _ = bytes;
    todo!()
}

/// Inflates at most `limit` bytes.
pub fn gunzip(bytes: &[u8], limit: usize) -> Result<Vec<u8>, ContentsError> {
    let _ = (bytes, limit);
    todo!()
}

/// Checks `sha512-…` or `sha256-…` against the decoded bytes; `None` when the hash is malformed.
#[must_use]
pub fn verify(bytes: &[u8], hash: &str) -> Option<bool> {
    let _ = (bytes, hash);
    todo!()
}
