//! The address for those who look after the controller: `/metrics`, `/healthz` and `/readyz`, in plain HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tracing::{info, warn};

use crate::metrics::{self, Metrics};

/// How long somebody may take to say what is wanted.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at a time: those who look after it are few.
const CONNECTIONS: usize = 64;
/// How long accepting rests when the system has no descriptor left.
const REST: Duration = Duration::from_millis(100);

/// What there is to say of the process.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// It leads and knows the cluster, or waits for its turn.
    pub(crate) ready: AtomicBool,
    pub(crate) metrics: Metrics,
}

/// Opens the address.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("could not listen on {address} (--metrics-listen-address)"))?;
    info!(address = %listener.local_addr().unwrap_or(address), "Telling metrics");
    Ok(listener)
}

/// Answers. Does not end.
pub(crate) async fn serve(listener: TcpListener, health: Arc<Health>) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "Could not accept a connection");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let health = Arc::clone(&health);
        tokio::spawn(async move {
            let _seat = seat;
            let service = service_fn(move |request| {
                let answer = answer(&request, &health);
                async move { Ok::<_, Infallible>(answer) }
            });
            // Who hangs up is no trouble of ours.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn answer(request: &Request<Incoming>, health: &Health) -> Response<Full<Bytes>> {
    let is_read = *request.method() == Method::GET || *request.method() == Method::HEAD;
    let (status, kind, text) = if is_read {
        page(request.uri().path(), health)
    } else {
        (StatusCode::METHOD_NOT_ALLOWED, "text/plain", String::new())
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}

fn page(path: &str, health: &Health) -> (StatusCode, &'static str, String) {
    const TEXT: &str = "text/plain; charset=utf-8";
    match path {
        "/metrics" => (StatusCode::OK, metrics::CONTENT_TYPE, health.metrics.text()),
        "/healthz" => (StatusCode::OK, TEXT, "ok\n".to_owned()),
        "/readyz" if health.ready.load(Ordering::Relaxed) => (StatusCode::OK, TEXT, "ok\n".to_owned()),
        "/readyz" => (
            StatusCode::SERVICE_UNAVAILABLE,
            TEXT,
            "the API server was not reached yet, or what it holds is not known yet\n".to_owned(),
        ),
        _ => (StatusCode::NOT_FOUND, TEXT, "not found\n".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_told_apart_from_life() {
        let health = Health::default();
        let status = |path: &str| page(path, &health).0;
        assert_eq!(status("/healthz"), StatusCode::OK);
        assert_eq!(status("/readyz"), StatusCode::SERVICE_UNAVAILABLE);
        health.ready.store(true, Ordering::Relaxed);
        assert_eq!(status("/readyz"), StatusCode::OK);
        assert_eq!(status("/metrics"), StatusCode::OK);
        assert_eq!(status("/"), StatusCode::NOT_FOUND);
    }
}
