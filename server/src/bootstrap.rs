//! The process that serves files: `machine-config-server bootstrap`. Entry point: [`run`].

use std::panic;
use std::sync::Arc;
use std::thread;

use anyhow::Context as _;
use tokio::runtime::Runtime;

use crate::cli::{Bootstrap, Serving};
use crate::files::{Layout, Loader};
use crate::process;
use crate::reload::{self, PairFiles, Reloader};
use crate::service::App;
use crate::snapshot::Served;
use crate::tls::{self, Settings};
use crate::watched;

/// Serves until told to stop.
///
/// # Errors
/// What keeps the server from starting, in one message that says what to do.
pub fn run(bootstrap: Bootstrap, serving: &Serving) -> anyhow::Result<()> {
    // Dropped last, before the caller prints an error: what was logged comes before it.
    let log = crate::log::init(serving.log_format, serving.klog.v);
    let limits = process::limits(serving);
    let layout = layout(bootstrap);
    let settings = process::tls_settings(profile(&layout), serving)?;
    let pair = PairFiles::new(serving.cert.clone(), serving.key.clone())?;
    let acceptor =
        tls::acceptor(&settings, pair.pair(), None).map_err(|error| process::refused_settings(&error))?;
    // Ports first: a port that is taken is the commonest mistake and quickly found out.
    let ports = process::open_ports(serving)?;
    let loader = load(layout)?;
    let runtime = Runtime::new().context("the asynchronous runtime does not start")?;
    let app = Arc::new(App::default());
    app.metrics().log_drops(log.dropped.clone());
    reload::log_new_problems(&loader.snapshot().problems, &[]);
    let _reloader = Reloader::start(app.clone(), loader, pair, reload::INTERVAL);
    ports.log(&app);
    runtime.block_on(process::serve(ports, acceptor, &app, limits))?;
    // Nothing that is left is worth waiting for.
    runtime.shutdown_background();
    Ok(())
}

/// Reads everything for the first time, on a thread that ends before those of the runtime begin: the allocator hands its memory on
/// to them, where megabytes that reading left would otherwise lie idle beside what connections take.
fn load(layout: Layout) -> anyhow::Result<Loader> {
    let reading = thread::Builder::new()
        .name("load".to_owned())
        .spawn(|| Loader::new(layout))
        .context("no thread to read the files with")?;
    match reading.join() {
        Ok(loader) => Ok(loader?),
        Err(panic) => panic::resume_unwind(panic),
    }
}

fn layout(bootstrap: Bootstrap) -> Layout {
    let Bootstrap {
        server_basedir: base_dir,
        bootstrap_kubeconfig: kubeconfig,
        bootstrap_certs: registry_cas,
        all_pools,
    } = bootstrap;
    Layout {
        base_dir,
        kubeconfig,
        registry_cas,
        served: if all_pools {
            Served::All
        } else {
            Served::ControlPlane
        },
    }
}

/// The cluster's TLS profile, if there is one. One that cannot be read means the default, as in the reference.
fn profile(layout: &Layout) -> Settings {
    let path = layout.api_server();
    if !path.try_exists().unwrap_or(true) {
        return Settings::default();
    }
    let name = path.display().to_string();
    let read = watched::read(&path)
        .map_err(anyhow::Error::from)
        .and_then(|bytes| {
            let manifest = crds::manifest::value(&name, &String::from_utf8(bytes)?)?;
            Ok(tls::from_api_server(&manifest)?)
        });
    match read {
        Ok((settings, warnings)) => {
            for warning in warnings {
                tracing::warn!(file = name, warning, "TLS profile");
            }
            settings
        }
        Err(error) => {
            tracing::warn!(file = name, %error, "TLS profile cannot be used; Intermediate is used");
            Settings::default()
        }
    }
}
