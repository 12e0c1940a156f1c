//! TLS: what is offered, and the serving pair that can be exchanged while the server runs.
//!
//! Entry points: [`Settings`] says what is offered, [`ServingPair`] holds certificate and key,
//! [`acceptor`] makes of both what a listener needs. No other module names a type of the TLS library.

mod pair;
mod profile;
mod settings;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

pub use pair::ServingPair;
pub use profile::from_api_server;
pub use settings::{MinVersion, Settings, SettingsError};

/// Only HTTP/1.1 is offered (`MCO server 1.2`): a client that speaks nothing but HTTP/2 is refused in the handshake.
const ALPN: &[u8] = b"http/1.1";

/// The cryptography, chosen in this one place.
fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// What a listener needs to speak TLS. The pair may be exchanged later; the settings may not.
///
/// With a client CA clients are asked for a certificate of it; one who shows none is let in all the same.
///
/// # Errors
/// [`SettingsError::NothingToOffer`] when no cipher suite fits the lowest version, [`SettingsError::ClientCa`].
pub fn acceptor(
    settings: &Settings,
    pair: Arc<ServingPair>,
    client_ca: Option<&[u8]>,
) -> Result<TlsAcceptor, SettingsError> {
    let provider = Arc::new(CryptoProvider {
        cipher_suites: settings.suites(),
        ..provider()
    });
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(settings.versions())
        .map_err(|_| SettingsError::NothingToOffer)?;
    let mut config = match client_ca {
        Some(pem) => builder.with_client_cert_verifier(verifier(pem, provider)?),
        None => builder.with_no_client_auth(),
    }
    .with_cert_resolver(pair);
    // The server chooses, so that the order in which suites are asked for means something.
    config.ignore_client_order = true;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A machine asks once in its life: nobody resumes a session, and a replaced certificate counts at once.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Verifies the certificates of clients that show one.
fn verifier(pem: &[u8], provider: Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, SettingsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| SettingsError::ClientCa)?;
        roots.add(certificate).map_err(|_| SettingsError::ClientCa)?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|_| SettingsError::ClientCa)
}
