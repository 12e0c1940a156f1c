//! `/metrics` and `/healthz`, by plain HTTP on an address of the node's own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::metrics::{CONTENT_TYPE, Metrics};
use super::process::Pulse;

/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(10);
/// How soon another connection is taken when the system has none to give.
const AGAIN: Duration = Duration::from_secs(1);
/// How many connections there may be: a scraper or two, and a prober.
const CONNECTIONS: usize = 16;

/// Answers for as long as the process lives. Without an address there are no metrics, and everything else goes on (MCO daemon 11.4).
pub(crate) async fn serve(address: SocketAddr, metrics: Arc<Metrics>, pulse: Arc<Pulse>) {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%address, %error, "Metrics are not told");
            return;
        }
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        let (metrics, pulse) = (metrics.clone(), pulse.clone());
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let answer = answer(request.method(), request.uri().path(), &metrics, &pulse);
                async move { Ok::<_, Infallible>(answer) }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "A connection ended badly");
            }
            drop(place);
        });
    }
}

fn answer(method: &Method, path: &str, metrics: &Metrics, pulse: &Pulse) -> Response<Full<Bytes>> {
    let (status, kind, text) = match (method, path) {
        (&Method::GET, "/metrics") => (StatusCode::OK, CONTENT_TYPE, metrics.text()),
        (&Method::GET | &Method::HEAD, "/healthz") if pulse.beats() => {
            (StatusCode::OK, "text/plain", "ok\n".to_owned())
        }
        (&Method::GET | &Method::HEAD, "/healthz") => (
            StatusCode::SERVICE_UNAVAILABLE,
            "text/plain",
            "the daemon hangs\n".to_owned(),
        ),
        _ => (
            StatusCode::NOT_FOUND,
            "text/plain",
            "there is nothing here\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}
