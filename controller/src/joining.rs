//! Machines that join: what the server of their configs needs, and what becomes of their requests for certificates.
//!
//! [`certificates`] keeps the CA and the serving pair, [`pools`] what each pool's machines need, [`requests`] approves certificates of
//! kubelets and puts labels on nodes that have joined. The rules are in `machineconfig::join`.

mod authority;
mod certificates;
mod csr;
mod pools;
mod requests;
mod user_data;

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::{Api, Client};
use machineconfig::join::approval::Request;

use crate::caches::{Cache, Change, feed};
use crate::context::Context;
use crate::queue::{self, Next};

pub(crate) use csr::request;

/// The key that certificates are looked after by; no pool can have that name.
const CERTIFICATES: &str = "/certificates";
/// Requests that are looked at at once.
const AT_ONCE: usize = 8;

/// What is decided by flags.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Where new machines find the server: `https://HOST:PORT`.
    pub(crate) url: String,
    /// Further hosts that the server is reached by.
    pub(crate) hosts: Vec<String>,
    /// The namespace of the system: certificates.
    pub(crate) namespace: String,
    /// The namespace of the pointers.
    pub(crate) pointers: String,
    /// Whether certificates of kubelets are approved.
    pub(crate) approve: bool,
}

impl Options {
    /// Every host that what is served holds for; the one that pointers name comes first.
    fn hosts(&self) -> Vec<String> {
        let authority = self.url.trim_start_matches("https://");
        let host = authority
            .rsplit_once(':')
            .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
            .map_or(authority, |(host, _)| host)
            .trim_matches(['[', ']']);
        let mut hosts = vec![host.to_owned()];
        for other in &self.hosts {
            if !hosts.contains(other) {
                hosts.push(other.clone());
            }
        }
        hosts
    }
}

/// Has everything looked at.
pub(crate) fn begin(context: &Context) {
    if context.options.joining.is_none() {
        return;
    }
    context.queues.joining.wake(CERTIFICATES, Duration::ZERO);
    for request in context.caches.requests.all() {
        context.queues.requests.wake(&request.name, Duration::ZERO);
    }
}

/// Has a pool's accounts and pointer looked at.
pub(crate) fn pool(context: &Context, name: &str) {
    if context.options.joining.is_some() {
        context.queues.joining.wake(name, Duration::ZERO);
    }
}

/// Keeps the requests for certificates known. Does not end.
pub(crate) async fn watch(client: Client, cache: &Cache<Request>, changed: impl Fn(Change<'_, Request>)) {
    let api = Api::<CertificateSigningRequest>::all(client);
    let open = |object: CertificateSigningRequest| {
        let request = request(&object);
        Some((request.name.clone(), request))
    };
    feed(api, cache, open, changed).await;
}

/// Works. Does not end.
pub(crate) async fn work(context: &Context) {
    let Some(options) = &context.options.joining else {
        return std::future::pending().await;
    };
    tokio::join!(
        queue::run(&context.queues.joining, 1, |key| tend(context, options, key)),
        queue::run(&context.queues.requests, AT_ONCE, |name| requests::reconcile(
            context, options, name
        )),
    );
}

async fn tend(context: &Context, options: &Options, key: String) -> Result<Next> {
    if key == CERTIFICATES {
        certificates::reconcile(context, options).await
    } else {
        pools::reconcile(context, options, &key).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_the_pointer_comes_first() {
        let hosts = |url: &str, hosts: &[&str]| {
            Options {
                url: url.to_owned(),
                hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
                namespace: String::new(),
                pointers: String::new(),
                approve: false,
            }
            .hosts()
        };
        assert_eq!(
            hosts("https://api-int.example.com:22623", &[]),
            ["api-int.example.com"]
        );
        assert_eq!(
            hosts("https://api-int", &["192.0.2.1", "api-int"]),
            ["api-int", "192.0.2.1"]
        );
        assert_eq!(hosts("https://[2001:db8::1]:22623", &[]), ["2001:db8::1"]);
        assert_eq!(hosts("https://192.0.2.1:1", &[]), ["192.0.2.1"]);
    }
}
