use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;

/// Set for the process that only takes the lock and holds it.
const HOLD: &str = "MACHINE_CONFIG_TEST_HOLD";

fn root() -> (tempfile::TempDir, Root) {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::open(directory.path()).unwrap();
    (directory, root)
}

#[test]
fn nobody_has_written_at_first() {
    let (_directory, root) = root();
    assert_eq!(Standing::of(&root).unwrap(), Standing::Idle { generation: 0 });
    assert_eq!(holder(&root), None);
}

#[test]
fn the_second_is_told_who_is_first() {
    let (_directory, root) = root();
    let lock = Lock::acquire(&root, "apply").unwrap();
    let error = Lock::acquire(&root, "rollback").unwrap_err();
    let text = error.to_string();
    let LockError::Held(Some(holder)) = error else {
        panic!("{error:?}")
    };
    assert_eq!((holder.pid, holder.who.as_str()), (std::process::id(), "apply"));
    assert!(text.starts_with("apply (process "), "{text}");
    drop(lock);
    Lock::acquire(&root, "rollback").unwrap();
}

#[test]
fn a_writer_is_seen_and_so_is_one_that_came_and_went() {
    let (_directory, root) = root();
    for done in [2, 4, 6] {
        let lock = Lock::acquire(&root, "apply").unwrap();
        assert_eq!(Standing::of(&root).unwrap(), Standing::Writing);
        drop(lock);
        assert_eq!(Standing::of(&root).unwrap(), Standing::Idle { generation: done });
        assert_eq!(super::holder(&root), None);
    }
}

#[test]
fn looking_on_takes_no_lock() {
    let (directory, root) = root();
    drop(Lock::acquire(&root, "apply").unwrap());
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let looker = thread::spawn({
        let path = directory.path().to_owned();
        move || {
            let root = Root::open(&path).unwrap();
            let mut seen = 0;
            while stopped.try_recv().is_err() {
                Standing::of(&root).unwrap();
                seen += 1;
            }
            seen
        }
    });
    for _ in 0..500 {
        drop(Lock::acquire(&root, "apply").unwrap());
    }
    stop.send(()).unwrap();
    assert!(looker.join().unwrap() > 100);
}

/// Not a test of its own: the process that the next one starts and kills.
#[test]
fn holder_process() {
    let Some(path) = std::env::var_os(HOLD) else {
        return;
    };
    let root = Root::open(Path::new(&path)).unwrap();
    let _lock = Lock::acquire(&root, "apply").unwrap();
    println!("\nheld");
    loop {
        thread::park();
    }
}

#[test]
fn a_killed_writer_gives_the_lock_back_and_leaves_its_mark() {
    let (directory, root) = root();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "host::lock::tests::holder_process", "--nocapture"])
        .env(HOLD, directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let held = lines.map_while(Result::ok).any(|line| line == "held");
    let standing = Standing::of(&root);
    let refused = Lock::acquire(&root, "watch").map(drop);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(held, "the process ended without the lock");
    assert_eq!(standing.unwrap(), Standing::Writing);
    assert!(matches!(refused, Err(LockError::Held(Some(holder))) if holder.pid == child.id()));

    assert_eq!(Standing::of(&root).unwrap(), Standing::CutOff { generation: 1 });
    assert_eq!(super::holder(&root).map(|holder| holder.pid), Some(child.id()));
    let lock = Lock::acquire(&root, "recover").unwrap();
    assert_eq!(Standing::of(&root).unwrap(), Standing::Writing);
    drop(lock);
    assert_eq!(Standing::of(&root).unwrap(), Standing::Idle { generation: 4 });
}

#[test]
fn a_link_in_place_of_the_lock_is_not_followed() {
    let (directory, root) = root();
    std::fs::create_dir_all(directory.path().join("run/machine-config")).unwrap();
    let victim = directory.path().join("victim");
    std::fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, directory.path().join("run/machine-config/lock")).unwrap();
    let error = Lock::acquire(&root, "apply").unwrap_err();
    assert!(matches!(error, LockError::Unusable(_)), "{error:?}");
    assert_eq!(std::fs::read_to_string(victim).unwrap(), "precious");
}
