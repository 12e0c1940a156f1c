//! Everything that is fetched.

use ignition::Config;
use serde_json::{Value, json};

use crate::{check, check_in, file, said};

/// A config with a file of these contents.
fn contents(contents: Value) -> Value {
    file([("contents".to_owned(), contents)].into_iter().collect())
}

const CONTENTS: &str = "$.storage.files[0].contents";

/// What is said of a file with this source.
fn said_of_source(version: &str, source: &str) -> Vec<String> {
    said(version, &contents(json!({"source": source})))
}

#[test]
fn resources_can_be_fetched() {
    let lines = r#"
        {"compression": ""}                                                              =>
        {"compression": "gzip"}                                                          =>
        {"compression": "xz"}                                                            => .compression: Compression
        {"source": "https://h/", "httpHeaders": [{"name": "A", "value": "1"}]}           =>
        {"source": "https://h/", "httpHeaders": [{"name": "A"}]}                         =>
        {"source": "https://h/", "httpHeaders": [{"name": "A", "value": ""}]}            => .httpHeaders[0].value: Value
        {"source": "https://h/", "httpHeaders": [{"value": "1"}]}                        => .httpHeaders[0].name: Missing
        {"source": "https://h/", "httpHeaders": [{"name": "A"}, {"name": "A"}]}          => .httpHeaders[1]: Duplicate
        {"source": "data:,x", "httpHeaders": [{"name": "A"}]}                            => .httpHeaders: Url
        {"httpHeaders": [{"name": "A"}]}                                                 => .httpHeaders: Url
        {"source": "data:,x", "httpHeaders": []}                                         =>
    "#;
    check_in("3.5.0", CONTENTS, lines, contents);
}

#[test]
fn hashes_have_a_known_function_and_its_length() {
    let hashed = |hash: Value| contents(json!({"source": "data:,x", "verification": {"hash": hash}}));
    let (sha512, sha256) = (
        format!("sha512-{}", "0".repeat(128)),
        format!("sha256-{}", "0".repeat(64)),
    );
    let fault = format!("{CONTENTS}.verification.hash: Hash");
    for fine in [&sha512, &sha256] {
        assert_eq!(said("3.5.0", &hashed(json!(fine))), [""; 0], "{fine}");
    }
    for wrong in [
        "",
        "sha512",
        "sha512-",
        "sha256-00",
        "md5-00",
        &sha512[..134],
        &format!("{sha256}0"),
    ] {
        assert_eq!(said("3.5.0", &hashed(json!(wrong))), [fault.as_str()], "{wrong}");
    }
    assert_eq!(said("3.1.0", &hashed(json!(sha256))), [""; 0]);
    assert_eq!(said("3.0.0", &hashed(json!(sha256))), [fault]);
    let no_source = contents(json!({"verification": {"hash": sha512}}));
    assert_eq!(
        said("3.5.0", &no_source),
        [format!("{CONTENTS}.verification.hash: Conflict")]
    );
    let empty_source = contents(json!({"source": "", "verification": {"hash": sha512}}));
    assert_eq!(said("3.5.0", &empty_source), [""; 0]);
}

#[test]
fn references_need_a_source() {
    check(
        r#"
        {"ignition": {"config": {"merge": [{}], "replace": {}}}} => .ignition.config.merge[0].source: Missing
        {"ignition": {"security": {"tls": {"certificateAuthorities": [{"source": ""}]}}}} => .ignition.security.tls.certificateAuthorities[0].source: Missing
        {"ignition": {"config": {"replace": {"source": "x"}}}} => .ignition.config.replace.source: Url
        "#,
    );
}

#[test]
fn sources_that_can_be_fetched_are_fine() {
    for source in [
        "",
        "data:,x",
        "http://h",
        "HTTPS://user:p%40ss@h:8080/a%20b?c#d",
        "http://[::1]:80/",
        "http://[fe80::1%25eth0]/",
        "http://h/a b",
        "tftp://h/x",
        "s3://bucket/key",
        "s3://bucket/key?versionId=1",
        "gs://bucket/key",
        "arn:aws:s3:::bucket/key",
        "arn:aws:s3:us-east-1:123456789012:accesspoint/point/object",
        "https:relative",
    ] {
        assert_eq!(said_of_source("3.5.0", source), [""; 0], "{source}");
    }
}

#[test]
fn sources_that_are_no_urls_or_of_another_scheme_are_refused() {
    for source in [
        "x",
        "ftp://h",
        "://h",
        "1http://h",
        "http://h/%zz",
        "http://h\n/",
        "http://a b/",
        "http://h:port/",
        "http://a:b:80/",
        "http://[::1",
        "http://[1.2.3.4]/",
        "http://a[::1]/",
        "http://%41/",
        "http://us er@h/",
        "https://h/#%z",
        "s3://bucket/key?versionId=",
        "s3://bucket/key?version%49d",
        "arn:aws:s3:::bucket",
        "arn:aws:ec2:::bucket/key",
        "arn:aws:s3:bucket/key",
        "arn:aws:s3:us-east-1:1:accesspoint/point",
        "oem://x",
        "data:,\n",
    ] {
        assert_eq!(
            said_of_source("3.5.0", source),
            [format!("{CONTENTS}.source: Url")],
            "{source}"
        );
    }
    assert_eq!(
        said_of_source("3.5.0", "data:x"),
        [format!("{CONTENTS}.source: DataUrl")]
    );
}

#[test]
fn a_scheme_is_known_from_a_version_on() {
    for (source, first, last) in [
        ("gs://b/k", "3.2.0", "3.1.0"),
        ("arn:aws:s3:::b/k", "3.4.0", "3.3.0"),
    ] {
        assert_eq!(said_of_source(first, source), [""; 0], "{source}");
        assert_eq!(
            said_of_source(last, source),
            [format!("{CONTENTS}.source: Url")],
            "{source}"
        );
    }
}

#[test]
fn a_source_is_not_shown_but_for_its_scheme() {
    for source in [
        "ftp://user:top-secret@h/",
        "data:,top-secret#",
        "https://user:top-secret@h:x/",
    ] {
        let mut config = contents(json!({"source": source}));
        config["ignition"] = json!({"version": "3.5.0"});
        let text = Config::from_value(&config).expect_err("refused").to_string();
        assert!(!text.contains("top-secret"), "{text}");
    }
}

#[test]
fn proxies_are_http() {
    let proxy = |proxy| json!({"ignition": {"proxy": proxy}});
    let lines = r#"
        {"httpProxy": "http://p", "httpsProxy": "https://p"}    =>
        {"httpProxy": "https://p"}                              =>
        {"httpsProxy": "http://p"}                              => ~.httpsProxy: Url
        {"httpProxy": "", "httpsProxy": "ftp://p"}              => .httpProxy: Url; .httpsProxy: Url
        {"httpProxy": "http://p:x"}                             => .httpProxy: Url
    "#;
    check_in("3.5.0", "$.ignition.proxy", lines, proxy);
}
