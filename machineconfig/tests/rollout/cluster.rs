//! The truth: a pool and its machines, and what must hold at every write.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crds::{MachineConfigPool, annotations};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Taint};
use machineconfig::pool::{self, Counting, conditions};
use machineconfig::rollout::{Decision, NodePatch, Reservations};
use serde_json::json;

use super::Account;
use super::machine::{Machine, is_away};

/// Seconds in a round: long enough for few rounds, short against the times of the rules.
const ROUND: SignedDuration = SignedDuration::from_secs(15);

pub(super) struct Cluster {
    pub(super) random: Rng,
    pub(super) now: Timestamp,
    pub(super) pool: Rc<MachineConfigPool>,
    pub(super) machines: BTreeMap<String, Machine>,
    /// Of a hundred machines that try a config, how many fail; by the config's name.
    pub(super) bad: BTreeMap<String, u8>,
    pub(super) control_plane: bool,
    pub(super) account: Account,
    /// What the pool's annotation says.
    reserved: Reservations,
    revision: u64,
    machines_made: u32,
    configs_made: u32,
    tell: bool,
    story: Vec<String>,
}

impl Cluster {
    pub(super) fn new(seed: u64, tell: bool) -> Self {
        let mut random = Rng::with_seed(seed);
        let control_plane = random.u8(0..5) == 0;
        let mut cluster = Self {
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            pool: Rc::new(MachineConfigPool::new(
                "p",
                crds::MachineConfigPoolSpec::default(),
            )),
            machines: BTreeMap::new(),
            bad: BTreeMap::new(),
            control_plane,
            account: Account::default(),
            reserved: Reservations::default(),
            revision: 0,
            machines_made: 0,
            configs_made: 0,
            tell,
            story: Vec::new(),
            random,
        };
        cluster.account.control_planes = u64::from(control_plane);
        let first = cluster.new_config();
        cluster.change_pool(|pool| {
            pool.metadata.name = Some("p".into());
            pool.spec.node_selector = serde_json::from_value(json!({"matchLabels": {"p": ""}})).unwrap();
            pool.spec.configuration.name = first;
        });
        for _ in 0..=cluster.random.u8(0..5) {
            cluster.join(false);
        }
        cluster.choose_limit();
        let next = cluster.new_config();
        cluster.change_pool(|pool| pool.spec.configuration.name = next);
        cluster
    }

    // === what happens ===

    pub(super) fn pass_time(&mut self) {
        self.now += ROUND;
    }

    /// A new revision of the store, as every write makes one.
    pub(super) fn next_revision(&mut self) -> String {
        self.revision += 1;
        self.revision.to_string()
    }

    pub(super) fn change_pool(&mut self, change: impl FnOnce(&mut MachineConfigPool)) {
        let revision = self.next_revision();
        let pool = Rc::make_mut(&mut self.pool);
        change(pool);
        pool.metadata.resource_version = Some(revision);
    }

    pub(super) fn change_node(&mut self, name: &str, change: impl FnOnce(&mut Node)) {
        let revision = self.next_revision();
        let machine = self
            .machines
            .get_mut(name)
            .expect("machines are changed while they are there");
        let node = Rc::make_mut(&mut machine.node);
        change(node);
        node.metadata.resource_version = Some(revision);
    }

    pub(super) fn new_config(&mut self) -> String {
        self.configs_made += 1;
        format!("rendered-p-{}", self.configs_made)
    }

    pub(super) fn choose_limit(&mut self) {
        let limit = match self.random.u8(0..6) {
            0 => json!(null),
            1 => json!("50%"),
            2 => json!("34%"),
            3 => json!(2),
            4 => json!(3),
            _ => json!(1),
        };
        self.tell(|| format!("maxUnavailable {limit}"));
        self.change_pool(|pool| pool.spec.max_unavailable = serde_json::from_value(limit).unwrap());
    }

    /// A machine joins; `fresh` ones are not set up yet.
    pub(super) fn join(&mut self, fresh: bool) {
        self.machines_made += 1;
        let name = format!("n{}", self.machines_made);
        let role = if self.control_plane { "master" } else { "worker" };
        let mut labels = json!({"p": "", format!("node-role.kubernetes.io/{role}"): ""});
        if self.random.bool() {
            labels[annotations::ZONE] = json!(["a", "b"][self.random.usize(0..2)]);
        }
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": labels, "creationTimestamp": self.now},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .unwrap();
        let target = self.pool.spec.configuration.name.clone();
        let stubborn = self.random.bool();
        self.tell(|| format!("{name} joins with {target}"));
        self.machines
            .insert(name.clone(), Machine::new(node, target, stubborn));
        self.change_node(&name, |_| ());
        if !fresh {
            self.finish_joining(&name);
        }
    }

    // === writes of leaders ===

    /// A leader's write of reservations, which is refused when the pool has changed since it was read.
    pub(super) fn write_reservations(
        &mut self,
        decision: &Decision,
        reservations: &Reservations,
        view: &[&Node],
    ) -> bool {
        if decision.version != self.pool.metadata.resource_version {
            self.account.lost_races += 1;
            self.tell(|| format!("too late for slots for {:?}", decision.grants()));
            return false;
        }
        let before = std::mem::replace(&mut self.reserved, reservations.clone());
        let text = reservations.annotation();
        self.change_pool(|pool| {
            let annotations = pool.metadata.annotations.get_or_insert_default();
            match text {
                Some(text) => annotations.insert(annotations::RESERVATIONS.to_owned(), text),
                None => annotations.remove(annotations::RESERVATIONS),
            };
        });
        let (granted, given_back) = (decision.grants(), &decision.release);
        self.tell(|| format!("slots for {granted:?}, given back {given_back:?}"));
        self.check_reservations(decision, &before, view);
        true
    }

    /// A leader's write to a node, which is refused when the node has changed since it was read.
    pub(super) fn write_node(&mut self, name: &str, patch: &NodePatch, decided_at: u64) {
        let current = self
            .machines
            .get(name)
            .map(|machine| &machine.node.metadata.resource_version);
        if current != Some(&patch.version) {
            self.account.stale_nodes += 1;
            self.tell(|| format!("too late to write to {name}"));
            return;
        }
        self.change_node(name, |node| apply(node, patch));
        if let Some(Some(target)) = patch.annotations.get(annotations::DESIRED_CONFIG) {
            self.tell(|| format!("{name} is told {target}"));
            self.account.updates += 1;
            let machine = self.machines.get_mut(name).expect("it was there just now");
            self.account.retargeted += u64::from(machine.in_flight);
            // One that is told to go back before it set out was never away.
            machine.in_flight = !machine.is_at_peace();
            self.check_told(name, decided_at);
        }
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    // === what must hold ===

    fn in_flight(&self) -> BTreeSet<&str> {
        let in_flight = self.machines.iter().filter(|(_, machine)| machine.in_flight);
        in_flight.map(|(name, _)| name.as_str()).collect()
    }

    /// How many may be away, computed apart from the rules.
    fn limit(&self, machines: usize) -> usize {
        let text = serde_json::to_value(&self.pool.spec.max_unavailable).unwrap();
        let share = text
            .as_str()
            .map(|text| text.trim_end_matches('%').parse::<usize>().unwrap());
        let number = text.as_u64().map_or(1, |number| usize::try_from(number).unwrap());
        share.map_or(number, |share| machines * share / 100).max(1)
    }

    /// Slots are never taken beyond the limit, as far as the leader can know: by what is truly in flight, what is reserved, and
    /// what it sees to be away. When there are too many already, only one of those may be told, and only if no more get away by it.
    fn check_reservations(&self, decision: &Decision, before: &Reservations, view: &[&Node]) {
        let granted: BTreeSet<&str> = decision
            .grants()
            .iter()
            .map(|grant| grant.node.as_str())
            .collect();
        if granted.is_empty() {
            return;
        }
        assert!(
            !self.pool.spec.paused,
            "slots are taken in a paused pool: {}",
            self.story()
        );
        let seen = view.iter().filter(|node| is_away(node));
        let seen: BTreeSet<&str> = seen.map(|node| node.metadata.name.as_deref().unwrap()).collect();
        let after = Reservations::of(&self.pool).unwrap();
        assert_eq!(after, self.reserved);
        let mut known: BTreeSet<&str> = self.in_flight();
        let given_back = |node: &str| decision.release.iter().any(|released| released == node);
        known.extend(
            before
                .iter()
                .map(|(node, _)| node)
                .filter(|node| !given_back(node)),
        );
        known.extend(&seen);
        let mut all = known.clone();
        all.extend(after.iter().map(|(node, _)| node));
        let away: BTreeSet<&str> = seen.union(&granted).copied().collect();
        let limit = self.limit(view.len());
        assert!(
            all.len() <= limit || granted.is_subset(&known),
            "{all:?} are away or may be, {limit} may be, and {granted:?} get slots beside {before:?}: {}",
            self.story()
        );
        assert!(
            away.len() <= limit || granted.is_subset(&seen),
            "{away:?} will be away with {granted:?}, {limit} may be: {}",
            self.story()
        );
        if self.control_plane {
            let others = all.iter().filter(|node| !granted.contains(*node)).count();
            assert!(
                granted.len() == 1 && others == 0,
                "{granted:?} of the control plane go while {all:?} are away: {}",
                self.story()
            );
        }
    }

    /// Only nodes that have a slot are told anything; never in a pool that was paused before the slot was taken; and those in flight bear the
    /// taint.
    fn check_told(&self, name: &str, decided_at: u64) {
        let reserved = &self.reserved;
        assert!(
            reserved.get(name).is_some(),
            "{name} is told without a slot: {}",
            self.story()
        );
        if let Some(paused) = self.paused_at() {
            assert!(
                decided_at < paused,
                "{name} is told in a paused pool: {}",
                self.story()
            );
        }
        let in_flight = self.in_flight();
        let slots: BTreeSet<&str> = reserved.iter().map(|(node, _)| node).collect();
        assert!(
            in_flight.is_subset(&slots),
            "{in_flight:?} in flight, {slots:?} have slots: {}",
            self.story()
        );
        assert!(
            !self.control_plane || in_flight.len() <= 1,
            "{in_flight:?} of the control plane are in flight: {}",
            self.story()
        );
        self.check_taints();
    }

    pub(super) fn check_taints(&self) {
        for (name, machine) in &self.machines {
            assert!(
                !machine.in_flight || tainted(&machine.node),
                "{name} is in flight untainted: {}",
                self.story()
            );
        }
    }

    fn paused_at(&self) -> Option<u64> {
        let text = self.said("paused-at").filter(|_| self.pool.spec.paused)?;
        Some(text.parse().unwrap())
    }

    fn said(&self, key: &str) -> Option<&String> {
        self.pool.metadata.annotations.as_ref()?.get(key)
    }

    /// Whether everything is updated, nothing is reserved and no taint is left.
    pub(super) fn is_at_rest(&self) -> bool {
        let target = &self.pool.spec.configuration.name;
        self.machines.values().all(|machine| {
            let said = |key| machine.said(key);
            machine.is_idle()
                && said(annotations::DESIRED_CONFIG) == target
                && said(annotations::CURRENT_CONFIG) == target
                && !tainted(&machine.node)
        }) && self.said(annotations::RESERVATIONS).is_none()
    }

    pub(super) fn check_end(&self) {
        let nodes: Vec<&Node> = self.machines.values().map(|machine| &*machine.node).collect();
        let status = pool::status(&self.pool, &nodes, &[], Counting::Annotations, self.now);
        let updated = conditions::holding(&status.conditions, conditions::Kind::Updated);
        assert!(updated.is_some(), "{status:#?}: {}", self.story());
        assert_eq!(status.configuration.name, self.pool.spec.configuration.name);
    }

    // === the story ===

    pub(super) fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.tell {
            let line = format!("{} {}", self.now, line());
            println!("{line}");
            self.story.push(line);
        }
    }

    pub(super) fn story(&self) -> String {
        if self.tell {
            self.story.join("\n")
        } else {
            "set ROLLOUT_SEED for the story".to_owned()
        }
    }
}

fn apply(node: &mut Node, patch: &NodePatch) {
    let annotations = node.metadata.annotations.get_or_insert_default();
    for (key, value) in &patch.annotations {
        match value {
            Some(value) => annotations.insert((*key).to_owned(), value.clone()),
            None => annotations.remove(*key),
        };
    }
    if let Some(taints) = &patch.taints {
        node.spec.get_or_insert_default().taints = Some(taints.clone());
    }
}

fn tainted(node: &Node) -> bool {
    let taints: &[Taint] = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.as_deref())
        .unwrap_or_default();
    taints
        .iter()
        .any(|taint| taint.key == annotations::UPDATE_IN_PROGRESS_TAINT)
}
