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
mod tests;
