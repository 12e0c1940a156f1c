//! Joining a cluster: the names and the tokens that the server, the controller and the command line agree on.
//!
//! A machine fetches its config and finds in it a credential that lives for minutes and is good for nothing but asking for the
//! kubelet's certificate. The credential is that of a service account of the machine's pool, so that who asks for the certificate says
//! by itself which pool's config it has booted with, and whether it had shown a join token for it.

pub mod approval;
mod pointer;
mod token;

pub use pointer::{authorities, pointer};
pub use token::{Accepted, JoinToken, Malformed, Refused, Stored, Use, Uses};

/// The namespace whose service accounts new machines ask for their certificates with. Nothing else lives in it.
pub const NAMESPACE: &str = "machine-config-bootstrap";

/// The Secret with the join tokens, in the namespace of the system: for each token its id, and what is [`Stored`] of it.
pub const TOKENS: &str = "machine-config-join-tokens";

/// What a machine has shown before it got its config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Proof {
    /// Nothing that proves anything.
    None,
    /// A join token that was good for its pool.
    Token,
}

/// Who asks for a first certificate: a machine of that pool, with that proof.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Joining {
    /// The pool whose config it was served.
    pub pool: String,
    /// What it had shown for it.
    pub proof: Proof,
}

impl Proof {
    const ALL: [Self; 2] = [Self::None, Self::Token];

    /// What the name of a service account begins with whose machine has shown this.
    fn prefix(self) -> &'static str {
        match self {
            Self::None => "pool-",
            Self::Token => "proved-",
        }
    }
}

impl Joining {
    /// The name of the service account in [`NAMESPACE`].
    #[must_use]
    pub fn account(&self) -> String {
        format!("{}{}", self.proof.prefix(), self.pool)
    }

    /// Who is behind the name that the API server knows a user by, if that is one of these accounts.
    #[must_use]
    pub fn of_user(user: &str) -> Option<Self> {
        let account = user
            .strip_prefix("system:serviceaccount:")?
            .strip_prefix(NAMESPACE)?
            .strip_prefix(':')?;
        Proof::ALL.into_iter().find_map(|proof| {
            let pool = account.strip_prefix(proof.prefix());
            Some(Self {
                pool: pool.filter(|pool| !pool.is_empty())?.to_owned(),
                proof,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_says_the_pool_and_the_proof() {
        for proof in Proof::ALL {
            for pool in ["worker", "gpu.large", "pool-a", "proved-b"] {
                let joining = Joining {
                    pool: pool.to_owned(),
                    proof,
                };
                let user = format!("system:serviceaccount:{NAMESPACE}:{}", joining.account());
                assert_eq!(Joining::of_user(&user), Some(joining));
            }
        }
    }

    #[test]
    fn nobody_else_is_a_joining_machine() {
        for user in [
            "",
            "system:node:worker-1",
            "system:serviceaccount:machine-config:pool-worker",
            "system:serviceaccount:machine-config-bootstrap:pool-",
            "system:serviceaccount:machine-config-bootstrap:default",
            "system:serviceaccount:machine-config-bootstrap-2:pool-worker",
            "xsystem:serviceaccount:machine-config-bootstrap:pool-worker",
        ] {
            assert_eq!(Joining::of_user(user), None, "{user}");
        }
    }
}
