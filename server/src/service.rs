//! The seam to HTTP: requests in, shared bytes out, and a line in the log for each.
//!
//! Entry point: [`App`], which makes the service of a connection.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use arc_swap::ArcSwap;
use bytes::{Buf, Bytes};
use futures_util::future::{BoxFuture, Either};
use http::header::{ACCEPT, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper::{Request, Response};

use crate::entrance::{Asked, Entrance};
use crate::listener::Peer;
use crate::metrics::{self, Metrics};
use crate::route::{About, Handler, Reply, answer, readiness, refuse_host};
use crate::snapshot::{self, Served, Snapshot, Unknown};

/// What is served now, and the metrics of serving it.
#[derive(Debug, Default)]
pub struct App {
    snapshot: ArcSwap<Snapshot>,
    metrics: Metrics,
    /// Of a cluster.
    entrance: Option<Entrance>,
    /// Set once; whatever is published after it is draining too.
    draining: AtomicBool,
}

/// Answers the requests of one connection.
#[derive(Debug)]
pub struct Connection {
    app: Arc<App>,
    peer: Peer,
}

/// Answers those who look after the server: metrics, and what there is to say of its readiness.
#[derive(Debug)]
pub struct Scrape {
    app: Arc<App>,
}

/// A body: at most one piece of bytes that are shared by everyone who asks for them.
#[derive(Debug)]
pub struct Answer {
    piece: Option<Piece>,
}

/// Bytes on their way out. Dropped once they are written, or once the connection has failed.
#[derive(Debug)]
pub struct Piece {
    body: snapshot::Body,
    record: Option<Record>,
}

/// What is to be logged and counted when an answer is through.
#[derive(Debug)]
struct Record {
    app: Arc<App>,
    peer: SocketAddr,
    /// In a word of ours.
    method: &'static str,
    status: StatusCode,
    about: About,
    began: Instant,
    /// Length of the body that was to be sent.
    length: usize,
}

// === impl App ===

impl App {
    /// Nothing to serve yet, and an entrance that everybody must pass who asks for a config.
    #[must_use]
    pub fn behind(entrance: Entrance, metrics: Metrics) -> Self {
        Self {
            metrics,
            entrance: Some(entrance),
            // Whoever comes before anything is known is to come again.
            snapshot: ArcSwap::from_pointee(Snapshot {
                served: Served::Cluster(Unknown::Wait),
                ..Snapshot::default()
            }),
            ..Self::default()
        }
    }

    /// What is to be passed, in a cluster.
    #[must_use]
    pub fn entrance(&self) -> Option<&Entrance> {
        self.entrance.as_ref()
    }

    /// What is served now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Serves something else from now on. Answers that have begun end as they began.
    pub fn publish(&self, snapshot: Snapshot) {
        self.metrics.published(&snapshot);
        self.snapshot.store(Arc::new(snapshot));
        // Looked at after the store: of a drain at the same time either it sees this snapshot or this sees it.
        if self.draining.load(Ordering::SeqCst) {
            self.drain();
        }
    }

    /// From now on `/readyz` says that the server is about to end.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.snapshot.rcu(|now| Snapshot {
            draining: true,
            ..Snapshot::clone(now)
        });
    }

    /// The metrics.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The service of one connection.
    #[must_use]
    pub fn connection(self: &Arc<Self>, peer: Peer) -> Connection {
        Connection {
            app: self.clone(),
            peer,
        }
    }

    /// The service of one connection to the metrics port.
    #[must_use]
    pub fn scrape(self: &Arc<Self>) -> Scrape {
        Scrape { app: self.clone() }
    }
}

impl Service<Request<Incoming>> for Connection {
    type Response = Response<Answer>;
    type Error = Infallible;
    /// Only who must pass the entrance may have to wait.
    type Future = Either<
        Ready<Result<Self::Response, Infallible>>,
        BoxFuture<'static, Result<Self::Response, Infallible>>,
    >;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let began = Instant::now();
        let method = match *request.method() {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            _ => "other",
        };
        let (app, peer) = (self.app.clone(), self.peer);
        let finish = move |reply: Reply| {
            Finish {
                app,
                peer,
                method,
                began,
            }
            .response(reply)
        };
        if let Some(refused) = refuse_host(request.version(), request.headers()) {
            let mut response = finish(refused);
            end_connection(&mut response);
            return Either::Left(ready(Ok(response)));
        }
        let accept = request
            .headers()
            .get(ACCEPT)
            .map(|value| String::from_utf8_lossy(value.as_bytes()));
        let reply = answer(
            &self.app.snapshot.load(),
            request.method(),
            request.uri().path(),
            accept.as_deref(),
        );
        // A request whose version is settled is one for a config, whether there is one or not.
        if self.app.entrance.is_none() || reply.about.version.is_none() {
            return Either::Left(ready(Ok(finish(reply))));
        }
        let asked = Asked {
            peer: self.peer,
            is_head: *request.method() == Method::HEAD,
            headers: request.into_parts().0.headers,
        };
        let app = self.app.clone();
        Either::Right(Box::pin(async move {
            let reply = match &app.entrance {
                Some(entrance) => entrance.pass(reply, &asked, &app.metrics).await,
                None => reply,
            };
            Ok(finish(reply))
        }))
    }
}

/// What is known of a request before its answer.
struct Finish {
    app: Arc<App>,
    peer: Peer,
    method: &'static str,
    began: Instant,
}

impl Finish {
    fn response(self, reply: Reply) -> Response<Answer> {
        let record = Record {
            app: self.app,
            peer: self.peer.address,
            method: self.method,
            status: reply.status,
            about: reply.about,
            began: self.began,
            length: if self.method == "HEAD" {
                0
            } else {
                reply.body.len()
            },
        };
        respond(reply.status, reply.content_type, reply.body, record)
    }
}

/// The response to a request. Without bytes to send it is through at once.
fn respond(
    status: StatusCode,
    content_type: Option<&'static str>,
    body: snapshot::Body,
    record: Record,
) -> Response<Answer> {
    let mut response = Response::new(Answer::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if record.length > 0 {
        let record = Some(record);
        response.body_mut().piece = Some(Piece { body, record });
    } else {
        record.finish(0);
    }
    response
}

impl Service<Request<Incoming>> for Scrape {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut response = Response::new(Answer::empty());
        if let Some(refused) = refuse_host(request.version(), request.headers()) {
            *response.status_mut() = refused.status;
            end_connection(&mut response);
            return ready(Ok(response));
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/metrics") => {
                let body = Bytes::from(self.app.metrics.text()).into();
                say(&mut response, metrics::CONTENT_TYPE, body);
            }
            (&Method::GET, "/readyz") => {
                let reply = readiness(&self.app.snapshot.load());
                *response.status_mut() = reply.status;
                say(&mut response, reply.content_type.unwrap_or_default(), reply.body);
            }
            (&Method::GET, _) => *response.status_mut() = StatusCode::NOT_FOUND,
            _ => *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED,
        }
        ready(Ok(response))
    }
}

/// A body that is neither logged nor counted.
fn say(response: &mut Response<Answer>, content_type: &'static str, body: snapshot::Body) {
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.body_mut().piece = Some(Piece { body, record: None });
}

/// What follows on a connection cannot be trusted to begin where a request begins.
fn end_connection(response: &mut Response<Answer>) {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
}

// === impl Answer ===

impl Answer {
    fn empty() -> Self {
        Self { piece: None }
    }
}

impl Body for Answer {
    type Data = Piece;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, Infallible>>> {
        Poll::Ready(self.piece.take().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.piece.as_ref().map_or(0, |piece| piece.remaining() as u64))
    }
}

// === impl Piece ===

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.body.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.body.chunk()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.body.chunks_vectored(slices)
    }

    fn advance(&mut self, count: usize) {
        self.body.advance(count);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some(record) = self.record.take() {
            record.finish(self.body.len());
        }
    }
}

// === impl Record ===

impl Record {
    /// Logs and counts the answer. `unsent` is how much of the body did not go out any more.
    ///
    /// Of the request only what has been understood is told, never a part of it as it came: no header, no path.
    fn finish(self, unsent: usize) {
        let Self {
            app,
            peer,
            method,
            status,
            about,
            began,
            length,
        } = self;
        let (latency, sent, status) = (began.elapsed(), length - unsent, status.as_u16());
        app.metrics.answered(&about, status, sent, latency);
        if about.handler != Handler::Config {
            // Load balancers ask for health every few seconds.
            tracing::debug!(handler = about.handler.as_str(), status, remote = %peer, "Request");
            return;
        }
        tracing::info!(
            method,
            pool = about.pool.as_ref().map(|pool| &*pool.name).or(about.unserved.as_deref()),
            version = about.version.map(ignition::Version::as_str),
            remote = %peer,
            status,
            latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX),
            bytes = sent,
            complete = unsent == 0,
            reason = about.reason,
            "Request",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_while_draining_is_draining() {
        let app = App::default();
        app.publish(Snapshot::default());
        assert!(!app.snapshot().draining);
        app.drain();
        app.publish(Snapshot::default());
        assert!(app.snapshot().draining);
    }
}
