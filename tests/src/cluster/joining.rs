//! How nodes join: the token they may ask for certificates with, and the answers to what they ask. Nothing in the cluster answers by
//! itself.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;

use super::api::Api;

/// Who asks for a node's first certificate.
const BOOTSTRAPPER: &str = "node-bootstrapper";

/// Where that account is.
const NAMESPACE: &str = "kube-system";

/// Where requests for certificates are.
const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// Signs what a kubelet shows to the API server.
const CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";

/// Signs what a kubelet shows to those who ask it.
const SERVING: &str = "kubernetes.io/kubelet-serving";

/// How long a token holds, in seconds: longer than anybody takes to boot a node.
const TOKEN: u32 = 3600;

/// Makes the account that new nodes share.
pub(super) fn prepare(api: &Api) -> Result<()> {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": BOOTSTRAPPER}});
    api.create(
        &format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts"),
        &account,
    )?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": BOOTSTRAPPER},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-bootstrapper"},
        "subjects": [{"kind": "ServiceAccount", "name": BOOTSTRAPPER, "namespace": NAMESPACE}],
    });
    api.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding)?;
    Ok(())
}

/// A token of that account.
pub(super) fn token(api: &Api) -> Result<String> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{BOOTSTRAPPER}/token");
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": TOKEN},
    });
    let answer = api.create(&path, &request)?;
    let token = answer["status"]["token"].as_str();
    Ok(token.context("the API server gave no token")?.to_owned())
}

/// Grants the certificates that the nodes of those names have asked for.
pub(super) fn approve(api: &Api, nodes: &[String]) -> Result<()> {
    let requests = api.get(REQUESTS)?;
    for request in requests["items"].as_array().into_iter().flatten() {
        let is_decided = request["status"]["conditions"]
            .as_array()
            .is_some_and(|conditions| !conditions.is_empty());
        if is_decided || !is_due(request, nodes)? {
            continue;
        }
        let name = request["metadata"]["name"].as_str();
        let name = name.context("a request for a certificate has no name")?;
        let approval = json!({"status": {"conditions": [{
            "type": "Approved", "status": "True",
            "reason": "NodeOfCluster", "message": "the node was made for this cluster",
        }]}});
        api.merge(&format!("{REQUESTS}/{name}/approval"), &approval)?;
    }
    Ok(())
}

/// Whether a request is one that a kubelet of a node makes of itself. The first one comes from the account that all share, so only what
/// is in it says who asks.
fn is_due(request: &Value, nodes: &[String]) -> Result<bool> {
    let spec = &request["spec"];
    let pem = STANDARD.decode(spec["request"].as_str().unwrap_or_default())?;
    let subject = common_name(&pem)?;
    let is_ours = nodes.iter().any(|node| subject == format!("system:node:{node}"));
    Ok(is_ours
        && match spec["signerName"].as_str() {
            Some(CLIENT) => true,
            Some(SERVING) => spec["username"] == subject,
            _ => false,
        })
}

/// Whom a request in PEM is about.
fn common_name(pem: &[u8]) -> Result<String> {
    let (_, pem) = parse_x509_pem(pem).context("a request for a certificate is no PEM")?;
    let (rest, request) = X509CertificationRequest::from_der(&pem.contents)
        .context("a request for a certificate cannot be read")?;
    ensure!(rest.is_empty(), "a request for a certificate has more behind it");
    let subject = &request.certification_request_info.subject;
    let name = subject.iter_common_name().next();
    let name = name.context("a request for a certificate names nobody")?;
    Ok(name.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{CLIENT, SERVING, is_due};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use rcgen::{CertificateParams, DnType, KeyPair};
    use serde_json::{Value, json};

    fn request(subject: &str, signer: &str, user: &str) -> Value {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, subject);
        let key = KeyPair::generate().unwrap();
        let pem = params.serialize_request(&key).unwrap().pem().unwrap();
        json!({"spec": {"request": STANDARD.encode(pem), "signerName": signer, "username": user}})
    }

    #[test]
    fn only_the_nodes_of_the_cluster_get_certificates_of_their_own() {
        let nodes = ["one".to_owned(), "two".to_owned()];
        let node = "system:node:one";
        let shared = "system:serviceaccount:kube-system:node-bootstrapper";
        for (subject, signer, user, expected) in [
            (node, CLIENT, shared, true),
            (node, CLIENT, node, true),
            (node, SERVING, node, true),
            (node, SERVING, "system:node:two", false),
            (node, SERVING, shared, false),
            (node, "kubernetes.io/kube-apiserver-client", shared, false),
            ("system:node:other", CLIENT, shared, false),
            ("system:node:one2", CLIENT, shared, false),
            ("one", CLIENT, shared, false),
        ] {
            let due = is_due(&request(subject, signer, user), &nodes).unwrap();
            assert_eq!(due, expected, "{subject} {signer} {user}");
        }
        assert!(is_due(&json!({"spec": {"request": "bm8="}}), &nodes).is_err());
    }
}
