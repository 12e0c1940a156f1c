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
    const ALL: [Self; 3] = [Self::Render, Self::Node, Self::Join];

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
    recorders: BTreeMap<Teller, Recorder>,
}

impl Events {
    /// Events of objects without a namespace are kept in this one.
    pub(crate) fn new(client: &Client, namespace: &str, instance: &str) -> (Arc<Self>, Writer) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let recorder = |teller: Teller| {
            let reporter = Reporter {
                controller: teller.name().to_owned(),
                instance: Some(instance.to_owned()),
            };
            (teller, Recorder::new(client.clone(), reporter))
        };
        let events = Self {
            namespace: namespace.to_owned(),
            sender,
            last: Mutex::default(),
        };
        let writer = Writer {
            receiver,
            recorders: Teller::ALL.into_iter().map(recorder).collect(),
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
    /// Writes events until nobody tells any more.
    pub(crate) async fn run(mut self) {
        while let Some(told) = self.receiver.recv().await {
            let Some(recorder) = self.recorders.get(&told.teller) else {
                continue;
            };
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
