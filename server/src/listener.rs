//! The accept loop: connections over TLS or plain TCP, bounded in number and in time.
//!
//! Entry points: [`bind`] and [`serve`]. What is answered is the business of the service that is passed in.

mod paced;
mod share;
mod stall;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
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
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::metrics::{ConnectionFailure, ConnectionMetrics};
use paced::Paced;
use share::{Share, Slot, Slots};
use stall::StallGuard;

/// Connections the kernel holds for us while all slots are taken; it cuts this to `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// Bytes of an answer that are encrypted at a time, and that one connection may hold in memory. With what TLS adds it
/// is just below the 64 KiB that the kernel sends in one go: a little more would go out as a large and a tiny
/// packet each time, which costs a quarter of the throughput.
const TLS_BUFFER: usize = 60 << 10;

/// About what all connections together may hold that way; beyond it each gets less.
const TLS_BUFFERS: usize = 16 << 20;

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
    /// Connections at a time, over all listeners that share a [`Shared`]; more wait, all but one of each listener in
    /// the kernel's queue. An address that would then hold more of them than are free is not let in.
    pub max_connections: usize,
    /// Time for the TLS handshake, and again for each whole request header, counted from the handshake or
    /// from the end of the answer before; so an unused connection is closed after it too.
    pub header_timeout: Duration,
    /// Time in which a peer has to take a substantial part of an answer.
    pub idle_timeout: Duration,
    /// Time that running answers have to end once the server is told to stop.
    pub shutdown_timeout: Duration,
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its address, one of IPv4 as such.
    pub address: SocketAddr,
    /// Whether it has shown a client certificate that the listener's CA has issued.
    pub has_certificate: bool,
}

/// What the listeners of one server share.
#[derive(Debug, Clone)]
pub struct Shared {
    limits: Limits,
    slots: Arc<Slots>,
    metrics: ConnectionMetrics,
    stop: watch::Receiver<bool>,
}

impl Shared {
    /// `stop` tells the listeners to end when it turns true, or when its sender is dropped.
    #[must_use]
    pub fn new(limits: Limits, metrics: ConnectionMetrics, stop: watch::Receiver<bool>) -> Self {
        Self {
            limits,
            slots: Slots::new(limits.max_connections),
            metrics,
            stop,
        }
    }

    /// What a connection may hold of its encrypted answer now.
    fn tls_buffer(&self) -> usize {
        let whole_records = TLS_BUFFERS / self.slots.taken().max(1) / TLS_RECORD * TLS_RECORD;
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
/// `service` is called once per connection, after its handshake.
pub async fn serve<M, S, B>(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Shared, service: M)
where
    M: Fn(Peer) -> S + Clone + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut stop = shared.stop.clone();
    let mut waiting = None;
    loop {
        let (stream, peer, slot) = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = next(&listener, &shared, &mut waiting) => accepted,
        };
        connections.spawn(connection(
            (stream, peer),
            tls.clone(),
            service.clone(),
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

/// A connection that waits for a slot. It outlives a look at something else in between.
type Waiting = Pin<Box<dyn Future<Output = (TcpStream, SocketAddr, Slot)> + Send>>;

/// The next connection, once there is a slot for it. A listener that waits for connections holds none: what it has
/// would be missing where they come.
async fn next(
    listener: &TcpListener,
    shared: &Shared,
    waiting: &mut Option<Waiting>,
) -> (TcpStream, SocketAddr, Slot) {
    if waiting.is_none() {
        let (stream, peer, share) = accept(listener, shared).await;
        *waiting = Some(Box::pin(async move { (stream, peer, share.slot().await) }));
    }
    let accepted = waiting.as_mut().expect("set just before").await;
    *waiting = None;
    accepted
}

/// The next connection of an address that has not got its share yet. Others are closed.
async fn accept(listener: &TcpListener, shared: &Shared) -> (TcpStream, SocketAddr, Share) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // A listener for both IP versions names IPv4 peers as IPv6 ones.
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                match shared.slots.share(peer.ip()) {
                    Some(share) => return (stream, peer, share),
                    None => shared.metrics.failed(ConnectionFailure::Share),
                }
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
async fn connection<M, S, B>(
    (stream, address): (TcpStream, SocketAddr),
    tls: Option<TlsAcceptor>,
    service: M,
    shared: Shared,
    watcher: Watcher,
    _slot: Slot,
) where
    M: Fn(Peer) -> S + Send,
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
    let peer = |has_certificate| Peer {
        address,
        has_certificate,
    };
    let Some(acceptor) = tls else {
        return Box::pin(http(stream, service(peer(false)), &shared, watcher)).await;
    };
    // In boxes, so that a connection's task does not have the size of both for as long as it lives.
    let accepted = Box::pin(timeout(shared.limits.header_timeout, acceptor.accept(stream))).await;
    match accepted {
        Ok(Ok(stream)) => {
            // We have nothing to say after the handshake, and a client that waits for its end to be acknowledged
            // before it sends its request would wait for the kernel's delayed acknowledgement, 40 ms.
            let _ = stream.get_ref().0.get_ref().set_quickack(true);
            // What it shows has been verified in the handshake, or there would be no connection.
            let shown = stream.get_ref().1.peer_certificates();
            let service = service(peer(shown.is_some_and(|chain| !chain.is_empty())));
            Box::pin(http(
                Paced::new(stream, shared.clone()),
                service,
                &shared,
                watcher,
            ))
            .await;
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake failed");
            shared.metrics.failed(ConnectionFailure::Handshake);
        }
        Err(_) => shared.metrics.failed(ConnectionFailure::HandshakeTimeout),
    }
}

/// The requests of one connection, one after the other.
fn http<I, S, B>(io: I, service: S, shared: &Shared, watcher: Watcher) -> impl Future<Output = ()> + Send
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
    let ended = watcher.watch(connection);
    async move {
        if let Err(error) = ended.await {
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
            (250, 60),
            (300, 48),
            (500, 32),
            (1000, 16),
            (100_000, 16),
        ] {
            let taken = shared.slots.take(open);
            assert_eq!(shared.tls_buffer(), kib << 10, "{open}");
            drop(taken);
        }
    }
}
