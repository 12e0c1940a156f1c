//! The taps: every point is counted, and at any of them a program can be stopped or made to fail.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use daemon::host::{Op, Root, Traits, Writer};
use rustix::io::Errno;

use crate::model::{Killer, Model, Node, Recorder, Tree, When};

/// Tells a test that it is the child that is to be killed: where it works, and at which point.
const DIRECTORY: &str = "CRASH_DIRECTORY";
const POINT: &str = "CRASH_POINT";

/// Three calls: make, write, make durable.
fn three_calls(root: &Root) -> Result<(), daemon::host::write::Failed> {
    let traits = Traits {
        mode: 0o600,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        attributes: Vec::new(),
    };
    let mut writer = Writer::new(root);
    writer.create(Path::new("/a"), b"contents", &traits)?;
    writer.sync_file(Path::new("/a"))
}

/// What is there after so many of the three calls.
fn after(calls: usize) -> Tree {
    match calls {
        0 => Tree::new(),
        1 => Tree::new().with("/a", Node::file(0o600, b"")),
        _ => Tree::new().with("/a", Node::file(0o600, b"contents")),
    }
}

#[test]
fn a_program_is_killed_at_each_point() {
    if let (Ok(directory), Ok(point)) = (std::env::var(DIRECTORY), std::env::var(POINT)) {
        let killer = Killer::killing(point.parse().unwrap());
        let root = Root::open(Path::new(&directory))
            .unwrap()
            .with_tap(Arc::new(killer));
        three_calls(&root).unwrap();
        return;
    }
    for point in 0..=6_usize {
        let directory = tempfile::tempdir().unwrap();
        Tree::new().write_to(directory.path()).unwrap();
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "taps::a_program_is_killed_at_each_point"])
            .env(DIRECTORY, directory.path())
            .env(POINT, point.to_string())
            .output()
            .unwrap()
            .status;
        // The points are 0 to 5; at the sixth nobody comes by.
        assert_eq!(status.signal(), (point < 6).then_some(9), "at point {point}");
        let left = Tree::read_from(directory.path()).unwrap();
        let expected = after(point.div_ceil(2));
        assert_eq!(expected.difference(&left), "", "at point {point}");
    }
}

#[test]
fn calls_are_counted_recorded_and_made_to_fail() {
    let run = |killer: Killer| {
        let directory = tempfile::tempdir().unwrap();
        Tree::new().write_to(directory.path()).unwrap();
        let recorder = Arc::new(Recorder::with(killer));
        let root = Root::open(directory.path()).unwrap().with_tap(recorder.clone());
        let outcome = three_calls(&root).map_err(|failed| failed.source.raw_os_error());
        (outcome, recorder, Tree::read_from(directory.path()).unwrap())
    };
    let (outcome, recorder, _) = run(Killer::counting());
    assert_eq!(
        (outcome, recorder.points(), recorder.done().len()),
        (Ok(()), 6, 3)
    );
    for point in 0..6 {
        for when in [When::At(point), When::From(point)] {
            let (outcome, recorder, left) = run(Killer::failing(when, Errno::NOSPC));
            assert_eq!(outcome, Err(Some(Errno::NOSPC.raw_os_error())), "{when:?}");
            let done = recorder.done();
            assert_eq!(
                done.len(),
                usize::try_from(point).unwrap().div_ceil(2),
                "{when:?}"
            );
            assert_eq!(
                Model::new(&Tree::new(), &done).end().difference(&left),
                "",
                "{when:?}"
            );
        }
    }
}

#[test]
fn something_of_ones_own_is_done_at_a_point() {
    let only_writes = |op: &Op<'_>| match op {
        Op::Append { .. } => Err(Errno::IO.into()),
        _ => Ok(()),
    };
    let killer = Arc::new(Killer::new(When::From(0), only_writes));
    let directory = tempfile::tempdir().unwrap();
    let root = Root::open(directory.path()).unwrap().with_tap(killer.clone());
    let failed = three_calls(&root).unwrap_err();
    assert_eq!(failed.to_string(), "cannot write to /a");
    assert_eq!(killer.points(), 3);
}
