//! `start`: the process that keeps a node of a cluster at its config. It watches, asks [`state_machine::step`] what comes next, and has it
//! done by the engine. [`run`] is the entry point.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::cli::Exit;
use crate::host::Root;

mod clients;
mod disk;
mod drift;
pub(crate) mod flags;
mod handshake;
mod kubelet;
mod listener;
mod log;
mod memory;
mod metrics;
mod node_writer;
mod process;
mod progress;
mod state_machine;
mod trust;
mod watches;
mod worker;

use clients::Sources;
use flags::Flags;
use process::{Process, Settings};

/// Keeps the node at `root` at its config until the process is asked to end.
///
/// # Errors
/// Flags that do not hold up, and an operating system that has no threads or signals to give. Whatever may come right by itself is tried
/// again.
pub(crate) fn run(root: &Path, flags: Flags, verbosity: u8) -> Result<Exit> {
    let Flags {
        kubeconfig,
        node_name,
        kubelet_kubeconfig,
        kubelet_healthz_enabled,
        kubelet_healthz_endpoint,
        metrics_url,
        desired_configmap,
        ..
    } = flags;
    if desired_configmap.is_some() {
        bail!("--desired-configmap is not supported");
    }
    let name = node_name.filter(|name| !name.is_empty());
    let name = name.context("which node is this? Set --node-name or NODE_NAME")?;
    log::init(verbosity);
    // Fails when one is installed, which then does as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let opened = Root::open(root).with_context(|| format!("{} cannot be opened", root.display()))?;
    let settings = Settings {
        root: root.to_owned(),
        name,
        sources: Sources {
            kubelet: kubelet_kubeconfig,
            own: kubeconfig,
        },
        kubelet: kubelet_healthz_enabled.then_some(kubelet_healthz_endpoint),
        metrics: metrics_url,
    };
    // One thread: a node has better things to do.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the system has nothing to wait with")?;
    runtime.block_on(async { Process::start(settings, opened)?.live().await })?;
    // What is asked of the kubelet right now is not waited for.
    runtime.shutdown_background();
    Ok(Exit::Done)
}
