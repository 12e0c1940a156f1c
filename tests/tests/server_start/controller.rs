//! The controller beside the server: what it makes for machines that join.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::client::Client;
use e2e::cluster::wait_on;
use e2e::program::{Background, built, free_port};
use http::Method;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};
use x509_parser::pem::Pem;

use crate::world::{DEADLINE, NAMESPACE, World, end};

impl World {
    /// Starts the controller as its account.
    pub(crate) fn start_controller(&mut self, arguments: &[&str]) -> Result<()> {
        self.controller = None;
        let token = self.token("machine-config-controller")?;
        let kubeconfig = self.kubeconfig("controller.kubeconfig", &token)?;
        let mut command = Command::new(built("machine-config-controller")?);
        command
            .args([
                "start",
                "--render-delay=0.3",
                "--ignition-url=https://localhost:22623",
            ])
            .arg("--leader-elect-retry-period=0.5")
            .args([
                "--leader-elect-lease-duration=3",
                "--leader-elect-renew-deadline=2",
            ])
            .arg(format!("--kubeconfig={kubeconfig}"))
            .arg(format!("--resourcelock-namespace={NAMESPACE}"))
            .arg(format!("--metrics-listen-address=127.0.0.1:{}", free_port()?))
            .args(arguments);
        let log = self.cluster.dir().join("logs/controller.log");
        self.controller = Some(Background::start(&mut command, &log)?);
        Ok(())
    }

    pub(crate) fn controller_log(&self) -> String {
        self.controller.as_ref().map(Background::log).unwrap_or_default()
    }

    pub(crate) fn controller_log_end(&self) -> String {
        end(&self.controller_log())
    }

    /// The pointer of a pool's machines.
    pub(crate) fn pointer(&self, pool: &str) -> Result<Value> {
        let path = format!("/api/v1/namespaces/machine-config-user-data/secrets/{pool}-user-data-managed");
        let secret = wait_on("the pointer", DEADLINE, || self.api().find(&path))?;
        Ok(serde_json::from_str(&decoded(&secret, "userData")?)?)
    }

    /// What that pointer trusts.
    pub(crate) fn trusted(&self) -> Result<String> {
        let pointer = self.pointer("worker")?;
        let source = pointer["ignition"]["security"]["tls"]["certificateAuthorities"][0]["source"].as_str();
        let bytes = ignition::contents::decode(source, None, 1 << 20)?;
        Ok(String::from_utf8(bytes)?)
    }

    /// Puts the pair that was made where the server reads it, and trusts what pointers trust.
    pub(crate) fn serve_with_made_pair(&mut self) -> Result<()> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets/machine-config-server-tls");
        let secret = wait_on("the serving pair", DEADLINE, || self.api().find(&path))?;
        fs::write(&self.pki.cert, decoded(&secret, "tls.crt")?)?;
        fs::write(&self.pki.key, decoded(&secret, "tls.key")?)?;
        self.pki.ca_pem = self.trusted()?;
        Ok(())
    }

    /// Asks the server as a machine with another pointer; the result is the status.
    pub(crate) fn ask_trusting(&self, trusted: &str, path: &str) -> Result<u16> {
        let client = Client::new(trusted, self.server()?.port)?;
        Ok(client.send(&Method::GET, path, &[])?.status.as_u16())
    }

    /// Puts another CA in the place of the one there is: it has the same key and name, and was made nine years ago.
    pub(crate) fn age_authority(&self) -> Result<()> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets/machine-config-server-ca");
        let secret = self.api().get(&path)?;
        let key = KeyPair::from_pem(&decoded(&secret, "tls.key")?)?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name = name_of(&decoded(&secret, "tls.crt")?)?;
        let year = i32::from(jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).year());
        params.not_before = rcgen::date_time_ymd(year - 9, 1, 1);
        params.not_after = rcgen::date_time_ymd(year + 1, 12, 31);
        let aged = params.self_signed(&key)?.pem();
        let change = json!({"data": {"tls.crt": STANDARD.encode(aged)}});
        self.api().merge(&path, &change).map(drop)
    }

    /// Creates a request for a certificate as the holder of a token.
    pub(crate) fn create_as(&self, token: &str, object: &Value) -> Result<()> {
        let path = self.cluster.dir().join("request.json");
        fs::write(&path, object.to_string())?;
        let path = path.display().to_string();
        let ran = self.as_holder(token, &["create", "--filename", &path])?;
        ensure!(ran.code == Some(0), "{}", ran.all());
        Ok(())
    }
}

/// A value of a Secret, as text.
fn decoded(secret: &Value, key: &str) -> Result<String> {
    let encoded = secret["data"][key].as_str();
    let encoded = encoded.with_context(|| format!("the Secret has no {key}"))?;
    Ok(String::from_utf8(STANDARD.decode(encoded)?)?)
}

/// The subject of a certificate.
fn name_of(pem: &str) -> Result<DistinguishedName> {
    let (pem, _) = Pem::read(std::io::Cursor::new(pem))?;
    let certificate = pem.parse_x509()?;
    let name = certificate.subject().iter_common_name().next();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name.context("no name")?.as_str()?);
    Ok(subject)
}
