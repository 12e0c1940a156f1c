//! The choice of nodes (MCO controller 3.6, 3.7).

use std::collections::{BTreeMap, BTreeSet};

use crds::MachineConfigPool;
use jiff::{SignedDuration, Timestamp};

use super::{
    Around, Blocker, Grant, MAX_RESERVED, Peer, RESUME_AFTER, Reservation, Reservations, Step, Tally,
};
use crate::pool::{Account, NodeView, Progress, Unready};

/// All that a choice depends on.
pub(super) struct Field<'a> {
    pub(super) pool: &'a MachineConfigPool,
    pub(super) target: &'a str,
    pub(super) views: &'a [NodeView<'a>],
    pub(super) reserved: &'a Reservations,
    pub(super) limit: usize,
    pub(super) around: &'a Around<'a>,
    pub(super) now: Timestamp,
}

/// A node of the control plane in another pool, as far as it is in the way.
struct Hindrance<'a> {
    pool: &'a str,
    view: NodeView<'a>,
    target: &'a str,
    since: Option<Timestamp>,
    /// It is away, or on its way.
    busy: bool,
    /// It is no arbiter, and arbiters let it go first.
    goes_before_arbiters: bool,
}

/// What it takes to lead a node on.
enum Price {
    /// A free slot: it works by now, or is away for a reason that may pass before the config does.
    Slot,
    /// The slot that it has, as long as no more nodes are away than may be: it works by now, and will not then.
    Held,
    /// Nothing: its failed update keeps it away anyhow.
    Nothing,
}

impl<'a> Field<'a> {
    pub(super) fn name(&self) -> &'a str {
        self.pool.metadata.name.as_deref().unwrap_or_default()
    }

    pub(super) fn tally(&self) -> Tally {
        let names = |holds: &dyn Fn(&NodeView<'a>) -> bool| {
            let found = self.views.iter().filter(|view| holds(view));
            found.map(|view| view.name.to_owned()).collect()
        };
        Tally {
            limit: self.limit,
            unavailable: names(&NodeView::is_unavailable),
            candidates: names(&|view| self.is_candidate(view)),
            free: self.free(),
        }
    }

    /// Nodes that are to be labelled for another pool: those that would otherwise take part in the choice.
    pub(super) fn adopted(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let candidates = self.views.iter().filter(|view| self.is_candidate(view));
        candidates
            .filter_map(|view| Some((view.name.to_owned(), self.around.adopt.get(view.name)?.clone())))
            .collect()
    }

    pub(super) fn decide(&self) -> (Step, Option<String>) {
        let hindrances = self.hindrances();
        let (candidates, deferred) = self.queue();
        let grants = self.choose(&candidates, &hindrances);
        let step = if !grants.is_empty() {
            Step::Go(grants)
        } else if self.views.iter().all(|view| view.is_updated(self.target)) {
            Step::Nothing
        } else {
            Step::Waiting(self.blockers(&hindrances))
        };
        (step, deferred)
    }

    /// Whether a node takes part. One whose update to an earlier config failed does so even when that left it cordoned or broken, since the
    /// new config is what may heal it; only a cordon by somebody else is respected.
    fn is_candidate(&self, view: &NodeView<'_>) -> bool {
        let healable = view.is_failing() && !view.unready.contains(&Unready::CordonedByOthers);
        view.needs(self.target) && (view.is_ready() || healable)
    }

    /// Whether a node takes up a slot.
    fn is_busy(&self, view: &NodeView<'_>) -> bool {
        let fails = view.is_failing() && !view.needs(self.target);
        view.is_unavailable() || fails || self.reserved.get(view.name).is_some()
    }

    /// Whether a node has a slot that it does not use.
    fn has_slot(&self, view: &NodeView<'_>) -> bool {
        !view.is_unavailable() && self.reserved.get(view.name).is_some()
    }

    /// What it takes to lead a candidate on.
    fn price(&self, view: &NodeView<'_>) -> Price {
        if self.has_slot(view) {
            Price::Held
        } else if view.is_unavailable() && view.is_failing() {
            Price::Nothing
        } else {
            Price::Slot
        }
    }

    fn free(&self) -> isize {
        let busy = self.views.iter().filter(|view| self.is_busy(view)).count();
        signed(self.limit).saturating_sub(signed(busy + self.gone().count()))
    }

    /// Reservations of nodes that are not in the pool, or not in this view of it.
    fn gone(&self) -> impl Iterator<Item = (&str, &Reservation)> {
        let names: BTreeSet<&str> = self.views.iter().map(|view| view.name).collect();
        self.reserved
            .iter()
            .filter(move |(node, _)| !names.contains(node))
    }

    /// The candidates in the order of their turns, and the leader's node if it lets others go first.
    pub(super) fn queue(&self) -> (Vec<&NodeView<'a>>, Option<String>) {
        let mut queue: Vec<_> = self
            .views
            .iter()
            .filter(|view| self.is_candidate(view) && !self.around.adopt.contains_key(view.name))
            .collect();
        // A failed node may try its old config again at any time, so it goes before nodes that are well. Nodes without zone go last.
        queue.sort_by_key(|view| {
            (
                !view.is_failing(),
                view.zone.is_none(),
                view.zone,
                view.created,
                view.name,
            )
        });
        let leader = |view: &&NodeView<'_>| {
            Some(view.name) == self.around.leader && self.reserved.get(view.name).is_none()
        };
        let deferred = queue.iter().position(leader).filter(|_| queue.len() > 1);
        let deferred = deferred.map(|index| queue.remove(index).name.to_owned());
        (queue, deferred)
    }

    fn choose(&self, queue: &[&NodeView<'a>], hindrances: &[Hindrance<'_>]) -> Vec<Grant> {
        let mut free = self.free();
        // Those that failed, work all the same, and keep their slots: they are no reason against leading one of them on.
        let is_idle = |view: &&&NodeView<'_>| view.is_failing() && self.has_slot(view);
        let mut failed = signed(queue.iter().filter(is_idle).count());
        let mut room = MAX_RESERVED.saturating_sub(self.reserved.len());
        let mut control_plane = self.busy_control_plane(hindrances);
        let mut grants = Vec::new();
        for view in queue {
            if self.was_just_told(view) || waits_for_control_plane(view, &control_plane, hindrances) {
                continue;
            }
            let (affordable, cost) = match self.price(view) {
                Price::Slot => (free >= 1, 1),
                Price::Held => (free + failed - isize::from(view.is_failing()) >= 0, 0),
                Price::Nothing => (true, 0),
            };
            let is_new = self.reserved.get(view.name).is_none();
            if !affordable || (is_new && room == 0) {
                continue;
            }
            free -= cost;
            failed -= isize::from(view.is_failing() && self.has_slot(view));
            room -= usize::from(is_new);
            if view.control_plane {
                control_plane.insert(view.name);
            }
            grants.push(Grant {
                node: view.name.to_owned(),
                id: self.id(view),
            });
        }
        grants
    }

    /// The id of a node's reservation for the target: the one that it has, or a new one.
    fn id(&self, view: &NodeView<'_>) -> String {
        match self.reserved.get(view.name) {
            Some(reservation) if reservation.target == self.target => reservation.id.clone(),
            Some(_) | None => {
                let version = self.pool.metadata.resource_version.as_deref().unwrap_or_default();
                format!("{}/{version}", self.name())
            }
        }
    }

    /// Whether the node was reserved for the target so lately that this view of it may be from before it was told.
    fn was_just_told(&self, view: &NodeView<'_>) -> bool {
        self.reserved.get(view.name).is_some_and(|reservation| {
            let age = self.now.duration_since(reservation.since);
            // One from the future is of a leader whose clock is ahead: to wait for that moment could take hours. To tell the node once more does
            // no harm, since that is refused when the view of it is out of date.
            let is_young = (SignedDuration::ZERO..RESUME_AFTER).contains(&age);
            reservation.target == self.target && is_young
        })
    }

    fn busy_control_plane<'b>(&'b self, hindrances: &'b [Hindrance<'_>]) -> BTreeSet<&'b str> {
        let own = self
            .views
            .iter()
            .filter(|view| view.control_plane && self.is_busy(view));
        let others = hindrances.iter().filter(|hindrance| hindrance.busy);
        // Whether those that are gone are of the control plane, nobody can tell.
        own.map(|view| view.name)
            .chain(self.gone().map(|(node, _)| node))
            .chain(others.map(|hindrance| hindrance.view.name))
            .collect()
    }

    fn hindrances(&self) -> Vec<Hindrance<'a>> {
        let peers = self.around.peers.iter();
        peers
            .map(hindrance)
            .filter(|h| h.busy || h.goes_before_arbiters)
            .collect()
    }

    /// What must come to pass before the next node can go, or before all are done.
    fn blockers(&self, hindrances: &[Hindrance<'_>]) -> Vec<Blocker> {
        let own = self.views.iter().filter_map(|view| self.blocker(view));
        let gone = self.gone().map(|(node, reservation)| Blocker::Gone {
            node: node.to_owned(),
            since: reservation.since,
        });
        let own_control_plane = self.views.iter().any(|view| view.control_plane);
        let others = hindrances.iter().filter(|_| own_control_plane);
        let others = others.map(|h| Blocker::ControlPlane {
            pool: h.pool.to_owned(),
            node: Account::of(&h.view, h.target, h.since),
        });
        own.chain(gone).chain(others).collect()
    }

    fn blocker(&self, view: &NodeView<'a>) -> Option<Blocker> {
        if self.adopted_away(view) {
            return Some(Blocker::Adopted(view.name.to_owned()));
        }
        let since = self.reserved.since(view.name);
        match (view.progress(self.target), since) {
            (Progress::Outdated | Progress::Updated, Some(since)) if view.is_ready() => Some(Blocker::Told {
                node: view.name.to_owned(),
                since,
            }),
            (Progress::Outdated | Progress::Updated, None) if view.is_ready() => None,
            (
                Progress::Outdated
                | Progress::Updated
                | Progress::New
                | Progress::Updating
                | Progress::Failing
                | Progress::Drifted,
                _,
            ) => Some(Blocker::Node(Account::of(view, self.target, since))),
        }
    }

    fn adopted_away(&self, view: &NodeView<'_>) -> bool {
        self.is_candidate(view) && self.around.adopt.contains_key(view.name)
    }
}

fn signed(count: usize) -> isize {
    isize::try_from(count).unwrap_or(isize::MAX)
}

/// Of the control plane one node is away at a time, and arbiters go last.
fn waits_for_control_plane(view: &NodeView<'_>, busy: &BTreeSet<&str>, hindrances: &[Hindrance<'_>]) -> bool {
    let others = busy.len() - usize::from(busy.contains(view.name));
    let after = view.arbiter && hindrances.iter().any(|hindrance| hindrance.goes_before_arbiters);
    view.control_plane && (others > 0 || after)
}

fn hindrance<'a>(peer: &Peer<'a>) -> Hindrance<'a> {
    let view = NodeView::of(peer.node);
    let target = peer.pool.map_or("", |pool| pool.spec.configuration.name.as_str());
    let reserved = peer
        .pool
        .and_then(|pool| Reservations::of(pool).ok())
        .unwrap_or_default();
    let is_told = !view.needs(target);
    let fails = view.is_failing() && is_told;
    let since = reserved.since(view.name);
    let paused = peer.pool.is_none_or(|pool| pool.spec.paused || target.is_empty());
    Hindrance {
        pool: peer
            .pool
            .and_then(|pool| pool.metadata.name.as_deref())
            .unwrap_or_default(),
        busy: view.is_unavailable() || fails || since.is_some(),
        goes_before_arbiters: !view.arbiter && (view.is_unavailable() || (!is_told && !paused)),
        view,
        target,
        since,
    }
}
