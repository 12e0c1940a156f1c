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
        self.spec().as_str()
    }

    /// The version as a point in the history of the spec.
    pub(crate) const fn spec(self) -> Spec {
        match self {
            Version::V2_2 => Spec::V2_2,
            Version::V3_0 => Spec::V3_0,
            Version::V3_1 => Spec::V3_1,
            Version::V3_2 => Spec::V3_2,
            Version::V3_3 => Spec::V3_3,
            Version::V3_4 => Spec::V3_4,
            Version::V3_5 => Spec::V3_5,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A spec version a config may declare: those of [`Version`], and those that are only read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spec {
    V2_0,
    V2_1,
    V2_2,
    V3_0,
    V3_1,
    V3_2,
    V3_3,
    V3_4,
    V3_5,
    V3_6,
}

impl Spec {
    /// Every version that is read, oldest first.
    pub(crate) const ALL: [Spec; 10] = [
        Spec::V2_0,
        Spec::V2_1,
        Spec::V2_2,
        Spec::V3_0,
        Spec::V3_1,
        Spec::V3_2,
        Spec::V3_3,
        Spec::V3_4,
        Spec::V3_5,
        Spec::V3_6,
    ];

    /// The full three-part version.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Spec::V2_0 => "2.0.0",
            Spec::V2_1 => "2.1.0",
            Spec::V2_2 => "2.2.0",
            Spec::V3_0 => "3.0.0",
            Spec::V3_1 => "3.1.0",
            Spec::V3_2 => "3.2.0",
            Spec::V3_3 => "3.3.0",
            Spec::V3_4 => "3.4.0",
            Spec::V3_5 => "3.5.0",
            Spec::V3_6 => "3.6.0",
        }
    }

    /// Whether this is one of the 2.x specs, which have a table and rules of their own.
    pub(crate) fn is_v2(self) -> bool {
        self <= Spec::V2_2
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
