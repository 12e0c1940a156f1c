//! What TLS offers, by flags and by the cluster's profile.

use std::net::TcpStream;

use rustls::{CipherSuite, ProtocolVersion, SupportedProtocolVersion, version};

use crate::support::{Server, Site, client_config, client_config_with, handshake};

const ECDSA_AES_128: &str = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
const ECDSA_CHACHA: &str = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";

/// What a client that speaks `versions` settles on with the server.
fn settle(
    site: &Site,
    server: &Server,
    versions: &[&SupportedProtocolVersion],
) -> Option<(ProtocolVersion, CipherSuite)> {
    let certificate = std::fs::read_to_string(site.path("tls.crt")).unwrap();
    // A client speaks the versions that it has suites for.
    let config = client_config_with(&certificate, |provider| {
        provider
            .cipher_suites
            .retain(|suite| versions.contains(&suite.version()));
    });
    let stream = handshake(server.connect(), config).ok()?;
    let cipher = stream.conn.negotiated_cipher_suite().unwrap().suite();
    Some((stream.conn.protocol_version().unwrap(), cipher))
}

#[test]
fn both_versions_are_offered_and_the_newer_preferred() {
    let site = Site::new();
    let server = site.serve(&[]);
    let newest = settle(&site, &server, &[&version::TLS12, &version::TLS13]);
    assert_eq!(
        newest,
        Some((ProtocolVersion::TLSv1_3, CipherSuite::TLS13_AES_128_GCM_SHA256))
    );
    let older = settle(&site, &server, &[&version::TLS12]);
    let cipher = CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    assert_eq!(older, Some((ProtocolVersion::TLSv1_2, cipher)));
}

#[test]
fn a_client_of_http_2_alone_is_refused_in_the_handshake() {
    let site = Site::new();
    let server = site.serve(&[]);
    let certificate = std::fs::read_to_string(site.path("tls.crt")).unwrap();
    let with = |protocols: &[&[u8]]| {
        let mut config = client_config(&certificate);
        config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
        handshake(server.connect(), config).map(|tls| tls.conn.alpn_protocol().map(<[u8]>::to_vec))
    };
    let error = with(&[b"h2"]).unwrap_err().to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    assert_eq!(
        with(&[b"h2", b"http/1.1"]).unwrap().as_deref(),
        Some(&b"http/1.1"[..])
    );
    assert_eq!(with(&[]).unwrap(), None);
}

#[test]
fn the_lowest_version_is_honoured() {
    let site = Site::new();
    let server = site.serve(&["--tls-min-version=VersionTLS13"]);
    assert_eq!(settle(&site, &server, &[&version::TLS12]), None);
    assert!(settle(&site, &server, &[&version::TLS13]).is_some());
}

#[test]
fn only_the_suites_named_are_offered() {
    let site = Site::new();
    let flag =
        format!("--tls-cipher-suites={ECDSA_CHACHA},TLS_RSA_WITH_AES_128_CBC_SHA,TLS_AES_256_GCM_SHA384");
    let server = site.serve(&[&flag]);
    let v12 = settle(&site, &server, &[&version::TLS12]).unwrap().1;
    assert_eq!(v12, CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
    let v13 = settle(&site, &server, &[&version::TLS13]).unwrap().1;
    assert_eq!(v13, CipherSuite::TLS13_AES_256_GCM_SHA384);
    let line = server
        .line("Cipher suites that are not supported are passed over")
        .unwrap();
    assert_eq!(line["suites"], "TLS_RSA_WITH_AES_128_CBC_SHA");
}

#[test]
fn the_cluster_s_profile_counts_unless_flags_say_otherwise() {
    let site = Site::new();
    let profile = "kind: APIServer\nspec:\n  tlsSecurityProfile:\n    type: Modern\n    modern: {}\n";
    site.write("base/api-server/api-server.yaml", profile);
    let server = site.serve(&[]);
    assert_eq!(settle(&site, &server, &[&version::TLS12]), None);
    let flag = format!("--tls-cipher-suites={ECDSA_AES_128}");
    let server = site.serve(&["--tls-min-version=VersionTLS12", &flag]);
    assert!(settle(&site, &server, &[&version::TLS12]).is_some());
    assert_eq!(settle(&site, &server, &[&version::TLS13]), None);
    // One that cannot be read is told and means Intermediate.
    site.write("base/api-server/api-server.yaml", "spec: [");
    let server = site.serve(&[]);
    assert!(settle(&site, &server, &[&version::TLS12]).is_some());
    assert!(
        server
            .line("TLS profile cannot be used; Intermediate is used")
            .is_some()
    );
}

#[test]
fn plain_http_on_the_tls_port_gets_no_config() {
    use std::io::{Read, Write};
    let site = Site::new();
    let server = site.serve(&[]);
    let mut stream: TcpStream = server.connect();
    write!(stream, "GET /config/master HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // An alert, or a reset.
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.windows(4).any(|part| part == b"HTTP"));
}
