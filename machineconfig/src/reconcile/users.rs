//! The rule for users: only SSH keys and password hash of `core` can change on a node that runs already.

use ignition::tree::{Map, Value};

use crate::provenance::Part;
use crate::{Code, Finding};

use super::{Change, section};

/// The one user that nodes manage.
const CORE: &str = "core";
/// Where the users are.
const FIELD: &str = "spec.config.passwd.users";
/// The fields of another user who is on the node that can change, with the one that names him.
const KEYS: [&str; 2] = ["name", "sshAuthorizedKeys"];
/// The fields of a user that can change, with the one that names it.
const CHANGEABLE: [&str; 3] = ["name", "passwordHash", "sshAuthorizedKeys"];

/// What is refused of the new users, when they differ from the old ones at all.
pub(super) fn refusals(change: &Change<'_>) -> Vec<Finding> {
    let (old, new) = (
        section(change.old, "passwd.users"),
        section(change.new, "passwd.users"),
    );
    let users = new.and_then(Value::as_array).unwrap_or_default();
    if old == new {
        return Vec::new();
    }
    let mut refusals: Vec<Finding> = users
        .iter()
        .filter(|user| name(user) != CORE && !only_keys(change, user))
        .map(name)
        .map(|name| {
            let message = format!("the user {name:?} is not {CORE}");
            Finding::error(Code::CHANGED_USER, blamed(change, name), FIELD, message)
        })
        .collect();
    // As in the reference it is the last entry that counts.
    refusals.extend(
        users
            .last()
            .filter(|user| name(user) == CORE)
            .and_then(|core| core_refusal(change, core)),
    );
    refusals
}

fn core_refusal(change: &Change<'_>, core: &Value) -> Option<Finding> {
    let has_key = core
        .get("sshAuthorizedKeys")
        .and_then(Value::as_array)
        .is_some_and(|keys| !keys.is_empty());
    if !has_key && core.get("passwordHash").is_none() {
        let message = format!("the user {CORE} has neither an SSH key nor a password hash");
        return Some(Finding::error(
            Code::CHANGED_USER_EMPTY,
            blamed(change, CORE),
            FIELD,
            message,
        ));
    }
    let others: Vec<&str> = core
        .as_object()?
        .keys()
        .filter(|field| !CHANGEABLE.contains(field))
        .collect();
    (!others.is_empty()).then(|| {
        let message = format!(
            "the user {CORE} has {}, which only act when it is made",
            others.join(", ")
        );
        Finding::error(Code::CHANGED_USER_FIELD, blamed(change, CORE), FIELD, message)
    })
}

/// Whether a config says nothing of a user who is on the node but his keys.
fn only_keys(change: &Change<'_>, user: &Value) -> bool {
    let mut fields = user.as_object().into_iter().flat_map(Map::keys);
    change.users.contains(name(user)) && fields.all(|field| KEYS.contains(&field))
}

fn name(user: &Value) -> &str {
    user.text("name")
}

fn blamed(change: &Change<'_>, user: &str) -> String {
    change.blamed(&Part::User(user.to_owned()))
}
