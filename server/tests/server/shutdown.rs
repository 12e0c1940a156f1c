//! The end of a server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use rustix::process::Signal;

use crate::support::{Response, Server, Site, Tls, V34, until};

/// A server whose bodies are too large for the buffers between it and a client, and a client that has begun to read one.
fn amid_an_answer(site: &Site, flags: &[&str]) -> (Server, Tls) {
    let filler = "x".repeat(6 << 20);
    site.write("kubeconfig", &format!("clusters: [{{name: local}}]\n#{filler}\n"));
    let server = site.serve(flags);
    let mut stream = server.tls();
    write!(stream, "GET /config/master HTTP/1.1\r\nHost: x\r\n{V34}\r\n").unwrap();
    let mut begin = [0; 8];
    stream.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"HTTP/1.1");
    (server, stream)
}

#[test]
fn answers_that_have_begun_are_finished() {
    let site = Site::new();
    let (mut server, stream) = amid_an_answer(&site, &[]);
    let mut idle = server.tls();
    server.signal(Signal::TERM);
    until("the ports closed", || {
        TcpStream::connect(server.address("secure").unwrap()).err()
    });
    let mut rest = Vec::new();
    assert_eq!(
        idle.read(&mut [0]).unwrap_or(0),
        0,
        "idle connections are closed at once"
    );
    let response = Response::read(&mut b"HTTP/1.1".chain(stream), false).unwrap();
    rest.extend_from_slice(&response.body);
    assert_eq!(response.status, 200);
    assert!(rest.len() > 6 << 20);
    assert!(server.wait().success());
}

#[test]
fn answers_that_take_too_long_are_not() {
    let site = Site::new();
    let (mut server, _stream) = amid_an_answer(&site, &["--shutdown-timeout=0.5"]);
    let began = Instant::now();
    server.signal(Signal::INT);
    assert!(server.wait().success());
    assert!(began.elapsed().as_millis() >= 500);
    assert!(
        server
            .line("Connections cut off at the end of the shutdown timeout")
            .is_some()
    );
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let site = Site::new();
    let (mut server, _stream) = amid_an_answer(&site, &["--shutdown-timeout=3600"]);
    server.signal(Signal::TERM);
    until("the first signal", || server.line("Shutting down"));
    server.signal(Signal::TERM);
    assert!(server.wait().success());
}
