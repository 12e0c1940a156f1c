//! The way to the API server, for the server itself and for the machines it serves.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::cli::Start;

/// How the API server's log calls us.
const USER_AGENT: &str = concat!("machine-config-server/", env!("CARGO_PKG_VERSION"));
/// Digits of base64 in a line of PEM (RFC 7468).
const PEM_LINE: usize = 64;

/// A client, and the CA that new machines know the API server by.
pub(super) struct Way {
    pub(super) client: Client,
    /// In PEM; empty when the system's CAs are to be used.
    pub(super) ca: Vec<u8>,
}

impl Way {
    /// By `--kubeconfig`, else by what a pod has.
    pub(super) async fn find(start: &Start) -> anyhow::Result<Self> {
        let mut config = match &start.kubeconfig {
            Some(path) => {
                let read = Kubeconfig::read_from(path)
                    .with_context(|| format!("cannot use {} (--kubeconfig)", path.display()))?;
                Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
                    .await
                    .with_context(|| format!("{} is no usable kubeconfig", path.display()))?
            }
            None => Config::incluster()
                .context("found no way to the API server: give --kubeconfig, or run in a pod")?,
        };
        if config.headers.iter().all(|(name, _)| name != "user-agent") {
            let agent = http::HeaderValue::from_static(USER_AGENT);
            config.headers.push((http::header::USER_AGENT, agent));
        }
        let from_token = start
            .bootstrap_token
            .as_ref()
            .map(|directory| directory.join("ca.crt"));
        let ca = match from_token.filter(|path| path.exists()) {
            Some(path) => std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?,
            None => pem(config.root_cert.as_deref().unwrap_or_default()),
        };
        let client = Client::try_from(config).context("could not make a client of the API server")?;
        Ok(Self { client, ca })
    }
}

fn pem(certificates: &[Vec<u8>]) -> Vec<u8> {
    let mut text = String::new();
    for certificate in certificates {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = STANDARD.encode(certificate);
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(PEM_LINE.min(rest.len()));
            text.push_str(line);
            text.push('\n');
            rest = after;
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_is_written_as_it_was_read() {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let text = pair.cert.pem().replace("\r\n", "\n");
        assert_eq!(pem(&[pair.cert.der().to_vec()]), text.as_bytes());
        assert_eq!(pem(&[]), b"");
    }
}
