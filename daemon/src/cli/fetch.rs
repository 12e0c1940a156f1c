//! A config from a server, as the first boot of a machine gets it.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use crds::manifest::MAX_TEXT_BYTES;
use machineconfig::finding::Located;
use machineconfig::{Code, Finding};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::answer::about;
use crate::source::{self, Source};

/// What we read best.
const ACCEPT: &str = "application/vnd.coreos.ignition+json;version=3.5.0, */*;q=0.1";
/// For the whole of it: a config is a few megabytes.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Where systems keep whom they trust.
const BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Whether a config is named by a URL.
pub(super) fn is_url(config: &str) -> bool {
    config.starts_with("https://") || config.starts_with("http://")
}

/// Fetches a config. Redirects are not followed: they lose what was asked for.
pub(super) fn read(url: &str, ca: Option<&Path>) -> Result<Source, Vec<Located>> {
    let wrong = |message: String| {
        vec![about(
            Path::new(url),
            Finding::error(Code::UNREADABLE, "", "", message),
        )]
    };
    let text = fetch(url, ca).map_err(wrong)?;
    source::parse(url, &text)
}

fn fetch(url: &str, ca: Option<&Path>) -> Result<String, String> {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&authorities(ca)?))
        .build();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .build()
        .into();
    let mut answer = agent
        .get(url)
        .header("Accept", ACCEPT)
        .call()
        .map_err(|error| format!("cannot be fetched: {error}"))?;
    if answer.status() != 200 {
        return Err(format!(
            "cannot be fetched: the server answered {}",
            answer.status()
        ));
    }
    let mut bytes = Vec::new();
    let limit = MAX_TEXT_BYTES as u64 + 1;
    answer
        .body_mut()
        .as_reader()
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot be fetched: {error}"))?;
    if bytes.len() > MAX_TEXT_BYTES {
        return Err(format!("is longer than {} MiB", MAX_TEXT_BYTES >> 20));
    }
    if bytes.is_empty() {
        return Err("the server answered with nothing, which is no config".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "is no text".to_owned())
}

/// Whom to trust: the authority that was named, else those of the system.
fn authorities(ca: Option<&Path>) -> Result<Vec<Certificate<'static>>, String> {
    let paths: Vec<&Path> = ca.map_or_else(|| BUNDLES.iter().map(Path::new).collect(), |ca| vec![ca]);
    let Some((path, pem)) = paths
        .iter()
        .find_map(|path| Some((path, std::fs::read(path).ok()?)))
    else {
        return match ca {
            Some(ca) => Err(format!("the authority {} cannot be read", ca.display())),
            None => Ok(Vec::new()),
        };
    };
    let items = ureq::tls::parse_pem(&pem);
    let certificates: Vec<_> = items
        .filter_map(|item| match item {
            Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(certificate),
            Ok(_) | Err(_) => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(format!("{} holds no certificate", path.display()));
    }
    Ok(certificates)
}
