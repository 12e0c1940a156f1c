//! `token` and `pointer`: what new machines are given, against an API server of a few lines.

use serde_json::{Value, json};

use super::api::{Api, SECRETS};
use super::{Ran, finish, mcctl, run};

fn ask(api: &Api, line: &str) -> Ran {
    let mut command = mcctl(line.split_whitespace());
    finish(command.env("KUBECONFIG", api.kubeconfig()))
}

fn done(api: &Api, line: &str) -> String {
    let ran = ask(api, line);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{line}");
    ran.out
}

#[test]
fn a_token_is_made_listed_and_revoked_and_told_once() {
    let api = Api::start();
    assert_eq!(done(&api, "token list"), "there are no join tokens\n");
    let tokens: Vec<String> = [
        "token create pool/worker --once",
        "token create pool/gpu --ttl 30m",
    ]
    .iter()
    .map(|line| done(&api, line).trim().to_owned())
    .collect();
    let list = done(&api, "token list");
    let json = done(&api, "token list -o json");
    for (token, pool) in tokens.iter().zip(["worker", "gpu"]) {
        let (id, secret) = token.split_once('.').unwrap();
        assert!(
            list.lines()
                .any(|line| line.starts_with(&format!("{id}  {pool}"))),
            "{list}"
        );
        assert!(!list.contains(secret) && !json.contains(secret));
    }
    assert!(
        list.contains("one machine") && list.contains("any number of machines"),
        "{list}"
    );
    let listed: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert!(listed[0].get("hash").is_none());
    let id = &tokens[0][..8];
    assert_eq!(
        done(&api, &format!("token revoke {id}")),
        format!("token {id} is revoked\n")
    );
    assert!(!done(&api, "token list").contains(id));
    let again = ask(&api, &format!("token revoke {id}"));
    assert_eq!(again.code, 1);
    assert!(
        again.err.contains("MC6106") && again.err.contains("mcctl token list"),
        "{}",
        again.err
    );
}

#[test]
fn a_life_that_is_none_is_refused_before_anything_is_made() {
    for ttl in ["0s", "91d", "x"] {
        let ran = run(&format!("token create pool/worker --ttl {ttl}"));
        assert_eq!(ran.code, 1, "{ttl}");
        assert!(ran.err.contains("--ttl"), "{}", ran.err);
    }
}

#[test]
fn a_pointer_is_the_cluster_s_with_a_token_in_it() {
    let api = Api::start();
    let missing = ask(&api, "pointer pool/worker");
    assert_eq!(missing.code, 1);
    assert!(
        missing.err.contains("MC6106") && missing.err.contains("--ignition-url"),
        "{}",
        missing.err
    );
    let kept = json!({"ignition": {
        "version": "3.5.0",
        "config": {"merge": [{"source": "https://api-int.example.com:22623/config/worker"}]},
        "security": {"tls": {"certificateAuthorities": [{"source": "data:text/plain;charset=utf-8;base64,Q0E="}]}},
    }});
    let encoded = ignition::contents::base64(kept.to_string().as_bytes());
    let encoded = encoded.trim_start_matches("data:;base64,");
    api.put(
        SECRETS,
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "worker-user-data-managed"},
               "data": {"userData": encoded}}),
    );
    let plain: Value = serde_json::from_str(&done(&api, "pointer pool/worker")).unwrap();
    assert_eq!(plain["ignition"]["version"], "3.0.0");
    assert_eq!(plain["ignition"]["config"], kept["ignition"]["config"]);
    let token = done(&api, "token create pool/worker");
    let with: Value =
        serde_json::from_str(&done(&api, &format!("pointer pool/worker --token {token}"))).unwrap();
    assert_eq!(with["ignition"]["version"], "3.1.0");
    let header = &with["ignition"]["config"]["merge"][0]["httpHeaders"][0];
    assert_eq!(header["value"], format!("Bearer {}", token.trim()));
    let wrong = ask(&api, "pointer pool/worker --token secret.secret");
    assert_eq!(wrong.code, 1);
}

#[test]
fn a_pointer_needs_no_cluster_where_all_is_said() {
    let api = Api::start();
    let ca = api.file(
        "ca.crt",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let line = format!(
        "pointer pool/gpu --url https://192.0.2.10:22623 --ca {}",
        ca.display()
    );
    let pointer: Value = serde_json::from_str(&run(&line).out).unwrap();
    let source = &pointer["ignition"]["config"]["merge"][0]["source"];
    assert_eq!(source, "https://192.0.2.10:22623/config/gpu");
    let empty = api.file("empty.crt", "");
    let ran = run(&format!(
        "pointer pool/gpu --url https://a --ca {}",
        empty.display()
    ));
    assert!(
        ran.code == 1 && ran.err.contains("no PEM certificate"),
        "{}",
        ran.err
    );
    assert_eq!(
        run("pointer pool/gpu --url https://a").code,
        1,
        "one without the other"
    );
}
