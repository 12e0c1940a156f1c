//! `pointer`: what a bare machine is given to find its config.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Secret;
use machineconfig::join::{self, JoinToken};
use machineconfig::{Code, Finding};
use serde_json::Value;

use crate::cli::Exit;
use crate::cluster::{self, Access, Connection, pool_name};
use crate::form;
use crate::terminal::Terminal;

/// The largest set of CAs that is read.
const MAX_BYTES: usize = 1 << 20;

/// Print the Ignition config that a new machine of a pool begins with
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    mcctl pointer pool/worker > worker.ign\n  \
    mcctl pointer pool/worker --token $(mcctl token create pool/worker --once) > worker.ign\n  \
    mcctl pointer pool/worker --url https://192.0.2.10:22623 --ca ca.crt > worker.ign")]
pub(crate) struct Args {
    /// The pool, as pool/NAME
    #[arg(value_name = "pool/NAME", value_parser = pool_name)]
    pool: String,
    /// Join token for the machine to show; with it the config takes Ignition 2.3 or newer
    #[arg(long, value_name = "TOKEN")]
    token: Option<JoinToken>,
    /// Where the server is, instead of what the cluster says
    #[arg(long, value_name = "URL", requires = "ca")]
    url: Option<String>,
    /// CAs to trust it by in PEM, instead of what the cluster says; with --url no cluster is asked
    #[arg(long, value_name = "FILE", requires = "url")]
    ca: Option<PathBuf>,
    /// Namespace of the pointers
    #[arg(long, value_name = "NAME", default_value = "machine-config-user-data")]
    namespace: String,
    #[command(flatten)]
    connection: Connection,
}

impl Args {
    pub(crate) fn run(self, terminal: &Terminal) -> anyhow::Result<Exit> {
        let token = self.token.as_ref();
        if let (Some(url), Some(path)) = (&self.url, &self.ca) {
            let ca =
                fs::read_to_string(path).with_context(|| format!("cannot read {} (--ca)", path.display()))?;
            anyhow::ensure!(
                ca.contains("-----BEGIN CERTIFICATE-----"),
                "{} (--ca) holds no PEM certificate",
                path.display()
            );
            terminal.print(&form::json(&join::pointer(url, &self.pool, &ca, token)))?;
            return Ok(Exit::Done);
        }
        cluster::run(&self.connection, terminal, async |access: &Access| {
            let name = format!("{}-user-data-managed", self.pool);
            let secret = access.get_in::<Secret>(&self.namespace, &name).await?;
            let (url, ca) = read(&name, secret)?;
            terminal.print(&form::json(&join::pointer(&url, &self.pool, &ca, token)))?;
            Ok(Exit::Done)
        })
    }
}

/// Where the server is and whom to trust, by the pointer that the controller keeps.
fn read(name: &str, secret: Option<Secret>) -> Result<(String, String), Finding> {
    let refused = |message: &str| Finding::error(Code::NO_SUCH_OBJECT, format!("Secret/{name}"), "", message);
    let secret = secret.ok_or_else(|| {
        refused("is not in the cluster; the controller makes it once it is told where the server is (--ignition-url)")
    })?;
    let data = secret.data.unwrap_or_default();
    let user_data = data.get("userData").map(|bytes| bytes.0.as_slice());
    let pointer: Value = serde_json::from_slice(user_data.unwrap_or_default())
        .map_err(|_| refused("holds no pointer: userData is no JSON"))?;
    let ignition = &pointer["ignition"];
    let source = ignition["config"]["merge"][0]["source"].as_str();
    let url = source.and_then(|source| source.split_once("/config/"));
    let ca = ignition["security"]["tls"]["certificateAuthorities"][0]["source"].as_str();
    let ca = ignition::contents::decode(ca, None, MAX_BYTES)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    match (url, ca) {
        (Some((url, _)), Some(ca)) if !ca.is_empty() => Ok((url.to_owned(), ca)),
        _ => Err(refused("holds no pointer: no source, or no CA")),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    fn secret(user_data: &str) -> Secret {
        Secret {
            data: Some([("userData".to_owned(), ByteString(user_data.into()))].into()),
            ..Secret::default()
        }
    }

    #[test]
    fn the_pointer_of_the_cluster_is_read_and_written_again() {
        let kept = join::pointer("https://api-int.example.com:22623", "worker", "CA", None);
        let (url, ca) = read("worker-user-data-managed", Some(secret(&kept.to_string()))).unwrap();
        assert_eq!(
            (url.as_str(), ca.as_str()),
            ("https://api-int.example.com:22623", "CA")
        );
        for (secret, expected) in [
            (None, "is not in the cluster"),
            (Some(Secret::default()), "no JSON"),
            (Some(secret("{}")), "no source"),
        ] {
            let error = read("x", secret).unwrap_err();
            assert!(error.message.contains(expected), "{error}");
        }
    }
}
