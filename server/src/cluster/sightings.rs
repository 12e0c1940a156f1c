//! Tells administrators whom a rule did not like, as events of the pool that was asked for.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crds::MachineConfigPool;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource as _};
use tokio::sync::mpsc;

use crate::entrance::Sighting;

/// Who says it.
const REPORTER: &str = "machine-config-server";
/// For how long the same is not said again.
const QUIET: Duration = Duration::from_mins(10);
/// Things that are remembered as said; beyond it nothing more is told until some may be said again.
const REMEMBERED: usize = 1024;

/// Tells what comes, each thing once in a while. Ends when nobody can come any more.
pub(super) async fn tell(client: Client, mut seen: mpsc::Receiver<Sighting>) {
    let reporter = Reporter {
        controller: REPORTER.to_owned(),
        instance: None,
    };
    let mut said: HashMap<Sighting, Instant> = HashMap::new();
    while let Some(sighting) = seen.recv().await {
        said.retain(|_, at| at.elapsed() < QUIET);
        let Some(pool) = &sighting.pool else {
            continue;
        };
        if said.contains_key(&sighting) || said.len() >= REMEMBERED {
            continue;
        }
        let mut object = MachineConfigPool::new(pool, crds::MachineConfigPoolSpec::default()).object_ref(&());
        // Events of what has no namespace are kept in this one.
        object.namespace = None;
        // A recorder that has told something of an object for the same reason only counts what comes then, and drops its words: those
        // say who it was. What is the same is not told again anyway.
        let recorder = Recorder::new(client.clone(), reporter.clone());
        if let Err(error) = recorder.publish(&event(&sighting), &object).await {
            tracing::warn!(%error, "An event cannot be written");
        }
        said.insert(sighting, Instant::now());
    }
}

fn event(sighting: &Sighting) -> Event {
    let Sighting {
        address, objection, ..
    } = sighting;
    let rule = objection.rule.as_str();
    let (reason, told) = if objection.enforced {
        ("ConfigRefused", "was refused")
    } else {
        (
            "ConfigWouldBeRefused",
            "would be refused if this rule were enforced",
        )
    };
    Event {
        type_: EventType::Warning,
        reason: reason.to_owned(),
        note: Some(format!(
            "a request from {address} {told} by the rule {rule}: {}",
            objection.reason
        )),
        action: "Serve".to_owned(),
        secondary: None,
    }
}
