//! The spec versions that are read and written.

use std::fmt;

/// A spec version that can be written.
///
/// Read are 2.0.0 to 2.2.0, 3.0.0 to 3.5.0, and 3.6.0 when it holds nothing that 3.5.0 cannot say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 2.2.0
    V2_2,
    /// 3.0.0: read only; nothing translates down to it (MCO render 2.6).
    V3_0,
    /// 3.1.0
    V3_1,
    /// 3.2.0
    V3_2,
    /// 3.3.0
    V3_3,
    /// 3.4.0
    V3_4,
    /// 3.5.0: the internal version.
    V3_5,
}

impl Version {
    /// The version a [`crate::Config`] holds and a rendered config is written in.
    pub const LATEST: Version = Version::V3_5;

    /// All versions, oldest first.
    pub const ALL: [Version; 7] = [
        Version::V2_2,
        Version::V3_0,
        Version::V3_1,
        Version::V3_2,
        Version::V3_3,
        Version::V3_4,
        Version::V3_5,
    ];

    /// The full three-part version, as `ignition.version` says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Version::V2_2 => "2.2.0",
            Version::V3_0 => "3.0.0",
            Version::V3_1 => "3.1.0",
            Version::V3_2 => "3.2.0",
            Version::V3_3 => "3.3.0",
            Version::V3_4 => "3.4.0",
            Version::V3_5 => "3.5.0",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
