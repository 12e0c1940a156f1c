//! Events: what is told to those who look at an object.
//!
//! An event that cannot be written is logged and is no error: what it tells stands in a status too.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use tokio::sync::mpsc;
use tracing::warn;

/// A note has at most this many bytes (the API's bound).
const MAX_NOTE: usize = 1024;
/// Events that wait to be written at most: beyond, they are dropped rather than holding up what they tell of.
const WAITING: usize = 256;

/// Who tells, as the reference calls its parts (MCO controller 0.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Teller {
    /// Who renders.
    Render,
    /// Who rolls out, drains and reports.
    Node,
    /// Who looks after machines that join.
    Join,
}

impl Teller {
    fn name(self) -> &'static str {
        match self {
            Teller::Render => "machineconfigcontroller-rendercontroller",
            Teller::Node => "machineconfigcontroller-nodecontroller",
            Teller::Join => "machineconfigcontroller-joincontroller",
        }
    }
}

/// Where events go.
#[derive(Debug)]
pub(crate) struct Events {
    namespace: String,
    sender: mpsc::Sender<Told>,
    /// What was told last of an object for a reason: the same is not told again.
    last: Mutex<BTreeMap<(String, &'static str), String>>,
}

#[derive(Debug)]
struct Told {
    teller: Teller,
    object: ObjectReference,
    type_: EventType,
    reason: &'static str,
    note: String,
}

/// Who writes them.
pub(crate) struct Writer {
    receiver: mpsc::Receiver<Told>,
    client: Client,
    instance: String,
    recorders: BTreeMap<Teller, Recorder>,
    /// What was written last of an object for a reason.
    notes: BTreeMap<(String, &'static str), String>,
}

impl Events {
    /// Events of objects without a namespace are kept in this one.
    pub(crate) fn new(client: &Client, namespace: &str, instance: &str) -> (Arc<Self>, Writer) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let events = Self {
            namespace: namespace.to_owned(),
            sender,
            last: Mutex::default(),
        };
        let writer = Writer {
            receiver,
            client: client.clone(),
            instance: instance.to_owned(),
            recorders: BTreeMap::new(),
            notes: BTreeMap::new(),
        };
        (Arc::new(events), writer)
    }

    /// Tells that something happened as it should.
    pub(crate) fn normal<K>(&self, teller: Teller, object: &K, reason: &'static str, note: impl Into<String>)
    where
        K: Resource<DynamicType = ()>,
    {
        self.tell(teller, object, EventType::Normal, reason, note.into());
    }

    /// Tells of trouble, once as long as it is the same.
    pub(crate) fn warning<K>(&self, teller: Teller, object: &K, reason: &'static str, note: impl Into<String>)
    where
        K: Resource<DynamicType = ()>,
    {
        let note = note.into();
        let key = (identity(object), reason);
        let before = self
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, note.clone());
        if before.as_ref() != Some(&note) {
            self.tell(teller, object, EventType::Warning, reason, note);
        }
    }

    /// Forgets trouble that has passed, so that it is told again when it comes back.
    pub(crate) fn passed<K: Resource<DynamicType = ()>>(&self, object: &K, reason: &'static str) {
        let key = (identity(object), reason);
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&key);
    }

    fn tell<K>(&self, teller: Teller, object: &K, type_: EventType, reason: &'static str, mut note: String)
    where
        K: Resource<DynamicType = ()>,
    {
        note.truncate(note.floor_char_boundary(MAX_NOTE));
        let mut object = object.object_ref(&());
        object.namespace.get_or_insert_with(|| self.namespace.clone());
        let told = Told {
            teller,
            object,
            type_,
            reason,
            note,
        };
        if let Err(error) = self.sender.try_send(told) {
            warn!(reason, %error, "An event is dropped");
        }
    }
}

fn identity<K: Resource<DynamicType = ()>>(object: &K) -> String {
    let name = object.meta().name.as_deref().unwrap_or_default();
    format!("{}/{name}", K::kind(&()))
}

impl Writer {
    /// Who writes that. One counts what it has written of an object for a reason as the same however its words differ, and keeps the first
    /// ones; so where the words are others a new one writes them.
    fn recorder(&mut self, told: &Told) -> Recorder {
        let object = &told.object;
        let name = object.name.as_deref().unwrap_or_default();
        let key = (
            format!("{}/{name}", object.kind.as_deref().unwrap_or_default()),
            told.reason,
        );
        let before = self.notes.insert(key, told.note.clone());
        if before.is_some_and(|before| before != told.note) {
            self.recorders.remove(&told.teller);
        }
        let reporter = || Reporter {
            controller: told.teller.name().to_owned(),
            instance: Some(self.instance.clone()),
        };
        let recorder = self
            .recorders
            .entry(told.teller)
            .or_insert_with(|| Recorder::new(self.client.clone(), reporter()));
        recorder.clone()
    }

    /// Writes events until nobody tells any more.
    pub(crate) async fn run(mut self) {
        while let Some(told) = self.receiver.recv().await {
            let recorder = self.recorder(&told);
            let event = Event {
                type_: told.type_,
                reason: told.reason.to_owned(),
                note: Some(told.note),
                action: told.reason.to_owned(),
                secondary: None,
            };
            if let Err(error) = recorder.publish(&event, &told.object).await {
                warn!(reason = event.reason, %error, "An event could not be written");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crds::{MachineConfigPool, MachineConfigPoolSpec};

    use super::*;
    use crate::fake::{self, Asked};

    /// The notes of the events that were created, and how many others were only counted.
    async fn written(notes: &[&str]) -> (Vec<String>, usize) {
        let (context, record) = fake::context(|_: &Asked| None);
        let (events, writer) = Events::new(&context.client.0, "kube-system", "test");
        let pool = MachineConfigPool::new("worker", MachineConfigPoolSpec::default());
        for note in notes {
            events.normal(Teller::Node, &pool, "SetDesiredConfig", *note);
        }
        drop(events);
        let ended = tokio::time::timeout(Duration::from_secs(5), writer.run()).await;
        assert!(ended.is_ok(), "it ends when nobody tells any more");
        let asked = record.events();
        let created = asked.iter().filter(|asked| asked.method == "POST");
        let notes = created.map(|asked| asked.body["note"].as_str().unwrap_or_default().to_owned());
        (
            notes.collect(),
            asked.iter().filter(|asked| asked.method == "PATCH").count(),
        )
    }

    #[tokio::test]
    async fn other_words_are_another_event_and_the_same_are_counted() {
        let (notes, counted) = written(&["a to 1", "b to 1", "b to 1", "a to 2"]).await;
        assert_eq!(
            (notes, counted),
            (
                vec!["a to 1".to_owned(), "b to 1".to_owned(), "a to 2".to_owned()],
                1
            )
        );
    }
}
