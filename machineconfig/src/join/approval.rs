//! Which certificates of kubelets are approved with no hand on them. Entry point: [`judge`].
//!
//! A certificate of a kubelet lets its holder act as that node, so a rule that is too wide gives the cluster away. What does not meet
//! every clause is left for a person, with the clause.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Joining, Proof};

/// Who signs the certificates that kubelets show to the API server.
pub const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Who signs those that they show to others.
pub const SERVING_SIGNER: &str = "kubernetes.io/kubelet-serving";

/// What the name of a node's user begins with.
const NODE_USER: &str = "system:node:";
/// The one organisation that a kubelet is of.
const NODES: &str = "system:nodes";
/// What a client certificate is for; the second one only where the key is of RSA.
const CLIENT_USAGES: [&str; 3] = ["digital signature", "client auth", "key encipherment"];
/// What a serving certificate is for.
const SERVING_USAGES: [&str; 3] = ["digital signature", "server auth", "key encipherment"];

/// A request for a certificate, as far as it matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The name of the object.
    pub name: String,
    /// Who is to sign.
    pub signer: String,
    /// Who asks.
    pub user: String,
    /// The groups of who asks.
    pub groups: BTreeSet<String>,
    /// The credential that it was asked with, where the API server says it.
    pub credential: Option<String>,
    /// What the certificate is to be for.
    pub usages: BTreeSet<String>,
    /// The certificate that is asked for; none when that cannot be read.
    pub certificate: Option<Wanted>,
    /// How far it is.
    pub state: RequestState,
}

/// The certificate that is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The common names of its subject.
    pub common_names: Vec<String>,
    /// The organisations of its subject.
    pub organisations: Vec<String>,
    /// Whether its subject says anything else.
    pub has_other_attributes: bool,
    /// Names that it is to hold for.
    pub dns: BTreeSet<String>,
    /// Addresses that it is to hold for.
    pub addresses: BTreeSet<IpAddr>,
    /// Whether it is to hold for anything else, or asks for more than names.
    pub has_other_extensions: bool,
}

/// How far a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RequestState {
    /// Nobody has decided.
    #[default]
    Pending,
    /// It is or will be signed.
    Approved,
    /// It will never be.
    Refused,
}

/// What is known beside the request.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The nodes there are, and the names and addresses of each.
    pub nodes: BTreeMap<String, BTreeSet<String>>,
    /// All requests there are, this one perhaps included.
    pub requests: Vec<Request>,
    /// Names of nodes that a person lets join without a token.
    pub allowed: BTreeSet<String>,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is no business of these rules.
    NotOurs,
    /// It is approved, for this reason.
    Approve(&'static str),
    /// It is left for a person, for this reason.
    Leave(String),
}

/// Decides on a request that nobody has decided on.
#[must_use]
pub fn judge(request: &Request, around: &Surroundings) -> Verdict {
    let outcome = match request.signer.as_str() {
        _ if request.state != RequestState::Pending => return Verdict::NotOurs,
        CLIENT_SIGNER => client(request, around),
        SERVING_SIGNER => serving(request, around),
        _ => return Verdict::NotOurs,
    };
    match outcome {
        Ok(reason) => Verdict::Approve(reason),
        Err(reason) => Verdict::Leave(reason),
    }
}

/// The machine behind a client certificate that was asked for or given: the node's name, and what it had joined with.
#[must_use]
pub fn joining_node(request: &Request) -> Option<(&str, Joining)> {
    if request.signer != CLIENT_SIGNER {
        return None;
    }
    let joining = Joining::of_user(&request.user)?;
    let node = node_of(request.certificate.as_ref()?).ok()?;
    Some((node, joining))
}

fn client(request: &Request, around: &Surroundings) -> Result<&'static str, String> {
    let Some(joining) = Joining::of_user(&request.user) else {
        // A kubelet that renews its own is approved by the cluster itself.
        return Err(format!(
            "it was asked for by {}, which is no machine that joins",
            request.user
        ));
    };
    let wanted = request.certificate.as_ref().ok_or("it cannot be read")?;
    let node = node_of(wanted)?;
    if !wanted.dns.is_empty() || !wanted.addresses.is_empty() || wanted.has_other_extensions {
        return Err("a client certificate of a kubelet has no further names or extensions".to_owned());
    }
    usages(request, &CLIENT_USAGES)?;
    if around.nodes.contains_key(node) {
        return Err(format!(
            "node {node} has joined already; delete it first if the machine is another one"
        ));
    }
    if let Some(other) = rival(request, node, around) {
        return Err(format!("node {node} is asked for by {other} too"));
    }
    match joining.proof {
        Proof::Token => Ok("a machine with a join token asks for its first certificate"),
        Proof::None if around.allowed.contains(node) => {
            Ok("a machine that was let join by its name asks for its first certificate")
        }
        Proof::None => Err(format!(
            "the machine has shown no join token, and node {node} is not among those that are let join by name"
        )),
    }
}

/// Another request for the same node that is not over. One by the same credential is of the same machine, which has begun anew.
fn rival<'a>(request: &Request, node: &str, around: &'a Surroundings) -> Option<&'a str> {
    let is_rival = |other: &&Request| {
        let is_same_machine = request.credential.is_some() && request.credential == other.credential;
        let is_over = match other.state {
            RequestState::Pending | RequestState::Approved => false,
            RequestState::Refused => true,
        };
        let is_of_node = other.signer == CLIENT_SIGNER
            && other
                .certificate
                .as_ref()
                .is_some_and(|wanted| node_of(wanted) == Ok(node));
        other.name != request.name && is_of_node && !is_over && !is_same_machine
    };
    around
        .requests
        .iter()
        .find(is_rival)
        .map(|other| other.name.as_str())
}

fn serving(request: &Request, around: &Surroundings) -> Result<&'static str, String> {
    let wanted = request.certificate.as_ref().ok_or("it cannot be read")?;
    let node = node_of(wanted)?;
    if request.user != format!("{NODE_USER}{node}") || !request.groups.contains(NODES) {
        return Err(format!(
            "it is for node {node}, and was asked for by {}",
            request.user
        ));
    }
    usages(request, &SERVING_USAGES)?;
    if wanted.has_other_extensions {
        return Err("it asks for more than names and addresses".to_owned());
    }
    let known = around
        .nodes
        .get(node)
        .ok_or_else(|| format!("there is no node {node}"))?;
    let addresses = wanted.addresses.iter().map(ToString::to_string);
    let names: Vec<String> = wanted.dns.iter().cloned().chain(addresses).collect();
    if names.is_empty() {
        return Err("it holds for no name and no address".to_owned());
    }
    match names.into_iter().find(|name| !known.contains(name)) {
        Some(stranger) => Err(format!(
            "it is to hold for {stranger}, which is no name and no address that node {node} says to have"
        )),
        None => Ok("a node asks for a serving certificate for its own names"),
    }
}

/// The node whose certificate it would be.
fn node_of(wanted: &Wanted) -> Result<&str, String> {
    let [organisation] = wanted.organisations.as_slice() else {
        return Err(format!("it must be of exactly one organisation, {NODES}"));
    };
    if organisation != NODES {
        return Err(format!("it must be of the organisation {NODES}"));
    }
    if wanted.has_other_attributes {
        return Err("its subject says more than a name and an organisation".to_owned());
    }
    let name = match wanted.common_names.as_slice() {
        [name] => name.strip_prefix(NODE_USER),
        _ => None,
    };
    name.filter(|name| !name.is_empty())
        .ok_or_else(|| format!("its common name must be {NODE_USER}NAME"))
}

/// All of the first two, and nothing but the three.
fn usages(request: &Request, expected: &[&str; 3]) -> Result<(), String> {
    let [first, second, _] = expected;
    let has_all = request.usages.contains(*first) && request.usages.contains(*second);
    let has_more = request
        .usages
        .iter()
        .any(|usage| !expected.contains(&usage.as_str()));
    if has_all && !has_more {
        return Ok(());
    }
    Err(format!("it must be for {first} and {second} and nothing else"))
}

#[cfg(test)]
mod tests {
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
        type Change = fn(&mut Request);
        let cases: [(&str, Change, &str); 20] = [
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
                |r| drop(r.usages.insert("server auth".to_owned())),
                "nothing else",
            ),
            (
                "for less",
                |r| drop(r.usages.remove("client auth")),
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
        for (what, change, expected) in cases {
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
        type Change = fn(&mut Request);
        let cases: [(&str, Change, &str); 13] = [
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
                |r| drop(r.usages.insert("client auth".to_owned())),
                "nothing else",
            ),
            (
                "for less",
                |r| drop(r.usages.remove("server auth")),
                "nothing else",
            ),
            (
                "another's name",
                |r| drop(certificate(r).dns.insert("old-2".to_owned())),
                "hold for old-2",
            ),
            (
                "another's address",
                |r| drop(certificate(r).addresses.insert("192.0.2.2".parse().unwrap())),
                "192.0.2.2",
            ),
            (
                "the API server's name",
                |r| drop(certificate(r).dns.insert("kubernetes.default".to_owned())),
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
        for (what, change, expected) in cases {
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
}
