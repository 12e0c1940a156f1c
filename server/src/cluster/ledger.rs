//! Join tokens as they are stored: one Secret, of which each key is a token.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Error};
use machineconfig::join::{Stored, TOKENS};
use serde_json::json;

use crate::gate::Ledger;

/// What the API server answers when the object has changed since.
const CONFLICT: u16 = 409;

/// The Secret in a namespace.
pub(super) struct Secrets {
    api: Api<Secret>,
}

impl Secrets {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
        }
    }

    async fn replace_in(
        &self,
        id: &str,
        seen: &Stored,
        new: &Stored,
    ) -> Result<Result<(), Option<Stored>>, Error> {
        let Some(secret) = self.api.get_opt(TOKENS).await? else {
            return Ok(Err(None));
        };
        let now = token(&secret, id);
        if now.as_ref() != Some(seen) {
            return Ok(Err(now));
        }
        let data = serde_json::to_vec(new).map_err(Error::SerdeError)?;
        // Refused when the object is another one by then, which makes of reading and writing one step.
        let patch = json!({
            "metadata": {"resourceVersion": secret.metadata.resource_version},
            "data": {id: STANDARD.encode(data)},
        });
        match self
            .api
            .patch(TOKENS, &PatchParams::default(), &Patch::Merge(patch))
            .await
        {
            Ok(_) => Ok(Ok(())),
            Err(Error::Api(status)) if status.code == CONFLICT => {
                let secret = self.api.get_opt(TOKENS).await?;
                Ok(Err(secret.and_then(|secret| token(&secret, id))))
            }
            Err(error) => Err(error),
        }
    }
}

impl Ledger for Secrets {
    fn replace<'a>(
        &'a self,
        id: &'a str,
        seen: &'a Stored,
        new: &'a Stored,
    ) -> BoxFuture<'a, Result<Result<(), Option<Stored>>, String>> {
        let replaced = self.replace_in(id, seen, new);
        replaced
            .map(|result| result.map_err(|error| error.to_string()))
            .boxed()
    }
}

/// A token that is stored. One that nobody can read is none.
pub(super) fn token(secret: &Secret, id: &str) -> Option<Stored> {
    let bytes = secret.data.as_ref()?.get(id)?;
    serde_json::from_slice(&bytes.0)
        .inspect_err(|error| tracing::warn!(token = id, %error, "A stored join token cannot be read"))
        .ok()
}
