//! SSH keys, password hashes and whatever else differs in the users and groups of a config.

use std::collections::BTreeSet;

use ignition::tree::{Map, Value};
use sha2::{Digest, Sha256};

use super::context::{Context, Draft};
use super::lists::{both, items, section, strings};
use super::step::{Aspect, Change, Item, Step, Target};
use crate::provenance::Part;

/// Keys of a user that have steps of their own.
const KEYS: &str = "sshAuthorizedKeys";
const HASH: &str = "passwordHash";
/// Characters of the end of a key that are shown.
const KEY_TAIL: usize = 12;
/// Characters of a comment that are shown.
const COMMENT: usize = 60;

/// The steps of all users and groups; at least one if the section differs in any way, since the reference then acts.
pub(super) fn steps(context: &Context<'_>) -> Vec<Step> {
    let passwd = |config| section(config, "/passwd");
    let (old, new) = (
        passwd(&context.current.ignition),
        passwd(&context.desired.ignition),
    );
    if old == new {
        return Vec::new();
    }
    let users = both(
        old.and_then(|old| old.get("users")),
        new.and_then(|new| new.get("users")),
        "name",
    );
    let mut steps = Vec::new();
    let mut others = BTreeSet::new();
    if old.and_then(|old| old.get("groups")) != new.and_then(|new| new.get("groups")) {
        others.insert("groups".to_owned());
    }
    for (name, (old, new)) in users {
        steps.extend(keys(context, name, old, new));
        steps.extend(hash(context, name, old, new));
        others.extend(other_fields(name, old, new));
    }
    if steps.is_empty() && others.is_empty() {
        others.insert("users".to_owned());
    }
    if !others.is_empty() {
        let aspect = Aspect::Declaration {
            fields: others.into_iter().collect(),
        };
        let draft = draft(context, Target::Accounts, Change::Changed, aspect);
        steps.push(context.step(draft, None));
    }
    steps
}

fn draft(context: &Context<'_>, target: Target, change: Change, aspect: Aspect) -> Draft {
    Draft {
        target,
        change,
        aspects: vec![aspect],
        decision: context.decide_account(),
        diff: None,
    }
}

fn keys(context: &Context<'_>, user: &str, old: Option<&Value>, new: Option<&Value>) -> Option<Step> {
    let (before, after) = (strings(old, KEYS), strings(new, KEYS));
    let show = |key: &str, desired| Item {
        value: short_key(key),
        machine_config: context.origin(&Part::SshKey(user.to_owned(), key.to_owned()), desired),
    };
    let aspect = items(&before, &after, show)?;
    let change = match (before.is_empty(), after.is_empty()) {
        (true, _) => Change::Added,
        (false, true) => Change::Removed,
        (false, false) => Change::Changed,
    };
    let target = Target::SshKeys {
        user: user.to_owned(),
    };
    Some(context.step(draft(context, target, change, aspect), None))
}

/// The step for a password hash. Not even a hash of the hash is shown.
fn hash(context: &Context<'_>, user: &str, old: Option<&Value>, new: Option<&Value>) -> Option<Step> {
    fn get(entry: Option<&Value>) -> Option<&str> {
        entry?.get(HASH)?.as_str().filter(|hash| !hash.is_empty())
    }
    let (before, after) = (get(old), get(new));
    let change = match (before, after) {
        (before, after) if before == after => return None,
        (None, _) => Change::Added,
        (Some(_), None) => Change::Removed,
        (Some(_), Some(_)) => Change::Changed,
    };
    let set = |hash: Option<&str>| hash.map(|_| "set".to_owned());
    let aspect = Aspect::Value {
        before: set(before),
        after: set(after),
    };
    let target = Target::PasswordHash {
        user: user.to_owned(),
    };
    Some(context.step(
        draft(context, target, change, aspect),
        Some(&Part::User(user.to_owned())),
    ))
}

/// What differs of a user besides keys and hash, as `core.shell`; just the name for a user who has neither and comes or goes.
fn other_fields(name: &str, old: Option<&Value>, new: Option<&Value>) -> Vec<String> {
    let empty = Map::default();
    let fields =
        |entry: Option<&'_ Value>| -> Map { entry.and_then(Value::as_object).unwrap_or(&empty).clone() };
    let (old, new) = (fields(old), fields(new));
    let own = |key: &&str| *key != KEYS && *key != HASH && *key != "name";
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).filter(own).collect();
    let mut differ: Vec<_> = keys
        .into_iter()
        .filter(|key| old.get(key) != new.get(key))
        .map(|key| format!("{name}.{key}"))
        .collect();
    let bare = |user: &Map| user.keys().all(|key| key == "name");
    if old.is_empty() != new.is_empty() && bare(&old) && bare(&new) {
        differ.push(name.to_owned());
    }
    differ
}

/// A public key that can be recognised and says nothing more: type, last characters and comment. What is no key is a hash.
#[must_use]
pub fn short_key(key: &str) -> String {
    let mut words = key.split_whitespace();
    let mut kind = words.by_ref().find(|word| is_key_type(word));
    match (kind.take(), words.next()) {
        (Some(kind), Some(body)) if body.is_ascii() => {
            let tail = &body[body.len().saturating_sub(KEY_TAIL)..];
            let comment: String = words
                .collect::<Vec<_>>()
                .join(" ")
                .chars()
                .take(COMMENT)
                .collect();
            format!("{kind} …{tail} {comment}").trim_end().to_owned()
        }
        _ => {
            let digest = Sha256::digest(key.as_bytes());
            format!(
                "entry sha256:{:02x}{:02x}{:02x}{:02x}",
                digest[0], digest[1], digest[2], digest[3]
            )
        }
    }
}

fn is_key_type(word: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"]
        .iter()
        .any(|prefix| word.starts_with(prefix))
        && word.len() <= 64
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-@.".contains(c))
}
