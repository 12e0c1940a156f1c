//! A client that trusts one authority only, as a machine on its first boot does.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longer than any answer takes.
const DEADLINE: Duration = Duration::from_secs(10);

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Asks the server on a port of this machine, one connection per request.
pub struct Client {
    connector: TlsConnector,
    port: u16,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    /// A client that trusts `ca_pem` and nobody else.
    pub fn new(ca_pem: &str, port: u16) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
            roots.add(certificate.context("the authority's certificate cannot be read")?)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            port,
            runtime,
        })
    }

    /// Gets `path`, with an `Accept` header if one is given.
    pub fn get(&self, path: &str, accept: Option<&str>) -> Result<Answer> {
        let accept = accept.map(|accept| (header::ACCEPT.as_str(), accept));
        self.send(&Method::GET, path, accept.as_slice())
    }

    /// Sends a request with these headers.
    pub fn send(&self, method: &Method, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        let asked = async { tokio::time::timeout(DEADLINE, self.ask(method, path, headers)).await };
        let answer = self
            .runtime
            .block_on(asked)
            .context("no answer in time")
            .flatten();
        answer.with_context(|| format!("{method} https://localhost:{}{path}", self.port))
    }

    async fn ask(&self, method: &Method, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        let stream = self
            .connector
            .connect(ServerName::try_from("localhost")?, stream)
            .await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, format!("localhost:{}", self.port));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, body) = sender
            .send_request(request.body(Empty::<Bytes>::new())?)
            .await?
            .into_parts();
        let body = body.collect().await?.to_bytes();
        connection.abort();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }
}
