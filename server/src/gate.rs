//! Who may have a config: a chain of rules, each of which may only watch. Entry point: [`Gate`].
//!
//! Everyone in the network of a cluster's nodes reaches the port, pods too where nothing keeps them from it, and a config holds secrets.
//! A rule that audits lets everybody through and says whom it would have refused, so that it can be enforced once that is nobody.

mod joined;
mod networks;
mod pace;
mod tokens;

use std::net::IpAddr;
use std::sync::Arc;

use clap::ValueEnum;
use http::{HeaderMap, StatusCode};
use machineconfig::join::Proof;

pub use joined::JoinedNodes;
pub use networks::Networks;
pub use pace::Pace;
pub use tokens::{Ledger, Tokens, UseError};

/// What becomes of a request that a rule does not like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Mode {
    /// The rule is not asked.
    Off,
    /// It is let through, counted and told.
    #[default]
    Audit,
    /// It is refused.
    Enforce,
}

/// The rules, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The address belongs to a network that is let in.
    Networks,
    /// The address is that of no node that has joined already.
    JoinedNodes,
    /// The request has a join token that is good for the pool.
    JoinToken,
    /// The connection has a client certificate of the CA for that.
    ClientCertificate,
}

/// The mode of each rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Modes {
    /// Of [`Rule::Networks`].
    pub networks: Mode,
    /// Of [`Rule::JoinedNodes`].
    pub joined_nodes: Mode,
    /// Of [`Rule::JoinToken`].
    pub join_token: Mode,
    /// Of [`Rule::ClientCertificate`].
    pub client_certificate: Mode,
}

/// Who asks for the config of a pool.
#[derive(Debug, Clone, Copy)]
pub struct Visitor<'a> {
    /// Where it comes from.
    pub address: IpAddr,
    /// Whether its connection has a client certificate that is good.
    pub has_certificate: bool,
    /// The headers of its request.
    pub headers: &'a HeaderMap,
    /// The pool it asks for.
    pub pool: &'a str,
}

/// A rule that was not met, and whether that has consequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Objection {
    /// The rule.
    pub rule: Rule,
    /// Whether the request was refused for it.
    pub enforced: bool,
    /// What is wrong, in words of ours.
    pub reason: &'static str,
}

/// What became of a request at the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What it has shown; or the answer it gets.
    pub outcome: Result<Proof, Refusal>,
    /// Every rule that was not met.
    pub objections: Vec<Objection>,
}

/// The answer to who is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The status. Ignition gives up at 4xx, and comes again at 5xx.
    pub status: StatusCode,
    /// Why, in words of ours.
    pub reason: &'static str,
}

/// The chain.
#[derive(Debug)]
pub struct Gate {
    /// What each rule's word counts.
    pub modes: Modes,
    /// Networks that are let in, and those that are not.
    pub networks: Networks,
    /// Addresses of nodes.
    pub joined: Arc<JoinedNodes>,
    /// Join tokens.
    pub tokens: Arc<Tokens>,
    /// How often an address may come.
    pub pace: Pace,
}

// === impl Rule ===

impl Rule {
    /// All of them, in the order in which they are asked.
    pub const ALL: [Self; 4] = [
        Self::Networks,
        Self::JoinedNodes,
        Self::JoinToken,
        Self::ClientCertificate,
    ];

    /// A word for it: the name of its flag, without the dashes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Networks => "networks",
            Self::JoinedNodes => "joined-nodes",
            Self::JoinToken => "join-token",
            Self::ClientCertificate => "client-certificate",
        }
    }

    /// What a request gets that breaks it.
    fn status(self) -> StatusCode {
        match self {
            Self::Networks | Self::JoinedNodes => StatusCode::FORBIDDEN,
            Self::JoinToken | Self::ClientCertificate => StatusCode::UNAUTHORIZED,
        }
    }
}

impl Modes {
    fn of(self, rule: Rule) -> Mode {
        match rule {
            Rule::Networks => self.networks,
            Rule::JoinedNodes => self.joined_nodes,
            Rule::JoinToken => self.join_token,
            Rule::ClientCertificate => self.client_certificate,
        }
    }
}

// === impl Gate ===

impl Gate {
    /// Lets a request through or not.
    ///
    /// The token is looked at last, so that one that may be used once is not used up by a request that is refused anyhow; and not at all
    /// once the request is refused.
    pub async fn judge(&self, visitor: Visitor<'_>) -> Verdict {
        let mut verdict = Verdict {
            outcome: Ok(Proof::None),
            objections: Vec::new(),
        };
        if !self.pace.admits(visitor.address) {
            verdict.outcome = Err(Refusal {
                status: StatusCode::SERVICE_UNAVAILABLE,
                reason: "the address comes too often",
            });
            return verdict;
        }
        for rule in [Rule::Networks, Rule::JoinedNodes, Rule::ClientCertificate] {
            if self.modes.of(rule) != Mode::Off
                && let Err(reason) = self.look(rule, visitor)
            {
                verdict.object(rule, self.modes.of(rule), reason);
            }
        }
        if self.modes.join_token != Mode::Off && verdict.outcome.is_ok() {
            match self.token(visitor).await {
                Ok(()) => verdict.outcome = Ok(Proof::Token),
                Err(UseError::Refused(reason)) => {
                    verdict.object(Rule::JoinToken, self.modes.join_token, reason);
                }
                // Nobody knows whether the token is good, so nobody may say that it was.
                Err(UseError::Unavailable(reason)) => match self.modes.join_token {
                    Mode::Enforce => {
                        verdict.outcome = Err(Refusal {
                            status: StatusCode::SERVICE_UNAVAILABLE,
                            reason,
                        });
                    }
                    Mode::Audit | Mode::Off => verdict.object(Rule::JoinToken, Mode::Audit, reason),
                },
            }
        }
        verdict
    }

    fn look(&self, rule: Rule, visitor: Visitor<'_>) -> Result<(), &'static str> {
        match rule {
            Rule::Networks => self.networks.admit(visitor.address),
            Rule::JoinedNodes if self.joined.contains(visitor.address) => {
                Err("the address is that of a node that has joined")
            }
            Rule::ClientCertificate if !visitor.has_certificate => {
                Err("the connection has no client certificate of the CA")
            }
            Rule::JoinedNodes | Rule::ClientCertificate | Rule::JoinToken => Ok(()),
        }
    }

    async fn token(&self, visitor: Visitor<'_>) -> Result<(), UseError> {
        let shown = tokens::shown(visitor.headers).map_err(UseError::Refused)?;
        self.tokens.use_up(&shown, visitor.pool, visitor.address).await
    }
}

impl Verdict {
    fn object(&mut self, rule: Rule, mode: Mode, reason: &'static str) {
        let enforced = mode == Mode::Enforce;
        self.objections.push(Objection {
            rule,
            enforced,
            reason,
        });
        // The first one counts.
        if enforced && self.outcome.is_ok() {
            self.outcome = Err(Refusal {
                status: rule.status(),
                reason,
            });
        }
    }
}

#[cfg(test)]
mod tests;
