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
    let (first, mut second) = (server.tls(), server.tls());
    // The kernel takes the connection; the server does not see it.
    let third = server.connect();
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
