//! A machine and its daemon, as far as the rollout sees them.

use std::rc::Rc;

use crds::annotations;
use k8s_openapi::api::core::v1::Node;

use super::cluster::Cluster;

/// A machine: its Node object, and what nobody sees.
pub(super) struct Machine {
    pub(super) node: Rc<Node>,
    /// It was told a config and is not done with it, by the truth.
    pub(super) in_flight: bool,
    phase: Phase,
    /// The config that it joins with.
    joins_with: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    /// It is being set up, for so many rounds.
    Joining(u8),
    Idle,
    /// It drains and changes files, for so many rounds.
    Working(u8),
    /// It is rebooting, for so many rounds.
    Rebooting(u8),
    Failed,
    Drifted,
}

impl Machine {
    pub(super) fn new(node: Node, joins_with: String) -> Self {
        Self {
            node: Rc::new(node),
            in_flight: false,
            phase: Phase::Joining(3),
            joins_with,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.phase == Phase::Idle
    }

    /// Whether it does nothing and has nothing to do. It takes up what it is told in one write that fails when it is told anew.
    pub(super) fn is_at_peace(&self) -> bool {
        self.is_idle() && self.said(annotations::DESIRED_CONFIG) == self.said(annotations::CURRENT_CONFIG)
    }

    pub(super) fn said(&self, key: &str) -> &str {
        said(&self.node, key)
    }
}

fn said<'a>(node: &'a Node, key: &str) -> &'a str {
    let annotations = node.metadata.annotations.as_ref();
    annotations
        .and_then(|all| all.get(key))
        .map_or("", String::as_str)
}

/// Whether a node is away by what it says: the reference's rule, written down once more.
pub(super) fn is_away(node: &Node) -> bool {
    let (current, desired) = (
        said(node, annotations::CURRENT_CONFIG),
        said(node, annotations::DESIRED_CONFIG),
    );
    let state = said(node, annotations::STATE);
    let done = !current.is_empty() && current == desired && state == "Done";
    let failing = current != desired && state == "Degraded";
    !is_ready(node) || !(done || failing)
}

fn is_ready(node: &Node) -> bool {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref());
    let ready = conditions
        .unwrap_or_default()
        .iter()
        .all(|condition| condition.status == "True");
    ready && node.spec.as_ref().and_then(|spec| spec.unschedulable) != Some(true)
}

pub(super) fn say(node: &mut Node, key: &str, value: &str) {
    let annotations = node.metadata.annotations.get_or_insert_default();
    annotations.insert(key.to_owned(), value.to_owned());
}

pub(super) fn cordon(node: &mut Node, cordoned: bool) {
    node.spec.get_or_insert_default().unschedulable = Some(cordoned);
}

pub(super) fn set_ready(node: &mut Node, ready: bool) {
    let conditions = node.status.as_mut().and_then(|status| status.conditions.as_mut());
    conditions.unwrap()[0].status = if ready { "True" } else { "False" }.to_owned();
}

impl Cluster {
    /// One round of every machine.
    pub(super) fn run_machines(&mut self) {
        let names: Vec<String> = self.machines.keys().cloned().collect();
        for name in names {
            self.run(&name);
        }
        self.check_taints();
    }

    fn run(&mut self, name: &str) {
        let machine = &self.machines[name];
        let phase = machine.phase;
        let told = machine.said(annotations::DESIRED_CONFIG) != machine.said(annotations::CURRENT_CONFIG);
        let next = match phase {
            Phase::Joining(0) => return self.finish_joining(name),
            Phase::Joining(rounds) => Phase::Joining(rounds - 1),
            Phase::Idle if !told => Phase::Idle,
            // It takes up what it was told a little later.
            Phase::Idle if self.random.u8(0..4) == 0 => Phase::Idle,
            Phase::Idle => return self.begin(name),
            Phase::Failed if !told => return self.finish(name),
            Phase::Failed | Phase::Drifted if self.random.u8(0..4) > 0 => phase,
            Phase::Failed | Phase::Drifted => return self.begin(name),
            Phase::Working(0) => return self.finish_work(name),
            Phase::Working(rounds) => Phase::Working(rounds - 1),
            Phase::Rebooting(0) => return self.finish(name),
            Phase::Rebooting(rounds) => Phase::Rebooting(rounds - 1),
        };
        self.set_phase(name, next);
    }

    fn set_phase(&mut self, name: &str, phase: Phase) {
        self.machines
            .get_mut(name)
            .expect("machines run while they are there")
            .phase = phase;
    }

    pub(super) fn finish_joining(&mut self, name: &str) {
        let config = self.machines[name].joins_with.clone();
        self.change_node(name, |node| {
            say(node, annotations::CURRENT_CONFIG, &config);
            if said(node, annotations::DESIRED_CONFIG).is_empty() {
                say(node, annotations::DESIRED_CONFIG, &config);
            }
            say(node, annotations::STATE, "Done");
        });
        let machine = self.machines.get_mut(name).expect("it was there just now");
        machine.phase = Phase::Idle;
        machine.in_flight &= machine.said(annotations::DESIRED_CONFIG) != config;
    }

    fn begin(&mut self, name: &str) {
        // Now and then a drain is held up for longer than anything is remembered.
        let rounds = if self.random.u8(0..60) == 0 {
            50
        } else {
            self.random.u8(0..2)
        };
        let desired = self.machines[name].said(annotations::DESIRED_CONFIG).to_owned();
        let drains = self.random.bool();
        self.tell(|| format!("{name} begins {desired}"));
        self.change_node(name, |node| {
            say(node, annotations::STATE, "Working");
            if drains {
                say(node, annotations::DESIRED_DRAIN, &format!("drain-{desired}"));
                cordon(node, true);
            }
        });
        self.set_phase(name, Phase::Working(rounds));
    }

    fn finish_work(&mut self, name: &str) {
        let desired = self.machines[name].said(annotations::DESIRED_CONFIG).to_owned();
        let odds = self.bad.get(&desired).copied().unwrap_or_default();
        if self.random.u8(0..100) < odds {
            self.account.failures += 1;
            let (stays_cordoned, stays_ready) = (self.random.bool(), self.random.u8(0..4) > 0);
            self.tell(|| format!("{name} fails, cordoned {stays_cordoned}, ready {stays_ready}"));
            self.change_node(name, |node| {
                say(node, annotations::STATE, "Degraded");
                set_ready(node, stays_ready);
                let by_drain = said(node, annotations::DESIRED_DRAIN).starts_with("drain-");
                if by_drain && !stays_cordoned {
                    cordon(node, false);
                }
            });
            self.set_phase(name, Phase::Failed);
        } else if self.random.bool() {
            let rounds = self.random.u8(0..2);
            self.change_node(name, |node| {
                say(node, annotations::STATE, "Rebooting");
                set_ready(node, false);
            });
            self.set_phase(name, Phase::Rebooting(rounds));
        } else {
            self.finish(name);
        }
    }

    /// It has what it was told, and says so. When it was told something else meanwhile it begins with that at once.
    fn finish(&mut self, name: &str) {
        self.tell(|| format!("{name} is done"));
        self.change_node(name, |node| {
            let desired = said(node, annotations::DESIRED_CONFIG).to_owned();
            say(node, annotations::CURRENT_CONFIG, &desired);
            say(node, annotations::STATE, "Done");
            set_ready(node, true);
            if said(node, annotations::DESIRED_DRAIN).starts_with("drain-") {
                say(node, annotations::DESIRED_DRAIN, &format!("uncordon-{desired}"));
                cordon(node, false);
            }
        });
        let machine = self.machines.get_mut(name).expect("it was there just now");
        machine.phase = Phase::Idle;
        machine.in_flight = false;
    }

    /// Somebody changes a file by hand on a machine that is at peace.
    pub(super) fn drift(&mut self, name: &str) {
        if self.machines[name].is_idle() && !self.machines[name].in_flight {
            self.change_node(name, |node| say(node, annotations::STATE, "Degraded"));
            self.set_phase(name, Phase::Drifted);
        }
    }

    /// Whoever was lost comes back, and cordons that no update asked for are lifted. What failed updates left behind stays.
    pub(super) fn end_outages(&mut self) {
        let names: Vec<String> = self.machines.keys().cloned().collect();
        for name in names {
            let phase = self.machines[&name].phase;
            self.change_node(&name, |node| {
                if !matches!(phase, Phase::Rebooting(_) | Phase::Failed) {
                    set_ready(node, true);
                }
                if !said(node, annotations::DESIRED_DRAIN).starts_with("drain-") {
                    cordon(node, false);
                }
            });
        }
    }
}
