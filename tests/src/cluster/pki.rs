//! Whom a cluster trusts: an authority of its own, made anew for each, and what it signed.

use std::fs::{self, Permissions};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::{Value, json};

/// Who may do everything.
const MASTERS: &str = "system:masters";

/// A certificate and its key, both as PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// The files of one cluster.
#[derive(Debug)]
pub(super) struct Pki {
    dir: PathBuf,
    /// The authority's certificate.
    pub(super) ca: String,
    /// Who may do everything.
    pub(super) admin: Identity,
}

impl Pki {
    /// Makes everything below `dir`. `addresses` are the API server's, `server` is its URL.
    pub(super) fn create(dir: &Path, addresses: &[IpAddr], server: &str) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("could not create {}", dir.display()))?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        params
            .distinguished_name
            .push(DnType::CommonName, "kubernetes-ca");
        let ca = params.self_signed(&key)?.pem();
        write(dir, "ca.crt", &ca)?;
        write(dir, "ca.key", &key.serialize_pem())?;
        let issuer = Issuer::new(params, key);

        let mut names: Vec<SanType> = Vec::new();
        for name in [
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "localhost",
        ] {
            names.push(SanType::DnsName(name.try_into()?));
        }
        names.extend(addresses.iter().copied().map(SanType::IpAddress));
        let pki = Self {
            dir: dir.to_owned(),
            admin: signed(&issuer, "admin", Some(MASTERS), &[])?,
            ca,
        };
        pki.pair("apiserver", &signed(&issuer, "kube-apiserver", None, &names)?)?;
        let kubelet = signed(&issuer, "kube-apiserver-kubelet-client", Some(MASTERS), &[])?;
        pki.pair("kubelet-client", &kubelet)?;
        pki.pair("proxy-client", &signed(&issuer, "front-proxy-client", None, &[])?)?;
        let accounts = KeyPair::generate()?;
        write(dir, "sa.key", &accounts.serialize_pem())?;
        write(dir, "sa.pub", &accounts.public_key_pem())?;
        pki.kubeconfig("admin", server, &pki.admin)?;
        for name in ["kube-controller-manager", "kube-scheduler"] {
            let identity = signed(&issuer, &format!("system:{name}"), None, &[])?;
            pki.kubeconfig(name, server, &identity)?;
        }
        Ok(pki)
    }

    /// One of the files.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn pair(&self, name: &str, identity: &Identity) -> Result<()> {
        write(&self.dir, &format!("{name}.crt"), &identity.certificate)?;
        write(&self.dir, &format!("{name}.key"), &identity.key)
    }

    /// Everything is inside the file, so that it can be moved.
    fn kubeconfig(&self, name: &str, server: &str, identity: &Identity) -> Result<()> {
        let user = json!({
            "client-certificate-data": STANDARD.encode(&identity.certificate),
            "client-key-data": STANDARD.encode(&identity.key),
        });
        let cluster = json!({"server": server, "certificate-authority-data": STANDARD.encode(&self.ca)});
        write(
            &self.dir,
            &format!("{name}.kubeconfig"),
            &kubeconfig(&cluster, &user).to_string(),
        )
    }
}

/// A kubeconfig of one cluster and one user.
pub(super) fn kubeconfig(cluster: &Value, user: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "cluster",
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": "user"}}],
    })
}

/// A server's certificate when it has names, else a client's.
fn signed(
    issuer: &Issuer<'_, KeyPair>,
    name: &str,
    group: Option<&str>,
    names: &[SanType],
) -> Result<Identity> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.subject_alt_names = names.to_vec();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![if names.is_empty() {
        ExtendedKeyUsagePurpose::ClientAuth
    } else {
        ExtendedKeyUsagePurpose::ServerAuth
    }];
    Ok(Identity {
        certificate: params.signed_by(&key, issuer)?.pem(),
        key: key.serialize_pem(),
    })
}

fn write(dir: &Path, name: &str, text: &str) -> Result<()> {
    let path = dir.join(name);
    fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
    Ok(fs::set_permissions(&path, Permissions::from_mode(0o600))?)
}
