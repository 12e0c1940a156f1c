//! A private certificate authority and one server certificate, made anew for each use.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// A certificate authority that signed one certificate for `localhost` and `127.0.0.1`.
#[derive(Debug)]
pub struct Pki {
    /// The authority's certificate.
    pub ca_pem: String,
    /// File with the server's certificate.
    pub cert: PathBuf,
    /// File with the server's key.
    pub key: PathBuf,
}

impl Pki {
    /// Makes both and writes the server's pair below `dir`.
    pub fn create(dir: &Path) -> Result<Self> {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        ca.distinguished_name.push(DnType::CommonName, "root-ca");
        let ca_pem = ca.self_signed(&ca_key)?.pem();
        let issuer = Issuer::new(ca, ca_key);

        let key = KeyPair::generate()?;
        let server = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        let cert = server.signed_by(&key, &issuer)?;
        let pki = Self {
            ca_pem,
            cert: dir.join("tls.crt"),
            key: dir.join("tls.key"),
        };
        fs::write(&pki.cert, cert.pem()).context("could not write the certificate")?;
        fs::write(&pki.key, key.serialize_pem()).context("could not write the key")?;
        fs::set_permissions(&pki.key, fs::Permissions::from_mode(0o600))?;
        Ok(pki)
    }
}
