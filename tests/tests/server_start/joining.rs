//! Machines that join, from a pool to a node in it: the controller and the server with the rights that are deployed, and a machine that
//! is played.

use anyhow::{Context as _, Result, ensure};
use e2e::cluster::wait_on;
use http::StatusCode;
use machineconfig::join::{JoinToken, Uses};
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use serde_json::{Value, json};

use crate::world::{DEADLINE, World, token_of};
use crate::{file, status};

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const SERVING: &str = "kubernetes.io/kubelet-serving";

#[test]
#[ignore = "needs root, parts of clusters and static programs"]
fn a_machine_becomes_a_node_of_its_pool() -> Result<()> {
    let mut world = World::up()?;
    let outcome = scenarios(&mut world);
    world.judged(outcome)
}

fn scenarios(world: &mut World) -> Result<()> {
    type Scenario = fn(&mut World) -> Result<()>;
    let all: [(&str, Scenario); 4] = [
        ("made", what_machines_need_is_made),
        (
            "approved",
            a_machine_with_a_token_is_approved_and_put_into_its_pool,
        ),
        ("left", what_meets_not_every_clause_is_left_with_a_word),
        ("rotated", a_new_ca_is_trusted_beside_the_old_one),
    ];
    for (name, scenario) in all {
        scenario(world).with_context(|| {
            format!(
                "scenario {name}\n{}\n{}",
                world.log_end(),
                world.controller_log_end()
            )
        })?;
        println!("scenario {name}: ok");
    }
    ensure!(
        !world.controller_log().contains("is forbidden"),
        "a right is missing:\n{}",
        world.controller_log_end()
    );
    Ok(())
}

fn what_machines_need_is_made(world: &mut World) -> Result<()> {
    world.start_controller(&[])?;
    for account in ["pool-worker", "proved-worker", "pool-master"] {
        let path = format!("/api/v1/namespaces/machine-config-bootstrap/serviceaccounts/{account}");
        wait_on(account, DEADLINE, || world.api().find(&path))?;
    }
    let pointer = world.pointer("worker")?;
    ensure!(
        pointer["ignition"]["config"]["merge"][0]["source"] == "https://localhost:22623/config/worker",
        "{pointer}"
    );
    ensure!(pointer["ignition"]["version"] == "3.0.0", "{pointer}");
    world.serve_with_made_pair()?;
    world.start(&["--join-token=enforce"])?;
    world.make_rendered("rendered-worker-a", "a")?;
    // The controller renders nothing here, since there is nothing to render.
    world.set_pool("worker", "rendered-worker-a", &status("rendered-worker-a", 1, 1))?;
    wait_on("the server to be ready, trusted by the pointer", DEADLINE, || {
        Ok(world
            .status("/readyz")
            .is_ok_and(|status| status == 200)
            .then_some(()))
    })
}

/// A token that is stored, and the credential that a machine gets for it.
fn joined(world: &World, n: u8) -> Result<String> {
    let token = JoinToken::new([n; 4], [n; 16]);
    world.store_tokens(&[(&token, "worker", Uses::Once)])?;
    let bearer = format!("Bearer {}", token.revealed());
    let answer = wait_on("the token to be taken", DEADLINE, || {
        let answer = world.get("/config/worker", &[("authorization", &bearer)])?;
        Ok((answer.status == StatusCode::OK).then_some(answer))
    })?;
    let config: Value = serde_json::from_slice(&answer.body)?;
    token_of(&file(&config, "/etc/kubernetes/kubeconfig")?)
}

/// What is asked for, and how.
struct Asked<'a> {
    name: &'a str,
    node: &'a str,
    organisations: &'a [&'a str],
    dns: &'a [&'a str],
    signer: &'a str,
    usages: &'a [&'a str],
}

impl<'a> Asked<'a> {
    fn client(name: &'a str, node: &'a str) -> Self {
        Self {
            name,
            node,
            organisations: &["system:nodes"],
            dns: &[],
            signer: CLIENT,
            usages: &["digital signature", "client auth"],
        }
    }

    fn object(&self) -> Result<Value> {
        let mut params = CertificateParams::new(Vec::new())?;
        for organisation in self.organisations {
            params
                .distinguished_name
                .push(DnType::OrganizationName, *organisation);
        }
        let name = format!("system:node:{}", self.node);
        params.distinguished_name.push(DnType::CommonName, name);
        for dns in self.dns {
            params
                .subject_alt_names
                .push(SanType::DnsName(Ia5String::try_from(*dns)?));
        }
        let pem = params.serialize_request(&KeyPair::generate()?)?.pem()?;
        Ok(json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": self.name},
            "spec": {"request": ignition::contents::base64(pem.as_bytes()).trim_start_matches("data:;base64,"),
                     "signerName": self.signer, "usages": self.usages},
        }))
    }
}

fn is_approved(world: &World, name: &str) -> Result<bool> {
    let request = world.api().get(&format!("{REQUESTS}/{name}"))?;
    let conditions = request["status"]["conditions"].as_array();
    Ok(conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Approved"))
}

fn a_machine_with_a_token_is_approved_and_put_into_its_pool(world: &mut World) -> Result<()> {
    let credential = joined(world, 1)?;
    // Nothing is approved unless that is asked for.
    world.create_as(&credential, &Asked::client("new-1", "new-1").object()?)?;
    world.start_controller(&["--approve-kubelet-certificates"])?;
    wait_on("the approval", DEADLINE, || {
        Ok(is_approved(world, "new-1")?.then_some(()))
    })?;
    let signed = wait_on("the certificate", DEADLINE, || {
        let request = world.api().get(&format!("{REQUESTS}/new-1"))?;
        Ok(request["status"]["certificate"].as_str().map(str::to_owned))
    })?;
    ensure!(!signed.is_empty(), "the certificate is empty");
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "new-1"},
        "status": {"addresses": [{"type": "Hostname", "address": "new-1"}]}});
    world.api().create("/api/v1/nodes", &node)?;
    world
        .api()
        .merge("/api/v1/nodes/new-1/status", &json!({"status": node["status"]}))?;
    let labels = wait_on("the labels", DEADLINE, || {
        let node = world.api().get("/api/v1/nodes/new-1")?;
        let labels = node["metadata"]["labels"].clone();
        Ok(labels["node-role.kubernetes.io/worker"]
            .is_string()
            .then_some(labels))
    })?;
    ensure!(labels["node-role.kubernetes.io/master"].is_null(), "{labels}");
    // What an administrator takes off stays off.
    let off = json!({"metadata": {"labels": {"node-role.kubernetes.io/worker": null, "example.com/x": "1"}}});
    world.api().merge("/api/v1/nodes/new-1", &off)?;
    world.start_controller(&["--approve-kubelet-certificates"])?;
    let again = joined(world, 2)?;
    world.create_as(&again, &Asked::client("new-2", "new-2").object()?)?;
    wait_on("another approval", DEADLINE, || {
        Ok(is_approved(world, "new-2")?.then_some(()))
    })?;
    let node = world.api().get("/api/v1/nodes/new-1")?;
    ensure!(
        node["metadata"]["labels"]["node-role.kubernetes.io/worker"].is_null(),
        "put back"
    );
    Ok(())
}

fn what_meets_not_every_clause_is_left_with_a_word(world: &mut World) -> Result<()> {
    let credential = joined(world, 3)?;
    let masters = Asked {
        organisations: &["system:masters"],
        ..Asked::client("masters", "new-3")
    };
    let named = Asked {
        dns: &["kubernetes"],
        ..Asked::client("named", "new-4")
    };
    let joined_already = Asked::client("again", "new-1");
    let serving = Asked {
        dns: &["new-1"],
        signer: SERVING,
        usages: &["digital signature", "server auth"],
        ..Asked::client("serving", "new-1")
    };
    for (asked, expected) in [
        (&masters, "the organisation system:nodes"),
        (&named, "no further names"),
        (&joined_already, "joined already"),
        // A machine that joins is not the node.
        (&serving, "asked for by"),
    ] {
        // The API server itself refuses some of them, which is as good.
        if let Err(error) = world.create_as(&credential, &asked.object()?) {
            ensure!(
                format!("{error:#}").contains("system:masters"),
                "{}: {error:#}",
                asked.name
            );
            continue;
        }
        wait_on(format!("a word about {}", asked.name), DEADLINE, || {
            let events = world
                .api()
                .get("/apis/events.k8s.io/v1/namespaces/machine-config/events")?;
            let events = events["items"].as_array().cloned().unwrap_or_default();
            let is_told = events.iter().any(|event| {
                event["regarding"]["name"] == asked.name
                    && event["note"].as_str().is_some_and(|note| note.contains(expected))
            });
            Ok(is_told.then_some(()))
        })?;
        ensure!(!is_approved(world, asked.name)?, "{} was approved", asked.name);
    }
    Ok(())
}

fn a_new_ca_is_trusted_beside_the_old_one(world: &mut World) -> Result<()> {
    let old = world.trusted()?;
    world.age_authority()?;
    world.start_controller(&[])?;
    let both = wait_on("two CAs in the pointer", DEADLINE, || {
        let trusted = world.trusted()?;
        Ok((trusted.matches("BEGIN CERTIFICATE").count() == 2).then_some(trusted))
    })?;
    world.serve_with_made_pair()?;
    for trusted in [old, both] {
        wait_on("the new pair, for either pointer", DEADLINE, || {
            Ok(world
                .ask_trusting(&trusted, "/healthz")
                .is_ok_and(|status| status == 200)
                .then_some(()))
        })?;
    }
    Ok(())
}
