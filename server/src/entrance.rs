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
    ///
    /// Who is told to come again is let go: there is nothing to hand out, what would be judged by may not be known yet, and a token for
    /// one machine is not used up for it.
    pub(crate) async fn pass(&self, mut reply: Reply, asked: &Asked, metrics: &Metrics) -> Reply {
        if reply.status.is_server_error() {
            return reply;
        }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;
    use std::sync::Arc;

    use futures_util::FutureExt as _;
    use futures_util::future::BoxFuture;
    use http::Method;
    use jiff::{SignedDuration, Timestamp};
    use machineconfig::join::{JoinToken, Stored, Uses};

    use super::*;
    use crate::gate::{JoinedNodes, Ledger, Mode, Modes, Networks, Pace, Tokens};
    use crate::metrics::CredentialMetrics;
    use crate::route::answer;
    use crate::snapshot::{Served, Snapshot, Unknown};

    /// Tokens whose use must not be written down.
    struct Untouched;

    impl Ledger for Untouched {
        fn replace<'a>(
            &'a self,
            _: &'a str,
            _: &'a Stored,
            _: &'a Stored,
        ) -> BoxFuture<'a, Result<Result<(), Option<Stored>>, String>> {
            async { panic!("a token was used up") }.boxed()
        }
    }

    #[tokio::test]
    async fn who_is_told_to_come_again_has_used_up_no_token() {
        let [known, unknown] = [1, 2].map(|n| JoinToken::new([n; 4], [n; 16]));
        let tokens = Tokens::new(Box::new(Untouched));
        let expires = Timestamp::now() + SignedDuration::from_hours(1);
        let stored = known.stored("worker", expires, Uses::Once);
        tokens.set(BTreeMap::from([(known.id().to_owned(), stored)]));
        let (sightings, _told) = mpsc::channel(1);
        let entrance = Entrance {
            gate: Gate {
                modes: Modes {
                    join_token: Mode::Enforce,
                    ..Modes::default()
                },
                networks: Networks::default(),
                joined: Arc::new(JoinedNodes::default()),
                tokens: Arc::new(tokens),
                pace: Pace::per_minute(None),
            },
            credentials: Credentials::from_file("/none".into(), CredentialMetrics::default()),
            sightings,
        };
        // No pool is there, and a server that has just begun does not know more.
        let gone = Snapshot {
            served: Served::Cluster(Unknown::Wait),
            ..Snapshot::default()
        };
        let begun = Snapshot {
            served: Served::Cluster(Unknown::GiveUp),
            awaited: vec!["join tokens"],
            ..Snapshot::default()
        };
        for snapshot in [gone, begun] {
            for token in [&known, &unknown] {
                let mut headers = HeaderMap::new();
                let text = format!("Bearer {}", token.revealed());
                headers.insert(http::header::AUTHORIZATION, text.parse().unwrap());
                let asked = Asked {
                    peer: Peer {
                        address: SocketAddr::from(([10, 0, 0, 9], 1)),
                        has_certificate: false,
                    },
                    headers,
                    is_head: false,
                };
                let reply = answer(&snapshot, &Method::GET, "/config/worker", Some("*/*"));
                let reply = entrance.pass(reply, &asked, &Metrics::new()).await;
                assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
            }
        }
    }
}
