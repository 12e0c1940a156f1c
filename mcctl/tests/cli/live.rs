//! The commands that ask a cluster, against an API server of a few lines.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::api::{Api, BUDGETS, CONFIGS, EVENTS, LEASES, NODES, PODS, POOLS, REPORTS};
use super::{Ran, finish, mcctl, run};

/// How long something may take that takes milliseconds.
const DEADLINE: Duration = Duration::from_secs(20);

/// The rendered config of the examples, as a MachineConfig.
fn rendered(files: &str) -> Value {
    let ran = run(&format!("render --pool worker -f {files} -o json"));
    serde_json::from_str(&ran.out).unwrap()
}

/// The directory that holds `examples/`.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "the callers make it in place")]
fn pool(name: &str, config: &str, spec: Value) -> Value {
    let mut object = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool",
        "metadata": {"name": name},
        "spec": {
            "machineConfigSelector": {"matchLabels": {"machineconfiguration.openshift.io/role": name}},
            "nodeSelector": {"matchLabels": {format!("node-role.kubernetes.io/{name}"): ""}},
            "configuration": {"name": config},
        },
    });
    for (key, value) in spec.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    object
}

fn node(name: &str, [current, desired, state]: [&str; 3], more: &[(&str, &str)]) -> Value {
    let mut annotations = json!({
        "machineconfiguration.openshift.io/currentConfig": current,
        "machineconfiguration.openshift.io/desiredConfig": desired,
        "machineconfiguration.openshift.io/state": state,
    });
    for (key, value) in more {
        annotations[*key] = (*value).into();
    }
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": name, "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": annotations,
            "labels": {"node-role.kubernetes.io/worker": ""},
        },
        "spec": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    })
}

/// A cluster whose pool goes from the examples to their second revision: one node has it, one is drained and blocked, and two wait.
struct Stage {
    api: Api,
    old: String,
    new: String,
}

const REASON: &str = "machineconfiguration.openshift.io/reason";

fn stage() -> Stage {
    let api = Api::start();
    let (old, new) = (rendered("examples/base"), rendered("examples/revision-2"));
    let (from, to) = (name(&old).to_owned(), name(&new).to_owned());
    api.put(CONFIGS, old);
    api.put(CONFIGS, new);
    api.put(POOLS, pool("worker", &to, json!({})));
    api.put(NODES, node("w0", [&to, &to, "Done"], &[]));
    let request = format!("drain-{to}");
    let mark = json!({"request": request, "since": "2026-01-01T11:00:00Z", "cordoned": true}).to_string();
    let drains = [
        ("machineconfiguration.openshift.io/desiredDrain", request.as_str()),
        ("machine-config.io/drain", mark.as_str()),
    ];
    let mut draining = node("w1", [&from, &to, "Working"], &drains);
    draining["spec"]["unschedulable"] = true.into();
    api.put(NODES, draining);
    api.put(NODES, node("w2", [&from, &from, "Done"], &[]));
    api.put(NODES, node("w3", [&from, &from, "Done"], &[]));
    let held_up = "MC8008 Node/w1: pod shop/web-0 of StatefulSet/web is kept by PodDisruptionBudget web: no; Let the pods that are \
                   named go: give their workload more replicas, relax the PodDisruptionBudget, or delete them.";
    api.put(
        REPORTS,
        json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigNode", "metadata": {"name": "w1"},
            "spec": {"node": {"name": "w1"}, "pool": {"name": "worker"}, "configVersion": {"desired": to}},
            "status": {"conditions": [{
                "type": "Drained", "status": "Unknown", "reason": "Draining", "message": held_up,
                "lastTransitionTime": "2026-01-01T11:00:00Z",
            }]},
        }),
    );
    api.put(
        PODS,
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "web-0", "namespace": "shop", "labels": {"app": "web"}, "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "u", "controller": true},
            ]},
            "spec": {"nodeName": "w1", "containers": []}, "status": {"phase": "Running"},
        }),
    );
    api.put(
        BUDGETS,
        json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"selector": {"matchLabels": {"app": "web"}}},
            "status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1},
        }),
    );
    lead(&api);
    Stage {
        api,
        old: from,
        new: to,
    }
}

/// Lets a controller lead, from now on.
fn lead(api: &Api) {
    api.put(
        LEASES,
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "machine-config-controller", "namespace": "machine-config"},
            // Long enough for any test, whenever it runs.
            "spec": {"holderIdentity": "c_1", "leaseDurationSeconds": i32::MAX, "renewTime": "2026-01-01T11:00:00.000000Z"},
        }),
    );
}

impl Stage {
    fn ask(&self, line: &str) -> Ran {
        ask(&self.api, line)
    }

    /// The text without what depends on the clock and on the examples.
    fn stable(&self, ran: &Ran) -> String {
        let text = ran.out.replace(&self.old, "OLD").replace(&self.new, "NEW");
        let mut lines: Vec<String> = Vec::new();
        for line in text.lines() {
            let words = line.split(' ').map(|word| {
                let bare = word.trim_matches(['(', ')']);
                let is_age = bare.len() > 1
                    && bare.starts_with(|c: char| c.is_ascii_digit())
                    && bare.chars().all(|c| c.is_ascii_digit() || "dhms".contains(c))
                    && bare.ends_with(['d', 'h', 'm', 's']);
                if is_age {
                    word.replace(bare, "AGE")
                } else {
                    word.to_owned()
                }
            });
            let indent = line.len() - line.trim_start().len();
            let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
            // Columns are as wide as the ages in them.
            lines.push(format!("{}{}", " ".repeat(indent), words.join(" ")));
        }
        lines.join("\n")
    }
}

fn ask(api: &Api, line: &str) -> Ran {
    let mut command = mcctl(line.split_whitespace());
    command.arg("--kubeconfig").arg(api.kubeconfig());
    finish(&mut command)
}

#[test]
fn status_tells_pools_nodes_and_what_is_next() {
    let stage = stage();
    let ran = stage.ask("status");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    insta::assert_snapshot!(stage.stable(&ran), @r"
    pool/worker updating 1 of 4 have NEW
      1 unavailable, at most 1 may be; 0 degraded
      w1 draining AGE pod shop/web-0 of StatefulSet/web is kept by PodDisruptionBudget web: no
      w2 waiting next
      w3 waiting after 1 other
      next: w2, but at most 1 node may be unavailable at once (maxUnavailable), and that is w1
    ");
    let json = stage.ask("status pool/worker -o json");
    let value: Value = serde_json::from_str(&json.out).unwrap();
    let worker = &value["pools"][0];
    assert_eq!(worker["updated"], 1);
    assert_eq!(worker["members"][0]["phase"], "draining");
    assert_eq!(worker["next"]["queue"], json!(["w2", "w3"]));
    assert_eq!(worker["next"]["busy"], json!(["w1"]));
    let asked = stage.api.asked();
    assert!(asked.iter().all(|asked| asked.starts_with("GET ")), "{asked:?}");
    assert!(!asked.iter().any(|asked| asked.contains("secrets")), "{asked:?}");
}

#[test]
fn a_cluster_that_cannot_be_asked_is_an_error_with_a_code() {
    let refused = |path: &str, status: u16| {
        let api = Api::start();
        api.refuse(path, status);
        ask(&api, "status")
    };
    let nobody = {
        let api = Api::start();
        api.set_down(true);
        ask(&api, "status")
    };
    let api = Api::start();
    let elsewhere = ask(&api, "status --context nowhere");
    let mut no_file = mcctl(["status", "--kubeconfig", "/nowhere/kubeconfig"]);
    let bare = {
        let api = Api::start();
        api.forget(POOLS);
        ask(&api, "status")
    };
    let table = [
        (finish(&mut no_file), "MC6101", "/nowhere/kubeconfig"),
        (elsewhere, "MC6101", "nowhere"),
        (nobody, "MC6102", "does not answer"),
        (refused(NODES, 401), "MC6103", "nodes"),
        (refused(POOLS, 403), "MC6104", "machineconfigpools"),
        (bare, "MC6105", "machineconfigpools"),
    ];
    for (ran, code, says) in table {
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{}", ran.err);
        assert!(
            ran.err.starts_with(&format!("error[{code}]")) && ran.err.contains(says),
            "{code}: {}",
            ran.err
        );
        assert!(!ran.err.contains("the-token"), "{}", ran.err);
    }
    let stage = stage();
    for (line, says) in [
        ("status pool/nothing", "there are worker"),
        ("why node/nothing", "there are w0, w1, w2, w3"),
        ("pause pool/nothing", "there are worker"),
        ("diff node/nothing", "there are w0"),
        ("history node/nothing", "there are w0"),
        ("plan --live pool/nothing", "there are worker"),
    ] {
        let ran = stage.ask(line);
        assert_eq!(ran.code, 1, "{line}");
        assert!(
            ran.err.starts_with("error[MC6106]") && ran.err.contains(says),
            "{line}: {}",
            ran.err
        );
    }
}

#[test]
fn what_may_not_be_looked_at_is_left_out() {
    let stage = stage();
    stage.api.refuse(PODS, 403);
    stage.api.refuse(LEASES, 403);
    stage.api.refuse(REPORTS, 403);
    let ran = stage.ask("status");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(ran.out.contains("w1  draining"), "{}", ran.out);
}

#[test]
fn why_names_the_cause_the_object_and_the_fix() {
    let stage = stage();
    let ran = stage.ask("why node/w1");
    assert_eq!((ran.code, ran.err.as_str()), (3, ""), "{}", ran.out);
    insta::assert_snapshot!(stage.stable(&ran), @r"
    node/w1: its drain is blocked: pod shop/web-0 of StatefulSet/web is kept by PodDisruptionBudget web: it needs 1 healthy pods and has 1 (for AGE)
      look at poddisruptionbudget/web in shop
      fix Let the pods that are named go: give their workload more replicas, relax the PodDisruptionBudget, or delete them.
               $ kubectl -n shop get poddisruptionbudget web
               $ kubectl -n shop get statefulset web
               $ kubectl -n shop delete pod web-0
    ");
    let waiting = stage.ask("why node/w2");
    assert_eq!(waiting.code, 2, "{}", waiting.out);
    assert!(waiting.out.contains("it is next"), "{}", waiting.out);
    let fine = stage.ask("why node/w0");
    assert_eq!(
        (fine.code, fine.out.replace(&stage.new, "NEW").as_str()),
        (0, "node/w0: nothing is wrong: it has NEW, as its pool wants it\n")
    );
    let pool = stage.ask("why pool/worker -o json");
    assert_eq!(pool.code, 3);
    let value: Value = serde_json::from_str(&pool.out).unwrap();
    assert_eq!(value["weight"], "stuck");
    assert_eq!(value["causes"][0]["object"], "Node/w1");
}

#[test]
fn a_rendered_config_that_is_gone_and_a_controller_that_is_gone_are_causes() {
    let stage = stage();
    stage
        .api
        .put(POOLS, pool("worker", "rendered-worker-gone", json!({})));
    let ran = stage.ask("why pool/worker");
    assert_eq!(ran.code, 3);
    assert!(
        ran.out.contains("rendered-worker-gone does not exist"),
        "{}",
        ran.out
    );
    stage.api.put(
        LEASES,
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "machine-config-controller", "namespace": "machine-config"},
            "spec": {"holderIdentity": "c_1", "leaseDurationSeconds": 1, "renewTime": "2026-01-01T11:00:00.000000Z"},
        }),
    );
    let ran = stage.ask("why node/w2");
    assert_eq!(ran.code, 3);
    assert!(ran.out.contains("no controller works"), "{}", ran.out);
}

#[test]
fn pausing_and_going_on_say_what_they_do() {
    let stage = stage();
    let mut command = mcctl(["pause", "pool/worker", "--reason", "freeze until Monday"]);
    let ran = finish(command.arg("--kubeconfig").arg(stage.api.kubeconfig()));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    insta::assert_snapshot!(stage.stable(&ran), @r"
    pool/worker is paused
      2 nodes wait with NEW until mcctl unpause pool/worker
      w1 goes on, being under way
    ");
    let because = json!({"annotations": {"machine-config.io/paused-because": "freeze until Monday"}});
    let path = format!("{POOLS}/worker");
    assert_eq!(
        stage.api.patches(),
        [(
            path.clone(),
            json!({"metadata": because, "spec": {"paused": true}})
        )]
    );
    let status = stage.ask("status");
    assert!(
        status.out.contains("paused: \"freeze until Monday\""),
        "{}",
        status.out
    );
    assert_eq!(stage.ask("why node/w2").code, 3);
    let again = stage.ask("pause pool/worker");
    assert!(
        again.out.starts_with("pool/worker is paused already"),
        "{}",
        again.out
    );
    let dry = stage.ask("unpause pool/worker --dry-run");
    insta::assert_snapshot!(stage.stable(&dry), @r"
    pool/worker would be unpaused (it is paused)
      3 of 4 nodes go to NEW: 3 drained, 3 rebooted
      w2 first, then 1 other, 1 node at a time
      mcctl plan --live pool/worker tells what changes
    ");
    assert_eq!(
        stage.api.patches().len(),
        1,
        "nothing is written by what was so already, or is only tried"
    );
    let ran = stage.ask("unpause pool/worker -o json");
    let value: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&value["changed"], &value["reboots"]), (&json!(true), &json!(3)));
    let gone = json!({"annotations": {"machine-config.io/paused-because": null}});
    assert_eq!(
        stage.api.patches().last().unwrap(),
        &(path, json!({"metadata": gone, "spec": {"paused": false}}))
    );
}

#[test]
fn a_live_plan_goes_by_the_policy_in_force() {
    let stage = stage();
    let ran = stage.ask("plan --live");
    assert_eq!((ran.code, ran.err.as_str()), (3, ""), "{}", ran.out);
    let text = stage.stable(&ran);
    let head: Vec<_> = text.lines().take(7).collect();
    assert_eq!(
        head,
        [
            "pool/worker: 3 of 4 nodes go to NEW: 3 drained, 3 rebooted",
            "  order w2, w3; 1 node at a time",
            "  under way w1",
            "",
            "w1, w2, w3",
            "OLD → NEW",
            "Reboot: 6 changes",
        ]
    );
    let policy = std::fs::read_to_string(root().join("examples/policy.yaml")).unwrap();
    let policy = stage.api.file("policy.yaml", &policy);
    // The same policy, this time as something that would be applied; and nothing besides changes the configs.
    api_configs(&stage.api, "examples/revision-2");
    let mut command = mcctl(["plan", "--live", "node/w2", "-o", "json", "-f"]);
    let ran = finish(
        command
            .arg(policy)
            .arg("--kubeconfig")
            .arg(stage.api.kubeconfig()),
    );
    let value: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}{}", ran.out, ran.err));
    assert_eq!((ran.code, &value["drains"]), (2, &json!(0)), "{}", ran.out);
    assert_eq!(
        value["pools"][0]["to"],
        stage.new.as_str(),
        "the cluster's own configs are rendered"
    );
    assert_eq!(value["pools"][0]["groups"][0]["nodes"], json!(["w2"]));
}

/// Puts the MachineConfigs of a directory of examples into a cluster.
fn api_configs(api: &Api, directory: &str) {
    for entry in std::fs::read_dir(root().join(directory)).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let (manifests, _) = crds::manifest::parse("x", &text);
        for found in manifests {
            if let crds::manifest::Object::MachineConfig(config) = found.object {
                api.put(CONFIGS, serde_json::to_value(config).unwrap());
            }
        }
    }
}

#[test]
fn a_live_plan_tells_what_files_would_do() {
    let stage = stage();
    api_configs(&stage.api, "examples/revision-2");
    let spec = super::one_file("/etc/example.conf", "420", "data:,x");
    let file = stage
        .api
        .file("new.yaml", &super::machine_config("99-new", "worker", &spec));
    let mut command = mcctl(["plan", "--live", "pool/worker", "-f"]);
    let ran = finish(command.arg(file).arg("--kubeconfig").arg(stage.api.kubeconfig()));
    assert_eq!((ran.code, ran.err.as_str()), (3, ""), "{}", ran.out);
    assert!(
        ran.out
            .starts_with("pool/worker: 4 of 4 nodes go to rendered-worker-"),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains("+ /etc/example.conf") && ran.out.contains("from 99-new"),
        "{}",
        ran.out
    );
    let bad = stage.api.file(
        "bad.yaml",
        &super::machine_config("99-bad", "worker", "  kernelType: slow"),
    );
    let mut command = mcctl(["plan", "--live", "-f"]);
    let ran = finish(command.arg(bad).arg("--kubeconfig").arg(stage.api.kubeconfig()));
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(
        ran.err.contains("MC1130") && ran.err.contains("99-bad"),
        "{}",
        ran.err
    );
}

#[test]
fn a_diff_shows_contents_but_no_secrets() {
    let stage = stage();
    let ran = stage.ask("diff node/w2");
    assert_eq!((ran.code, ran.err.as_str()), (2, ""), "{}", ran.out);
    assert!(
        ran.out
            .starts_with("node/w2 has another config than its pool wants"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("+server ntp3.example.com iburst"), "{}", ran.out);
    let same = stage.ask("diff node/w0");
    assert_eq!(same.code, 0);
    assert!(same.out.contains("the config that it is to have"), "{}", same.out);
    let reason = [(REASON, "content mismatch for file \"/etc/x\"")];
    stage
        .api
        .put(NODES, node("w9", [&stage.new, &stage.new, "Degraded"], &reason));
    let drifted = stage.ask("diff node/w9");
    assert_eq!(drifted.code, 2);
    assert!(
        drifted
            .out
            .contains("Its disk is not as the config says\n  content mismatch for file \"/etc/x\""),
        "{}",
        drifted.out
    );
    let key = super::one_file("/etc/secret.key", "384", "data:,hunter2");
    let file = stage
        .api
        .file("key.yaml", &super::machine_config("99-key", "worker", &key));
    api_configs(&stage.api, "examples/revision-2");
    let mut command = mcctl(["plan", "--live", "node/w0", "--show-diff", "-f"]);
    let ran = finish(command.arg(file).arg("--kubeconfig").arg(stage.api.kubeconfig()));
    assert!(
        ran.out.contains("/etc/secret.key") && !ran.out.contains("hunter2"),
        "{}",
        ran.out
    );
}

#[test]
fn a_history_is_what_the_cluster_remembers() {
    let stage = stage();
    stage.api.put(
        EVENTS,
        json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "default"},
            "involvedObject": {"kind": "Node", "name": "w1"}, "reportingComponent": "machineconfigcontroller-nodecontroller",
            "eventTime": "2026-01-01T11:05:00.000000Z", "reason": "DrainBlocked", "message": "pod shop/web-0 is kept",
        }),
    );
    let ran = stage.ask("history node/w1");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    let text = stage.stable(&ran);
    assert!(
        text.starts_with("node/w1 has OLD, is to have NEW (Working)\n"),
        "{text}"
    );
    assert!(
        text.contains("2026-01-01T11:05:00Z event DrainBlocked pod shop/web-0 is kept"),
        "{text}"
    );
    assert!(text.contains("step not yet Drained"), "{text}");
    assert!(text.contains("on w1: machine-config-daemon status"), "{text}");
}

/// A child that is ended when the test is.
struct Watching {
    child: Child,
    lines: Receiver<String>,
    notes: Receiver<String>,
}

impl Watching {
    fn start(api: &Api, line: &str) -> Self {
        let mut command = mcctl(line.split_whitespace());
        command.arg("--kubeconfig").arg(api.kubeconfig());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = read(child.stdout.take().unwrap());
        let notes = read(child.stderr.take().unwrap());
        Self { child, lines, notes }
    }
}

fn read(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// The first line that says so.
#[track_caller]
fn expect(lines: &Receiver<String>, says: &str) -> String {
    let deadline = Instant::now() + DEADLINE;
    let mut seen = Vec::new();
    while let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        if line.contains(says) {
            return line;
        }
        seen.push(line);
    }
    panic!("no line says {says:?}: {seen:#?}");
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_watch_tells_each_change_in_a_line_and_outlives_an_interruption() {
    let stage = stage();
    let watching = Watching::start(&stage.api, "status --watch");
    expect(
        &watching.lines,
        "node/w1: draining since 2026-01-01T11:00:00Z: pod shop/web-0",
    );
    expect(&watching.lines, "pool/worker: updating, 1 of 4 nodes have");
    let deadline = Instant::now() + DEADLINE;
    while stage.api.watches() < 3 {
        assert!(Instant::now() < deadline, "three watches are opened");
        std::thread::yield_now();
    }
    stage
        .api
        .put(NODES, node("w2", [&stage.new, &stage.new, "Done"], &[]));
    let line = expect(&watching.lines, "pool/worker: updating, 2 of 4 nodes have");
    assert!(line.starts_with("20"), "{line}");
    stage.api.set_down(true);
    expect(&watching.notes, "note: the API server does not answer (");
    stage.api.set_down(false);
    expect(&watching.notes, "note: the API server answers again");
    stage
        .api
        .put(NODES, node("w3", [&stage.new, &stage.new, "Done"], &[]));
    expect(&watching.lines, "pool/worker: updating, 3 of 4 nodes have");
}

#[test]
fn a_watch_of_programs_is_a_line_of_json_for_each_change() {
    let stage = stage();
    let watching = Watching::start(&stage.api, "status --watch -o json");
    let first: Value = serde_json::from_str(&expect(&watching.lines, "\"pools\"")).unwrap();
    assert_eq!(first["pools"][0]["updated"], 1);
    stage
        .api
        .put(NODES, node("w2", [&stage.new, &stage.new, "Done"], &[]));
    let second: Value = serde_json::from_str(&expect(&watching.lines, "\"updated\":2")).unwrap();
    assert_eq!(second["pools"][0]["updated"], 2);
}

#[test]
fn definitions_that_are_missing_are_told_whatever_is_asked() {
    for line in [
        "status",
        "why node/w1",
        "pause pool/worker",
        "plan --live",
        "diff node/w1",
        "history node/w1",
    ] {
        let api = Api::start();
        api.forget(POOLS);
        let ran = ask(&api, line);
        assert_eq!(ran.code, 1, "{line}");
        assert!(ran.err.starts_with("error[MC6105]"), "{line}: {}", ran.err);
    }
}
