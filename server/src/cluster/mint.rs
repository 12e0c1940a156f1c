//! Credentials as bound tokens of service accounts: nothing is stored, and they end by themselves.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, PostParams};
use machineconfig::join::{Joining, NAMESPACE};

use crate::cli::AccountName;
use crate::credentials::Mint;

/// Asks the API server for tokens.
pub(super) struct ServiceAccounts {
    client: Client,
    /// One for all pools, instead of one for each.
    account: Option<AccountName>,
    lifetime: Duration,
}

impl ServiceAccounts {
    pub(super) fn new(client: Client, account: Option<AccountName>, lifetime: Duration) -> Self {
        Self {
            client,
            account,
            lifetime,
        }
    }

    async fn request(&self, joining: &Joining) -> Result<Bytes, String> {
        let (namespace, account) = match &self.account {
            Some(name) => (name.namespace.as_str(), name.name.clone()),
            None => (NAMESPACE, joining.account()),
        };
        let api = Api::<ServiceAccount>::namespaced(self.client.clone(), namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                expiration_seconds: i64::try_from(self.lifetime.as_secs()).ok(),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let answer = api
            .create_token_request(&account, &PostParams::default(), &request)
            .await
            .map_err(|error| format!("no token of ServiceAccount {namespace}/{account}: {error}"))?;
        answer
            .status
            .map(|status| Bytes::from(status.token))
            .ok_or_else(|| format!("no token of ServiceAccount {namespace}/{account}: the answer is empty"))
    }
}

impl Mint for ServiceAccounts {
    fn mint<'a>(&'a self, joining: &'a Joining) -> BoxFuture<'a, Result<Bytes, String>> {
        self.request(joining).boxed()
    }
}
