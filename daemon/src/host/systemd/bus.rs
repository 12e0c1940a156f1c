//! The connection, and calls that end.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use zbus::Connection;
use zbus::connection::Builder;

use super::direct::Direct;
use super::proxy::{LoginProxy, ManagerProxy};
use super::{BusError, Limits, Peer};

/// A connection with systemd at its other end, which has agreed to say when jobs end.
#[derive(Debug)]
pub(super) struct Bus {
    pub(super) connection: Connection,
    pub(super) manager: ManagerProxy<'static>,
    pub(super) login: LoginProxy<'static>,
    pub(super) peer: Peer,
    pub(super) limits: Limits,
}

// === impl Bus ===

impl Bus {
    /// Connects to a socket.
    pub(super) async fn at(socket: &Path, peer: Peer, limits: Limits) -> Result<Self, BusError> {
        let connect = |source| BusError::Connect {
            socket: socket.to_owned(),
            source,
        };
        let connected = tokio::time::timeout(limits.connect, tokio::net::UnixStream::connect(socket)).await;
        let stream = connected
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(connect)?;
        let builder = match peer {
            Peer::Bus => Builder::unix_stream(stream.into_std().map_err(connect)?),
            Peer::Systemd => Builder::socket(Direct(stream)).p2p(),
        };
        match tokio::time::timeout(limits.connect, Self::with(builder, peer, limits)).await {
            Ok(Err(BusError::Handshake { source, .. })) => Err(BusError::Handshake {
                socket: socket.display().to_string(),
                source,
            }),
            Ok(result) => result,
            // It accepts connections and says nothing: a bus that waits to be started, or hangs.
            Err(_) => Err(connect(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Speaks to a systemd, and maybe a logind, that is itself at the other end of a connected socket.
    pub(super) async fn over(stream: UnixStream, limits: Limits) -> Result<Self, BusError> {
        Self::with(Builder::unix_stream(stream).p2p(), Peer::Systemd, limits).await
    }

    async fn with(builder: Builder<'_>, peer: Peer, limits: Limits) -> Result<Self, BusError> {
        let handshake = |source| BusError::Handshake {
            socket: "the given socket".to_owned(),
            source,
        };
        let connection = builder.build().await.map_err(handshake)?;
        let bus = Self {
            manager: ManagerProxy::new(&connection).await.map_err(handshake)?,
            login: LoginProxy::new(&connection).await.map_err(handshake)?,
            connection,
            peer,
            limits,
        };
        // Without it systemd tells nobody on a bus about jobs; and it shows that systemd is there at all.
        bus.bounded("Subscribe", limits.connect, bus.manager.subscribe())
            .await?;
        Ok(bus)
    }

    /// Waits for an answer, and not for ever.
    pub(super) async fn bounded<T>(
        &self,
        call: &'static str,
        within: Duration,
        answer: impl Future<Output = zbus::Result<T>>,
    ) -> Result<T, BusError> {
        match tokio::time::timeout(within, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(source)) if self.connection.is_closed() => Err(BusError::Lost {
                call,
                source: Some(source),
            }),
            Ok(Err(source)) => Err(BusError::Refused { call, source }),
            Err(_) => Err(BusError::NoAnswer { call, after: within }),
        }
    }

    /// Has the manager read its units anew. It answers when it has.
    pub(super) async fn reload(&self) -> Result<(), BusError> {
        self.bounded("Reload", self.limits.reload, self.manager.reload())
            .await
    }
}
