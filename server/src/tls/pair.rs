//! The serving pair: certificate chain and key, exchanged while the server runs.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::provider;

/// The pair that new handshakes use. A handshake that has begun keeps the pair it began with.
pub struct ServingPair {
    current: ArcSwap<CertifiedKey>,
}

/// Why a pair cannot be used. Never holds a part of the files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// No certificate in the file.
    #[error("the certificate file holds no PEM certificate")]
    NoCertificate,
    /// A PEM block that cannot be read.
    #[error("the certificate file is not PEM")]
    BadCertificate,
    /// No key in the file, or an encrypted one.
    #[error("the key file holds no unencrypted PEM private key")]
    NoKey,
    /// A key of a kind or form that is not known.
    #[error(
        "the private key is of a kind that is not supported; use RSA (2048 bit or more), ECDSA P-256 or P-384, or Ed25519"
    )]
    BadKey,
    /// Certificate and key are not two halves of one pair.
    #[error("certificate and key do not belong together")]
    Mismatch,
    /// The first certificate cannot be parsed.
    #[error("the first certificate is malformed")]
    Malformed,
}

impl ServingPair {
    /// Makes a pair of two PEM files' contents.
    ///
    /// # Errors
    /// The error says what is wrong with them.
    pub fn new(certificate: &[u8], key: &[u8]) -> Result<Self, PairError> {
        Ok(Self {
            current: ArcSwap::new(certified(certificate, key)?),
        })
    }

    /// Exchanges the pair for the one in two PEM files' contents. On an error the old one stays.
    ///
    /// # Errors
    /// As [`ServingPair::new`].
    pub fn replace(&self, certificate: &[u8], key: &[u8]) -> Result<(), PairError> {
        self.current.store(certified(certificate, key)?);
        Ok(())
    }

    /// When the certificate ends, if that can be told.
    #[must_use]
    pub fn end(&self) -> Option<Timestamp> {
        end(self.current.load().end_entity_cert().ok()?)
    }
}

/// When the first certificate ends.
fn end(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()
}

fn certified(certificate: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, PairError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|_| PairError::BadCertificate)?;
    if chain.is_empty() {
        return Err(PairError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| PairError::NoKey)?;
    CertifiedKey::from_der(chain, key, &provider())
        .map(Arc::new)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => PairError::Mismatch,
            rustls::Error::InvalidCertificate(_) => PairError::Malformed,
            _ => PairError::BadKey,
        })
}

impl ResolvesServerCert for ServingPair {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl fmt::Debug for ServingPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServingPair").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem() -> (String, String) {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (pair.cert.pem(), pair.signing_key.serialize_pem())
    }

    #[test]
    fn a_broken_pair_is_refused_and_the_old_one_stays() {
        let ((cert, key), (other_cert, other_key)) = (pem(), pem());
        let pair = ServingPair::new(cert.as_bytes(), key.as_bytes()).unwrap();
        let before = pair.current.load_full();
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let cases = [
            ("", key.as_str(), PairError::NoCertificate),
            (
                "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n",
                &key,
                PairError::BadCertificate,
            ),
            (garbage, &key, PairError::Malformed),
            (&cert, "", PairError::NoKey),
            (&cert, &cert, PairError::NoKey),
            (
                &cert,
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                PairError::BadKey,
            ),
            (&cert, &other_key, PairError::Mismatch),
        ];
        for (cert, key, expected) in cases {
            assert_eq!(pair.replace(cert.as_bytes(), key.as_bytes()), Err(expected));
            assert!(Arc::ptr_eq(&before, &pair.current.load_full()));
        }
        pair.replace(other_cert.as_bytes(), other_key.as_bytes()).unwrap();
        assert!(!Arc::ptr_eq(&before, &pair.current.load_full()));
        assert!(pair.end().is_some_and(|end| end > Timestamp::now()));
    }
}
