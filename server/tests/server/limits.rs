//! What a peer may take up.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use crate::support::{Response, Site, V34, client_config, handshake, until};

const METRICS: &str = "--metrics-listen-address=127.0.0.1:0";

fn failures(reason: &str) -> String {
    format!("machine_config_server_connection_failures_total{{reason=\"{reason}\"}}")
}

/// Reads until the peer ends the connection, which it has to do before the read times out.
fn drain(stream: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("the connection was not ended")
        }
        // Cut off, with or without a farewell.
        Ok(_) | Err(_) => all,
    }
}

#[test]
fn a_slow_header_is_not_waited_for() {
    let site = Site::new();
    let server = site.serve(&["--header-timeout=0.5", METRICS]);
    let mut slow = server.tls();
    // Never idle for long, and never done.
    let began = Instant::now();
    let ended = until("the end of patience", || {
        std::thread::sleep(Duration::from_millis(50));
        (slow.write_all(b"X").is_err() || slow.flush().is_err()).then(|| began.elapsed())
    });
    assert!(ended >= Duration::from_millis(500), "{ended:?}");
    assert_eq!(server.metric(&failures("header_timeout")), Some(1));
    assert_eq!(server.body("master").0, 200);
}

#[test]
fn silence_is_not_waited_for() {
    let site = Site::new();
    let server = site.serve(&["--header-timeout=0.5", METRICS]);
    // Before the handshake, after it, and after an answer.
    let (mut silent, mut shaken, mut answered) = (server.connect(), server.tls(), server.tls());
    write!(answered, "GET /config/master HTTP/1.1\r\nHost: x\r\n{V34}\r\n").unwrap();
    assert_eq!(Response::read(&mut answered, false).unwrap().status, 200);
    assert_eq!(drain(&mut silent), b"");
    assert_eq!(drain(&mut shaken), b"");
    assert_eq!(drain(&mut answered), b"");
    assert_eq!(server.metric(&failures("handshake_timeout")), Some(1));
    until("all slots free", || {
        (server.metric("machine_config_server_connections_open") == Some(0)).then_some(())
    });
}

#[test]
fn who_does_not_take_the_answers_is_cut_off() {
    let site = Site::new();
    let server = site.serve(&["--idle-timeout=0.5", METRICS]);
    let mut greedy = server.tls();
    // More answers than the buffers between us hold.
    let request = format!("GET /config/master HTTP/1.1\r\nHost: x\r\n{V34}\r\n").repeat(100);
    until("the end of patience", || {
        let written = greedy.sock.set_write_timeout(Some(Duration::from_millis(100)));
        written.unwrap();
        let cut = match greedy.write_all(request.as_bytes()) {
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            Ok(()) => false,
        };
        cut.then_some(())
    });
    until("the count of it", || {
        (server.metric(&failures("aborted")) == Some(1)).then_some(())
    });
}

#[test]
fn connections_beyond_the_cap_wait_for_their_turn() {
    let site = Site::new();
    let server = site.serve(&["--max-connections=2", METRICS]);
    let (first, mut second) = (server.tls_from(2), server.tls_from(3));
    // The kernel takes the connection; nobody answers it.
    let third = server.connect_from(4, "secure");
    for _ in 0..20 {
        write!(second, "GET /config/master HTTP/1.1\r\nHost: x\r\n{V34}\r\n").unwrap();
        assert_eq!(Response::read(&mut second, false).unwrap().status, 200);
        assert_eq!(server.metric("machine_config_server_connections_total"), Some(2));
    }
    drop(first);
    let pinned = std::fs::read_to_string(site.path("tls.crt")).unwrap();
    assert!(
        handshake(third, client_config(&pinned)).is_ok(),
        "a free slot goes to the one who waits"
    );
}

#[test]
fn one_silent_address_leaves_room_for_others() {
    let site = Site::new();
    let server = site.serve(&["--max-connections=8", "--header-timeout=60", METRICS]);
    let mut silent: Vec<_> = (0..20).map(|_| server.connect_from(2, "secure")).collect();
    until("the end of those beyond its share", || {
        (server.metric(&failures("share")) == Some(16)).then_some(())
    });
    for excess in &mut silent[4..] {
        assert_eq!(drain(excess), b"");
    }
    // Health checks and machines from elsewhere are answered at once.
    for host in [3, 4] {
        let mut stream = server.tls_from(host);
        for path in ["/healthz", "/config/master"] {
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n{V34}\r\n").unwrap();
            assert_eq!(Response::read(&mut stream, false).unwrap().status, 200);
        }
    }
    assert!(
        server.log().join("\n").contains("127.0.0.2"),
        "an operator learns who it is"
    );
    // What it gives back it may have again.
    drop(silent);
    until("a slot of its own", || {
        (server.metric("machine_config_server_connections_open") == Some(0)).then_some(())
    });
    server.tls_from(2);
}

#[test]
fn a_listener_without_connections_holds_no_slot() {
    let site = Site::new();
    let server = site.serve(&["--max-connections=1", "--insecure-port=0", "--header-timeout=60"]);
    // Both listeners wait, and the only slot is for whoever comes, at either of them.
    for host in [2, 3] {
        let mut plain = server.connect_from(host, "insecure");
        plain
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        assert_eq!(Response::read(&mut plain, false).unwrap().status, 200);
        drop(plain);
        let mut tls = server.tls_from(host + 10);
        tls.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        assert_eq!(Response::read(&mut tls, false).unwrap().status, 200);
    }
}

#[test]
fn the_cap_fits_below_the_limit_of_open_files() {
    let site = Site::new();
    let server = site.serve_with_files(80, &["--header-timeout=60", METRICS]);
    let warning = server
        .line("--max-connections is lowered to what the limit of open files (RLIMIT_NOFILE) leaves room for")
        .expect("an operator learns of it");
    assert_eq!(
        (&warning["wanted"], &warning["connections"]),
        (&4096.into(), &16.into())
    );
    // More than fit, each from an address of its own: all slots are taken, and no file is wanting.
    let _silent: Vec<_> = (2..42).map(|host| server.connect_from(host, "secure")).collect();
    until("all slots taken", || {
        (server.metric("machine_config_server_connections_open") == Some(16)).then_some(())
    });
    site.write_pool("master", 2);
    until("the new pool, which takes files to read", || {
        server.readyz().1.contains("rendered-master-2").then_some(())
    });
    assert_eq!(server.metric(&failures("accept")), None);
    let roomy = site.serve_with_files(1000, &["--max-connections=100"]);
    assert!(!roomy.log().join("\n").contains("is lowered"));
}

#[test]
fn large_and_malformed_headers_are_refused() {
    let site = Site::new();
    let server = site.serve(&[METRICS]);
    let large = format!("X-Large: {}\r\n", "x".repeat(64 << 10));
    let many = "X-Many: x\r\n".repeat(1000);
    for headers in [large, many] {
        let mut stream = server.tls();
        // The server may answer and close before it has read all.
        let _ = write!(stream, "GET /config/master HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        let answer = String::from_utf8(drain(&mut stream)).unwrap();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
            "{answer}"
        );
        assert!(!answer.contains("ignition"));
    }
    let mut stream = server.tls();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    assert!(
        !String::from_utf8(drain(&mut stream))
            .unwrap()
            .contains("ignition")
    );
    assert_eq!(server.metric(&failures("bad_request")), Some(3));
    assert_eq!(server.body("master").0, 200);
}
