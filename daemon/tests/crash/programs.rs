//! The model itself: what it must leave after a power cut, and what it must not, shown by small programs.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use daemon::host::{Rename, Root, Traits, Writer};

use crate::model::{Crash, Limits, Model, Node, Recorder, Tree};

const OLD: &[u8] = b"the old contents";
const NEW: &[u8] = b"the new contents, which are longer";

/// What a program did to a tree: the model of it, and the tree that was really there in the end.
pub(crate) struct Run {
    pub(crate) model: Model,
    pub(crate) end: Tree,
}

/// Of this process, without attributes.
pub(crate) fn traits(mode: u32) -> Traits {
    Traits {
        mode,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        attributes: Vec::new(),
    }
}

/// Runs a program on a tree in a directory of its own.
pub(crate) fn run(base: &Tree, program: impl FnOnce(&mut Writer<'_>)) -> Run {
    let directory = tempfile::tempdir().unwrap();
    base.write_to(directory.path()).unwrap();
    let recorder = Arc::new(Recorder::default());
    let root = Root::open(directory.path()).unwrap().with_tap(recorder.clone());
    program(&mut Writer::new(&root));
    let end = Tree::read_from(directory.path()).unwrap();
    let model = Model::new(base, &recorder.done());
    assert_eq!(
        model.end().difference(&end),
        "",
        "the model is not what is on disk"
    );
    Run { model, end }
}

impl Run {
    fn crashes(&self) -> Vec<Crash> {
        self.model.crashes(&Limits::default()).collect()
    }

    /// Whether a power cut may leave this.
    fn may_leave(&self, what: impl Fn(&Tree) -> bool) -> bool {
        self.crashes().iter().any(|crash| what(&crash.tree))
    }

    /// Asserts that a power cut never leaves this.
    fn never_leaves(&self, what: impl Fn(&Tree) -> bool) {
        for crash in self.crashes() {
            assert!(
                !what(&crash.tree),
                "{}\n{}",
                self.model.describe(&crash),
                self.end.difference(&crash.tree)
            );
        }
    }
}

pub(crate) fn path(text: &str) -> &Path {
    Path::new(text)
}

fn one_file() -> Tree {
    Tree::new().with("/etc/a", Node::file(0o600, OLD))
}

fn replace(writer: &mut Writer<'_>, synced: bool) {
    writer.create(path("/etc/a.new"), NEW, &traits(0o600)).unwrap();
    if synced {
        writer.sync_file(path("/etc/a.new")).unwrap();
    }
    writer
        .rename(path("/etc/a.new"), path("/etc/a"), Rename::Over)
        .unwrap();
}

#[test]
fn contents_that_were_not_synced_before_the_renaming_may_be_bad_under_the_new_name() {
    let run = run(&one_file(), |writer| replace(writer, false));
    let length = NEW.len();
    let zeros = vec![0; length];
    assert!(run.may_leave(|tree| tree.contents("/etc/a") == Some(b"")));
    assert!(run.may_leave(|tree| tree.contents("/etc/a") == Some(&NEW[..length / 2])));
    assert!(run.may_leave(|tree| tree.contents("/etc/a") == Some(&zeros)));
}

#[test]
fn all_contents_that_were_not_synced_may_be_lost_at_once() {
    // So many that chance does not come to it.
    let names = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(|number| format!("/etc/{number}"));
    let base = Tree::new().with("/etc", Node::directory(0o755));
    let run = run(&base, |writer| {
        for name in &names {
            writer.create(path(name), NEW, &traits(0o600)).unwrap();
        }
    });
    assert!(run.may_leave(|tree| {
        let mut contents = names.iter().map(|name| tree.contents(name));
        contents.all(|contents| contents == Some(b""))
    }));
}

#[test]
fn contents_that_were_synced_before_the_renaming_are_old_or_new() {
    let run = run(&one_file(), |writer| replace(writer, true));
    let seen: BTreeSet<_> = run
        .crashes()
        .iter()
        .map(|crash| crash.tree.contents("/etc/a").map(<[u8]>::to_vec))
        .collect();
    assert_eq!(seen, BTreeSet::from([Some(OLD.to_vec()), Some(NEW.to_vec())]));
}

#[test]
fn a_renaming_is_there_or_not_until_one_of_its_directories_is_synced() {
    for (synced, may_be_old) in [
        (None, true),
        (Some("/one"), false),
        (Some("/two"), false),
        (Some("/"), true),
    ] {
        let base = Tree::new()
            .with("/one/a", Node::file(0o600, OLD))
            .with("/two", Node::directory(0o755));
        let run = run(&base, |writer| {
            writer
                .rename(path("/one/a"), path("/two/b"), Rename::IfAbsent)
                .unwrap();
            if let Some(directory) = synced {
                writer.sync_directory(path(directory)).unwrap();
            }
        });
        let last = run.model.calls();
        let at_the_end: Vec<Crash> = run
            .crashes()
            .into_iter()
            .filter(|crash| crash.point == last)
            .collect();
        let is_old = |crash: &Crash| crash.tree.get("/one/a").is_some();
        assert_eq!(at_the_end.iter().any(is_old), may_be_old, "{synced:?} was synced");
        assert!(
            at_the_end.iter().any(|crash| !is_old(crash)),
            "{synced:?} was synced"
        );
        run.never_leaves(|tree| tree.get("/one/a").is_some() == tree.get("/two/b").is_some());
    }
}

#[test]
fn an_exchange_is_never_half_done() {
    let base = one_file().with("/etc/b", Node::file(0o644, NEW));
    let run = run(&base, |writer| {
        writer
            .rename(path("/etc/a"), path("/etc/b"), Rename::Exchange)
            .unwrap();
    });
    let seen: BTreeSet<_> = run
        .crashes()
        .iter()
        .map(|crash| ["/etc/a", "/etc/b"].map(|name| crash.tree.contents(name).map(<[u8]>::to_vec)))
        .collect();
    let (old, new) = (Some(OLD.to_vec()), Some(NEW.to_vec()));
    assert_eq!(seen, BTreeSet::from([[old.clone(), new.clone()], [new, old]]));
}

#[test]
fn a_removal_may_come_before_an_earlier_renaming() {
    let base = Tree::new()
        .with("/one/a.new", Node::file(0o600, NEW))
        .with("/two/backup", Node::file(0o600, OLD));
    let is_early = |tree: &Tree| tree.get("/two/backup").is_none() && tree.get("/one/a").is_none();
    for synced in [false, true] {
        let run = run(&base, |writer| {
            writer
                .rename(path("/one/a.new"), path("/one/a"), Rename::IfAbsent)
                .unwrap();
            if synced {
                writer.sync_directory(path("/one")).unwrap();
            }
            writer.remove(path("/two/backup")).unwrap();
        });
        assert_eq!(run.may_leave(is_early), !synced, "synced in between: {synced}");
    }
}

#[test]
fn a_synced_file_has_no_name_yet_nor_mode() {
    let base = Tree::new().with("/etc", Node::directory(0o755));
    let run = run(&base, |writer| {
        writer.create(path("/etc/a"), NEW, &traits(0o644)).unwrap();
        writer.sync_file(path("/etc/a")).unwrap();
        writer.sync_directory(path("/etc")).unwrap();
    });
    let mut ends: Vec<_> = run
        .crashes()
        .iter()
        .filter(|crash| crash.point == run.model.calls())
        .map(|crash| crash.tree.get("/etc/a").map(|node| node.mode))
        .collect();
    ends.sort_unstable();
    assert_eq!(ends, [Some(0o600), Some(0o644)]);
    assert!(run.may_leave(|tree| tree.get("/etc/a").is_none()));
    run.never_leaves(|tree| tree.get("/etc/a").is_some_and(|node| node.mode & !0o644 != 0));
}

#[test]
fn a_directory_that_was_not_synced_into_its_own_takes_what_is_in_it_along_but_nothing_that_was_moved_there() {
    let run = run(&one_file(), |writer| {
        writer.make_directory(path("/etc/new"), &traits(0o755)).unwrap();
        writer
            .create(path("/etc/new/inside"), NEW, &traits(0o600))
            .unwrap();
        writer.sync_file(path("/etc/new/inside")).unwrap();
        writer.sync_directory(path("/etc/new")).unwrap();
        writer
            .rename(path("/etc/a"), path("/etc/new/a"), Rename::IfAbsent)
            .unwrap();
    });
    let last = run.model.calls();
    assert!(run.crashes().iter().any(|crash| {
        crash.point == last && crash.tree.get("/etc/new").is_none() && crash.tree.get("/etc/a").is_some()
    }));
    run.never_leaves(|tree| tree.get("/etc/a").is_none() && tree.get("/etc/new/a").is_none());
}

#[test]
fn what_goes_into_a_new_directory_by_an_exchange_is_not_lost() {
    let run = run(&one_file(), |writer| {
        writer.make_directory(path("/new"), &traits(0o755)).unwrap();
        writer.create(path("/new/x"), NEW, &traits(0o600)).unwrap();
        writer
            .rename(path("/new/x"), path("/etc/a"), Rename::Exchange)
            .unwrap();
    });
    run.never_leaves(|tree| {
        !["/etc/a", "/new/x"]
            .iter()
            .any(|name| tree.contents(name) == Some(OLD))
    });
}

#[test]
fn a_directory_goes_after_what_was_in_it() {
    let base = one_file()
        .with("/free", Node::directory(0o755))
        .with("/other", Node::directory(0o755));
    for replaced in [false, true] {
        let run = run(&base, |writer| {
            writer
                .rename(path("/etc/a"), path("/free/a"), Rename::IfAbsent)
                .unwrap();
            if replaced {
                writer.rename(path("/other"), path("/etc"), Rename::Over).unwrap();
            } else {
                writer.remove_directory(path("/etc")).unwrap();
            }
        });
        run.never_leaves(|tree| {
            !["/etc/a", "/free/a"]
                .iter()
                .any(|name| tree.contents(name) == Some(OLD))
        });
        assert!(run.may_leave(|tree| tree.get("/free/a").is_some() && tree.get("/other").is_some()));
    }
}

#[test]
fn a_last_line_is_torn_at_any_place_and_a_synced_one_is_not() {
    let base = Tree::new().with("/log", Node::file(0o600, b"first\n"));
    let run = run(&base, |writer| {
        // Never synced, so what comes later is not all durable at any point.
        writer.create(path("/other"), b"", &traits(0o600)).unwrap();
        writer.append(path("/log"), b"second\n").unwrap();
        writer.sync_file(path("/log")).unwrap();
        writer.append(path("/log"), b"third\n").unwrap();
    });
    let last = run.model.calls();
    let seen: BTreeSet<Vec<u8>> = run
        .crashes()
        .iter()
        .filter(|crash| crash.point == last)
        .map(|crash| crash.tree.contents("/log").unwrap().to_vec())
        .collect();
    for length in 0..=6 {
        let torn = [b"first\nsecond\n", &b"third\n"[..length]].concat();
        assert!(seen.contains(&torn), "{} is missing", torn.escape_ascii());
    }
    assert!(
        seen.iter().all(|text| text.starts_with(b"first\nsecond\n")),
        "{seen:?}"
    );
}

#[test]
fn only_the_file_system_that_is_synced_is_durable() {
    let base = Tree::new()
        .with("/boot/a", Node::file(0o600, OLD))
        .with("/etc/a", Node::file(0o600, OLD));
    let Run { model, end } = run(&base, |writer| {
        writer.remove(path("/boot/a")).unwrap();
        writer.remove(path("/etc/a")).unwrap();
        writer.sync_file_system(path("/etc")).unwrap();
    });
    let done: Vec<_> = model.recorded().cloned().collect();
    let model = Model::with_mounts(&base, &done, &["/boot".into()]);
    let at_the_end = model
        .crashes(&Limits::default())
        .filter(|crash| crash.point == model.calls());
    let seen: Vec<Tree> = at_the_end.map(|crash| crash.tree).collect();
    let with_boot = end.clone().with("/boot/a", Node::file(0o600, OLD));
    assert_eq!(seen.len(), 2);
    assert!(seen.contains(&end) && seen.contains(&with_boot));
}

// === A program that goes from old to new, and what is wrong with it when a step is missing ===

/// What [`update`] does otherwise than it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    StagedNotSynced,
    MarkedBeforeStaged,
    MarkNotSynced,
    RemovedBeforeSynced,
}

fn two_files(contents: &[u8]) -> Tree {
    Tree::new()
        .with("/etc/a", Node::file(0o600, contents))
        .with("/etc/b", Node::file(0o600, contents))
        .with("/state", Node::directory(0o700))
}

fn stage(writer: &mut Writer<'_>) {
    for name in ["/etc/a.new", "/etc/b.new"] {
        writer.create(path(name), NEW, &traits(0o600)).unwrap();
    }
}

fn update(writer: &mut Writer<'_>, flaw: Flaw) {
    if flaw != Flaw::MarkedBeforeStaged {
        stage(writer);
        if flaw != Flaw::StagedNotSynced {
            writer.sync_file_system(path("/etc")).unwrap();
        }
    }
    writer.create(path("/state/mark"), b"", &traits(0o600)).unwrap();
    if flaw != Flaw::MarkNotSynced {
        writer.sync_directory(path("/state")).unwrap();
    }
    if flaw == Flaw::MarkedBeforeStaged {
        stage(writer);
        writer.sync_file_system(path("/etc")).unwrap();
    }
    for (from, to) in [("/etc/a.new", "/etc/a"), ("/etc/b.new", "/etc/b")] {
        writer.rename(path(from), path(to), Rename::Over).unwrap();
    }
    if flaw != Flaw::RemovedBeforeSynced {
        writer.sync_file_system(path("/etc")).unwrap();
    }
    writer.remove(path("/state/mark")).unwrap();
}

/// Finishes an update that was marked, and takes back one that was not.
fn recover(tree: &Tree) -> Tree {
    let marked = tree.get("/state/mark").is_some();
    let mut end = Tree::new();
    for (path, node) in tree.iter() {
        let name = path.to_str().unwrap();
        if name != "/state/mark" && name.strip_suffix(".new").is_none() {
            end.insert(path.to_owned(), node.clone());
        }
    }
    for name in ["/etc/a", "/etc/b"] {
        let staged = tree.get(format!("{name}.new"));
        if let Some(staged) = staged.filter(|_| marked) {
            end.insert(name.into(), staged.clone());
        }
    }
    end
}

/// Power cuts after which recovery ends in neither the old nor the new state, and how many there were.
fn mixed(flaw: Flaw) -> (usize, usize) {
    let run = run(&two_files(OLD), |writer| update(writer, flaw));
    let (old, new) = (two_files(OLD), two_files(NEW));
    let crashes = run.crashes();
    let bad = crashes.iter().filter(|crash| {
        let end = recover(&crash.tree);
        let is_good = end == old || end == new;
        if flaw == Flaw::None {
            assert!(is_good, "{}\n{}", run.model.describe(crash), new.difference(&end));
        }
        !is_good
    });
    (bad.count(), crashes.len())
}

#[test]
fn a_right_program_is_old_or_new_after_every_power_cut() {
    let (bad, all) = mixed(Flaw::None);
    assert_eq!(bad, 0);
    // Two renamings alone are four states, and staging is many more.
    assert!(all >= 30, "only {all} states");
}

#[test]
fn a_program_without_one_of_its_syncs_or_in_the_wrong_order_is_caught() {
    for flaw in [
        Flaw::StagedNotSynced,
        Flaw::MarkedBeforeStaged,
        Flaw::MarkNotSynced,
        Flaw::RemovedBeforeSynced,
    ] {
        let (bad, all) = mixed(flaw);
        assert!(bad > 0, "{flaw:?} is not seen in any of {all} states");
    }
}

#[test]
fn the_same_seed_makes_the_same_states_and_none_twice() {
    let run = run(&two_files(OLD), |writer| update(writer, Flaw::StagedNotSynced));
    let once: Vec<u64> = run.crashes().iter().map(|crash| crash.tree.digest()).collect();
    let again: Vec<u64> = run.crashes().iter().map(|crash| crash.tree.digest()).collect();
    assert_eq!(once, again);
    let different: BTreeSet<u64> = once.iter().copied().collect();
    assert_eq!(different.len(), once.len());
}

/// States in a second that the model must make in a build without optimisation, on one slow core: what a test that runs
/// recovery on each can use up by far.
const STATES_PER_SECOND: f64 = 1_000.0;

/// How long this thread has worked, however busy the machine is with other things.
fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.try_into().expect("no thread has worked for a negative time")
}

#[test]
fn thousands_of_states_are_made_in_a_second() {
    let mut base = Tree::new().with("/state", Node::directory(0o700));
    for number in 0..50 {
        base = base.with(format!("/etc/{number}"), Node::file(0o600, &[b'o'; 4096]));
    }
    let run = run(&base, |writer| {
        for number in 0..50 {
            let to = format!("/etc/{number}");
            let from = format!("/etc/.{number}.new");
            writer.create(path(&from), &[b'n'; 4096], &traits(0o644)).unwrap();
            writer.rename(path(&from), path(&to), Rename::Exchange).unwrap();
        }
    });
    let before = worked();
    let states = run.model.crashes(&Limits::default()).take(5_000).count();
    #[expect(clippy::cast_precision_loss, reason = "it is a few thousands")]
    let rate = states as f64 / worked().saturating_sub(before).as_secs_f64();
    assert_eq!(states, 5_000);
    println!("{rate:.0} states in a second");
    assert!(rate > STATES_PER_SECOND, "only {rate:.0} in a second");
}

#[test]
fn a_tree_is_read_back_as_it_was_written() {
    let mut file = Node::file(0o4711, b"\0contents");
    (file.uid, file.gid) = (12, 34);
    file.attributes
        .insert("trusted.test".to_owned(), b"va\0lue".to_vec());
    let mut link = Node::link(path("../nowhere"));
    (link.uid, link.gid) = (56, 78);
    let tree = Tree::new()
        .with("/d/file", file.clone())
        .with("/d/link", link)
        .with("/closed", Node::directory(0o000))
        .with("/closed/empty", Node::file(0o000, b""));
    let directory = tempfile::tempdir().unwrap();
    tree.write_to(directory.path()).unwrap();
    let back = Tree::read_from(directory.path()).unwrap();
    assert_eq!(tree.difference(&back), "");
    assert_eq!(tree, back);

    let mut other = file;
    other.attributes.clear();
    let other = tree
        .clone()
        .with("/d/file", other)
        .with("/more", Node::link(path("d")));
    let lines = tree.difference(&other);
    assert_eq!(
        lines,
        "~ /d/file: file of 9 bytes \"\\x00contents\", 4711 12:34, trusted.test=of 6 bytes \"va\\x00lue\"\n    \
         there file of 9 bytes \"\\x00contents\", 4711 12:34\n+ /more: link to d, 0777 0:0\n"
    );
}
