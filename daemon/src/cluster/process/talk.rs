//! What the process says to the API server, and what it asks of it.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Request;
use jiff::Timestamp;
use machineconfig::pool::State;
use machineconfig::{Code, Finding};
use tokio::time::timeout;

use super::{Go, Process, Untold};
use crate::cluster::node_writer::annotations;
use crate::cluster::progress::Stage;
use crate::cluster::state_machine::{Cause, Kind, Say, Wait, after};
use crate::cluster::watches::SeenNode;
use crate::cluster::worker::{self, Job, Problem};

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(15);
/// How long it may take to fetch a config: up to a few megabytes, from a server that is busy.
const FETCH: Duration = Duration::from_mins(1);
/// How long the beginning of an update waits to be told: most of those that disrupt nothing have ended by then, and that is told then.
const BREATH: Duration = Duration::from_secs(2);
/// How soon a MachineConfigNode is written again when that failed; the controller makes it in its own time.
const TELL_AGAIN: Duration = Duration::from_mins(1);

impl Process {
    // === what is said ===

    pub(super) async fn say(&mut self, say: Say) {
        let before = self
            .memory
            .node()
            .map(|node| node.handshake.clone())
            .unwrap_or_default();
        if let Say::Working { drain: true, .. } = &say {
            // What tests of the reference wait for (MCO daemon 14).
            tracing::info!("requesting cordon and drain via annotation to controller");
        }
        if !self.annotate(&annotations(&say, &before)).await {
            return;
        }
        self.waited = Some(Wait::Look);
        let now = Timestamp::now();
        match say {
            Say::LaidDown(_) | Say::Adopted(_) | Say::Awaiting => {}
            Say::Working { config, afresh, .. } => {
                self.set_state(State::Working, "");
                if afresh {
                    let takes = self.memory.takes();
                    tracing::info!(%config, %takes, "Update begins");
                    self.untold = Some(Untold {
                        stages: vec![Stage::Prepared(format!("Update to {config}: {takes}"))],
                        until: after(now, BREATH),
                    });
                }
            }
            Say::Failing { state, reason, cause } => {
                self.memory.said_failing(now);
                self.set_state(state, &reason);
                self.metrics.set_update("", &reason, now.as_second());
                self.warn(state, &reason, cause);
                let refused = state == State::Unreconcilable;
                self.tell(Stage::Failing { reason, refused }).await;
            }
            Say::Done { config, .. } => {
                let is_new = before.current() != config;
                tracing::info!(%config, update = is_new, "The node has the config that it is to have");
                self.memory.said_done();
                self.set_state(State::Done, "");
                self.metrics.set_update(&config, "", now.as_second());
                let acted = std::mem::take(&mut self.memory.acted);
                self.tell(if is_new { Stage::Done(acted) } else { Stage::AtRest })
                    .await;
            }
        }
    }

    /// Sets annotations of the node. True when that is done.
    pub(super) async fn annotate(&mut self, annotations: &BTreeMap<String, String>) -> bool {
        if annotations.is_empty() {
            return true;
        }
        let Some(hands) = &self.hands else {
            self.memory.not_heard(Timestamp::now());
            return false;
        };
        let error = match timeout(REQUEST, hands.node.annotate(annotations)).await {
            Ok(Ok(node)) => {
                self.memory.heard(SeenNode::of(&node));
                self.remember();
                return true;
            }
            Ok(Err(error)) => crate::apply::chain(&error),
            Err(_) => "the API server did not answer in time".to_owned(),
        };
        tracing::warn!(%error, "The node object cannot be written");
        self.memory.not_heard(Timestamp::now());
        false
    }

    fn warn(&self, state: State, reason: &str, cause: Cause) {
        let Some(hands) = &self.hands else { return };
        let kind = match (cause, state) {
            (Cause::Drift, _) => "ConfigDriftDetected",
            (Cause::Drain, _) => "FailedToDrain",
            (Cause::Fault, _) => "NodeDegraded",
            (Cause::Update, State::Unreconcilable) => "FailedToReconcile",
            (Cause::Update, _) => "UpdateFailed",
        };
        let uid = self.memory.node().and_then(|node| node.uid.clone());
        let (writer, reason) = (hands.node.clone(), reason.to_owned());
        tokio::spawn(async move {
            if let Ok(Err(error)) = timeout(REQUEST, writer.warn(uid, kind, &reason)).await {
                tracing::warn!(error = %crate::apply::chain(&error), "An event cannot be written");
            }
        });
    }

    /// Tells by the MachineConfigNode, with the beginning of the update if that is untold; what cannot be told is told later, with what
    /// comes then.
    pub(super) async fn tell(&mut self, stage: Stage) {
        let mut stages = self.untold.take().map_or_else(Vec::new, |untold| untold.stages);
        stages.retain(|stage| matches!(stage, Stage::Prepared(_)));
        stages.push(stage);
        self.tell_all(stages).await;
    }

    async fn tell_all(&mut self, stages: Vec<Stage>) {
        let told = match (&self.hands, self.memory.node()) {
            (Some(hands), Some(node)) => {
                let told = hands.progress.tell(&stages, &node.handshake);
                match timeout(REQUEST, told).await {
                    Ok(Ok(told)) => told,
                    Ok(Err(error)) => {
                        let error = crate::apply::chain(&error);
                        tracing::warn!(%error, "The MachineConfigNode cannot be written");
                        false
                    }
                    Err(_) => false,
                }
            }
            (None, _) | (_, None) => false,
        };
        self.untold = (!told).then(|| Untold {
            stages,
            until: after(Timestamp::now(), TELL_AGAIN),
        });
    }

    pub(super) async fn tell_untold(&mut self) {
        let due = self.untold.take_if(|untold| untold.until <= Timestamp::now());
        if let Some(untold) = due {
            self.tell_all(untold.stages).await;
        }
    }

    // === what is fetched ===

    pub(super) async fn fetch(&mut self, config: String) -> Go {
        if self.memory.has_fetched(&config) {
            self.memory.fetched(config);
            return Go::On;
        }
        let kept = self.memory.kept.as_deref() == Some(config.as_str());
        match self.get(&config).await {
            Ok(text) => {
                self.give(Job::Keep { config, text });
                Go::Wait(None)
            }
            // The API server is away, and the last target goes on.
            Err(problem) if problem.kind == Kind::Busy && kept => {
                self.memory.fetched(config);
                Go::On
            }
            Err(problem) => {
                self.memory.fail(&config, problem, Timestamp::now());
                Go::On
            }
        }
    }

    /// A config as it is on the API server. It is not taken apart here: the engine does that, and forgets it again.
    async fn get(&self, config: &str) -> Result<String, Problem> {
        let problem = |kind, reason| Problem { kind, reason };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        if config.starts_with('.') || !config.chars().all(plain) {
            return Err(problem(
                Kind::Failed,
                format!("{config:?} is no name of a MachineConfig"),
            ));
        }
        let away = || problem(Kind::Busy, "the API server does not answer".to_owned());
        let hands = self.hands.as_ref().ok_or_else(away)?;
        let path = format!("/apis/machineconfiguration.openshift.io/v1/machineconfigs/{config}");
        let request = Request::get(path)
            .body(Vec::new())
            .map_err(|error| problem(Kind::Failed, error.to_string()))?;
        match timeout(FETCH, hands.clients.own.request_text(request)).await {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 && self.memory.was_served(config) => {
                Err(worker::problem(&[Finding::error(
                    Code::SERVED_UNKNOWN,
                    format!("MachineConfig/{config}"),
                    "",
                    "was served at its first boot, and the cluster has no such config: it was rendered from other \
                     MachineConfigs than the cluster's, or by another version, or deleted since",
                )]))
            }
            Ok(Err(kube::Error::Api(status))) => Err(problem(
                Kind::Failed,
                format!("MachineConfig/{config} cannot be fetched: {}", status.message),
            )),
            Ok(Err(_)) | Err(_) => Err(away()),
        }
    }
}
