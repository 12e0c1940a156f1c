//! Ten thousand rollouts in small made-up clusters, through the rules as the controller uses them: two leaders with views that lag behind, writes
//! that cross each other, and faults of all kinds. Whatever happens, no more nodes are updated at once than may be, a
//! paused pool stands still, of the control plane one node goes at a time, and everything ends updated.
//!
//! `ROLLOUT_SEED=7 cargo test -p machine-config-machineconfig --test rollout -- --nocapture` tells the story of one.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]

mod cluster;
mod faults;
mod leader;
mod machine;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use cluster::Cluster;
use leader::Leader;

/// How many rollouts are made.
const ROLLOUTS: u64 = 10_000;
/// How many threads make them.
const THREADS: u64 = 4;
/// For so many rounds there are faults.
const ROUNDS_WITH_FAULTS: usize = 12;
/// Within so many rounds after the last fault everything is updated. The slowest take what forgetting a deleted node takes.
const ROUNDS_TO_END: usize = 400;

/// What happened in a rollout, so that nobody believes in ten thousand of which nothing was asked.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Account {
    rounds: u64,
    updates: u64,
    failures: u64,
    retargeted: u64,
    lost_races: u64,
    stale_nodes: u64,
    paused: u64,
    deleted: u64,
    control_planes: u64,
}

fn rollout(seed: u64, tell: bool) -> Account {
    let mut cluster = Cluster::new(seed, tell);
    let mut leaders = [Leader::new(&cluster), Leader::new(&cluster)];
    for _ in 0..ROUNDS_WITH_FAULTS {
        cluster.fault();
        round(&mut cluster, &mut leaders);
    }
    cluster.stop_faults();
    for _ in 0..ROUNDS_TO_END {
        round(&mut cluster, &mut leaders);
        if cluster.is_at_rest() {
            cluster.check_end();
            return cluster.account;
        }
    }
    panic!(
        "not updated {ROUNDS_TO_END} rounds after the last fault: {}",
        cluster.story()
    );
}

fn round(cluster: &mut Cluster, leaders: &mut [Leader; 2]) {
    cluster.pass_time();
    let first = cluster.random.usize(0..2);
    for leader in [first, 1 - first] {
        leaders[leader].act(cluster);
    }
    cluster.run_machines();
    cluster.account.rounds += 1;
}

fn some_rollouts(thread: u64) -> Result<Account, String> {
    let mut sum = Account::default();
    for seed in (thread..ROLLOUTS).step_by(usize::try_from(THREADS).unwrap()) {
        let one = catch_unwind(AssertUnwindSafe(|| rollout(seed, false)));
        let one = one.map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            format!("ROLLOUT_SEED={seed}: {}", text.unwrap_or_default())
        })?;
        sum.add(one);
    }
    Ok(sum)
}

impl Account {
    fn add(&mut self, other: Account) {
        self.rounds += other.rounds;
        self.updates += other.updates;
        self.failures += other.failures;
        self.retargeted += other.retargeted;
        self.lost_races += other.lost_races;
        self.stale_nodes += other.stale_nodes;
        self.paused += other.paused;
        self.deleted += other.deleted;
        self.control_planes += other.control_planes;
    }
}

#[test]
fn no_rollout_takes_more_nodes_than_it_may_and_every_one_ends_updated() {
    if let Ok(seed) = std::env::var("ROLLOUT_SEED") {
        let account = rollout(seed.parse().unwrap(), true);
        println!("{account:?}");
        return;
    }
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| thread::spawn(move || some_rollouts(thread)))
        .collect();
    let mut sum = Account::default();
    for thread in threads {
        match thread.join().unwrap() {
            Ok(part) => sum.add(part),
            Err(failure) => panic!("{failure}"),
        }
    }
    println!("{sum:?}");
    // Each kind of trouble came up often, so the rules were asked about it.
    let often = ROLLOUTS / 20;
    for (what, count) in [
        ("updates", sum.updates / 2),
        ("failures", sum.failures),
        ("retargeted", sum.retargeted),
        ("lost races", sum.lost_races),
        ("stale nodes", sum.stale_nodes),
        ("paused", sum.paused),
        ("deleted", sum.deleted),
        ("control planes", sum.control_planes),
    ] {
        assert!(count > often, "{what} came up {count} times only: {sum:?}");
    }
}

#[test]
fn a_rollout_can_be_repeated_exactly() {
    for seed in 0..20 {
        assert_eq!(rollout(seed, false), rollout(seed, false), "ROLLOUT_SEED={seed}");
    }
}
