//! Pointers that somebody else has made, such as an installer: the CA in them is kept at what is served (`MCO server 2.3`).

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tracing::{info, warn};

use super::Options;
use super::pools::MANAGED;
use crate::api::is_conflict;
use crate::context::Context;

/// The key of a pointer in its Secret.
const KEY: &str = "userData";

/// Puts the CAs that are to be trusted into every pointer of others.
pub(super) async fn reconcile(context: &Context, options: &Options, trusted: &str) -> Result<()> {
    let api = Api::<Secret>::namespaced(context.client.0.clone(), &options.pointers);
    let unmanaged = ListParams::default().labels(&format!("!{MANAGED}"));
    let secrets = api.list(&unmanaged).await.context("could not list pointers")?;
    for secret in secrets {
        let name = secret.metadata.name.as_deref().unwrap_or_default();
        let data = secret.data.as_ref().and_then(|data| data.get(KEY));
        let Some(text) = data.and_then(|bytes| std::str::from_utf8(&bytes.0).ok()) else {
            continue;
        };
        match refreshed(text, trusted) {
            Ok(None) => {}
            Ok(Some(new)) => {
                let patch = json!({
                    "metadata": {"resourceVersion": secret.metadata.resource_version},
                    "data": {KEY: STANDARD.encode(new)},
                });
                match api
                    .patch(name, &PatchParams::default(), &Patch::Merge(patch))
                    .await
                {
                    Ok(_) => info!(secret = name, "Put the new CAs into a pointer"),
                    // Who has changed it meanwhile is looked at the next time.
                    Err(error) if is_conflict(&error) => {}
                    Err(error) => {
                        return Err(error).with_context(|| format!("could not write Secret {name}"));
                    }
                }
            }
            Err(reason) => warn!(secret = name, reason, "A pointer is left as it is"),
        }
    }
    Ok(())
}

/// A pointer with those CAs; none when it has them, or is no pointer.
///
/// # Errors
/// Why it cannot be said which of its CAs is the server's.
fn refreshed(text: &str, trusted: &str) -> Result<Option<String>, &'static str> {
    let Ok(mut pointer) = serde_json::from_str::<Value>(text) else {
        return Ok(None);
    };
    if !pointer["ignition"].is_object() {
        return Ok(None);
    }
    let authorities = pointer
        .pointer_mut("/ignition/security/tls/certificateAuthorities")
        .and_then(Value::as_array_mut);
    let [authority] = authorities.map(Vec::as_mut_slice).unwrap_or_default() else {
        return Err("it names no CA, or more than one");
    };
    let source = machineconfig::join::authorities(trusted);
    if authority["source"] == source.as_str() {
        return Ok(None);
    }
    if !authority.is_object() {
        return Err("its CA is no object");
    }
    authority["source"] = source.into();
    Ok(Some(pointer.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ca_of_a_pointer_is_another_one() {
        let pointer = |source: &str| {
            json!({"ignition": {"version": "2.2.0", "config": {"append": [{"source": "https://a/config/worker"}]},
                   "security": {"tls": {"certificateAuthorities": [{"source": source}]}}}, "x": 1})
        };
        let new = machineconfig::join::authorities("NEW");
        let read = refreshed(&pointer("old").to_string(), "NEW").unwrap().unwrap();
        assert_eq!(serde_json::from_str::<Value>(&read).unwrap(), pointer(&new));
        assert_eq!(refreshed(&pointer(&new).to_string(), "NEW"), Ok(None));
        for no_pointer in ["", "x", "[]", "1", "{}", r#"{"ignition": []}"#] {
            assert_eq!(refreshed(no_pointer, "NEW"), Ok(None), "{no_pointer}");
        }
        let mut many = pointer("old");
        many["ignition"]["security"]["tls"]["certificateAuthorities"] = json!([{}, {}]);
        for unclear in [
            many.to_string(),
            r#"{"ignition": {}}"#.to_owned(),
            r#"{"ignition": {"security": {"tls": {"certificateAuthorities": [1]}}}}"#.to_owned(),
        ] {
            assert!(refreshed(&unclear, "NEW").is_err(), "{unclear}");
        }
    }
}
