//! A client of the API server with the words that the harness and its tests need: objects are plain JSON, paths are the API's own.

use std::fmt::Display;
use std::io::{BufRead as _, BufReader};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use http::{Method, Request};
use serde_json::{Value, json};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use super::pki::Identity;

/// How long one answer may take; logs of pods and lists of everything take the longest.
const DEADLINE: Duration = Duration::from_secs(30);

/// How often the API is asked while something is waited for: each question costs a fraction of a processor that nodes need.
const INTERVAL: Duration = Duration::from_millis(100);

/// What the API server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub text: String,
}

impl Answer {
    /// The body as an object; null when it is none.
    #[must_use]
    pub fn object(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// What an error says of itself.
    fn reason(&self) -> String {
        let object = self.object();
        object["message"].as_str().unwrap_or(&self.text).to_owned()
    }
}

/// A client with one identity.
#[derive(Debug, Clone)]
pub struct Api {
    agent: ureq::Agent,
    server: String,
}

impl Api {
    /// A client of `server` that trusts `ca` (PEM) and nobody else.
    pub fn new(server: &str, ca: &str, identity: &Identity) -> Result<Self> {
        let certificates = [Certificate::from_pem(identity.certificate.as_bytes())?];
        let key = PrivateKey::from_pem(identity.key.as_bytes())?;
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&[Certificate::from_pem(
                ca.as_bytes(),
            )?]))
            .client_cert(Some(ClientCert::new_with_certs(&certificates, key)))
            .build();
        let config = ureq::Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(DEADLINE))
            .http_status_as_error(false)
            .build();
        Ok(Self {
            agent: config.into(),
            server: server.to_owned(),
        })
    }

    /// Sends one request. An answer that says no is an answer; only none at all is an error.
    pub fn send(&self, method: &Method, path: &str, kind: &str, body: Option<&Value>) -> Result<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server))
            .header("Content-Type", kind);
        let sent = match body {
            Some(body) => self.agent.run(request.body(body.to_string())?),
            None => self.agent.run(request.body(())?),
        };
        let mut answer = sent.with_context(|| format!("{method} {path} got no answer"))?;
        let text = answer
            .body_mut()
            .with_config()
            .limit(u64::MAX)
            .read_to_string()
            .with_context(|| format!("{method} {path} got half an answer"))?;
        Ok(Answer {
            status: answer.status().as_u16(),
            text,
        })
    }

    /// As [`Api::send`] with JSON, and it must be granted.
    fn granted(&self, method: &Method, path: &str, kind: &str, body: Option<&Value>) -> Result<Answer> {
        let answer = self.send(method, path, kind, body)?;
        if !(200..300).contains(&answer.status) {
            bail!(
                "{method} {path} was answered with {}: {}",
                answer.status,
                answer.reason()
            );
        }
        Ok(answer)
    }

    /// An object, or a list of them.
    pub fn get(&self, path: &str) -> Result<Value> {
        Ok(self.granted(&Method::GET, path, JSON, None)?.object())
    }

    /// An object, if it exists.
    pub fn find(&self, path: &str) -> Result<Option<Value>> {
        let answer = self.send(&Method::GET, path, JSON, None)?;
        match answer.status {
            200 => Ok(Some(answer.object())),
            404 => Ok(None),
            status => bail!("GET {path} was answered with {status}: {}", answer.reason()),
        }
    }

    /// What is no object, such as the log of a pod.
    pub fn text(&self, path: &str) -> Result<String> {
        Ok(self.granted(&Method::GET, path, JSON, None)?.text)
    }

    /// The events of a watch, one by one as they come, until the API server ends it or half a minute has passed. `path` says what is watched.
    pub fn watch(&self, path: &str) -> Result<impl Iterator<Item = Result<Value>> + use<>> {
        let request = Request::get(format!("{}{path}", self.server)).body(())?;
        let answer = self
            .agent
            .run(request)
            .with_context(|| format!("GET {path} got no answer"))?;
        if answer.status().as_u16() != 200 {
            bail!("GET {path} was answered with {}", answer.status());
        }
        let lines = BufReader::new(answer.into_body().into_reader()).lines();
        Ok(lines.map(|line| Ok(serde_json::from_str(&line?)?)))
    }

    /// Creates an object in the list at `path`.
    pub fn create(&self, path: &str, object: &Value) -> Result<Value> {
        Ok(self.granted(&Method::POST, path, JSON, Some(object))?.object())
    }

    /// Changes what `change` names, by a JSON merge patch.
    pub fn merge(&self, path: &str, change: &Value) -> Result<Value> {
        Ok(self.granted(&Method::PATCH, path, MERGE, Some(change))?.object())
    }

    /// Deletes an object.
    pub fn delete(&self, path: &str) -> Result<()> {
        self.granted(&Method::DELETE, path, JSON, None).map(drop)
    }

    /// Asks for a pod to be evicted; whether that is granted is the answer's status: 201, or 429 when a budget forbids it.
    pub fn evict(&self, namespace: &str, pod: &str) -> Result<Answer> {
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": pod, "namespace": namespace},
        });
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/eviction");
        self.send(&Method::POST, &path, JSON, Some(&eviction))
    }
}

/// What objects are sent as.
pub const JSON: &str = "application/json";

/// What a change of some fields is sent as.
pub const MERGE: &str = "application/merge-patch+json";

/// Looks at something behind the API again and again until it is there or the deadline has passed. That the API does not answer, or says
/// no, is not yet the end; the message then has what it said last.
pub fn wait_on<T>(
    what: impl Display,
    deadline: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        let looked = look();
        if let Ok(Some(value)) = looked {
            return Ok(value);
        }
        if Instant::now() >= end {
            let waited = format!("waited {deadline:?} for {what}, in vain");
            return match looked {
                Err(error) => Err(error.context(waited)),
                Ok(_) => bail!(waited),
            };
        }
        thread::sleep(INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, wait_on};
    use anyhow::bail;

    #[test]
    fn waiting_bears_errors_and_tells_the_last() {
        let mut looks = 0;
        let third = wait_on("it", Duration::from_secs(10), || {
            looks += 1;
            if looks == 3 {
                return Ok(Some(looks));
            }
            bail!("not yet")
        });
        assert_eq!(third.unwrap(), 3);
        let error = wait_on("it", Duration::ZERO, || -> anyhow::Result<Option<()>> {
            bail!("refused")
        });
        let error = format!("{:#}", error.unwrap_err());
        assert!(error.contains("for it") && error.ends_with("refused"), "{error}");
    }
}
