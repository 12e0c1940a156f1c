//! `status --watch`: three watches feed one picture, which is told anew when it changes, at a bounded rate.

use std::fmt::Write as _;
use std::pin::Pin;
use std::time::Duration;

use crds::{MachineConfigNode, MachineConfigPool};
use futures_util::stream::{Stream, StreamExt as _, select_all};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use machineconfig::standing::Cluster;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

use super::changes::{Lines, changes, lines};
use super::{Output, View};
use crate::age::second;
use crate::cli::Exit;
use crate::cluster::{Access, leadership};
use crate::escape;
use crate::terminal::{Terminal, paint};

/// How often it is told at most: more nobody can read.
const RATE: Duration = Duration::from_millis(500);
/// How often a screen is drawn although nothing has changed: ages go on.
const AGES: Duration = Duration::from_secs(5);
/// How often it is looked who leads, which no watch tells.
const LEADER: Duration = Duration::from_secs(30);
/// Goes to the first line of a screen and clears what is below.
const HOME: &str = "\u{1b}[H\u{1b}[J";

/// What a watch tells.
enum Told {
    Pool(Box<Event<MachineConfigPool>>),
    Node(Box<Event<Node>>),
    Report(Box<Event<MachineConfigNode>>),
    /// The API server does not answer, or not well.
    Trouble(String),
}

/// Objects of one kind: those that are told, and those of a listing that is not complete yet.
struct Kept<K> {
    known: Vec<K>,
    coming: Vec<K>,
}

/// The picture, and whether it is told already.
struct Picture<'a> {
    pools: Kept<MachineConfigPool>,
    nodes: Kept<Node>,
    reports: Kept<MachineConfigNode>,
    leader: Option<String>,
    trouble: Option<(String, Timestamp)>,
    is_new: bool,
    told: Lines,
    json: String,
    view: View<'a>,
    terminal: &'a Terminal,
}

/// Tells how a cluster stands until somebody ends it, or nobody reads any more.
pub(super) async fn run(
    access: &Access,
    cluster: Cluster,
    view: View<'_>,
    terminal: &Terminal,
) -> anyhow::Result<Exit> {
    let mut watches = watches(access);
    let mut picture = Picture {
        pools: Kept::of(cluster.pools),
        nodes: Kept::of(cluster.nodes),
        reports: Kept::of(cluster.reports),
        leader: cluster.leader,
        trouble: None,
        is_new: true,
        told: Lines::new(),
        json: String::new(),
        view,
        terminal,
    };
    let mut rate = interval(RATE);
    rate.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ages = interval(AGES);
    let mut leaders = interval_at(Instant::now() + LEADER, LEADER);
    loop {
        tokio::select! {
            Some(told) = watches.next() => picture.take(told),
            _ = ages.tick() => {
                picture.is_new |= terminal.is_interactive();
                // A watch that goes on where it was says nothing before something changes.
                if picture.trouble.is_some() && leadership(access).await.is_ok() {
                    picture.answered();
                }
            }
            _ = leaders.tick() => if let Ok(found) = leadership(access).await {
                picture.leader = found.node;
            },
            _ = rate.tick(), if picture.is_new => if !picture.tell()? {
                return Ok(Exit::Done);
            },
        }
    }
}

type Watch = Pin<Box<dyn Stream<Item = Told>>>;

fn watches(access: &Access) -> impl Stream<Item = Told> + use<> {
    let pools = watcher(access.all::<MachineConfigPool>(), watcher::Config::default());
    let nodes = watcher(access.all::<Node>(), watcher::Config::default());
    let reports = watcher(access.all::<MachineConfigNode>(), watcher::Config::default());
    let pools: Watch = Box::pin(pools.default_backoff().map(|event| told(event, Told::Pool)));
    let nodes: Watch = Box::pin(nodes.default_backoff().map(|event| told(event, Told::Node)));
    let reports: Watch = Box::pin(reports.default_backoff().map(|event| told(event, Told::Report)));
    select_all([pools, nodes, reports])
}

fn told<K>(event: watcher::Result<Event<K>>, as_told: fn(Box<Event<K>>) -> Told) -> Told {
    event.map_or_else(
        |error| Told::Trouble(words(&error)),
        |event| as_told(Box::new(event)),
    )
}

/// What is the matter with a watch. It is begun anew by itself.
fn words(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => crate::cluster::said(error),
        watcher::Error::WatchError(status) => status.message.clone(),
        watcher::Error::NoResourceVersion => error.to_string(),
    }
}

// === impl Kept ===

impl<K: kube::Resource> Kept<K> {
    fn of(known: Vec<K>) -> Self {
        Self {
            known,
            coming: Vec::new(),
        }
    }

    /// Takes in what a watch tells. False when that changes nothing yet.
    fn take(&mut self, event: Event<K>) -> bool {
        match event {
            Event::Init => self.coming.clear(),
            Event::InitApply(object) => self.coming.push(object),
            Event::InitDone => {
                self.known = std::mem::take(&mut self.coming);
                return true;
            }
            Event::Apply(object) => {
                let place = self.place(&object);
                match place {
                    Some(place) => self.known[place] = object,
                    None => self.known.push(object),
                }
                return true;
            }
            Event::Delete(object) => {
                if let Some(place) = self.place(&object) {
                    self.known.swap_remove(place);
                }
                return true;
            }
        }
        false
    }

    fn place(&self, object: &K) -> Option<usize> {
        let name = object.meta().name.as_ref();
        self.known
            .iter()
            .position(|known| known.meta().name.as_ref() == name)
    }
}

// === impl Picture ===

impl Picture<'_> {
    fn take(&mut self, told: Told) {
        let changed = match told {
            Told::Pool(event) => self.pools.take(*event),
            Told::Node(event) => self.nodes.take(*event),
            Told::Report(event) => self.reports.take(*event),
            Told::Trouble(text) => {
                self.interrupted(text);
                return;
            }
        };
        if changed {
            self.answered();
        }
        self.is_new |= changed;
    }

    fn answered(&mut self) {
        if self.trouble.take().is_some() {
            self.note("the API server answers again");
        }
    }

    /// Notes that the API server does not answer: what is shown is as it was then.
    fn interrupted(&mut self, text: String) {
        if self.trouble.is_none() {
            self.note(&format!(
                "the API server does not answer ({text}); it is asked again"
            ));
            self.trouble = Some((text, Timestamp::now()));
            self.is_new = true;
        }
    }

    /// On a screen the note is a line of it.
    fn note(&self, text: &str) {
        if !self.is_screen() {
            self.terminal.message(&format!("note: {}\n", escape::line(text)));
        }
    }

    fn is_screen(&self) -> bool {
        self.view.output == Output::Text && self.terminal.is_interactive()
    }

    /// Tells the picture. False when nobody reads any more.
    fn tell(&mut self) -> anyhow::Result<bool> {
        self.is_new = false;
        let now = Timestamp::now();
        let cluster = Cluster {
            pools: self.pools.known.clone(),
            nodes: self.nodes.known.clone(),
            reports: self.reports.known.clone(),
            leader: self.leader.clone(),
        };
        let standing = self.view.of(&cluster, now);
        if self.view.output == Output::Json {
            let json = serde_json::to_string(&standing).expect("what is printed has string keys");
            if json == self.json {
                return Ok(true);
            }
            let open = self.terminal.stream(&format!("{}\n", escape::json(&json)));
            self.json = json;
            return open;
        }
        if self.is_screen() {
            let styles = &self.terminal.out;
            let mut text = format!("{HOME}{}", self.view.show(&cluster, now, self.terminal));
            if let Some((trouble, since)) = &self.trouble {
                let note = format!(
                    "the API server does not answer since {} ({trouble})",
                    second(*since)
                );
                text = format!("{text}\n{}\n", paint(styles.caution, &escape::line(&note)));
            }
            return self.terminal.stream(&text);
        }
        let lines = lines(&standing);
        let changed = changes(&self.told, &lines);
        self.told = lines;
        let stamp = second(now);
        let mut stamped = String::new();
        for line in changed.lines() {
            let _ = writeln!(stamped, "{stamp} {line}");
        }
        self.terminal.stream(&stamped)
    }
}
