//! From a request to its answer, as a function of values. Entry point: [`answer`].
//!
//! The order of evaluation and the status codes are the reference's (`MCO server 1.3`); Ignition retries on 5xx for
//! ever and gives up at once on 4xx, so they matter. Where the reference redirects, this says 404, or below `/config/`
//! takes the last part of the path: Ignition drops its `Accept` header on the way and would be served the wrong version.

use std::sync::Arc;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, Method, StatusCode};
use ignition::Version;
use percent_encoding::percent_decode_str;

use crate::accept::negotiate;
use crate::snapshot::{Body, Lookup, Pool, Snapshot};

/// An answer. `HEAD` gets the same without the bytes.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The type of the body, when there is one.
    pub content_type: Option<&'static str>,
    /// The body; empty unless the status is 200 and something was asked for.
    pub body: Body,
    /// What it was about, for log and metrics.
    pub about: About,
}

/// What a request was about.
#[derive(Debug, Clone)]
pub struct About {
    /// Who answered.
    pub handler: Handler,
    /// The pool, when it is one that is served.
    pub pool: Option<Arc<Pool>>,
    /// The name asked for, whatever it is; empty outside `/config/`. Not fit for a log.
    pub name: String,
    /// The name asked for, when it leads to no such pool but might be the name of one.
    pub unserved: Option<String>,
    /// The Ignition version that was settled on.
    pub version: Option<Version>,
    /// Why there is no body, when there is none.
    pub reason: Option<&'static str>,
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Handler {
    /// `/config/…`
    Config,
    /// `/healthz`
    Health,
    /// `/readyz`
    Ready,
    /// Anything else.
    Other,
}

impl Handler {
    /// A word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Health => "healthz",
            Self::Ready => "readyz",
            Self::Other => "other",
        }
    }
}

/// Answers a request. `path` is the path as it stands in the request, without query; `accept` is the value of the
/// first `Accept` header.
#[must_use]
pub fn answer(snapshot: &Snapshot, method: &Method, path: &str, accept: Option<&str>) -> Reply {
    let path = percent_decode_str(path).decode_utf8_lossy();
    let handler = handler(&path);
    if method != Method::GET && method != Method::HEAD {
        return Reply::refused(
            handler,
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET and HEAD are answered",
        );
    }
    match handler {
        Handler::Config => config(snapshot, &path, accept),
        Handler::Health => Reply::empty(handler, StatusCode::OK, None),
        Handler::Ready => ready(snapshot),
        Handler::Other => Reply::refused(handler, StatusCode::NOT_FOUND, "nothing is served at this path"),
    }
}

/// Refuses a request whose `Host` is not what HTTP asks for (RFC 9112, 3.2; so does the reference's HTTP library): two parties on
/// the way that read such a request in two ways can be played off against each other.
#[must_use]
pub fn refuse_host(version: http::Version, headers: &HeaderMap) -> Option<Reply> {
    let mut hosts = headers.get_all(HOST).iter();
    let reason = match (hosts.next(), hosts.next()) {
        (None, _) if version < http::Version::HTTP_11 => return None,
        (None, _) => "the request has no Host",
        (Some(host), None) if host.as_bytes().iter().copied().all(may_be_in_host) => return None,
        (Some(_), None) => "the Host of the request is malformed",
        (Some(_), Some(_)) => "the request has several Hosts",
    };
    Some(Reply::refused(Handler::Other, StatusCode::BAD_REQUEST, reason))
}

/// The characters of a host, IPv6 address and port included, and nothing that begins a user, a path or a query.
fn may_be_in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!$%&'()*+,-.:;=[]_~".contains(&byte)
}

fn handler(path: &str) -> Handler {
    match path {
        "/healthz" => Handler::Health,
        "/readyz" => Handler::Ready,
        _ if path.starts_with("/config/") => Handler::Config,
        _ => Handler::Other,
    }
}

fn config(snapshot: &Snapshot, path: &str, accept: Option<&str>) -> Reply {
    let refused = |status, reason| Reply::refused(Handler::Config, status, reason);
    let Ok(version) = negotiate(accept) else {
        return refused(
            StatusCode::BAD_REQUEST,
            "the Ignition version asked for is not served",
        );
    };
    let name = pool_name(path);
    let mut reply = match snapshot.pool(name) {
        Lookup::Ready(pool) => body(pool, version),
        Lookup::Missing => refused(
            StatusCode::NOT_FOUND,
            "no such pool, or a pool without its MachineConfig",
        ),
        Lookup::Awaited => refused(
            StatusCode::INTERNAL_SERVER_ERROR,
            "no such pool yet, or a pool without a rendered MachineConfig",
        ),
        Lookup::Broken => refused(StatusCode::INTERNAL_SERVER_ERROR, "the pool cannot be served"),
        Lookup::NotServed => refused(
            StatusCode::INTERNAL_SERVER_ERROR,
            "only master and arbiter are served without --all-pools",
        ),
    };
    reply.about.version = Some(version);
    name.clone_into(&mut reply.about.name);
    reply.about.unserved = (reply.about.pool.is_none() && is_object_name(name)).then(|| name.to_owned());
    reply
}

fn body(pool: &Arc<Pool>, version: Version) -> Reply {
    let mut reply = match pool.body(version) {
        Some(body) => Reply {
            status: StatusCode::OK,
            content_type: Some("application/json"),
            body: body.clone(),
            about: About::new(Handler::Config, None),
        },
        None => Reply::refused(
            Handler::Config,
            StatusCode::INTERNAL_SERVER_ERROR,
            "the config cannot be said in this Ignition version",
        ),
    };
    reply.about.pool = Some(pool.clone());
    reply
}

/// The status and nothing else: whoever reaches the port may ask.
fn ready(snapshot: &Snapshot) -> Reply {
    if snapshot.is_ready() {
        Reply::empty(Handler::Ready, StatusCode::OK, None)
    } else {
        Reply::refused(Handler::Ready, StatusCode::SERVICE_UNAVAILABLE, "not ready")
    }
}

/// What `/readyz` says on the port of the metrics, to those who look after the server.
#[must_use]
pub fn readiness(snapshot: &Snapshot) -> Reply {
    Reply {
        content_type: Some("text/plain; charset=utf-8"),
        body: Bytes::from(snapshot.readiness()).into(),
        ..ready(snapshot)
    }
}

/// The last element of the path, trailing slashes left out; `/config/` alone names a pool `config`.
fn pool_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// Whether an object could have that name (a DNS subdomain), and so whether it is fit for a log or a file name.
pub(crate) fn is_object_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

impl Reply {
    fn empty(handler: Handler, status: StatusCode, reason: Option<&'static str>) -> Self {
        Self {
            status,
            content_type: None,
            body: Body::default(),
            about: About::new(handler, reason),
        }
    }

    /// The same request is not answered after all.
    #[must_use]
    pub fn instead(self, status: StatusCode, reason: &'static str) -> Self {
        Self {
            status,
            content_type: None,
            body: Body::default(),
            about: About {
                reason: Some(reason),
                ..self.about
            },
        }
    }

    fn refused(handler: Handler, status: StatusCode, reason: &'static str) -> Self {
        Self::empty(handler, status, Some(reason))
    }
}

impl About {
    fn new(handler: Handler, reason: Option<&'static str>) -> Self {
        Self {
            handler,
            pool: None,
            name: String::new(),
            unserved: None,
            version: None,
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::snapshot::{Served, Slot};

    fn snapshot(served: Served) -> Snapshot {
        let ready = |name: &str| {
            let pool = Pool::new(name, format!("rendered-{name}-1"), |version| {
                (version != Version::V3_0).then(|| format!("{name} {version}"))
            });
            (name.to_owned(), Slot::Ready(Arc::new(pool)))
        };
        let pools = [
            ready("master"),
            ready("worker"),
            ready("config"),
            ("edge".to_owned(), Slot::Missing),
            ("arbiter".to_owned(), Slot::Broken),
        ];
        Snapshot {
            served,
            pools: pools.into(),
            ..Snapshot::default()
        }
    }

    fn ask(served: Served, method: &str, path: &str, accept: Option<&str>) -> (u16, String) {
        let reply = answer(&snapshot(served), &method.parse().unwrap(), path, accept);
        assert_eq!(reply.content_type.is_some(), !reply.body.is_empty(), "{path}");
        (
            reply.status.as_u16(),
            String::from_utf8(reply.body.to_vec()).unwrap(),
        )
    }

    const V32: Option<&str> = Some("application/vnd.coreos.ignition+json;version=3.2.0, */*;q=0.1");

    #[test]
    fn statuses_are_the_reference_s() {
        let cases = [
            ("GET", "/config/master", V32, 200, "master 3.2.0"),
            ("HEAD", "/config/master", V32, 200, "master 3.2.0"),
            ("GET", "/config/master", None, 200, "master 2.2.0"),
            ("GET", "/config/a/b/master/", V32, 200, "master 3.2.0"),
            ("GET", "/config/%6daster", V32, 200, "master 3.2.0"),
            ("POST", "/config/master", V32, 405, ""),
            ("get", "/config/master", V32, 405, ""),
            (
                "GET",
                "/config/master",
                Some("a/vnd.coreos.ignition+json;version=4.0.0"),
                400,
                "",
            ),
            // The header is looked at before the pool, and the method before both.
            (
                "GET",
                "/config/worker",
                Some("a/vnd.coreos.ignition+json;version=4.0.0"),
                400,
                "",
            ),
            (
                "PUT",
                "/config/worker",
                Some("a/vnd.coreos.ignition+json;version=4.0.0"),
                405,
                "",
            ),
            (
                "GET",
                "/config/master",
                Some("a/vnd.coreos.ignition+json;version=3.0.0"),
                500,
                "",
            ),
            ("GET", "/config/worker", V32, 500, ""),
            ("GET", "/config/arbiter", V32, 500, ""),
            ("GET", "/config/", V32, 500, ""),
            ("GET", "/config", V32, 404, ""),
            ("GET", "//config/master", V32, 404, ""),
            ("GET", "/Config/master", V32, 404, ""),
            ("GET", "/config/%ff%zz", V32, 500, ""),
            ("GET", "/", V32, 404, ""),
            ("POST", "/", V32, 405, ""),
            ("GET", "/healthz", V32, 200, ""),
            ("HEAD", "/healthz", V32, 200, ""),
            ("POST", "/healthz", V32, 405, ""),
            ("GET", "/healthz/", V32, 404, ""),
            ("DELETE", "/readyz", V32, 405, ""),
        ];
        for (method, path, accept, status, body) in cases {
            let expected = (status, body.to_owned());
            assert_eq!(
                ask(Served::ControlPlane, method, path, accept),
                expected,
                "{method} {path} {accept:?}"
            );
        }
    }

    #[test]
    fn all_pools_are_served_on_demand() {
        let cases = [
            ("/config/worker", 200, "worker 3.2.0"),
            ("/config/", 200, "config 3.2.0"),
            ("/config/edge", 404, ""),
            ("/config/nothing", 404, ""),
            ("/config/..%2fmaster", 200, "master 3.2.0"),
            ("/config/..", 404, ""),
            ("/config/arbiter", 500, ""),
        ];
        for (path, status, body) in cases {
            assert_eq!(
                ask(Served::All, "GET", path, V32),
                (status, body.to_owned()),
                "{path}"
            );
        }
    }

    #[test]
    fn a_request_has_one_sound_host() {
        use http::Version;
        let status = |version, hosts: &[&'static str]| {
            let hosts = hosts.iter().map(|host| (HOST, HeaderValue::from_static(host)));
            let headers: HeaderMap = hosts.collect();
            refuse_host(version, &headers).map(|reply| reply.status.as_u16())
        };
        for sound in [
            "localhost",
            "api-int.example.com:22623",
            "192.0.2.1:1",
            "[2001:db8::1%25eth0]:22623",
            "",
        ] {
            assert_eq!(status(Version::HTTP_11, &[sound]), None, "{sound}");
            assert_eq!(
                status(Version::HTTP_11, &[sound, sound]),
                Some(400),
                "{sound} twice"
            );
        }
        for malformed in ["a b", "a/b", "user@a", "a?b", "a#b", "a\\b", "\"a\"", "<a>"] {
            assert_eq!(status(Version::HTTP_11, &[malformed]), Some(400), "{malformed}");
            assert_eq!(status(Version::HTTP_10, &[malformed]), Some(400), "{malformed}");
        }
        assert_eq!(status(Version::HTTP_11, &[]), Some(400));
        assert_eq!(status(Version::HTTP_10, &[]), None, "it came with HTTP/1.1");
    }

    #[test]
    fn only_a_name_that_an_object_may_have_is_told_further() {
        let unserved = |name: &str| {
            answer(
                &snapshot(Served::All),
                &Method::GET,
                &format!("/config/{name}"),
                V32,
            )
            .about
            .unserved
        };
        assert_eq!(unserved("infra.example-1").as_deref(), Some("infra.example-1"));
        for name in [
            "Infra",
            "a%0ab",
            "-a",
            "a-",
            "a..b",
            "..",
            "%1b[31m",
            &"a".repeat(254),
            "worker",
        ] {
            assert_eq!(unserved(name), None, "{name}");
        }
    }

    #[test]
    fn readiness_needs_one_pool_and_no_shutdown() {
        let mut snapshot = snapshot(Served::All);
        let status = |snapshot: &Snapshot| answer(snapshot, &Method::GET, "/readyz", None).status.as_u16();
        assert_eq!(status(&snapshot), 200);
        snapshot.draining = true;
        assert_eq!(status(&snapshot), 503);
        snapshot.draining = false;
        snapshot.pools.retain(|name, _| name == "arbiter");
        assert_eq!(status(&snapshot), 503);
        assert_eq!(
            snapshot.readiness(),
            "[-] pool arbiter: cannot be served\nnot ready: no pool can be served\n"
        );
    }
}
