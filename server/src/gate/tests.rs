//! The chain as a whole, with every mode of every rule.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Mutex;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use jiff::{SignedDuration, Timestamp};
use machineconfig::join::{JoinToken, Stored, Uses};

use super::*;

/// Tokens that are stored in memory, and that somebody else may change first.
#[derive(Debug, Default)]
struct Memory {
    stored: Mutex<BTreeMap<String, Stored>>,
    broken: bool,
}

impl Ledger for Arc<Memory> {
    fn replace<'a>(
        &'a self,
        id: &'a str,
        seen: &'a Stored,
        new: &'a Stored,
    ) -> BoxFuture<'a, Result<Result<(), Option<Stored>>, String>> {
        let mut stored = self.stored.lock().unwrap();
        let result = if self.broken {
            Err("no answer".to_owned())
        } else if stored.get(id) == Some(seen) {
            stored.insert(id.to_owned(), new.clone());
            Ok(Ok(()))
        } else {
            Ok(Err(stored.get(id).cloned()))
        };
        async move { result }.boxed()
    }
}

const NODE: [u8; 4] = [10, 0, 0, 7];
const POD: [u8; 4] = [10, 128, 0, 7];
const MACHINE: [u8; 4] = [10, 0, 0, 9];

fn token(n: u8) -> JoinToken {
    JoinToken::new([n; 4], [n; 16])
}

/// Token 1 is for one worker, 2 for many.
fn stored() -> BTreeMap<String, Stored> {
    let expires = Timestamp::now() + SignedDuration::from_hours(1);
    [(1, Uses::Once), (2, Uses::UntilExpiry)]
        .map(|(n, uses)| (token(n).id().to_owned(), token(n).stored("worker", expires, uses)))
        .into()
}

fn gate(modes: Modes, memory: &Arc<Memory>) -> Gate {
    let tokens = Tokens::new(Box::new(memory.clone()));
    tokens.set(stored());
    *memory.stored.lock().unwrap() = stored();
    let joined = JoinedNodes::default();
    joined.set("worker-1", vec![NODE.into()]);
    Gate {
        modes,
        networks: Networks {
            allowed: Vec::new(),
            denied: vec!["10.128.0.0/14".parse().unwrap()],
        },
        joined: Arc::new(joined),
        tokens: Arc::new(tokens),
        pace: Pace::per_minute(None),
    }
}

async fn ask(gate: &Gate, address: [u8; 4], pool: &str, authorization: Option<&str>) -> Verdict {
    let mut headers = HeaderMap::new();
    if let Some(text) = authorization {
        headers.insert(AUTHORIZATION, HeaderValue::from_str(text).unwrap());
    }
    gate.judge(Visitor {
        address: address.into(),
        has_certificate: false,
        headers: &headers,
        pool,
    })
    .await
}

fn bearer(n: u8) -> String {
    format!("Bearer {}", token(n).revealed())
}

fn all(mode: Mode) -> Modes {
    Modes {
        networks: mode,
        joined_nodes: mode,
        join_token: mode,
        client_certificate: mode,
    }
}

#[tokio::test]
async fn an_audit_lets_everybody_through_and_says_who_would_not_have_been() {
    let gate = gate(all(Mode::Audit), &Arc::default());
    for (address, expected) in [
        (
            POD,
            vec![Rule::Networks, Rule::ClientCertificate, Rule::JoinToken],
        ),
        (
            NODE,
            vec![Rule::JoinedNodes, Rule::ClientCertificate, Rule::JoinToken],
        ),
        (MACHINE, vec![Rule::ClientCertificate, Rule::JoinToken]),
    ] {
        let verdict = ask(&gate, address, "worker", None).await;
        assert_eq!(verdict.outcome, Ok(Proof::None));
        let rules: Vec<Rule> = verdict.objections.iter().map(|o| o.rule).collect();
        assert_eq!(rules, expected);
        assert!(verdict.objections.iter().all(|objection| !objection.enforced));
    }
    let verdict = ask(&gate, MACHINE, "worker", Some(&bearer(2))).await;
    assert_eq!(
        verdict.outcome,
        Ok(Proof::Token),
        "a good token counts in any mode but off"
    );
}

#[tokio::test]
async fn what_is_enforced_is_refused_by_its_rule() {
    for rule in Rule::ALL {
        let mut modes = all(Mode::Off);
        let (field, status) = match rule {
            Rule::Networks => (&mut modes.networks, 403),
            Rule::JoinedNodes => (&mut modes.joined_nodes, 403),
            Rule::JoinToken => (&mut modes.join_token, 401),
            Rule::ClientCertificate => (&mut modes.client_certificate, 401),
        };
        *field = Mode::Enforce;
        let gate = gate(modes, &Arc::default());
        let mut refused = Vec::new();
        for address in [POD, NODE, MACHINE] {
            let verdict = ask(&gate, address, "worker", None).await;
            if let Err(refusal) = verdict.outcome {
                assert_eq!(refusal.status.as_u16(), status);
                assert_eq!(verdict.objections.len(), 1);
                assert_eq!(
                    (verdict.objections[0].rule, verdict.objections[0].enforced),
                    (rule, true)
                );
                refused.push(address);
            }
        }
        let expected = match rule {
            Rule::Networks => vec![POD],
            Rule::JoinedNodes => vec![NODE],
            Rule::JoinToken | Rule::ClientCertificate => vec![POD, NODE, MACHINE],
        };
        assert_eq!(refused, expected, "{rule:?}");
    }
    let open = gate(all(Mode::Off), &Arc::default());
    assert_eq!(ask(&open, POD, "worker", None).await.objections, []);
}

#[tokio::test]
async fn a_token_is_what_it_says_to_be() {
    let modes = Modes {
        join_token: Mode::Enforce,
        ..all(Mode::Off)
    };
    let gate = gate(modes, &Arc::default());
    let reason = async |pool: &str, authorization: Option<&str>| {
        let verdict = ask(&gate, MACHINE, pool, authorization).await;
        verdict.outcome.map_err(|refusal| refusal.reason)
    };
    assert_eq!(reason("worker", Some(&bearer(2))).await, Ok(Proof::Token));
    assert_eq!(
        reason("worker", Some(&bearer(2).replacen("Bearer", "bearer", 1))).await,
        Ok(Proof::Token)
    );
    for (pool, authorization, expected) in [
        ("worker", None, "the request has no join token"),
        ("master", Some(bearer(2)), "the join token is for another pool"),
        ("worker", Some(bearer(3)), "the join token is not known"),
        (
            "worker",
            Some("Basic eDp5".to_owned()),
            "the Authorization header is no bearer token",
        ),
        (
            "worker",
            Some("Bearer eyJ".to_owned()),
            "the request has something else than a join token",
        ),
    ] {
        assert_eq!(reason(pool, authorization.as_deref()).await, Err(expected));
    }
}

#[tokio::test]
async fn one_machine_has_a_token_for_one_machine_whoever_serves_it() {
    let modes = Modes {
        join_token: Mode::Enforce,
        ..all(Mode::Off)
    };
    let memory = Arc::<Memory>::default();
    // Two servers that share what is stored, and have not heard of each other's changes.
    let (first, second) = (gate(modes, &memory), gate(modes, &memory));
    assert_eq!(
        ask(&first, MACHINE, "worker", Some(&bearer(1))).await.outcome,
        Ok(Proof::Token)
    );
    assert_eq!(
        ask(&second, MACHINE, "worker", Some(&bearer(1))).await.outcome,
        Ok(Proof::Token)
    );
    for gate in [&first, &second] {
        let verdict = ask(gate, POD, "worker", Some(&bearer(1))).await;
        assert_eq!(
            verdict.outcome.unwrap_err().reason,
            "the join token was used before"
        );
    }
}

#[tokio::test]
async fn a_refused_request_uses_no_token_up_and_an_unknown_use_is_none() {
    let modes = Modes {
        networks: Mode::Enforce,
        join_token: Mode::Enforce,
        ..all(Mode::Off)
    };
    let memory = Arc::<Memory>::default();
    let gate_of = gate(modes, &memory);
    let refused = ask(&gate_of, POD, "worker", Some(&bearer(1))).await;
    assert_eq!(refused.outcome.unwrap_err().status.as_u16(), 403);
    let unused = memory
        .stored
        .lock()
        .unwrap()
        .values()
        .all(|stored| stored.used.is_none());
    assert!(unused);
    let broken = Arc::new(Memory {
        broken: true,
        ..Memory::default()
    });
    let verdict = ask(&gate(modes, &broken), MACHINE, "worker", Some(&bearer(1))).await;
    assert_eq!(
        verdict.outcome.unwrap_err().status.as_u16(),
        503,
        "Ignition comes again"
    );
    let audit = gate(all(Mode::Audit), &broken);
    let verdict = ask(&audit, MACHINE, "worker", Some(&bearer(1))).await;
    assert_eq!(verdict.outcome, Ok(Proof::None), "nobody says that it was good");
}

#[tokio::test]
async fn who_comes_too_often_is_told_to_come_again() {
    let mut gate = gate(all(Mode::Off), &Arc::default());
    gate.pace = Pace::per_minute(NonZeroU32::new(1));
    assert!(ask(&gate, MACHINE, "worker", None).await.outcome.is_ok());
    let refused = ask(&gate, MACHINE, "worker", None).await.outcome.unwrap_err();
    assert_eq!(refused.status.as_u16(), 503);
}
