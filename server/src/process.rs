//! What every process of the server does, whatever it serves: ports, TLS, answering until it is told to end.

use std::future::Future;
use std::io;
use std::net::{self, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use machineconfig::{Code, Finding};
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::cli::{MetricsAddress, Serving};
use crate::file_limit;
use crate::listener::{self, Limits, Shared};
use crate::metrics::ConnectionMetrics;
use crate::service::App;
use crate::tls::{MinVersion, Settings, SettingsError};

/// Where metrics are told when nobody says where.
const METRICS_DEFAULT: SocketAddr = SocketAddr::new(net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8798);

/// Connections to the metrics port at a time: a few scrapers, no crowd.
pub(crate) const METRICS_CONNECTIONS: usize = 16;

/// The ports of a server, open and not yet answering, and of no runtime.
#[derive(Debug)]
pub(crate) struct Ports {
    secure: net::TcpListener,
    insecure: Option<net::TcpListener>,
    metrics: Option<net::TcpListener>,
}

impl Ports {
    /// Says in the log where is listened, and which pools are served.
    pub(crate) fn log(&self, app: &App) {
        let address = |port: &net::TcpListener| port.local_addr().map(tracing::field::display).ok();
        tracing::info!(
            secure = address(&self.secure),
            insecure = self.insecure.as_ref().and_then(address),
            metrics = self.metrics.as_ref().and_then(address),
            pools = app
                .snapshot()
                .ready_pools()
                .map(|pool| &*pool.name)
                .collect::<Vec<_>>()
                .join(","),
            "Serving"
        );
    }
}

/// Answers on all ports until a signal comes, and for a bounded time after it.
pub(crate) async fn serve(
    ports: Ports,
    acceptor: TlsAcceptor,
    app: &Arc<App>,
    limits: Limits,
) -> anyhow::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let signalled = termination()?;
    let shared = Shared::new(limits, app.metrics().connections(), stopped.clone());
    let mut listeners = JoinSet::new();
    let service = |app: &Arc<App>| {
        let app = app.clone();
        move |peer| app.connection(peer)
    };
    listeners.spawn(listener::serve(
        TcpListener::from_std(ports.secure)?,
        Some(acceptor),
        shared.clone(),
        service(app),
    ));
    if let Some(insecure) = ports.insecure {
        tracing::warn!(
            port = insecure.local_addr()?.port(),
            "Serving secrets over plain HTTP too"
        );
        listeners.spawn(listener::serve(
            TcpListener::from_std(insecure)?,
            None,
            shared,
            service(app),
        ));
    }
    if let Some(metrics) = ports.metrics {
        let limits = Limits {
            max_connections: METRICS_CONNECTIONS,
            ..limits
        };
        // Scrapes are not counted among the connections of machines.
        let shared = Shared::new(limits, ConnectionMetrics::default(), stopped);
        let app = app.clone();
        listeners.spawn(listener::serve(
            TcpListener::from_std(metrics)?,
            None,
            shared,
            move |_| app.scrape(),
        ));
    }
    tokio::select! {
        () = signalled => {}
        // A listener ends by itself only by a panic, and a server that does not listen must not stay.
        _ = listeners.join_next() => anyhow::bail!("a listener has ended; start the server anew"),
    }
    tracing::info!(timeout_s = limits.shutdown_timeout.as_secs_f64(), "Shutting down");
    app.drain();
    stop.send_replace(true);
    tokio::select! {
        () = async { while listeners.join_next().await.is_some() {} } => {}
        () = termination()? => tracing::warn!("Second signal: shutting down at once"),
    }
    Ok(())
}

/// Ends when the process is told to end.
fn termination() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

pub(crate) fn limits(serving: &Serving) -> Limits {
    Limits {
        max_connections: file_limit::connections(serving.max_connections),
        header_timeout: serving.header_timeout,
        idle_timeout: serving.idle_timeout,
        shutdown_timeout: serving.shutdown_timeout,
    }
}

/// Opens the ports that are asked for, and that of the metrics.
pub(crate) fn open_ports(serving: &Serving) -> anyhow::Result<Ports> {
    // The runtime that is to serve does not run yet.
    let opening = runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("no runtime to open ports with")?;
    let _entered = opening.enter();
    let bind = |address, port| listener::bind(address, port).and_then(TcpListener::into_std);
    let open = |flag: &str, address, port: u16| {
        bind(address, port).map_err(|error| {
            let message = format!("port {port} cannot be opened: {error}");
            Finding::error(Code::SERVER_LISTEN, flag, "", message)
        })
    };
    let secure = open("--secure-port", serving.bind_address, serving.secure_port)?;
    let insecure = serving
        .insecure_port
        .map(|port| open("--insecure-port", serving.bind_address, port))
        .transpose()?;
    let metrics = match serving.metrics_listen_address {
        Some(MetricsAddress::Off) => None,
        Some(MetricsAddress::On(address)) => Some(open(
            "--metrics-listen-address",
            Some(address.ip()),
            address.port(),
        )?),
        // Nobody has asked for it, so it is no reason not to serve.
        None => bind(Some(METRICS_DEFAULT.ip()), METRICS_DEFAULT.port())
            .inspect_err(|error| tracing::warn!(address = %METRICS_DEFAULT, %error, "No metrics"))
            .ok(),
    };
    Ok(Ports {
        secure,
        insecure,
        metrics,
    })
}

/// What TLS offers: flags before `settings`, which are those of the cluster's profile or the default.
pub(crate) fn tls_settings(mut settings: Settings, serving: &Serving) -> Result<Settings, Finding> {
    if !serving.tls_min_version.is_empty() {
        let min = match serving.tls_min_version.parse() {
            // As the profile "Old": the deployment that asks for it is to start, and to get what there is.
            Err(SettingsError::TooOld(version)) => {
                tracing::warn!(
                    version,
                    "--tls-min-version: the lowest version offered is TLS 1.2"
                );
                MinVersion::Tls12
            }
            parsed => parsed.map_err(|error| refused_settings(&error))?,
        };
        settings = settings.with_min(min);
    }
    let names: Vec<String> = serving
        .tls_cipher_suites
        .iter()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    if !names.is_empty() {
        let passed_over;
        (settings, passed_over) = settings
            .with_iana_suites(&names)
            .map_err(|error| refused_settings(&error))?;
        if !passed_over.is_empty() {
            tracing::warn!(
                suites = passed_over.join(","),
                "Cipher suites that are not supported are passed over"
            );
        }
    }
    let settings = settings.checked().map_err(|error| refused_settings(&error))?;
    if !settings.offers_tls13() {
        tracing::warn!("TLS 1.3 is not offered: the list of cipher suites names none of it");
    }
    Ok(settings)
}

pub(crate) fn refused_settings(error: &SettingsError) -> Finding {
    Finding::error(
        Code::SERVER_TLS_SETTINGS,
        "--tls-min-version, --tls-cipher-suites",
        "",
        error.to_string(),
    )
}
