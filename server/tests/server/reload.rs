//! Files that change while the server runs.

use std::fs;
use std::io::Write;
use std::time::Instant;

use crate::support::{Response, Site, V34, client_config, handshake, until};

const METRICS: &str = "--metrics-listen-address=127.0.0.1:0";
const PROBLEMS: &str = "machine_config_server_problems";

#[test]
fn a_new_pair_is_taken_over_and_a_broken_one_is_not() {
    let site = Site::new();
    let server = site.serve(&[METRICS]);
    // A connection that is open across the change stays usable.
    let mut open = server.tls();
    let old = fs::read_to_string(site.path("tls.crt")).unwrap();
    let began = Instant::now();
    let new = site.write_pair("tls");
    let trusts = |pinned: &str| handshake(server.connect(), client_config(pinned)).is_ok();
    until("the new certificate", || trusts(&new).then_some(()));
    assert!(began.elapsed().as_secs() < 10, "taken over within 10 s");
    assert!(!trusts(&old));
    write!(open, "GET /config/master HTTP/1.1\r\nHost: x\r\n{V34}\r\n").unwrap();
    assert_eq!(Response::read(&mut open, false).unwrap().status, 200);
    // The counter comes after the pair.
    let reloaded = "machine_config_server_reloads_total{what=\"certificate\",result=\"success\"}";
    until("the count of it", || {
        (server.metric(reloaded) >= Some(1)).then_some(())
    });

    site.write("tls.key", "no key");
    until("the report of a broken pair", || {
        (server.metric(PROBLEMS) == Some(1)).then_some(())
    });
    assert!(trusts(&new), "the last good pair is kept");
    let failed = "machine_config_server_reloads_total{what=\"certificate\",result=\"failure\"}";
    assert!(server.metric(failed) >= Some(1));
    let problem = server.line("Input cannot be used").unwrap()["problem"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        problem.contains("MC5002") && problem.contains("--key"),
        "{problem}"
    );

    let third = site.write_pair("tls");
    until("the repaired pair", || trusts(&third).then_some(()));
    until("the end of the problem", || {
        (server.metric(PROBLEMS) == Some(0)).then_some(())
    });
}

#[test]
fn a_changed_pool_is_served_and_a_broken_one_stays_as_it_was() {
    let site = Site::new();
    let server = site.serve(&["--all-pools", METRICS]);
    let revision = |pool: &str, n: u32| {
        let (status, body) = server.body(pool);
        status == 200 && body.contains(&format!("data:,revision-{n}\""))
    };
    assert!(revision("worker", 1));
    assert_eq!(server.line("Serving").unwrap()["pools"], "master,worker");
    site.write_pool("worker", 2);
    until("the second revision", || revision("worker", 2).then_some(()));
    assert!(revision("master", 1));
    let info = "machine_config_server_config_info{pool=\"worker\",config=";
    until("its name in the metrics", || {
        server.metric(&format!("{info}\"rendered-worker-2\"}}"))
    });
    assert_eq!(server.metric(&format!("{info}\"rendered-worker-1\"}}")), None);

    // Broken in three ways, each told, none served.
    let broken = [
        ("base/machine-configs/rendered-worker-2.yaml", "spec: [", "MC5008"),
        ("base/machine-pools/worker.yaml", "not: a pool", "MC5006"),
        (
            "base/controller-config/machine-config-controller.yaml",
            "[]",
            "MC5009",
        ),
    ];
    for (file, text, code) in broken {
        let good = fs::read_to_string(site.path(file)).unwrap();
        site.write(file, text);
        let told = until("the problem", || {
            server.readyz().1.contains(code).then(|| server.readyz())
        });
        assert_eq!(told.0, 200, "{}", told.1);
        assert!(told.1.contains(file), "{}", told.1);
        assert_eq!(server.metric(PROBLEMS), Some(1));
        assert!(revision("worker", 2) && revision("master", 1), "{file}");
        site.write(file, &good);
        until("the end of the problem", || {
            (server.readyz().1.ends_with("\nready\n") && server.metric(PROBLEMS) == Some(0)).then_some(())
        });
    }
}

#[test]
fn pools_come_and_go() {
    let site = Site::new();
    let server = site.serve(&["--all-pools", METRICS]);
    assert_eq!(server.body("edge").0, 404);
    site.write_pool("edge", 7);
    until("the new pool", || (server.body("edge").0 == 200).then_some(()));
    // Without its MachineConfig a pool that was good stays; once it is removed it is gone.
    fs::remove_file(site.path("base/machine-configs/rendered-edge-7.yaml")).unwrap();
    until("the problem", || {
        server.readyz().1.contains("MC5007").then_some(())
    });
    assert_eq!(server.body("edge").0, 200);
    fs::remove_file(site.path("base/machine-pools/edge.yaml")).unwrap();
    until("the pool's end", || (server.body("edge").0 == 404).then_some(()));
    assert_eq!(server.body("worker").0, 200);
    // All at once is no removal but an accident: the files, and then the directory with everything.
    for pool in ["worker", "master"] {
        fs::remove_file(site.path(&format!("base/machine-pools/{pool}.yaml"))).unwrap();
    }
    until("the problem", || {
        server.readyz().1.contains("holds no pool any more").then_some(())
    });
    assert_eq!(server.body("worker").0, 200);
    fs::remove_dir_all(site.path("base")).unwrap();
    until("the other problem", || {
        let told = server.readyz().1;
        (told.contains("MC5005") && !told.contains("holds no pool any more")).then_some(())
    });
    assert_eq!(server.body("worker").0, 200);
}

#[test]
fn what_is_not_there_at_first_may_come_later() {
    let site = Site::new();
    fs::remove_dir_all(site.path("base/controller-config")).unwrap();
    fs::remove_dir_all(site.path("base/machine-pools")).unwrap();
    let server = site.serve(&["--all-pools", METRICS]);
    let (status, text) = server.readyz();
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("MC5005") && text.contains("MC5009"), "{text}");
    site.write_pool("worker", 1);
    until("the pool without its ControllerConfig", || {
        (server.body("worker").0 == 500).then_some(())
    });
    let controller_config = "apiVersion: machineconfiguration.openshift.io/v1\nkind: ControllerConfig\nmetadata:\n  name: machine-config-controller\nspec: {}\n";
    site.write(
        "base/controller-config/machine-config-controller.yaml",
        controller_config,
    );
    until("the pool", || (server.body("worker").0 == 200).then_some(()));
    assert_eq!(server.readyz().0, 200);
}

#[test]
fn the_kubeconfig_is_taken_over_too() {
    let site = Site::new();
    let server = site.serve(&[METRICS]);
    site.write("kubeconfig", "clusters: [{name: renewed}]\n");
    until("the new kubeconfig", || {
        server.body("master").1.contains("renewed").then_some(())
    });
    site.write("kubeconfig", "clusters: []\n");
    until("the problem", || {
        server.readyz().1.contains("MC5003").then_some(())
    });
    assert!(server.body("master").1.contains("renewed"));
}

#[test]
fn a_rotation_that_could_not_be_read_is_read_again() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let site = Site::new();
    let server = site.serve(&[METRICS]);
    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap());
    // No file can be opened any more.
    let starved = Rlimit {
        current: Some(0),
        ..rustix::process::getrlimit(Resource::Nofile)
    };
    let before = prlimit(pid, Resource::Nofile, starved).unwrap();
    let new = site.write_pair("tls");
    site.write_pool("master", 2);
    site.write("kubeconfig", "clusters: [{name: renewed}]\n");
    until("the failure of all three", || {
        let log = server.log().join("\n");
        ["MC5002", "MC5003"]
            .iter()
            .all(|code| log.contains(code))
            .then_some(())
    });
    prlimit(pid, Resource::Nofile, before).unwrap();
    let trusts = |pinned: &str| handshake(server.connect(), client_config(pinned));
    let mut stream = until("the new certificate", || trusts(&new).ok());
    until("the new pool and kubeconfig", || {
        write!(stream, "GET /config/master HTTP/1.1\r\nHost: x\r\n{V34}\r\n").unwrap();
        let body = Response::read(&mut stream, false).unwrap().text();
        (body.contains("revision-2") && body.contains("renewed")).then_some(())
    });
}

#[test]
fn a_file_in_the_place_of_another_is_refused() {
    let site = Site::new();
    fs::copy(
        site.path("base/machine-pools/worker.yaml"),
        site.path("base/machine-pools/other.yaml"),
    )
    .unwrap();
    let server = site.serve(&["--all-pools", METRICS]);
    assert_eq!(server.body("other").0, 500);
    assert!(server.log().join("\n").contains("metadata.name"));
    site.write_pool("worker", 2);
    until("the second revision", || {
        server.body("worker").1.contains("revision-2").then_some(())
    });
    // Told once, and served: its name is not the one of its contents.
    let unfit = |line: &&String| line.contains("does not fit") && line.contains("rendered-worker-2");
    assert_eq!(server.log().iter().filter(unfit).count(), 1);
    let path = |name: &str| site.path(&format!("base/machine-configs/rendered-{name}.yaml"));
    fs::copy(path("master-1"), path("worker-2")).unwrap();
    until("the problem", || {
        server
            .log()
            .iter()
            .any(|line| line.contains("MC5008"))
            .then_some(())
    });
    assert!(server.body("worker").1.contains("revision-2"));
}
