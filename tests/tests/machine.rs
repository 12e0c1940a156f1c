//! Holds the machines that other tests boot to their word. They need root and an image; `cargo xtask test` provides both.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use e2e::machine::{BOOT, COMMAND, Health, Image, Machine};
use e2e::program::{Background, Ran, run, wait_for};

/// Boots a machine of its own for one test.
fn machine(name: &str) -> Result<Machine> {
    Machine::start(&Image::provide()?, name)
}

/// Every place of the host where something of a machine could be left, with what is there of the machine `id`.
fn traces(id: &str) -> Result<BTreeSet<&'static str>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc")? {
        let process = entry?.path();
        // Processes end while we look. One that has ended, and whose parent was killed, is the host's to bury when it likes.
        let status = fs::read_to_string(process.join("status")).unwrap_or_default();
        if status.contains("State:\tZ") {
            continue;
        }
        let cgroups = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
        let command = fs::read(process.join("cmdline")).unwrap_or_default();
        let is_process = process
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit());
        if is_process && named(&cgroups, id) {
            found.insert("processes");
        }
        if is_process && named(&String::from_utf8_lossy(&command), id) {
            found.insert("commands");
        }
    }
    let cgroups = run(
        Command::new("find").args(["/sys/fs/cgroup", "-name", id]),
        COMMAND,
    )?;
    let namespaces = run(Command::new("ip").args(["netns", "list"]), COMMAND)?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    for (place, text) in [
        ("cgroups", &cgroups.stdout),
        ("network namespaces", &namespaces.stdout),
        ("mounts", &mounts),
    ] {
        if named(text, id) {
            found.insert(place);
        }
    }
    if Path::new("/run/systemd/nspawn/propagate").join(id).exists() {
        found.insert("nspawn");
    }
    Ok(found)
}

/// Whether a text has `id` as a whole word: `x-1` is not in `x-12`.
fn named(text: &str, id: &str) -> bool {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .any(|word| word == id)
}

/// The files in which systemd-nspawn notes that a root is in use.
fn locks() -> BTreeSet<String> {
    let entries = fs::read_dir("/run/systemd/nspawn/locks")
        .into_iter()
        .flatten()
        .flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// The lock of a machine's root, by the name that systemd-nspawn gives it.
fn lock(machine: &Machine) -> Result<String> {
    let stat = run(
        Command::new("stat")
            .args(["--format", "inode-%d:%i"])
            .arg(machine.root()),
        COMMAND,
    )?;
    Ok(stat.stdout.trim().to_owned())
}

#[test]
#[ignore = "needs root and a machine image"]
fn a_machine_boots_without_a_failed_unit() -> Result<()> {
    let machine = Machine::create(&Image::provide()?, "boots")?;
    assert!(machine.boot_id().is_err(), "it is off");
    // What is put into the root before the first boot takes part in it.
    let units = machine.root().join("etc/systemd/system");
    fs::write(
        units.join("early.service"),
        "[Service]\nType=oneshot\nExecStart=touch /var/early\n[Install]\nWantedBy=multi-user.target\n",
    )?;
    fs::create_dir_all(machine.root().join("etc/systemd/system-preset"))?;
    fs::write(
        machine.root().join("etc/systemd/system-preset/00-early.preset"),
        "enable early.service\n",
    )?;
    let mut machine = machine;
    machine.power_on()?;
    let health = machine.wait_running(BOOT)?;
    let failed = machine.succeed(&["systemctl", "--failed", "--plain", "--no-legend"])?;
    assert_eq!((health, failed.as_str()), (Health::Running, ""));
    assert!(machine.root().join("var/early").exists());
    assert_eq!(machine.succeed(&["ps", "-p", "1", "-o", "comm="])?, "systemd");
    assert_eq!(machine.succeed(&["hostname"])?, "boots");
    assert!(machine.power_on().is_err(), "it is on already");
    Ok(())
}

#[test]
#[ignore = "needs root and a machine image"]
fn a_failed_unit_makes_a_machine_degraded() -> Result<()> {
    let mut machine = Machine::create(&Image::provide()?, "degraded")?;
    let chrony = machine.root().join("etc/systemd/system/chrony.service.d");
    fs::create_dir_all(&chrony)?;
    fs::write(chrony.join("fail.conf"), "[Service]\nExecStartPre=false\n")?;
    machine.power_on()?;
    assert_eq!(machine.wait_running(BOOT)?, Health::Degraded);
    Ok(())
}

#[test]
#[ignore = "needs root and a machine image"]
fn a_program_inside_gives_its_streams_and_its_exit_code() -> Result<()> {
    let machine = machine("exec")?;
    let Ran { code, stdout, stderr } = machine.run(&["sh", "-c", "echo out; echo err >&2; exit 7"])?;
    assert_eq!(
        (code, stdout.as_str(), stderr.as_str()),
        (Some(7), "out\n", "err\n")
    );
    assert_eq!(machine.run(&["no-such-program"])?.code, Some(127));
    assert!(machine.succeed(&["false"]).is_err());
    // It is in the machine's namespaces, all of them.
    for kind in ["mnt", "uts", "ipc", "net", "pid", "cgroup"] {
        let of = |pid: &str| machine.succeed(&["readlink", &format!("/proc/{pid}/ns/{kind}")]);
        let outside = fs::read_link(format!("/proc/self/ns/{kind}"))?;
        let inside = of("self")?;
        assert_eq!(inside, of("1")?, "{kind}");
        assert_ne!(inside, outside.to_string_lossy(), "{kind}");
    }
    // Nothing of the test's own environment reaches it.
    let environment = machine.succeed(&["env"])?;
    assert!(!environment.contains("CARGO"), "{environment}");
    // What runs in the background ends with its value, inside too.
    let background = machine.spawn(&["sleep", "54321"], &machine.root().join("spawn.log"))?;
    wait_for("the program", COMMAND, || {
        Ok(machine
            .run(&["pgrep", "-f", "^sleep 54321"])?
            .code
            .filter(|code| *code == 0))
    })?;
    drop(background);
    gone(&machine, "sleep 54321")?;
    // What takes too long is ended likewise.
    assert!(
        machine
            .run_within(&["sleep", "12345"], Duration::from_millis(200))
            .is_err()
    );
    gone(&machine, "sleep 12345")
}

/// Waits until no process inside has that command line.
fn gone(machine: &Machine, command: &str) -> Result<()> {
    let pattern = format!("^{command}");
    wait_for(&format!("the end of {command}"), COMMAND, || {
        Ok(machine
            .run(&["pgrep", "-f", &pattern])?
            .code
            .filter(|code| *code == 1))
    })?;
    Ok(())
}

#[test]
#[ignore = "needs root and a machine image"]
fn services_reload_and_restart() -> Result<()> {
    let machine = machine("services")?;
    for unit in ["ssh.service", "chrony.service"] {
        let before = machine.property(unit, "InvocationID")?;
        assert_eq!(machine.property(unit, "ActiveState")?, "active", "{unit}");
        machine.succeed(&["systemctl", "restart", unit])?;
        assert_eq!(machine.property(unit, "ActiveState")?, "active", "{unit}");
        assert_ne!(machine.property(unit, "InvocationID")?, before, "{unit}");
    }
    let before = machine.property("ssh.service", "InvocationID")?;
    machine.succeed(&["systemctl", "reload", "ssh.service"])?;
    assert_eq!(machine.property("ssh.service", "InvocationID")?, before);
    let journal = machine.journal()?;
    assert!(journal.contains("Reloaded ssh.service"), "{journal}");
    // The names that other distributions have for them.
    for alias in ["sshd.service", "chronyd.service"] {
        assert_eq!(machine.property(alias, "ActiveState")?, "active", "{alias}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and a machine image"]
fn a_reboot_gives_a_new_boot_id_and_keeps_files_and_journal() -> Result<()> {
    let machine = machine("reboots")?;
    let first = machine.boot_id()?;
    machine.succeed(&[
        "sh",
        "-c",
        "echo kept > /var/kept; echo lost > /run/lost; logger spoken-before",
    ])?;
    assert!(machine.inside("/run/lost")?.exists());
    let id = machine.succeed(&["cat", "/etc/machine-id"])?;
    let second = machine.reboot_and_wait(BOOT)?;
    assert_ne!(first, second);
    assert_eq!(
        machine.succeed(&["cat", "/proc/sys/kernel/random/boot_id"])?,
        second
    );
    assert_eq!(machine.succeed(&["cat", "/var/kept"])?, "kept");
    assert!(!machine.inside("/run/lost")?.exists());
    assert_eq!(machine.succeed(&["cat", "/etc/machine-id"])?, id);
    // A hard one, which stops nothing, and by somebody else than the test.
    machine.succeed(&["systemd-run", "systemctl", "reboot", "--force", "--force"])?;
    let third = machine.wait_reboot(&second, BOOT)?;
    assert!(third != first && third != second);
    let journal = machine.journal()?;
    assert!(journal.contains("spoken-before"), "{journal}");
    assert_eq!(
        machine
            .succeed(&["journalctl", "--list-boots", "--quiet", "--no-pager"])?
            .lines()
            .count(),
        3
    );
    Ok(())
}

#[test]
#[ignore = "needs root and a machine image"]
fn a_power_cut_stops_nothing_in_order_and_keeps_files() -> Result<()> {
    let mut machine = machine("cut")?;
    let first = machine.boot_id()?;
    machine.succeed(&[
        "systemd-run",
        "--unit=witness",
        "sh",
        "-c",
        "trap 'echo > /var/stopped; exit' TERM; while :; do sleep 0.1; done",
    ])?;
    machine.succeed(&["sh", "-c", "echo kept > /etc/kept"])?;
    machine.cut()?;
    assert!(
        machine.run(&["true"]).is_err() && machine.cut().is_err(),
        "it is off"
    );
    assert_eq!(fs::read_to_string(machine.root().join("etc/kept"))?, "kept\n");
    // What the host changes meanwhile is there at the next boot.
    fs::write(machine.root().join("etc/changed"), "outside\n")?;
    machine.power_on()?;
    machine.wait_running(BOOT)?;
    assert_ne!(machine.boot_id()?, first);
    assert_eq!(
        machine.succeed(&["cat", "/etc/kept", "/etc/changed"])?,
        "kept\noutside"
    );
    assert!(
        !machine.root().join("var/stopped").exists(),
        "its services were stopped"
    );
    // The same with a shutdown in order: so the witness above would have spoken.
    machine.succeed(&[
        "systemd-run",
        "--unit=witness",
        "sh",
        "-c",
        "trap 'echo > /var/stopped; exit' TERM; while :; do sleep 0.1; done",
    ])?;
    wait_for("the trap", COMMAND, || {
        Ok(machine
            .run(&["pgrep", "-f", "^sleep 0.1"])?
            .code
            .filter(|code| *code == 0))
    })?;
    machine.power_off()?;
    assert!(machine.root().join("var/stopped").exists());
    assert!(
        machine.journal()?.contains("witness"),
        "the journal is there when the machine is off"
    );
    Ok(())
}

#[test]
#[ignore = "needs root and a machine image"]
fn a_cut_ends_a_machine_in_any_phase_of_a_boot() -> Result<()> {
    let mut machine = Machine::create(&Image::provide()?, "phases")?;
    for milliseconds in [0, 20, 60, 120, 250, 500] {
        machine.power_on()?;
        // Not to wait for something: the moment of the cut is what is varied.
        thread::sleep(Duration::from_millis(milliseconds));
        machine
            .cut()
            .with_context(|| format!("after {milliseconds} ms"))?;
        assert!(
            !traces(machine.id())?.contains("processes"),
            "after {milliseconds} ms"
        );
    }
    machine.power_on()?;
    machine.wait_running(BOOT)?;
    Ok(())
}

#[test]
#[ignore = "needs root and a machine image"]
fn the_user_core_and_installed_programs_are_there() -> Result<()> {
    let machine = machine("core")?;
    assert_eq!(machine.succeed(&["id", "-u", "core"])?, "1000");
    assert_eq!(
        machine.succeed(&["stat", "-c", "%U %F", "/home/core"])?,
        "core directory"
    );
    let script = tempfile::NamedTempFile::new()?;
    fs::write(&script, "#!/bin/sh\necho installed\n")?;
    let path = machine.install_program(script.path())?;
    assert_eq!(machine.succeed(&[&path])?, "installed");
    let mode = fs::metadata(machine.root().join(path.trim_start_matches('/')))?
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o755);
    // One of ours, with the libraries of the image.
    let own = machine.install_program(Path::new(env!("CARGO_BIN_EXE_machine")))?;
    assert_eq!(machine.run(&[&own, "--help"])?.code, Some(0));
    Ok(())
}

#[test]
#[ignore = "needs root and a machine image"]
fn the_system_bus_is_reached_from_the_host() -> Result<()> {
    let machine = machine("bus")?;
    let mut call = Command::new("busctl");
    call.arg(format!("--address=unix:path={}", machine.bus()?.display()));
    call.args(["call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1"]);
    call.args(["org.freedesktop.systemd1.Manager", "GetUnit", "s", "ssh.service"]);
    let ran = run(&mut call, COMMAND)?;
    assert_eq!(
        ran.stdout,
        "o \"/org/freedesktop/systemd1/unit/ssh_2eservice\"\n",
        "{}",
        ran.all()
    );
    Ok(())
}

#[test]
#[ignore = "needs root and a machine image"]
fn the_test_listens_in_the_network_of_the_machine_alone() -> Result<()> {
    let machine = machine("network")?;
    let listener = machine.listen(([127, 0, 0, 1], 0).into())?;
    let address = listener.local_addr()?;
    assert!(
        TcpStream::connect(address).is_err(),
        "it is reached from the host"
    );
    let server = thread::spawn(move || -> Result<Vec<String>> {
        let mut heard = Vec::new();
        for stream in listener.incoming().take(2) {
            let mut stream = stream?;
            stream.set_read_timeout(Some(COMMAND))?;
            let mut word = [0; 5];
            stream.read_exact(&mut word)?;
            stream.write_all(b"heard\n")?;
            heard.push(String::from_utf8_lossy(&word).into_owned());
        }
        Ok(heard)
    });
    let script = |word: &str| {
        let port = address.port();
        format!("exec 3<>/dev/tcp/127.0.0.1/{port}; echo {word} >&3; head -1 <&3")
    };
    assert_eq!(machine.succeed(&["bash", "-c", &script("first")])?, "heard");
    machine.reboot_and_wait(BOOT)?;
    assert_eq!(machine.succeed(&["bash", "-c", &script("again")])?, "heard");
    let heard = server.join().expect("the server does not panic")?;
    assert_eq!(heard, ["first", "again"]);
    Ok(())
}

#[test]
#[ignore = "needs root and a machine image"]
fn nothing_is_left_of_a_machine() -> Result<()> {
    let everything = BTreeSet::from([
        "cgroups",
        "commands",
        "network namespaces",
        "nspawn",
        "processes",
        "mounts",
    ]);
    let kept = machine("leaves")?;
    let (id, root, own) = (kept.id().to_owned(), kept.root().to_owned(), lock(&kept)?);
    // So each of the looks below would find something.
    assert_eq!(traces(&id)?, everything);
    assert!(locks().contains(&own), "{own}");
    drop(kept);
    assert_eq!(traces(&id)?, BTreeSet::new());
    assert!(!root.parent().context("a directory of its own")?.exists());
    assert!(!locks().contains(&own), "{own}");

    // The same when the test panics.
    let (tell, told) = std::sync::mpsc::channel();
    let panicked = thread::spawn(move || {
        let machine = machine("panics").expect("it boots");
        tell.send(machine.id().to_owned()).expect("the test listens");
        panic!("on purpose");
    });
    let id = told.recv_timeout(BOOT)?;
    assert!(panicked.join().is_err());
    assert_eq!(traces(&id)?, BTreeSet::new());
    Ok(())
}

#[test]
#[ignore = "needs root and a machine image"]
fn what_a_killed_run_leaves_is_cleaned_by_the_next() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_machine"));
    let mut other = Background::start(command.args(["run", "sleep", "1000"]), &dir.path().join("log"))?;
    let (id, root) = wait_for("the other run's machine", BOOT, || {
        other.check()?;
        let log = other.log();
        let words: Vec<&str> = log.split_whitespace().collect();
        Ok(match words[..] {
            [id, "is", "up,", "its", "root", "is", root] => Some((id.to_owned(), root.to_owned())),
            _ => None,
        })
    })?;
    // While its owner lives, nobody touches it.
    drop(Machine::create(&Image::provide()?, "first")?);
    assert!(traces(&id)?.contains("processes") && Path::new(&root).join("etc").exists());
    let killed = run(
        Command::new("kill").args(["-KILL", &other.id().to_string()]),
        COMMAND,
    )?;
    if killed.code != Some(0) {
        bail!("could not kill the other run: {}", killed.all());
    }
    drop(other);
    assert!(Path::new(&root).exists());
    let _next = Machine::create(&Image::provide()?, "next")?;
    assert_eq!(traces(&id)?, BTreeSet::new());
    assert!(!Path::new(&root).exists());
    Ok(())
}
