//! Every state that a power cut may leave on a POSIX file system, generated from the calls of an apply.

use std::collections::BTreeMap;
use std::sync::Arc;

use daemon::host::Op;
use daemon::node::Node;

use super::{Case, Side, apply, recover, tidy};
use crate::model::{Limits, Model, Recorder};

/// States of a point that are tried; beyond it a seeded sample.
const PER_POINT: usize = 12;
/// The least that counts as a proof.
const LEAST: usize = 500;

#[test]
fn out_of_power_at_any_moment_the_node_is_old_or_new() {
    let case = Case::new();
    let copy = case.copy();
    let recorder = Arc::new(Recorder::default());
    let node = Node::open_tapped(copy.path(), recorder.clone()).unwrap();
    apply(&node, &case).unwrap();
    drop(node);
    let done = recorder.done();
    assert!(
        done.iter().any(|done| matches!(done.op(), Op::SecondName { .. })),
        "the config before was not kept by a second name, so no cut of that was tried"
    );
    let model = Model::new(&case.before, &done);
    // From the moment on that the mark is durable it must be new.
    let syncs = done
        .iter()
        .enumerate()
        .filter(|(_, done)| matches!(done.op(), Op::SyncFile { path } if path.ends_with("journal")));
    let (committed, _) = syncs.into_iter().next().expect("the mark is made durable");
    let limits = Limits {
        per_point: PER_POINT,
        ..Limits::default()
    };
    let (mut states, mut sides) = (0, BTreeMap::new());
    for crash in model.crashes(&limits) {
        let directory = super::tempfile_of(&crash.tree);
        let outcome = recover(directory.path())
            .map_err(|finding| finding.message)
            .and_then(|()| case.side(directory.path()));
        let side = outcome.unwrap_or_else(|error| panic!("{error}\n{}", model.describe(&crash)));
        tidy(directory.path(), side);
        if crash.point > committed {
            assert_eq!(side, Side::New, "it was committed\n{}", model.describe(&crash));
        }
        states += 1;
        *sides.entry(format!("{side:?}")).or_insert(0) += 1;
    }
    println!("{states} states of {} calls: {sides:?}", model.calls());
    assert!(states >= LEAST, "only {states} states");
    assert_eq!(sides.len(), 2, "all states led to the same side: {sides:?}");
}
