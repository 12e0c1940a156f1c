//! Killed by SIGKILL before and after every call, and again in recovery.

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use daemon::host::{Op, Tap};
use daemon::node::Node;
use std::os::unix::process::ExitStatusExt;

use super::{Case, Side, apply, many, recover, recover_node, tidy, to};
use crate::model::Killer;
use crate::node::apply_to;

/// Tells the child where it works and at which point it dies.
const DIRECTORY: &str = "CRASH_ENGINE_DIRECTORY";
const POINT: &str = "CRASH_ENGINE_POINT";
/// Every how many points of an apply its recovery is cut off too, at all of its own.
const NESTED: u64 = 7;
/// At how many points an apply of many files is killed.
const KILLS: u64 = 24;

#[test]
fn killed_at_every_point_the_node_is_old_or_new() {
    if let (Ok(directory), Ok(point)) = (std::env::var(DIRECTORY), std::env::var(POINT)) {
        let killer = Killer::killing(point.parse().unwrap());
        let node = Node::open_tapped(Path::new(&directory), Arc::new(killer)).unwrap();
        apply_to(&node, &to(), daemon::journal::Purpose::Apply).unwrap();
        return;
    }
    let case = Case::new();
    let points = points(&case);
    assert!(points >= 200, "only {points} points");
    let mut sides = [0_u32; 2];
    for point in 0..points {
        let copy = case.copy();
        let status = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "engine::kill::killed_at_every_point_the_node_is_old_or_new",
            ])
            .env(DIRECTORY, copy.path())
            .env(POINT, point.to_string())
            .output()
            .unwrap()
            .status;
        assert_eq!(
            status.signal(),
            Some(9),
            "at point {point} it was not killed: {status}"
        );
        recover(copy.path()).unwrap();
        let side = case
            .side(copy.path())
            .unwrap_or_else(|mix| panic!("killed at point {point}: {mix}"));
        tidy(copy.path(), side);
        sides[side as usize] += 1;
    }
    println!(
        "{points} points: {} old, {} new",
        sides[Side::Old as usize],
        sides[Side::New as usize]
    );
    assert!(
        sides.iter().all(|side| *side > 0),
        "all kills led to the same side: {sides:?}"
    );
}

#[test]
fn killed_while_two_threads_are_at_work_the_node_is_old_or_new() {
    if let (Ok(directory), Ok(point)) = (std::env::var(DIRECTORY), std::env::var(POINT)) {
        let killer = Killer::killing(point.parse().unwrap());
        let node = Node::open_tapped(Path::new(&directory), Arc::new(killer)).unwrap();
        apply_to(
            &node,
            &many("rendered-to", "new"),
            daemon::journal::Purpose::Apply,
        )
        .unwrap();
        return;
    }
    let case = Case::between(&many("rendered-from", "old"), many("rendered-to", "new"));
    let points = points(&case);
    let mut sides = [0_u32; 2];
    for point in (0..points).step_by(usize::try_from(points / KILLS).unwrap()) {
        let copy = case.copy();
        let status = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "engine::kill::killed_while_two_threads_are_at_work_the_node_is_old_or_new",
            ])
            .env(DIRECTORY, copy.path())
            .env(POINT, point.to_string())
            .output()
            .unwrap()
            .status;
        assert_eq!(
            status.signal(),
            Some(9),
            "at point {point} it was not killed: {status}"
        );
        recover(copy.path()).unwrap();
        let side = case
            .side(copy.path())
            .unwrap_or_else(|mix| panic!("killed at point {point}: {mix}"));
        tidy(copy.path(), side);
        sides[side as usize] += 1;
    }
    assert!(
        sides.iter().all(|side| *side > 3),
        "nearly all kills led to the same side: {sides:?}"
    );
}

/// How many points an apply has.
fn points(case: &Case) -> u64 {
    let copy = case.copy();
    let counter = Arc::new(Killer::counting());
    let node = Node::open_tapped(copy.path(), counter.clone()).unwrap();
    apply(&node, case).unwrap();
    counter.points()
}

/// As dead as a process can be that has to go on: from one point on no call is made any more.
#[derive(Debug)]
struct Dead {
    at: u64,
    seen: AtomicU64,
}

impl Dead {
    fn at(at: u64) -> Arc<Self> {
        Arc::new(Self {
            at,
            seen: AtomicU64::new(0),
        })
    }

    fn pass(&self) -> io::Result<()> {
        if self.seen.fetch_add(1, Ordering::Relaxed) >= self.at {
            Err(io::Error::other("dead"))
        } else {
            Ok(())
        }
    }

    fn died(&self) -> bool {
        self.seen.load(Ordering::Relaxed) > self.at
    }
}

impl Tap for Dead {
    fn before(&self, _: &Op<'_>) -> io::Result<()> {
        self.pass()
    }

    fn after(&self, _: &Op<'_>) -> io::Result<()> {
        self.pass()
    }
}

#[test]
fn a_recovery_that_is_cut_off_at_any_point_is_taken_up_by_the_next() {
    let case = Case::new();
    let mut cuts = 0;
    for point in (0..points(&case)).step_by(usize::try_from(NESTED).unwrap()) {
        let first = case.copy();
        let _ = apply(&Node::open_tapped(first.path(), Dead::at(point)).unwrap(), &case);
        let left = crate::model::Tree::read_from(first.path()).unwrap();
        for cut in 0.. {
            let copy = super::tempfile_of(&left);
            let dead = Dead::at(cut);
            let _ = recover_node(&Node::open_tapped(copy.path(), dead.clone()).unwrap());
            recover(copy.path()).unwrap();
            let side = case
                .side(copy.path())
                .unwrap_or_else(|mix| panic!("apply cut off at {point}, recovery at {cut}: {mix}"));
            tidy(copy.path(), side);
            cuts += 1;
            if !dead.died() {
                break;
            }
        }
    }
    println!("{cuts} recoveries cut off");
    assert!(cuts >= 200, "only {cuts} recoveries were cut off");
}
