//! The versions and cipher suites that are offered, from flags with Kubernetes' names.

use std::str::FromStr;

use rustls::crypto::ring::cipher_suite as ring;
use rustls::{SupportedCipherSuite, SupportedProtocolVersion, version};

/// What is offered to clients.
#[derive(Debug, Clone)]
pub struct Settings {
    min: MinVersion,
    suites: Vec<&'static Suite>,
}

/// The lowest TLS version that is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// Why settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// TLS 1.0 and 1.1, which are not implemented.
    #[error(
        "{0} is not supported: TLS below 1.2 is broken and not built in; use VersionTLS12 or VersionTLS13"
    )]
    TooOld(String),
    /// No name of a version.
    #[error("{0:?} is no TLS version; use VersionTLS12 or VersionTLS13")]
    UnknownVersion(String),
    /// No name of a cipher suite.
    #[error("{name:?} is no cipher suite; supported are {}", supported())]
    UnknownSuite {
        /// The name as it was given.
        name: String,
    },
    /// Nothing is left to offer.
    #[error(
        "no supported cipher suite is left for the lowest TLS version; supported are {}",
        supported()
    )]
    NothingToOffer,
    /// The CA of client certificates holds none that can be used.
    #[error("the client CA holds no PEM certificate that can be used")]
    ClientCa,
}

/// A cipher suite by its names.
#[derive(Debug)]
pub(super) struct Suite {
    iana: &'static str,
    openssl: &'static str,
    cipher: &'static SupportedCipherSuite,
}

/// Every suite that is built in, in the order of preference: as in the reference AES-128 comes first, which is strong
/// enough and the cheapest for both sides. They are those of the profile "Intermediate".
static SUITES: [Suite; 9] = [
    suite(
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_128_GCM_SHA256",
        &ring::TLS13_AES_128_GCM_SHA256,
    ),
    suite(
        "TLS_AES_256_GCM_SHA384",
        "TLS_AES_256_GCM_SHA384",
        &ring::TLS13_AES_256_GCM_SHA384,
    ),
    suite(
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_CHACHA20_POLY1305_SHA256",
        &ring::TLS13_CHACHA20_POLY1305_SHA256,
    ),
    suite(
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        &ring::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    suite(
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        &ring::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    suite(
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        &ring::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    suite(
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        &ring::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    suite(
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        &ring::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    suite(
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE-RSA-CHACHA20-POLY1305",
        &ring::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// The versions that are built in, newest first.
static VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

/// Suites that the reference's runtime can be told to offer and that are not built in here: no forward
/// secrecy, or CBC. Naming them beside others is no mistake, so they are passed over with a warning.
const NOT_BUILT_IN: [&str; 16] = [
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
];

/// Go's older names without the hash, which flags and profiles in the field still carry.
const ALIASES: [(&str, &str); 2] = [
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    ),
];

const fn suite(iana: &'static str, openssl: &'static str, cipher: &'static SupportedCipherSuite) -> Suite {
    Suite {
        iana,
        openssl,
        cipher,
    }
}

fn supported() -> String {
    SUITES.each_ref().map(|s| s.iana).join(", ")
}

// === impl MinVersion ===

impl FromStr for MinVersion {
    type Err = SettingsError;

    /// Reads Kubernetes' names, `VersionTLS12` and `VersionTLS13`.
    fn from_str(name: &str) -> Result<Self, SettingsError> {
        match name {
            "VersionTLS12" => Ok(Self::Tls12),
            "VersionTLS13" => Ok(Self::Tls13),
            "VersionTLS10" | "VersionTLS11" => Err(SettingsError::TooOld(name.to_owned())),
            _ => Err(SettingsError::UnknownVersion(name.to_owned())),
        }
    }
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self::intermediate()
    }
}

impl Settings {
    /// The profile "Intermediate" (`MCO server 1.6`): TLS 1.2 and 1.3, every suite that is built in.
    #[must_use]
    pub fn intermediate() -> Self {
        Self {
            min: MinVersion::Tls12,
            suites: SUITES.iter().collect(),
        }
    }

    /// The profile "Modern": TLS 1.3 only.
    #[must_use]
    pub fn modern() -> Self {
        Self::intermediate().with_min(MinVersion::Tls13)
    }

    /// The same with another lowest version.
    #[must_use]
    pub fn with_min(self, min: MinVersion) -> Self {
        Self { min, ..self }
    }

    /// The same with exactly the suites named, and the names that are known and not built in.
    ///
    /// Unlike in the reference, whose runtime offers all suites of TLS 1.3 whatever the list says, what is
    /// not named is not offered.
    ///
    /// # Errors
    /// [`SettingsError::UnknownSuite`] for a name that means nothing.
    pub fn with_iana_suites(self, names: &[String]) -> Result<(Self, Vec<String>), SettingsError> {
        let (mut suites, mut passed_over) = (Vec::new(), Vec::new());
        for name in names {
            let full = ALIASES
                .iter()
                .find(|(short, _)| short == name)
                .map_or(name.as_str(), |(_, full)| full);
            if let Some(suite) = SUITES.iter().find(|s| s.iana == full) {
                suites.push(suite);
            } else if NOT_BUILT_IN.contains(&full) {
                passed_over.push(name.clone());
            } else {
                return Err(SettingsError::UnknownSuite { name: name.clone() });
            }
        }
        Ok((Self { suites, ..self }, passed_over))
    }

    /// As [`Settings::with_iana_suites`], with the names of OpenSSL that a custom profile uses. Unknown
    /// names are passed over too, as they are in the reference.
    #[must_use]
    pub fn with_openssl_suites(self, names: &[String]) -> (Self, Vec<String>) {
        let find = |name: &String| SUITES.iter().find(|s| s.openssl == name);
        let suites = names.iter().filter_map(find).collect();
        let passed_over = names
            .iter()
            .filter(|name| find(name).is_none())
            .cloned()
            .collect();
        (Self { suites, ..self }, passed_over)
    }

    /// Refuses settings that leave nothing to offer.
    ///
    /// # Errors
    /// [`SettingsError::NothingToOffer`].
    pub fn checked(self) -> Result<Self, SettingsError> {
        let usable = self
            .suites
            .iter()
            .any(|s| self.versions().contains(&s.cipher.version()));
        if usable {
            Ok(self)
        } else {
            Err(SettingsError::NothingToOffer)
        }
    }

    /// Whether TLS 1.3 is offered: not when a list of suites names none of it.
    #[must_use]
    pub fn offers_tls13(&self) -> bool {
        self.suites.iter().any(|s| s.cipher.version() == &version::TLS13)
    }

    /// The names of the suites that are offered.
    #[must_use]
    pub fn suite_names(&self) -> Vec<&'static str> {
        self.suites.iter().map(|s| s.iana).collect()
    }

    pub(super) fn suites(&self) -> Vec<SupportedCipherSuite> {
        self.suites.iter().map(|s| *s.cipher).collect()
    }

    pub(super) fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        match self.min {
            MinVersion::Tls12 => &VERSIONS,
            MinVersion::Tls13 => &VERSIONS[..1],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn versions_below_1_2_are_refused_with_the_way_out() {
        for name in ["VersionTLS10", "VersionTLS11"] {
            let text = name.parse::<MinVersion>().unwrap_err().to_string();
            assert!(text.contains(name) && text.contains("VersionTLS12"), "{text}");
        }
        assert_eq!("VersionTLS12".parse(), Ok(MinVersion::Tls12));
        assert_eq!("VersionTLS13".parse(), Ok(MinVersion::Tls13));
        assert_eq!(
            "TLS1.2".parse::<MinVersion>(),
            Err(SettingsError::UnknownVersion("TLS1.2".to_owned()))
        );
    }

    #[test]
    fn exactly_the_suites_named_are_offered() {
        let list = names(&[
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
            "TLS_RSA_WITH_AES_128_CBC_SHA",
            "TLS_AES_128_GCM_SHA256",
        ]);
        let (settings, passed_over) = Settings::intermediate().with_iana_suites(&list).unwrap();
        assert_eq!(
            settings.suite_names(),
            [
                "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
                "TLS_AES_128_GCM_SHA256"
            ]
        );
        assert_eq!(passed_over, ["TLS_RSA_WITH_AES_128_CBC_SHA"]);
        assert!(settings.offers_tls13());
        let unknown = Settings::intermediate()
            .with_iana_suites(&names(&["TLS_NO_SUCH"]))
            .unwrap_err();
        assert!(unknown.to_string().contains("\"TLS_NO_SUCH\""), "{unknown}");
    }

    #[test]
    fn settings_that_offer_nothing_are_refused() {
        let only_1_2 = names(&["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]);
        let (settings, _) = Settings::modern().with_iana_suites(&only_1_2).unwrap();
        assert_eq!(
            settings.clone().checked().unwrap_err(),
            SettingsError::NothingToOffer
        );
        assert!(!settings.offers_tls13());
        assert!(settings.with_min(MinVersion::Tls12).checked().is_ok());
        let (none, passed_over) = Settings::intermediate().with_openssl_suites(&names(&["AES128-SHA"]));
        assert_eq!(none.checked().unwrap_err(), SettingsError::NothingToOffer);
        assert_eq!(passed_over, ["AES128-SHA"]);
    }
}
