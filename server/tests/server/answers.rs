//! What is answered: statuses, headers, bodies; and on which ports.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{Response, Server, Site, V34};

#[test]
fn a_config_is_served_with_exact_headers() {
    let site = Site::new();
    let server = site.serve(&["--metrics-listen-address=127.0.0.1:0"]);
    let get = server.ask("GET", "/config/master", V34);
    assert_eq!(get.status, 200);
    assert_eq!(get.header("Content-Type"), Some("application/json"));
    assert_eq!(
        get.header("Content-Length"),
        Some(get.body.len().to_string().as_str())
    );
    for absent in [
        "Server",
        "Transfer-Encoding",
        "Content-Encoding",
        "ETag",
        "Cache-Control",
    ] {
        assert_eq!(get.header(absent), None, "{absent}");
    }
    assert!(get.text().starts_with("{\"ignition\":{\"version\":\"3.4.0\"}"));
    assert!(get.text().contains("data:,revision-1"));
    let head = server.ask("HEAD", "/config/master", V34);
    assert_eq!(
        (head.status, head.header("Content-Type")),
        (200, Some("application/json"))
    );
    assert_eq!(head.header("Content-Length"), get.header("Content-Length"));
    let requests = "machine_config_server_requests_total{handler=\"config\",pool=\"master\",version=\"3.4.0\",status=\"200\"}";
    assert_eq!(server.metric(requests), Some(2));
    assert_eq!(
        server.metric("machine_config_server_sent_bytes_total"),
        u64::try_from(get.body.len()).ok()
    );
    assert_eq!(
        server.metric("machine_config_server_config_info{pool=\"master\",config=\"rendered-master-1\"}"),
        Some(1)
    );
}

#[test]
fn refusals_have_no_body_and_the_right_status() {
    let site = Site::new();
    let server = site.serve(&[]);
    let v4 = "Accept: application/vnd.coreos.ignition+json;version=4.0.0\r\n";
    let v30 = "Accept: application/vnd.coreos.ignition+json;version=3.0.0\r\n";
    let cases = [
        ("GET", "/config/worker", V34, 500),
        ("GET", "/config/arbiter", V34, 404),
        ("GET", "/config/master", v4, 400),
        ("GET", "/config/master", v30, 500),
        ("POST", "/config/master", V34, 405),
        ("PATCH", "/healthz", "", 405),
        ("GET", "/config", V34, 404),
        ("GET", "//config/master", V34, 404),
        ("GET", "/config/../config/master?x=y", V34, 200),
        ("GET", "/config//master", V34, 200),
        ("GET", "//config/..", V34, 404),
        ("HEAD", "/", "", 404),
        ("GET", "/healthz", "", 200),
        ("HEAD", "/healthz", "", 200),
    ];
    for (method, path, headers, status) in cases {
        let response = server.ask(method, path, headers);
        assert_eq!(response.status, status, "{method} {path}");
        assert_eq!(response.header("Location"), None, "{method} {path}");
        let has_body = path.starts_with("/config/") && status == 200;
        if !has_body {
            assert_eq!(response.header("Content-Length"), Some("0"), "{method} {path}");
            assert_eq!(response.header("Content-Type"), None, "{method} {path}");
        }
    }
}

#[test]
fn a_request_names_one_host() {
    let site = Site::new();
    let server = site.serve(&["--insecure-port=0", "--metrics-listen-address=127.0.0.1:0"]);
    let cases = [
        ("1.1", "", 400),
        ("1.1", "Host: a\r\nHost: a\r\n", 400),
        ("1.1", "Host: a\r\nHost: b\r\n", 400),
        ("1.1", "Host: a/b\r\n", 400),
        ("1.1", "Host: user@a\r\n", 400),
        ("1.1", "Host: [2001:db8::1]:22623\r\n", 200),
        ("1.0", "", 200),
        ("1.0", "Host: a\r\nHost: b\r\n", 400),
    ];
    for (port, path) in [("insecure", "/config/master"), ("metrics", "/metrics")] {
        for (version, hosts, status) in cases {
            let mut stream = server.connect_from(1, port);
            write!(stream, "GET {path} HTTP/{version}\r\n{hosts}{V34}\r\n").unwrap();
            let response = Response::read(&mut stream, false).unwrap();
            assert_eq!(response.status, status, "{port} {version} {hosts:?}");
            if status == 400 {
                assert!(response.body.is_empty());
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).unwrap();
                assert!(rest.is_empty(), "the connection ends");
            }
        }
    }
}

#[test]
fn who_is_to_be_installed_learns_only_whether_the_server_is_ready() {
    let site = Site::new();
    site.write("base/machine-pools/edge.yaml", "not: a pool");
    let server = site.serve(&[
        "--all-pools",
        "--insecure-port=0",
        "--metrics-listen-address=127.0.0.1:0",
    ]);
    let ready = server.ask("GET", "/readyz", "");
    assert_eq!((ready.status, ready.text().as_str()), (200, ""));
    let (status, details) = server.readyz();
    assert_eq!(status, 200);
    for detail in ["rendered-master-1", "MC5006", "edge", "\nready\n"] {
        assert!(details.contains(detail), "{details}");
    }
    assert!(server.log().join("\n").contains("MC5006"));
    let site = Site::new();
    fs::remove_dir_all(site.path("base/machine-pools")).unwrap();
    let server = site.serve(&["--metrics-listen-address=127.0.0.1:0"]);
    let ready = server.ask("GET", "/readyz", "");
    assert_eq!((ready.status, ready.text().as_str()), (503, ""));
    assert_eq!(server.readyz().0, 503);
}

#[test]
fn the_first_accept_header_decides_and_an_answer_never_depends_on_the_ones_before() {
    let site = Site::new();
    let server = site.serve(&["--all-pools"]);
    let two = format!("{V34}Accept: application/vnd.coreos.ignition+json;version=3.2.0\r\n");
    assert!(
        server
            .ask("GET", "/config/worker", &two)
            .text()
            .contains("\"version\":\"3.4.0\"")
    );
    let v22 = server.ask("GET", "/config/worker", "").text();
    let v34 = server.ask("GET", "/config/worker", V34).text();
    assert!(v22.contains("\"version\":\"2.2.0\""));
    let mut stream = server.tls();
    for _ in 0..50 {
        for (headers, expected) in [("", &v22), (V34, &v34)] {
            write!(stream, "GET /config/worker HTTP/1.1\r\nHost: x\r\n{headers}\r\n").unwrap();
            assert_eq!(&Response::read(&mut stream, false).unwrap().text(), expected);
        }
    }
}

#[test]
fn only_the_ports_asked_for_are_open() {
    let site = Site::new();
    let server = site.serve(&[]);
    assert_eq!(listening(&server), [server.address("secure").unwrap().port()]);
    let server = site.serve(&["--insecure-port=0", "--metrics-listen-address=127.0.0.1:0"]);
    let mut expected = ["secure", "insecure", "metrics"].map(|port| server.address(port).unwrap().port());
    expected.sort_unstable();
    assert_eq!(listening(&server), expected);
    let mut plain = TcpStream::connect(server.address("insecure").unwrap()).unwrap();
    write!(plain, "GET /config/master HTTP/1.1\r\nHost: x\r\n{V34}\r\n").unwrap();
    let response = Response::read(&mut plain, false).unwrap();
    assert_eq!((response.status, response.text()), server.body("master"));
}

/// The TCP ports on which the server's process listens, sorted.
fn listening(server: &Server) -> Vec<u16> {
    const LISTEN: &str = "0A";
    let proc = format!("/proc/{}", server.pid());
    let links = fs::read_dir(format!("{proc}/fd")).unwrap();
    let sockets: Vec<String> = links
        .filter_map(|link| fs::read_link(link.unwrap().path()).ok())
        .filter_map(|target| {
            Some(
                target
                    .to_str()?
                    .strip_prefix("socket:[")?
                    .strip_suffix(']')?
                    .to_owned(),
            )
        })
        .collect();
    let mut ports = Vec::new();
    for table in ["tcp", "tcp6"] {
        for line in fs::read_to_string(format!("{proc}/net/{table}"))
            .unwrap()
            .lines()
            .skip(1)
        {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields[3] == LISTEN && sockets.contains(&fields[9].to_owned()) {
                ports.push(u16::from_str_radix(fields[1].rsplit(':').next().unwrap(), 16).unwrap());
            }
        }
    }
    ports.sort_unstable();
    ports
}
