//! Join tokens: what an administrator hands to new machines in their pointer, and what is kept of it.
//!
//! Of a token only a hash is stored. Its secret part has 128 random bits, so a plain hash is as good as a slow one.

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Hexadecimal digits of the public part.
const ID_DIGITS: usize = 8;
/// Hexadecimal digits of the secret part.
const SECRET_DIGITS: usize = 32;
/// For how long a machine that has used a token up may come again: a fetch that was cut off is begun anew.
const AGAIN: SignedDuration = SignedDuration::from_mins(10);

/// A join token as machines present it: `ID.SECRET`. Says its secret only when it is printed on purpose.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    id: String,
    secret: String,
}

/// Text that is no join token. It says nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no join token: expected {ID_DIGITS} hexadecimal digits, a dot, and {SECRET_DIGITS} more")]
pub struct Malformed;

/// How often a token may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Uses {
    /// By one machine.
    Once,
    /// By any number, until it expires.
    UntilExpiry,
}

/// That a token for one machine was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Use {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: IpAddr,
}

/// What is kept of a token, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stored {
    /// SHA-256 of the whole token, in hexadecimal.
    pub hash: String,
    /// The pool it is for.
    pub pool: String,
    /// From then on it is refused.
    pub expires: Timestamp,
    /// How often it may be used.
    pub uses: Uses,
    /// The use of a token that may be used once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Use>,
}

/// A token that is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// As it stands.
    AsItIs,
    /// Once this has been stored, and not before: another machine may be quicker.
    OnceStored(Stored),
}

/// Why a token is refused. None of the reasons says anything of its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody made it, or it was revoked, or its secret is another.
    #[error("the join token is not known")]
    Unknown,
    /// It is another pool's.
    #[error("the join token is for another pool")]
    OtherPool,
    /// Its time is over.
    #[error("the join token has expired")]
    Expired,
    /// Another machine has used it, or this one some time ago.
    #[error("the join token was used before")]
    Used,
}

impl JoinToken {
    /// A token of random bytes.
    #[must_use]
    pub fn new(id: [u8; ID_DIGITS / 2], secret: [u8; SECRET_DIGITS / 2]) -> Self {
        Self {
            id: hexadecimal(&id),
            secret: hexadecimal(&secret),
        }
    }

    /// Its public part, by which it is listed, stored and revoked.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The whole token, for the one who is to have it.
    #[must_use]
    pub fn revealed(&self) -> String {
        format!("{}.{}", self.id, self.secret)
    }

    /// What to store of it.
    #[must_use]
    pub fn stored(&self, pool: &str, expires: Timestamp, uses: Uses) -> Stored {
        Stored {
            hash: self.hash(),
            pool: pool.to_owned(),
            expires,
            uses,
            used: None,
        }
    }

    fn hash(&self) -> String {
        hexadecimal(&Sha256::digest(self.revealed()))
    }
}

impl Stored {
    /// Whether a token that a machine shows is good for a pool's config.
    ///
    /// # Errors
    /// Why it is not. The secret is compared first and in constant time, so that who does not have it learns nothing.
    pub fn judge(
        &self,
        shown: &JoinToken,
        pool: &str,
        by: IpAddr,
        now: Timestamp,
    ) -> Result<Accepted, Refused> {
        if !bool::from(self.hash.as_bytes().ct_eq(shown.hash().as_bytes())) {
            return Err(Refused::Unknown);
        }
        if self.pool != pool {
            return Err(Refused::OtherPool);
        }
        if now >= self.expires {
            return Err(Refused::Expired);
        }
        match (self.uses, &self.used) {
            (Uses::UntilExpiry, _) => Ok(Accepted::AsItIs),
            (Uses::Once, None) => Ok(Accepted::OnceStored(Self {
                used: Some(Use { at: now, by }),
                ..self.clone()
            })),
            (Uses::Once, Some(used)) if used.by == by && now.duration_since(used.at) < AGAIN => {
                Ok(Accepted::AsItIs)
            }
            (Uses::Once, Some(_)) => Err(Refused::Used),
        }
    }
}

impl FromStr for JoinToken {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let is_part = |part: &str, digits| {
            part.len() == digits
                && part
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        match text.split_once('.') {
            Some((id, secret)) if is_part(id, ID_DIGITS) && is_part(secret, SECRET_DIGITS) => Ok(Self {
                id: id.to_owned(),
                secret: secret.to_owned(),
            }),
            Some(_) | None => Err(Malformed),
        }
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "000102030405060708090a0b0c0d0e0f";

    fn token() -> JoinToken {
        format!("0badcafe.{SECRET}").parse().unwrap()
    }

    fn at(text: &str) -> Timestamp {
        format!("2026-01-01T{text}Z").parse().unwrap()
    }

    fn address(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    #[test]
    fn it_is_read_as_it_is_printed_and_hides_its_secret() {
        assert_eq!(token().revealed(), format!("0badcafe.{SECRET}"));
        assert_eq!(
            JoinToken::new(
                [0x0b, 0xad, 0xca, 0xfe],
                [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
            ),
            token()
        );
        assert!(!format!("{:?}", token()).contains(SECRET));
        let stored = token().stored("worker", at("12:00:00"), Uses::Once);
        assert!(!serde_json::to_string(&stored).unwrap().contains(SECRET));
        for text in [
            "",
            "0badcafe",
            "0BADCAFE.000102030405060708090a0b0c0d0e0f",
            "0badcafe.0001",
            "0badcafe.000102030405060708090a0b0c0d0e0f.",
            "0badcafé.000102030405060708090a0b0c0d0e0f",
        ] {
            assert_eq!(text.parse::<JoinToken>(), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn one_for_many_machines_is_good_until_it_expires() {
        let stored = token().stored("worker", at("12:00:00"), Uses::UntilExpiry);
        let judge = |shown: &JoinToken, pool, now| stored.judge(shown, pool, address(1), at(now));
        assert_eq!(judge(&token(), "worker", "11:59:59"), Ok(Accepted::AsItIs));
        assert_eq!(judge(&token(), "worker", "12:00:00"), Err(Refused::Expired));
        assert_eq!(judge(&token(), "master", "11:00:00"), Err(Refused::OtherPool));
        let guessed = JoinToken::new([0x0b, 0xad, 0xca, 0xfe], [0; 16]);
        // Who does not have the secret does not learn which pool it is for, or that it has expired.
        assert_eq!(judge(&guessed, "master", "13:00:00"), Err(Refused::Unknown));
    }

    #[test]
    fn one_for_one_machine_is_used_up_but_may_be_repeated_for_a_while() {
        let fresh = token().stored("worker", at("23:00:00"), Uses::Once);
        let Ok(Accepted::OnceStored(used)) = fresh.judge(&token(), "worker", address(1), at("12:00:00"))
        else {
            panic!("a fresh token is good once it is stored as used");
        };
        let judge = |by, now| used.judge(&token(), "worker", address(by), at(now));
        assert_eq!(judge(1, "12:09:59"), Ok(Accepted::AsItIs));
        assert_eq!(judge(1, "12:10:00"), Err(Refused::Used));
        assert_eq!(judge(2, "12:00:01"), Err(Refused::Used));
        let text = serde_json::to_string(&used).unwrap();
        assert_eq!(serde_json::from_str::<Stored>(&text).unwrap(), used);
    }
}
