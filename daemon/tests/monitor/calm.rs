//! What is no drift is not told, whatever else happens on a node.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::node::{Node, config};

/// A generator of numbers that look random, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[test]
fn a_touched_file_is_no_drift() {
    let node = Node::new();
    let mut watch = node.watch();
    for path in ["etc/app/one.conf", "etc/secret", "etc/systemd/system/a.service"] {
        let file = File::options().write(true).open(node.at(path)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        // Written again with the same.
        let text = fs::read_to_string(node.at(path)).unwrap();
        let mode = fs::metadata(node.at(path)).unwrap().permissions().mode() & 0o777;
        node.write_mode(path, &text, mode);
    }
    watch.settled(&node);
    assert_eq!(watch.told(), [] as [Value; 0]);
}

#[test]
fn ten_thousand_operations_on_neighbours_are_no_drift() {
    let node = Node::new();
    let mut watch = node.watch();
    let mut numbers = Numbers(4711);
    let directories = [
        "etc",
        "etc/app",
        "etc/app/deep",
        "etc/app/deep/er",
        "srv",
        "etc/systemd/system",
        "etc/systemd/system/multi-user.target.wants",
        "home/core/.ssh/authorized_keys.d",
        "etc/machine-config-daemon",
        "",
    ];
    for _ in 0..10_000 {
        let directory = directories[usize::try_from(numbers.below(10)).unwrap()];
        let path = |number: u64| {
            let suffix = ["", ".conf", ".service", ".bak"][usize::try_from(number % 4).unwrap()];
            node.at(&format!("{directory}/neighbour-{number}{suffix}"))
        };
        let at = path(numbers.below(20));
        // What fails for want of a file is an operation too.
        let _ = match numbers.below(6) {
            0 | 1 => fs::write(&at, numbers.below(1 << 20).to_string()),
            2 => fs::remove_file(&at),
            3 => fs::rename(&at, path(numbers.below(20))),
            4 => fs::set_permissions(&at, fs::Permissions::from_mode(0o600)),
            _ => std::os::unix::fs::symlink("nowhere", &at),
        };
    }
    watch.settled(&node);
    assert_eq!(watch.told(), [] as [Value; 0]);
}

#[test]
fn fifty_applies_are_no_drift() {
    let node = Node::new();
    let mut watch = node.watch();
    for round in 2..52 {
        node.apply(&config(&format!("rendered-worker-{round}"), &round.to_string()));
        // Some right after the other, some after a look.
        if round % 3 == 1 {
            let name = format!("rendered-worker-{round}");
            watch.expect(&format!("a look at {name}"), |event| {
                event["event"] == "reloaded" && event["config"] == name.as_str()
            });
        }
    }
    watch.expect("the last config", |event| {
        event["event"] == "reloaded" && event["config"] == "rendered-worker-51"
    });
    watch.settled(&node);
    let mut told = watch.told();
    told.retain(|event| event["event"] != "reloaded");
    assert_eq!(told, [] as [Value; 0]);
    // And it still sees.
    fs::write(node.at("srv/data"), "x").unwrap();
    watch.one("/srv/data", "content");
}

#[test]
fn a_storm_beside_costs_little_and_hides_nothing() {
    let node = Node::new();
    let mut watch = node.watch();
    let start = Instant::now();
    let before = processor_time(watch.id());
    let writes = 5000;
    for write in 0..writes {
        fs::write(node.at("etc/app/neighbour"), write.to_string()).unwrap();
    }
    fs::write(node.at("etc/app/one.conf"), "in the storm\n").unwrap();
    watch.one("/etc/app/one.conf", "content");
    let took = processor_time(watch.id()).saturating_sub(before);
    assert!(
        took < start.elapsed() / 2,
        "{writes} writes took {took:?} of {:?}",
        start.elapsed()
    );
    let told = watch.told();
    assert!(told.iter().all(|event| event["event"] == "overflow"), "{told:#?}");
}

#[test]
fn lost_notices_lead_to_a_comparison_of_everything() {
    let node = Node::new();
    let mut watch = node.watch();
    let queue: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    signal(watch.id(), rustix::process::Signal::STOP);
    // Two names in turn, or equal notices would become one.
    for round in 0..queue {
        fs::write(node.at(&format!("etc/app/neighbour-{}", round % 2)), "x").unwrap();
    }
    // The notices of these are lost.
    fs::write(node.at("srv/data"), "lost\n").unwrap();
    fs::rename(node.at("etc/app"), node.at("etc/moved")).unwrap();
    signal(watch.id(), rustix::process::Signal::CONT);
    watch.expect("an overflow", |event| event["event"] == "overflow");
    watch.one("/etc/app/one.conf", "missing");
    watch.one("/srv/data", "content");
    // What has moved is watched where it is now.
    fs::rename(node.at("etc/moved"), node.at("etc/app")).unwrap();
    watch.resolved("/etc/app/one.conf");
}

fn signal(process: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// How long a process has run on a processor.
fn processor_time(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second()).unwrap()
}
