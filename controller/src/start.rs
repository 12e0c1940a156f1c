//! `start`: the controller of a real cluster. Watches, lets the rules decide, and writes what they say, as long as it leads.
//!
//! One replica works at a time. What it has begun is in the objects, so that the next one goes on where it was stopped, at any point.

mod flags;
mod wiring;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::coordination::v1::Lease;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::bootstrap::Common;
use crate::cli::Exit;
use crate::context::{Context, Options};
use crate::events::Events;
use crate::leader::{Elector, identity};
use crate::log;
use crate::serve::{Health, listen, serve};
use crate::version::{HASH, VERSION};

pub(crate) use flags::Args;

/// The Lease, named after the component (MCO controller 0.1).
const LEASE: &str = "machine-config-controller";
/// Threads that work at once. What there is to do is mostly waiting; rendering alone takes a processor.
const THREADS: usize = 2;
/// How long handing over the lease may take at the end.
const FAREWELL: Duration = Duration::from_secs(5);

/// How a term of leading ended.
enum End {
    /// Somebody has asked the process to end.
    Asked,
    /// The lease is lost.
    Lost,
    /// A part of the process has ended, which none does.
    Broken,
}

impl Args {
    pub(crate) fn run(self, common: Common) -> Result<Exit> {
        log::init(self.log_format, self.klog.v);
        // Fails when one is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .enable_all()
            .build()
            .context("could not start the threads")?;
        let exit = runtime.block_on(self.work(common));
        // Reading from somewhere that does not answer must not hold up the end.
        runtime.shutdown_background();
        exit
    }

    async fn work(self, common: Common) -> Result<Exit> {
        let mut asked = asked()?;
        let health = Arc::new(Health::default());
        let listener = listen(self.metrics_address()).await?;
        let mut aside = JoinSet::new();
        aside.spawn(serve(listener, Arc::clone(&health)));
        let client = client(self.kubeconfig.as_deref()).await?;
        let identity = identity()?;
        info!(version = VERSION, commit = HASH, identity, "Started");
        let namespace = self.resourcelock_namespace.as_str();
        let (events, writer) = Events::new(&client, namespace, &identity);
        aside.spawn(writer.run());
        let leases = Api::<Lease>::namespaced(client.clone(), namespace);
        let mut elector = Elector::new(leases, LEASE, identity, self.timing()?);
        let waiting = Arc::clone(&health);
        tokio::select! {
            () = elector.acquire(move || waiting.ready.store(true, Ordering::Relaxed)) => {}
            () = asked.wait() => {
                info!("Asked to end before leading");
                return Ok(Exit::Done);
            }
        }
        let options = Options {
            render_delay: self.render_delay,
            keep: self.rendered_configs_to_keep,
            node: self.node_name.clone(),
            release: common.payload_version,
            joining: self.joining(),
        };
        let context = Arc::new(Context::new(client, events, Arc::clone(&health), options));
        let end = lead(&context, &mut elector, &mut asked).await;
        health.metrics.leading(false);
        finish(end, elector, asked).await
    }
}

/// Works until it must stop. Nothing of it goes on after that.
async fn lead(context: &Arc<Context>, elector: &mut Elector, asked: &mut Asked) -> End {
    context.health.ready.store(false, Ordering::Relaxed);
    context.health.metrics.leading(true);
    let mut parts = wiring::run(context);
    let end = tokio::select! {
        () = elector.hold() => End::Lost,
        () = asked.wait() => End::Asked,
        Some(ended) = parts.join_next() => {
            error!(reason = ?ended, "A part of the controller has ended");
            End::Broken
        }
    };
    parts.shutdown().await;
    end
}

/// Hands over what is ours.
async fn finish(end: End, mut elector: Elector, mut asked: Asked) -> Result<Exit> {
    match end {
        End::Lost => {
            warn!("Ended, since another one may lead now");
            return Ok(Exit::Done);
        }
        End::Asked | End::Broken => tokio::select! {
            handed = tokio::time::timeout(FAREWELL, elector.release()) => {
                if handed.is_err() {
                    warn!("Could not hand over the lease in time");
                }
            }
            () = asked.wait() => bail!("asked to end a second time, and the lease is not handed over"),
        },
    }
    match end {
        End::Broken => bail!("a part of the controller has ended; the log says which"),
        End::Lost | End::Asked => {
            info!("Ended");
            Ok(Exit::Done)
        }
    }
}

/// Requests to end, by SIGTERM or SIGINT.
struct Asked {
    terminate: Signal,
    interrupt: Signal,
}

fn asked() -> Result<Asked> {
    let listen = |kind| signal(kind).context("could not listen to signals");
    Ok(Asked {
        terminate: listen(SignalKind::terminate())?,
        interrupt: listen(SignalKind::interrupt())?,
    })
}

impl Asked {
    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// A client by that kubeconfig, else by what the environment says, as the reference's.
async fn client(kubeconfig: Option<&std::path::Path>) -> Result<Client> {
    let mut config = match kubeconfig {
        Some(path) => {
            let read = Kubeconfig::read_from(path)
                .with_context(|| format!("could not read {} (--kubeconfig)", path.display()))?;
            Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
                .await
                .with_context(|| format!("{} is no usable kubeconfig", path.display()))?
        }
        None => Config::infer()
            .await
            .context("found no way to the API server: give --kubeconfig, or run in a pod")?,
    };
    // What is refused is tried again by who asked, with what is true by then. Above all an eviction that a budget forbids is an answer,
    // which nobody must wait for.
    config.default_retry = false;
    Client::try_from(config).context("could not make a client of the API server")
}

impl Args {
    /// Empty means every interface, as with the reference.
    fn metrics_address(&self) -> SocketAddr {
        self.metrics_listen_address
            .unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], flags::METRICS_PORT)))
    }
}
