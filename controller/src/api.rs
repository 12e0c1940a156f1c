//! How objects are written, and what the API server's refusals mean.

use kube::Error;
use kube::api::{Api, Patch, PatchParams};
use serde::de::DeserializeOwned;
use serde_json::Value;

const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;
const TOO_MANY_REQUESTS: u16 = 429;
const UNAUTHORIZED: u16 = 401;
const TIMEOUT: u16 = 408;

fn code(error: &Error) -> Option<u16> {
    match error {
        Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// Whether somebody else has changed or made the object since it was read.
pub(crate) fn is_conflict(error: &Error) -> bool {
    code(error) == Some(CONFLICT)
}

/// Whether the object is not there.
pub(crate) fn is_missing(error: &Error) -> bool {
    code(error) == Some(NOT_FOUND)
}

/// Whether a budget forbids an eviction; the same code without that cause means that the API server is busy.
pub(crate) fn is_budget(error: &Error) -> bool {
    let Error::Api(status) = error else {
        return false;
    };
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == TOO_MANY_REQUESTS && causes.any(|cause| cause.reason == "DisruptionBudget")
}

/// Whether the request itself is refused, so that it makes no sense to send it again at once: people must be told.
pub(crate) fn is_refused(error: &Error) -> bool {
    code(error).is_some_and(|code| {
        (400..500).contains(&code)
            && ![NOT_FOUND, CONFLICT, TOO_MANY_REQUESTS, UNAUTHORIZED, TIMEOUT].contains(&code)
    })
}

/// What an error says, without the whole of the answer.
pub(crate) fn said(error: &Error) -> String {
    match error {
        Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// None for an object that is not there.
pub(crate) fn missing<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Applies fields of an object as theirs whose `manager` it is; who else says something of these fields no longer does.
pub(crate) async fn apply<K>(api: &Api<K>, manager: &str, name: &str, fields: &Value) -> Result<K, Error>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    api.patch(name, &PatchParams::apply(manager).force(), &Patch::Apply(fields))
        .await
}

/// As [`apply`], for the status.
pub(crate) async fn apply_status<K>(
    api: &Api<K>,
    manager: &str,
    name: &str,
    fields: &Value,
) -> Result<K, Error>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    api.patch_status(name, &PatchParams::apply(manager).force(), &Patch::Apply(fields))
        .await
}

/// Writes a JSON merge patch, which may name the version that it is for.
pub(crate) async fn merge<K>(api: &Api<K>, manager: &str, name: &str, change: &Value) -> Result<K, Error>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let parameters = PatchParams {
        field_manager: Some(manager.to_owned()),
        ..PatchParams::default()
    };
    api.patch(name, &parameters, &Patch::Merge(change)).await
}
