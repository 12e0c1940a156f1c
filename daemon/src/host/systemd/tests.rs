pub(crate) mod fake;

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use fake::{FAILED, Fake, Job, LIMITS, Moment, RUNNING, Script};

use super::*;

fn with_job(job: Job) -> Script {
    Script {
        job,
        ..Script::default()
    }
}

fn with_moments(moments: &[Moment]) -> Script {
    // The first is passed by whoever looks first.
    let moments = std::iter::once(RUNNING).chain(moments.iter().copied()).collect();
    Script {
        moments,
        ..Script::default()
    }
}

fn message(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[test]
fn every_verb_is_its_method_and_waits_for_the_result() {
    for (verb, method) in [
        (Verb::Start, "StartUnit"),
        (Verb::Stop, "StopUnit"),
        (Verb::Restart, "RestartUnit"),
        (Verb::Reload, "ReloadUnit"),
        (Verb::TryRestart, "TryRestartUnit"),
        (Verb::ReloadOrTryRestart, "ReloadOrTryRestartUnit"),
    ] {
        let (fake, systemd) = Fake::start(Script::default());
        systemd.run(verb, "crio.service").unwrap();
        assert_eq!(
            fake.calls(),
            ["Subscribe".to_owned(), format!("{method} crio.service replace")]
        );

        let (_fake, systemd) = Fake::start(with_job(Job::Ends("failed")));
        let failed = systemd.run(verb, "crio.service").unwrap_err();
        assert!(
            matches!(
                &failed,
                UnitFailed::Job {
                    result: JobResult::Failed,
                    ..
                }
            ),
            "{failed:?}"
        );
    }
}

#[test]
fn a_result_that_is_no_success_is_told_with_the_state_of_the_unit() {
    for (result, fails) in [
        ("done", false),
        ("skipped", false),
        ("canceled", true),
        ("timeout", true),
        ("failed", true),
        ("dependency", true),
        ("once", true),
    ] {
        let (_fake, systemd) = Fake::start(with_job(Job::Ends(result)));
        assert_eq!(systemd.restart("a.service").is_err(), fails, "{result}");
    }
    let script = Script {
        job: Job::Ends("failed"),
        ..with_moments(&[FAILED])
    };
    let (_fake, systemd) = Fake::start(script);
    let failed = systemd.restart("a.service").unwrap_err();
    assert_eq!(
        message(&failed),
        "cannot restart a.service: the job ended with failed; the unit is failed (failed), result exit-code, its program \
         ended with status 3"
    );
    assert_eq!(failed.code(), machineconfig::Code::UNIT_FAILED);
}

#[test]
fn a_job_that_ends_before_the_answer_is_not_missed() {
    let (_fake, systemd) = Fake::start(with_job(Job::EndsFirst("done")));
    systemd.restart("a.service").unwrap();
    let (_fake, systemd) = Fake::start(with_job(Job::EndsFirst("timeout")));
    let failed = systemd.restart("a.service").unwrap_err();
    assert!(matches!(
        failed,
        UnitFailed::Job {
            result: JobResult::Timeout,
            ..
        }
    ));
}

#[test]
fn the_ends_of_other_jobs_say_nothing_about_ours_however_many_they_are() {
    // More than a queue of signals holds.
    for job in [
        Job::EndsAfter(500, "done"),
        Job::EndsFirstAfter(500, "done"),
        Job::EndsAfter(5, "done"),
    ] {
        let (_fake, systemd) = Fake::start(with_job(job));
        systemd.restart("a.service").unwrap();
    }
    let (_fake, systemd) = Fake::start(with_job(Job::EndsFirstAfter(5, "dependency")));
    let failed = systemd.restart("a.service").unwrap_err();
    assert!(matches!(
        failed,
        UnitFailed::Job {
            result: JobResult::Dependency,
            ..
        }
    ));
}

#[test]
fn a_job_that_never_ends_is_given_up_at_the_deadline() {
    let limits = Limits {
        job: Duration::from_millis(200),
        ..LIMITS
    };
    let (_fake, systemd) = Fake::start_with(with_job(Job::NeverEnds), limits);
    let failed = systemd.start("a.service").unwrap_err();
    assert_eq!(
        message(&failed),
        "cannot start a.service: no result within 0.2 s; the unit is active (running), result success"
    );
}

#[test]
fn a_systemd_that_goes_away_is_an_error_at_once() {
    for job in [Job::HangsUp, Job::HangsUpLater] {
        let (_fake, systemd) = Fake::start(with_job(job));
        let failed = systemd.restart("a.service").unwrap_err();
        assert!(
            matches!(
                &failed,
                UnitFailed::Bus {
                    source: BusError::Lost { .. },
                    ..
                }
            ),
            "{failed:?}"
        );
        assert_eq!(failed.code(), machineconfig::Code::SYSTEMD_UNREACHABLE);
        assert!(matches!(systemd.reload_manager(), Err(BusError::Lost { .. })));
    }
}

#[test]
fn a_refusal_says_why() {
    let (_fake, systemd) = Fake::start(with_job(Job::Refused));
    let failed = systemd.restart("a.service").unwrap_err();
    let text = message(&failed);
    assert!(
        text.starts_with("cannot restart a.service: RestartUnit was refused: "),
        "{text}"
    );
    assert!(text.contains("not today"), "{text}");
    assert_eq!(failed.code(), machineconfig::Code::SYSTEMD_REFUSED);
}

#[test]
fn a_unit_that_fails_once_its_job_is_done_has_failed() {
    let (_fake, systemd) = Fake::start(with_moments(&[RUNNING, RUNNING, FAILED]));
    let failed = systemd.start("a.service").unwrap_err();
    assert_eq!(
        message(&failed),
        "start of a.service did not last: it failed; the unit is failed (failed), result exit-code, its program ended with \
         status 3"
    );
}

#[test]
fn a_unit_that_systemd_starts_again_and_again_has_failed() {
    let waiting = Moment {
        active: "activating",
        sub: "auto-restart",
        ..FAILED
    };
    // As it looks when only its counter tells.
    let again = Moment {
        restarts: 5,
        ..RUNNING
    };
    for moments in [
        &[waiting][..],
        &[RUNNING, waiting],
        &[
            Moment {
                restarts: 4,
                ..RUNNING
            },
            again,
        ],
    ] {
        let (_fake, systemd) = Fake::start(with_moments(moments));
        let failed = systemd.restart("a.service").unwrap_err();
        assert!(
            matches!(
                &failed,
                UnitFailed::Died {
                    how: Died::Restarting,
                    ..
                }
            ),
            "{failed:?}"
        );
    }
}

#[test]
fn a_unit_that_ends_well_or_was_restarted_long_ago_has_not_failed() {
    let ended = Moment {
        active: "inactive",
        sub: "dead",
        ..RUNNING
    };
    let remains = Moment {
        sub: "exited",
        ..RUNNING
    };
    // A loop that is meant to be one: Restart=always of a program that ends well.
    let again = Moment {
        active: "activating",
        sub: "auto-restart",
        ..RUNNING
    };
    let before = Moment {
        restarts: 57,
        ..RUNNING
    };
    for moment in [ended, remains, again, before] {
        let (_fake, systemd) = Fake::start(with_moments(&[moment]));
        systemd.restart("a.service").unwrap();
    }
}

#[test]
fn a_unit_that_has_to_stay_up_is_watched_as_long_as_that() {
    let limits = Limits {
        settle: Duration::from_millis(300),
        ..LIMITS
    };
    let (_fake, systemd) = Fake::start_with(Script::default(), limits);
    let before = Instant::now();
    systemd.start("a.service").unwrap();
    assert!(before.elapsed() >= limits.settle);
}

#[test]
fn what_failed_before_is_no_failure_of_a_verb_that_leaves_it_alone() {
    for verb in [Verb::TryRestart, Verb::ReloadOrTryRestart] {
        let (_fake, systemd) = Fake::start(with_moments(&[FAILED]));
        systemd.run(verb, "a.service").unwrap();
        let (_fake, systemd) = Fake::start(with_moments(&[RUNNING, FAILED]));
        systemd.run(verb, "a.service").unwrap_err();
    }
    let (_fake, systemd) = Fake::start(with_moments(&[FAILED]));
    systemd.stop("a.service").unwrap();
}

#[test]
fn a_queued_job_is_not_waited_for() {
    let (fake, systemd) = Fake::start(with_job(Job::NeverEnds));
    systemd.queue(Verb::TryRestart, "a.service").unwrap();
    assert_eq!(fake.calls(), ["Subscribe", "TryRestartUnit a.service replace"]);
    systemd.queue(Verb::Start, "a").unwrap_err();
    assert_eq!(fake.calls().len(), 2);
}

#[test]
fn what_is_no_name_of_a_unit_never_goes_out() {
    let (fake, systemd) = Fake::start(Script::default());
    for name in [
        "",
        "a",
        "../a.service",
        "a b.service",
        "a/b.service",
        "a.service\n",
    ] {
        assert!(systemd.restart(name).is_err(), "{name}");
        assert!(systemd.state(name).is_err(), "{name}");
        for change in [
            Systemd::enable,
            Systemd::disable,
            Systemd::mask,
            Systemd::unmask,
            Systemd::preset,
        ] {
            let refused = change(&systemd, &["good.service", name]);
            assert!(matches!(refused, Err(BusError::UnitName(_))), "{name}");
        }
        assert_eq!(systemd.unit_file_state(name).unwrap(), FileState::Bad, "{name}");
    }
    assert_eq!(fake.calls(), ["Subscribe"]);
}

#[test]
fn unit_files_are_changed_in_one_call_each() {
    let (fake, systemd) = Fake::start(Script::default());
    let units = ["a.service", "b.timer"];
    systemd.enable(&units).unwrap();
    systemd.disable(&units).unwrap();
    systemd.mask(&units).unwrap();
    systemd.unmask(&units).unwrap();
    systemd.preset(&units).unwrap();
    systemd.reload_manager().unwrap();
    assert_eq!(
        fake.calls(),
        [
            "Subscribe",
            "EnableUnitFiles a.service b.timer false true",
            "DisableUnitFiles a.service b.timer false",
            "MaskUnitFiles a.service b.timer false false",
            "UnmaskUnitFiles a.service b.timer false",
            "PresetUnitFiles a.service b.timer false true",
            "Reload",
        ]
    );
}

#[test]
fn questions_are_answered() {
    let (fake, systemd) = Fake::start(Script::default());
    assert_eq!(systemd.active_state("a.service").unwrap(), ActiveState::Active);
    assert_eq!(
        systemd.invocation_id("a.service").unwrap().as_deref(),
        Some("000102030405060708090a0b0c0d0e0f")
    );
    assert_eq!(systemd.failed_units().unwrap(), ["a.mount", "z.service"]);
    assert_eq!(systemd.unit_file_state("a.service").unwrap(), FileState::Enabled);
    fake.script().file_state = Some("masked-runtime");
    assert_eq!(
        systemd.unit_file_state("a.service").unwrap(),
        FileState::MaskedRuntime
    );
    fake.script().file_state = None;
    assert_eq!(systemd.unit_file_state("a.service").unwrap(), FileState::NotFound);
    fake.script().file_state = Some("upside-down");
    assert!(matches!(
        systemd.unit_file_state("a.service"),
        Err(BusError::Answer { .. })
    ));
}

#[test]
fn an_inhibitor_holds_until_it_is_dropped() {
    let (fake, systemd) = Fake::start(Script::default());
    let inhibitor = systemd.inhibit("applies rendered-worker-1").unwrap();
    assert_eq!(
        fake.calls()[1..],
        ["Inhibit shutdown:sleep machine-config-daemon applies rendered-worker-1 block"]
    );
    assert!(fake.is_inhibited());
    drop(inhibitor);
    fake.wait_for_release();

    let (_fake, systemd) = Fake::start(Script {
        with_logind: false,
        ..Script::default()
    });
    assert!(systemd.inhibit("x").is_err());
}

#[test]
fn a_reboot_goes_to_logind_with_its_reason_and_without_one_to_the_manager() {
    let (fake, systemd) = Fake::start(Script::default());
    systemd.reboot("new kernel arguments").unwrap();
    assert_eq!(
        fake.calls()[1..],
        ["SetWallMessage new kernel arguments true", "RebootWithFlags 0"]
    );

    let (fake, systemd) = Fake::start(Script {
        with_flags: false,
        ..Script::default()
    });
    systemd.reboot("x").unwrap();
    assert_eq!(fake.calls()[1..], ["SetWallMessage x true", "Reboot false"]);

    let (fake, systemd) = Fake::start(Script {
        with_logind: false,
        ..Script::default()
    });
    systemd.reboot("x").unwrap();
    assert_eq!(
        fake.calls()[1..],
        ["StartUnit reboot.target replace-irreversibly"]
    );
}

#[test]
fn a_host_without_systemd_is_told_with_both_sockets() {
    let root = tempfile::tempdir().unwrap();
    let error = Systemd::connect(root.path()).unwrap_err();
    let root = root.path().display();
    assert_eq!(
        message(&error),
        format!(
            "cannot reach systemd: cannot connect to {root}/run/dbus/system_bus_socket: No such file or directory (os error \
             2); cannot connect to {root}/run/systemd/private: No such file or directory (os error 2)"
        )
    );
    assert_eq!(error.code(), machineconfig::Code::SYSTEMD_UNREACHABLE);
}

#[test]
fn a_socket_that_says_nothing_or_nonsense_is_an_error_in_time() {
    let limits = Limits {
        connect: Duration::from_secs(1),
        ..LIMITS
    };
    let (ours, silent) = UnixStream::pair().unwrap();
    assert!(matches!(
        Systemd::over(ours, limits),
        Err(BusError::NoAnswer { .. })
    ));
    drop(silent);

    let (ours, mut theirs) = UnixStream::pair().unwrap();
    std::io::Write::write_all(&mut theirs, b"220 mail.example.com ESMTP\r\n").unwrap();
    assert!(matches!(
        Systemd::over(ours, LIMITS),
        Err(BusError::Handshake { .. })
    ));

    // A bus that waits to be started must not keep systemd's own socket from being tried.
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("run/dbus")).unwrap();
    let _bus = UnixListener::bind(root.path().join("run/dbus/system_bus_socket")).unwrap();
    let error = message(&Systemd::connect_within(root.path(), limits).unwrap_err());
    assert!(error.contains("system_bus_socket: timed out"), "{error}");
    assert!(error.contains("run/systemd/private: No such file"), "{error}");
}

/// A bus of its own in a temporary root.
struct Bus {
    root: tempfile::TempDir,
    daemon: Child,
}

impl Bus {
    fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let socket = Self::socket_in(&root);
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let config = root.path().join("bus.conf");
        let text = format!(
            "<busconfig><listen>unix:path={}</listen><policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/>\
             <allow send_destination=\"*\"/><allow receive_sender=\"*\"/></policy></busconfig>",
            socket.display()
        );
        std::fs::write(&config, text).unwrap();
        let daemon = Command::new("dbus-daemon")
            .args(["--nofork", "--nopidfile", "--nosyslog"])
            .arg(format!("--config-file={}", config.display()))
            .spawn()
            .expect("this test needs dbus-daemon");
        let bus = Self { root, daemon };
        let deadline = Instant::now() + LIMITS.connect;
        while UnixStream::connect(bus.socket()).is_err() {
            assert!(Instant::now() < deadline, "dbus-daemon does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        bus
    }

    fn socket_in(root: &tempfile::TempDir) -> PathBuf {
        root.path().join("run/dbus/system_bus_socket")
    }

    fn socket(&self) -> PathBuf {
        Self::socket_in(&self.root)
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
    }
}

#[test]
fn over_a_real_bus_jobs_end_as_well() {
    let bus = Bus::start();
    let script = Script {
        job: Job::EndsFirstAfter(500, "done"),
        ..Script::default()
    };
    let fake = Fake::join(script, &bus.socket());
    let systemd = Systemd::connect_within(bus.root.path(), LIMITS).unwrap();
    systemd.restart("a.service").unwrap();
    fake.script().job = Job::Ends("failed");
    systemd.restart("a.service").unwrap_err();
    let inhibitor = systemd.inhibit("x").unwrap();
    assert!(fake.is_inhibited());
    drop(inhibitor);
    fake.wait_for_release();
    drop(fake);
    let error = systemd.reload_manager().unwrap_err();
    assert!(matches!(error, BusError::Refused { .. }), "{error:?}");
}

#[test]
fn a_bus_without_systemd_on_it_is_no_way_to_systemd() {
    let bus = Bus::start();
    let error = Systemd::connect_within(bus.root.path(), LIMITS).unwrap_err();
    let text = message(&error);
    assert!(text.contains("Subscribe was refused"), "{text}");
    assert!(text.contains("run/systemd/private: No such file"), "{text}");
}

#[test]
fn what_somebody_else_on_the_bus_says_about_jobs_is_not_heard() {
    let bus = Bus::start();
    let fake = Fake::join(with_job(Job::NeverEnds), &bus.socket());
    let limits = Limits {
        job: Duration::from_millis(500),
        ..LIMITS
    };
    let systemd = Systemd::connect_within(bus.root.path(), limits).unwrap();
    let us = systemd.bus.connection.unique_name().unwrap().to_string();
    let address = format!("unix:path={}", bus.socket().display());
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let liar = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let connection = zbus::connection::Builder::address(address.as_str())
                .build()
                .await
                .unwrap();
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                let job = zbus::ObjectPath::try_from("/org/freedesktop/systemd1/job/7").unwrap();
                connection
                    .emit_signal(
                        Some(us.as_str()),
                        "/org/freedesktop/systemd1",
                        "org.freedesktop.systemd1.Manager",
                        "JobRemoved",
                        &(7u32, job, "a.service", "done"),
                    )
                    .await
                    .unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    });
    let failed = systemd.restart("a.service").unwrap_err();
    assert!(matches!(failed, UnitFailed::NoResult { .. }), "{failed:?}");
    drop(stop);
    liar.join().unwrap();
    drop(fake);
}
