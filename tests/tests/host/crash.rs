//! Power cuts and kills on a real host: recovery runs by itself, before anything else needs the config.

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use e2e::machine::BOOT;
use serde_json::Value;

use crate::host::{Host, file, files};

/// Files of a config: so many that a cut hits the middle of it.
const FILES: usize = 1500;
/// Cuts, each a little later than the one before.
const CUTS: u32 = 8;

fn many(text: &str) -> Value {
    let list: Vec<_> = (0..FILES)
        .map(|index| file(&format!("/etc/many/{}/{index}", index % 7), text))
        .collect();
    files(&list)
}

/// What all the files say, if it is one thing.
fn says(host: &Host) -> Result<String> {
    let mut texts = BTreeSet::new();
    for index in 0..FILES {
        texts.insert(host.read(&format!("/etc/many/{}/{index}", index % 7))?);
    }
    let mut texts = texts.into_iter();
    match (texts.next(), texts.next()) {
        (Some(text), None) => Ok(text),
        (first, second) => bail!("a mix of {first:?} and {second:?}"),
    }
}

/// Cuts the power a moment after an apply has begun, and waits until the host has booted again.
fn cut_off_an_apply(host: &mut Host, name: &str, moment: Duration) -> Result<()> {
    let config = format!("/root/{name}.json");
    let apply = host.machine.spawn(
        &[
            "/usr/local/bin/machine-config-daemon",
            "apply",
            "--config",
            &config,
        ],
        &host.log,
    )?;
    thread::sleep(moment);
    host.machine.cut()?;
    drop(apply);
    host.machine.power_on()?;
    host.machine.wait_running(BOOT)?;
    Ok(())
}

/// That recovery has run by itself.
fn is_taken_up(host: &Host) -> Result<()> {
    let journal = host.machine.root().join("var/lib/machine-config/journal");
    ensure!(
        !journal.exists(),
        "nobody has taken up what was cut off; recovery says:\n{}",
        host.machine.succeed(&[
            "journalctl",
            "--no-pager",
            "--unit",
            "machine-config-recover.service"
        ])?
    );
    Ok(())
}

#[test]
#[ignore = "needs root and a machine image"]
fn after_a_power_cut_the_node_boots_with_the_old_config_or_the_new_one() -> Result<()> {
    let mut host = Host::start("cut")?;
    for name in ["one", "two"] {
        host.config(name, &many(name))?;
    }
    host.expect(&["apply", "--config", "/root/one.json"], 2)?;
    host.expect(&["apply", "--config", "/root/two.json"], 2)?;
    let mut seen = BTreeSet::new();
    for cut in 0..CUTS {
        let (from, to) = if says(&host)? == "one" {
            ("one", "two")
        } else {
            ("two", "one")
        };
        // The moment is the point of the test, so it is the one thing here that is a time.
        let moment = Duration::from_millis(150 + 120 * u64::from(cut));
        cut_off_an_apply(&mut host, to, moment)?;
        let text = says(&host)?;
        ensure!(text == from || text == to, "the files say {text}");
        ensure!(
            host.read("/etc/machine-config-daemon/currentconfig")?
                .contains(&format!("rendered-{text}")),
            "the record is not of what is there"
        );
        is_taken_up(&host)?;
        host.expect(&["verify", "--config", &format!("/root/{text}.json")], 0)?;
        seen.insert(text == from);
    }
    ensure!(seen.len() == 2, "all cuts led to the same side");
    let recovered = host
        .machine
        .property("machine-config-recover.service", "Result")?;
    ensure!(recovered == "success", "recovery ended with {recovered}");
    let kept = fs::read_dir(host.machine.root().join("etc/many/0"))?.filter_map(Result::ok);
    let left: Vec<_> = kept
        .map(|entry| entry.file_name())
        .filter(|name| name.as_encoded_bytes()[0] == b'.')
        .collect();
    ensure!(left.is_empty(), "{left:?} are left");
    Ok(())
}
