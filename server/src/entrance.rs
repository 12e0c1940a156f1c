//! What stands between a request for a config and the bytes of it, in a cluster: the gate, and the credential of the machine's own.

use std::net::IpAddr;

use http::{HeaderMap, StatusCode};
use machineconfig::join::Joining;
use tokio::sync::mpsc;

use crate::credentials::Credentials;
use crate::gate::{Gate, Objection, Visitor};
use crate::listener::Peer;
use crate::metrics::Metrics;
use crate::route::{Reply, is_object_name};

/// The gate and what is handed out behind it.
#[derive(Debug)]
pub struct Entrance {
    /// Who is let in.
    pub gate: Gate,
    /// What a machine asks for its certificate with.
    pub credentials: Credentials,
    /// Where it is told whom a rule did not like. What nobody takes in time is dropped: it has been counted.
    pub sightings: mpsc::Sender<Sighting>,
}

/// Somebody whom a rule did not like.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sighting {
    /// The pool it asked for, if an object could have that name.
    pub pool: Option<String>,
    /// Where it came from.
    pub address: IpAddr,
    /// What was not liked.
    pub objection: Objection,
}

/// A request for a config, as far as it matters here.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Who asks.
    pub(crate) peer: Peer,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// Only the length is sent.
    pub(crate) is_head: bool,
}

impl Entrance {
    /// The answer to send in the place of `reply`: the same with a credential in it, or another one.
    pub(crate) async fn pass(&self, mut reply: Reply, asked: &Asked, metrics: &Metrics) -> Reply {
        let pool = std::mem::take(&mut reply.about.name);
        let verdict = self
            .gate
            .judge(Visitor {
                address: asked.peer.address.ip(),
                has_certificate: asked.peer.has_certificate,
                headers: &asked.headers,
                pool: &pool,
            })
            .await;
        for objection in &verdict.objections {
            metrics.objected(*objection);
            // A crowd of strangers must not be able to hold up who tells of them.
            let _ = self.sightings.try_send(Sighting {
                pool: is_object_name(&pool).then(|| pool.clone()),
                address: asked.peer.address.ip(),
                objection: *objection,
            });
        }
        let proof = match verdict.outcome {
            Ok(proof) => proof,
            Err(refusal) => return reply.instead(refusal.status, refusal.reason),
        };
        if !reply.body.has_slot() {
            return reply;
        }
        let joining = Joining { pool, proof };
        let credential = if asked.is_head {
            self.credentials.placeholder(&joining).await
        } else {
            self.credentials.take(&joining).await
        };
        match credential {
            Ok(credential) => {
                reply.body = reply.body.filled(credential);
                reply
            }
            Err(error) => {
                tracing::warn!(pool = joining.pool, error, "No credential for a new machine");
                let reason = "no credential for the machine can be had now";
                reply.instead(StatusCode::INTERNAL_SERVER_ERROR, reason)
            }
        }
    }
}
