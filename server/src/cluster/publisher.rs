//! Makes bodies of what is known, off the path of requests, and publishes them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crds::MachineConfig;
use kube::Client;
use kube::api::Api;
use machineconfig::{Code, Finding};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use super::choice::{Strategy, choose};
use super::inputs::{Authorities, Known};
use crate::assemble::Inputs;
use crate::bodies::{bodies, expected_name};
use crate::reload::{self, INTERVAL, PairFiles};
use crate::route::is_object_name;
use crate::service::App;
use crate::snapshot::{Pool, Served, Slot, Snapshot, Unknown};

/// Changes that come together are one: the parts of one change of the cluster come within milliseconds.
const DEBOUNCE: Duration = Duration::from_millis(10);
/// The wait before something that failed is tried again, and the longest one.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));
/// Pools that are served at most. A cluster has a handful; each takes memory for its bodies.
const MAX_POOLS: usize = 256;
/// Random bytes that make a placeholder which nobody can have put into a config.
const PLACEHOLDER_BYTES: usize = 16;

/// How pools are served.
#[derive(Debug, Clone)]
pub(super) struct Serving {
    pub(super) strategy: Strategy,
    pub(super) unknown: Unknown,
    /// Where new machines reach the API server.
    pub(super) server: String,
}

/// Keeps what was made, and makes what has changed.
pub(super) struct Publisher {
    configs: Api<MachineConfig>,
    app: Arc<App>,
    known: Arc<Known>,
    serving: Serving,
    pair: PairFiles,
    made: BTreeMap<String, Made>,
    placeholder: String,
}

/// What was made of a pool.
#[derive(Debug, Default)]
struct Made {
    /// Of what.
    of: Option<Of>,
    /// The last good bodies.
    pool: Option<Arc<Pool>>,
    problem: Option<Finding>,
    failures: u32,
    retry_at: Option<Instant>,
}

/// What bodies are made of; another one of these makes other bodies.
#[derive(Debug, Clone)]
struct Of {
    rendered: String,
    authorities: Arc<Authorities>,
    api_ca: Arc<Vec<u8>>,
}

// === impl Publisher ===

impl Publisher {
    pub(super) fn new(
        client: Client,
        app: Arc<App>,
        known: Arc<Known>,
        serving: Serving,
        pair: PairFiles,
    ) -> Self {
        Self {
            configs: Api::all(client),
            app,
            known,
            serving,
            pair,
            made: BTreeMap::new(),
            placeholder: placeholder(),
        }
    }

    /// Makes what is due, and publishes it all.
    async fn refresh(&mut self) {
        let due = self.due();
        for (name, of) in due {
            let result = self.make(&name, &of).await;
            let made = self.made.entry(name.clone()).or_default();
            made.take(&name, of, result);
        }
        self.publish();
    }

    /// The pools whose bodies are to be made, and of what. Takes note of those that cannot be made, and of those that are gone.
    fn due(&mut self) -> Vec<(String, Of)> {
        let known = self.known.read();
        let mut due = Vec::new();
        self.made.retain(|name, _| known.pools.contains_key(name));
        for (name, pool) in known.pools.iter().take(MAX_POOLS) {
            let made = self.made.entry(name.clone()).or_default();
            let rendered = choose(pool, self.serving.strategy);
            if !is_object_name(rendered) {
                // What it had, if anything, is still the best there is.
                made.problem = Some(no_config(
                    name,
                    "the pool has no rendered MachineConfig yet; the controller renders it",
                ));
                continue;
            }
            let Some(authorities) = &known.authorities else {
                made.problem = Some(no_controller_config());
                continue;
            };
            let of = Of {
                rendered: rendered.to_owned(),
                authorities: authorities.clone(),
                api_ca: known.api_ca.clone(),
            };
            if made.is_due(&of) {
                due.push((name.clone(), of));
            }
        }
        due
    }

    /// The bodies of a pool.
    async fn make(&self, name: &str, of: &Of) -> Result<Arc<Pool>, Finding> {
        let object = format!("MachineConfig/{}", of.rendered);
        let config = match self.configs.get_opt(&of.rendered).await {
            Ok(Some(config)) => config,
            Ok(None) => return Err(no_config(name, "its rendered MachineConfig does not exist")),
            Err(error) => {
                let message = format!("it cannot be read: {error}");
                return Err(Finding::error(Code::SERVER_MACHINE_CONFIG, object, "", message));
            }
        };
        if let Some(expected) = expected_name(name, &config.spec).filter(|expected| *expected != of.rendered)
        {
            tracing::warn!(
                pool = name,
                config = of.rendered,
                expected,
                "The name of the MachineConfig does not fit its contents"
            );
        }
        let (name, of) = (name.to_owned(), of.clone());
        let kubeconfig = kubeconfig(&self.serving.server, &of.api_ca, &self.placeholder);
        let placeholder = self.placeholder.clone();
        let making = tokio::task::spawn_blocking(move || {
            let inputs = Inputs {
                rendered: &of.rendered,
                machine_config: &config,
                kubelet_ca: &of.authorities.kubelet,
                cloud_ca: &of.authorities.cloud,
                kubeconfig: kubeconfig.as_bytes(),
                registry_cas: &[],
            };
            let pool = bodies(&name, &inputs).map_err(|error| error.to_string())?;
            let slotted = pool.with_slot(&placeholder);
            slotted.ok_or_else(|| "there is no place for the credential in what is to be served".to_owned())
        });
        match making.await {
            Ok(Ok(pool)) => Ok(Arc::new(pool)),
            Ok(Err(message)) => Err(Finding::error(Code::SERVER_MACHINE_CONFIG, object, "", message)),
            Err(_) => {
                let message = "it cannot be served because of a defect of the server";
                Err(Finding::error(Code::SERVER_MACHINE_CONFIG, object, "", message))
            }
        }
    }

    fn publish(&self) {
        let before = self.app.snapshot();
        let mut problems: Vec<Finding> = Vec::new();
        let of_pools = self.made.values().filter_map(|made| made.problem.as_ref());
        for problem in of_pools.chain(self.pair.problem()) {
            // What is wrong with the ControllerConfig is wrong with every pool.
            if !problems.contains(problem) {
                problems.push(problem.clone());
            }
        }
        reload::log_new_problems(&problems, &before.problems);
        let slots = self.made.iter().map(|(name, made)| (name.clone(), made.slot()));
        self.app.publish(Snapshot {
            served: Served::Cluster(self.serving.unknown),
            pools: slots.collect(),
            problems,
            draining: false,
            awaited: self.known.read().awaited(),
            certificate_end: self.pair.end(),
        });
    }

    /// When something that failed is to be tried again.
    fn next_retry(&self) -> Option<Instant> {
        self.made.values().filter_map(|made| made.retry_at).min()
    }
}

/// Goes on until its task is dropped.
pub(super) async fn publish(mut publisher: Publisher) {
    let mut look = tokio::time::interval(INTERVAL);
    loop {
        publisher.refresh().await;
        let retry = publisher.next_retry();
        let known = publisher.known.clone();
        tokio::select! {
            () = known.changed() => sleep(DEBOUNCE).await,
            () = async { sleep_until(retry.unwrap_or_else(Instant::now)).await }, if retry.is_some() => {}
            () = async { while !{ look.tick().await; publisher.pair.look(&publisher.app) } {} } => {}
        }
        if let Some(entrance) = publisher.app.entrance() {
            entrance.gate.pace.forget();
        }
    }
}

// === impl Made ===

impl Made {
    /// Whether bodies are to be made of this, as they are made of something else or could not be made.
    fn is_due(&self, of: &Of) -> bool {
        match &self.of {
            Some(now) if now.is_same(of) => self.retry_at.is_some_and(|at| at <= Instant::now()),
            Some(_) | None => true,
        }
    }

    fn take(&mut self, name: &str, of: Of, result: Result<Arc<Pool>, Finding>) {
        match result {
            Ok(pool) => {
                tracing::info!(pool = name, config = of.rendered, "Config made");
                *self = Self {
                    of: Some(of),
                    pool: Some(pool),
                    ..Self::default()
                };
            }
            Err(problem) => {
                let (first, longest) = RETRY;
                let wait = first.saturating_mul(1 << self.failures.min(10)).min(longest);
                self.of = Some(of);
                self.problem = Some(problem);
                self.failures += 1;
                self.retry_at = Some(Instant::now() + wait);
            }
        }
    }

    fn slot(&self) -> Slot {
        match (&self.pool, &self.problem) {
            (Some(pool), _) => Slot::Ready(pool.clone()),
            (None, Some(problem)) if problem.code == Code::SERVER_NO_MACHINE_CONFIG => Slot::Missing,
            (None, _) => Slot::Broken,
        }
    }
}

impl Of {
    fn is_same(&self, other: &Self) -> bool {
        self.rendered == other.rendered
            && self.authorities == other.authorities
            && (Arc::ptr_eq(&self.api_ca, &other.api_ca) || self.api_ca == other.api_ca)
    }
}

/// What the kubelet begins with (`MCO server 1.8`), with a placeholder for its token.
fn kubeconfig(server: &str, ca: &[u8], token: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let mut cluster = json!({"server": server});
    if !ca.is_empty() {
        cluster["certificate-authority-data"] = STANDARD.encode(ca).into();
    }
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": cluster}],
        "users": [{"name": "kubelet", "user": {"token": token}}],
        "contexts": [{"name": "kubelet", "context": {"cluster": "local", "user": "kubelet"}}],
        "current-context": "kubelet",
    });
    // JSON is YAML too; written out nonetheless, since people look at the file.
    serde_saphyr::to_string(&config).unwrap_or_else(|_| config.to_string())
}

/// Letters that stand for the token of a machine.
fn placeholder() -> String {
    let mut bytes = [0; PLACEHOLDER_BYTES];
    // Without randomness of the kernel nothing else of this process works either.
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .expect("the kernel gives random bytes");
    format!("token-{:032x}", u128::from_ne_bytes(bytes))
}

fn no_config(pool: &str, message: &str) -> Finding {
    let object = format!("MachineConfigPool/{pool}");
    Finding::error(Code::SERVER_NO_MACHINE_CONFIG, object, "", message)
}

fn no_controller_config() -> Finding {
    let message = "it does not exist; the controller makes it";
    let object = "ControllerConfig/machine-config-controller";
    Finding::error(Code::SERVER_CONTROLLER_CONFIG, object, "", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubeconfig_is_the_reference_s() {
        let text = kubeconfig("https://api-int.example.com:6443", b"CA", "token-1");
        let read: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read["clusters"][0]["name"], "local");
        assert_eq!(
            read["clusters"][0]["cluster"]["server"],
            "https://api-int.example.com:6443"
        );
        assert_eq!(
            read["clusters"][0]["cluster"]["certificate-authority-data"],
            "Q0E="
        );
        assert_eq!(read["users"][0]["user"]["token"], "token-1");
        assert_eq!(
            read["contexts"][0]["context"],
            json!({"cluster": "local", "user": "kubelet"})
        );
        assert_eq!(read["current-context"], "kubelet");
        assert_eq!(text.matches("token-1").count(), 1);
        let without = kubeconfig("https://a", b"", "t");
        assert!(!without.contains("certificate-authority-data"));
    }

    #[test]
    fn placeholders_are_letters_that_nothing_rewrites() {
        let [a, b] = [placeholder(), placeholder()];
        assert_ne!(a, b);
        assert_eq!(ignition::contents::percent(a.as_bytes()), format!("data:,{a}"));
    }

    #[tokio::test]
    async fn what_failed_is_tried_again_later_and_what_was_good_stays() {
        let of = |rendered: &str| Of {
            rendered: rendered.to_owned(),
            authorities: Arc::default(),
            api_ca: Arc::default(),
        };
        let pool = Arc::new(Pool::new("worker", "a".to_owned(), |_| Some(String::new())));
        let mut made = Made::default();
        assert!(made.is_due(&of("a")));
        made.take("worker", of("a"), Ok(pool));
        assert!(!made.is_due(&of("a")) && made.is_due(&of("b")));
        made.take("worker", of("b"), Err(no_config("worker", "gone")));
        assert!(matches!(made.slot(), Slot::Ready(pool) if pool.rendered == "a"));
        assert!(made.problem.is_some() && !made.is_due(&of("b")), "not at once");
        made.retry_at = Some(Instant::now());
        assert!(made.is_due(&of("b")));
        let mut other = of("a");
        other.api_ca = Arc::new(b"new".to_vec());
        assert!(!of("a").is_same(&other));
    }
}
