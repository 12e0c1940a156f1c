//! TLS: what is offered, and the serving pair that can be exchanged while the server runs.
//!
//! Entry points: [`Settings`] says what is offered, [`ServingPair`] holds certificate and key,
//! [`acceptor`] makes of both what a listener needs. No other module names a type of the TLS library.

mod pair;
mod profile;
mod settings;

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;
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
/// # Errors
/// [`SettingsError::NothingToOffer`] when no cipher suite fits the lowest version.
pub fn acceptor(settings: &Settings, pair: Arc<ServingPair>) -> Result<TlsAcceptor, SettingsError> {
    let provider = CryptoProvider {
        cipher_suites: settings.suites(),
        ..provider()
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(settings.versions())
        .map_err(|_| SettingsError::NothingToOffer)?
        .with_no_client_auth()
        .with_cert_resolver(pair);
    // The server chooses, so that the order in which suites are asked for means something.
    config.ignore_client_order = true;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A machine asks once in its life: nobody resumes a session, and a replaced certificate counts at once.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
