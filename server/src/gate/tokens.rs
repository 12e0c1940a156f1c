//! Join tokens that machines show.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};

use futures_util::future::BoxFuture;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use machineconfig::join::{Accepted, JoinToken, Refused, Stored};

/// How often the use of a token is stored anew when others were quicker.
const ATTEMPTS: usize = 5;

/// The tokens there are, and where their use is written down.
pub struct Tokens {
    known: RwLock<BTreeMap<String, Stored>>,
    ledger: Box<dyn Ledger>,
}

/// Where tokens are stored.
pub trait Ledger: Send + Sync {
    /// Stores a token, provided that what is stored of it is what was `seen`; else the result is what is stored now.
    fn replace<'a>(
        &'a self,
        id: &'a str,
        seen: &'a Stored,
        new: &'a Stored,
    ) -> BoxFuture<'a, Result<Result<(), Option<Stored>>, String>>;
}

/// Why a token does not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UseError {
    /// It is not good.
    Refused(&'static str),
    /// It may be good, and that cannot be said for certain now.
    Unavailable(&'static str),
}

impl Tokens {
    /// None yet.
    #[must_use]
    pub fn new(ledger: Box<dyn Ledger>) -> Self {
        Self {
            known: RwLock::default(),
            ledger,
        }
    }

    /// These are all there are, from now on.
    pub fn set(&self, known: BTreeMap<String, Stored>) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Takes a token for a pool's config.
    ///
    /// # Errors
    /// Why it is not good, or why nobody knows.
    pub async fn use_up(&self, shown: &JoinToken, pool: &str, by: IpAddr) -> Result<(), UseError> {
        let mut stored = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.get(shown.id()).cloned()
        };
        for _ in 0..ATTEMPTS {
            let seen = stored.ok_or(UseError::Refused(words(Refused::Unknown)))?;
            let accepted = seen
                .judge(shown, pool, by, Timestamp::now())
                .map_err(|refused| UseError::Refused(words(refused)))?;
            let new = match accepted {
                Accepted::AsItIs => return Ok(()),
                Accepted::OnceStored(new) => new,
            };
            match self.ledger.replace(shown.id(), &seen, &new).await {
                Ok(Ok(())) => {
                    let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
                    known.insert(shown.id().to_owned(), new);
                    return Ok(());
                }
                Ok(Err(now)) => stored = now,
                Err(error) => {
                    tracing::warn!(
                        token = shown.id(),
                        error,
                        "The use of a join token cannot be stored"
                    );
                    return Err(UseError::Unavailable(
                        "the use of the join token cannot be stored",
                    ));
                }
            }
        }
        Err(UseError::Unavailable("the join token is being used by others"))
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// The token of a request. None of the errors says anything of what is in its place.
pub(super) fn shown(headers: &HeaderMap) -> Result<JoinToken, &'static str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Err("the request has no join token"),
        (Some(value), None) => value,
        (Some(_), Some(_)) => return Err("the request has several Authorization headers"),
    };
    let text = value.to_str().ok().and_then(|text| text.split_once(' '));
    match text {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token
            .trim()
            .parse()
            .map_err(|_| "the request has something else than a join token"),
        Some(_) | None => Err("the Authorization header is no bearer token"),
    }
}

fn words(refused: Refused) -> &'static str {
    match refused {
        Refused::Unknown => "the join token is not known",
        Refused::OtherPool => "the join token is for another pool",
        Refused::Expired => "the join token has expired",
        Refused::Used => "the join token was used before",
    }
}
