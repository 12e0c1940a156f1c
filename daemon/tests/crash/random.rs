//! The model itself, held against the kernel and against its own rules by programs at random.

use daemon::host::{Rename, Traits, Writer};
use proptest::prelude::*;

use crate::model::{Limits, Node, Tree};
use crate::programs::{path, run, traits};

/// A step of a program that picks what it works on by numbers, so that any is possible.
#[derive(Debug, Clone, Copy)]
enum Act {
    Create(usize, u8),
    Append(usize, u8),
    Truncate(usize),
    Link(usize),
    MakeDirectory(usize, u32),
    RemoveDirectory(usize),
    Remove(usize),
    Rename(usize, usize, u8),
    SyncFile(usize),
    SyncDirectory(usize),
    SyncFileSystem,
}

const PLACES: [&str; 10] = [
    "/a", "/b", "/d", "/e", "/d/a", "/d/b", "/d/d", "/e/a", "/e/b", "/d/d/a",
];

fn act() -> impl Strategy<Value = Act> {
    let place = || 0..PLACES.len();
    prop_oneof![
        4 => (place(), any::<u8>()).prop_map(|(at, size)| Act::Create(at, size)),
        2 => (place(), any::<u8>()).prop_map(|(at, size)| Act::Append(at, size)),
        1 => place().prop_map(Act::Truncate),
        1 => place().prop_map(Act::Link),
        4 => (place(), 0..8_u32).prop_map(|(at, mode)| Act::MakeDirectory(at, 0o2770 | mode)),
        2 => place().prop_map(Act::RemoveDirectory),
        2 => place().prop_map(Act::Remove),
        8 => (place(), place(), 0..3_u8).prop_map(|(from, to, how)| Act::Rename(from, to, how)),
        1 => place().prop_map(Act::SyncFile),
        1 => place().prop_map(Act::SyncDirectory),
        1 => Just(Act::SyncFileSystem),
    ]
}

/// Of somebody else, with an attribute: the model and the kernel must agree on what a new file inherits.
fn owned(mode: u32) -> Traits {
    Traits {
        mode,
        uid: 12,
        gid: 34,
        attributes: vec![("trusted.test".to_owned(), b"value".to_vec())],
    }
}

/// Does what is possible of a program; calls that fail change nothing.
fn perform(writer: &mut Writer<'_>, acts: &[Act]) {
    let place = |at: usize| path(PLACES[at]);
    for act in acts {
        let _ = match *act {
            // What is not given away is of the group of a set-gid directory.
            Act::Create(at, size) if size % 2 == 0 => {
                writer.create(place(at), &vec![b'c'; size.into()], &traits(0o750))
            }
            Act::Create(at, size) => writer.create(place(at), &vec![b'c'; size.into()], &owned(0o4750)),
            Act::Append(at, size) => writer.append(place(at), &vec![b'a'; size.into()]),
            Act::Truncate(at) => writer.truncate(place(at), 3),
            Act::Link(at) => writer.link(place(at), path("/a"), 12, 34),
            Act::MakeDirectory(at, mode) => writer.make_directory(place(at), &owned(mode)),
            Act::RemoveDirectory(at) => writer.remove_directory(place(at)),
            Act::Remove(at) => writer.remove(place(at)),
            Act::Rename(from, to, how) => {
                let how = [Rename::Over, Rename::IfAbsent, Rename::Exchange][usize::from(how)];
                writer.rename(place(from), place(to), how)
            }
            Act::SyncFile(at) => writer.sync_file(place(at)),
            Act::SyncDirectory(at) => writer.sync_directory(place(at)),
            Act::SyncFileSystem => writer.sync_file_system(path("/")),
        };
    }
}

/// A tree whose files can be told apart.
fn known() -> Tree {
    let mut shared = Node::directory(0o2775);
    shared.gid = 34;
    let mut tree = Tree::new()
        .with("/e", shared)
        .with("/d/d", Node::directory(0o755));
    for name in ["/a", "/b", "/d/a", "/d/b", "/e/a"] {
        tree = tree.with(name, Node::file(0o600, name.as_bytes()));
    }
    tree
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_model_does_what_the_kernel_does(acts in prop::collection::vec(act(), 0..40)) {
        run(&known(), |writer| perform(writer, &acts));
    }

    /// Of programs that remove, overwrite and change no file, none is lost, whatever the order.
    #[test]
    fn a_power_cut_loses_no_file_that_nobody_removed(acts in prop::collection::vec(act(), 0..24)) {
        let careful: Vec<Act> = acts
            .into_iter()
            .filter(|act| match act {
                Act::Remove(_) | Act::Append(..) | Act::Truncate(_) | Act::Rename(_, _, 0) => false,
                Act::Create(..) | Act::Link(_) | Act::MakeDirectory(..)
                | Act::RemoveDirectory(_) | Act::Rename(..) | Act::SyncFile(_) | Act::SyncDirectory(_)
                | Act::SyncFileSystem => true,
            })
            .collect();
        let base = known();
        let run = run(&base, |writer| perform(writer, &careful));
        let limits = Limits { per_point: 100, ..Limits::default() };
        for crash in run.model.crashes(&limits) {
            let there: Vec<&Node> = crash.tree.iter().map(|(_, node)| node).collect();
            for (name, node) in base.iter().filter(|(name, _)| base.contents(name).is_some()) {
                let count = there.iter().filter(|other| **other == node).count();
                prop_assert_eq!(count, 1, "{} in {}", name.display(), run.model.describe(&crash));
            }
        }
    }
}
