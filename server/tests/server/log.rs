//! What the log says, and what it never says.

use std::io::Write as _;

use serde_json::Value;

use crate::support::{Response, Site, V34, client_config, handshake, until};

#[test]
fn a_request_is_logged_without_a_word_of_its_headers() {
    // -v=4 logs the most there is.
    let site = Site::new();
    let server = site.serve(&["-v=4"]);
    let marked = format!(
        "{}User-Agent: Ignition/MARKED\r\nAuthorization: Bearer MARKED\r\nX-MARKED: MARKED\r\nCookie: MARKED\r\n",
        V34.replace("\r\n", ", x/MARKED\r\n")
    );
    for (path, status) in [
        ("/config/master?token=MARKED", 200),
        ("/config/MARKED%0aforged", 500),
        ("/MARKED", 404),
        ("/healthz", 200),
    ] {
        assert_eq!(server.ask("GET", path, &marked).status, status);
    }
    assert_eq!(server.ask("MARKED", "/config/master", &marked).status, 405);
    assert_eq!(
        server
            .ask(
                "GET",
                "/config/no-such-pool",
                "Accept: x/vnd.coreos.ignition+json;version=9.9.9-MARKED\r\n"
            )
            .status,
        400
    );
    let lines = until("the line of the last request", || {
        let lines: Vec<Value> = server
            .log()
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        lines.iter().any(|line| line["status"] == 400).then_some(lines)
    });
    assert!(!server.log().join("\n").contains("MARKED"), "{:#?}", server.log());
    let first = lines.iter().find(|line| line["message"] == "Request").unwrap();
    assert_eq!(first["pool"], "master");
    assert_eq!(first["version"], "3.4.0");
    assert_eq!((&first["method"], &first["status"]), (&"GET".into(), &200.into()));
    assert!(first["remote"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(first["latency_us"].as_u64().is_some());
    assert_eq!(first["complete"], true);
    assert!(first["bytes"].as_u64().unwrap() > 0);
}

#[test]
fn the_log_is_json_or_text_as_asked() {
    let site = Site::new();
    // One line of the log, others of what is read meanwhile, and the message of a server that cannot start.
    let suites = "--tls-cipher-suites=TLS_AES_128_GCM_SHA256,TLS_RSA_WITH_AES_128_CBC_SHA";
    let lines = |form: &str| {
        let output = site.refuse(&[form, suites, "--secure-port=1", "--bind-address=192.0.2.1"]);
        let text = String::from_utf8(output.stderr).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let text = lines("--log-format=text");
    assert!(
        text[0].contains(" WARN Cipher suites that are not supported are passed over suites="),
        "{text:?}"
    );
    assert!(
        text.iter()
            .skip(1)
            .any(|line| line.contains("MC5010 --secure-port: port 1 cannot be opened")),
        "{text:?}"
    );
    let json: Value = serde_json::from_str(&lines("--log-format=json")[0]).unwrap();
    assert_eq!(json["level"], "WARN");
    assert_eq!(json["suites"], "TLS_RSA_WITH_AES_128_CBC_SHA");
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    use std::io::Read as _;
    let site = Site::new();
    // The port is one that was free a moment ago, as the log cannot be asked for it.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut child = site.spawn(&[&format!("--secure-port={}", address.port())]);
    let pinned = std::fs::read_to_string(site.path("tls.crt")).unwrap();
    let mut stream = until("the server", || {
        let stream = std::net::TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(crate::support::DEADLINE)).unwrap();
        handshake(stream, client_config(&pinned)).ok()
    });
    // More lines than a pipe holds: 64 KiB.
    for _ in 0..1000 {
        write!(stream, "GET /config/nobody HTTP/1.1\r\nHost: x\r\n{V34}\r\n").unwrap();
        assert_eq!(Response::read(&mut stream, false).unwrap().status, 500);
    }
    let _ = child.kill();
    let mut log = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut log).unwrap();
    child.wait().unwrap();
    let lines = String::from_utf8_lossy(&log).matches("\"Request\"").count();
    assert!(lines < 1000, "the pipe was never full");
}
