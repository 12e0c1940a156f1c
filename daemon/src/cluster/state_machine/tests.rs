//! The crash matrix as tables (MCO daemon 2.11), and a model of a node that is cut off after each of its steps.

#![expect(
    clippy::too_many_lines,
    clippy::struct_excessive_bools,
    reason = "a table has a line for each case, and a row says whatever is the case"
)]

use super::*;
use crate::cluster::handshake::tests::handshake;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn due(requested: Option<i64>) -> RebootDue {
    RebootDue {
        boot_id: "boot-1".to_owned(),
        config: "b".to_owned(),
        since: at(0),
        requested: requested.map(at),
    }
}

fn looked(config: &str, drift: Option<&str>) -> Look {
    Look::Looked {
        config: config.to_owned(),
        drift: drift.map(str::to_owned),
    }
}

fn planned(config: &str, drain: bool) -> Target {
    Target::Planned {
        config: config.to_owned(),
        drain,
    }
}

/// One row, with everything that rows seldom say.
struct Row {
    says: [&'static str; 6],
    current: Option<&'static str>,
    reboot: Option<RebootDue>,
    laid_down: bool,
    look: Look,
    target: Target,
    failure: Option<Failure>,
    policy_known: bool,
    reachable: bool,
    forced: bool,
    fault: Option<&'static str>,
    drain_since: Option<i64>,
    said_at: Option<i64>,
    awaits: bool,
    now: i64,
}

impl Row {
    fn new(says: [&'static str; 6], current: &'static str) -> Self {
        Self {
            says,
            current: Some(current).filter(|current| !current.is_empty()),
            reboot: None,
            laid_down: false,
            look: looked(current, None),
            target: Target::Unknown,
            failure: None,
            policy_known: true,
            reachable: true,
            forced: false,
            fault: None,
            drain_since: None,
            said_at: None,
            awaits: false,
            now: 1000,
        }
    }

    fn next(&self) -> Next {
        let disk = Disk {
            current: self.current.map(str::to_owned),
            reboot: self.reboot.clone(),
            laid_down: self.laid_down.then(BTreeMap::new),
        };
        let mut handshake = handshake(self.says);
        if self.awaits {
            handshake = handshake.awaiting();
        }
        step(&Observed {
            handshake: &handshake,
            reachable: self.reachable,
            disk: &disk,
            look: &self.look,
            target: &self.target,
            failure: self.failure.as_ref(),
            policy_known: self.policy_known,
            forced: self.forced,
            fault: self.fault,
            drain_since: self.drain_since.map(at),
            said_at: self.said_at.map(at),
            now: at(self.now),
        })
    }
}

const DONE: [&str; 6] = ["a", "a", "Done", "", "", ""];
const TOLD: [&str; 6] = ["a", "b", "Done", "", "", ""];
const WORKING: [&str; 6] = ["a", "b", "Working", "", "", ""];
const DRAINED: [&str; 6] = ["a", "b", "Working", "", "drain-b", "drain-b"];

fn working(drain: bool, afresh: bool) -> Next {
    Next::Say(Say::Working {
        config: "b".to_owned(),
        drain,
        afresh,
    })
}

fn done(config: &str, uncordon: bool) -> Next {
    Next::Say(Say::Done {
        config: config.to_owned(),
        uncordon,
    })
}

fn failing(state: State, reason: &str, cause: Cause) -> Next {
    Next::Say(Say::Failing {
        state,
        reason: reason.to_owned(),
        cause,
    })
}

fn failure(config: &str, kind: Kind) -> Failure {
    Failure::new(config, kind, "no room".to_owned(), None, at(1000))
}

fn table(rows: Vec<(&str, Row, Next)>) {
    for (what, row, expected) in rows {
        assert_eq!(row.next(), expected, "{what}");
    }
}

#[test]
fn the_way_of_an_update() {
    let told = || Row::new(TOLD, "a");
    table(vec![
        ("told", told(), Next::Fetch("b".into())),
        (
            "nothing is planned before the policy is known",
            Row {
                policy_known: false,
                ..told()
            },
            Next::Wait(Wait::Policy, None),
        ),
        (
            "fetched",
            Row {
                target: Target::Fetched("b".into()),
                ..told()
            },
            Next::Plan("b".into()),
        ),
        (
            "fetched, and another is wanted by now",
            Row {
                target: Target::Fetched("c".into()),
                ..told()
            },
            Next::Fetch("b".into()),
        ),
        (
            "no drain: says that it works",
            Row {
                target: planned("b", false),
                ..told()
            },
            working(false, true),
        ),
        (
            "no drain, and says it already",
            Row {
                target: planned("b", false),
                ..Row::new(WORKING, "a")
            },
            Next::Apply("b".into()),
        ),
        (
            "a drain is asked for in the same breath",
            Row {
                target: planned("b", true),
                ..told()
            },
            working(true, true),
        ),
        (
            "a drain is waited for",
            Row {
                target: planned("b", true),
                drain_since: Some(900),
                ..Row::new(["a", "b", "Working", "", "drain-b", ""], "a")
            },
            Next::Wait(Wait::Drain, Some(at(4500))),
        ),
        (
            "one that takes an hour is told",
            Row {
                target: planned("b", true),
                drain_since: Some(900),
                now: 4500,
                ..Row::new(["a", "b", "Working", "", "drain-b", ""], "a")
            },
            failing(
                State::Degraded,
                "failed to drain node: it is not drained after 1 hour; the controller says which pods block it",
                Cause::Drain,
            ),
        ),
        (
            "drained",
            Row {
                target: planned("b", true),
                ..Row::new(DRAINED, "a")
            },
            Next::Apply("b".into()),
        ),
        (
            "drained for another target",
            Row {
                target: planned("b", true),
                ..Row::new(["a", "b", "Working", "", "drain-c", "drain-c"], "a")
            },
            working(true, false),
        ),
        (
            "the API server is away: what needs no answer goes on",
            Row {
                target: planned("b", false),
                reachable: false,
                ..told()
            },
            Next::Apply("b".into()),
        ),
        (
            "on the disk, not compared yet",
            Row {
                look: looked("a", None),
                ..Row::new(WORKING, "b")
            },
            Next::Wait(Wait::Look, None),
        ),
        (
            "on the disk, and compared",
            Row::new(WORKING, "b"),
            done("b", false),
        ),
        ("and the drain ends", Row::new(DRAINED, "b"), done("b", true)),
        (
            "the target is the config that the node has, while it was drained for another",
            Row::new(["a", "a", "Working", "", "drain-b", "drain-b"], "a"),
            done("a", true),
        ),
    ]);
}

#[test]
fn the_crash_matrix() {
    table(vec![
        (
            "before any write: the drain that was granted counts",
            Row {
                target: planned("b", true),
                ..Row::new(DRAINED, "a")
            },
            Next::Apply("b".into()),
        ),
        (
            "while waiting for the drain",
            Row::new(["a", "b", "Working", "", "drain-b", ""], "a"),
            Next::Fetch("b".into()),
        ),
        (
            "all is written, nobody has asked for the reboot: it is no update that is done",
            Row {
                reboot: Some(due(None)),
                ..Row::new(DRAINED, "b")
            },
            Next::Reboot("b".into()),
        ),
        (
            "the same, and the node was never drained",
            Row {
                reboot: Some(due(None)),
                ..Row::new(WORKING, "b")
            },
            working(true, false),
        ),
        (
            "the reboot was asked for, and this process began before the machine went down",
            Row {
                reboot: Some(due(Some(990))),
                ..Row::new(DRAINED, "b")
            },
            Next::Wait(Wait::Reboot, Some(at(1290))),
        ),
        (
            "the reboot was asked for and never came",
            Row {
                reboot: Some(due(Some(100))),
                ..Row::new(DRAINED, "b")
            },
            Next::Reboot("b".into()),
        ),
        ("after the reboot", Row::new(DRAINED, "b"), done("b", true)),
        (
            "after the end of the drain was asked for",
            Row::new(["b", "b", "Done", "", "uncordon-b", "drain-b"], "b"),
            Next::Wait(Wait::Rest, None),
        ),
        (
            "something else is wanted while the machine goes down",
            Row {
                reboot: Some(due(Some(990))),
                ..Row::new(["a", "c", "Working", "", "drain-b", "drain-b"], "b")
            },
            Next::Wait(Wait::Reboot, Some(at(1290))),
        ),
        (
            "something else is wanted before the reboot was asked for, which stays due",
            Row {
                reboot: Some(due(None)),
                ..Row::new(["a", "c", "Working", "", "drain-b", "drain-b"], "b")
            },
            Next::Fetch("c".into()),
        ),
        (
            "etcd came back from a backup: the disk is right",
            Row::new(["0", "b", "Done", "", "uncordon-0", "uncordon-0"], "b"),
            done("b", false),
        ),
    ]);
}

#[test]
fn the_first_start_and_a_takeover() {
    let nothing = || Row::new(["", "", "", "", "", ""], "");
    table(vec![
        ("nothing is known", nothing(), Next::Say(Say::Awaiting)),
        (
            "nothing is known, and nobody hears it",
            Row {
                reachable: false,
                ..nothing()
            },
            Next::Wait(Wait::Assignment, None),
        ),
        (
            "nothing is known, and that is said",
            Row {
                awaits: true,
                ..nothing()
            },
            Next::Wait(Wait::Assignment, None),
        ),
        (
            "it has a config, and somebody took the other word away",
            Row::new(["a", "", "Done", "", "", ""], "a"),
            Next::Wait(Wait::Assignment, None),
        ),
        (
            "annotations are laid down",
            Row {
                laid_down: true,
                ..nothing()
            },
            Next::Say(Say::LaidDown(BTreeMap::new())),
        ),
        (
            "a record without annotations",
            Row::new(["", "", "", "", "", ""], "a"),
            Next::Say(Say::Adopted("a".into())),
        ),
        (
            "somebody gives a node without anything its first config",
            Row::new(["", "b", "", "", "", ""], ""),
            Next::Fetch("b".into()),
        ),
        (
            "laid down and said, not recorded yet",
            Row {
                laid_down: true,
                ..Row::new(["a", "a", "Done", "", "", ""], "")
            },
            Next::Fetch("a".into()),
        ),
        (
            "recorded",
            Row {
                laid_down: true,
                ..Row::new(DONE, "a")
            },
            Next::PutAway,
        ),
        (
            "a node of the reference",
            Row::new(DONE, "a"),
            Next::Wait(Wait::Rest, None),
        ),
        (
            "another one, that was updated once",
            Row::new(["a", "a", "Done", "", "uncordon-a", "uncordon-a"], "a"),
            Next::Wait(Wait::Rest, None),
        ),
        (
            "one that the reference has left half-way",
            Row::new(["a", "b", "Working", "", "drain-b", "drain-b"], "a"),
            Next::Fetch("b".into()),
        ),
        (
            "nothing is judged before the look",
            Row {
                look: Look::NotYet,
                ..Row::new(DONE, "a")
            },
            Next::Wait(Wait::Look, None),
        ),
    ]);
}

#[test]
fn failures_are_told_once_retried_and_healed_by_another_target() {
    let failed = |kind| Some(failure("b", kind));
    let degraded = ["a", "b", "Degraded", "no room", "", ""];
    table(vec![
        (
            "told",
            Row {
                failure: failed(Kind::Failed),
                ..Row::new(WORKING, "a")
            },
            failing(State::Degraded, "no room", Cause::Update),
        ),
        (
            "a refusal",
            Row {
                failure: failed(Kind::Refused),
                ..Row::new(TOLD, "a")
            },
            failing(State::Unreconcilable, "no room", Cause::Update),
        ),
        (
            "somebody else is at work: nobody has to know",
            Row {
                failure: failed(Kind::Busy),
                ..Row::new(WORKING, "a")
            },
            Next::Wait(Wait::Retry, Some(at(1002))),
        ),
        (
            "told already, and not due yet",
            Row {
                failure: failed(Kind::Failed),
                ..Row::new(degraded, "a")
            },
            Next::Wait(Wait::Retry, Some(at(1001))),
        ),
        (
            "nobody hears it, and the attempts go on",
            Row {
                failure: failed(Kind::Failed),
                reachable: false,
                now: 1001,
                target: planned("b", false),
                ..Row::new(WORKING, "a")
            },
            Next::Apply("b".into()),
        ),
        (
            "due: it stays degraded until it succeeds",
            Row {
                failure: failed(Kind::Failed),
                target: planned("b", false),
                now: 1001,
                ..Row::new(degraded, "a")
            },
            Next::Apply("b".into()),
        ),
        (
            "another target does not wait, and begins afresh",
            Row {
                failure: Some(failure("c", Kind::Failed)),
                target: planned("b", false),
                ..Row::new(degraded, "a")
            },
            working(false, true),
        ),
        (
            "back to the config that it has",
            Row {
                failure: failed(Kind::Failed),
                ..Row::new(["a", "a", "Degraded", "no room", "", ""], "a")
            },
            done("a", false),
        ),
        (
            "a reboot that failed is told, too",
            Row {
                failure: failed(Kind::Failed),
                reboot: Some(due(Some(1))),
                ..Row::new(DRAINED, "b")
            },
            failing(State::Degraded, "no room", Cause::Update),
        ),
    ]);
}

#[test]
fn drift_degrades_and_heals() {
    let drifted = || Row {
        look: looked("a", Some("content mismatch")),
        ..Row::new(DONE, "a")
    };
    let degraded = ["a", "a", "Degraded", "content mismatch", "", ""];
    table(vec![
        (
            "drift",
            drifted(),
            failing(State::Degraded, "content mismatch", Cause::Drift),
        ),
        (
            "soon after the last",
            Row {
                said_at: Some(999),
                ..drifted()
            },
            Next::Wait(Wait::Retry, Some(at(1004))),
        ),
        (
            "told",
            Row {
                says: degraded,
                ..drifted()
            },
            Next::Wait(Wait::Drift, None),
        ),
        ("mended by hand", Row::new(degraded, "a"), done("a", false)),
        (
            "forced",
            Row {
                says: degraded,
                forced: true,
                target: Target::Fetched("a".into()),
                ..drifted()
            },
            Next::Plan("a".into()),
        ),
        (
            "forced without drift",
            Row {
                forced: true,
                ..Row::new(DONE, "a")
            },
            Next::Wait(Wait::Rest, None),
        ),
        (
            "another target wins over drift",
            Row {
                says: ["a", "b", "Degraded", "content mismatch", "", ""],
                ..drifted()
            },
            Next::Fetch("b".into()),
        ),
        (
            "it cannot be told",
            Row {
                look: Look::Failed("no inotify".into()),
                ..Row::new(DONE, "a")
            },
            failing(State::Degraded, "no inotify", Cause::Drift),
        ),
        (
            "certificates",
            Row {
                fault: Some("read-only"),
                ..Row::new(DONE, "a")
            },
            failing(State::Degraded, "read-only", Cause::Fault),
        ),
    ]);
}

#[test]
fn attempts_come_less_often_and_never_stop() {
    let delays: Vec<_> = [1, 2, 3, 6, 7, 40, u32::MAX]
        .map(|tries| back_off(tries).as_secs())
        .into();
    assert_eq!(delays, [1, 2, 4, 32, 60, 60, 60]);
    let first = failure("b", Kind::Failed);
    let second = Failure::new("b", Kind::Failed, String::new(), Some(&first), at(0));
    assert_eq!((first.tries, second.tries), (1, 2));
    let other = Failure::new("c", Kind::Failed, String::new(), Some(&second), at(0));
    assert_eq!(other.tries, 1, "another target begins anew");
}

// === a model that is cut off after each step ===

/// A node with its API object and its disk. `memory` is what a process knows, and what is lost when it is cut off.
#[derive(Clone)]
struct Model {
    says: [String; 6],
    disk: Disk,
    boot: u32,
    /// What of the config runs: files alone do not count where a reboot is needed.
    runs: &'static str,
    memory: Memory,
    needs_reboot: bool,
}

#[derive(Clone)]
struct Memory {
    target: Target,
    look: Look,
}

impl Memory {
    fn new() -> Self {
        Self {
            target: Target::Unknown,
            look: Look::NotYet,
        }
    }
}

impl Model {
    fn new(needs_reboot: bool) -> Self {
        Self {
            says: ["a", "b", "Done", "", "", ""].map(str::to_owned),
            disk: Disk {
                current: Some("a".to_owned()),
                ..Disk::default()
            },
            boot: 1,
            runs: "a",
            memory: Memory::new(),
            needs_reboot,
        }
    }

    fn step(&self) -> Next {
        let says = self.says.each_ref().map(String::as_str);
        step(&Observed {
            handshake: &handshake(says),
            reachable: true,
            disk: &self.disk,
            look: &self.memory.look,
            target: &self.memory.target,
            failure: None,
            policy_known: true,
            forced: false,
            fault: None,
            drain_since: None,
            said_at: None,
            now: at(10),
        })
    }

    /// Does what comes next. True when the node is at rest.
    fn go(&mut self) -> bool {
        match self.step() {
            Next::Wait(Wait::Rest, _) => return true,
            Next::Wait(Wait::Look, _) => {
                self.memory.look = looked(self.disk.current.as_deref().unwrap(), None);
            }
            // The controller's part.
            Next::Wait(Wait::Drain, _) => self.says[5] = self.says[4].clone(),
            // The machine goes down at last.
            Next::Wait(Wait::Reboot, _) => self.power(),
            Next::Wait(wait, _) => panic!("waits for {wait:?}"),
            Next::Say(Say::Working { config, drain, .. }) => {
                "Working".clone_into(&mut self.says[2]);
                if drain {
                    self.says[4] = format!("drain-{config}");
                }
            }
            Next::Say(Say::Done { config, uncordon }) => {
                assert_eq!(self.runs, config, "done, and it does not run");
                assert!(self.disk.reboot.is_none(), "done, and a reboot is due");
                self.says[0] = config.clone();
                "Done".clone_into(&mut self.says[2]);
                if uncordon {
                    self.says[4] = format!("uncordon-{config}");
                }
            }
            Next::Say(say) => panic!("says {say:?}"),
            Next::Fetch(config) => self.memory.target = Target::Fetched(config),
            Next::Plan(config) => {
                self.memory.target = Target::Planned {
                    config,
                    drain: self.needs_reboot,
                }
            }
            Next::Apply(config) => {
                assert!(!self.needs_reboot || self.says[5] == "drain-b", "not drained");
                self.disk.current = Some(config);
                self.memory.target = Target::Unknown;
                if self.needs_reboot {
                    self.disk.reboot = Some(due(None));
                } else {
                    self.runs = "b";
                }
            }
            Next::Reboot(_) => self.disk.reboot = Some(due(Some(9))),
            Next::PutAway => self.disk.laid_down = None,
        }
        false
    }

    /// The machine starts anew.
    fn power(&mut self) {
        self.boot += 1;
        self.runs = if self.disk.current.as_deref() == Some("b") {
            "b"
        } else {
            "a"
        };
        // The record is of another boot now.
        self.disk.reboot = None;
        self.memory = Memory::new();
    }

    fn ends(mut self, what: &str) -> Self {
        for _ in 0..40 {
            if self.go() {
                assert_eq!(self.says[0], "b", "{what}");
                assert_eq!(self.says[2], "Done", "{what}");
                assert_eq!(self.runs, "b", "{what}");
                assert!(!self.says[4].starts_with("drain-"), "{what}: still drained");
                return self;
            }
        }
        panic!("{what}: never at rest, {:?}", self.step());
    }
}

#[test]
fn an_update_that_is_cut_off_after_any_step_ends_as_one_that_is_not() {
    for needs_reboot in [false, true] {
        let model = Model::new(needs_reboot);
        let boots = 1 + u32::from(needs_reboot);
        assert_eq!(model.clone().ends("undisturbed").boot, boots);
        let mut steps = 0;
        let mut cut = model;
        loop {
            let mut process = cut.clone();
            process.memory = Memory::new();
            assert_eq!(
                process.ends(&format!("a process cut off after {steps}")).boot,
                boots
            );
            let mut power = cut.clone();
            let before = power.boot;
            power.power();
            let after = power.ends(&format!("power cut after {steps}")).boot;
            assert!(after > before, "after {steps}");
            steps += 1;
            if cut.go() {
                break;
            }
        }
        assert!(steps > 5, "only {steps} steps were tried");
    }
}
