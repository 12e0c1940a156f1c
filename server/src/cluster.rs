//! The process that serves a cluster's pools: `machine-config-server start`. Entry point: [`run`].
//!
//! Watches say what there is (`watches`), a pure rule says which config a pool serves ([`choice`]), and one task makes bodies of it,
//! off the path of requests (`publisher`). What was good stays, whatever happens to its objects or to the API server.

pub mod choice;
mod client;
mod inputs;
mod ledger;
mod mint;
mod publisher;
mod sightings;
mod watches;

use std::fs;
use std::sync::Arc;

use anyhow::Context as _;
use kube::Client;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::cli::{Serving, Start};
use crate::credentials::Credentials;
use crate::entrance::{Entrance, Sighting};
use crate::gate::{Gate, JoinedNodes, Mode, Pace, Tokens};
use crate::metrics::Metrics;
use crate::process;
use crate::reload::PairFiles;
use crate::service::App;
use crate::tls::{self, Settings};

use inputs::{Known, Part};

/// Sightings that wait to be told. Beyond it they are counted and not told.
const SIGHTINGS: usize = 256;

/// Serves until told to stop.
///
/// # Errors
/// What keeps the server from starting, in one message that says what to do.
pub fn run(start: &Start, serving: &Serving) -> anyhow::Result<()> {
    let log = crate::log::init(serving.log_format, serving.klog.v);
    // Fails when one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let limits = process::limits(serving);
    let settings = process::tls_settings(Settings::default(), serving)?;
    let pair = PairFiles::new(serving.cert.clone(), serving.key.clone())?;
    let client_ca = start
        .client_ca
        .as_ref()
        .map(|path| fs::read(path).with_context(|| format!("cannot read {} (--client-ca)", path.display())))
        .transpose()?;
    let acceptor = tls::acceptor(&settings, pair.pair(), client_ca.as_deref())
        .map_err(|error| process::refused_settings(&error))?;
    let ports = process::open_ports(serving)?;
    let runtime = Runtime::new().context("the asynchronous runtime does not start")?;
    let metrics = Metrics::new();
    metrics.log_drops(log.dropped.clone());
    runtime.block_on(async {
        let way = client::Way::find(start).await?;
        let (sightings, told) = mpsc::channel(SIGHTINGS);
        let entrance = entrance(start, &way, &metrics, sightings);
        let app = Arc::new(App::behind(entrance, metrics));
        let mut aside = begin(start, &way, &app, pair, told);
        ports.log(&app);
        tokio::select! {
            served = process::serve(ports, acceptor, &app, limits) => served,
            // None of them ends by itself but by a panic.
            Some(_) = aside.join_next() => anyhow::bail!("a part of the server has ended; the log says why; start the server anew"),
        }
    })?;
    // Nothing that is left is worth waiting for.
    runtime.shutdown_background();
    Ok(())
}

/// What machines have to pass.
fn entrance(
    start: &Start,
    way: &client::Way,
    metrics: &Metrics,
    sightings: mpsc::Sender<Sighting>,
) -> Entrance {
    let ledger = ledger::Secrets::new(way.client.clone(), &start.namespace);
    let gate = Gate {
        modes: start.modes(),
        networks: start.networks(),
        joined: Arc::new(JoinedNodes::default()),
        tokens: Arc::new(Tokens::new(Box::new(ledger))),
        pace: Pace::per_minute(start.requests_per_address()),
    };
    let credentials = if let Some(directory) = &start.bootstrap_token {
        Credentials::from_file(directory.join("token"), metrics.credentials())
    } else {
        let mint = mint::ServiceAccounts::new(
            way.client.clone(),
            start.bootstrap_service_account.clone(),
            start.credential_lifetime,
        );
        Credentials::minted(Box::new(mint), start.credential_lifetime, metrics.credentials())
    };
    Entrance {
        gate,
        credentials,
        sightings,
    }
}

/// Everything that goes on beside answering.
fn begin(
    start: &Start,
    way: &client::Way,
    app: &Arc<App>,
    pair: PairFiles,
    told: mpsc::Receiver<Sighting>,
) -> JoinSet<()> {
    let client: &Client = &way.client;
    let known = Arc::new(Known::new(way.ca.clone()));
    let mut parts = JoinSet::new();
    parts.spawn(watches::pools(client.clone(), known.clone()));
    parts.spawn(watches::controller_config(client.clone(), known.clone()));
    parts.spawn(watches::kubeconfig_ca(
        client.clone(),
        start.namespace.clone(),
        known.clone(),
    ));
    let modes = start.modes();
    let gate = app.entrance().map(|entrance| &entrance.gate);
    match gate {
        Some(gate) if modes.joined_nodes != Mode::Off => {
            parts.spawn(watches::nodes(client.clone(), gate.joined.clone(), known.clone()));
        }
        Some(_) | None => known.unused(Part::Nodes),
    }
    match gate {
        Some(gate) if modes.join_token != Mode::Off => {
            parts.spawn(watches::tokens(
                client.clone(),
                start.namespace.clone(),
                gate.tokens.clone(),
                known.clone(),
            ));
        }
        Some(_) | None => known.unused(Part::Tokens),
    }
    parts.spawn(sightings::tell(client.clone(), told));
    parts.spawn(publisher::publish(publisher::Publisher::new(
        client.clone(),
        app.clone(),
        known,
        publisher::Serving {
            strategy: start.serve,
            unknown: start.unknown_pool.into(),
            server: start.apiserver_url.clone(),
        },
        pair,
    )));
    parts
}
