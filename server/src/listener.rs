//! The accept loop: connections over TLS or plain TCP, bounded in number and in time.
//!
//! Entry points: [`bind`] and [`serve`]. What is answered is the business of the service that is passed in.

mod stall;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::metrics::{ConnectionFailure, ConnectionMetrics};
use stall::StallGuard;

/// Connections the kernel holds for us while all slots are taken; it cuts this to `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// Bytes of an answer that are encrypted at a time, and that one connection may hold in memory. With what TLS adds it
/// is just below the 64 KiB that the kernel sends in one go: a little more would go out as a large and a tiny
/// packet each time, which costs a quarter of the throughput.
const TLS_BUFFER: usize = 60 << 10;

/// About what all connections together may hold that way; beyond it each gets less.
const TLS_BUFFERS: usize = 32 << 20;

/// The largest TLS record: the least that a connection gets, and the step in which it gets more.
const TLS_RECORD: usize = 16 << 10;

/// The largest request header that is read. Ignition's is a few hundred bytes.
const MAX_HEADER_BYTES: usize = 16 << 10;

/// The largest number of header lines that is read.
const MAX_HEADER_LINES: usize = 64;

/// Wait after the kernel refused a connection, mostly for want of file descriptors, which only time brings back.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// What a peer may take up.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time, over all listeners that share a [`Shared`]; more wait in the kernel's queue.
    pub max_connections: usize,
    /// Time for the TLS handshake, and again for each whole request header, counted from the handshake or
    /// from the end of the answer before; so an unused connection is closed after it too.
    pub header_timeout: Duration,
    /// Time in which a peer has to take a substantial part of an answer.
    pub idle_timeout: Duration,
    /// Time that running answers have to end once the server is told to stop.
    pub shutdown_timeout: Duration,
}

/// What the listeners of one server share.
#[derive(Debug, Clone)]
pub struct Shared {
    limits: Limits,
    slots: Arc<Semaphore>,
    metrics: ConnectionMetrics,
    stop: watch::Receiver<bool>,
}

impl Shared {
    /// `stop` tells the listeners to end when it turns true, or when its sender is dropped.
    #[must_use]
    pub fn new(limits: Limits, metrics: ConnectionMetrics, stop: watch::Receiver<bool>) -> Self {
        Self {
            limits,
            slots: Arc::new(Semaphore::new(limits.max_connections)),
            metrics,
            stop,
        }
    }

    /// What a connection that begins now may hold of its encrypted answer.
    fn tls_buffer(&self) -> usize {
        let open = self.limits.max_connections - self.slots.available_permits();
        let whole_records = TLS_BUFFERS / open.max(1) / TLS_RECORD * TLS_RECORD;
        whole_records.clamp(TLS_RECORD, TLS_BUFFER)
    }
}

/// Opens a port. Without an address all interfaces are meant, both IP versions where the host has both.
///
/// # Errors
/// What the kernel says, mostly that the port is taken.
pub fn bind(address: Option<IpAddr>, port: u16) -> io::Result<TcpListener> {
    match address {
        Some(address) => listen(SocketAddr::new(address, port)),
        None => match listen(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)) {
            // A host without IPv6 knows no such address or family.
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                listen(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))
            }
            result => result,
        },
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts connections until told to stop, then lets running answers end, for a bounded time.
///
/// `service` is called once per connection with the peer's address.
pub async fn serve<M, S, B>(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Shared, service: M)
where
    M: Fn(SocketAddr) -> S,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut stop = shared.stop.clone();
    loop {
        let (stream, peer, slot) = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &shared) => accepted,
        };
        connections.spawn(connection(
            stream,
            tls.clone(),
            service(peer),
            shared.clone(),
            graceful.watcher(),
            slot,
        ));
    }
    drop(listener);
    // What has not ended by then is cut off when `connections` is dropped.
    if timeout(shared.limits.shutdown_timeout, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(
            connections = connections.len(),
            "Connections cut off at the end of the shutdown timeout"
        );
    }
}

/// The next connection, once there is a slot for it.
async fn accept(listener: &TcpListener, shared: &Shared) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let slot = shared
        .slots
        .clone()
        .acquire_owned()
        .await
        .expect("nobody closes the semaphore");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // A listener for both IP versions names IPv4 peers as IPv6 ones.
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                return (stream, peer, slot);
            }
            Err(error) => {
                tracing::warn!(%error, "Connection not accepted");
                shared.metrics.failed(ConnectionFailure::Accept);
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// One connection from its first byte to its last.
async fn connection<S, B>(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    service: S,
    shared: Shared,
    watcher: Watcher,
    _slot: OwnedSemaphorePermit,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let _open = shared.metrics.opened();
    // Answers are written whole; waiting to fill a segment would only delay their end.
    let _ = stream.set_nodelay(true);
    let stream = StallGuard::new(stream, shared.limits.idle_timeout);
    let Some(acceptor) = tls else {
        return http(stream, service, &shared, watcher).await;
    };
    match timeout(shared.limits.header_timeout, acceptor.accept(stream)).await {
        Ok(Ok(mut stream)) => {
            let (tcp, session) = stream.get_mut();
            session.set_buffer_limit(Some(shared.tls_buffer()));
            // We have nothing to say after the handshake, and a client that waits for its end to be acknowledged
            // before it sends its request would wait for the kernel's delayed acknowledgement, 40 ms.
            let _ = tcp.get_ref().set_quickack(true);
            http(stream, service, &shared, watcher).await;
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake failed");
            shared.metrics.failed(ConnectionFailure::Handshake);
        }
        Err(_) => shared.metrics.failed(ConnectionFailure::HandshakeTimeout),
    }
}

/// The requests of one connection, one after the other.
async fn http<I, S, B>(io: I, service: S, shared: &Shared, watcher: Watcher)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.header_timeout)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADER_LINES)
        // As the reference writes them.
        .title_case_headers(true)
        .serve_connection(TokioIo::new(io), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "Connection ended early");
        shared.metrics.failed(if error.is_timeout() {
            ConnectionFailure::HeaderTimeout
        } else if error.is_parse() {
            ConnectionFailure::BadRequest
        } else {
            ConnectionFailure::Aborted
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_less_memory_the_more_there_are() {
        let limits = Limits {
            max_connections: 1 << 20,
            header_timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            shutdown_timeout: Duration::ZERO,
        };
        let shared = Shared::new(limits, ConnectionMetrics::default(), watch::channel(false).1);
        for (open, kib) in [
            (0, 60),
            (1, 60),
            (500, 60),
            (600, 48),
            (1000, 32),
            (2000, 16),
            (100_000, 16),
        ] {
            let taken = shared.slots.try_acquire_many(open).unwrap();
            assert_eq!(shared.tls_buffer(), kib << 10, "{open}");
            drop(taken);
        }
    }
}
