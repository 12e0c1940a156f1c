//! Cut off before and after every call, with a systemd to talk to: in the end the units are enabled, masked and running as the files say.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use machineconfig::plan::Action;
use tempfile::TempDir;

use super::execute;
use crate::act::{Acts, Services};
use crate::change::{Change, Contents, State};
use crate::host::command::Commands;
use crate::host::systemd::Systemd;
use crate::host::systemd::tests::fake::{Fake, Script};
use crate::host::{Op, Root, Tap, Traits};
use crate::journal::tests::begin;
use crate::recover::recover;
use crate::transaction::{Staged, Transaction};

const CONFIG: &str = "/etc/app.conf";
const ENABLED_BEFORE: &str = "/etc/systemd/system/basic.target.wants/app.service";
const ENABLED_AFTER: &str = "/etc/systemd/system/multi-user.target.wants/app.service";
const MASKED_AFTER: &str = "/etc/systemd/system/other.service";
/// Every how many points its recovery is cut off too, at all of its own.
const NESTED: usize = 9;
/// The least that counts as a proof.
const LEAST: u64 = 60;

/// Ends the process, as far as one can that the test is part of: at one point, from which on no call is made.
#[derive(Debug)]
struct Fatal {
    at: u64,
    seen: AtomicU64,
}

impl Fatal {
    fn at(at: u64) -> Arc<Self> {
        Arc::new(Self {
            at,
            seen: AtomicU64::new(0),
        })
    }

    fn pass(&self) {
        if self.seen.fetch_add(1, Ordering::Relaxed) >= self.at {
            // No message and no trace: it is what is to happen.
            resume_unwind(Box::new(()));
        }
    }
}

impl Tap for Fatal {
    fn before(&self, _: &Op<'_>) -> io::Result<()> {
        self.pass();
        Ok(())
    }

    fn after(&self, _: &Op<'_>) -> io::Result<()> {
        self.pass();
        Ok(())
    }
}

/// A host with a service that is to have another file, and to be enabled elsewhere.
struct Host {
    directory: TempDir,
    fake: Fake,
    systemd: Systemd,
}

impl Host {
    /// With a systemd that refuses the first so many jobs.
    fn new(refused: u32) -> Self {
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() {
            tempfile::tempdir_in(memory).unwrap()
        } else {
            tempfile::tempdir().unwrap()
        };
        let at = |path: &str| directory.path().join(path.trim_start_matches('/'));
        for link in [ENABLED_BEFORE, ENABLED_AFTER] {
            fs::create_dir_all(at(link).parent().unwrap()).unwrap();
        }
        fs::write(at(CONFIG), "old").unwrap();
        symlink("../app.service", at(ENABLED_BEFORE)).unwrap();
        let (fake, systemd) = Fake::start(Script {
            refused,
            reads: Some(at(CONFIG)),
            ..Script::default()
        });
        Self {
            directory,
            fake,
            systemd,
        }
    }

    /// Does `work` until a point, and says whether it came to its end.
    fn until(&self, point: u64, work: impl FnOnce(&Root, &Acts<'_>)) -> bool {
        let root = Root::open(self.directory.path())
            .unwrap()
            .with_tap(Fatal::at(point));
        let commands = Commands::new(self.directory.path()).unwrap();
        let acts = Acts {
            root: &root,
            commands: &commands,
            services: Services::Running(&self.systemd),
            boot_id: "",
        };
        catch_unwind(AssertUnwindSafe(|| work(&root, &acts))).is_ok()
    }

    fn is_link(&self, path: &str) -> bool {
        self.directory
            .path()
            .join(path.trim_start_matches('/'))
            .is_symlink()
    }

    /// What the file says, once everything else is as it.
    fn side(&self) -> String {
        let text = fs::read_to_string(self.directory.path().join(CONFIG.trim_start_matches('/'))).unwrap();
        let new = text == "new";
        assert_eq!(
            [ENABLED_BEFORE, ENABLED_AFTER, MASKED_AFTER].map(|link| self.is_link(link)),
            [!new, new, new],
            "the file is {text}"
        );
        let calls = self.fake.calls();
        // What the service, and systemd itself, have read last.
        for (call, of) in [("RestartUnit app.service", "the service"), ("Reload", "systemd")] {
            let last = calls.iter().rev().find(|made| made.starts_with(call));
            let read = last
                .and_then(|made| made.rsplit_once(" with "))
                .map_or("old", |(_, read)| read);
            assert_eq!(read, text, "what {of} has read: {calls:?}");
        }
        text
    }
}

/// To the new file and links.
fn transaction() -> Transaction {
    let traits = Traits {
        mode: 0o644,
        ..Traits::default()
    };
    let link = |target: &str| State::Link {
        target: target.into(),
    };
    let made = |target: &str| Staged::Link {
        target: target.into(),
        uid: 0,
        gid: 0,
    };
    let new = Contents::of(b"new".to_vec());
    let file = [State::file(b"old", &traits), new.state(&traits)];
    let contents = Staged::File {
        contents: new,
        traits,
    };
    let app = "../app.service";
    let changes = [
        (CONFIG, file, contents),
        (ENABLED_BEFORE, [link(app), State::Missing], Staged::Nothing),
        (ENABLED_AFTER, [State::Missing, link(app)], made(app)),
        (
            MASKED_AFTER,
            [State::Missing, link("/dev/null")],
            made("/dev/null"),
        ),
    ];
    let mut begin = begin();
    begin.plan.actions = vec![
        Action::DaemonReload,
        Action::Restart {
            service: "app.service".to_owned(),
        },
    ];
    begin.file_systems = vec![PathBuf::from("/etc")];
    let mut staged = Vec::new();
    for (path, [old, new], stage) in changes {
        let path = PathBuf::from(path);
        let name = path.file_name().unwrap().to_str().unwrap();
        let aside = path.with_file_name(format!(".{name}.mc-0123"));
        begin.changes.push(Change {
            path,
            aside,
            old,
            new,
        });
        staged.push(stage);
    }
    Transaction {
        begin,
        staged,
        warnings: Vec::new(),
    }
}

/// Cuts an apply off at each point in turn, and some recoveries; gives on which sides that ended, and how often it was done.
fn cut_everywhere(refused: u32) -> (Vec<String>, u64) {
    let transaction = transaction();
    let apply = |root: &Root, acts: &Acts<'_>| {
        let _ = execute(root, acts, &transaction);
    };
    let take_up = |root: &Root, acts: &Acts<'_>| {
        recover(root, acts, "").unwrap();
    };
    let (mut sides, mut cuts) = (Vec::new(), 0);
    for point in 0.. {
        let nested = if point % NESTED as u64 == 0 { u64::MAX } else { 1 };
        let mut ended = false;
        for cut in 0..nested {
            let host = Host::new(refused);
            ended = host.until(point, apply);
            // The last is not cut off; most are not at all.
            let recovered = nested > 1 && host.until(cut, take_up);
            assert!(host.until(u64::MAX, take_up), "nothing cuts this one off");
            let side = host.side();
            if !sides.contains(&side) {
                sides.push(side);
            }
            cuts += 1;
            if recovered {
                break;
            }
        }
        if ended {
            break;
        }
    }
    (sides, cuts)
}

#[test]
fn units_are_as_the_files_wherever_a_change_is_cut_off() {
    let (sides, cuts) = cut_everywhere(0);
    assert_eq!(sides, ["old", "new"]);
    assert!(cuts >= LEAST, "only {cuts} were cut off");
}

#[test]
fn units_are_as_the_files_wherever_a_change_that_fails_is_cut_off() {
    let (sides, cuts) = cut_everywhere(1);
    // Cut off between the refusal and its record, the next attempt succeeds.
    assert!(sides.contains(&"old".to_owned()), "{sides:?}");
    assert!(cuts >= LEAST, "only {cuts} were cut off");
}
