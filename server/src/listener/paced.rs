//! A TLS stream that encrypts no more ahead than the number of connections allows just then, and nothing before what it
//! encrypted has gone out.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::Shared;

/// A TLS stream whose buffer is measured anew at each write: connections that began when there were few would otherwise keep
/// what is meant for few.
pub(super) struct Paced<S> {
    stream: TlsStream<S>,
    shared: Shared,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: TlsStream<S>, shared: Shared) -> Self {
        Self { stream, shared }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Paced<S> {
    /// The stream to encrypt more with, once nothing is left of what was encrypted. More on top of a rest would take a second buffer
    /// beside the one that holds the rest, and go out in small records.
    fn measured(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut TlsStream<S>>>> {
        let limit = self.shared.tls_buffer();
        let (stream, session) = self.stream.get_mut();
        while session.wants_write() {
            match session.write_tls(&mut Now { stream, cx }) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        session.set_buffer_limit(Some(limit));
        Poll::Ready(Ok(Pin::new(&mut self.stream)))
    }
}

/// Writes what can be written now. For what cannot, the task is woken once it can.
struct Now<'a, 'b, S> {
    stream: &'a mut S,
    cx: &'a mut Context<'b>,
}

impl<S: AsyncWrite + Unpin> io::Write for Now<'_, '_, S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        now(Pin::new(&mut *self.stream).poll_write(self.cx, buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        now(Pin::new(&mut *self.stream).poll_write_vectored(self.cx, bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        now(Pin::new(&mut *self.stream).poll_flush(self.cx))
    }
}

fn now<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.measured(cx))?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.measured(cx))?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, RootCertStore, ServerConfig};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::sync::watch;
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::super::{Limits, TLS_RECORD};
    use super::*;
    use crate::metrics::ConnectionMetrics;

    /// What the wire holds: less than a record, so that every one of them goes out in pieces.
    const WIRE: usize = 5000;

    fn configs() -> (TlsAcceptor, TlsConnector) {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = pair.cert.der().clone();
        let key = PrivateKeyDer::try_from(pair.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        // Nothing but answers after the handshake.
        server.send_tls13_tickets = 0;
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        (Arc::new(server).into(), Arc::new(client).into())
    }

    #[tokio::test]
    async fn what_is_encrypted_goes_out_before_more_is() {
        let limits = Limits {
            max_connections: 10_000,
            header_timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            shutdown_timeout: Duration::ZERO,
        };
        let shared = Shared::new(limits, ConnectionMetrics::default(), watch::channel(false).1);
        // So many that each gets a single record.
        let _others = shared.slots.take(5000);
        let (acceptor, connector) = configs();
        let (near, far) = duplex(WIRE);
        let name = ServerName::try_from("localhost").unwrap();
        let (accepted, connected) = tokio::join!(acceptor.accept(near), connector.connect(name, far));
        let mut paced = Paced::new(accepted.unwrap(), shared);
        let (mut wire, _) = connected.unwrap().into_inner();
        let answer = vec![1; 10 * TLS_RECORD];
        let writing = tokio::spawn(async move {
            paced.write_all(&answer).await.unwrap();
            paced.flush().await.unwrap();
        });
        let mut raw = Vec::new();
        // To the end, since the stream is dropped once it is flushed.
        wire.read_to_end(&mut raw).await.unwrap();
        writing.await.unwrap();
        let mut lengths = Vec::new();
        let mut rest = &raw[..];
        while let [_, _, _, high, low, after @ ..] = rest {
            lengths.push(usize::from(u16::from_be_bytes([*high, *low])));
            rest = &after[lengths[lengths.len() - 1]..];
        }
        // The type of what is inside, and the tag.
        assert_eq!(lengths, [TLS_RECORD + 1 + 16; 10]);
    }
}
