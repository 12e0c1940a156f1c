//! Families `accept` and `serve`: the version a client gets, and the exact answer of a server that reads files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path};

use anyhow::{Context, Result, bail};
use http::Method;
use serde::Deserialize;
use server::accept::negotiate;
use server::files::{Layout, Loader};
use server::route::answer;
use server::snapshot::Served;

use super::cases::Case;
use super::checks::Checks;
use super::deviations::Rule;

/// The kubeconfig that the server appends, as its path stands in a body.
const KUBECONFIG: &str = "\"path\":\"/etc/kubernetes/kubeconfig\"";

/// The MachineConfig itself, in the same way.
const CONTENT: &str = "\"path\":\"/etc/mcs-machine-config-content.json\"";

#[derive(Deserialize)]
struct AcceptInput {
    accept: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AcceptExpect {
    Refused { status: u16, error: String },
    Chosen { version: String },
}

/// Compares one case of `accept`.
pub(super) fn accept(case: &Case, checks: &mut Checks<'_>) -> Result<()> {
    let input: AcceptInput = case.input()?;
    let ours = negotiate(input.accept.as_deref()).map(|version| version.to_string());
    match case.expect()? {
        AcceptExpect::Chosen { version } => checks.equal("the version", &Ok(version), &ours),
        AcceptExpect::Refused { status, error } => {
            checks.equal("the status of a refusal", &400, &status);
            checks.refused(
                "the header",
                &error,
                ours.err().map(|error| error.to_string()).as_deref(),
            );
        }
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServeInput {
    path: String,
    method: String,
    files: BTreeMap<String, String>,
    kubeconfig: String,
    #[serde(default)]
    bootstrap_certs: Vec<String>,
    accepts: Vec<String>,
}

#[derive(Deserialize)]
struct ServeExpect {
    responses: Vec<Response>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    accept: String,
    status: u16,
    content_type: String,
    content_length: String,
    body: String,
}

/// Compares one case of `serve`.
pub(super) fn serve(case: &Case, checks: &mut Checks<'_>) -> Result<()> {
    let input: ServeInput = case.input()?;
    let expect: ServeExpect = case.expect()?;
    let asked: Vec<&String> = expect.responses.iter().map(|response| &response.accept).collect();
    if asked != input.accepts.iter().collect::<Vec<_>>() {
        bail!("the responses are not those to the accepts");
    }
    let dir = tempfile::tempdir()?;
    let method: Method = input.method.parse().context("method")?;
    let snapshot = match Loader::new(layout(&input, dir.path())?) {
        Ok(loader) => loader.snapshot(),
        Err(finding) => {
            checks.differs(format!("the server does not start: {finding}"));
            return Ok(());
        }
    };
    for response in expect.responses {
        let accept = Some(response.accept.as_str()).filter(|accept| !accept.is_empty());
        let ours = answer(&snapshot, &method, &input.path, accept);
        let what = |part: &str| format!("the {part} for {accept:?}");
        checks.equal(&what("status"), &response.status, &ours.status.as_u16());
        checks.equal(
            &what("type"),
            response.content_type.as_str(),
            ours.content_type.unwrap_or_default(),
        );
        checks.equal(
            &what("length"),
            &response.content_length,
            &ours.body.len().to_string(),
        );
        let mut body = response.body;
        if body.contains(KUBECONFIG) && checks.deviates(Rule::KubeconfigMode) {
            body = with_secret_mode(&body, KUBECONFIG);
        }
        if body.contains(CONTENT) && checks.deviates(Rule::ContentMode) {
            body = with_secret_mode(&body, CONTENT);
        }
        checks.bytes(
            &what("body"),
            &body,
            &String::from_utf8_lossy(&ours.body.to_vec()),
        );
    }
    Ok(())
}

/// Writes the files of a case, the kubeconfig beside them.
fn layout(input: &ServeInput, dir: &Path) -> Result<Layout> {
    let base_dir = dir.join("mcs");
    fs::create_dir(&base_dir)?;
    for (name, text) in &input.files {
        let name = Path::new(name);
        if name
            .components()
            .any(|part| !matches!(part, Component::Normal(_)))
        {
            bail!("{} does not lie below the server's directory", name.display());
        }
        let path = base_dir.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&base_dir))?;
        fs::write(path, text)?;
    }
    let kubeconfig = dir.join("kubeconfig");
    fs::write(&kubeconfig, &input.kubeconfig)?;
    let registry_cas = input
        .bootstrap_certs
        .iter()
        .map(|flag| flag.parse().map_err(anyhow::Error::msg));
    Ok(Layout {
        base_dir,
        kubeconfig,
        registry_cas: registry_cas.collect::<Result<_>>().context("bootstrapCerts")?,
        served: Served::ControlPlane,
    })
}

/// The reference's body with mode 0600 in place of 0644 for the file at `path`; its mode is the first one after the path.
fn with_secret_mode(body: &str, path: &str) -> String {
    let (before, after) = body.split_once(path).unwrap_or((body, ""));
    format!(
        "{before}{path}{}",
        after.replacen("\"mode\":420", "\"mode\":384", 1)
    )
}
