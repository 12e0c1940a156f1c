//! Every clause, broken on its own.

use super::*;

fn strings(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// A machine with a join token asks for the certificate of node new-1.
fn client_request() -> Request {
    Request {
        name: "csr-1".to_owned(),
        signer: CLIENT_SIGNER.to_owned(),
        user: "system:serviceaccount:machine-config-bootstrap:proved-worker".to_owned(),
        groups: strings(&["system:authenticated"]),
        credential: Some("JTI=1".to_owned()),
        usages: strings(&["digital signature", "client auth"]),
        certificate: Some(Wanted {
            common_names: vec!["system:node:new-1".to_owned()],
            organisations: vec!["system:nodes".to_owned()],
            ..Wanted::default()
        }),
        state: RequestState::Pending,
    }
}

/// Node old-1 asks for its serving certificate.
fn serving_request() -> Request {
    Request {
        name: "csr-2".to_owned(),
        signer: SERVING_SIGNER.to_owned(),
        user: "system:node:old-1".to_owned(),
        groups: strings(&["system:nodes", "system:authenticated"]),
        credential: None,
        usages: strings(&["digital signature", "key encipherment", "server auth"]),
        certificate: Some(Wanted {
            common_names: vec!["system:node:old-1".to_owned()],
            organisations: vec!["system:nodes".to_owned()],
            dns: strings(&["old-1"]),
            addresses: BTreeSet::from(["192.0.2.1".parse().unwrap()]),
            ..Wanted::default()
        }),
        state: RequestState::Pending,
    }
}

fn around() -> Surroundings {
    Surroundings {
        nodes: BTreeMap::from([
            ("old-1".to_owned(), strings(&["old-1", "192.0.2.1"])),
            ("old-2".to_owned(), strings(&["old-2", "192.0.2.2"])),
        ]),
        requests: vec![client_request(), serving_request()],
        allowed: strings(&["named-1"]),
    }
}

/// Breaks a request.
type Change = fn(&mut Request);

/// Of the request of a machine: one clause broken at a time, and a part of what is said of it.
const CLIENT_BREAKS: [(&str, Change, &str); 20] = [
    ("unreadable", |r| r.certificate = None, "cannot be read"),
    (
        "another organisation too",
        |r| organisation(r, &["system:nodes", "system:masters"]),
        "exactly one",
    ),
    (
        "the organisation twice",
        |r| organisation(r, &["system:nodes", "system:nodes"]),
        "exactly one",
    ),
    (
        "another organisation",
        |r| organisation(r, &["system:masters"]),
        "organisation system:nodes",
    ),
    ("no organisation", |r| organisation(r, &[]), "exactly one"),
    ("another name", |r| name(r, &["admin"]), "common name"),
    (
        "the name of nobody",
        |r| name(r, &["system:node:"]),
        "common name",
    ),
    (
        "two names",
        |r| name(r, &["system:node:new-1", "system:node:new-2"]),
        "common name",
    ),
    ("no name", |r| name(r, &[]), "common name"),
    (
        "more in the subject",
        |r| certificate(r).has_other_attributes = true,
        "subject",
    ),
    (
        "a host name",
        |r| certificate(r).dns = strings(&["new-1"]),
        "no further names",
    ),
    (
        "an address",
        |r| certificate(r).addresses = BTreeSet::from(["192.0.2.9".parse().unwrap()]),
        "no further names",
    ),
    (
        "another extension",
        |r| certificate(r).has_other_extensions = true,
        "no further names",
    ),
    (
        "for serving too",
        |r| {
            r.usages.insert("server auth".to_owned());
        },
        "nothing else",
    ),
    (
        "for less",
        |r| {
            r.usages.remove("client auth");
        },
        "nothing else",
    ),
    (
        "by a person",
        |r| r.user = "kubernetes-admin".to_owned(),
        "no machine that joins",
    ),
    (
        "by a node",
        |r| r.user = "system:node:old-1".to_owned(),
        "no machine that joins",
    ),
    (
        "by an account elsewhere",
        |r| r.user = "system:serviceaccount:default:proved-worker".to_owned(),
        "no machine",
    ),
    (
        "without a proof",
        |r| r.user = r.user.replace("proved-", "pool-"),
        "no join token",
    ),
    (
        "a node that has joined",
        |r| name(r, &["system:node:old-1"]),
        "joined already",
    ),
];

/// The same of the request of a node.
const SERVING_BREAKS: [(&str, Change, &str); 13] = [
    ("unreadable", |r| r.certificate = None, "cannot be read"),
    (
        "another organisation too",
        |r| organisation(r, &["system:nodes", "system:masters"]),
        "exactly one",
    ),
    (
        "another node",
        |r| name(r, &["system:node:old-2"]),
        "asked for by",
    ),
    (
        "by another node",
        |r| r.user = "system:node:old-2".to_owned(),
        "asked for by",
    ),
    (
        "by a person",
        |r| r.user = "kubernetes-admin".to_owned(),
        "asked for by",
    ),
    ("by nobody of the nodes", |r| r.groups.clear(), "asked for by"),
    (
        "for being a client too",
        |r| {
            r.usages.insert("client auth".to_owned());
        },
        "nothing else",
    ),
    (
        "for less",
        |r| {
            r.usages.remove("server auth");
        },
        "nothing else",
    ),
    (
        "another's name",
        |r| {
            certificate(r).dns.insert("old-2".to_owned());
        },
        "hold for old-2",
    ),
    (
        "another's address",
        |r| {
            certificate(r).addresses.insert("192.0.2.2".parse().unwrap());
        },
        "192.0.2.2",
    ),
    (
        "the API server's name",
        |r| {
            certificate(r).dns.insert("kubernetes.default".to_owned());
        },
        "kubernetes",
    ),
    (
        "another extension",
        |r| certificate(r).has_other_extensions = true,
        "more than names",
    ),
    (
        "no name",
        |r| {
            certificate(r).dns.clear();
            certificate(r).addresses.clear();
        },
        "no name and no address",
    ),
];

#[test]
fn what_meets_every_clause_is_approved() {
    assert!(matches!(judge(&client_request(), &around()), Verdict::Approve(_)));
    assert!(matches!(
        judge(&serving_request(), &around()),
        Verdict::Approve(_)
    ));
    let mut rsa = client_request();
    rsa.usages.insert("key encipherment".to_owned());
    assert!(matches!(judge(&rsa, &around()), Verdict::Approve(_)));
    let mut named = client_request();
    named.user = "system:serviceaccount:machine-config-bootstrap:pool-worker".to_owned();
    named.certificate.as_mut().unwrap().common_names = vec!["system:node:named-1".to_owned()];
    assert!(matches!(judge(&named, &around()), Verdict::Approve(_)));
}

/// One clause is broken at a time, and each break is left for a person.
#[test]
fn each_clause_alone_keeps_a_client_certificate_from_being_approved() {
    for (what, change, expected) in CLIENT_BREAKS {
        let mut request = client_request();
        change(&mut request);
        match judge(&request, &around()) {
            Verdict::Leave(reason) => assert!(reason.contains(expected), "{what}: {reason}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

fn certificate(request: &mut Request) -> &mut Wanted {
    request.certificate.as_mut().unwrap()
}

fn organisation(request: &mut Request, organisations: &[&str]) {
    certificate(request).organisations = organisations.iter().map(|o| (*o).to_owned()).collect();
}

fn name(request: &mut Request, names: &[&str]) {
    certificate(request).common_names = names.iter().map(|n| (*n).to_owned()).collect();
}

#[test]
fn one_machine_at_a_time_may_become_a_node() {
    let mut other = client_request();
    other.name = "csr-0".to_owned();
    other.credential = Some("JTI=2".to_owned());
    for (state, is_left) in [
        (RequestState::Pending, true),
        (RequestState::Approved, true),
        (RequestState::Refused, false),
    ] {
        other.state = state;
        let mut around = around();
        around.requests.push(other.clone());
        let verdict = judge(&client_request(), &around);
        assert_eq!(matches!(verdict, Verdict::Leave(_)), is_left, "{verdict:?}");
    }
    // The same machine, which was restarted and made a new key.
    other.state = RequestState::Approved;
    other.credential = client_request().credential;
    let mut around = around();
    around.requests.push(other);
    assert!(matches!(judge(&client_request(), &around), Verdict::Approve(_)));
}

#[test]
fn each_clause_alone_keeps_a_serving_certificate_from_being_approved() {
    for (what, change, expected) in SERVING_BREAKS {
        let mut request = serving_request();
        change(&mut request);
        match judge(&request, &around()) {
            Verdict::Leave(reason) => assert!(reason.contains(expected), "{what}: {reason}"),
            other => panic!("{what}: {other:?}"),
        }
    }
    let mut gone = around();
    gone.nodes.clear();
    assert!(matches!(judge(&serving_request(), &gone), Verdict::Leave(_)));
}

#[test]
fn what_is_decided_or_another_s_is_left_alone() {
    for state in [RequestState::Approved, RequestState::Refused] {
        let request = Request {
            state,
            ..client_request()
        };
        assert_eq!(judge(&request, &around()), Verdict::NotOurs);
    }
    let request = Request {
        signer: "kubernetes.io/kube-apiserver-client".to_owned(),
        ..client_request()
    };
    assert_eq!(judge(&request, &around()), Verdict::NotOurs);
}

#[test]
fn the_pool_of_a_node_is_that_of_its_credential() {
    let request = client_request();
    let (node, joining) = joining_node(&request).unwrap();
    assert_eq!((node, joining.pool.as_str()), ("new-1", "worker"));
    assert_eq!(joining_node(&serving_request()), None);
}
